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
#include "counters.h"
#include "pages.h"
#include "process.h"
#include "thread_cache.h"

/* Threads that have a cache at a time; others get everything from the backend. */
#define MAX_CACHES 4096

/* What one thread may come to cache: a part of the pool, and not more than this. */
#define THREAD_SHARE 16
#define THREAD_MOST  ((uint64_t)32 << 20)

/* The longest batch. */
#define BATCH_PAGES 64

/* Long ways from one look at the clock to the next. */
#define VISITS 32

/*
 * struct caches - the mapping
 * @ours: not 0 in the process that made it
 * @nr: places ever used; those in use and their number are under central_lock()
 */
struct caches {
	uint64_t ours;
	uint32_t nr;
	_Alignas(64) struct thread_cache places[MAX_CACHES];
};

static struct caches *caches;
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

/* ---- classes of a cache -------------------------------------------------------------------- */

static bool is_active(const struct thread_cache *cache, uint32_t class)
{
	return cache->active[class / 64] >> class % 64 & 1;
}

static void flip_active(struct thread_cache *cache, uint32_t class)
{
	cache->active[class / 64] ^= (uint64_t)1 << class % 64;
}

/* What a class may come to hold: two batches. */
static uint64_t class_bytes(const struct thread_cache *cache, uint32_t class)
{
	return 2 * cache->batch[class] * class_pages(class) * PS_PAGE_SIZE;
}

static uint64_t thread_bytes(void)
{
	uint64_t share = process.window.nr_pages * PS_PAGE_SIZE / THREAD_SHARE;

	return share < THREAD_MOST ? share : THREAD_MOST;
}

/* How many spans make a batch: 64 pages, or one span; four of 2 MiB, if they are little enough. */
static uint8_t batch_of(uint32_t class)
{
	if (class <= BATCH_PAGES / 2)
		return (uint8_t)(BATCH_PAGES / class);
	return class == MEGABLOCK_PAGES && thread_bytes() >= 16 * MEGABLOCK_BYTES ? 4 : 1;
}

static uint32_t nr_loaded(const struct thread_cache *cache, uint32_t class)
{
	return is_active(cache, class) ? cache->batch[class] - (uint32_t)cache->room[class] : 0;
}

