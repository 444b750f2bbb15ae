// SPDX-License-Identifier: MIT
/*
 * What <pagespan/arena.h> promises of objects that are not small: what they cost and how they grow.
 * The same on both backends.
 */
#define _GNU_SOURCE
#include "lib_arena_large.h"

/* ---- what they cost ------------------------------------------------------------------------ */

/* Percent of what is asked for that an arena holds, once it has been asked for much. */
static size_t percent_held(struct ps_arena *arena, size_t size)
{
	size_t asked = 0;

	while (asked < 16 * MIB) {
		if (!ps_alloc(arena, size))
			return SIZE_MAX;
		asked += size;
	}
	return held_by(arena) * 1000 / asked;
}

static const size_t around_pages[] = {0, 8, 40, 48, 100, 1000, 2016, 2024, 3000, 4000};

/* Below 64 bytes an object of odd size costs more for its alignment. */
TEST_F(arena_large, many_objects_of_any_size_hold_at_most_an_eighth_more)
{
	SKIP_IF_CHECKED();
	for (size_t size = 64; size <= MIB; size += size / 50 + 1) {
		ps_arena_reset(self->arena, 0);
		EXPECT_GE(1125, percent_held(self->arena, size))
		TH_LOG("%zu bytes", size);
	}
	for (size_t pages = 0; pages <= 64; pages += 1 + pages / 16) {
		for (size_t i = 0; i < ARRAY_SIZE(around_pages); i++) {
			size_t size = pages * PS_PAGE_SIZE + around_pages[i];

			ps_arena_reset(self->arena, 0);
			EXPECT_GE(1125, percent_held(self->arena, size < 64 ? 64 : size))
			TH_LOG("%zu bytes", size);
		}
	}
}

/* What was kept may be too small for them: it is passed. */
TEST_F(arena_large, chunks_kept_of_small_objects_do_not_make_larger_ones_expensive)
{
	SKIP_IF_CHECKED();
	for (size_t size = 1000; size < 40000; size += 777) {
		ps_arena_reset(self->arena, 0);
		while (stats_of(self->arena).chunks < 4)
			ASSERT_NE(NULL, ps_alloc(self->arena, 500));
		ps_arena_reset(self->arena, SIZE_MAX);
		EXPECT_GE(1125, percent_held(self->arena, size));
	}
}

TEST_F(arena_large, chunk_that_is_passed_is_empty_and_used_after_a_reset)
{
	struct ps_arena_stats full;
	char *object, *first;

	SKIP_IF_CHECKED();
	first = ps_alloc(self->arena, 16);
	while (stats_of(self->arena).chunks < 3)
		ASSERT_NE(NULL, ps_alloc(self->arena, 500));
	ps_arena_reset(self->arena, SIZE_MAX);
	for (int i = 0; i < 30; i++) {
		object = alloc_filled(self->arena, 5000);
		ASSERT_NE(NULL, object);
		ASSERT_TRUE(ps_arena_owns(self->arena, object + 4999));
	}
	full = stats_of(self->arena);
	EXPECT_LE(30 * 5000, full.bytes_used);
	EXPECT_GE(31 * 5000, full.bytes_used);
	ps_arena_reset(self->arena, SIZE_MAX);
	EXPECT_EQ(0, stats_of(self->arena).bytes_used);
	EXPECT_EQ(first, ps_alloc(self->arena, 16));
	for (int i = 0; i < 20; i++)
		ASSERT_NE(NULL, ps_alloc(self->arena, 500));
	EXPECT_GE(full.bytes_held, held_by(self->arena));
}

/* An object of nine pages, or fewer, is no reason for a larger chunk of small ones either. */
TEST_F(arena_large, medium_objects_do_not_make_chunks_of_small_objects_larger)
{
	size_t before;

	for (int i = 0; i < 2; i++)
		ASSERT_NE(NULL, ps_alloc(self->arena, 8 * PS_PAGE_SIZE));
	ASSERT_EQ(1, stats_of(self->arena).chunks);
	before = held_by(self->arena);
	while (stats_of(self->arena).chunks == 1)
		ASSERT_NE(NULL, ps_alloc(self->arena, 500));
	EXPECT_EQ(before + 2 * PS_PAGE_SIZE, held_by(self->arena));
}

