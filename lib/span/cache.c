// SPDX-License-Identifier: MIT
/*
 * What the cache of a CPU serves at once; cpu_cache.h says how it is built.
 *
 * This file is compiled for general registers only, and nothing here calls anything but the long
 * way, last: arenas call cache_take() and cache_put() where the compiler believes that every
 * register survives.
 */
#include "cache.h"
#include "cpu_cache.h"
#include "long_way.h"
#include "pagespan.h"

struct cpu_caches cpu_caches;
void *cpu_cache_table[NO_CPUS + CPUS_MOST];
const struct bin no_cache[NR_BINS];
_Thread_local uint32_t cpu_cache_hint;

/* A sequence that something comes between is begun again so often; gdb's stepi always does. */
#define TRIES 2

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

/* The first call of one thread may be under way while another looks. */
#define LOAD(member) __atomic_load_n(&cpu_caches.member, __ATOMIC_RELAXED)

static inline void *take_at_once(uint64_t nr_pages)
{
#ifdef HAVE_RSEQ
	return rseq_take(cpu_caches.rseq, cpu_cache_of_cpu0(), nr_pages,
			 offsetof(struct cpu_cache, taken));
#else
	(void)nr_pages;
	return NULL;
#endif
}

static inline bool give_at_once(void *span, uint64_t nr_pages)
{
#ifdef HAVE_RSEQ
	return rseq_give(cpu_caches.rseq, cpu_cache_of_cpu0(), nr_pages, span);
#else
	(void)span;
	(void)nr_pages;
	return false;
#endif
}

static inline void *take_aligned_at_once(uint64_t nr_pages, uint64_t bits)
{
#ifdef HAVE_RSEQ
	return rseq_take_aligned(cpu_caches.rseq, cpu_cache_of_cpu0(), nr_pages,
				 offsetof(struct cpu_cache, taken), bits);
#else
	(void)nr_pages;
	(void)bits;
	return NULL;
#endif
}

/* The cache of the thread, locked; NULL if it has none, or it is busy. */
static inline struct cpu_cache *lock_own(void)
{
	void *cache =
		__atomic_load_n(&cpu_cache_table[NO_CPUS - 1 + cpu_cache_hint], __ATOMIC_RELAXED);

	return cpu_cache_hint && cache != no_cache && cache_lock(cache) ? cache : NULL;
}

static inline void *take_locked(uint64_t nr_pages, uint64_t bits)
{
	struct cpu_cache *cache = lock_own();
	void *span;

	if (!cache)
		return NULL;
	span = locked_take(cache, nr_pages, bits);
	cache->taken[nr_pages] += span != NULL;
	cache_unlock(cache);
	return span;
}

static inline bool give_locked(void *span, uint64_t nr_pages)
{
	struct cpu_cache *cache = lock_own();
	bool given;

	if (!cache)
		return false;
	given = locked_give(cache, nr_pages, span);
	cache_unlock(cache);
	return given;
}

static inline void *take(uint64_t nr_pages, uint64_t bits)
{
	void *span = NULL;
	int tries;

	if (nr_pages - 1 < LOAD(take_bins)) {
		for (tries = 0; tries < TRIES && !span; tries++)
			span = take_aligned_at_once(nr_pages, bits);
	} else if (nr_pages - 1 < LOAD(locked_bins)) {
		span = take_locked(nr_pages, bits);
	}
	if (span)
		annotate_allocated(span, bytes_of(nr_pages));
	return span;
}

void *cache_take(uint32_t nr_pages)
{
	return take(nr_pages, 0);
}

void *cache_take_aligned(uint32_t nr_pages, uint64_t align)
{
	return take(nr_pages, align - 1);
}

bool cache_put(void *span, uint32_t nr_pages)
{
	uint64_t page = pages_of((uint64_t)((char *)span - LOAD(base)));
	int tries;

	if (page >= LOAD(nr_pages) || nr_pages > LOAD(nr_pages) - page ||
	    (nr_pages == MEGABLOCK_PAGES && page % MEGABLOCK_PAGES))
		return false;
	if (nr_pages - 1ul < LOAD(take_bins)) {
		annotate_freed(span, bytes_of(nr_pages));
		for (tries = 0; tries < TRIES; tries++)
			if (give_at_once(span, nr_pages))
				return true;
	} else if (nr_pages - 1ul < LOAD(locked_bins)) {
		annotate_freed(span, bytes_of(nr_pages));
		return give_locked(span, nr_pages);
	}
	return false;
}

/* What restartable sequences do not serve they have been asked for already. */
static __attribute__((noinline)) void *alloc_other(uint64_t nr_pages)
{
	void *span = NULL;

	if (nr_pages - 1 < LOAD(locked_bins))
		span = take(nr_pages, 0);
	return span ? span : span_alloc_long(nr_pages);
}

void *ps_span_alloc(size_t bytes)
{
	uint64_t nr_pages = pages_of(bytes);
	void *span;

	if (__builtin_expect(nr_pages - 1 >= LOAD(take_bins), 0))
		return alloc_other(nr_pages);
	span = take_at_once(nr_pages);
	if (__builtin_expect(!span, 0))
		return alloc_other(nr_pages);
	annotate_allocated(span, bytes);
	return span;
}

static __attribute__((noinline)) int free_other(void *ptr, uint64_t nr_pages)
{
	if (nr_pages && nr_pages <= UINT32_MAX && nr_pages - 1 >= LOAD(give_bins) &&
	    cache_put(ptr, (uint32_t)nr_pages))
		return 0;
	return span_free_long(ptr, bytes_of(nr_pages));
}

int ps_span_free(void *ptr, size_t bytes)
{
	uint64_t page = pages_of((uint64_t)((char *)ptr - LOAD(base)));
	uint64_t nr_pages = pages_of(bytes);

	if (__builtin_expect(page >= LOAD(nr_pages) || nr_pages - 1 >= LOAD(give_bins), 0))
		return free_other(ptr, nr_pages);
	annotate_freed(ptr, bytes);
	if (__builtin_expect(!give_at_once(ptr, nr_pages), 0))
		return free_other(ptr, nr_pages);
	return 0;
}
