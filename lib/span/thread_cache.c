// SPDX-License-Identifier: MIT
/*
 * The long way of the caches of threads: how one is made and ends, where its
 * spans come from and go to.
 *
 * All caches are in one mapping, a place for each thread.  The kernel wipes it in
 * the child of any fork, whether or not the C library knows of it, and a wiped
 * cache is empty and takes nothing: so a child cannot touch spans that are not
 * there, and finds out on its first long way.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "central.h"
#include "../counters.h"
#include "../backend/memory_size.h"
#include "pages.h"
#include "../process.h"
#include "thread_cache.h"

/* What one thread may come to cache: a part of the pool, and not more than this. */
#define THREAD_SHARE 16
#define THREAD_MOST  ((uint64_t)32 << 20)

/* The longest batch. */
#define BATCH_PAGES 64

/* By how much the spans got from the backend grow each time, up to a batch. */
#define RAMP 4

/* Of what is left of the address space, if that is limited, so much is for caches. */
#define ADDRESS_SPACE_SHARE 4

/* Long ways from one look at the clock to the next. */
#define VISITS 32

static struct caches *caches;

/* How many places fit what is reserved for them, and how many bytes of that are accessible. */
static uint32_t nr_places;
static size_t caches_opened;
static _Atomic uint64_t trim_generation;

static pthread_key_t end_of_thread;
static bool have_end_of_thread;

/* The cache of this thread has ended; what it still frees takes the long way. */
static _Thread_local bool ended __attribute__((tls_model("initial-exec")));

static int64_t seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	return now.tv_sec;
}

/* ---- bins of a cache -------------------------------------------------------------------- */

static void flip_active(struct thread_cache *cache, uint32_t bin)
{
	cache->active[bin / 64] ^= (uint64_t)1 << bin % 64;
}

/* What a bin may come to hold: two batches. */
static uint64_t bin_bytes(const struct thread_cache *cache, uint32_t bin)
{
	return 2 * (uint64_t)cache->batch[bin] * bin_pages(bin) * PS_PAGE_SIZE;
}

static uint64_t thread_bytes(void)
{
	uint64_t share = process.window.nr_pages * PS_PAGE_SIZE / THREAD_SHARE;

	return share < THREAD_MOST ? share : THREAD_MOST;
}

/* How many spans make a batch: 64 pages, or one span; four of 2 MiB, if they are little enough. */
static uint8_t batch_of(uint32_t bin)
{
	if (bin <= BATCH_PAGES / 2)
		return (uint8_t)(BATCH_PAGES / bin);
	return bin == MEGABLOCK_PAGES && thread_bytes() >= 16 * MEGABLOCK_BYTES ? 4 : 1;
}

/*
 * struct way_out - where spans go that leave a cache
 * @central: first to the central cache, as far as that has room
 * @out: what goes to the backend
 */
struct way_out {
	bool central;
	struct pages_batch out;
};

static void begin(struct way_out *way, bool central)
{
	way->central = central;
	pages_batch_begin(&way->out);
}

static void end(struct way_out *way)
{
	pages_batch_flush(&way->out);
}

/* A list that is in no cache any more. */
static void let_go(struct thread_cache *cache, uint32_t bin, struct link *list, uint32_t count,
		   struct way_out *way)
{
	if (!list)
		return;
	cache->removed += count;
	if (!way->central || !central_give(bin, list, count))
		pages_batch_add(&way->out, list, bin_pages(bin));
}

static void let_spare_go(struct thread_cache *cache, uint32_t bin, struct way_out *way)
{
	struct link *list = cache->spare[bin];

	cache->spare[bin] = NULL;
	cache_ordered();
	let_go(cache, bin, list, cache->spare_count[bin], way);
}

