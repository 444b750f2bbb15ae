/* SPDX-License-Identifier: MIT */
/*
 * The inside of an arena; how it gets its chunks is in arena_refill.h.
 *
 * An arena sits inside its first chunk.  Its chunks are linked in the order in
 * which they were acquired; those behind the current one are empty and wait to
 * be used (again).  Spans of large objects, and of adopted arenas, form a stack
 * of their own; a mark remembers the top of it.  Spans that a reset kept for large
 * objects to come are in a third list: see arena_kept.h.
 *
 *	first                       current                 last
 *	┌───────┬───────┬───────┐   ┌───────┬─────┬─────┐   ┌───────┬─────┐
 *	│ arena │ chunk │ used  │◄─►│ chunk │ used│     │◄─►│ chunk │     │
 *	└───────┴───────┴───────┘   └───────┴─────┴─────┘   └───────┴─────┘
 *	   large ──► ┌───────┬────────┐──► ...      cur ^     ^ end
 *	             │ chunk │ object │
 *	             └───────┴────────┘
 */
#ifndef PAGESPAN_ARENA_CHUNK_H
#define PAGESPAN_ARENA_CHUNK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pagespan.h"
#include "pagespan/arena.h"

#define CHUNK_DEFAULT (2 * PS_PAGE_SIZE)
#define CHUNK_MAX     ((size_t)1 << 20)

/*
 * The largest span of a medium object.  To round up to whole pages, and a head, cost a larger
 * object less than an eighth; the medium ones belong into chunks as soon as there are many.
 */
#define MEDIUM_MAX (9 * PS_PAGE_SIZE)

/*
 * struct chunk - the head of a span, in its first page; of the first chunk an arena stands before
 * it
 * @next: the chunk acquired after it, or the next span that is kept; not used for large objects
 * @previous: the chunk, or large object, acquired before it
 * @cur: the end of what is allocated; of the current chunk it is in bump, and
 *	of chunks behind that it is void
 * @end: of the span
 * @zoned: its objects have red zones behind them, see arena_check.h
 * @single: it is one large object; of the first chunk not set before it is adopted
 * @marked: a mark may remember this large object, which may neither move nor go
 */
struct chunk {
	struct chunk *next;
	struct chunk *previous;
	uintptr_t cur;
	uintptr_t end;
	bool zoned;
	bool single;
	bool marked;
};

/*
 * struct arena - the whole of an arena
 * @bump: what inlined code knows; must be first.  Of a checked arena, end is
 *	always cur, so that nothing is inlined
 * @current: the chunk that bump points into
 * @last: the chunk acquired last
 * @large: the large object acquired last, or NULL
 * @kept: the spans that are kept for large objects, or NULL
 * @held: bytes of all spans
 * @chunk_bytes: bytes of the chunks among them
 * @medium_bytes: bytes of the medium objects among them
 * @limit: of held
 * @owner: of a checked arena, its thread; else NULL
 * @first: the head of the chunk that the arena is in
 */
struct arena {
	struct ps_arena bump;
	struct chunk *current;
	struct chunk *last;
	struct chunk *large;
	struct chunk *kept;
	size_t held;
	size_t chunk_bytes;
	size_t medium_bytes;
	size_t limit;
	const void *owner;
	struct chunk first;
};

/* How refill(), of arena_refill.h, gets spans, and gives pages back: see cache.h. */
typedef void *take_span(uint32_t nr_pages);
typedef bool put_span(void *span, uint32_t nr_pages);

/*
 * The two halves of ps_arena_refill(). The first is served from the cache of the calling thread
 * alone, and is NULL if there is more to do; the second is NULL with errno.
 */
void *arena_refill_cached(struct ps_arena *bump, size_t size);
void *arena_refill_long(struct ps_arena *bump, size_t size);

static inline struct arena *arena_of(const struct ps_arena *bump)
{
	return (struct arena *)bump;
}

static inline char *chunk_start(const struct chunk *chunk)
{
	return (char *)((uintptr_t)chunk & ~(uintptr_t)(PS_PAGE_SIZE - 1));
}

static inline size_t chunk_size(const struct chunk *chunk)
{
	return chunk->end - (uintptr_t)chunk_start(chunk);
}

/* Where the first object of a chunk is, or its only one. */
static inline uintptr_t chunk_data(const struct chunk *chunk)
{
	return (uintptr_t)(chunk + 1);
}

/* What a large object counts among the medium ones. */
static inline size_t medium_size(const struct chunk *large)
{
	size_t bytes = chunk_size(large);

	return large->single && bytes <= MEDIUM_MAX ? bytes : 0;
}

static inline uint32_t pages_of(size_t bytes)
{
	return (uint32_t)(bytes / PS_PAGE_SIZE);
}

static inline size_t whole_pages(size_t bytes)
{
	return (bytes + (PS_PAGE_SIZE - 1)) & ~(PS_PAGE_SIZE - 1);
}

static inline struct chunk *make_chunk(struct arena *arena, char *span, size_t bytes)
{
	struct chunk *chunk = (struct chunk *)span;

	chunk->end = (uintptr_t)span + bytes;
	chunk->zoned = arena->owner != NULL;
	chunk->single = false;
	arena->held += bytes;
	return chunk;
}

static inline bool exceeds_limit(const struct arena *arena, size_t bytes)
{
	return bytes > arena->limit || arena->held > arena->limit - bytes;
}

/* Gives back the pages of the current chunk in which nothing was allocated. */
static inline bool trim_current(struct arena *arena, put_span *put)
{
	struct chunk *chunk = arena->current;
	uintptr_t used = whole_pages(arena->bump.cur);
	size_t tail = chunk->end - used;

	if (tail) {
		if (!put((void *)used, pages_of(tail)))
			return false;
		chunk->end = used;
		arena->held -= tail;
		arena->chunk_bytes -= tail;
	}
	return true;
}

#endif
