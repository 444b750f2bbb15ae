// SPDX-License-Identifier: MIT
/*
 * Spans, the long way: checking arguments, and everything that a thread's cache
 * does not serve at once (cache.c).
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "../annotate.h"
#include "cache.h"
#include "central.h"
#include "../counters.h"
#include "../debug.h"
#include "pages.h"
#include "../process.h"
#include "thread_cache.h"

#define SPAN_MAX_PAGES (PS_SPAN_MAX / PS_PAGE_SIZE)

/* A cached span up to this size is cleared sooner than the backend gives a clear one. */
#define CLEAR_PAGES 64

static bool is_size(size_t bytes)
{
	return bytes && bytes % PS_PAGE_SIZE == 0 && bytes <= PS_SPAN_MAX;
}

/* What huge pages need, where a run allows it. */
static uint32_t preferred_align(const struct request *request)
{
	return request->nr_pages >= MEGABLOCK_PAGES && request->align_pages < MEGABLOCK_PAGES ?
		       MEGABLOCK_PAGES :
		       request->align_pages;
}

/* ---- allocation ---------------------------------------------------------------------------- */

/* Gives back what is cached, before a request is made once more, alone. */
static void reclaim(void)
{
	thread_cache_give_back();
	central_trim(0);
	thread_caches_trim();
}

/* One span, aligned better than it has to be if it can be. */
static int take_one(const struct backend *backend, const struct request *request, uint64_t *first,
		    enum pages_company company)
{
	struct request preferred = *request;
	int nr;

	preferred.align_pages = preferred_align(request);
	nr = pages_take(backend, &preferred, first, company);
	if (nr == -ENOMEM && preferred.align_pages != request->align_pages)
		nr = pages_take(backend, request, first, company);
	return nr;
}

/* As pages_take(), refused for good. */
static int take_or_reclaim(const struct backend *backend, const struct request *request,
			   uint64_t *first)
{
	int nr = take_one(backend, request, first, PAGES_TOGETHER);

	if (nr != -ENOMEM)
		return nr;
	reclaim();
	return take_one(backend, request, first, PAGES_ALONE);
}

/* From the backend; NULL with errno. */
static void *alloc_direct(const struct backend *backend, const struct request *request)
{
	size_t bytes = request->nr_pages * PS_PAGE_SIZE;
	char *base = process.window.base;
	uint64_t first;
	char *span;
	int nr;

	if (request->flags & PS_EXPORT) {
		int ret = process_open_exports(backend);

		if (ret) {
			errno = -ret;
			return NULL;
		}
		base = process.window.export_base;
	}
	nr = take_or_reclaim(backend, request, &first);
	if (nr < 0) {
		errno = -nr;
		return NULL;
	}
	counters_add(&counters.allocated, 1);
	span = base + first * PS_PAGE_SIZE;
	annotate_long_allocated(span, bytes, request->flags & PS_ZERO);
	return span;
}

void *span_alloc_long(uint64_t nr_pages)
{
	const struct backend *backend;
	struct thread_cache *cache;
	void *span;

	if (!nr_pages || nr_pages > SPAN_MAX_PAGES) {
		errno = EINVAL;
		return NULL;
	}
	backend = process_backend();
	if (!backend)
		return NULL;
	cache = bin_of(nr_pages) ? thread_cache_get() : NULL;
	if (cache) {
		span = thread_cache_refill(cache, bin_of(nr_pages));
		if (span)
			return span;
	}
	return alloc_direct(backend, &(struct request){
					     .nr_pages = (uint32_t)nr_pages,
					     .align_pages = 1,
					     .count = 1,
				     });
}

/* What is mapped already is not hurt by it: nothing is in it yet, or zeros are. */
static void touch(char *span, size_t bytes)
{
	size_t at;

	for (at = 0; at < bytes; at += PS_PAGE_SIZE)
		((volatile char *)span)[at] = 0;
}

/* A span that may come from a cache; NULL if there is none, or the backend is the better source. */
static void *alloc_cached(size_t bytes, unsigned int flags)
{
	uint32_t nr_pages = (uint32_t)(bytes / PS_PAGE_SIZE);
	char *span = cache_take(nr_pages);

	if (!span && (nr_pages > CLEAR_PAGES || flags & PS_POPULATE))
		return NULL;
	if (!span)
		span = ps_span_alloc(bytes);
	if (!span)
		return NULL;
	if (flags & PS_ZERO)
		memset(span, 0, bytes);
	else if (flags & PS_POPULATE)
		touch(span, bytes);
	return span;
}

