// SPDX-License-Identifier: MIT
/* Pages on their way from the backend and back. */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "../counters.h"
#include "pages.h"
#include "../process.h"

/* Spans of a request for many that is refused. */
#define GIVEN_AT_ONCE 32

/* 0 for none. */
static _Atomic uint64_t limit;

/* counters.bytes_taken, and what requests under way may add to it: never above the limit. */
static _Atomic uint64_t charged;

/*
 * Read while a request is under way.  What it has charged or taken already may refuse another
 * that fits once it fails itself; so a request is refused for good only with the lock written,
 * when no other is under way.
 */
static pthread_rwlock_t under_way = PTHREAD_RWLOCK_WRITER_NONRECURSIVE_INITIALIZER_NP;

struct counters counters;

void counters_reset(void)
{
	counters = (struct counters){0};
	atomic_store(&charged, 0);
	atomic_store(&limit, 0);
	pages_reset_lock();
}

void pages_lock(void)
{
	pthread_rwlock_wrlock(&under_way);
}

void pages_unlock(void)
{
	pthread_rwlock_unlock(&under_way);
}

void pages_reset_lock(void)
{
	under_way = (pthread_rwlock_t)PTHREAD_RWLOCK_WRITER_NONRECURSIVE_INITIALIZER_NP;
}

static void begin(enum pages_company company)
{
	if (company == PAGES_ALONE)
		pthread_rwlock_wrlock(&under_way);
	else
		pthread_rwlock_rdlock(&under_way);
}

void pages_limit_set(uint64_t bytes)
{
	atomic_store(&limit, bytes == UINT64_MAX ? 0 : bytes);
}

uint64_t pages_limit(void)
{
	uint64_t bytes = atomic_load(&limit);

	return bytes ? bytes : UINT64_MAX;
}

/* Before pages are taken, so that threads together do not exceed the limit. */
static bool charge(uint64_t bytes)
{
	uint64_t seen = atomic_load(&charged);
	uint64_t most = pages_limit();

	do {
		if (bytes > most || seen > most - bytes)
			return false;
	} while (!atomic_compare_exchange_weak(&charged, &seen, seen + bytes));
	return true;
}

/* So much of a charge has become pages; the rest of it is gone. */
static void settle(uint64_t bytes_charged, uint64_t bytes)
{
	uint64_t taken = atomic_fetch_add(&counters.bytes_taken, bytes) + bytes;
	uint64_t peak = atomic_load(&counters.bytes_peak);

	atomic_fetch_sub(&charged, bytes_charged - bytes);
	while (taken > peak && !atomic_compare_exchange_weak(&counters.bytes_peak, &peak, taken))
		;
}

static void uncharge(uint64_t bytes)
{
	atomic_fetch_sub(&counters.bytes_taken, bytes);
	atomic_fetch_sub(&charged, bytes);
}

/* The device's quota is to whoever asked no other reason than the limit. */
static int refusal(int error)
{
	return error == -EDQUOT ? -ENOMEM : error;
}

/* A span of an alignment that span maps do not know, at the first place where its pages are free.
 */
static int take_aligned(const struct backend *backend, const struct request *request,
			uint64_t *first)
{
	const char *base =
		request->flags & PS_EXPORT ? process.window.export_base : process.window.base;
	struct range range = {
		.first = -((uintptr_t)base / PS_PAGE_SIZE) % request->align_pages,
		.nr_pages = request->nr_pages,
	};
	int ret = -ENOMEM;

	for (; range.first + range.nr_pages <= process.window.nr_pages;
	     range.first += request->align_pages) {
		ret = backend->alloc_at(&range, request->flags);
		if (!ret) {
			*first = range.first;
			return 1;
		}
		if (ret != -EBUSY)
			break;
	}
	return ret == -EBUSY ? -ENOMEM : ret;
}

static int take(const struct backend *backend, const struct request *request, uint64_t *firsts)
{
	uint64_t bytes = request->nr_pages * PS_PAGE_SIZE;
	int nr;

	if (!charge(request->count * bytes))
		return -ENOMEM;
	if (request->align_pages > MEGABLOCK_PAGES)
		nr = take_aligned(backend, request, firsts);
	else
		nr = backend->alloc(request, firsts);
	settle(request->count * bytes, nr > 0 ? (uint64_t)nr * bytes : 0);
	if (nr < 0)
		return refusal(nr);
	counters_add(&counters.refills, 1);
	counters_add(&counters.spans_refilled, (uint64_t)nr);
	return nr;
}

int pages_take(const struct backend *backend, const struct request *request, uint64_t *firsts,
	       enum pages_company company)
{
	int saved_errno = errno;
	int nr;

	begin(company);
	nr = take(backend, request, firsts);
	pthread_rwlock_unlock(&under_way);
	errno = saved_errno;
	return nr;
}

/* Spans that nobody has seen yet. */
static void give_spans(const struct backend *backend, uint32_t nr_pages, const uint64_t *firsts,
		       size_t count)
{
	struct range ranges[GIVEN_AT_ONCE];
	uint32_t nr = 0;

	while (count--) {
		ranges[nr++] = (struct range){firsts[count], nr_pages};
		if (nr == GIVEN_AT_ONCE || !count) {
			pages_give(backend, ranges, nr);
			nr = 0;
		}
	}
}

