/* SPDX-License-Identifier: MIT */
/*
 * The caches of free spans, one for each CPU: how they are built, and how a span enters and leaves
 * one.  cpu_caches.h has what is done with all of them, refill.c their long way.
 *
 * A cache is an array of spans for each size up to 512 pages, its bin, last in, first out.  Of an
 * array the beginning is fixed, and its end as far as the bin has been granted room.  An index is
 * all that changes when a span leaves or enters, so that a restartable sequence can do it (rseq.h).
 * Free spans hold no link, and are not touched.
 *
 *	bin n:  begin      top        end          most
 *	        ┌────┬────┬────┬────┬────┬────┬────┬────┐
 *	        │span│span│    │    │    │ not granted  │
 *	        └────┴────┴────┴────┴────┴────┴────┴────┘
 *
 * Others empty a cache by putting the empty one in its place in the table, and waiting until no
 * sequence can have the old one any more.
 *
 * Without restartable sequences a cache has a lock, which nobody waits for: a thread whose cache is
 * busy goes the long way.
 */
#ifndef PAGESPAN_CPU_CACHE_H
#define PAGESPAN_CPU_CACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../annotate.h"
#include "../backend/backend.h"
#include "rseq.h"

/* A bin for each number of pages up to this; bin 0 is no size's. */
#define BIN_MAX MEGABLOCK_PAGES
#define NR_BINS (BIN_MAX + 1)

/* In words of 64 bits from the start of the cache, in the order of rseq.h. */
struct bin {
	uint16_t top;
	uint16_t begin;
	uint16_t end;
	uint16_t most;
};

/* What one of the smaller bins can hold. */
#define BIN_PAGES 256

/* All arrays together, and a word before each: see bin_most(). */
#define CACHE_WORDS 2628

/*
 * struct cpu_cache - changed by whoever runs on the CPU
 * @taken: spans that a bin has given to callers, ever
 *
 * The rest is for the long way, which may meet itself here:
 *
 * @busy: somebody changes what is granted; without restartable sequences, anything
 * @granted_pages: what the bins may hold together
 * @granted: a bit for each bin that may hold anything
 * @hand: the bin that is next to lose what it was granted
 * @taken_at_tick: all of @taken when that was last looked at
 * @added, @removed: spans that came or went other than to and from callers
 * @ramp: spans to get when there is none: grows up to a batch
 * @taken_before: @taken a while ago, to tell which bins are idle
 */
struct cpu_cache {
	struct bin bins[NR_BINS];
	uint64_t taken[NR_BINS];
	void *words[CACHE_WORDS];

	uint32_t busy;
	uint32_t granted_pages;
	uint64_t granted[NR_BINS / 64 + 1];
	uint32_t hand;
	uint64_t taken_at_tick;
	uint64_t added;
	uint64_t removed;
	uint8_t ramp[NR_BINS];
	uint32_t taken_before[NR_BINS];
};

/* More than any kernel that glibc runs on is built for. */
#define CPUS_MOST 8192

/* Those that threads are not on: cpu_id -1 and -2. */
#define NO_CPUS 2

/*
 * struct cpu_caches - what the fast path knows, all zeros before there is a backend
 * @base, @nr_pages: of the window
 * @take_bins: how many bins restartable sequences take from, 0 if they do not; bin 0 is empty
 * @give_bins: those that take any span of their size, for one of 2 MiB has to be aligned
 * @rseq: where the thread's struct rseq is, from its thread pointer
 * @locked_bins: how many bins there are without restartable sequences
 */
struct cpu_caches {
	char *base;
	uint64_t nr_pages;
	uint64_t take_bins;
	uint64_t give_bins;
	ptrdiff_t rseq;
	uint64_t locked_bins;
};

extern struct cpu_caches cpu_caches __attribute__((visibility("hidden")));

/* Each CPU's cache, or the empty one; of CPU 0 the one at NO_CPUS. */
extern void *cpu_cache_table[NO_CPUS + CPUS_MOST] __attribute__((visibility("hidden")));

/* Without restartable sequences: one more than the place of the thread's cache in the table, or 0.
 */
extern _Thread_local uint32_t cpu_cache_hint
	__attribute__((tls_model("initial-exec"), visibility("hidden")));

static inline void *const *cpu_cache_of_cpu0(void)
{
	return &cpu_cache_table[NO_CPUS];
}

/* The cache that stands for none: nothing can be taken from it or given to it, or written. */
extern const struct bin no_cache[NR_BINS] __attribute__((visibility("hidden")));

/* Spans that a bin can hold at most, if it is granted room for them. */
static inline uint32_t bin_most(uint32_t bin)
{
	if (bin == MEGABLOCK_PAGES)
		return 12;
	return bin <= BIN_PAGES / 2 ? BIN_PAGES / bin : 2;
}

/* Of a cache that others change meanwhile. */
#define LOOKS_ON __attribute__((no_sanitize("thread")))

LOOKS_ON static inline struct bin bin_load(const struct cpu_cache *cache, uint64_t bin)
{
	struct bin loaded;

	__atomic_load(&cache->bins[bin], &loaded, __ATOMIC_RELAXED);
	return loaded;
}

static inline uint32_t bin_spans(struct bin bin)
{
	return bin.top > bin.begin ? (uint32_t)(bin.top - bin.begin) : 0;
}

static inline void *const *cache_word(const struct cpu_cache *cache, uint64_t word)
{
	return (void *const *)(const void *)cache + word;
}

/* Whether the span that a bin got last is this one, which then is free already. */
LOOKS_ON static inline bool bin_ends_with(const struct cpu_cache *cache, uint64_t bin,
					  const void *span)
{
	struct bin loaded = bin_load(cache, bin);

	return loaded.top > loaded.begin && *cache_word(cache, loaded.top - 1) == span;
}

/* ---- without restartable sequences ---------------------------------------------------------- */

static inline bool cache_lock(struct cpu_cache *cache)
{
	return !__atomic_exchange_n(&cache->busy, 1, __ATOMIC_ACQUIRE);
}

static inline void cache_unlock(struct cpu_cache *cache)
{
	__atomic_store_n(&cache->busy, 0, __ATOMIC_RELEASE);
}

/* With the lock held.  @bits: that the address must not have. */
static inline void *locked_take(struct cpu_cache *cache, uint64_t bin, uint64_t bits)
{
	struct bin *at = &cache->bins[bin];
	void *span;

	if (at->top <= at->begin)
		return NULL;
	span = *cache_word(cache, at->top - 1u);
	if ((uintptr_t)span & bits)
		return NULL;
	at->top--;
	return span;
}

static inline bool locked_give(struct cpu_cache *cache, uint64_t bin, void *span)
{
	struct bin *at = &cache->bins[bin];
	void **words = (void **)(void *)cache;

	if (at->top >= at->end || words[at->top - 1] == span)
		return false;
	words[at->top++] = span;
	return true;
}

#endif
