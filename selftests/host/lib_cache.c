// SPDX-License-Identifier: MIT
/* What caching promises: bounded, given back when asked for, and never in the way. */
#define _GNU_SOURCE
#include <errno.h>
#include <pagespan.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../in_child.h"
#include "harness.h"

#define PAGE PS_PAGE_SIZE

static struct ps_stats stats(void)
{
	struct ps_stats now = {0};

	if (ps_stats(&now, sizeof(now)))
		abort();
	return now;
}

static void alloc_all(size_t bytes, int count, void **spans)
{
	for (int i = 0; i < count; i++) {
		spans[i] = ps_span_alloc(bytes);
		if (!spans[i])
			abort();
		memset(spans[i], 1, bytes);
	}
}

static void free_all(size_t bytes, int count, void **spans)
{
	for (int i = 0; i < count; i++)
		if (ps_span_free(spans[i], bytes))
			abort();
}

TEST(freed_span_is_the_next_of_its_size)
{
	static const size_t pages[] = {1, 2, 5, 16, 33, 129, 512};

	for (size_t i = 0; i < ARRAY_SIZE(pages); i++) {
		void *span = ps_span_alloc(pages[i] * PAGE);
		struct ps_stats before;

		ASSERT_NE(NULL, span);
		ASSERT_EQ(0, ps_span_free(span, pages[i] * PAGE));
		before = stats();
		for (int round = 0; round < 100; round++) {
			ASSERT_EQ(span, ps_span_alloc(pages[i] * PAGE));
			ASSERT_EQ(0, ps_span_free(span, pages[i] * PAGE));
		}
		EXPECT_EQ(before.refills, stats().refills);
		EXPECT_EQ(before.flushes, stats().flushes);
		EXPECT_EQ(before.cache_hits + 100, stats().cache_hits);
	}
}

TEST(cached_span_that_nobody_needs_serves_smaller_sizes)
{
	char *span = ps_span_alloc(64 * PAGE);
	struct ps_stats before;

	ASSERT_NE(NULL, span);
	ASSERT_EQ(0, ps_span_free(span, 64 * PAGE));
	before = stats();
	for (int i = 0; i < 4; i++) {
		char *part = ps_span_alloc(13 * PAGE);

		ASSERT_LE(span, part);
		ASSERT_GE(span + 51 * PAGE, part);
		memset(part, i, 13 * PAGE);
	}
	EXPECT_EQ(before.splits + 1, stats().splits);
	/* What is left of it too. */
	EXPECT_EQ(span + 52 * PAGE, ps_span_alloc(12 * PAGE));
	EXPECT_EQ(before.refills, stats().refills);
	ASSERT_EQ(0, ps_span_free(span, 64 * PAGE));
}

TEST(refill_and_flush_are_made_in_bulk)
{
	enum { COUNT = 10000 };
	static void *spans[COUNT];
	struct ps_stats before = stats();
	struct ps_stats after;

	alloc_all(PAGE, COUNT, spans);
	free_all(PAGE, COUNT, spans);
	after = stats();
	EXPECT_LT(COUNT / 2, after.spans_refilled - before.spans_refilled);
	EXPECT_LT((after.refills - before.refills) * 32, COUNT);
	EXPECT_LT(COUNT / 2, after.spans_flushed - before.spans_flushed);
	EXPECT_LT((after.flushes - before.flushes) * 32, COUNT);
}

TEST(address_sanitizer_knows_what_is_cached)
{
#ifndef __SANITIZE_ADDRESS__
	SKIP(return, "not built with it");
#endif
	for (size_t at = 0; at < 3 * PAGE; at += 1024) {
		EXPECT_EQ(1, IN_CHILD({
			volatile char *span = ps_span_alloc(3 * PAGE);

			memset((char *)span, 1, 3 * PAGE);
			fclose(stderr);
			close(STDERR_FILENO);
			ps_span_free((char *)span, 3 * PAGE);
			_exit(span[at] & 0);
		}));
	}
	/* And what is allocated again. */
	for (int i = 0; i < 3; i++) {
		char *span = ps_span_alloc(3 * PAGE);

		memset(span, 1, 3 * PAGE);
		ps_span_free(span, 3 * PAGE);
	}
}

