// SPDX-License-Identifier: MIT
/* ps_span_resize(): in place or elsewhere, the contents stay. The same on both backends. */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>

#include "../in_child.h"
#include "../random.h"
#include "../harness.h"
#include "spans.h"

/* Every page says which it is. */
static void number_pages(char *span, size_t pages)
{
	for (size_t page = 0; page < pages; page++) {
		((uint64_t *)(span + page * PAGE))[0] = page;
		((uint64_t *)(span + page * PAGE))[511] = ~page;
	}
}

static bool are_numbered(const char *span, size_t pages)
{
	for (size_t page = 0; page < pages; page++)
		if (((const uint64_t *)(span + page * PAGE))[0] != page ||
		    ((const uint64_t *)(span + page * PAGE))[511] != ~page)
			return false;
	return true;
}

TEST(shrinking_frees_the_pages_at_the_end)
{
	static const size_t pages[] = {2, 7, 64, 512, 513, 1500, 5000};

	for (size_t i = 0; i < ARRAY_SIZE(pages); i++) {
		for (size_t left = pages[i] - 1; left; left /= 3) {
			char *span = ps_span_alloc(pages[i] * PAGE);
			uint64_t held = stats().bytes_held;

			ASSERT_NE(NULL, span);
			number_pages(span, pages[i]);
			EXPECT_EQ(span, ps_span_resize(span, pages[i] * PAGE, left * PAGE));
			EXPECT_EQ(held - (pages[i] - left) * PAGE, stats().bytes_held);
			EXPECT_TRUE(are_numbered(span, left));
			ASSERT_EQ(0, ps_span_free(span, left * PAGE));
		}
	}
}

TEST(growing_goes_on_in_place_where_the_pages_behind_are_free)
{
	static const size_t pages[] = {2, 8, 64, 512, 1024, 4096};

	for (size_t i = 0; i < ARRAY_SIZE(pages); i++) {
		size_t bytes = pages[i] * PAGE;
		char *span = ps_span_alloc(bytes);
		uint64_t held = stats().bytes_held;

		ASSERT_NE(NULL, span);
		number_pages(span, pages[i]);
		EXPECT_EQ(span, ps_span_resize(span, bytes, bytes));
		ASSERT_EQ(0, ps_span_free(span + bytes / 2, bytes / 2));
		EXPECT_EQ(span, ps_span_resize(span, bytes / 2, bytes));
		EXPECT_EQ(held, stats().bytes_held);
		EXPECT_TRUE(are_numbered(span, pages[i] / 2));
		memset(span + bytes / 2, 1, bytes / 2);
		ASSERT_EQ(0, ps_span_free(span, bytes));
	}
}

/* A span with one page of somebody else's behind it. */
static char *alloc_hemmed_in(size_t pages)
{
	return ps_span_alloc((pages + 1) * PAGE);
}

TEST(span_that_moves_keeps_its_contents)
{
	static const struct {
		size_t from, to;
	} sizes[] = {
		{1, 2},     {3, 17},     {16, 33},     {64, 65},     {64, 700},    {512, 513},
		{511, 512}, {600, 1200}, {1024, 4096}, {1537, 3000}, {6000, 9000},
	};
	size_t longest;

	begin("256");
	longest = longest_span();
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		size_t from = sizes[i].from * PAGE, to = sizes[i].to * PAGE;
		char *span, *moved;

		/* The device has what it has. */
		if (on_device() && from + to > longest / 2)
			continue;
		span = alloc_hemmed_in(sizes[i].from);
		ASSERT_NE(NULL, span);
		number_pages(span, sizes[i].from + 1);
		errno = 1234;
		moved = ps_span_resize(span, from, to);
		ASSERT_NE(NULL, moved);
		EXPECT_EQ(1234, errno);
		EXPECT_NE(span, moved);
		EXPECT_EQ(to + PAGE, stats().bytes_held);
		EXPECT_TRUE(are_numbered(moved, sizes[i].from));
		memset(moved + from, 2, to - from);
		/* Where it was is free, and that page of another's still there. */
		EXPECT_EQ(sizes[i].from, *(uint64_t *)(span + from));
		EXPECT_EQ(0, ps_span_extend(span + from, PAGE, PAGE));
		ASSERT_EQ(0, ps_span_free(moved, to));
		ASSERT_EQ(0, ps_span_free(span + from, PAGE));
	}
	EXPECT_EQ(0, stats().bytes_held);
	/* All of it is memory still. */
	for (int round = 0; round < 2; round++) {
		char *all = ps_span_alloc(longest);

		ASSERT_NE(NULL, all);
		memset(all, round, longest);
		ASSERT_EQ(0, ps_span_free(all, longest));
		ps_trim(0);
	}
}

