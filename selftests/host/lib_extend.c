// SPDX-License-Identifier: MIT
/* Spans that grow, in place or elsewhere, and shrink: the same on both backends. */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>

#include "../in_child.h"
#include "../random.h"
#include "../harness.h"
#include "spans.h"

/* ---- in place ------------------------------------------------------------------------------- */

TEST(span_that_shrank_grows_back)
{
	static const size_t pages[] = {2, 8, 16, 64, 512, 1024, 4096};

	for (size_t i = 0; i < ARRAY_SIZE(pages); i++) {
		size_t bytes = pages[i] * PAGE;
		char *span = ps_span_alloc(bytes);
		uint64_t held;

		ASSERT_NE(NULL, span);
		memset(span, 0x31, bytes / 2);
		held = stats().bytes_held;
		ASSERT_EQ(0, ps_span_free(span + bytes / 2, bytes / 2));
		EXPECT_EQ(0, ps_span_extend(span, bytes / 2, bytes));
		EXPECT_EQ(held, stats().bytes_held);
		memset(span + bytes / 2, 0x32, bytes / 2);
		EXPECT_TRUE(holds(span, bytes / 2, 0x31));
		EXPECT_EQ(0, ps_span_free(span, bytes));
	}
}

struct part {
	char *start;
	size_t pages;
	size_t each;
};

static void free_in_pieces(void *argument)
{
	const struct part *part = argument;

	for (size_t page = 0; page < part->pages; page += part->each) {
		size_t left = part->pages - page;

		if (ps_span_free(part->start + page * PAGE,
				 (left < part->each ? left : part->each) * PAGE))
			abort();
	}
}

/* Cached by this CPU or another, kept by the process, free, or each a part. */
TEST(span_grows_over_whatever_is_free_behind_it)
{
	enum { PAGES = 1400 };
	static const size_t each[] = {1, 2, 7, 32, 100, 512, 600};
	struct ps_stats before;
	char *span;

	span = ps_span_alloc(PAGES * PAGE);
	ASSERT_NE(NULL, span);
	before = stats();
	for (size_t i = 0; i < ARRAY_SIZE(each); i++) {
		for (int where = 0; where < 4; where++) {
			struct part near = {span + 2 * PAGE, 98, each[i]};
			struct part far = {span + 100 * PAGE, PAGES - 100, each[i]};
			size_t other_bytes = each[i] * PAGE;

			stay_on(0);
			free_in_pieces(where == 3 ? &far : &near);
			if (where == 1)
				ps_trim(0);
			on_cpu(where % 2, free_in_pieces, where == 3 ? &near : &far);
			if (where == 2)
				ps_trim(64 * PAGE);
			ASSERT_EQ(0, ps_span_extend(span, 2 * PAGE, 101 * PAGE));
			ASSERT_EQ(0, ps_span_extend(span, 101 * PAGE, PAGES * PAGE));
			memset(span, i, PAGES * PAGE);
			EXPECT_EQ(before.bytes_held, stats().bytes_held);
			/* The rest of the caches is sound. */
			for (int count = 0; count < 3; count++) {
				char *other = ps_span_alloc(other_bytes);

				ASSERT_NE(NULL, other);
				ASSERT_TRUE(other + other_bytes <= span ||
					    other >= span + PAGES * PAGE);
				ASSERT_EQ(0, ps_span_free(other, other_bytes));
			}
		}
	}
	EXPECT_EQ(0, ps_span_free(span, PAGES * PAGE));
	ps_trim(0);
	EXPECT_EQ(0, stats().bytes_cached);
}

/* One page behind is owned, what is around it is cached. */
TEST(extension_that_is_refused_loses_nothing_that_was_cached)
{
	enum { PAGES = 700 };
	size_t longest;
	char *span;

	begin("8");
	longest = longest_span();
	span = ps_span_alloc(PAGES * PAGE);
	ASSERT_NE(NULL, span);
	memset(span, 0x51, PAGES * PAGE);
	for (size_t each = 1; each < 600; each *= 3) {
		size_t owned = 100 + each;
		struct part parts[] = {{span + 3 * PAGE, owned - 3, each},
				       {span + (owned + 1) * PAGE, PAGES - owned - 1, each}};
		uint64_t held;

		free_in_pieces(&parts[0]);
		on_cpu(1, free_in_pieces, &parts[1]);
		held = stats().bytes_held;
		EXPECT_EQ(-ENOMEM, ps_span_extend(span, 3 * PAGE, PAGES * PAGE));
		EXPECT_EQ(-ENOMEM, ps_span_extend(span, 3 * PAGE, (owned + 1) * PAGE));
		EXPECT_EQ(held, stats().bytes_held);
		EXPECT_TRUE(holds(span, 3 * PAGE, 0x51) && holds(span + owned * PAGE, PAGE, 0x51));
		ASSERT_EQ(0, ps_span_extend(span, 3 * PAGE, owned * PAGE));
		ASSERT_EQ(0, ps_span_extend(span, (owned + 1) * PAGE, PAGES * PAGE));
		memset(span, 0x51, PAGES * PAGE);
	}
	EXPECT_EQ(0, ps_span_free(span, PAGES * PAGE));
	EXPECT_TRUE(can_have(longest));
}