TEST_F(arena_large, larger_objects_do_not_make_chunks_of_medium_objects_larger)
{
	for (int i = 0; i < 4; i++)
		ASSERT_NE(NULL, ps_alloc(self->arena, MIB));
	ASSERT_NE(NULL, ps_alloc(self->arena, 2 * PS_PAGE_SIZE));
	EXPECT_EQ(5, stats_of(self->arena).large);
	EXPECT_EQ(1, stats_of(self->arena).chunks);
}

/* Where no chunk is to be had, a span of their own is. */
TEST_F(arena_large, medium_objects_use_a_limit_up)
{
	size_t limit;

	SKIP_IF_CHECKED();
	while (stats_of(self->arena).chunks < 3)
		ASSERT_NE(NULL, ps_alloc(self->arena, 11000));
	limit = held_by(self->arena) + 3 * PS_PAGE_SIZE;
	ps_arena_limit(self->arena, limit);
	while (ps_alloc(self->arena, 11000))
		;
	EXPECT_EQ(limit, held_by(self->arena));
}

/* What counted before a mark counts after it, and no more. */
TEST_F(arena_large, rewound_medium_objects_are_forgotten)
{
	struct ps_arena_mark mark = ps_mark(self->arena);

	for (int i = 0; i < 100; i++) {
		ASSERT_NE(NULL, ps_alloc(self->arena, 8000));
		ASSERT_NE(NULL, ps_alloc(self->arena, 8000));
		ASSERT_EQ(1, stats_of(self->arena).chunks);
		ps_rewind(self->arena, mark);
	}
}

/* ---- growing and shrinking where they are --------------------------------------------------- */

TEST_F(arena_large, large_object_shrinks_and_grows_where_it_is)
{
	struct ps_arena before;
	char *object, *small;
	size_t held;

	SKIP_IF_CHECKED();
	object = alloc_filled(self->arena, MIB);
	small = ps_alloc(self->arena, 16);
	before = *self->arena;
	held = held_by(self->arena);
	ps_shrink_last(self->arena, object, MIB, 100000);
	EXPECT_EQ(held - (MIB - 24 * PS_PAGE_SIZE), held_by(self->arena));
	EXPECT_EQ(self->held + held_by(self->arena), held_by_all());
	EXPECT_FALSE(ps_arena_owns(self->arena, object + 100000));

	EXPECT_EQ(0, ps_extend_last(self->arena, object, 100000, MIB / 2));
	EXPECT_TRUE(ps_arena_owns(self->arena, object + MIB / 2 - 1));
	EXPECT_TRUE(is_filled(object, 100000, MIB));
	memset(object, 1, MIB / 2);
	EXPECT_EQ(self->held + held_by(self->arena), held_by_all());
	EXPECT_EQ(0, memcmp(&before, self->arena, sizeof(before)));
	EXPECT_EQ(small + 16, ps_alloc(self->arena, 16));
}

/* The spare is a sixteenth. */
TEST_F(arena_large, growing_object_holds_little_more_than_it_needs)
{
	size_t size = 100000;
	char *object;

	SKIP_IF_CHECKED();
	object = ps_alloc(self->arena, 2 * MIB);
	ps_shrink_last(self->arena, object, 2 * MIB, size);
	for (int growths = 0; size < 3 * MIB / 2; size += 100) {
		size_t held = held_by(self->arena);

		ASSERT_EQ(0, ps_extend_last(self->arena, object, size, size + 100));
		growths += held_by(self->arena) != held;
		ASSERT_GT(60, growths);
		ASSERT_GE(size + size / 16 + 4 * PS_PAGE_SIZE, held_by(self->arena));
	}
}