static void deactivate(struct thread_cache *cache, uint32_t bin, struct way_out *way)
{
	uint32_t count = nr_loaded(cache, bin);
	struct link *list = cache->head[bin];

	cache->head[bin] = NULL;
	cache->room[bin] = 0;
	flip_active(cache, bin);
	cache->budget += bin_bytes(cache, bin);
	cache_ordered();
	let_go(cache, bin, list, count, way);
	let_spare_go(cache, bin, way);
}

/* Gets budget from the next bin in turn. */
static void deactivate_next(struct thread_cache *cache, struct way_out *way)
{
	cache->hand = bin_set_next(cache->active, cache->hand + 1);
	if (cache->hand == NR_BINS)
		cache->hand = bin_set_next(cache->active, 1);
	deactivate(cache, cache->hand, way);
}

/* False if the cache is not for this bin. */
static bool activate(struct thread_cache *cache, uint32_t bin)
{
	struct way_out way;

	if (is_active(cache, bin))
		return true;
	if (bin_bytes(cache, bin) > thread_bytes())
		return false;
	begin(&way, true);
	while (cache->budget < bin_bytes(cache, bin))
		deactivate_next(cache, &way);
	end(&way);
	cache->budget -= bin_bytes(cache, bin);
	flip_active(cache, bin);
	cache->room[bin] = cache->batch[bin];
	cache->ramp[bin] = 1;
	return true;
}

static void empty(struct thread_cache *cache, bool central)
{
	struct way_out way;
	uint32_t bin;

	begin(&way, central);
	for_each_bin(bin, cache->active)
		deactivate(cache, bin, &way);
	end(&way);
}

/* Whether a bin has given nothing out lately. */
static bool is_idle(const struct thread_cache *cache, uint32_t bin)
{
	return (uint32_t)cache->taken[bin] == cache->taken_before[bin];
}

static void decay(struct thread_cache *cache)
{
	struct way_out way;
	uint32_t bin;

	begin(&way, true);
	for_each_bin(bin, cache->active) {
		if (is_idle(cache, bin))
			deactivate(cache, bin, &way);
		cache->taken_before[bin] = (uint32_t)cache->taken[bin];
	}
	end(&way);
}

/* What is due from time to time, on the long way. */
static void keep_house(struct thread_cache *cache)
{
	uint64_t generation = atomic_load_explicit(&trim_generation, memory_order_relaxed);
	int64_t now;

	if (cache->generation != generation) {
		cache->generation = generation;
		empty(cache, false);
	}
	if (++cache->visits % VISITS)
		return;
	now = seconds();
	if (cache->decayed_at != now) {
		cache->decayed_at = now;
		decay(cache);
		central_decay(now);
	}
}

/* ---- spans that come in -------------------------------------------------------------------- */

static char *window_address(uint64_t index)
{
	return process.window.base + index * PS_PAGE_SIZE;
}

static uint64_t page_of(const void *span)
{
	return (uint64_t)((const char *)span - process.window.base) / PS_PAGE_SIZE;
}

/* Spans side by side, for which there is room; the lowest will be the first to be taken. */
static void push(struct thread_cache *cache, uint32_t bin, char *spans, uint32_t count)
{
	uint64_t nr_pages = bin_pages(bin);
	uint64_t page = page_of(spans) + count * nr_pages;
	struct link *list = cache->head[bin];

	cache->room[bin] -= (int32_t)count;
	while (count--) {
		page -= nr_pages;
		list = link_span(list, bin, window_address(page), page);
	}
	cache_ordered();
	cache->head[bin] = list;
}

static bool make_room(struct thread_cache *cache, uint32_t bin)
{
	struct way_out way;

	if (!activate(cache, bin))
		return false;
	if (cache->room[bin] > 0 || cache_make_spare(cache, bin))
		return true;
	begin(&way, true);
	let_spare_go(cache, bin, &way);
	end(&way);
	return cache_make_spare(cache, bin);
}

bool thread_cache_accept(struct thread_cache *cache, uint32_t bin, void *span)
{
	keep_house(cache);
	if (!may_be_cached(page_of(span), bin_pages(bin)) || !make_room(cache, bin))
		return false;
	push(cache, bin, span, 1);
	return true;
}

