/* SPDX-License-Identifier: MIT */
/*
 * All caches of CPUs: how they are made, emptied by others, and counted.
 *
 * They are in one mapping, a place each.  The kernel wipes it in the child of any fork, whether or
 * not the C library knows of it, and a wiped cache is empty and takes nothing: so a child cannot
 * touch spans that are not there, and finds out on its first long way.
 */
#ifndef PAGESPAN_CPU_CACHES_H
#define PAGESPAN_CPU_CACHES_H

#include "cpu_cache.h"

/* Another layout of what is in the mapping has another number. */
#define CACHES_MAGIC ((uint64_t)0x7073636163686502)

/* Places behind one another would compete for the same lines of the processor's cache. */
#define PLACE_BYTES  (9 * PS_PAGE_SIZE)
#define PLACE_SHIFTS 8
#define PLACE_SHIFT  ((size_t)256)

/*
 * struct caches_head - how the mapping begins, which pagespanctl looks for in processes, and reads
 * @magic: CACHES_MAGIC in the process that made it, 0 in the child of a fork
 * @nr_places: how many there are; of those that no thread has needed nothing is accessible
 * @made: a bit for each that is
 * @window: where the spans are
 * @kept_pages: what the process keeps besides
 *
 * The places begin a page behind it.
 */
struct caches_head {
	uint64_t magic;
	uint64_t nr_places;
	uint64_t made[CPUS_MOST / 64];
	const struct window *window;
	const _Atomic uint64_t *kept_pages;
};

/* Where a place begins from the start of the mapping, and its cache. */
static inline size_t place_offset(uint64_t place)
{
	return PS_PAGE_SIZE + place * PLACE_BYTES;
}

static inline size_t cache_offset(uint64_t place)
{
	return place_offset(place) + place % PLACE_SHIFTS * PLACE_SHIFT;
}

/* Makes room for the caches of a window that is opened next; 0 or -errno. */
int cpu_caches_open(const struct window *window);

/* From now on they are used; one that is idle keeps so many bytes, and a share of what is held. */
void cpu_caches_start(const struct window *window, uint64_t cpu_bytes);

/* How many CPUs there are. */
uint32_t cpu_caches_cpus(void);

/* Whether this process is the one that opened them, and not a child of it. */
bool cpu_caches_ours(void);

/* In a child: drops what was inherited. */
void cpu_caches_forget(void);

/* The cache of the CPU that the thread is on, made if need be; NULL if there is none. */
struct cpu_cache *cpu_cache_here(void);

/* In pages, what a cache may hold now. */
uint32_t cpu_cache_limit(const struct cpu_cache *cache);

/* Takes a span out of a cache that is locked; NULL if there is none left, or the thread has moved.
 */
void *cpu_cache_take_from(struct cpu_cache *cache, uint32_t bin);

/* What the caches hold becomes the process's own. */
void cpu_caches_empty(void);

/* The same, of those that are idle and hold more than they need then, or have what another wants.
 */
void cpu_caches_shrink(void);

/* Whether a page of a range seems to be in one of them. */
bool cpu_caches_have(const struct range *range);

/*
 * struct cache_totals - of all caches
 * @allocated: spans that came out of them to callers
 * @freed: spans that callers put into them
 */
struct cache_totals {
	uint64_t allocated;
	uint64_t freed;
	uint64_t bytes;
	uint64_t caches;
};

/* While others go on, so the figures may not be of one moment. */
void cpu_caches_total(struct cache_totals *totals);

/* Around a fork of which the child continues with what is cached: nobody gets at it meanwhile. */
void cpu_caches_stop(void);
void cpu_caches_go_on(void);
void cpu_caches_go_on_in_child(void);

#endif