TEST(what_is_cached_elsewhere_goes_back_before_the_limit_refuses_to_grow)
{
	static void *spans[40];
	struct part part = {.each = 1};
	char *span;

	begin("64");
	span = ps_span_alloc_ex(3 * PAGE, MEGABLOCK, 0);
	ps_trim(0);
	alloc_all(MEGABLOCK, 4, spans);
	part.start = ps_span_alloc(40 * PAGE);
	part.pages = 40;
	free_all(MEGABLOCK, 4, spans);
	on_cpu(1, free_in_pieces, &part);
	ASSERT_EQ(0, ps_limit_set(stats().bytes_held + stats().bytes_cached));
	if (stats().bytes_cached < 2 * PAGE)
		SKIP(return, "nothing is cached");
	EXPECT_EQ(0, ps_span_extend(span, 3 * PAGE, 5 * PAGE));
	ps_trim(0);
	ASSERT_EQ(0, ps_limit_set(5 * PAGE));
	EXPECT_EQ(-ENOMEM, ps_span_extend(span, 5 * PAGE, 6 * PAGE));
	EXPECT_EQ(NULL, ps_span_resize(span, 5 * PAGE, 6 * PAGE));
	EXPECT_EQ(ENOMEM, errno);
}

/* ---- a span that will grow ------------------------------------------------------------------ */

/* Small spans of others, which stay. */
static void allocate_between(uint64_t *random)
{
	for (int i = 0; i < 20; i++)
		if (!ps_span_alloc((1 + random_below(random, 16)) * PAGE))
			abort();
}

TEST(span_that_will_grow_does_so_in_place)
{
	uint64_t random = 5;
	size_t bytes = PAGE;
	int in_place = 0;
	char *span;

	if (on_device())
		SKIP(return, "its pool may have no such place");
	EXPECT_EQ(0, IN_CHILD({
			  begin("1024");
			  allocate_between(&random);
			  span = ps_span_alloc_ex(bytes, 0, PS_GROWS);
			  if (!span)
				  _exit(1);
			  for (int doubling = 0; doubling < 15; doubling++, bytes *= 2) {
				  char *grown;

				  touch(span, bytes);
				  allocate_between(&random);
				  grown = ps_span_resize(span, bytes, 2 * bytes);
				  if (!grown)
					  _exit(2);
				  in_place += grown == span;
				  span = grown;
			  }
			  _exit(in_place >= 13 ? 0 : 100 + in_place);
		  }));
}

TEST(each_of_some_spans_that_will_grow_has_room)
{
	enum { COUNT = 8 };
	char *spans[COUNT];
	uint64_t random = 6;
	int in_place = 0;

	if (on_device())
		SKIP(return, "its pool may have no such place");
	EXPECT_EQ(0, IN_CHILD({
			  begin("1024");
			  for (int i = 0; i < COUNT; i++) {
				  spans[i] = ps_span_alloc_ex(PAGE, 0, PS_GROWS);
				  allocate_between(&random);
			  }
			  for (size_t pages = 1; pages < 4096; pages *= 2)
				  for (int i = 0; i < COUNT; i++) {
					  char *grown = ps_span_resize(spans[i], pages * PAGE,
								       2 * pages * PAGE);

					  if (!grown)
						  _exit(1);
					  in_place += grown == spans[i];
					  spans[i] = grown;
				  }
			  _exit(in_place >= COUNT * 12 * 3 / 4 ? 0 : 2);
		  }));
}

/* Where there is no longest run of much use, and with every other flag. */
TEST(span_that_will_grow_is_a_span_like_any_other)
{
	static const unsigned int flags[] = {0, PS_ZERO, PS_HUGE, PS_POPULATE,
					     PS_ZERO | PS_HUGE | PS_POPULATE};
	size_t longest;

	begin("16");
	longest = longest_span();
	for (size_t i = 0; i < ARRAY_SIZE(flags); i++) {
		for (size_t bytes = PAGE; bytes <= longest / 2; bytes *= 3) {
			size_t align = i % 2 ? 64 * PAGE : 0;
			char *span = ps_span_alloc_ex(bytes, align, PS_GROWS | flags[i]);

			ASSERT_NE(NULL, span);
			if (align || flags[i] & PS_HUGE)
				EXPECT_EQ(0, (uintptr_t)span %
						     (flags[i] & PS_HUGE ? MEGABLOCK : align));
			if (flags[i] & PS_ZERO)
				EXPECT_TRUE(holds(span, bytes, 0));
			memset(span, 1, bytes);
			ASSERT_EQ(0, ps_span_free(span, bytes));
		}
	}
	EXPECT_EQ(0, stats().bytes_held);
	EXPECT_TRUE(can_have(longest));
	EXPECT_NE(NULL, ps_span_alloc_ex(longest, 0, PS_GROWS));
}

TEST_HARNESS_MAIN
