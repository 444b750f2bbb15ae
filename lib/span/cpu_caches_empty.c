// SPDX-License-Identifier: MIT
/* Caches of CPUs, emptied and looked at by others. */
#include <sched.h>
#include <string.h>

#include "batch.h"
#include "budget.h"
#include "cpu_caches_private.h"
#include "fence.h"

/* How often a cache is looked at that somebody else has locked, before it is left alone. */
#define PATIENCE 10000

static bool is_chosen(const uint64_t *chosen, uint64_t place)
{
	return chosen[place / 64] >> place % 64 & 1;
}

/* False if whoever has it does not go on: the cache is left alone then. */
static bool lock_patiently(struct cpu_cache *cache)
{
	int i;

	for (i = 0; i < PATIENCE; i++) {
		if (cache_lock(cache))
			return true;
		sched_yield();
	}
	return false;
}

/* Of a cache that nobody else gets at. */
static void drain(struct cpu_cache *cache, struct batch *batch)
{
	uint32_t bin;

	for (bin = 1; bin < NR_BINS; bin++) {
		struct bin loaded = bin_load(cache, bin);

		while (loaded.top > loaded.begin) {
			batch_add(batch, *cache_word(cache, --loaded.top), bin);
			cache->removed++;
		}
		cache->bins[bin].top = loaded.top;
	}
}

/* Nothing is granted any more. */
static void take_room_back(struct cpu_cache *cache)
{
	uint32_t bin;

	for (bin = 1; bin < NR_BINS; bin++)
		__atomic_store_n(&cache->bins[bin].end, cache->bins[bin].begin, __ATOMIC_RELAXED);
	budget_granted(-(int64_t)(cache->granted_pages * PS_PAGE_SIZE));
	cache->granted_pages = 0;
	memset(cache->granted, 0, sizeof(cache->granted));
}

/* Those that are to be emptied are none's for a while. */
static void set_aside(const uint64_t *chosen)
{
	uint64_t nr = 0, place;

	if (!cpu_caches.take_bins)
		return;
	for_each_made(place)
		if (is_chosen(chosen, place)) {
			put_in_table(place, no_cache);
			nr++;
		}
	if (nr)
		fence_sequences();
}

/* With the lock held.  What they held is in @batch then. */
static void empty(const uint64_t *chosen, struct batch *batch)
{
	uint64_t place;

	set_aside(chosen);
	for_each_made(place) {
		struct cpu_cache *cache = cache_at(place);

		if (is_chosen(chosen, place) && lock_patiently(cache)) {
			drain(cache, batch);
			take_room_back(cache);
			cache_unlock(cache);
		}
		put_in_table(place, cache);
	}
}

void cpu_caches_empty(void)
{
	struct batch batch;

	batch_begin(&batch);
	pthread_mutex_lock(&caches.lock);
	if (caches.head)
		empty(caches.head->made, &batch);
	batch_end(&batch);
	pthread_mutex_unlock(&caches.lock);
}

LOOKS_ON static uint64_t count_taken(const struct cpu_cache *cache)
{
	uint64_t taken = 0;
	uint32_t bin;

	for (bin = 1; bin < NR_BINS; bin++)
		taken += cache->taken[bin];
	return taken;
}

/* From one look to the next; a cache from which fewer are taken may as well be empty. */
#define FEW_TAKEN 1024

/*
 * With the lock held: the caches that hold more than they keep when they are idle, and are, or have
 * what another wants.  False if there are none.
 */
LOOKS_ON static bool choose(uint64_t *chosen)
{
	bool wanted = __atomic_exchange_n(&caches.wanted, false, __ATOMIC_RELAXED) ||
		      budget_granted_bytes() > budget_for_cpus();
	uint64_t resting = cpu_cache_resting();
	bool any = false;
	uint64_t place;

	for_each_made(place) {
		struct cpu_cache *cache = cache_at(place);
		uint64_t taken = count_taken(cache);

		if (cache->granted_pages * PS_PAGE_SIZE > resting &&
		    (wanted || taken - cache->taken_at_tick < FEW_TAKEN)) {
			chosen[place / 64] |= (uint64_t)1 << place % 64;
			any = true;
		}
		cache->taken_at_tick = taken;
	}
	return any;
}

void cpu_caches_shrink(void)
{
	static uint64_t chosen[CPUS_MOST / 64];
	struct batch batch;

	if (pthread_mutex_trylock(&caches.lock))
		return;
	batch_begin(&batch);
	memset(chosen, 0, sizeof(chosen));
	if (choose(chosen))
		empty(chosen, &batch);
	batch_end(&batch);
	pthread_mutex_unlock(&caches.lock);
}

/* ---- looked at ------------------------------------------------------------------------------ */

LOOKS_ON static bool bin_has(const struct cpu_cache *cache, uint32_t bin, const struct range *range)
{
	const char *begin = cpu_caches.base + range->first * PS_PAGE_SIZE;
	const char *end = begin + range->nr_pages * PS_PAGE_SIZE;
	struct bin loaded = bin_load(cache, bin);

	while (loaded.top > loaded.begin) {
		const char *span = *cache_word(cache, --loaded.top);

		if (span < end && begin < span + bin * PS_PAGE_SIZE)
			return true;
	}
	return false;
}

LOOKS_ON bool cpu_caches_have(const struct range *range)
{
	uint64_t place;
	uint32_t bin;

	for_each_made(place)
		for (bin = 1; bin < NR_BINS; bin++)
			if (bin_has(cache_at(place), bin, range))
				return true;
	return false;
}

LOOKS_ON static void add_totals(const struct cpu_cache *cache, struct cache_totals *totals)
{
	uint64_t cached = 0, taken = 0;
	uint32_t bin;

	for (bin = 1; bin < NR_BINS; bin++) {
		uint32_t spans = bin_spans(bin_load(cache, bin));

		taken += cache->taken[bin];
		cached += spans;
		totals->bytes += (uint64_t)spans * bin * PS_PAGE_SIZE;
	}
	totals->allocated += taken;
	totals->freed += cached + taken + cache->removed - cache->added;
	totals->caches++;
}

void cpu_caches_total(struct cache_totals *totals)
{
	uint64_t place;

	for_each_made(place)
		add_totals(cache_at(place), totals);
}