/* Of a span only a part, which need not start where the span does. */
TEST(part_of_a_span_can_be_resized)
{
	char *span = ps_span_alloc(2000 * PAGE);
	char *part;

	ASSERT_NE(NULL, span);
	number_pages(span, 2000);
	part = ps_span_resize(span + 700 * PAGE, 600 * PAGE, 601 * PAGE);
	ASSERT_NE(NULL, part);
	EXPECT_EQ(700, *(uint64_t *)part);
	EXPECT_EQ(1299, *(uint64_t *)(part + 599 * PAGE));
	EXPECT_TRUE(are_numbered(span, 700));
	EXPECT_EQ(1300, *(uint64_t *)(span + 1300 * PAGE));
	EXPECT_EQ(0, ps_span_free(span, 700 * PAGE));
	EXPECT_EQ(0, ps_span_free(span + 1300 * PAGE, 700 * PAGE));
	EXPECT_EQ(0, ps_span_free(part, 601 * PAGE));
	EXPECT_EQ(0, stats().bytes_held);
}

TEST(large_span_moves_without_being_copied)
{
	enum { PAGES = 16384 };
	char *span, *moved;
	long faults;

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
	SKIP(return, "a sanitizer has faults of its own");
#endif
	if (on_device())
		SKIP(return, "its pages stay where they are");
	EXPECT_EQ(0, IN_CHILD({
			  begin("1024");
			  span = alloc_hemmed_in(PAGES);
			  number_pages(span, PAGES + 1);
			  faults = nr_faults();
			  moved = ps_span_resize(span, PAGES * PAGE, 2 * PAGES * PAGE);
			  faults = nr_faults() - faults;
			  if (!moved || moved == span || !are_numbered(moved, PAGES))
				  _exit(1);
			  if (faults > PAGES / 16)
				  _exit(2);
			  if (ps_span_free(moved, 2 * PAGES * PAGE) ||
			      ps_span_free(span + PAGES * PAGE, PAGE))
				  _exit(3);
		  }));
}

TEST(resizing_that_cannot_be_is_refused_and_changes_nothing)
{
	static const struct {
		size_t from, to;
	} bad[] = {
		{0, 1},
		{1, 0},
		{1, 1},
		{PAGE, 0},
		{PAGE, 1},
		{PAGE + 1, 2 * PAGE},
		{PAGE, PAGE + 1},
		{PAGE, PS_SPAN_MAX + PAGE},
		{PAGE, SIZE_MAX},
		{0, PAGE},
		{SIZE_MAX - PAGE + 1, PAGE},
	};
	char *span, *behind;
	char local;
	void *elsewhere[] = {NULL, NULL, (void *)PAGE, (void *)-PAGE,
			     (void *)((uintptr_t)&local & ~(PAGE - 1))};
	uint64_t held;

	begin("16");
	span = ps_span_alloc(64 * PAGE);
	ASSERT_NE(NULL, span);
	number_pages(span, 64);
	behind = span + 16 * PAGE;
	for (size_t bytes = 64 * MIB; bytes >= PAGE; bytes /= 2) {
		while (ps_span_alloc(bytes))
			;
	}
	held = stats().bytes_held;
	for (size_t pages = 17; pages < 60000; pages = 2 * pages + 1) {
		errno = 0;
		EXPECT_EQ(NULL, ps_span_resize(span, 16 * PAGE, pages * PAGE));
		EXPECT_EQ(ENOMEM, errno);
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		errno = 0;
		EXPECT_EQ(NULL, ps_span_resize(span, bad[i].from, bad[i].to));
		EXPECT_EQ(EINVAL, errno);
	}
	elsewhere[0] = span + 1;
	for (size_t i = 0; i < ARRAY_SIZE(elsewhere); i++) {
		errno = 0;
		EXPECT_EQ(NULL, ps_span_resize(elsewhere[i], 2 * PAGE, 3 * PAGE));
		EXPECT_EQ(EINVAL, errno);
		errno = 0;
		EXPECT_EQ(NULL, ps_span_resize(elsewhere[i], 2 * PAGE, PAGE));
		EXPECT_EQ(EINVAL, errno);
	}
	EXPECT_EQ(held, stats().bytes_held);
	EXPECT_TRUE(are_numbered(span, 64));
	EXPECT_EQ(16, *(uint64_t *)behind);
	EXPECT_EQ(0, ps_span_free(span, 64 * PAGE));
}

