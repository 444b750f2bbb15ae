// SPDX-License-Identifier: MIT
/*
 * What <pagespan/arena.h> promises of the spans of large objects that a reset keeps, and of all that
 * objects may do in a random order. The same on both backends.
 */
#define _GNU_SOURCE
#include "lib_arena_large.h"

#include "../random.h"

#define KEPT_MAX 8

TEST_F(arena_large, reset_keeps_spans_of_large_objects_and_they_are_used_again)
{
	char *object, *again;
	size_t held;

	SKIP_IF_CHECKED();
	object = ps_alloc(self->arena, 3 * MIB);
	held = held_by(self->arena);
	ps_arena_reset(self->arena, SIZE_MAX);
	EXPECT_EQ(held, held_by(self->arena));
	EXPECT_EQ(self->held + held, held_by_all());
	EXPECT_EQ(0, stats_of(self->arena).large);
	EXPECT_EQ(0, stats_of(self->arena).bytes_used);
	EXPECT_FALSE(ps_arena_owns(self->arena, object));
	again = ps_alloc(self->arena, 3 * MIB);
	EXPECT_EQ(object, again);
	EXPECT_EQ(held, held_by(self->arena));

	ps_arena_reset(self->arena, held - 1);
	EXPECT_EQ(2 * PS_PAGE_SIZE, held_by(self->arena));
	EXPECT_EQ(self->held + 2 * PS_PAGE_SIZE, held_by_all());
}

TEST_F(arena_large, reset_may_keep_less_than_the_one_before)
{
	SKIP_IF_CHECKED();
	ASSERT_NE(NULL, ps_alloc(self->arena, MIB));
	ps_arena_reset(self->arena, SIZE_MAX);
	ps_arena_reset(self->arena, MIB + 2 * PS_PAGE_SIZE);
	EXPECT_EQ(2 * PS_PAGE_SIZE, held_by(self->arena));
}

/* A buffer that begins anew in every round: what it grew to is behind it. */
TEST_F(arena_large, object_grows_into_what_was_kept)
{
	char *object, *again, *second;
	size_t held;

	SKIP_IF_CHECKED();
	object = ps_alloc(self->arena, 3 * MIB);
	held = held_by(self->arena);
	for (int round = 0; round < 3; round++) {
		ps_arena_reset(self->arena, SIZE_MAX);
		again = alloc_filled(self->arena, 100000);
		EXPECT_EQ(object, again);
		EXPECT_EQ(0, ps_extend_last(self->arena, again, 100000, 2 * MIB));
		EXPECT_EQ(0, ps_extend_last(self->arena, again, 2 * MIB, 3 * MIB));
		EXPECT_TRUE(is_filled(again, 100000, 100000));
		memset(again, 1, 3 * MIB);
		EXPECT_EQ(held, held_by(self->arena));
	}
	/* And another one into the rest. */
	ps_arena_reset(self->arena, SIZE_MAX);
	again = alloc_filled(self->arena, MIB);
	second = alloc_filled(self->arena, MIB);
	EXPECT_GT(object + 3 * MIB, second);
	EXPECT_EQ(held, held_by(self->arena));
	EXPECT_TRUE(is_filled(again, MIB, MIB));
	EXPECT_EQ(self->held + held, held_by_all());
}

/* The smallest that it fits, so that the largest is there for what needs it. */
TEST_F(arena_large, object_takes_the_best_of_what_was_kept)
{
	void *blocks[2];
	char *small, *large;

	SKIP_IF_CHECKED();
	small = alloc_blocked(self->arena, 100000, &blocks[0]);
	large = alloc_blocked(self->arena, MIB, &blocks[1]);
	for (int order = 0; order < 2; order++) {
		ps_arena_reset(self->arena, SIZE_MAX);
		EXPECT_EQ(small, ps_alloc(self->arena, order ? 90000 : 100000));
		EXPECT_EQ(large, ps_alloc(self->arena, MIB));
	}
	for (int i = 0; i < 2; i++)
		ps_span_free(blocks[i], PS_PAGE_SIZE);
}

TEST_F(arena_large, eight_spans_are_kept_the_largest)
{
	void *blocks[3 * KEPT_MAX];
	size_t kept = 0;

	SKIP_IF_CHECKED();
	for (size_t i = 0; i < ARRAY_SIZE(blocks); i++) {
		/* Not in order of size. */
		size_t pages = 20 + (i * 7) % ARRAY_SIZE(blocks);

		ASSERT_NE(NULL, alloc_blocked(self->arena, pages * PS_PAGE_SIZE - 40, &blocks[i]));
		ASSERT_NE(NULL, blocks[i]);
		if (pages >= 20 + ARRAY_SIZE(blocks) - KEPT_MAX)
			kept += pages;
	}
	ps_arena_reset(self->arena, SIZE_MAX);
	EXPECT_EQ((2 + kept) * PS_PAGE_SIZE, held_by(self->arena));
	for (size_t i = 0; i < ARRAY_SIZE(blocks); i++)
		ps_span_free(blocks[i], PS_PAGE_SIZE);
}

