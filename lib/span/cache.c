// SPDX-License-Identifier: MIT
/*
 * What the cache of a CPU serves at once; cpu_cache.h says how it is built.
 *
 * This file is compiled for general registers only, and nothing here calls anything but the long
 * way, last: arenas call cache_take() and cache_put() where the compiler believes that every
 * register survives.
 */
#include "cache.h"
#include "cache_layout.h"
#include "cpu_cache.h"
#include "long_way.h"
#include "pagespan.h"

struct cpu_caches cpu_caches;
void *cpu_cache_table[NO_CPUS + CPUS_MOST];
const struct bin no_cache[NR_BINS];
_Thread_local uint32_t cpu_cache_hint;

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

	if (nr_pages < LOAD(take_bins)) {
		span = take_aligned_at_once(nr_pages, bits);
	} else if (nr_pages < LOAD(locked_bins)) {
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

	if (page >= LOAD(nr_pages) || nr_pages > LOAD(nr_pages) - page ||
	    (nr_pages == MEGABLOCK_PAGES && page % MEGABLOCK_PAGES))
		return false;
	if (nr_pages < LOAD(take_bins)) {
		annotate_freed(span, bytes_of(nr_pages));
		return give_at_once(span, nr_pages);
	} else if (nr_pages < LOAD(locked_bins)) {
		annotate_freed(span, bytes_of(nr_pages));
		return give_locked(span, nr_pages);
	}
	return false;
}

/*
 * Where a cache is used under its lock, and where a sanitizer watches the sequences, nothing tells
 * who has slept: every so many calls look at what is due from time to time.
 */
#define LOOK_EVERY 16

static _Thread_local uint32_t nr_others;

void *cache_alloc_other(uint64_t nr_pages)
{
	void *span;

	if (++nr_others % LOOK_EVERY == 0)
		span_rested();
	span = take(nr_pages, 0);
	return span ? span : span_alloc_long(nr_pages);
}

/*
 * The kernel clears the pointer to a sequence when it finds that the thread has left it: whenever
 * another thread has had the CPU.  So what is due from time to time is not forgotten by who comes
 * seldom, though the cache serves him.
 */
void *cache_alloc_rested(uint64_t nr_pages)
{
	span_rested();
	return cache_alloc_other(nr_pages);
}

int cache_free_other(void *ptr, uint64_t nr_pages)
{
	if (nr_pages && nr_pages <= UINT32_MAX && cache_put(ptr, (uint32_t)nr_pages))
		return 0;
	return span_free_long(ptr, bytes_of(nr_pages));
}

#if defined(HAVE_RSEQ) && !defined(ANNOTATE_INLINE)
#define OFFSET(member) offsetof(struct cpu_caches, member)

_Static_assert(OFFSET(base) == CACHES_BASE && OFFSET(nr_pages) == CACHES_NR_PAGES &&
		       OFFSET(take_bins) == CACHES_TAKE_BINS &&
		       OFFSET(give_bins) == CACHES_GIVE_BINS && OFFSET(rseq) == CACHES_RSEQ &&
		       offsetof(struct cpu_cache, taken) == CACHE_TAKEN &&
		       NO_CPUS == CACHES_NO_CPUS && MEGABLOCK_PAGES == 512,
	       "cache_x86_64.S knows them");
#else
void *ps_span_alloc(size_t bytes)
{
	return cache_alloc_other(pages_of(bytes));
}

int ps_span_free(void *ptr, size_t bytes)
{
	return cache_free_other(ptr, pages_of(bytes));
}
#endif
