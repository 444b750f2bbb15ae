// SPDX-License-Identifier: MIT
/* The promises of <pagespan/arena.h>, the same on both backends. */
#define _GNU_SOURCE
#include <errno.h>
#include <pagespan.h>
#include <pagespan/arena.h>
#include <stdlib.h>
#include <string.h>

#include "kselftest_harness.h"

FIXTURE(arena)
{
	struct ps_arena *arena;
	uint64_t held;
};

static struct ps_stats stats(void)
{
	struct ps_stats now = {0};

	if (ps_stats(&now, sizeof(now)))
		abort();
	return now;
}

FIXTURE_SETUP(arena)
{
	self->held = stats().bytes_held;
	self->arena = ps_arena_create(NULL);
	ASSERT_NE(NULL, self->arena);
}

FIXTURE_TEARDOWN(arena)
{
	ps_arena_destroy(self->arena);
	EXPECT_EQ(self->held, stats().bytes_held);
}

TEST_F(arena, objects_are_aligned_and_do_not_overlap)
{
	enum { COUNT = 20000 };
	static unsigned char *objects[COUNT];
	unsigned int seed = 7;

	for (int i = 0; i < COUNT; i++) {
		size_t size = 1 + rand_r(&seed) % 300;

		objects[i] = ps_alloc(self->arena, size);
		ASSERT_NE(NULL, objects[i]);
		ASSERT_EQ(0, (uintptr_t)objects[i] % PS_ARENA_ALIGN);
		memset(objects[i], i, size);
	}
	seed = 7;
	for (int i = 0; i < COUNT; i++) {
		size_t size = 1 + rand_r(&seed) % 300;

		for (size_t j = 0; j < size; j++)
			ASSERT_EQ((unsigned char)i, objects[i][j]);
	}
}

/* Of a checked arena, as all are under AddressSanitizer, nothing is served inline. */
static bool is_checked(const struct ps_arena *arena)
{
	return arena->cur == arena->end;
}

static struct ps_arena_stats stats_of(const struct ps_arena *arena)
{
	struct ps_arena_stats now = {0};

	if (ps_arena_stats(arena, &now, sizeof(now)))
		abort();
	return now;
}

TEST_F(arena, constant_sizes_are_served_from_consecutive_addresses)
{
	if (is_checked(self->arena))
		SKIP(return, "there are red zones between them");
	char *first = ps_alloc(self->arena, 16);
	char *second = ps_alloc(self->arena, 3);
	char *third = ps_alloc(self->arena, 40);

	EXPECT_EQ(first + 16, second);
	EXPECT_EQ(second + 8, third);
}

/* However it is asked for. */
TEST_F(arena, chunk_is_used_to_its_last_byte)
{
	struct ps_arena_mark empty = ps_mark(self->arena);
	struct ps_cursor cursor;
	char(*first)[8] = NULL, (*second)[8] = NULL;

	if (is_checked(self->arena))
		SKIP(return, "there are red zones");
	for (int way = 0; way < 6; way++) {
		volatile size_t rest = 16, align = 16;

		ps_rewind(self->arena, empty);
		ASSERT_NE(NULL, ps_alloc(self->arena, self->arena->end - self->arena->cur - 16));
		cursor = ps_cursor_open(self->arena);
		ASSERT_TRUE(way == 0 ? !!ps_alloc(self->arena, 16) :
			    way == 1 ? !!ps_alloc(self->arena, rest) :
			    way == 2 ? !!ps_alloc_aligned(self->arena, rest, align) :
			    way == 3 ? PS_NEW2(self->arena, char[8], first, char[8], second) :
			    way == 4 ? !!ps_cursor_alloc(&cursor, 16) :
				       !!ps_cursor_alloc(&cursor, rest));
		if (way > 3)
			ps_cursor_close(&cursor);
		EXPECT_EQ(self->arena->end, self->arena->cur);
		EXPECT_EQ(1, stats_of(self->arena).chunks);
	}
	EXPECT_EQ(first + 1, second);
}

