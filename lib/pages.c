// SPDX-License-Identifier: MIT
/* Pages on their way from the backend and back. */
#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "counters.h"
#include "pages.h"
#include "process.h"

/* Bytes by which what is taken may not grow: UINT64_MAX minus the limit, so that 0 is none. */
static _Atomic uint64_t below_no_limit;

struct counters counters;

void counters_reset(void)
{
	counters = (struct counters){0};
	atomic_store(&below_no_limit, 0);
}

void pages_limit_set(uint64_t bytes)
{
	atomic_store(&below_no_limit, UINT64_MAX - bytes);
}

uint64_t pages_limit(void)
{
	return UINT64_MAX - atomic_load(&below_no_limit);
}

/* Counted before they are taken, so that threads together do not exceed the limit. */
static bool charge(uint64_t bytes)
{
	uint64_t taken = atomic_fetch_add(&counters.bytes_taken, bytes) + bytes;
	uint64_t peak = atomic_load(&counters.bytes_peak);

	if (taken > pages_limit()) {
		atomic_fetch_sub(&counters.bytes_taken, bytes);
		return false;
	}
	while (taken > peak && !atomic_compare_exchange_weak(&counters.bytes_peak, &peak, taken))
		;
	return true;
}

static void uncharge(uint64_t bytes)
{
	atomic_fetch_sub(&counters.bytes_taken, bytes);
}

int pages_take(const struct backend *backend, const struct request *request, uint64_t *firsts)
{
	uint64_t bytes = request->nr_pages * PS_PAGE_SIZE;
	int nr;

	if (!charge(request->count * bytes))
		return -ENOMEM;
	nr = backend->alloc(request, firsts);
	uncharge((request->count - (nr > 0 ? (uint64_t)nr : 0)) * bytes);
	if (nr < 0)
		return nr == -EDQUOT ? -ENOMEM : nr;
	counters_add(&counters.refills, 1);
	counters_add(&counters.spans_refilled, (uint64_t)nr);
	return nr;
}

int pages_take_at(const struct backend *backend, const struct range *range)
{
	uint64_t bytes = range->nr_pages * PS_PAGE_SIZE;

	if (!charge(bytes))
		return -ENOMEM;
	if (backend->alloc_at(range)) {
		uncharge(bytes);
		return -ENOMEM;
	}
	return 0;
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
	uint32_t merged = count > 1 ? merge(ranges, count) : count;
	uint32_t given = backend->free(ranges, merged);
	uint32_t i;

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
			if (batch->count == BACKEND_MAX_COUNT)
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
