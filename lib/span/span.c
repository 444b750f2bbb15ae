// SPDX-License-Identifier: MIT
/*
 * Spans, the long way: checking arguments, and everything that the cache of a CPU does not serve
 * at once (cache.c).
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "../annotate.h"
#include "../backend/pages.h"
#include "../counters.h"
#include "../debug.h"
#include "../open.h"
#include "budget.h"
#include "cache.h"
#include "cpu_cache.h"
#include "house.h"
#include "long_way.h"
#include "refill.h"
#include "window.h"

#define SPAN_MAX_PAGES (PS_SPAN_MAX / PS_PAGE_SIZE)

/* A span up to this size is cleared sooner than the backend gives a clear one. */
#define CLEAR_PAGES 64

#define FLAGS       (PS_ZERO | PS_HUGE | PS_POPULATE | PS_EXPORT | PS_GROWS)

/* Which only the backend knows to give. */
#define BACKEND_FLAGS (PS_HUGE | PS_EXPORT | PS_GROWS)

bool is_span_size(size_t bytes)
{
	return bytes && bytes % PS_PAGE_SIZE == 0 && bytes <= PS_SPAN_MAX;
}

/* ---- allocation ---------------------------------------------------------------------------- */

/* What huge pages need, where a run allows it. */
static struct request preferred(const struct request *request)
{
	struct request aligned = *request;

	if (request->nr_pages >= MEGABLOCK_PAGES && request->align_pages < MEGABLOCK_PAGES)
		aligned.align_pages = MEGABLOCK_PAGES;
	return aligned;
}

static bool may_be_cached(const struct request *request)
{
	return !(request->flags & BACKEND_FLAGS) && request->align_pages <= MEGABLOCK_PAGES;
}

static bool has_bin(uint64_t nr_pages)
{
	return process.caching && nr_pages - 1 < BIN_MAX;
}

static void *address_of(uint64_t first)
{
	return process.window.base + first * PS_PAGE_SIZE;
}

/* Between pages_begin() and pages_end(), as are the next two. */
static int take_fresh(const struct request *request, uint64_t *first)
{
	struct request aligned = preferred(request);
	int nr;

	if (may_be_cached(request) && !(request->flags & PS_ZERO) &&
	    budget_take_joined(&aligned, first))
		return 1;
	nr = pages_take(&aligned, first);
	if (nr == -ENOMEM && aligned.align_pages != request->align_pages)
		nr = pages_take(request, first);
	return nr;
}

/* What the process keeps goes back as far as it is needed; and at last, when nobody else is under
 * way, all that is cached anywhere. */
static int take_or_reclaim(const struct request *request, uint64_t *first)
{
	int nr;

	do {
		pages_begin(false);
		nr = take_fresh(request, first);
		pages_end();
	} while (nr == -ENOMEM && budget_reclaim(request->nr_pages));
	if (nr != -ENOMEM)
		return nr;
	pages_begin(true);
	house_clear();
	nr = take_fresh(request, first);
	pages_end();
	return nr;
}

/* From the backend; NULL with errno. */
static void *alloc_fresh(const struct backend *backend, const struct request *request)
{
	size_t bytes = request->nr_pages * PS_PAGE_SIZE;
	char *base = process.window.base;
	uint64_t first;
	int nr;

	if (request->flags & PS_EXPORT) {
		int ret = process_open_exports(backend);

		if (ret) {
			errno = -ret;
			return NULL;
		}
		base = process.window.export_base;
	}
	nr = take_or_reclaim(request, &first);
	if (nr < 0) {
		errno = -nr;
		return NULL;
	}
	counters_add(&counters.allocated, 1);
	annotate_long_allocated(base + first * PS_PAGE_SIZE, bytes, request->flags & PS_ZERO);
	return base + first * PS_PAGE_SIZE;
}