static void *take_missed(struct thread_cache *cache, uint32_t bin)
{
	cache->misses++;
	return cache_pop(cache, bin);
}

static void *refill_from_central(struct thread_cache *cache, uint32_t bin)
{
	uint32_t count;
	struct link *list = central_take(bin, &count);

	if (!list)
		return NULL;
	cache->head[bin] = list;
	cache->room[bin] = (int32_t)(cache->batch[bin] - count);
	cache->added += count;
	return take_missed(cache, bin);
}

/*
 * The smallest larger span of the same kind, in a bin that nobody seems to need: cutting what is
 * in use moves the shortage, and leaves sizes that nobody asks for.  Its bin, 0 if there is none.
 */
static uint32_t larger_bin(const struct thread_cache *cache, uint32_t bin)
{
	uint32_t end = bin < MEGABLOCK_PAGES ? MEGABLOCK_PAGES : NR_BINS;

	for (;;) {
		bin = bin_set_next(cache->active, bin + 1);
		if (bin >= end)
			return 0;
		if (is_idle(cache, bin) && (cache->head[bin] || cache->spare[bin]))
			return bin;
	}
}

/* What remains of a span that was cut stays cached, or goes. */
static void put_rest(struct thread_cache *cache, char *rest, uint64_t nr_pages)
{
	struct range range = {page_of(rest), nr_pages};

	if (make_room(cache, bin_of(nr_pages))) {
		push(cache, bin_of(nr_pages), rest, 1);
		cache->added++;
	} else {
		pages_give(process_opened(), &range, 1);
	}
}

/* As many as make a batch, and one of them at least. */
static void *refill_by_split(struct thread_cache *cache, uint32_t bin)
{
	uint64_t nr_pages = bin_pages(bin);
	uint32_t larger = larger_bin(cache, bin);
	uint64_t count, whole;
	char *span;

	if (!larger)
		return NULL;
	if (!cache->head[larger])
		cache_load_spare(cache, larger);
	span = cache_pop(cache, larger);
	cache->taken[larger]--;
	cache->removed++;
	counters_add(&counters.splits, 1);

	whole = bin_pages(larger);
	count = whole / nr_pages;
	if (count > cache->batch[bin])
		count = cache->batch[bin];
	if (count * nr_pages < whole)
		put_rest(cache, span + count * nr_pages * PS_PAGE_SIZE, whole - count * nr_pages);
	/* That may have been at the expense of this bin. */
	if (!activate(cache, bin))
		count = 1;
	cache->added += count - 1;
	push(cache, bin, span + nr_pages * PS_PAGE_SIZE, (uint32_t)count - 1);
	counters_add(&counters.allocated, 1);
	return span;
}

/* One run, for any pages of it can be freed; if there is none so long, what there is. */
static void *take_spans(struct thread_cache *cache, uint32_t bin, const struct request *request)
{
	uint64_t firsts[BATCH_PAGES];
	struct request run = *request;
	uint32_t count = request->count;
	int nr;

	run.nr_pages *= count;
	run.count = 1;
	if (pages_take(process_opened(), &run, firsts, PAGES_TOGETHER) == 1) {
		counters_add(&counters.spans_refilled, count - 1);
		cache->added += count - 1;
		push(cache, bin, window_address(firsts[0] + request->nr_pages), count - 1);
		return window_address(firsts[0]);
	}
	nr = pages_take(process_opened(), request, firsts, PAGES_TOGETHER);
	if (nr <= 0)
		return NULL;
	cache->added += (uint32_t)nr - 1;
	while (--nr)
		push(cache, bin, window_address(firsts[nr]), 1);
	return window_address(firsts[0]);
}