TEST_F(arena, size_zero_gives_a_valid_pointer)
{
	volatile size_t zero = 0;

	EXPECT_NE(NULL, ps_alloc(self->arena, 0));
	EXPECT_NE(NULL, ps_alloc(self->arena, zero));
	EXPECT_NE(NULL, ps_alloc_aligned(self->arena, zero, 64));
}

TEST_F(arena, every_alignment_up_to_a_page_is_obeyed)
{
	for (size_t align = 1; align <= PS_PAGE_SIZE; align *= 2) {
		for (size_t size = 1; size < 30000; size = size * 3 + 1) {
			char *object = ps_alloc_aligned(self->arena, size, align);

			ASSERT_NE(NULL, object);
			ASSERT_EQ(0, (uintptr_t)object % align);
			ASSERT_TRUE(ps_arena_owns(self->arena, object + size - 1));
			memset(object, 1, size);
		}
	}
}

TEST_F(arena, bad_alignment_is_einval)
{
	static const size_t alignments[] = {0, 3, 24, 2 * PS_PAGE_SIZE, SIZE_MAX};

	for (size_t i = 0; i < ARRAY_SIZE(alignments); i++) {
		errno = 0;
		EXPECT_EQ(NULL, ps_alloc_aligned(self->arena, 8, alignments[i]));
		EXPECT_EQ(EINVAL, errno);
	}
}

TEST_F(arena, size_that_overflows_is_enomem_and_leaves_the_arena_as_it_was)
{
	struct ps_arena before = *self->arena;
	uint64_t held = stats().bytes_held;
	volatile size_t align = 4096;

	for (size_t below = 0; below < 64; below++) {
		volatile size_t size = SIZE_MAX - below;

		errno = 0;
		EXPECT_EQ(NULL, ps_alloc(self->arena, size));
		EXPECT_EQ(ENOMEM, errno);
		EXPECT_EQ(NULL, ps_alloc_aligned(self->arena, size, 4096));
		EXPECT_EQ(NULL, ps_alloc_aligned(self->arena, size, align));
	}
	EXPECT_EQ(NULL, ps_alloc(self->arena, SIZE_MAX));
	EXPECT_EQ(NULL, ps_alloc(self->arena, PS_SPAN_MAX));
	EXPECT_EQ(NULL, ps_new_n(self->arena, uint64_t, SIZE_MAX / 8 + 2));
	EXPECT_EQ(0, memcmp(&before, self->arena, sizeof(before)));
	EXPECT_EQ(held, stats().bytes_held);
}

TEST_F(arena, objects_of_a_type_are_aligned_as_it_asks)
{
	struct wide {
		_Alignas(64) char bytes[65];
	};
	struct wide *one, *many;

	ps_alloc(self->arena, 1);
	one = ps_new(self->arena, struct wide);
	many = ps_new_n(self->arena, struct wide, 100);
	ASSERT_NE(NULL, one);
	ASSERT_NE(NULL, many);
	EXPECT_EQ(0, (uintptr_t)one % 64);
	EXPECT_EQ(0, (uintptr_t)many % 64);
	memset(many, 1, 100 * sizeof(*many));
	EXPECT_TRUE(ps_arena_owns(self->arena, many[99].bytes + 64));
	for (int i = 0; i < 1000; i++) {
		one = ps_new(self->arena, struct wide);
		ASSERT_EQ(0, (uintptr_t)one % 64);
		ASSERT_TRUE(ps_arena_owns(self->arena, one->bytes + sizeof(*one) - 1));
	}
}

TEST_F(arena, large_object_does_not_abandon_the_current_chunk)
{
	char *first = ps_alloc(self->arena, 16);
	char *second = ps_alloc(self->arena, 16);
	char *large = ps_alloc(self->arena, 1 << 20);
	char *third = ps_alloc(self->arena, 16);

	ASSERT_NE(NULL, large);
	memset(large, 1, 1 << 20);
	EXPECT_EQ(second - first, third - second);
}