TEST(what_is_cached_is_bounded_whatever_the_sizes)
{
	static void *spans[64];
	uint64_t most = 0;

	for (size_t pages = 1; pages <= 600; pages++) {
		alloc_all(pages * PAGE, 6, spans);
		free_all(pages * PAGE, 6, spans);
		if (stats().bytes_cached > most)
			most = stats().bytes_cached;
	}
	EXPECT_LT(0, most);
	/* 32 MiB a thread, 64 centrally, and a batch on its way. */
	EXPECT_GT((uint64_t)100 << 20, most);
	EXPECT_GT(stats().bytes_pool / 4, most);
}

TEST(trim_gives_back_all_but_what_is_to_be_kept)
{
	static const size_t pages[] = {1, 3, 16, 40, 512};
	static void *spans[ARRAY_SIZE(pages)][8];

	for (size_t i = 0; i < ARRAY_SIZE(pages); i++)
		alloc_all(pages[i] * PAGE, 8, spans[i]);
	for (size_t i = 0; i < ARRAY_SIZE(pages); i++)
		free_all(pages[i] * PAGE, 8, spans[i]);
	ps_thread_flush();
	EXPECT_EQ(-EINVAL, ps_trim(1));
	EXPECT_LT(64 * PAGE, stats().bytes_cached);
	EXPECT_EQ(0, ps_trim(64 * PAGE));
	EXPECT_GE(64 * PAGE, stats().bytes_cached);
	EXPECT_EQ(0, ps_trim(0));
	EXPECT_EQ(0, stats().bytes_cached);
	EXPECT_EQ(0, stats().bytes_held);
}

static void *allocate_and_free(void *arg)
{
	void *spans[300];

	for (size_t pages = 1; pages < 40; pages += 6) {
		alloc_all(pages * PAGE, 30, spans);
		free_all(pages * PAGE, 30, spans);
	}
	return arg;
}

TEST(cache_of_a_thread_ends_with_it)
{
	pthread_t thread;

	stats();
	for (int i = 0; i < 20; i++) {
		ASSERT_EQ(0, pthread_create(&thread, NULL, allocate_and_free, NULL));
		ASSERT_EQ(0, pthread_join(thread, NULL));
		EXPECT_EQ(0, stats().threads);
		EXPECT_EQ(0, stats().bytes_held);
	}
	ps_trim(0);
	EXPECT_EQ(0, stats().bytes_cached);
	EXPECT_EQ(20 * 7 * 30, stats().spans_allocated);
	EXPECT_EQ(20 * 7 * 30, stats().spans_freed);
}

/* Keys are destroyed in any order, and a destructor may free spans. */
static void free_late(void *span)
{
	void *another = ps_span_alloc(3 * PAGE);

	if (!another || ps_span_free(another, 3 * PAGE) || ps_span_free(span, PAGE))
		abort();
}

static pthread_key_t first_key, last_keys[8];

static void *leave_spans_to_destructors(void *arg)
{
	pthread_setspecific(first_key, ps_span_alloc(PAGE));
	for (int i = 0; i < 8; i++)
		pthread_setspecific(last_keys[i], ps_span_alloc(PAGE));
	return arg;
}

TEST(destructor_that_frees_spans_after_the_cache_has_ended_leaves_nothing)
{
	pthread_t thread;

	/* One key is made before the library's own, the others after it. */
	ASSERT_EQ(0, pthread_key_create(&first_key, free_late));
	stats();
	for (int i = 0; i < 8; i++)
		ASSERT_EQ(0, pthread_key_create(&last_keys[i], free_late));
	ASSERT_EQ(0, pthread_create(&thread, NULL, leave_spans_to_destructors, NULL));
	ASSERT_EQ(0, pthread_join(thread, NULL));
	EXPECT_EQ(0, stats().threads);
	EXPECT_EQ(0, stats().bytes_held);
	ps_trim(0);
	EXPECT_EQ(0, stats().bytes_cached);
}

static pthread_barrier_t barrier;