/* RAMP times as many each time, up to a batch. */
static void *refill_from_backend(struct thread_cache *cache, uint32_t bin)
{
	struct request request = {
		.nr_pages = (uint32_t)bin_pages(bin),
		.align_pages = cached_align(bin_pages(bin)),
		.count = cache->ramp[bin],
	};
	void *span = take_spans(cache, bin, &request);

	if (!span)
		return NULL;
	if (RAMP * request.count <= cache->batch[bin])
		cache->ramp[bin] *= RAMP;
	else
		cache->ramp[bin] = cache->batch[bin];
	counters_add(&counters.allocated, 1);
	annotate_long_allocated(span, bin_pages(bin) * PS_PAGE_SIZE, false);
	return span;
}

void *thread_cache_refill(struct thread_cache *cache, uint32_t bin)
{
	void *span;

	keep_house(cache);
	if (!activate(cache, bin))
		return NULL;
	span = refill_from_central(cache, bin);
	if (!span)
		span = refill_by_split(cache, bin);
	if (!span)
		span = refill_from_backend(cache, bin);
	return span;
}

/* ---- threads ------------------------------------------------------------------------------- */

/*
 * Counters of threads are read while they count: a figure of a moment ago will do, and the fast
 * path is to stay as it is.
 */
__attribute__((no_sanitize("thread"))) static void add_totals(const struct thread_cache *cache,
							      struct cache_totals *totals)
{
	uint64_t taken = 0;
	uint64_t cached = 0;
	uint32_t bin;

	for (bin = 1; bin < NR_BINS; bin++) {
		const volatile uint64_t *counter = &cache->taken[bin];
		uint32_t count;

		taken += *counter;
		if (!is_active(cache, bin))
			continue;
		count = nr_loaded(cache, bin) + nr_spare(cache, bin);
		cached += count;
		totals->bytes += count * bin_pages(bin) * PS_PAGE_SIZE;
	}
	totals->allocated += taken;
	totals->hits += taken - cache->misses;
	totals->freed += cached + taken + cache->removed - cache->added;
	totals->threads++;
}

/* What the cache has counted outlives it. */
static void release_place(struct thread_cache *cache)
{
	struct cache_totals totals = {0};

	central_lock();
	add_totals(cache, &totals);
	counters_add(&counters.allocated, totals.allocated);
	counters_add(&counters.hits, totals.hits);
	counters_add(&counters.freed, totals.freed);
	memset(cache, 0, sizeof(*cache));
	central_unlock();
}

static size_t bytes_of_places(uint32_t nr)
{
	size_t bytes = offsetof(struct caches, places) + nr * sizeof(struct thread_cache);

	return (bytes + PS_PAGE_SIZE - 1) & ~(PS_PAGE_SIZE - 1);
}

/* Makes the first places accessible; false if the kernel refuses. */
static bool open_places(uint32_t nr)
{
	size_t bytes = bytes_of_places(nr);

	if (bytes > caches_opened) {
		if (mprotect((char *)caches + caches_opened, bytes - caches_opened,
			     PROT_READ | PROT_WRITE))
			return false;
		caches_opened = bytes;
	}
	return true;
}

static struct thread_cache *take_place(void)
{
	struct thread_cache *cache = NULL;
	uint32_t i, bin;

	central_lock();
	for (i = 0; i < caches->head.nr && caches->places[i].in_use; i++)
		;
	if (i < nr_places && open_places(i + 1)) {
		cache = &caches->places[i];
		if (i == caches->head.nr)
			caches->head.nr++;
		*cache = (struct thread_cache){
			.base = process.window.base,
			.nr_pages = process.window.nr_pages,
			.budget = thread_bytes(),
			.generation = atomic_load(&trim_generation),
			.decayed_at = seconds(),
			.in_use = true,
		};
		for (bin = 1; bin < NR_BINS; bin++)
			cache->batch[bin] = batch_of(bin);
	}
	central_unlock();
	return cache;
}

/* Other destructors may run after this one and free spans: those take the long way. */
static void thread_ends(void *cache)
{
	ended = true;
	thread_cache_set(NULL);
	if (!thread_caches_ours())
		return;
	empty(cache, true);
	release_place(cache);
}