TEST_F(arena_large, former_self_of_a_buffer_goes_when_it_is_shrunk_away)
{
	size_t held;
	char *old, *object;

	SKIP_IF_CHECKED();
	held = held_by(self->arena);
	old = ps_alloc(self->arena, 100000);
	object = alloc_filled(self->arena, 200000);
	ps_shrink_last(self->arena, old, 100000, 0);
	EXPECT_EQ(1, stats_of(self->arena).large);
	EXPECT_EQ(held + 49 * PS_PAGE_SIZE, held_by(self->arena));
	EXPECT_FALSE(ps_arena_owns(self->arena, old));
	EXPECT_TRUE(is_filled(object, 200000, 200000));
	ps_shrink_last(self->arena, object, 200000, 0);
	EXPECT_EQ(held, held_by(self->arena));
}

TEST_F(arena_large, aligned_object_grows_where_it_is)
{
	char *object;

	SKIP_IF_CHECKED();
	object = ps_alloc_aligned(self->arena, MIB, 4096);
	memset(object, 5, MIB);
	ps_shrink_last(self->arena, object, MIB, 70000);
	EXPECT_EQ(0, ps_extend_last(self->arena, object, 70000, 200000));
	EXPECT_EQ(5, object[69999]);
	EXPECT_TRUE(ps_arena_owns(self->arena, object + 199999));
}

TEST_F(arena_large, object_in_an_adopted_chunk_is_no_large_object)
{
	struct ps_arena *other = ps_arena_create(NULL);
	struct ps_arena_stats before;
	char *first = alloc_filled(other, 600), *second = alloc_filled(other, 700);

	ps_arena_adopt(self->arena, other);
	before = stats_of(self->arena);
	EXPECT_EQ(-ENOMEM, ps_extend_last(self->arena, first, 600, 1000));
	EXPECT_EQ(-ENOMEM, ps_extend_last(self->arena, second, 700, 1000));
	ps_shrink_last(self->arena, first, 600, 0);
	EXPECT_EQ(before.bytes_held, held_by(self->arena));
	EXPECT_TRUE(is_filled(second, 700, 700));
}

TEST_F(arena_large, object_deep_in_the_stack_stays_as_it_is)
{
	char *object = alloc_filled(self->arena, 100000);
	size_t held;

	for (int i = 0; i < 2; i++)
		ASSERT_NE(NULL, ps_alloc(self->arena, 100000));
	held = held_by(self->arena);
	ps_shrink_last(self->arena, object, 100000, 0);
	EXPECT_EQ(-ENOMEM, ps_extend_last(self->arena, object, 100000, 100001));
	EXPECT_EQ(held, held_by(self->arena));
	EXPECT_TRUE(is_filled(object, 100000, 100000));
}

TEST_F(arena_large, growth_that_overflows_is_enomem_and_changes_nothing)
{
	static const size_t sizes[] = {PS_SPAN_MAX - 40, PS_SPAN_MAX - 39, PS_SPAN_MAX,
				       SIZE_MAX / 2,     SIZE_MAX - 4096,  SIZE_MAX - 7,
				       SIZE_MAX};
	char *object = alloc_filled(self->arena, 100000);
	size_t held = held_by(self->arena);

	ps_arena_limit(self->arena, 4 * MIB);
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		EXPECT_EQ(-ENOMEM, ps_extend_last(self->arena, object, 100000, sizes[i]));
		errno = 0;
		EXPECT_EQ(NULL, ps_resize_last(self->arena, object, 100000, sizes[i]));
		EXPECT_EQ(ENOMEM, errno);
	}
	EXPECT_EQ(held, held_by(self->arena));
	EXPECT_TRUE(is_filled(object, 100000, 100000));
}

/* ---- growing elsewhere ---------------------------------------------------------------------- */

