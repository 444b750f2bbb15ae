// SPDX-License-Identifier: MIT
/* The long way of the caches of CPUs. */
#include <errno.h>

#include "../backend/pages.h"
#include "../counters.h"
#include "batch.h"
#include "budget.h"
#include "cache.h"
#include "cpu_caches.h"
#include "kept.h"
#include "refill.h"

/* The longest batch. */
#define BATCH_PAGES 64

/* By how much the spans that are got at a time grow, up to a batch. */
#define RAMP 4

/* Of what a cache may hold a bin leaves one part in so many to others, but what one batch is. */
#define OTHERS_SHARE 8

/* So often a sequence is begun anew that something came between: the first touch of a page, say. */
#define TRIES 3

/* Bins that are looked at for one that has been idle. */
#define LOOKS 8

static uint32_t batch_of(uint32_t bin)
{
	return bin <= BATCH_PAGES / 2 ? BATCH_PAGES / bin : 1;
}

/* ---- room, with the cache locked ------------------------------------------------------------ */

static void set_granted(struct cpu_cache *cache, uint32_t bin, uint32_t spans)
{
	struct bin *at = &cache->bins[bin];
	int32_t more = (int32_t)spans - (int32_t)(at->end - at->begin);
	uint64_t bit = (uint64_t)1 << bin % 64;

	__atomic_store_n(&at->end, (uint16_t)(at->begin + spans), __ATOMIC_RELAXED);
	if (spans)
		cache->granted[bin / 64] |= bit;
	else
		cache->granted[bin / 64] &= ~bit;
	cache->granted_pages += (uint32_t)(more * (int32_t)bin);
	budget_granted(more * (int64_t)(bin * PS_PAGE_SIZE));
}

/* What cannot be taken out now, for the thread has moved to another CPU, keeps its room. */
static void withdraw(struct cpu_cache *cache, uint32_t bin, struct batch *batch)
{
	void *span;

	if (!batch_open(batch))
		return;
	set_granted(cache, bin, 0);
	__atomic_store_n(&cache->ramp[bin], 1, __ATOMIC_RELAXED);
	while ((span = cpu_cache_take_from(cache, bin))) {
		cache->removed++;
		batch_add(batch, span, bin);
	}
	set_granted(cache, bin, bin_spans(bin_load(cache, bin)));
}

/* The next bin in turn, around the end; 0 if there is none. */
static uint32_t next_granted(const struct cpu_cache *cache, uint32_t bin)
{
	uint32_t word = ++bin / 64;
	uint64_t bits;
	uint32_t i;

	bits = word < NR_BINS / 64 + 1 ? cache->granted[word] >> bin % 64 << bin % 64 : 0;
	for (i = 0; i <= NR_BINS / 64 + 1; i++) {
		if (bits)
			return word * 64 + (uint32_t)__builtin_ctzl(bits);
		word = (word + 1) % (NR_BINS / 64 + 1);
		bits = cache->granted[word];
	}
	return 0;
}

/*
 * Makes so many pages free to be granted, at the expense of bins that have given nothing since they
 * were last looked at: a clock.
 */
static bool make_room(struct cpu_cache *cache, uint32_t pages, struct batch *batch)
{
	uint32_t limit = cpu_cache_limit(cache);
	int looks;

	for (looks = 0; cache->granted_pages + pages > limit && looks < LOOKS; looks++) {
		uint32_t bin = next_granted(cache, cache->hand);

		if (!bin)
			break;
		cache->hand = bin;
		if (cache->taken_before[bin] == (uint32_t)cache->taken[bin])
			withdraw(cache, bin, batch);
		cache->taken_before[bin] = (uint32_t)cache->taken[bin];
	}
	return cache->granted_pages + pages <= limit;
}

/* Room for another batch. */
static bool grant(struct cpu_cache *cache, uint32_t bin, struct batch *batch)
{
	struct bin at = cache->bins[bin];
	uint32_t granted = at.end - at.begin;
	uint32_t most = at.most - at.begin;
	uint32_t spans = granted + batch_of(bin) < most ? granted + batch_of(bin) : most;
	uint32_t limit = cpu_cache_limit(cache);

	if (granted == most || spans * bin > (granted ? limit - limit / OTHERS_SHARE : limit) ||
	    !make_room(cache, (spans - granted) * bin, batch))
		return false;
	set_granted(cache, bin, spans);
	return true;
}