TEST_F(arena, more_than_a_quarter_of_the_chunk_to_come_is_a_large_object)
{
	ASSERT_NE(NULL, ps_alloc(self->arena, 7000));
	ASSERT_NE(NULL, ps_alloc(self->arena, 2 * PS_PAGE_SIZE / 4 + 50));
	EXPECT_EQ(1, stats_of(self->arena).large);
	EXPECT_EQ(1, stats_of(self->arena).chunks);
	ASSERT_NE(NULL, ps_alloc(self->arena, 2 * PS_PAGE_SIZE / 4 - 100));
	EXPECT_EQ(1, stats_of(self->arena).large);
	EXPECT_EQ(2, stats_of(self->arena).chunks);
}

TEST_F(arena, large_objects_do_not_make_later_chunks_larger)
{
	size_t before;

	for (int i = 0; i < 10; i++)
		ASSERT_NE(NULL, ps_alloc(self->arena, 1 << 20));
	before = stats_of(self->arena).bytes_held;
	for (int i = 0; i < 5; i++)
		ASSERT_NE(NULL, ps_alloc(self->arena, 2000));
	EXPECT_GE(before + 2 * PS_PAGE_SIZE, stats_of(self->arena).bytes_held);
	EXPECT_LT(before, stats_of(self->arena).bytes_held);
}

TEST_F(arena, chunks_grow_as_stated)
{
	/* What is held when a further chunk has come: each as large as all before, up to 1 MiB. */
	static const size_t held[] = {2, 4, 8, 16, 32, 64, 128, 256, 512, 768, 1024};

	for (size_t i = 0; i < ARRAY_SIZE(held); i++) {
		EXPECT_EQ(held[i] * PS_PAGE_SIZE, stats_of(self->arena).bytes_held);
		while (stats_of(self->arena).chunks == i + 1)
			ASSERT_NE(NULL, ps_alloc(self->arena, 1000));
	}
}

TEST_F(arena, unused_tail_pages_of_a_chunk_go_back)
{
	struct ps_arena_options options = {.size = sizeof(options), .chunk_bytes = 1 << 20};
	struct ps_arena *arena;
	uint64_t held;

	arena = ps_arena_create(&options);
	ASSERT_NE(NULL, arena);
	held = stats().bytes_held;
	/* Five fit in the first chunk, and leave 11 whole pages of its 256. */
	for (int i = 0; i < 6; i++)
		ASSERT_NE(NULL, ps_alloc(arena, 200000));
	EXPECT_EQ(held + (1 << 20) - 11 * PS_PAGE_SIZE, stats().bytes_held);
	/* They no longer count as kept. */
	ps_arena_reset(arena, (2 << 20) - 11 * PS_PAGE_SIZE);
	EXPECT_EQ(2, stats_of(arena).chunks);
	ps_arena_destroy(arena);
}

TEST_F(arena, hundred_arenas_of_a_small_object_hold_two_pages_each)
{
	struct ps_arena *arenas[100];

	for (int i = 0; i < 100; i++) {
		arenas[i] = ps_arena_create(NULL);
		ASSERT_NE(NULL, ps_alloc(arenas[i], 16));
	}
	EXPECT_EQ(self->held + 101 * 2 * PS_PAGE_SIZE, stats().bytes_held);
	for (int i = 0; i < 100; i++)
		ps_arena_destroy(arenas[i]);
}

static bool fill_with(struct ps_arena *arena, size_t bytes)
{
	for (size_t i = 0; i < bytes; i += 1000) {
		char *object = ps_alloc(arena, 1000);

		if (!object)
			return false;
		memset(object, (int)i, 1000);
	}
	return true;
}

