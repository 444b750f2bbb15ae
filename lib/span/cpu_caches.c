// SPDX-License-Identifier: MIT
/* All caches of CPUs. */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../backend/memory_size.h"
#include "budget.h"
#include "cpu_caches_private.h"
#include "fence.h"
#include "kept.h"

/* The caches grow by a part of what is held, all together, but none to more than this. */
#define HELD_SHARE 16
#define CACHE_MOST (16 * MEGABLOCK_BYTES)

/* Of what is left of the address space, if that is limited, so much is for caches. */
#define ADDRESS_SPACE_SHARE 4

struct all_caches caches = {.lock = PTHREAD_MUTEX_INITIALIZER};

uint32_t cpu_caches_cpus(void)
{
	return caches.nr_cpus;
}

uint64_t cpu_cache_resting(void)
{
	uint64_t bytes = caches.cpu_bytes + budget_held_bytes() / HELD_SHARE / caches.nr_cpus;

	return bytes < CACHE_MOST ? bytes : CACHE_MOST;
}

/* What is nobody's yet, but no more than one may have. */
uint32_t cpu_cache_limit(const struct cpu_cache *cache)
{
	uint64_t others = budget_granted_bytes() - cache->granted_pages * PS_PAGE_SIZE;
	uint64_t total = budget_for_cpus();
	uint64_t limit = total > others ? total - others : 0;

	if (limit > CACHE_MOST)
		limit = CACHE_MOST;
	/* The rest of its share is with others, who give it back when it is time. */
	if (limit < total / caches.nr_cpus && limit < CACHE_MOST)
		__atomic_store_n(&caches.wanted, true, __ATOMIC_RELAXED);
	return (uint32_t)(limit / PS_PAGE_SIZE);
}

/* ---- one of them ---------------------------------------------------------------------------- */

/* With the lock held. */
static struct cpu_cache *make(uint64_t place)
{
	struct cpu_cache *cache = cache_at(place);
	uint32_t word = offsetof(struct cpu_cache, words) / sizeof(uint64_t);
	uint32_t bin;

	if (mprotect((char *)caches.head + place_offset(place), PLACE_BYTES,
		     PROT_READ | PROT_WRITE))
		return NULL;
	/* Before each array a word that is no span. */
	for (bin = 1; bin < NR_BINS; bin++) {
		word++;
		cache->bins[bin] = (struct bin){
			.top = (uint16_t)word,
			.begin = (uint16_t)word,
			.end = (uint16_t)word,
			.most = (uint16_t)(word + bin_most(bin)),
		};
		word += bin_most(bin);
	}
	__atomic_fetch_or(&caches.head->made[place / 64], (uint64_t)1 << place % 64,
			  __ATOMIC_RELEASE);
	put_in_table(place, cache);
	return cache;
}

static struct cpu_cache *make_if_missing(uint64_t place)
{
	struct cpu_cache *cache = NULL;

	if (place >= caches.head->nr_places || pthread_mutex_trylock(&caches.lock))
		return NULL;
	if (is_made(place))
		cache = cache_at(place);
	else if (!caches.stopped)
		cache = make(place);
	pthread_mutex_unlock(&caches.lock);
	return cache;
}

/* Threads take turns. */
static uint64_t own_place(void)
{
	static _Atomic uint32_t next;

	if (!cpu_cache_hint)
		cpu_cache_hint = 1 + next++ % caches.nr_cpus;
	return cpu_cache_hint - 1;
}

struct cpu_cache *cpu_cache_here(void)
{
	int cpu;
	void *cache;

	if (cpu_caches.locked_bins)
		cpu = (int)own_place();
	else if (cpu_caches.take_bins)
		cpu = sched_getcpu();
	else
		return NULL;
	if (cpu < 0 || cpu >= CPUS_MOST)
		return NULL;
	cache = __atomic_load_n(&cpu_cache_table[NO_CPUS + cpu], __ATOMIC_ACQUIRE);
	return cache != no_cache ? cache : make_if_missing((uint64_t)cpu);
}

void *cpu_cache_take_from(struct cpu_cache *cache, uint32_t bin)
{
	void *span = NULL;
#ifdef HAVE_RSEQ
	int tries;

	if (cpu_caches.take_bins) {
		for (tries = 0; tries < 3 && !span; tries++)
			span = rseq_take_from(cpu_caches.rseq, cpu_cache_of_cpu0(), bin, cache);
		return span;
	}
#endif
	if (cpu_caches.locked_bins)
		span = locked_take(cache, bin, 0);
	return span;
}