TEST(resizing_that_the_limit_refuses_changes_nothing)
{
	char *span;

	begin("64");
	span = alloc_hemmed_in(100);
	number_pages(span, 101);
	ASSERT_EQ(0, ps_limit_set(150 * PAGE));
	EXPECT_EQ(NULL, ps_span_resize(span, 100 * PAGE, 200 * PAGE));
	EXPECT_EQ(ENOMEM, errno);
	EXPECT_TRUE(are_numbered(span, 101));
	EXPECT_EQ(101 * PAGE, stats().bytes_held);
	ASSERT_EQ(0, ps_limit_set(0));
	span = ps_span_resize(span, 100 * PAGE, 200 * PAGE);
	ASSERT_NE(NULL, span);
	EXPECT_TRUE(are_numbered(span, 100));
}

/* What held huge pages, or was locked out of sight by a fork, is moved as well. */
TEST(span_of_huge_pages_moves_with_its_contents)
{
	char *span = ps_span_alloc_ex(1024 * PAGE, 0, PS_HUGE | PS_POPULATE);
	char *moved;

	ASSERT_NE(NULL, span);
	number_pages(span, 1024);
	moved = ps_span_resize(span, 1000 * PAGE, 2000 * PAGE);
	ASSERT_NE(NULL, moved);
	EXPECT_TRUE(are_numbered(moved, 1000));
	memset(moved + 1000 * PAGE, 3, 1000 * PAGE);
	EXPECT_EQ(1023, *(uint64_t *)(span + 1023 * PAGE));
	EXPECT_EQ(0, ps_span_free(span + 1000 * PAGE, 24 * PAGE));
	EXPECT_EQ(0, ps_span_free(moved, 2000 * PAGE));
	span = ps_span_alloc_ex(3000 * PAGE, 0, PS_ZERO);
	ASSERT_NE(NULL, span);
	EXPECT_TRUE(holds(span, 3000 * PAGE, 0));
}

/* Large ones move by the page table; the threads' pages lie around them. */
static void *resize_often(void *seed)
{
	uint64_t random = (uintptr_t)seed, mark = random << 32;
	size_t pages = 1;
	char *span = ps_span_alloc(PAGE);

	for (int round = 0; round < 400 && span; round++) {
		size_t more = 1 + random_below(&random, round % 8 ? 100 : 1500);
		size_t both = pages < more ? pages : more;

		for (size_t page = 0; page < pages; page++)
			*(uint64_t *)(span + page * PAGE) = mark + page;
		span = ps_span_resize(span, pages * PAGE, more * PAGE);
		for (size_t page = 0; span && page < both; page++)
			if (*(uint64_t *)(span + page * PAGE) != mark + page)
				return seed;
		pages = more;
	}
	return !span || ps_span_free(span, pages * PAGE) ? seed : NULL;
}

TEST(threads_resize_at_once)
{
	pthread_t threads[5];

	begin("512");
	for (uintptr_t i = 0; i < 5; i++)
		ASSERT_EQ(0, pthread_create(&threads[i], NULL, resize_often, (void *)(i + 1)));
	for (int i = 0; i < 5; i++) {
		void *failed;

		pthread_join(threads[i], &failed);
		EXPECT_EQ(NULL, failed);
	}
	EXPECT_EQ(0, stats().bytes_held);
}

TEST(in_debug_mode_what_has_moved_faults_where_it_was)
{
#ifdef __SANITIZE_ADDRESS__
	SKIP(return, "AddressSanitizer sees it first");
#endif
	for (size_t pages = 1; pages < 2000; pages = pages * 7 + 1) {
		EXPECT_EQ(128 + (on_device() ? SIGBUS : SIGSEGV), IN_CHILD({
				  char *span;
				  char *moved;

				  signal(SIGSEGV, SIG_DFL);
				  signal(SIGBUS, SIG_DFL);
				  setenv("PAGESPAN_DEBUG", "1", 1);
				  span = alloc_hemmed_in(pages);
				  number_pages(span, pages);
				  moved = ps_span_resize(span, pages * PAGE, (pages + 3) * PAGE);
				  if (!moved || moved == span || !are_numbered(moved, pages))
					  _exit(1);
				  *(volatile char *)span = 1;
			  }));
	}
}

TEST_HARNESS_MAIN