TEST_F(arena, reset_keeps_chunks_up_to_the_cap_and_uses_them_again)
{
	struct ps_arena_stats full, kept;

	ASSERT_TRUE(fill_with(self->arena, 5 << 20));
	ASSERT_NE(NULL, ps_alloc(self->arena, 3 << 20));
	full = stats_of(self->arena);
	EXPECT_EQ(1, full.large);
	EXPECT_EQ(self->held + full.bytes_held, stats().bytes_held);

	ps_arena_reset(self->arena, SIZE_MAX);
	kept = stats_of(self->arena);
	EXPECT_EQ(full.chunks, kept.chunks);
	EXPECT_EQ(0, kept.large);
	EXPECT_EQ(0, kept.bytes_used);
	ASSERT_TRUE(fill_with(self->arena, 5 << 20));
	EXPECT_EQ(kept.bytes_held, stats_of(self->arena).bytes_held);

	ps_arena_reset(self->arena, 1 << 20);
	kept = stats_of(self->arena);
	EXPECT_GE(1 << 20, kept.bytes_held);
	EXPECT_LT(1 << 19, kept.bytes_held);
	EXPECT_EQ(self->held + kept.bytes_held, stats().bytes_held);

	ps_arena_reset(self->arena, 0);
	EXPECT_EQ(1, stats_of(self->arena).chunks);
	EXPECT_EQ(self->held + 2 * PS_PAGE_SIZE, stats().bytes_held);
}

TEST_F(arena, reset_again_and_again_does_not_grow)
{
	size_t held = 0;

	for (int i = 0; i < 20; i++) {
		ASSERT_TRUE(fill_with(self->arena, 300000));
		ASSERT_NE(NULL, ps_alloc(self->arena, 700000));
		if (i == 1)
			held = stats_of(self->arena).bytes_held;
		if (i > 1)
			EXPECT_EQ(held, stats_of(self->arena).bytes_held);
		ps_arena_reset(self->arena, SIZE_MAX);
	}
}

TEST_F(arena, rewind_frees_what_the_mark_did_not_have)
{
	struct ps_arena_mark mark;
	struct ps_arena_stats then, now;
	char *before, *first = NULL;

	ASSERT_TRUE(fill_with(self->arena, 20000));
	before = ps_strdup(self->arena, "before");
	ASSERT_NE(NULL, ps_alloc(self->arena, 1 << 20));
	then = stats_of(self->arena);
	mark = ps_mark(self->arena);
	for (int i = 0; i < 3; i++) {
		char *object = ps_alloc(self->arena, 16);

		EXPECT_TRUE(!first || object == first);
		first = object;
		ASSERT_TRUE(fill_with(self->arena, 500000));
		ASSERT_NE(NULL, ps_alloc(self->arena, 2 << 20));
		ps_rewind(self->arena, mark);
		now = stats_of(self->arena);
		EXPECT_EQ(then.chunks, now.chunks);
		EXPECT_EQ(then.large, now.large);
		EXPECT_EQ(then.bytes_used, now.bytes_used);
		EXPECT_GE(then.bytes_held, now.bytes_held);
		EXPECT_EQ(self->held + now.bytes_held, stats().bytes_held);
	}
	EXPECT_EQ(0, strcmp(before, "before"));
}

TEST_F(arena, marks_nest)
{
	struct ps_arena_mark outer, inner;
	char *a, *b;

	outer = ps_mark(self->arena);
	a = ps_alloc(self->arena, 100);
	ASSERT_TRUE(fill_with(self->arena, 50000));
	inner = ps_mark(self->arena);
	b = ps_alloc(self->arena, 100);
	ASSERT_TRUE(fill_with(self->arena, 50000));
	ps_rewind(self->arena, inner);
	EXPECT_EQ(b, ps_alloc(self->arena, 100));
	ps_rewind(self->arena, outer);
	EXPECT_EQ(a, ps_alloc(self->arena, 100));
}