TEST_F(arena_large, object_that_cannot_grow_where_it_is_moves)
{
	char *object, *moved;
	void *block;

	SKIP_IF_CHECKED();
	object = alloc_blocked(self->arena, 100000, &block);
	ASSERT_NE(NULL, block);
	errno = 4711;
	EXPECT_EQ(-ENOMEM, ps_extend_last(self->arena, object, 100000, 200000));
	moved = ps_resize_last(self->arena, object, 100000, 200000);
	ASSERT_NE(NULL, moved);
	EXPECT_NE(object, moved);
	EXPECT_EQ(4711, errno);
	EXPECT_TRUE(is_filled(moved, 100000, 100000));
	memset(moved, 1, 200000);
	EXPECT_TRUE(ps_arena_owns(self->arena, moved + 199999));
	EXPECT_FALSE(ps_arena_owns(self->arena, object));
	EXPECT_EQ(1, stats_of(self->arena).large);
	EXPECT_GE((2 + 49 + 4) * PS_PAGE_SIZE, held_by(self->arena));
	EXPECT_EQ(self->held + held_by(self->arena) + PS_PAGE_SIZE, held_by_all());
	ps_span_free(block, PS_PAGE_SIZE);
}

/* A mark points to it. */
TEST_F(arena_large, object_that_a_mark_remembers_is_copied)
{
	struct ps_arena_mark mark;
	char *object, *moved;
	void *block;

	SKIP_IF_CHECKED();
	object = alloc_blocked(self->arena, 100000, &block);
	ASSERT_NE(NULL, block);
	mark = ps_mark(self->arena);
	moved = ps_resize_last(self->arena, object, 100000, 200000);
	ASSERT_NE(NULL, moved);
	EXPECT_TRUE(is_filled(moved, 100000, 100000));
	EXPECT_EQ(2, stats_of(self->arena).large);
	ps_shrink_last(self->arena, object, 100000, 0);
	ps_rewind(self->arena, mark);
	EXPECT_EQ(1, stats_of(self->arena).large);
	EXPECT_EQ(self->held + held_by(self->arena) + PS_PAGE_SIZE, held_by_all());
	ps_span_free(block, PS_PAGE_SIZE);
}

TEST_F(arena_large, buffer_grows_from_nothing_to_any_size)
{
	size_t size = 0, more;
	char *buffer = NULL;

	errno = 4711;
	while (size < 3 * MIB) {
		more = size + size / 2 + 10;
		buffer = ps_resize_last(self->arena, buffer, size, more);
		ASSERT_NE(NULL, buffer);
		memset(buffer + size, (int)(size % 251), more - size);
		size = more;
	}
	for (size_t from = 0, to; from < size; from = to) {
		to = from + from / 2 + 10;
		ASSERT_TRUE(is_filled(buffer + from, to - from, from));
	}
	EXPECT_EQ(4711, errno);
	if (!is_checked(self->arena)) {
		EXPECT_EQ(1, stats_of(self->arena).large);
		EXPECT_GE(size + size / 16 + 8 * PS_PAGE_SIZE, held_by(self->arena));
	}
	buffer = ps_resize_last(self->arena, buffer, size, 10);
	EXPECT_TRUE(is_filled(buffer, 10, 0));
}

TEST_F(arena_large, object_stays_where_the_limit_lets_it_not_grow)
{
	char *object = alloc_filled(self->arena, 100000);
	size_t held = held_by(self->arena);

	ps_arena_limit(self->arena, held + PS_PAGE_SIZE);
	EXPECT_EQ(-ENOMEM, ps_extend_last(self->arena, object, 100000, 200000));
	errno = 0;
	EXPECT_EQ(NULL, ps_resize_last(self->arena, object, 100000, 200000));
	EXPECT_EQ(ENOMEM, errno);
	EXPECT_EQ(held, held_by(self->arena));
	EXPECT_EQ(self->held + held, held_by_all());
	EXPECT_TRUE(is_filled(object, 100000, 100000));
	EXPECT_TRUE(ps_arena_owns(self->arena, object + 99999));
}

TEST_HARNESS_MAIN