/* What was taken until one is refused is given back before another request can be alone. */
static int take_all(const struct backend *backend, const struct request *each, size_t count,
		    uint64_t *firsts)
{
	struct request request = *each;
	size_t have = 0;
	int nr;

	while (have < count) {
		request.count = count - have < BACKEND_MAX_COUNT ? (uint32_t)(count - have) :
								   BACKEND_MAX_COUNT;
		nr = take(backend, &request, firsts + have);
		if (nr < 0) {
			give_spans(backend, request.nr_pages, firsts, have);
			return nr;
		}
		have += (size_t)nr;
	}
	return 0;
}

int pages_take_all(const struct backend *backend, const struct request *each, size_t count,
		   uint64_t *firsts, enum pages_company company)
{
	int saved_errno = errno;
	int ret;

	begin(company);
	ret = take_all(backend, each, count, firsts);
	pthread_rwlock_unlock(&under_way);
	errno = saved_errno;
	return ret;
}

int pages_take_at(const struct backend *backend, const struct range *range,
		  enum pages_company company)
{
	uint64_t bytes = range->nr_pages * PS_PAGE_SIZE;
	int saved_errno = errno;
	int ret = -ENOMEM;

	begin(company);
	if (charge(bytes)) {
		ret = backend->alloc_at(range, 0);
		settle(bytes, ret ? 0 : bytes);
	}
	pthread_rwlock_unlock(&under_way);
	errno = saved_errno;
	return refusal(ret);
}

/* Heaps are built of what is below @count; @root may be smaller than what is under it. */
static void sift_down(struct range *ranges, uint32_t root, uint32_t count)
{
	struct range moved = ranges[root];
	uint32_t child;

	while ((child = 2 * root + 1) < count) {
		if (child + 1 < count && ranges[child].first < ranges[child + 1].first)
			child++;
		if (moved.first >= ranges[child].first)
			break;
		ranges[root] = ranges[child];
		root = child;
	}
	ranges[root] = moved;
}

/* qsort() calls malloc(), which may be what waits for these pages. */
static void sort_by_first(struct range *ranges, uint32_t count)
{
	uint32_t i;

	for (i = count / 2; i--;)
		sift_down(ranges, i, count);
	for (i = count; i-- > 1;) {
		struct range largest = ranges[0];

		ranges[0] = ranges[i];
		ranges[i] = largest;
		sift_down(ranges, 0, i);
	}
}

/* Makes one range of those that lie side by side; how many remain. */
static uint32_t merge(struct range *ranges, uint32_t count)
{
	uint32_t last = 0;
	uint32_t i;

	sort_by_first(ranges, count);
	for (i = 1; i < count; i++) {
		if (ranges[last].first + ranges[last].nr_pages == ranges[i].first)
			ranges[last].nr_pages += ranges[i].nr_pages;
		else
			ranges[++last] = ranges[i];
	}
	return last + 1;
}

int pages_give(const struct backend *backend, struct range *ranges, uint32_t count)
{
	uint64_t nr_pages = 0;
	int saved_errno = errno;
	uint32_t merged = count > 1 ? merge(ranges, count) : count;
	uint32_t given = backend->free(ranges, merged);
	uint32_t i;

	errno = saved_errno;
	for (i = 0; i < given; i++)
		nr_pages += ranges[i].nr_pages;
	uncharge(nr_pages * PS_PAGE_SIZE);
	counters_add(&counters.flushes, 1);
	counters_add(&counters.spans_flushed, count);
	return given == merged ? 0 : -EINVAL;
}

/* Whether a range lies beside the one added last, which then takes it in. */
static bool joins_last(struct pages_batch *batch, const struct range *range)
{
	struct range *last;

	if (!batch->count)
		return false;
	last = &batch->ranges[batch->count - 1];
	if (range->first + range->nr_pages == last->first)
		last->first = range->first;
	else if (last->first + last->nr_pages != range->first)
		return false;
	last->nr_pages += range->nr_pages;
	return true;
}

/* The spans that a list begins with and that lie side by side, in either direction; how many. */
static uint32_t cut_range(struct link **list, size_t bytes, struct range *range)
{
	struct link *link = *list;
	char *start = span_of(link);
	char *end = start + bytes;
	uint32_t nr = 1;

	for (; (link = link_next(link)); nr++) {
		char *span = span_of(link);

		if (span == end)
			end += bytes;
		else if (span + bytes == start)
			start = span;
		else
			break;
	}
	*list = link;
	range->first = (uint64_t)(start - process.window.base) / PS_PAGE_SIZE;
	range->nr_pages = (uint64_t)(end - start) / PS_PAGE_SIZE;
	return nr;
}

void pages_batch_begin(struct pages_batch *batch)
{
	batch->count = 0;
	batch->nr_spans = 0;
}

void pages_batch_add(struct pages_batch *batch, struct link *list, uint64_t nr_pages)
{
	while (list) {
		struct range range;
		uint32_t nr_spans = cut_range(&list, nr_pages * PS_PAGE_SIZE, &range);

		if (!joins_last(batch, &range)) {
			if (batch->count == PAGES_BATCH_RANGES)
				pages_batch_flush(batch);
			batch->ranges[batch->count++] = range;
		}
		batch->nr_spans += nr_spans;
	}
}

void pages_batch_flush(struct pages_batch *batch)
{
	if (!batch->count)
		return;
	pages_give(process_opened(), batch->ranges, batch->count);
	counters_add(&counters.spans_flushed, batch->nr_spans - batch->count);
	pages_batch_begin(batch);
}