/* The object before the mark shrinks, and the chunk is left: pages that the mark had go back. */
TEST_F(arena, rewind_stays_out_of_pages_that_were_given_back)
{
	struct ps_arena_options options = {.size = sizeof(options), .chunk_bytes = 1 << 20};
	struct ps_arena *arena = ps_arena_create(&options);
	struct ps_arena_mark mark;
	struct ps_arena_stats now;
	char *object;

	ASSERT_NE(NULL, arena);
	for (int i = 0; i < 5; i++)
		ASSERT_NE(NULL, ps_alloc(arena, 200000));
	object = ps_alloc(arena, 40000);
	mark = ps_mark(arena);
	ps_shrink_last(arena, object, 40000, 0);
	ASSERT_NE(NULL, ps_alloc(arena, 200000));
	ps_rewind(arena, mark);
	EXPECT_LE(arena->cur, arena->end);
	now = stats_of(arena);
	EXPECT_LE(now.bytes_used, now.bytes_held);
	ASSERT_TRUE(ps_arena_owns(arena, (char *)ps_alloc(arena, 8)));
	ps_arena_destroy(arena);
}

TEST_F(arena, adopted_objects_stay_where_they_are)
{
	struct ps_arena *other = ps_arena_create(NULL);
	struct ps_arena_mark mark = ps_mark(self->arena);
	char *strings[3000], *large;
	char text[32];

	for (int i = 0; i < 3000; i++)
		strings[i] = ps_printf(other, "string %d", i);
	large = ps_alloc(other, 1 << 20);
	memset(large, 7, 1 << 20);
	ASSERT_NE(NULL, ps_alloc(self->arena, 1 << 20));
	ps_arena_adopt(self->arena, other);
	ASSERT_TRUE(fill_with(self->arena, 100000));
	for (int i = 0; i < 3000; i++) {
		snprintf(text, sizeof(text), "string %d", i);
		ASSERT_EQ(0, strcmp(text, strings[i]));
		ASSERT_TRUE(ps_arena_owns(self->arena, strings[i]));
	}
	EXPECT_EQ(7, large[(1 << 20) - 1]);
	EXPECT_TRUE(ps_arena_owns(self->arena, large));
	EXPECT_EQ(self->held + stats_of(self->arena).bytes_held, stats().bytes_held);
	ps_rewind(self->arena, mark);
	EXPECT_EQ(self->held + 2 * PS_PAGE_SIZE, stats().bytes_held);
}

TEST_F(arena, what_an_adopted_arena_did_not_use_goes_back)
{
	struct ps_arena *other = ps_arena_create(NULL);
	struct ps_arena_stats now;

	ASSERT_TRUE(fill_with(other, 500000));
	ps_arena_reset(other, SIZE_MAX);
	ASSERT_TRUE(fill_with(other, 20000));
	ps_arena_adopt(self->arena, other);
	now = stats_of(self->arena);
	/* Two pages of its own, and less than one of each of the three chunks of the other. */
	EXPECT_LE(now.bytes_held, now.bytes_used + 4 * PS_PAGE_SIZE);
	EXPECT_EQ(self->held + now.bytes_held, stats().bytes_held);
}

TEST_F(arena, owns_its_objects_and_nothing_else)
{
	char *small = ps_alloc(self->arena, 16), *large = ps_alloc(self->arena, 100000);
	struct ps_arena_mark mark = ps_mark(self->arena);
	char *later;
	int local;

	EXPECT_TRUE(ps_arena_owns(self->arena, small));
	EXPECT_TRUE(ps_arena_owns(self->arena, small + 15));
	EXPECT_TRUE(ps_arena_owns(self->arena, large + 99999));
	if (!is_checked(self->arena))
		EXPECT_FALSE(ps_arena_owns(self->arena, large + 100000));
	EXPECT_FALSE(ps_arena_owns(self->arena, large - 1));
	EXPECT_FALSE(ps_arena_owns(self->arena, (void *)self->arena->cur));
	EXPECT_FALSE(ps_arena_owns(self->arena, self->arena));
	EXPECT_FALSE(ps_arena_owns(self->arena, &local));
	EXPECT_FALSE(ps_arena_owns(self->arena, NULL));
	ASSERT_TRUE(fill_with(self->arena, 100000));
	EXPECT_TRUE(ps_arena_owns(self->arena, small));
	later = ps_alloc(self->arena, 16);
	EXPECT_TRUE(ps_arena_owns(self->arena, later));
	ps_rewind(self->arena, mark);
	EXPECT_FALSE(ps_arena_owns(self->arena, later));
	EXPECT_TRUE(ps_arena_owns(self->arena, large));
}