struct thread_cache *thread_cache_get(void)
{
	struct thread_cache *cache = thread_cache;

	if (cache->in_use)
		return cache;
	if (ended || !process.caching)
		return NULL;
	cache = take_place();
	if (!cache)
		return NULL;
	if (pthread_setspecific(end_of_thread, cache)) {
		release_place(cache);
		return NULL;
	}
	thread_cache_set(cache);
	return cache;
}

void thread_cache_hand_over(void)
{
	if (thread_cache->in_use)
		empty(thread_cache, true);
}

void thread_cache_give_back(void)
{
	if (thread_cache->in_use)
		empty(thread_cache, false);
}

void thread_caches_trim(void)
{
	atomic_fetch_add(&trim_generation, 1);
}

void thread_caches_total(struct cache_totals *totals)
{
	uint32_t i;

	central_lock();
	for (i = 0; i < caches->head.nr; i++)
		if (caches->places[i].in_use)
			add_totals(&caches->places[i], totals);
	central_unlock();
}

/* ---- the process --------------------------------------------------------------------------- */

static void unmap_caches(void)
{
	if (caches)
		munmap(caches, bytes_of_places(nr_places));
	caches = NULL;
}

int thread_caches_open(void)
{
	uint64_t most = address_space_left() / ADDRESS_SPACE_SHARE;
	void *memory;

	if (!have_end_of_thread) {
		int ret = pthread_key_create(&end_of_thread, thread_ends);

		if (ret)
			return -ret;
		have_end_of_thread = true;
	}
	nr_places = MAX_CACHES;
	while (nr_places > 1 && bytes_of_places(nr_places) > most)
		nr_places /= 2;
	do {
		memory = mmap(NULL, bytes_of_places(nr_places), PROT_NONE,
			      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	} while (memory == MAP_FAILED && (nr_places /= 2));
	if (memory == MAP_FAILED)
		return -ENOMEM;
	caches = memory;
	caches_opened = 0;
	if (madvise(memory, bytes_of_places(nr_places), MADV_WIPEONFORK)) {
		unmap_caches();
		return -ENOSYS;
	}
	if (!open_places(0)) {
		unmap_caches();
		return -ENOMEM;
	}
	caches->head.window = &process.window;
	caches->head.central_bytes = central_bytes_by_kind();
	caches->head.magic = CACHES_MAGIC;
	return 0;
}

bool thread_caches_ours(void)
{
	return caches && caches->head.magic;
}

void thread_caches_forget(void)
{
	thread_cache_set(NULL);
	if (have_end_of_thread)
		pthread_setspecific(end_of_thread, NULL);
	unmap_caches();
}

void thread_caches_copy_prepare(void)
{
	madvise(caches, bytes_of_places(nr_places), MADV_KEEPONFORK);
}

void thread_caches_copy_parent(void)
{
	madvise(caches, bytes_of_places(nr_places), MADV_WIPEONFORK);
}

/* The first span of a list, or all of it, goes back. */
static void give_list(struct pages_batch *out, uint32_t bin, struct link *list, bool whole)
{
	if (list && !whole)
		link_span(NULL, bin, span_of(list), page_of(span_of(list)));
	pages_batch_add(out, list, bin_pages(bin));
}

void thread_caches_copy_child(bool whole)
{
	struct pages_batch out;
	uint32_t i, bin;

	pages_batch_begin(&out);
	madvise(caches, bytes_of_places(nr_places), MADV_WIPEONFORK);
	for (i = 0; i < caches->head.nr; i++) {
		struct thread_cache *cache = &caches->places[i];

		if (!cache->in_use || cache == thread_cache)
			continue;
		for (bin = 1; bin < NR_BINS; bin++) {
			give_list(&out, bin, cache->head[bin], whole);
			give_list(&out, bin, cache->spare[bin], whole);
		}
		release_place(cache);
	}
	pages_batch_flush(&out);
}
