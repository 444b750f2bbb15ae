/* SPDX-License-Identifier: MIT */
/* An arena, and what the tests of large objects ask about it. */
#ifndef PAGESPAN_LIB_ARENA_LARGE_H
#define PAGESPAN_LIB_ARENA_LARGE_H

#include <errno.h>
#include <pagespan.h>
#include <pagespan/arena.h>
#include <stdlib.h>
#include <string.h>

#include "../harness.h"

#define MIB      ((size_t)1 << 20)

FIXTURE(arena_large)
{
	struct ps_arena *arena;
	uint64_t held;
};

static inline uint64_t held_by_all(void)
{
	struct ps_stats now = {0};

	if (ps_stats(&now, sizeof(now)))
		abort();
	return now.bytes_held;
}

FIXTURE_SETUP(arena_large)
{
	self->held = held_by_all();
	self->arena = ps_arena_create(NULL);
	ASSERT_NE(NULL, self->arena);
}

FIXTURE_TEARDOWN(arena_large)
{
	ps_arena_destroy(self->arena);
	EXPECT_EQ(self->held, held_by_all());
}

static inline struct ps_arena_stats stats_of(const struct ps_arena *arena)
{
	struct ps_arena_stats now = {0};

	if (ps_arena_stats(arena, &now, sizeof(now)))
		abort();
	return now;
}

static inline size_t held_by(const struct ps_arena *arena)
{
	return stats_of(arena).bytes_held;
}

/* Of a checked arena, as all are under AddressSanitizer, no large object changes where it is. */
static inline bool is_checked(const struct ps_arena *arena)
{
	return arena->cur == arena->end;
}

#define SKIP_IF_CHECKED()                                    \
	do {                                                 \
		if (is_checked(self->arena))                 \
			SKIP(return, "there are red zones"); \
	} while (0)

static inline char *start_of_page(const void *ptr)
{
	return (char *)((uintptr_t)ptr & ~(uintptr_t)(PS_PAGE_SIZE - 1));
}

static inline char *alloc_filled(struct ps_arena *arena, size_t size)
{
	char *object = ps_alloc(arena, size);

	return object ? memset(object, (int)(size % 251), size) : NULL;
}

static inline bool is_filled(const char *object, size_t size, size_t as)
{
	for (size_t i = 0; i < size; i++)
		if (object[i] != (char)(as % 251))
			return false;
	return true;
}

/*
 * A large object that cannot grow where it is: it was longer, and the page behind it is the test's
 * now, which has to free it.
 */
static inline char *alloc_blocked(struct ps_arena *arena, size_t size, void **block)
{
	char *object = alloc_filled(arena, size), *span = start_of_page(object), *end;

	ps_extend_last(arena, object, size, size + 2 * PS_PAGE_SIZE);
	ps_shrink_last(arena, object, size + 2 * PS_PAGE_SIZE, size);
	end = start_of_page(object + size - 1) + PS_PAGE_SIZE;
	*block = ps_span_extend(span, (size_t)(end - span), (size_t)(end - span) + PS_PAGE_SIZE) ?
			 NULL :
			 end;
	return object;
}

#endif