TEST_F(arena, limit_bounds_what_is_held_and_is_used_up)
{
	uint64_t held;

	ps_arena_limit(self->arena, 1 << 20);
	errno = 0;
	while (ps_alloc(self->arena, 500))
		;
	EXPECT_EQ(ENOMEM, errno);
	held = stats_of(self->arena).bytes_held;
	EXPECT_GE(1 << 20, held);
	EXPECT_LT((1 << 20) - 2 * PS_PAGE_SIZE, held);
	EXPECT_EQ(NULL, ps_alloc(self->arena, 1 << 20));
	ps_arena_limit(self->arena, SIZE_MAX);
	EXPECT_NE(NULL, ps_alloc(self->arena, 1 << 20));
}

TEST_F(arena, limit_itself_may_be_held)
{
	ps_arena_limit(self->arena, 4 * PS_PAGE_SIZE);
	while (ps_alloc(self->arena, 500))
		;
	EXPECT_EQ(4 * PS_PAGE_SIZE, stats_of(self->arena).bytes_held);
	ps_arena_limit(self->arena, 20 * PS_PAGE_SIZE - 1);
	EXPECT_EQ(NULL, ps_alloc(self->arena, 15 * PS_PAGE_SIZE + 1));
	ps_arena_limit(self->arena, 20 * PS_PAGE_SIZE);
	EXPECT_NE(NULL, ps_alloc(self->arena, 15 * PS_PAGE_SIZE + 1));
}

TEST_F(arena, last_object_is_extended_in_place_or_not_at_all)
{
	char *object = ps_alloc(self->arena, 20), *next;
	struct ps_arena before;

	if (is_checked(self->arena)) {
		EXPECT_EQ(-ENOMEM, ps_extend_last(self->arena, object, 20, 30));
		return;
	}
	EXPECT_EQ(0, ps_extend_last(self->arena, object, 20, 101));
	next = ps_alloc(self->arena, 8);
	EXPECT_EQ(object + 104, next);
	before = *self->arena;
	EXPECT_EQ(-ENOMEM, ps_extend_last(self->arena, object, 101, 102));
	EXPECT_EQ(-ENOMEM, ps_extend_last(self->arena, next, 8, 3 * PS_PAGE_SIZE));
	EXPECT_EQ(-ENOMEM, ps_extend_last(self->arena, next, 8, SIZE_MAX));
	EXPECT_EQ(-ENOMEM, ps_extend_last(self->arena, next, 8, SIZE_MAX - 15));
	ps_shrink_last(self->arena, object, 101, 1);
	EXPECT_EQ(0, memcmp(&before, self->arena, sizeof(before)));
	EXPECT_EQ(0, ps_extend_last(self->arena, next, 8, self->arena->end - (uintptr_t)next));
	EXPECT_EQ(self->arena->end, self->arena->cur);
	ps_shrink_last(self->arena, next, self->arena->end - (uintptr_t)next, 9);
	EXPECT_EQ(next + 16, ps_alloc(self->arena, 8));
}

TEST_F(arena, zeros_are_zeros_in_memory_used_before)
{
	unsigned char *object;

	ASSERT_TRUE(fill_with(self->arena, 100000));
	ps_arena_reset(self->arena, SIZE_MAX);
	for (int i = 0; i < 90; i++) {
		object = ps_alloc_zero(self->arena, 1001);
		for (int j = 0; j < 1001; j++)
			ASSERT_EQ(0, object[j]);
	}
	EXPECT_EQ(NULL, ps_alloc_zero(self->arena, PS_SPAN_MAX));
}

