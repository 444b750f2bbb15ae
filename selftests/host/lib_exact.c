// SPDX-License-Identifier: MIT
/*
 * What is free can be had, whoever freed it and wherever it is cached: a request is refused only if
 * no run of free pages is long enough. The same on both backends.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdatomic.h>

#include "../in_child.h"
#include "../random.h"
#include "../harness.h"
#include "spans.h"

#define NR_THREADS 6

struct piece {
	char *start;
	size_t pages;
};

static struct piece pieces[1 << 16];
static size_t nr_pieces;
static _Atomic size_t nr_taken;

static size_t some_pages(uint64_t *random)
{
	switch (random_below(random, 16)) {
	case 0:
		return 1 + random_below(random, 3000);
	case 1:
		return 1 + random_below(random, 512);
	case 2:
	case 3:
		return 1 + random_below(random, 64);
	default:
		return 1 + random_below(random, 8);
	}
}

/* All of the pool, in spans of any size; how many pages it has. */
static size_t take_all(uint64_t *random)
{
	size_t pages, all = 0;

	nr_pieces = 0;
	while (nr_pieces < ARRAY_SIZE(pieces)) {
		struct piece *piece = &pieces[nr_pieces];

		for (pages = some_pages(random); pages; pages /= 2) {
			piece->start = ps_span_alloc(pages * PAGE);
			piece->pages = pages;
			if (piece->start)
				break;
		}
		if (!pages)
			return all;
		all += pages;
		nr_pieces++;
	}
	return all;
}

static void shuffle_pieces(uint64_t *random)
{
	for (size_t i = nr_pieces; i > 1; i--) {
		size_t other = random_below(random, i);
		struct piece piece = pieces[other];

		pieces[other] = pieces[i - 1];
		pieces[i - 1] = piece;
	}
}

/* Frees pieces that nobody else has taken, some of them in two parts. */
static void *free_pieces(void *seed)
{
	uint64_t random = (uintptr_t)seed;
	size_t number;

	stay_on((int)random);
	while ((number = nr_taken++) < nr_pieces) {
		struct piece piece = pieces[number];
		size_t part = random_below(&random, piece.pages);

		if ((part && ps_span_free(piece.start, part * PAGE)) ||
		    ps_span_free(piece.start + part * PAGE, (piece.pages - part) * PAGE))
			abort();
	}
	return NULL;
}

static void free_by_threads(uint64_t seed)
{
	pthread_t threads[NR_THREADS];

	nr_taken = 0;
	for (uint64_t i = 0; i < NR_THREADS; i++)
		if (pthread_create(&threads[i], NULL, free_pieces, (void *)(seed * NR_THREADS + i)))
			abort();
	for (int i = 0; i < NR_THREADS; i++)
		pthread_join(threads[i], NULL);
}

TEST(whole_pool_can_be_had_after_threads_freed_it_in_any_order)
{
	uint64_t random = 3;
	size_t longest, pages;

	begin("64");
	longest = longest_span();
	pages = take_all(&random);
	for (uint64_t round = 0; round < 12; round++) {
		shuffle_pieces(&random);
		free_by_threads(round + 1);
		EXPECT_EQ(0, stats().bytes_held);
		EXPECT_TRUE(can_have(longest));
		EXPECT_EQ(pages, take_all(&random));
	}
}

/* Frees some of the pieces; how many pages that are. */
static size_t free_some(size_t count, uint64_t seed)
{
	size_t all = nr_pieces, pages = 0;

	for (size_t i = 0; i < count; i++)
		pages += pieces[i].pages;
	nr_pieces = count;
	free_by_threads(seed);
	nr_pieces = all;
	return pages;
}

TEST(every_free_page_can_be_had)
{
	static void *spans[1 << 16];
	uint64_t random = 4;

	begin("64");
	for (uint64_t round = 0; round < 6; round++) {
		size_t count, pages, had = 0;

		take_all(&random);
		shuffle_pieces(&random);
		count = nr_pieces / (round + 2);
		pages = free_some(count, round + 1);
		while (had < ARRAY_SIZE(spans) && (spans[had] = ps_span_alloc(PAGE)))
			had++;
		EXPECT_EQ(pages, had);
		free_all(PAGE, had, spans);
		ASSERT_EQ(0, ps_span_alloc_bulk(PAGE, pages, spans));
		free_all(PAGE, pages, spans);
		for (size_t i = count; i < nr_pieces; i++)
			ASSERT_EQ(0, ps_span_free(pieces[i].start, pieces[i].pages * PAGE));
	}
}

static void fill_and_free(void *bytes)
{
	size_t left = *(size_t *)bytes;
	static void *spans[1 << 14];
	size_t count = 0;

	while (count < left / PAGE && (spans[count] = ps_span_alloc(PAGE)))
		count++;
	free_all(PAGE, count, spans);
}

TEST(what_cpus_cache_does_not_hinder_at_the_limit)
{
	static const size_t limits[] = {PAGE, 3 * PAGE, MIB, 16 * MIB};

	begin("64");
	for (size_t i = 0; i < ARRAY_SIZE(limits); i++) {
		ASSERT_EQ(0, ps_limit_set(limits[i]));
		for (int round = 0; round < 20; round++) {
			on_cpu(round, fill_and_free, (void *)&limits[i]);
			stay_on(round + 1);
			EXPECT_TRUE(can_have(limits[i]));
			EXPECT_EQ(NULL, ps_span_alloc(limits[i] + PAGE));
			EXPECT_EQ(ENOMEM, errno);
			EXPECT_GE(limits[i], stats().bytes_held + stats().bytes_cached);
		}
	}
}

/* ---- threads that have a part each, and all of it together ----------------------------------- */

static size_t quota; /* pages that a thread may hold */
static _Atomic size_t nr_refused;

static void *use_quota(void *seed)
{
	uint64_t random = (uintptr_t)seed;
	void **spans = calloc(quota, sizeof(*spans));

	for (int round = 0; round < 2000; round++) {
		size_t count = 1 + random_below(&random, quota);

		if (!random_below(&random, 8))
			stay_on(random_below(&random, 64));
		for (size_t i = 0; i < count; i++) {
			spans[i] = ps_span_alloc(PAGE);
			nr_refused += !spans[i];
		}
		for (size_t i = 0; i < count; i++)
			if (spans[i] && ps_span_free(spans[i], PAGE))
				abort();
	}
	free(spans);
	return NULL;
}

static size_t refused_to_threads(size_t pages)
{
	pthread_t threads[NR_THREADS];

	quota = pages / NR_THREADS;
	nr_refused = 0;
	for (uintptr_t i = 0; i < NR_THREADS; i++)
		if (pthread_create(&threads[i], NULL, use_quota, (void *)(i + 1)))
			abort();
	for (int i = 0; i < NR_THREADS; i++)
		pthread_join(threads[i], NULL);
	return nr_refused;
}

TEST(threads_that_share_the_limit_are_never_refused)
{
	begin("64");
	ASSERT_EQ(0, ps_limit_set(600 * PAGE));
	EXPECT_EQ(0, refused_to_threads(600));
	EXPECT_EQ(0, stats().bytes_held);
}

TEST(threads_that_share_the_pool_are_never_refused)
{
	if (on_device())
		SKIP(return, "its pool is large");
	EXPECT_EQ(0, IN_CHILD(begin("2"); _exit(!!refused_to_threads(512))));
}

TEST_HARNESS_MAIN