TEST_F(arena_large, kept_spans_go_before_the_limit_refuses)
{
	size_t held;

	SKIP_IF_CHECKED();
	for (int way = 0; way < 3; way++) {
		ps_arena_reset(self->arena, 0);
		ps_arena_limit(self->arena, SIZE_MAX);
		ASSERT_NE(NULL, ps_alloc(self->arena, 300 * PS_PAGE_SIZE));
		held = held_by(self->arena);
		ps_arena_reset(self->arena, SIZE_MAX);
		ps_arena_limit(self->arena, held + 100 * PS_PAGE_SIZE);
		if (way == 0) {
			ASSERT_NE(NULL, ps_alloc(self->arena, 350 * PS_PAGE_SIZE));
		} else if (way == 1) {
			while (held_by(self->arena) < held - 150 * PS_PAGE_SIZE)
				ASSERT_NE(NULL, ps_alloc(self->arena, 500));
		} else {
			char *object = ps_alloc(self->arena, 100 * PS_PAGE_SIZE);

			object = ps_resize_last(self->arena, object, 100 * PS_PAGE_SIZE,
						350 * PS_PAGE_SIZE);
			ASSERT_NE(NULL, object);
		}
		EXPECT_GE(held + 100 * PS_PAGE_SIZE, held_by(self->arena));
		EXPECT_EQ(self->held + held_by(self->arena), held_by_all());
	}
}

TEST_F(arena_large, adopted_arena_does_not_bring_what_it_kept)
{
	struct ps_arena *other;
	char *object, *own;

	SKIP_IF_CHECKED();
	other = ps_arena_create(NULL);
	own = ps_alloc(self->arena, MIB);
	ps_arena_reset(self->arena, SIZE_MAX);
	ASSERT_NE(NULL, ps_alloc(other, 2 * MIB));
	ps_arena_reset(other, SIZE_MAX);
	object = alloc_filled(other, 16);
	ps_arena_adopt(self->arena, other);
	EXPECT_GE(MIB + 8 * PS_PAGE_SIZE, held_by(self->arena));
	EXPECT_EQ(self->held + held_by(self->arena), held_by_all());
	EXPECT_TRUE(is_filled(object, 16, 16));
	EXPECT_EQ(own, ps_alloc(self->arena, MIB));
}

TEST_F(arena_large, rewind_leaves_kept_spans_alone)
{
	struct ps_arena_mark mark;
	size_t held;

	SKIP_IF_CHECKED();
	ASSERT_NE(NULL, ps_alloc(self->arena, 2 * MIB));
	ps_arena_reset(self->arena, SIZE_MAX);
	held = held_by(self->arena);
	mark = ps_mark(self->arena);
	ASSERT_NE(NULL, ps_alloc(self->arena, 3 * MIB));
	ps_rewind(self->arena, mark);
	EXPECT_EQ(held, held_by(self->arena));
}

/* ---- all of it ----------------------------------------------------------------------------- */

#define NR_OBJECTS 24

struct object {
	unsigned char *at;
	size_t size;
	unsigned char byte;
};

static bool is_whole(const struct object *object)
{
	for (size_t i = 0; i < object->size; i++)
		if (object->at[i] != object->byte)
			return false;
	return true;
}

static size_t random_size(uint64_t *random)
{
	return 1 + random_below(random, (uint64_t)1 << (4 + random_below(random, 16)));
}

/* The last of some objects grows or shrinks; what is lost is its own to forget. */
static bool resize(struct ps_arena *arena, uint64_t *random, struct object *object)
{
	size_t size = random_size(random), kept = size < object->size ? size : object->size;

	object->at = ps_resize_last(arena, object->at, object->size, size);
	object->size = kept;
	if (!object->at || !is_whole(object))
		return false;
	object->size = size;
	memset(object->at, object->byte, size);
	return true;
}

static bool round_of_random_calls(struct ps_arena *arena, uint64_t *random)
{
	struct object objects[NR_OBJECTS];
	struct ps_arena_mark mark = ps_mark(arena);
	int marked = 0, nr = 0;

	while (nr < NR_OBJECTS) {
		uint64_t choice = random_below(random, 8);
		struct object *object = &objects[nr];

		if (choice < 4) {
			object->size = random_size(random);
			object->at = ps_alloc(arena, object->size);
			object->byte = (unsigned char)random_below(random, 256);
			if (!object->at)
				return false;
			memset(object->at, object->byte, object->size);
			nr++;
		} else if (choice < 7 && nr > marked) {
			/* The last, or the one before, younger than the mark. */
			object -= nr - 1 > marked && random_below(random, 3) == 0 ? 2 : 1;
			if (!resize(arena, random, object))
				return false;
		} else if (random_below(random, 4)) {
			ps_rewind(arena, mark);
			nr = marked;
		} else {
			mark = ps_mark(arena);
			marked = nr;
		}
		if (nr && !ps_arena_owns(arena, objects[nr - 1].at))
			return false;
	}
	while (nr > 0)
		if (!is_whole(&objects[--nr]))
			return false;
	return true;
}

TEST_F(arena_large, objects_survive_whatever_others_do)
{
	uint64_t random = 16;

	for (int round = 0; round < 200; round++) {
		struct ps_arena_stats now;

		ASSERT_TRUE(round_of_random_calls(self->arena, &random)) TH_LOG("round %d", round);
		now = stats_of(self->arena);
		ASSERT_LE(now.bytes_used, now.bytes_held);
		ASSERT_EQ(self->held + now.bytes_held, held_by_all());
		ps_arena_reset(self->arena, random_below(&random, 2) * random_size(&random) * 8);
		ASSERT_EQ(self->held + held_by(self->arena), held_by_all());
	}
}

TEST_HARNESS_MAIN
