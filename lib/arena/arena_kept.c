// SPDX-License-Identifier: MIT
/* Spans come to be kept, and are given back. */
#include "arena_kept.h"

#include "arena_large.h"

static struct chunk *unlink_kept(struct chunk **link)
{
	struct chunk *span = *link;

	*link = span->next;
	span->zoned = false;
	return span;
}

/* The link to the smallest one if there are enough, else NULL. */
static struct chunk **smallest_of_enough(struct arena *arena)
{
	struct chunk **link, **smallest = &arena->kept;
	int count = 0;

	for (link = smallest; *link; link = &(*link)->next) {
		if (chunk_size(*link) < chunk_size(*smallest))
			smallest = link;
		count++;
	}
	return count < KEPT_MAX ? NULL : smallest;
}

/* Makes one span of two if they are neighbours. */
static bool merge_kept(struct arena *arena, struct chunk *span)
{
	struct chunk **link;

	for (link = &arena->kept; *link; link = &(*link)->next) {
		if ((*link)->end == (uintptr_t)span) {
			(*link)->end = span->end;
			return true;
		}
		if (span->end == (uintptr_t)*link) {
			span->next = (*link)->next;
			span->end = (*link)->end;
			*link = span;
			return true;
		}
	}
	return false;
}

void kept_add(struct arena *arena, struct chunk *span)
{
	struct chunk **smallest;

	if (merge_kept(arena, span))
		return;
	smallest = smallest_of_enough(arena);
	if (smallest) {
		if (chunk_size(*smallest) >= chunk_size(span)) {
			arena_put_chunk(arena, span);
			return;
		}
		arena_put_chunk(arena, unlink_kept(smallest));
	}
	span->next = arena->kept;
	arena->kept = span;
}

void kept_put_all(struct arena *arena)
{
	while (arena->kept)
		arena_put_chunk(arena, unlink_kept(&arena->kept));
}
