/* SPDX-License-Identifier: MIT */
/*
 * The inside of an arena, and how it gets its chunks.
 *
 * An arena sits inside its first chunk.  Its chunks are linked in the order in
 * which they were acquired; those behind the current one are empty and wait to
 * be used (again).  Spans of large objects, and of adopted arenas, form a stack
 * of their own; a mark remembers the top of it.
 *
 *	first                       current                 last
 *	┌───────┬───────┬───────┐   ┌───────┬─────┬─────┐   ┌───────┬─────┐
 *	│ arena │ chunk │ used  │◄─►│ chunk │ used│     │◄─►│ chunk │     │
 *	└───────┴───────┴───────┘   └───────┴─────┴─────┘   └───────┴─────┘
 *	   large ──► ┌───────┬────────┐──► ...      cur ^     ^ end
 *	             │ chunk │ object │
 *	             └───────┴────────┘
 *
 * refill() is written once and compiled twice: on the calling thread's span
 * cache alone, where it may use no register but general ones, and on anything
 * that spans may take.
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
 * struct chunk - the head of a span, in its first page; of the first chunk an arena stands before
 *it
 * @next: the chunk acquired after it; not used for large objects
 * @previous: the chunk, or large object, acquired before it
 * @cur: the end of what is allocated; of the current chunk it is in bump, and
 *	of chunks behind that it is void
 * @end: of the span
 * @zoned: its objects have red zones behind them, see arena_check.h
 */
struct chunk {
	struct chunk *next;
	struct chunk *previous;
	uintptr_t cur;
	uintptr_t end;
	bool zoned;
};

/*
 * struct arena - the whole of an arena
 * @bump: what inlined code knows; must be first.  Of a checked arena, end is
 *	always cur, so that nothing is inlined
 * @current: the chunk that bump points into
 * @last: the chunk acquired last
 * @large: the large object acquired last, or NULL
 * @held: bytes of all spans
 * @chunk_bytes: bytes of the chunks among them
 * @limit: of held
 * @owner: of a checked arena, its thread; else NULL
 * @first: the head of the chunk that the arena is in
 */
struct arena {
	struct ps_arena bump;
	struct chunk *current;
	struct chunk *last;
	struct chunk *large;
	size_t held;
	size_t chunk_bytes;
	size_t limit;
	const void *owner;
	struct chunk first;
};

/* How refill() gets spans, and gives pages back: see cache.h. */
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

static inline uint32_t pages_of(size_t bytes)
{
	return (uint32_t)(bytes / PS_PAGE_SIZE);
}

static inline size_t whole_pages(size_t bytes)
{
	return (bytes + (PS_PAGE_SIZE - 1)) & ~(PS_PAGE_SIZE - 1);
}

/* The size of a further chunk. */
static inline size_t next_chunk_size(const struct arena *arena)
{
	size_t bytes = arena->chunk_bytes;

	if (bytes > CHUNK_MAX / 2)
		return CHUNK_MAX;
	return (size_t)1 << (64 - __builtin_clzl(bytes - 1));
}

static inline struct chunk *make_chunk(struct arena *arena, char *span, size_t bytes)
{
	struct chunk *chunk = (struct chunk *)span;

	chunk->end = (uintptr_t)span + bytes;
	chunk->zoned = arena->owner != NULL;
	arena->held += bytes;
	return chunk;
}

static inline bool exceeds_limit(const struct arena *arena, size_t bytes)
{
	return bytes > arena->limit || arena->held > arena->limit - bytes;
}

/* A span of its own. @needed includes the head. */
static inline void *add_large(struct arena *arena, size_t needed, take_span *take)
{
	size_t bytes = whole_pages(needed);
	struct chunk *large;
	char *span;

	if (bytes > PS_SPAN_MAX || exceeds_limit(arena, bytes))
		return NULL;
	span = take(pages_of(bytes));
	if (!span)
		return NULL;
	large = make_chunk(arena, span, bytes);
	large->previous = arena->large;
	large->cur = (uintptr_t)span + needed;
	arena->large = large;
	return (void *)chunk_data(large);
}

/* An empty chunk behind the last one. */
static inline struct chunk *add_chunk(struct arena *arena, size_t bytes, take_span *take)
{
	struct chunk *chunk;
	char *span;

	if (exceeds_limit(arena, bytes))
		return NULL;
	span = take(pages_of(bytes));
	if (!span)
		return NULL;
	chunk = make_chunk(arena, span, bytes);
	chunk->next = NULL;
	chunk->previous = arena->last;
	arena->last->next = chunk;
	arena->last = chunk;
	arena->chunk_bytes += bytes;
	return chunk;
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

static inline void enter_chunk(struct arena *arena, struct chunk *chunk)
{
	arena->current->cur = arena->bump.cur;
	arena->current = chunk;
	arena->bump.cur = chunk_data(chunk);
	arena->bump.end = chunk->end;
}

/*
 * refill() - allocate what does not fit the current chunk
 * @size: a multiple of PS_ARENA_ALIGN, at most PS_SPAN_MAX
 * @smaller: where no chunk of the right size is to be had, be content with less
 *
 * NULL if no span is to be had, or none can be put; what was done until then
 * need not be done again.
 */
static inline __attribute__((always_inline)) void *refill(struct arena *arena, size_t size,
							  take_span *take, put_span *put,
							  bool smaller)
{
	struct chunk *chunk = arena->current->next;
	size_t needed = sizeof(*chunk) + size;
	size_t bytes = chunk ? chunk_size(chunk) : next_chunk_size(arena);
	uintptr_t object;

	if (needed > bytes / 4)
		return add_large(arena, needed, take);
	while (!chunk) {
		chunk = add_chunk(arena, bytes, take);
		bytes /= 2;
		if (!chunk && (!smaller || bytes < whole_pages(needed)))
			return NULL;
	}
	if (!trim_current(arena, put))
		return NULL;
	enter_chunk(arena, chunk);
	object = arena->bump.cur;
	arena->bump.cur = object + size;
	return (void *)object;
}

#endif