/* Of what is kept; its contents are what they were.  NULL if there is none. */
static void *alloc_kept(const struct request *request)
{
	struct request aligned = preferred(request);
	uint64_t first;

	if (!budget_take_kept(&aligned, &first))
		return NULL;
	counters_add(&counters.allocated, 1);
	annotate_long_allocated(address_of(first), request->nr_pages * PS_PAGE_SIZE, false);
	return address_of(first);
}

/* With others for the CPU's cache; NULL if there is none. */
static void *alloc_refilling(uint32_t nr_pages)
{
	void *span = refill(nr_pages);

	if (!span)
		return NULL;
	counters_add(&counters.allocated, 1);
	annotate_long_allocated(span, nr_pages * PS_PAGE_SIZE, false);
	return span;
}

void span_rested(void)
{
	if (process_opened())
		house_keep();
}

void *span_alloc_long(uint64_t nr_pages)
{
	const struct backend *backend;
	struct request request = {
		.nr_pages = (uint32_t)nr_pages,
		.align_pages = 1,
		.count = 1,
	};
	void *span;

	if (!nr_pages || nr_pages > SPAN_MAX_PAGES) {
		errno = EINVAL;
		return NULL;
	}
	backend = process_backend();
	if (!backend)
		return NULL;
	house_keep();
	span = has_bin(nr_pages) ? alloc_refilling(request.nr_pages) : alloc_kept(&request);
	return span ? span : alloc_fresh(backend, &request);
}

/* What is mapped already is not hurt by it: nothing is in it yet, or zeros are. */
static void touch(char *span, size_t bytes)
{
	size_t at;

	for (at = 0; at < bytes; at += PS_PAGE_SIZE)
		((volatile char *)span)[at] = 0;
}

/*
 * Batches come aligned to their spans' size where that is a power of two, so most of what is
 * aligned is cached like the rest.
 */
static char *alloc_refilling_aligned(const struct request *request)
{
	uint32_t nr_pages = request->nr_pages;
	struct range range;
	char *span;

	if (!has_bin(nr_pages) || (request->align_pages > 1 &&
				   (nr_pages % request->align_pages || nr_pages & (nr_pages - 1))))
		return NULL;
	span = alloc_refilling(nr_pages);
	range = (struct range){span_page(span), nr_pages};
	if (!span || range.first % request->align_pages == 0)
		return span;
	counters_add(&counters.allocated, -1ul);
	annotate_long_freed(span, nr_pages * PS_PAGE_SIZE);
	budget_give(&range, 1);
	return NULL;
}

/* A span that is had without the backend, or a small one; NULL if there is none. */
static char *alloc_cached(const struct request *request)
{
	size_t bytes = request->nr_pages * PS_PAGE_SIZE;
	char *span = cache_take_aligned(request->nr_pages, request->align_pages * PS_PAGE_SIZE);

	if (!span && request->nr_pages <= CLEAR_PAGES && !(request->flags & PS_POPULATE))
		span = alloc_refilling_aligned(request);
	if (!span)
		span = alloc_kept(request);
	if (!span)
		return NULL;
	if (request->flags & PS_ZERO)
		memset(span, 0, bytes);
	else if (request->flags & PS_POPULATE)
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
	void *span = NULL;

	if (!is_span_size(bytes) || flags & ~FLAGS ||
	    (align && (align & (align - 1) || align < PS_PAGE_SIZE || align > PS_ALIGN_MAX))) {
		errno = EINVAL;
		return NULL;
	}
	if (flags & PS_HUGE && request.align_pages < MEGABLOCK_PAGES)
		request.align_pages = MEGABLOCK_PAGES;
	backend = process_backend();
	if (!backend)
		return NULL;
	if (may_be_cached(&request)) {
		house_keep();
		span = alloc_cached(&request);
	}
	if (span)
		return span;
	span = alloc_fresh(backend, &request);
	if (span && flags & PS_POPULATE)
		touch(span, bytes);
	return span;
}

/* ---- many ----------------------------------------------------------------------------------- */

