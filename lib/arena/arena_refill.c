// SPDX-License-Identifier: MIT
/*
 * The arena's slow path as long as the span cache serves it.
 *
 * Compiled for general registers only: arena_refill_*.S calls it with the
 * vector registers of the program in place.  No libc, no system call.
 */
#include "arena_refill.h"
#include "../span/cache.h"

void *arena_refill_cached(struct ps_arena *bump, size_t size)
{
	struct arena *arena = arena_of(bump);

	if (size > PS_SPAN_MAX || arena->owner)
		return NULL;
	return refill(arena, ps_arena_rounded(size), cache_take, cache_put, false);
}
