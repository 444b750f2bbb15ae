/* SPDX-License-Identifier: MIT */
/*
 * The least that a bump allocator can do: one buffer that is large enough for everything, so what
 * happens at its end is not worth a thought. A size that varies is rounded up, and one that is too
 * large is noticed: without that it would be less than a program can use.
 */
#include <stdlib.h>
#include <string.h>

#include "arena.h"

struct ideal {
	char *cur;
	char *end;
	char *start;
};

static void *subject_open(void)
{
	struct ideal *ideal = malloc(sizeof(*ideal));
	char *buffer = malloc(ARENA_BUFFER);

	if (!ideal || !buffer)
		abort();
	memset(buffer, 0, ARENA_BUFFER);
	*ideal = (struct ideal){.cur = buffer, .end = buffer + ARENA_BUFFER, .start = buffer};
	return ideal;
}

static void subject_close(void *state)
{
	struct ideal *ideal = state;

	free(ideal->start);
	free(ideal);
}

static __attribute__((noinline, cold)) void *ideal_full(void)
{
	abort();
}

static inline __attribute__((always_inline)) void *ideal_alloc(struct ideal *ideal, size_t size)
{
	char *object = ideal->cur;

	if (__builtin_constant_p(size)) {
		if (__builtin_expect(object + size > ideal->end, 0))
			return ideal_full();
		ideal->cur = object + size;
	} else {
		if (__builtin_expect(size > (size_t)(ideal->end - object), 0))
			return ideal_full();
		ideal->cur = object + ((size + 7) & ~(size_t)7);
	}
	return object;
}
