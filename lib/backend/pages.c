// SPDX-License-Identifier: MIT
/* Pages on their way from the backend and back. */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "../counters.h"
#include "pages.h"
#include "ranges.h"

static struct {
	const struct backend *backend;
	const struct window *window;
} source;

/* 0 for none. */
static _Atomic uint64_t limit;

/* counters.bytes_taken, and what requests under way may add to it: never above the limit. */
static _Atomic uint64_t charged;

/* Read while a request is under way, written by one that is alone. */
static pthread_rwlock_t under_way = PTHREAD_RWLOCK_WRITER_NONRECURSIVE_INITIALIZER_NP;

void pages_open(const struct backend *backend, const struct window *window)
{
	source.backend = backend;
	source.window = window;
}

void pages_reset_lock(void)
{
	under_way = (pthread_rwlock_t)PTHREAD_RWLOCK_WRITER_NONRECURSIVE_INITIALIZER_NP;
}

void pages_reset(void)
{
	atomic_store(&charged, 0);
	atomic_store(&limit, 0);
	pages_reset_lock();
}

void pages_begin(bool alone)
{
	if (alone)
		pthread_rwlock_wrlock(&under_way);
	else
		pthread_rwlock_rdlock(&under_way);
}

bool pages_try_begin(void)
{
	return !pthread_rwlock_tryrdlock(&under_way);
}

void pages_end(void)
{
	pthread_rwlock_unlock(&under_way);
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
static int take_aligned(const struct request *request, uint64_t *first)
{
	const struct window *window = source.window;
	const char *base = request->flags & PS_EXPORT ? window->export_base : window->base;
	struct range range = {
		.first = -((uintptr_t)base / PS_PAGE_SIZE) % request->align_pages,
		.nr_pages = request->nr_pages,
	};
	int ret = -ENOMEM;

	for (; range.first + range.nr_pages <= window->nr_pages;
	     range.first += request->align_pages) {
		ret = source.backend->alloc_at(&range, request->flags);
		if (!ret) {
			*first = range.first;
			return 1;
		}
		if (ret != -EBUSY)
			break;
	}
	return ret == -EBUSY ? -ENOMEM : ret;
}

int pages_take(const struct request *request, uint64_t *firsts)
{
	uint64_t bytes = request->nr_pages * PS_PAGE_SIZE;
	int saved_errno = errno;
	int nr;

	if (!charge(request->count * bytes))
		return -ENOMEM;
	if (request->align_pages > MEGABLOCK_PAGES)
		nr = take_aligned(request, firsts);
	else
		nr = source.backend->alloc(request, firsts);
	errno = saved_errno;
	settle(request->count * bytes, nr > 0 ? (uint64_t)nr * bytes : 0);
	if (nr < 0)
		return refusal(nr);
	counters_add(&counters.refills, 1);
	counters_add(&counters.spans_refilled, (uint64_t)nr);
	return nr;
}

int pages_take_at(const struct range *range)
{
	uint64_t bytes = range->nr_pages * PS_PAGE_SIZE;
	int saved_errno = errno;
	int ret;

	if (!charge(bytes))
		return -ENOMEM;
	ret = source.backend->alloc_at(range, 0);
	errno = saved_errno;
	settle(bytes, ret ? 0 : bytes);
	return refusal(ret);
}

int pages_give(struct range *ranges, uint32_t count)
{
	int saved_errno = errno;
	uint32_t merged = ranges_merge(ranges, count);
	uint32_t given = source.backend->free(ranges, merged);

	errno = saved_errno;
	uncharge(ranges_pages(ranges, given) * PS_PAGE_SIZE);
	counters_add(&counters.flushes, 1);
	counters_add(&counters.spans_flushed, count);
	return given == merged ? 0 : -EINVAL;
}
