// SPDX-License-Identifier: MIT
/* What caching promises: that spans come again, whoever freed them, and go back when asked for. */
#define _GNU_SOURCE
#include <errno.h>

#include "../in_child.h"
#include "../harness.h"
#include "spans.h"

TEST(freed_span_is_the_next_of_its_size)
{
	static const size_t pages[] = {1, 2, 5, 16, 33, 129, 512};
	/* Of the pool of a device a CPU may have less than 2 MiB. */
	size_t nr = on_device() ? 5 : ARRAY_SIZE(pages);

	stay_on(0);
	if (!something_is_cached())
		SKIP(return, "nothing is cached");
	for (size_t i = 0; i < nr; i++) {
		void *span = ps_span_alloc(pages[i] * PAGE);
		struct ps_stats before;

		ASSERT_NE(NULL, span);
		ASSERT_EQ(0, ps_span_free(span, pages[i] * PAGE));
		/* The first time the cache may have to make room. */
		ASSERT_EQ(span, ps_span_alloc(pages[i] * PAGE));
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

/* More than what the cache of a CPU takes, so that it is kept by the process. */
TEST(pages_that_the_process_keeps_serve_any_size_and_alignment)
{
	enum { PAGES = 600 };
	static const struct {
		size_t pages, align;
	} wanted[] = {{129, 0}, {64, 16}, {65, 0}, {32, 32}, {33, 8}};
	struct ps_stats before;
	char *span;

	stay_on(0);
	if (!something_is_cached() || (on_device() && nr_cpus() < 2))
		SKIP(return, "no such span is kept");
	span = ps_span_alloc(PAGES * PAGE);
	ASSERT_NE(NULL, span);
	ps_trim(0);
	ASSERT_EQ(0, ps_span_free(span, PAGES * PAGE));
	EXPECT_EQ(PAGES * PAGE, stats().bytes_kept);
	before = stats();
	for (size_t i = 0; i < ARRAY_SIZE(wanted); i++) {
		char *part = ps_span_alloc_ex(wanted[i].pages * PAGE, wanted[i].align * PAGE, 0);

		ASSERT_LE(span, part);
		ASSERT_GE(span + (PAGES - wanted[i].pages) * PAGE, part);
		EXPECT_EQ(0, wanted[i].align ? (uintptr_t)part % (wanted[i].align * PAGE) : 0);
		memset(part, 1, wanted[i].pages * PAGE);
	}
	EXPECT_EQ(before.refills, stats().refills);
	EXPECT_LT(before.handovers, stats().handovers);
}

TEST(what_the_process_keeps_side_by_side_is_one_run)
{
	enum { PAGES = 1300 };
	char *span;
	uint64_t refills;

	if (!something_is_cached() || on_device())
		SKIP(return, "not so much is kept");
	span = ps_span_alloc(PAGES * PAGE);
	ASSERT_NE(NULL, span);
	ASSERT_EQ(0, ps_span_free(span, 600 * PAGE));
	ASSERT_EQ(0, ps_span_free(span + 600 * PAGE, (PAGES - 600) * PAGE));
	refills = stats().refills;
	EXPECT_EQ(span, ps_span_alloc(PAGES * PAGE));
	EXPECT_EQ(refills, stats().refills);
}

TEST(refill_and_flush_are_made_in_bulk)
{
	enum { COUNT = 10000 };
	struct ps_stats before, after;

	if (!something_is_cached())
		SKIP(return, "nothing is cached");
	before = stats();
	burst(PAGE, COUNT);
	ps_trim(0);
	after = stats();
	EXPECT_LE(after.refills - before.refills, after.spans_refilled - before.spans_refilled);
	EXPECT_LT((after.refills - before.refills) * 32, COUNT);
	EXPECT_LT(before.flushes, after.flushes);
	EXPECT_LT((after.flushes - before.flushes) * 32, COUNT);
}

TEST(address_sanitizer_knows_what_is_freed)
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
	for (int i = 0; i < 3; i++)
		burst(3 * PAGE, 1);
}

TEST(trim_gives_back_all_but_what_is_to_be_kept)
{
	static const size_t pages[] = {1, 3, 16, 40, 512, 600};
	static void *spans[ARRAY_SIZE(pages)][8];

	for (size_t i = 0; i < ARRAY_SIZE(pages); i++)
		alloc_all(pages[i] * PAGE, 8, spans[i]);
	for (size_t i = 0; i < ARRAY_SIZE(pages); i++)
		free_all(pages[i] * PAGE, 8, spans[i]);
	EXPECT_EQ(-EINVAL, ps_trim(1));
	if (something_is_cached())
		EXPECT_LT(64 * PAGE, stats().bytes_cached);
	EXPECT_EQ(0, ps_trim(64 * PAGE));
	EXPECT_GE(64 * PAGE, stats().bytes_cached);
	EXPECT_EQ(0, ps_trim(0));
	EXPECT_EQ(0, stats().bytes_cached);
	EXPECT_EQ(0, stats().bytes_kept);
	EXPECT_EQ(0, stats().bytes_held);
}

static void fill_cache(void *argument)
{
	(void)argument;
	for (size_t pages = 1; pages < 100; pages += 7)
		burst(pages * PAGE, 2);
}

TEST(trim_empties_the_caches_of_all_cpus)
{
	bool cached = something_is_cached();

	ps_trim(0);
	for (int round = 0; round < 3; round++) {
		for (uint64_t cpu = 0; cpu < nr_cpus(); cpu++)
			on_cpu(cpu, fill_cache, NULL);
		if (cached)
			EXPECT_LE(64 * PAGE, stats().bytes_cached);
		EXPECT_EQ(0, ps_trim(0));
		EXPECT_EQ(0, stats().bytes_cached);
		EXPECT_EQ(0, stats().bytes_held);
	}
}

TEST(reclaim_says_what_went_back)
{
	uint64_t cached;

	for (uint64_t cpu = 0; cpu < nr_cpus(); cpu++)
		on_cpu(cpu, fill_cache, NULL);
	burst(600 * PAGE, 1);
	cached = stats().bytes_cached;
	EXPECT_EQ(cached, ps_reclaim());
	EXPECT_EQ(0, stats().bytes_cached);
	EXPECT_EQ(0, ps_reclaim());
}

TEST(caches_that_are_counted_are_those_of_cpus)
{
	for (uint64_t i = 0; i < 4 * nr_cpus(); i++)
		on_cpu(i, fill_cache, NULL);
	EXPECT_LE(1, stats().caches);
	EXPECT_GE(nr_cpus(), stats().caches);
}

static void free_them(void *spans)
{
	free_all(PAGE, 256, spans);
}

TEST(spans_freed_by_another_thread_go_round_without_the_backend)
{
	static void *spans[256];
	struct ps_stats before = {0};

	if (!something_is_cached())
		SKIP(return, "nothing is cached");
	for (int round = 0; round < 40; round++) {
		/* What the first rounds take is enough for the others. */
		if (round == 8)
			before = stats();
		stay_on(0);
		alloc_all(PAGE, 256, spans);
		on_cpu(1, free_them, spans);
	}
	EXPECT_EQ(before.refills, stats().refills);
	EXPECT_EQ(before.flushes, stats().flushes);
}

TEST(flush_of_a_thread_changes_nothing)
{
	uint64_t cached;

	stay_on(0);
	fill_cache(NULL);
	cached = stats().bytes_cached;
	ps_thread_flush();
	EXPECT_EQ(cached, stats().bytes_cached);
}

TEST(all_of_the_pool_can_be_had_after_any_sizes)
{
	static void *spans[5000];

	setenv("PAGESPAN_BACKEND", "memory", 1);
	begin("16");
	for (size_t pages = 1; pages < 100; pages += 7) {
		size_t count = 0;

		/* What was cached may stand in the way of a few larger spans. */
		while (count < 5000 && (spans[count] = ps_span_alloc(pages * PAGE)))
			count++;
		EXPECT_LE(4096 / pages * 3 / 4, count);
		free_all(pages * PAGE, count, spans);
		ps_trim(0);
		for (count = 0; count < 4096 / pages; count++) {
			spans[count] = ps_span_alloc(pages * PAGE);
			ASSERT_NE(NULL, spans[count]);
		}
		free_all(pages * PAGE, count, spans);
		EXPECT_TRUE(can_have(4096 * PAGE));
	}
}

TEST_HARNESS_MAIN