/* ---- the process ---------------------------------------------------------------------------- */

/* Not what the thread may run on that happens to come first. */
static uint32_t count_cpus(void)
{
	long online = sysconf(_SC_NPROCESSORS_ONLN);

	return online > 0 ? (uint32_t)online : 1;
}

/* Room for those that are plugged in later, as far as there is room. */
static uint64_t count_places(void)
{
	uint64_t most = address_space_left() / ADDRESS_SPACE_SHARE / PLACE_BYTES;
	long configured = sysconf(_SC_NPROCESSORS_CONF);
	uint64_t places = 2 * (uint64_t)(configured > 0 ? configured : 1) + 62;

	if (places > CPUS_MOST)
		places = CPUS_MOST;
	return places < most ? places : most;
}

static void fill_table(void)
{
	size_t i;

	for (i = 0; i < sizeof(cpu_cache_table) / sizeof(*cpu_cache_table); i++)
		cpu_cache_table[i] = (void *)(uintptr_t)no_cache;
}

static void unmap_caches(void)
{
	if (caches.head)
		munmap(caches.head, caches.bytes);
	caches.head = NULL;
}

int cpu_caches_open(const struct window *window)
{
	uint64_t nr_places = count_places();
	void *memory;

	_Static_assert(sizeof(struct cpu_cache) + (PLACE_SHIFTS - 1) * PLACE_SHIFT <= PLACE_BYTES,
		       "a place has room for a cache");
	do {
		caches.bytes = place_offset(nr_places);
		memory = mmap(NULL, caches.bytes, PROT_NONE,
			      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	} while (memory == MAP_FAILED && (nr_places /= 2));
	if (memory == MAP_FAILED)
		return -ENOMEM;
	caches.head = memory;
	if (madvise(memory, caches.bytes, MADV_WIPEONFORK)) {
		unmap_caches();
		return -ENOSYS;
	}
	if (mprotect(memory, PS_PAGE_SIZE, PROT_READ | PROT_WRITE)) {
		unmap_caches();
		return -ENOMEM;
	}
	caches.nr_cpus = count_cpus();
	caches.head->nr_places = nr_places;
	caches.head->window = window;
	caches.head->kept_pages = kept_pages_counter();
	caches.head->magic = CACHES_MAGIC;
	fill_table();
	return 0;
}

void cpu_caches_start(const struct window *window, uint64_t cpu_bytes)
{
	caches.cpu_bytes = cpu_bytes;
	__atomic_store_n(&cpu_caches.base, window->base, __ATOMIC_RELAXED);
	__atomic_store_n(&cpu_caches.nr_pages, window->nr_pages, __ATOMIC_RELAXED);
	if (!fence_open(&cpu_caches.rseq)) {
		__atomic_store_n(&cpu_caches.locked_bins, NR_BINS, __ATOMIC_RELEASE);
		return;
	}
	__atomic_store_n(&cpu_caches.take_bins, NR_BINS, __ATOMIC_RELEASE);
	__atomic_store_n(&cpu_caches.give_bins, BIN_MAX, __ATOMIC_RELEASE);
}

bool cpu_caches_ours(void)
{
	return caches.head && caches.head->magic;
}

void cpu_caches_forget(void)
{
	cpu_caches = (struct cpu_caches){0};
	unmap_caches();
	caches.stopped = false;
	caches.lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
}

/* ---- around a fork -------------------------------------------------------------------------- */

void cpu_caches_stop(void)
{
	uint64_t place;

	pthread_mutex_lock(&caches.lock);
	caches.stopped = true;
	for_each_made(place)
		put_in_table(place, no_cache);
	if (cpu_caches.take_bins)
		fence_sequences();
	for_each_made(place)
		while (!cache_lock(cache_at(place)))
			sched_yield();
	madvise(caches.head, caches.bytes, MADV_KEEPONFORK);
}

static void go_on(void)
{
	uint64_t place;

	madvise(caches.head, caches.bytes, MADV_WIPEONFORK);
	for_each_made(place) {
		cache_unlock(cache_at(place));
		put_in_table(place, cache_at(place));
	}
	caches.stopped = false;
}

void cpu_caches_go_on(void)
{
	go_on();
	pthread_mutex_unlock(&caches.lock);
}

void cpu_caches_go_on_in_child(void)
{
	go_on();
	caches.lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
}