/* Makes addresses of the indices of first pages, in their place. */
static void indices_to_spans(void **spans, size_t count, size_t bytes)
{
	uint64_t first;
	size_t i;

	_Static_assert(sizeof(first) == sizeof(*spans), "one goes where the other was");
	for (i = 0; i < count; i++) {
		memcpy(&first, &spans[i], sizeof(first));
		spans[i] = address_of(first);
		annotate_long_allocated(spans[i], bytes, false);
	}
}

static void give_spans(uint32_t nr_pages, const uint64_t *firsts, size_t count)
{
	struct range range;

	while (count--) {
		range = (struct range){firsts[count], nr_pages};
		budget_give(&range, 1);
	}
}

/* All or none.  What was taken is given back before another request can be alone. */
static int take_all(const struct request *each, size_t count, uint64_t *firsts, bool alone)
{
	struct request request = *each;
	size_t have = 0;
	int nr = 1;

	pages_begin(alone);
	if (alone)
		house_clear();
	for (; have < count && nr > 0; have += nr > 0 ? (size_t)nr : 0) {
		size_t left = count - have;

		request.count = left < BACKEND_MAX_COUNT ? (uint32_t)left : BACKEND_MAX_COUNT;
		nr = (int)budget_take_kept(&request, firsts + have);
		if (!nr)
			nr = budget_take_fresh(&request, firsts + have);
	}
	if (have < count)
		give_spans(each->nr_pages, firsts, have);
	pages_end();
	return have < count ? nr : 0;
}

/* Aligned better than they have to be, if they can be. */
static int take_all_or_reclaim(const struct request *each, size_t count, uint64_t *firsts)
{
	struct request aligned = preferred(each);
	int ret = take_all(&aligned, count, firsts, false);

	if (ret == -ENOMEM && aligned.align_pages != each->align_pages)
		ret = take_all(each, count, firsts, false);
	if (ret == -ENOMEM)
		ret = take_all(each, count, firsts, true);
	return ret;
}

int ps_span_alloc_bulk(size_t bytes, size_t count, void **spans)
{
	struct request request = {
		.nr_pages = (uint32_t)(bytes / PS_PAGE_SIZE),
		.align_pages = 1,
	};
	size_t have = 0;
	int ret;

	if (!is_span_size(bytes) || !count)
		return -EINVAL;
	if (!process_backend())
		return -errno;
	house_keep();
	while (have < count && (spans[have] = cache_take(request.nr_pages)))
		have++;
	ret = take_all_or_reclaim(&request, count - have, (uint64_t *)(void *)(spans + have));
	if (ret) {
		while (have--)
			ps_span_free(spans[have], bytes);
		return ret;
	}
	indices_to_spans(spans + have, count - have, bytes);
	counters_add(&counters.allocated, count - have);
	return 0;
}

/* ---- freeing -------------------------------------------------------------------------------- */

/* -EINVAL if a page is free already, or in debug mode not owned. */
static int give(const struct backend *backend, void *ptr, const char *base, struct range *range)
{
	if (base != process.window.base)
		return pages_give(range, 1);
	if (!budget_give(range, 1))
		return 0;
	debug_bad_free(backend, ptr, range);
	return -EINVAL;
}

int span_free_long(void *ptr, size_t bytes)
{
	const struct backend *backend = process_opened();
	const char *base = backend ? window_of(ptr, bytes) : NULL;
	struct range range;
	int ret = -ENOSPC;

	if (!base)
		return -EINVAL;
	range = range_in(base, ptr, bytes);
	if (base == process.window.base && has_bin(range.nr_pages))
		ret = refill_accept(ptr, (uint32_t)range.nr_pages);
	if (ret != -ENOSPC)
		return ret;
	annotate_long_freed(ptr, bytes);
	ret = give(backend, ptr, base, &range);
	if (!ret)
		counters_add(&counters.freed, 1);
	house_keep();
	return ret;
}
