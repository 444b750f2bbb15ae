/* SPDX-License-Identifier: MIT */
/*
 * Spans of large objects that a reset kept, for large objects to come.
 *
 * The list is short, so that every look through it is bounded.  A large object takes
 * the front of the smallest span that it fits, and the rest stays kept: an object
 * that grows finds it behind itself.  Neighbours are one span again when they are kept.
 *
 *	large ──► ┌───────┬────────┐┌───────┬──────────────┐ ◄── kept
 *	          │ chunk │ object ││ chunk │              │
 *	          └───────┴────────┘└───────┴──────────────┘
 *
 * Of a kept span's head only next and end mean anything.  Checked arenas keep none.
 */
#ifndef PAGESPAN_ARENA_KEPT_H
#define PAGESPAN_ARENA_KEPT_H

#include "arena_chunk.h"

#define KEPT_MAX 8

/* Keeps a span, which is in no list any more.  Where there are enough, the smallest is given back.
 */
void kept_add(struct arena *arena, struct chunk *span);

/* Gives back all of them. */
void kept_put_all(struct arena *arena);

/* The link to the smallest span of so many bytes or more; NULL if there is none. */
static inline struct chunk **kept_for(struct arena *arena, size_t bytes)
{
	struct chunk **link, **best = NULL;

	for (link = &arena->kept; *link; link = &(*link)->next)
		if (chunk_size(*link) >= bytes && (!best || chunk_size(*link) < chunk_size(*best)))
			best = link;
	return best;
}

/* The link to the span that begins at an address; NULL if there is none. */
static inline struct chunk **kept_at(struct arena *arena, uintptr_t start)
{
	struct chunk **link;

	for (link = &arena->kept; *link; link = &(*link)->next)
		if ((uintptr_t)*link == start)
			return link;
	return NULL;
}

/* Takes the front of a kept span, all of it if that is its size.  It stays in arena->held. */
static inline char *kept_take(struct chunk **link, size_t bytes)
{
	struct chunk *span = *link, *rest;

	if (chunk_size(span) == bytes) {
		*link = span->next;
	} else {
		rest = (struct chunk *)((char *)span + bytes);
		rest->next = span->next;
		rest->end = span->end;
		*link = rest;
	}
	return (char *)span;
}

#endif