void *ps_span_alloc_ex(size_t bytes, size_t align, unsigned int flags)
{
	const struct backend *backend;
	struct request request = {
		.nr_pages = (uint32_t)(bytes / PS_PAGE_SIZE),
		.align_pages = align ? (uint32_t)(align / PS_PAGE_SIZE) : 1,
		.count = 1,
		.flags = flags,
	};
	void *span;

	if (!is_size(bytes) || flags & ~(PS_ZERO | PS_HUGE | PS_POPULATE | PS_EXPORT) ||
	    (align && (align & (align - 1) || align < PS_PAGE_SIZE || align > PS_ALIGN_MAX))) {
		errno = EINVAL;
		return NULL;
	}
	if (flags & PS_HUGE && request.align_pages < MEGABLOCK_PAGES)
		request.align_pages = MEGABLOCK_PAGES;
	backend = process_backend();
	if (!backend)
		return NULL;
	if (!(flags & (PS_HUGE | PS_EXPORT)) &&
	    request.align_pages <= cached_align(request.nr_pages)) {
		span = alloc_cached(bytes, flags);
		if (span)
			return span;
	}
	span = alloc_direct(backend, &request);
	if (span && flags & PS_POPULATE)
		touch(span, bytes);
	return span;
}

static void free_spans(size_t bytes, void *const *spans, size_t count)
{
	while (count--)
		ps_span_free(spans[count], bytes);
}

/* Makes addresses of the indices of first pages, in their place. */
static void indices_to_spans(void **spans, size_t count, size_t bytes)
{
	uint64_t first;
	size_t i;

	_Static_assert(sizeof(first) == sizeof(*spans), "one goes where the other was");
	for (i = 0; i < count; i++) {
		memcpy(&first, &spans[i], sizeof(first));
		spans[i] = process.window.base + first * PS_PAGE_SIZE;
		annotate_long_allocated(spans[i], bytes, false);
	}
}

/* As take_one(), for many; the indices of their first pages go where their addresses will. */
static int take_all(const struct backend *backend, const struct request *request, size_t count,
		    void **spans, enum pages_company company)
{
	uint64_t *firsts = (uint64_t *)(void *)spans;
	struct request preferred = *request;
	int ret;

	preferred.align_pages = preferred_align(request);
	ret = pages_take_all(backend, &preferred, count, firsts, company);
	if (ret == -ENOMEM && preferred.align_pages != request->align_pages)
		ret = pages_take_all(backend, request, count, firsts, company);
	return ret;
}

static int take_all_or_reclaim(const struct backend *backend, const struct request *request,
			       size_t count, void **spans)
{
	int ret = take_all(backend, request, count, spans, PAGES_TOGETHER);

	if (ret != -ENOMEM)
		return ret;
	reclaim();
	return take_all(backend, request, count, spans, PAGES_ALONE);
}

int ps_span_alloc_bulk(size_t bytes, size_t count, void **spans)
{
	const struct backend *backend;
	struct request request = {
		.nr_pages = (uint32_t)(bytes / PS_PAGE_SIZE),
		.align_pages = 1,
	};
	size_t have = 0;
	int ret;

	if (!is_size(bytes) || !count)
		return -EINVAL;
	backend = process_backend();
	if (!backend)
		return -errno;
	while (have < count && (spans[have] = cache_take(request.nr_pages)))
		have++;
	ret = take_all_or_reclaim(backend, &request, count - have, spans + have);
	if (ret) {
		free_spans(bytes, spans, have);
		return ret;
	}
	indices_to_spans(spans + have, count - have, bytes);
	counters_add(&counters.allocated, count - have);
	return 0;
}

/* ---- pages that are allocated ---------------------------------------------------------------- */

static bool is_inside(const char *base, const char *ptr, size_t bytes)
{
	size_t window_bytes = process.window.nr_pages * PS_PAGE_SIZE;
	size_t offset = (size_t)ptr - (size_t)base;

	return base && offset < window_bytes && bytes <= window_bytes - offset;
}