TEST_F(arena, group_is_allocated_as_a_whole)
{
	struct wide {
		_Alignas(64) char bytes[3];
	};
	char *one = NULL, (*many)[100] = NULL, (*huge)[1000000] = NULL;
	uint64_t *eight = NULL, *p5 = NULL, *p6 = NULL, *p7 = NULL, *p8 = NULL;
	struct wide *wide = NULL;

	ASSERT_TRUE(PS_NEW3(self->arena, char, one, uint64_t, eight, char[100], many));
	EXPECT_EQ(one + 8, (char *)eight);
	EXPECT_EQ(one + 16, (char *)many);
	ASSERT_TRUE(PS_NEW2(self->arena, char, one, struct wide, wide));
	EXPECT_EQ(0, (uintptr_t)wide % 64);
	for (int i = 0; i < 1000; i++) {
		ASSERT_TRUE(PS_NEW8(self->arena, char, one, uint64_t, eight, char[100], many,
				    struct wide, wide, uint64_t, p5, uint64_t, p6, uint64_t, p7,
				    uint64_t, p8));
		memset(one, 1, 1);
		memset(many, 2, 100);
		memset(wide, 3, sizeof(*wide));
		*eight = *p5 = *p6 = *p7 = *p8 = i;
	}
	ps_arena_limit(self->arena, 0);
	one = NULL;
	eight = NULL;
	EXPECT_FALSE(PS_NEW2(self->arena, char, one, char[1000000], huge));
	EXPECT_EQ(NULL, one);
	EXPECT_EQ(NULL, huge);
}

TEST_F(arena, reserved_room_holds_what_was_reserved)
{
	for (size_t bytes = 0; bytes < 300000; bytes = bytes * 2 + 40) {
		struct ps_room room = ps_reserve(self->arena, bytes);
		char *other = ps_alloc(self->arena, 64);

		ASSERT_NE(NULL, room.at);
		memset(other, 9, 64);
		for (size_t i = 0; i + 40 <= bytes; i += 40) {
			char *object = ps_take(&room, 37);

			ASSERT_EQ(0, (uintptr_t)object % PS_ARENA_ALIGN);
			memset(object, 1, 37);
		}
		for (int i = 0; i < 64; i++)
			ASSERT_EQ(9, other[i]);
	}
	EXPECT_EQ(NULL, ps_reserve(self->arena, SIZE_MAX).at);
}

#ifdef PS_ARENA_SANITIZED
TEST_F_SIGNAL(arena, taking_more_than_was_reserved_traps, SIGILL)
{
	struct ps_room room = ps_reserve(self->arena, 40);

	ps_take(&room, 40);
	ps_take(&room, 1);
}
#endif

TEST_F(arena, cursor_allocates_as_the_arena_does)
{
	uint64_t *previous = NULL;
	struct ps_cursor cursor = ps_cursor_open(self->arena);

	for (uint64_t i = 0; i < 100000; i++) {
		volatile size_t size = 8 + i % 50;
		uint64_t *object = i % 2 ? ps_cursor_alloc(&cursor, 16) :
					   ps_cursor_alloc(&cursor, size + 8);

		ASSERT_NE(NULL, object);
		object[0] = (uintptr_t)previous;
		object[1] = i;
		previous = object;
	}
	EXPECT_EQ(NULL, ps_cursor_alloc(&cursor, SIZE_MAX));
	ps_cursor_close(&cursor);
	for (uint64_t i = 100000; i-- > 0; previous = (uint64_t *)previous[0])
		ASSERT_EQ(i, previous[1]);
	EXPECT_EQ(NULL, previous);
	EXPECT_NE(NULL, ps_alloc(self->arena, 16));
}