static void *hold_a_cache(void *arg)
{
	void *spans[64];

	alloc_all(PAGE, 64, spans);
	free_all(PAGE, 64, spans);
	pthread_barrier_wait(&barrier);
	pthread_barrier_wait(&barrier);
	/* A size it has not had yet: the long way. */
	ps_span_free(ps_span_alloc(9 * PAGE), 9 * PAGE);
	pthread_barrier_wait(&barrier);
	pthread_barrier_wait(&barrier);
	ps_thread_flush();
	pthread_barrier_wait(&barrier);
	pthread_barrier_wait(&barrier);
	return arg;
}

TEST(trim_reaches_other_threads_at_their_next_long_way)
{
	pthread_t thread;

	pthread_barrier_init(&barrier, NULL, 2);
	ASSERT_EQ(0, pthread_create(&thread, NULL, hold_a_cache, NULL));
	pthread_barrier_wait(&barrier);
	EXPECT_LE(64 * PAGE, stats().bytes_cached);
	ps_trim(0);
	pthread_barrier_wait(&barrier);
	pthread_barrier_wait(&barrier);
	EXPECT_GE(9 * PAGE, stats().bytes_cached);
	pthread_barrier_wait(&barrier);
	pthread_barrier_wait(&barrier);
	ps_trim(0);
	EXPECT_EQ(0, stats().bytes_cached);
	pthread_barrier_wait(&barrier);
	ASSERT_EQ(0, pthread_join(thread, NULL));
}

static void *free_them(void *arg)
{
	free_all(PAGE, 256, arg);
	return NULL;
}

TEST(spans_freed_by_another_thread_go_round_without_the_backend)
{
	static void *spans[256];
	struct ps_stats before = {0};
	pthread_t thread;

	for (int round = 0; round < 10; round++) {
		/* What the first rounds take is enough for the others. */
		if (round == 2)
			before = stats();
		alloc_all(PAGE, 256, spans);
		ASSERT_EQ(0, pthread_create(&thread, NULL, free_them, spans));
		ASSERT_EQ(0, pthread_join(thread, NULL));
	}
	EXPECT_EQ(before.refills, stats().refills);
	EXPECT_EQ(before.flushes, stats().flushes);
	EXPECT_EQ(before.handovers + 8 * 4, stats().handovers);
}

TEST(what_stays_unused_goes_back_by_itself)
{
	static void *spans[2000];
	struct timespec wait = {.tv_nsec = 50 * 1000 * 1000};
	int rounds = 0;

	alloc_all(PAGE, 2000, spans);
	free_all(PAGE, 2000, spans);
	ASSERT_LT(130 * PAGE, stats().bytes_cached);
	/* Of this size no more than three are cached, and the third by the long way. */
	while (stats().bytes_cached > 130 * PAGE && rounds++ < 400) {
		nanosleep(&wait, NULL);
		for (int i = 0; i < 32; i++) {
			alloc_all(40 * PAGE, 3, spans);
			free_all(40 * PAGE, 3, spans);
		}
	}
	EXPECT_GT(400, rounds);
}

TEST(all_of_the_pool_can_be_had_after_any_sizes)
{
	EXPECT_EQ(0, IN_CHILD({
		static void *spans[5000];

		setenv("PAGESPAN_MEMORY_MB", "16", 1);
		setenv("PAGESPAN_BACKEND", "memory", 1);
		for (size_t pages = 1; pages < 100; pages += 7) {
			size_t count = 0;

			/* Cached single pages may stand in the way of a few larger spans. */
			while (count < 5000 && (spans[count] = ps_span_alloc(pages * PAGE)))
				count++;
			if (count < 4096 / pages * 3 / 4)
				_exit(1);
			free_all(pages * PAGE, count, spans);
			ps_trim(0);
			for (count = 0; count < 4096 / pages; count++)
				if (!(spans[count] = ps_span_alloc(pages * PAGE)))
					_exit(2);
			free_all(pages * PAGE, count, spans);
		}
		if (!ps_span_alloc(4096 * PAGE))
			_exit(3);
	}));
}

TEST_HARNESS_MAIN
