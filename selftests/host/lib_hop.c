// SPDX-License-Identifier: MIT
/*
 * Caches of CPUs in use by more threads than there are CPUs, which hop from one to another, while
 * signals interrupt them and other threads empty all caches again and again. Every page has one
 * owner at a time, and holds what that owner wrote.
 *
 * usage: lib_hop [SECONDS [SEED]]
 */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/time.h>

#include "../random.h"
#include "spans.h"
#include "tap.h"

#define NR_SLOTS   12
#define NR_PARCELS 32

/* More pages than a window has, so that each has a place of its own. */
#define NR_PLACES (1 << 20)

struct block {
	char *start;
	size_t pages;
	uint32_t mark;
};

/* Blocks that are freed by another thread than had them. */
static struct {
	pthread_mutex_t lock;
	struct block blocks[NR_PARCELS];
} parcels = {.lock = PTHREAD_MUTEX_INITIALIZER};

static _Atomic uint32_t owners[NR_PLACES];
static _Atomic uint32_t last_mark;
static _Atomic int failures, stop;
static _Atomic unsigned long operations, thefts, signals;

static void fail(const char *what, const void *page)
{
	if (!failures++)
		printf("# %s: page %p: %s\n", what, page, strerror(errno));
	stop = 1;
}

static _Atomic uint32_t *owner_of(const char *page)
{
	return &owners[(uintptr_t)page / PAGE % NR_PLACES];
}

/* ---- what a thread does --------------------------------------------------------------------- */

static size_t some_pages(uint64_t *random)
{
	switch (random_below(random, 256)) {
	case 0:
		return 1 + random_below(random, 1500);
	case 1:
		return 512;
	case 2 ... 5:
		return 1 + random_below(random, 512);
	case 6 ... 31:
		return 1 + random_below(random, 64);
	default:
		return 1 + random_below(random, 6);
	}
}

/* The first and the last word of each page, where caches may have links. */
static void own(struct block *block, size_t from)
{
	for (size_t page = from; page < block->pages; page++) {
		char *start = block->start + page * PAGE;
		uint32_t nobody = 0;

		if (!atomic_compare_exchange_strong(owner_of(start), &nobody, block->mark))
			fail("a page is given to two", start);
		((uint32_t *)start)[0] = ((uint32_t *)start)[PAGE / 4 - 1] = block->mark;
	}
}

static void disown(const struct block *block, size_t from)
{
	for (size_t page = from; page < block->pages; page++) {
		const char *start = block->start + page * PAGE;
		uint32_t mark = block->mark;

		if (((const uint32_t *)start)[0] != mark ||
		    ((const uint32_t *)start)[PAGE / 4 - 1] != mark)
			fail("a page has lost its contents", start);
		if (!atomic_compare_exchange_strong(owner_of(start), &mark, 0))
			fail("a page has another owner", start);
	}
}

static void allocate(struct block *block, uint64_t *random)
{
	size_t align = random_below(random, 4) ? 0 : PAGE << random_below(random, 8);
	unsigned int flags = random_below(random, 16) ? 0 : PS_ZERO;

	block->pages = some_pages(random);
	block->start = align || flags ? ps_span_alloc_ex(block->pages * PAGE, align, flags) :
					ps_span_alloc(block->pages * PAGE);
	if (!block->start) {
		if (errno != ENOMEM)
			fail("an allocation fails", NULL);
		block->pages = 0;
		return;
	}
	if (align && (uintptr_t)block->start % align)
		fail("a span is not aligned", block->start);
	if (flags && !holds(block->start, block->pages * PAGE, 0))
		fail("a span is not zero", block->start);
	block->mark = ++last_mark | 1u << 31;
	own(block, 0);
}

/* Now and then in two parts. */
static void release(struct block *block, uint64_t *random)
{
	size_t part = random_below(random, 4) ? 0 : random_below(random, block->pages);

	disown(block, 0);
	if ((part && ps_span_free(block->start, part * PAGE)) ||
	    ps_span_free(block->start + part * PAGE, (block->pages - part) * PAGE))
		fail("a free fails", block->start);
	block->pages = 0;
}

static void allocate_many(uint64_t *random)
{
	size_t pages = 1 + random_below(random, 8), count = 1 + random_below(random, 24);
	struct block blocks[24];
	void *spans[24];

	if (ps_span_alloc_bulk(pages * PAGE, count, spans))
		return;
	for (size_t i = 0; i < count; i++) {
		blocks[i] = (struct block){spans[i], pages, ++last_mark | 1u << 31};
		own(&blocks[i], 0);
	}
	for (size_t i = 0; i < count; i++)
		release(&blocks[i], random);
}

static void extend(struct block *block, uint64_t *random)
{
	size_t before = block->pages, pages = before + 1 + random_below(random, 12);
	int ret = ps_span_extend(block->start, before * PAGE, pages * PAGE);

	if (ret && ret != -ENOMEM)
		fail("an extension fails", block->start);
	if (ret)
		return;
	block->pages = pages;
	own(block, before);
}