TEST_F(arena, strings_are_copied_and_made)
{
	static const char unended[3] = {'a', 'b', 'c'};
	char *long_string;

	EXPECT_EQ(0, strcmp("", ps_strdup(self->arena, "")));
	EXPECT_EQ(0, strcmp("abc", ps_strdup(self->arena, "abc")));
	EXPECT_EQ(0, strcmp("abc", ps_strndup(self->arena, unended, 3)));
	EXPECT_EQ(0, strcmp("ab", ps_strndup(self->arena, "ab", SIZE_MAX)));
	EXPECT_EQ(0, strcmp("", ps_strndup(self->arena, "ab", 0)));
	EXPECT_EQ(0, strcmp("7 x", ps_printf(self->arena, "%d %s", 7, "x")));
	EXPECT_EQ(0, strcmp("", ps_printf(self->arena, "%s", "")));
	for (int length = 4000; length < 40000; length += 1001) {
		long_string = ps_printf(self->arena, "%0*d", length, 5);
		ASSERT_NE(NULL, long_string);
		EXPECT_EQ(length, strlen(long_string));
		EXPECT_EQ('5', long_string[length - 1]);
	}
	ps_arena_limit(self->arena, 0);
	EXPECT_EQ(NULL, ps_printf(self->arena, "%0*d", 3000000, 5));
}

TEST_F(arena, success_leaves_errno_alone)
{
	errno = 4711;
	ASSERT_TRUE(fill_with(self->arena, 3 << 20));
	ASSERT_NE(NULL, ps_alloc(self->arena, 3 << 20));
	EXPECT_EQ(4711, errno);
}

TEST_F(arena, stats_know_members_that_the_library_does_not)
{
	unsigned char larger[sizeof(struct ps_arena_stats) + 8];

	memset(larger, 0xff, sizeof(larger));
	EXPECT_EQ(0, ps_arena_stats(self->arena, (struct ps_arena_stats *)larger, sizeof(larger)));
	EXPECT_EQ(0, larger[sizeof(larger) - 1]);
	EXPECT_EQ(-EINVAL, ps_arena_stats(self->arena, (struct ps_arena_stats *)larger, 0));
}

TEST_F(arena, small_arena_holds_two_pages)
{
	EXPECT_EQ(self->held + 2 * PS_PAGE_SIZE, stats().bytes_held);
}

TEST(options_out_of_range_are_einval)
{
	static const size_t bad_bytes[] = {1, 4095, 4097, (1 << 20) + 4096, SIZE_MAX};
	struct ps_arena_options options = {0};

	EXPECT_EQ(NULL, ps_arena_create(&options));
	EXPECT_EQ(EINVAL, errno);
	options.size = sizeof(options);
	options.flags = PS_ARENA_DEBUG << 1;
	EXPECT_EQ(NULL, ps_arena_create(&options));
	options.flags = 0;
	for (size_t i = 0; i < ARRAY_SIZE(bad_bytes); i++) {
		options.chunk_bytes = bad_bytes[i];
		errno = 0;
		EXPECT_EQ(NULL, ps_arena_create(&options));
		EXPECT_EQ(EINVAL, errno);
	}
}

TEST(destroying_nothing_is_allowed)
{
	ps_arena_destroy(NULL);
}

/* The pool runs out: every allocation that fails leaves a usable arena. */
TEST(exhausted_pool_is_enomem_and_the_arena_stays_usable)
{
	struct ps_arena *arena;
	size_t count = 0;
	uint64_t *object, *previous = NULL;

	if (strcmp(ps_backend(), "memory"))
		SKIP(return, "needs a pool of its own");
	ASSERT_EQ(0, setenv("PAGESPAN_MEMORY_MB", "4", 1));
	ASSERT_EQ(0, setenv("PAGESPAN_BACKEND", "memory", 1));
	if (fork()) {
		int status;

		wait(&status);
		ASSERT_EQ(0, status);
		return;
	}
	arena = ps_arena_create(NULL);
	while ((object = ps_alloc(arena, 1000))) {
		object[0] = (uintptr_t)previous;
		object[1] = count++;
		previous = object;
	}
	if (errno != ENOMEM || count < 2000)
		_exit(1);
	for (object = previous; object; object = (uint64_t *)object[0])
		if (object[1] != --count)
			_exit(2);
	ps_arena_destroy(arena);
	_exit(stats().bytes_held ? 3 : 0);
}

TEST_HARNESS_MAIN