static uint32_t nr_spare(const struct thread_cache *cache, uint32_t class)
{
	return cache->spare[class] ? cache->spare_count[class] : 0;
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

/* A list that is in no cache any more. */
static void let_go(struct thread_cache *cache, uint32_t class, struct link *list, uint32_t count,
		   struct way_out *way)
{
	if (!list)
		return;
	cache->removed += count;
	if (!way->central || !central_give(class, list, count))
		pages_batch_add(&way->out, list, class_pages(class));
}

static void let_spare_go(struct thread_cache *cache, uint32_t class, struct way_out *way)
{
	struct link *list = cache->spare[class];

	cache->spare[class] = NULL;
	cache_ordered();
	let_go(cache, class, list, cache->spare_count[class], way);
}

static void deactivate(struct thread_cache *cache, uint32_t class, struct way_out *way)
{
	uint32_t count = nr_loaded(cache, class);
	struct link *list = cache->head[class];

	cache->head[class] = NULL;
	cache->room[class] = 0;
	flip_active(cache, class);
	cache->budget += class_bytes(cache, class);
	cache_ordered();
	let_go(cache, class, list, count, way);
	let_spare_go(cache, class, way);
}

/* Gets budget from the next class in turn. */
static void deactivate_next(struct thread_cache *cache, struct way_out *way)
{
	do {
		cache->hand = cache->hand % (NR_CLASSES - 1) + 1;
	} while (!is_active(cache, cache->hand));
	deactivate(cache, cache->hand, way);
}

/* False if the cache is not for this class. */
static bool activate(struct thread_cache *cache, uint32_t class)
{
	struct way_out way = {.central = true};

	if (is_active(cache, class))
		return true;
	if (class_bytes(cache, class) > thread_bytes())
		return false;
	while (cache->budget < class_bytes(cache, class))
		deactivate_next(cache, &way);
	pages_batch_flush(&way.out);
	cache->budget -= class_bytes(cache, class);
	flip_active(cache, class);
	cache->room[class] = cache->batch[class];
	cache->ramp[class] = 1;
	return true;
}

static void empty(struct thread_cache *cache, bool central)
{
	struct way_out way = {.central = central};
	uint32_t class;

	for (class = 1; class < NR_CLASSES; class ++)
		if (is_active(cache, class))
			deactivate(cache, class, &way);
	pages_batch_flush(&way.out);
}

/* Whether a class has given nothing out lately. */
static bool is_idle(const struct thread_cache *cache, uint32_t class)
{
	return (uint32_t)cache->taken[class] == cache->taken_before[class];
}

static void decay(struct thread_cache *cache)
{
	struct way_out way = {.central = true};
	uint32_t class;

	for (class = 1; class < NR_CLASSES; class ++) {
		if (!is_active(cache, class))
			continue;
		if (is_idle(cache, class))
			deactivate(cache, class, &way);
		cache->taken_before[class] = (uint32_t)cache->taken[class];
	}
	pages_batch_flush(&way.out);
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

static void *window_address(uint64_t index)
{
	return process.window.base + index * PS_PAGE_SIZE;
}

static void push(struct thread_cache *cache, uint32_t class, void *span)
{
	uint64_t page = (uint64_t)((char *)span - process.window.base) / PS_PAGE_SIZE;

	cache->room[class]--;
	cache_push(cache, class, span, page);
}

static bool make_room(struct thread_cache *cache, uint32_t class)
{
	struct way_out way = {.central = true};

	if (!activate(cache, class))
		return false;
	if (cache->room[class] > 0 || cache_make_spare(cache, class))
		return true;
	let_spare_go(cache, class, &way);
	pages_batch_flush(&way.out);
	return cache_make_spare(cache, class);
}

bool thread_cache_accept(struct thread_cache *cache, uint32_t class, void *span)
{
	keep_house(cache);
	if (!make_room(cache, class))
		return false;
	push(cache, class, span);
	return true;
}

static void *take_missed(struct thread_cache *cache, uint32_t class)
{
	cache->misses++;
	return cache_pop(cache, class);
}

static void *refill_from_central(struct thread_cache *cache, uint32_t class)
{
	uint32_t count;
	struct link *list = central_take(class, &count);

	if (!list)
		return NULL;
	cache->head[class] = list;
	cache->room[class] = (int32_t)(cache->batch[class] - count);
	cache->added += count;
	return take_missed(cache, class);
}

/*
 * The smallest larger span of the same kind, in a class that nobody seems to need: cutting what is
 * in use moves the shortage, and leaves sizes that nobody asks for.  Its class, 0 if there is none.
 */
static uint32_t larger_class(const struct thread_cache *cache, uint32_t class)
{
	uint32_t end = class < MEGABLOCK_PAGES ? MEGABLOCK_PAGES : NR_CLASSES;

	for (class ++; class < end; class ++)
		if (is_active(cache, class) && is_idle(cache, class) &&
		    (cache->head[class] || cache->spare[class]))
			return class;
	return 0;
}

/* What remains of a span that was cut stays cached, or goes. */
static void put_rest(struct thread_cache *cache, char *rest, uint64_t nr_pages)
{
	struct range range = {(uint64_t)(rest - process.window.base) / PS_PAGE_SIZE, nr_pages};

	if (make_room(cache, class_of(nr_pages))) {
		push(cache, class_of(nr_pages), rest);
		cache->added++;
	} else {
		pages_give(process_opened(), &range, 1);
	}
}

/* As many as make a batch, and one of them at least. */
static void *refill_by_split(struct thread_cache *cache, uint32_t class)
{
	uint64_t nr_pages = class_pages(class);
	uint32_t larger = larger_class(cache, class);
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

	whole = class_pages(larger);
	count = whole / nr_pages;
	if (count > cache->batch[class])
		count = cache->batch[class];
	if (count * nr_pages < whole)
		put_rest(cache, span + count * nr_pages * PS_PAGE_SIZE, whole - count * nr_pages);
	/* That may have been at the expense of this class. */
	if (!activate(cache, class))
		count = 1;
	cache->added += count - 1;
	while (--count)
		push(cache, class, span + count * nr_pages * PS_PAGE_SIZE);
	counters_add(&counters.allocated, 1);
	return span;
}

/* Twice as many each time, up to a batch. */
static void *refill_from_backend(struct thread_cache *cache, uint32_t class)
{
	uint64_t firsts[BATCH_PAGES];
	struct request request = {
		.nr_pages = (uint32_t)class_pages(class),
		.align_pages = class >= MEGABLOCK_PAGES ? MEGABLOCK_PAGES : 1,
		.count = cache->ramp[class],
	};
	int nr = pages_take(process_opened(), &request, firsts);

	if (nr <= 0)
		return NULL;
	if (2 * request.count <= cache->batch[class])
		cache->ramp[class] *= 2;
	else
		cache->ramp[class] = cache->batch[class];
	cache->added += (uint32_t)nr - 1;
	while (--nr)
		push(cache, class, window_address(firsts[nr]));
	counters_add(&counters.allocated, 1);
	annotate_long_allocated(window_address(firsts[0]), class_pages(class) * PS_PAGE_SIZE,
				false);
	return window_address(firsts[0]);
}

void *thread_cache_refill(struct thread_cache *cache, uint32_t class)
{
	void *span;

	keep_house(cache);
	if (!activate(cache, class))
		return NULL;
	span = refill_from_central(cache, class);
	if (!span)
		span = refill_by_split(cache, class);
	if (!span)
		span = refill_from_backend(cache, class);
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
	uint32_t class;

	for (class = 1; class < NR_CLASSES; class ++) {
		const volatile uint64_t *counter = &cache->taken[class];
		uint32_t count;

		taken += *counter;
		if (!is_active(cache, class))
			continue;
		count = nr_loaded(cache, class) + nr_spare(cache, class);
		cached += count;
		totals->bytes += count * class_pages(class) * PS_PAGE_SIZE;
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

static struct thread_cache *take_place(void)
{
	struct thread_cache *cache = NULL;
	uint32_t i, class;

	central_lock();
	for (i = 0; i < caches->nr && caches->places[i].in_use; i++)
		;
	if (i < MAX_CACHES) {
		cache = &caches->places[i];
		if (i == caches->nr)
			caches->nr++;
		*cache = (struct thread_cache){
			.base = process.window.base,
			.nr_pages = process.window.nr_pages,
			.nr_simple = process.window.nr_pages > CLASS_EXACT_MAX ?
					     process.window.nr_pages - CLASS_EXACT_MAX :
					     0,
			.budget = thread_bytes(),
			.generation = atomic_load(&trim_generation),
			.decayed_at = seconds(),
			.in_use = true,
		};
		for (class = 1; class < NR_CLASSES; class ++)
			cache->batch[class] = batch_of(class);
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
	for (i = 0; i < caches->nr; i++)
		if (caches->places[i].in_use)
			add_totals(&caches->places[i], totals);
	central_unlock();
}

/* ---- the process --------------------------------------------------------------------------- */

int thread_caches_open(void)
{
	void *memory;

	if (!have_end_of_thread) {
		int ret = pthread_key_create(&end_of_thread, thread_ends);

		if (ret)
			return -ret;
		have_end_of_thread = true;
	}
	memory = mmap(NULL, sizeof(*caches), PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (memory == MAP_FAILED)
		return -ENOMEM;
	if (madvise(memory, sizeof(*caches), MADV_WIPEONFORK)) {
		munmap(memory, sizeof(*caches));
		return -ENOSYS;
	}
	caches = memory;
	caches->ours = 1;
	return 0;
}

bool thread_caches_ours(void)
{
	return caches && caches->ours;
}

void thread_caches_forget(void)
{
	thread_cache_set(NULL);
	if (have_end_of_thread)
		pthread_setspecific(end_of_thread, NULL);
	if (caches)
		munmap(caches, sizeof(*caches));
	caches = NULL;
}

void thread_caches_copy_prepare(void)
{
	madvise(caches, sizeof(*caches), MADV_KEEPONFORK);
}

void thread_caches_copy_parent(void)
{
	madvise(caches, sizeof(*caches), MADV_WIPEONFORK);
}

void thread_caches_copy_child(void)
{
	struct pages_batch out = {0};
	uint32_t i, class;

	madvise(caches, sizeof(*caches), MADV_WIPEONFORK);
	for (i = 0; i < caches->nr; i++) {
		struct thread_cache *cache = &caches->places[i];

		if (!cache->in_use || cache == thread_cache)
			continue;
		for (class = 1; class < NR_CLASSES; class ++) {
			pages_batch_add(&out, cache->head[class], class_pages(class));
			pages_batch_add(&out, cache->spare[class], class_pages(class));
		}
		memset(cache, 0, sizeof(*cache));
	}
	pages_batch_flush(&out);
}