/* The base of the window that a range is in; NULL if it is in none, or no range of pages. */
static char *window_of(const void *ptr, size_t bytes)
{
	if (!bytes || bytes % PS_PAGE_SIZE || (uintptr_t)ptr % PS_PAGE_SIZE)
		return NULL;
	if (is_inside(process.window.base, ptr, bytes))
		return process.window.base;
	if (is_inside(process.window.export_base, ptr, bytes))
		return process.window.export_base;
	return NULL;
}

static struct range range_in(const char *base, const void *ptr, size_t bytes)
{
	return (struct range){
		.first = (uint64_t)((const char *)ptr - base) / PS_PAGE_SIZE,
		.nr_pages = bytes / PS_PAGE_SIZE,
	};
}

int span_free_long(void *ptr, size_t bytes)
{
	const struct backend *backend = process_opened();
	const char *base = backend ? window_of(ptr, bytes) : NULL;
	struct range range;
	uint32_t bin;

	if (!base)
		return -EINVAL;
	range = range_in(base, ptr, bytes);
	bin = bin_of(range.nr_pages);
	if (bin && base == process.window.base) {
		struct thread_cache *cache = thread_cache_get();

		if (cache && thread_cache_accept(cache, bin, ptr))
			return 0;
	}
	annotate_long_freed(ptr, bytes);
	if (pages_give(backend, &range, 1)) {
		debug_bad_free(backend, ptr, &range);
		return -EINVAL;
	}
	counters_add(&counters.freed, 1);
	return 0;
}

/* Gives back what is cached of these pages; false if nothing is. */
static bool uncover(const struct range *range)
{
	bool own = thread_cache_uncover(range);

	return central_uncover(range) || own;
}

/* As pages_take_at(), refused for good: with what is cached there, and at the limit anywhere. */
static int take_at_or_reclaim(const struct backend *backend, const struct range *range)
{
	int ret = pages_take_at(backend, range, PAGES_TOGETHER);

	if (ret == -EBUSY && uncover(range))
		ret = pages_take_at(backend, range, PAGES_TOGETHER);
	if (ret == -ENOMEM)
		reclaim();
	if (ret == -ENOMEM || ret == -EBUSY)
		ret = pages_take_at(backend, range, PAGES_ALONE);
	return ret == -EBUSY ? -ENOMEM : ret;
}

int ps_span_extend(void *ptr, size_t old_bytes, size_t new_bytes)
{
	const struct backend *backend = process_opened();
	const char *base = backend ? window_of(ptr, old_bytes) : NULL;
	char *end = (char *)ptr + old_bytes;
	struct range more;
	int ret;

	if (!base || !is_size(new_bytes) || new_bytes < old_bytes)
		return -EINVAL;
	if (new_bytes == old_bytes)
		return 0;
	if (window_of(ptr, new_bytes) != base)
		return -ENOMEM;
	more = range_in(base, end, new_bytes - old_bytes);
	ret = take_at_or_reclaim(backend, &more);
	if (!ret)
		annotate_long_allocated(end, new_bytes - old_bytes, false);
	return ret;
}

int ps_span_export(void *ptr, size_t bytes)
{
	const struct backend *backend = process_opened();
	const char *base = backend && is_size(bytes) ? window_of(ptr, bytes) : NULL;
	struct range range;

	if (!base)
		return -EINVAL;
	range = range_in(base, ptr, bytes);
	if (backend == &backend_device && base != process.window.export_base)
		return -EINVAL;
	return backend->export(&range);
}

/* ---- caches and limits --------------------------------------------------------------------- */

int ps_trim(size_t keep_bytes)
{
	if (keep_bytes % PS_PAGE_SIZE)
		return -EINVAL;
	if (!process_opened())
		return 0;
	thread_cache_give_back();
	central_trim(keep_bytes);
	thread_caches_trim();
	return 0;
}

void ps_thread_flush(void)
{
	if (process_opened())
		thread_cache_hand_over();
}

int ps_limit_set(uint64_t bytes)
{
	if (bytes % PS_PAGE_SIZE && bytes != UINT64_MAX)
		return -EINVAL;
	process_opened();
	pages_limit_set(bytes);
	return 0;
}

const char *ps_backend(void)
{
	const struct backend *backend = process_backend();

	return backend ? backend->name : NULL;
}
