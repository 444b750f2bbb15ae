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

TEST_F(arena, constant_sizes_are_served_from_consecutive_addresses)
{
	char *first = ps_alloc(self->arena, 16);
	char *second = ps_alloc(self->arena, 3);
	char *third = ps_alloc(self->arena, 40);

	EXPECT_EQ(first + 16, second);
	EXPECT_EQ(second + 8, third);
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

	for (size_t below = 0; below < 64; below++) {
		volatile size_t size = SIZE_MAX - below;

		errno = 0;
		EXPECT_EQ(NULL, ps_alloc(self->arena, size));
		EXPECT_EQ(ENOMEM, errno);
		EXPECT_EQ(NULL, ps_alloc_aligned(self->arena, size, 4096));
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
}

TEST_F(arena, large_object_does_not_abandon_the_current_chunk)
{
	char *before = ps_alloc(self->arena, 16);
	char *large = ps_alloc(self->arena, 1 << 20);
	char *after = ps_alloc(self->arena, 16);

	ASSERT_NE(NULL, large);
	memset(large, 1, 1 << 20);
	EXPECT_EQ(before + 16, after);
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
	ps_arena_destroy(arena);
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