/* The pages are nobody's while the span may be on its way. */
static void resize(struct block *block, uint64_t *random)
{
	size_t before = block->pages, pages = some_pages(random);
	size_t both = before < pages ? before : pages;
	char *moved;

	disown(block, 0);
	moved = ps_span_resize(block->start, before * PAGE, pages * PAGE);
	if (!moved && errno != ENOMEM)
		fail("a span is not resized", block->start);
	if (moved)
		*block = (struct block){moved, pages, block->mark};
	for (size_t page = 0; moved && page < both; page++)
		if (*(uint32_t *)(moved + page * PAGE) != block->mark)
			fail("a page has lost its contents on its way", moved + page * PAGE);
	own(block, 0);
}

static void pass_on(struct block *block, uint64_t *random)
{
	int place = random_below(random, NR_PARCELS);
	struct block other;

	pthread_mutex_lock(&parcels.lock);
	other = parcels.blocks[place];
	parcels.blocks[place] = *block;
	pthread_mutex_unlock(&parcels.lock);
	*block = (struct block){0};
	if (other.pages)
		release(&other, random);
}

static void *work(void *seed)
{
	struct block blocks[NR_SLOTS] = {0};
	uint64_t random = (uintptr_t)seed;

	while (!stop) {
		struct block *block = &blocks[random_below(&random, NR_SLOTS)];
		int what = random_below(&random, 64);

		operations++;
		if (what == 0)
			stay_on(random_below(&random, 64));
		else if (what == 1)
			allocate_many(&random);
		else if (!block->pages)
			allocate(block, &random);
		else if (what < 10)
			pass_on(block, &random);
		else if (what < 14)
			extend(block, &random);
		else if (what < 18)
			resize(block, &random);
		else
			release(block, &random);
	}
	for (int i = 0; i < NR_SLOTS; i++)
		if (blocks[i].pages)
			release(&blocks[i], &random);
	return NULL;
}

/* ---- what is done to them ------------------------------------------------------------------- */

static void *steal(void *seed)
{
	uint64_t random = (uintptr_t)seed;

	while (!stop) {
		switch (random_below(&random, 4)) {
		case 0:
			ps_trim(0);
			break;
		case 1:
			ps_trim(MIB);
			break;
		default:
			ps_reclaim();
		}
		thefts++;
		sleep_ms(random_below(&random, 4));
	}
	return NULL;
}

static void interrupted(int number)
{
	(void)number;
	signals++;
}

static void send_signals(const pthread_t *threads, int count, uint64_t *random)
{
	for (int i = 0; i < 16; i++)
		pthread_kill(threads[random_below(random, count)], SIGUSR1);
}

static void start_signals(bool start)
{
	struct sigaction action = {.sa_handler = interrupted, .sa_flags = SA_RESTART};
	struct itimerval often = {{0, 1000}, {0, 1000}}, never = {0};

	if (start) {
		sigaction(SIGALRM, &action, NULL);
		sigaction(SIGUSR1, &action, NULL);
	}
	setitimer(ITIMER_REAL, start ? &often : &never, NULL);
}

static void run(int seconds, uint64_t seed)
{
	enum { MOST = 64 };
	pthread_t threads[MOST], thieves[2];
	double end = seconds_of(CLOCK_MONOTONIC) + seconds;
	int count = 8 * sysconf(_SC_NPROCESSORS_ONLN);
	uint64_t random = seed;

	count = count < MOST ? count : MOST;
	for (int i = 0; i < count; i++)
		pthread_create(&threads[i], NULL, work, (void *)(uintptr_t)random_next(&random));
	for (int i = 0; i < 2; i++)
		pthread_create(&thieves[i], NULL, steal, (void *)(uintptr_t)random_next(&random));
	start_signals(true);
	while (seconds_of(CLOCK_MONOTONIC) < end && !stop) {
		send_signals(threads, count, &random);
		sleep_ms(1);
	}
	stop = 1;
	for (int i = 0; i < 2; i++)
		pthread_join(thieves[i], NULL);
	for (int i = 0; i < count; i++)
		pthread_join(threads[i], NULL);
	start_signals(false);
	for (int i = 0; i < NR_PARCELS; i++)
		if (parcels.blocks[i].pages)
			release(&parcels.blocks[i], &random);
	printf("# %d threads, %lu operations, %lu thefts, %lu signals\n", count, operations, thefts,
	       signals);
}

static bool all_of_it_can_be_had(size_t longest)
{
	struct ps_stats now = stats();
	bool whole = can_have(longest);

	printf("# %llu KiB held, %llu cached, longest span %zu KiB\n",
	       (unsigned long long)now.bytes_held >> 10, (unsigned long long)now.bytes_cached >> 10,
	       longest >> 10);
	ps_trim(0);
	return !now.bytes_held && whole && !stats().bytes_cached;
}

int main(int argc, char **argv)
{
	int seconds = argc > 1 ? atoi(argv[1]) : 5;
	uint64_t seed = argc > 2 ? (uint64_t)atoll(argv[2]) : 1;
	size_t longest;

	setenv("PAGESPAN_MEMORY_MB", "128", 0);
	tap_begin();
	printf("# %s backend, %d s, seed %llu\n", ps_backend(), seconds, (unsigned long long)seed);
	longest = longest_span();
	run(seconds, seed);
	tap_result(!failures, "every_page_has_one_owner_wherever_its_thread_runs");
	tap_result(all_of_it_can_be_had(longest),
		   "nothing_is_lost_to_interrupted_caches_and_thieves");
	return tap_end();
}
