/* SPDX-License-Identifier: MIT */
/*
 * How an arena gets its chunks.
 *
 * What needs more than a quarter of the chunk to come gets a span of its own, and
 * the current chunk stays current.  For medium objects that would cost up to as much
 * again, so they count in what their own chunks grow by: soon there is a chunk that
 * they need a quarter of.  Chunks for small objects grow as if there were no others.
 *
 * refill() is written once and compiled twice: on the calling thread's span
 * cache alone, where it may use no register but general ones, and on anything
 * that spans may take.
 */
#ifndef PAGESPAN_ARENA_REFILL_H
#define PAGESPAN_ARENA_REFILL_H

#include "arena_kept.h"

/* The size of a further chunk. */
static inline size_t next_chunk_size(const struct arena *arena)
{
	size_t bytes = arena->chunk_bytes;

	if (bytes > CHUNK_MAX / 2)
		return CHUNK_MAX;
	return (size_t)1 << (64 - __builtin_clzl(bytes - 1));
}

/* The same for medium objects; not more than chunks and medium objects together. */
static inline size_t next_medium_chunk_size(const struct arena *arena)
{
	size_t bytes = arena->chunk_bytes + arena->medium_bytes;

	if (bytes > CHUNK_MAX)
		return CHUNK_MAX;
	return (size_t)1 << (63 - __builtin_clzl(bytes));
}

/* A span of its own.  @needed includes the head. */
static inline void *add_large(struct arena *arena, size_t needed, take_span *take)
{
	size_t bytes = whole_pages(needed);
	struct chunk *large, **kept;
	char *span;

	if (bytes > PS_SPAN_MAX)
		return NULL;
	kept = kept_for(arena, bytes);
	if (kept) {
		span = kept_take(kept, bytes);
		arena->held -= bytes;
	} else {
		span = exceeds_limit(arena, bytes) ? NULL : take(pages_of(bytes));
	}
	if (!span)
		return NULL;
	large = make_chunk(arena, span, bytes);
	large->single = true;
	large->marked = false;
	large->previous = arena->large;
	large->cur = (uintptr_t)span + needed;
	arena->large = large;
	arena->medium_bytes += medium_size(large);
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

/* Goes on in a chunk behind the current one; those between stay empty. */
static inline void enter_chunk(struct arena *arena, struct chunk *chunk)
{
	struct chunk *passed;

	for (passed = chunk->previous; passed != arena->current; passed = passed->previous)
		passed->cur = chunk_data(passed);
	passed->cur = arena->bump.cur;
	arena->current = chunk;
	arena->bump.cur = chunk_data(chunk);
	arena->bump.end = chunk->end;
}

static inline bool fits_chunk(size_t needed, size_t bytes)
{
	return needed <= bytes / 4;
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

	if (!fits_chunk(needed, bytes)) {
		if (needed > MEDIUM_MAX)
			return add_large(arena, needed, take);
		/* The chunks that are passed are less than four such objects, or one follows. */
		while (chunk && !fits_chunk(needed, chunk_size(chunk)))
			chunk = chunk->next;
		bytes = next_medium_chunk_size(arena);
		if (!chunk && !fits_chunk(needed, bytes))
			return add_large(arena, needed, take);
	}
	while (!chunk) {
		chunk = add_chunk(arena, bytes, take);
		bytes /= 2;
		if (chunk || (smaller && bytes >= whole_pages(needed)))
			continue;
		return smaller && needed > PS_PAGE_SIZE ? add_large(arena, needed, take) : NULL;
	}
	if (!trim_current(arena, put))
		return NULL;
	enter_chunk(arena, chunk);
	object = arena->bump.cur;
	arena->bump.cur = object + size;
	return (void *)object;
}

#endif