/* A batch goes, if the bin has been granted any room. */
static bool let_batch_go(struct cpu_cache *cache, uint32_t bin, struct batch *batch)
{
	uint32_t nr = batch_of(bin);
	void *span;

	if (cache->bins[bin].end == cache->bins[bin].begin || !batch_open(batch))
		return false;
	while (nr-- && (span = cpu_cache_take_from(cache, bin))) {
		cache->removed++;
		batch_add(batch, span, bin);
	}
	return true;
}

/* ---- spans ---------------------------------------------------------------------------------- */

static int put(void *span, uint32_t nr_pages)
{
	int tries;

	for (tries = 0; tries < TRIES; tries++)
		if (cache_put(span, nr_pages))
			return 0;
	return -ENOSPC;
}

int refill_accept(void *span, uint32_t nr_pages)
{
	struct cpu_cache *cache = cpu_cache_here();
	struct range range = {
		.first = (uint64_t)((char *)span - cpu_caches.base) / PS_PAGE_SIZE,
		.nr_pages = nr_pages,
	};
	struct batch batch;
	int ret = -ENOSPC;

	/* Before there is room for it, for what is freed twice may have found none. */
	if (kept_has_end_of(&range))
		return -EINVAL;
	if (!cache || !cache_lock(cache))
		return -ENOSPC;
	batch_begin(&batch);
	if (bin_ends_with(cache, nr_pages, span))
		ret = -EINVAL;
	else if (grant(cache, nr_pages, &batch) || let_batch_go(cache, nr_pages, &batch))
		ret = 0;
	cache_unlock(cache);
	batch_end(&batch);
	return ret ? ret : put(span, nr_pages);
}

/* How many to get: RAMP times as many each time, if there is room. */
static uint32_t how_many(struct cpu_cache *cache, uint32_t bin)
{
	uint32_t ramp = __atomic_load_n(&cache->ramp[bin], __ATOMIC_RELAXED);
	uint32_t more;
	struct batch batch;
	struct bin at;

	ramp += !ramp;
	more = ramp * RAMP < batch_of(bin) ? ramp * RAMP : batch_of(bin);
	__atomic_store_n(&cache->ramp[bin], (uint8_t)more, __ATOMIC_RELAXED);
	if (ramp == 1 || !cache_lock(cache))
		return 1;
	batch_begin(&batch);
	at = cache->bins[bin];
	if (at.end == at.begin)
		grant(cache, bin, &batch);
	at = bin_load(cache, bin);
	cache_unlock(cache);
	batch_end(&batch);
	return at.end > at.top && ramp - 1 > (uint32_t)(at.end - at.top) ? 1 : ramp;
}

/* The lowest is to be taken first; those that there is no room for are kept. */
static void put_rest(struct cpu_cache *cache, uint32_t bin, const uint64_t *firsts, uint32_t count)
{
	struct batch batch;

	batch_begin(&batch);
	while (count--) {
		void *span = cpu_caches.base + firsts[count] * PS_PAGE_SIZE;

		if (cache_put(span, bin))
			__atomic_fetch_add(&cache->added, 1, __ATOMIC_RELAXED);
		else
			batch_add(&batch, span, bin);
	}
	batch_end(&batch);
}

/* Those that nobody has asked for are nowhere on the way: see batch.h. */
static int take_several(struct cpu_cache *cache, const struct request *request, uint64_t *firsts)
{
	int nr;

	pages_begin(false);
	nr = (int)budget_take_kept(request, firsts);
	if (!nr)
		nr = budget_take_fresh(request, firsts);
	if (nr > 1)
		put_rest(cache, request->nr_pages, firsts + 1, (uint32_t)nr - 1);
	pages_end();
	return nr;
}

void *refill(uint32_t nr_pages)
{
	struct cpu_cache *cache = cpu_cache_here();
	struct request request = {
		.nr_pages = nr_pages,
		.align_pages = nr_pages == MEGABLOCK_PAGES ? MEGABLOCK_PAGES : 1,
		.count = cache ? how_many(cache, nr_pages) : 1,
	};
	uint64_t firsts[BATCH_PAGES];
	int nr;

	if (request.count == 1)
		nr = budget_take(&request, firsts);
	else
		nr = take_several(cache, &request, firsts);
	return nr > 0 ? cpu_caches.base + firsts[0] * PS_PAGE_SIZE : NULL;
}
