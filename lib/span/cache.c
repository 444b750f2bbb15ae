// SPDX-License-Identifier: MIT
/*
 * What a thread's cache serves at once; thread_cache.h says how it is built.
 *
 * This file is compiled for general registers only, and nothing here calls
 * anything but the long way, last: arenas call cache_take() and cache_put() where
 * the compiler believes that every register survives.
 */
#include "cache.h"
#include "pagespan.h"
#include "thread_cache.h"

static struct thread_cache no_cache;

_Thread_local struct thread_cache *thread_cache = &no_cache;

void thread_cache_set(struct thread_cache *cache)
{
	thread_cache = cache ? cache : &no_cache;
}

/*
 * Rotated by the bits of a page, a multiple of PS_PAGE_SIZE is a number of pages, and
 * anything else is larger than any: one comparison finds both.
 */
static inline uint64_t pages_of(uint64_t bytes)
{
	return bytes >> 12 | bytes << 52;
}

static inline uint64_t bytes_of(uint64_t nr_pages)
{
	return nr_pages << 12 | nr_pages >> 52;
}

void *cache_take(uint32_t nr_pages)
{
	struct thread_cache *cache = thread_cache;
	uint32_t bin = bin_of(nr_pages);

	if (!cache->head[bin] && !cache_load_spare(cache, bin))
		return NULL;
	return cache_pop(cache, bin);
}

bool cache_put(void *span, uint32_t nr_pages)
{
	struct thread_cache *cache = thread_cache;
	uint64_t page = pages_of((uint64_t)((char *)span - cache->base));
	uint32_t bin = bin_of(nr_pages);

	if (page >= cache->nr_pages || nr_pages > cache->nr_pages - page ||
	    !may_be_cached(page, nr_pages))
		return false;
	if (!cache->room[bin] && !cache_make_spare(cache, bin))
		return false;
	cache->room[bin]--;
	cache_push(cache, bin, span, page);
	return true;
}

static __attribute__((noinline)) void *alloc_other(uint64_t nr_pages)
{
	void *span = nr_pages <= UINT32_MAX ? cache_take((uint32_t)nr_pages) : NULL;

	return span ? span : span_alloc_long(nr_pages);
}

void *ps_span_alloc(size_t bytes)
{
	uint64_t nr_pages = pages_of(bytes);
	struct thread_cache *cache = thread_cache;

	if (__builtin_expect(nr_pages > BIN_EXACT_MAX || !cache->head[nr_pages], 0))
		return alloc_other(nr_pages);
	return cache_pop(cache, nr_pages);
}

static __attribute__((noinline)) int free_other(void *ptr, uint64_t nr_pages)
{
	if (nr_pages && nr_pages <= UINT32_MAX && cache_put(ptr, (uint32_t)nr_pages))
		return 0;
	return span_free_long(ptr, bytes_of(nr_pages));
}

static __attribute__((noinline)) int free_without_room(void *ptr, uint64_t nr_pages)
{
	thread_cache->room[nr_pages] = 0;
	return free_other(ptr, nr_pages);
}

/* A span of 2 MiB is the only one of an exact size that has to be aligned. */
static __attribute__((noinline)) int free_large(void *ptr, uint64_t nr_pages, uint64_t page,
						struct thread_cache *cache)
{
	if (nr_pages != MEGABLOCK_PAGES || page >= cache->nr_pages ||
	    !may_be_cached(page, MEGABLOCK_PAGES))
		return free_other(ptr, nr_pages);
	if (__builtin_expect(--cache->room[MEGABLOCK_PAGES] < 0, 0))
		return free_without_room(ptr, MEGABLOCK_PAGES);
	cache_push(cache, MEGABLOCK_PAGES, ptr, page);
	return 0;
}

int ps_span_free(void *ptr, size_t bytes)
{
	struct thread_cache *cache = thread_cache;
	uint64_t page = pages_of((uint64_t)((char *)ptr - cache->base));
	uint64_t nr_pages = pages_of(bytes);

	if (__builtin_expect(page >= cache->nr_pages || nr_pages >= MEGABLOCK_PAGES, 0))
		return free_large(ptr, nr_pages, page, cache);
	if (__builtin_expect(--cache->room[nr_pages] < 0, 0))
		return free_without_room(ptr, nr_pages);
	cache_push(cache, nr_pages, ptr, page);
	return 0;
}
