// SPDX-License-Identifier: MIT
/*
 * Arenas: everything but the inlined bump.
 *
 * An arena sits inside its first chunk.  Its chunks are spans, linked from the
 * last to the first; each begins with its link and its size.
 *
 *	first chunk                          further chunks, large objects
 *	┌──────────────┬───────┬─────────┐   ┌───────┬──────────────────┐
 *	│ struct arena │ chunk │ objects │◄──│ chunk │ objects          │◄── arena->chunks
 *	└──────────────┴───────┴─────────┘   └───────┴──────────────────┘
 *
 * Chunks double from the first to CHUNK_MAX.  An object above a quarter of the
 * next chunk gets a span of its own; the current chunk stays current.  When a
 * chunk is left behind, the pages that nothing was allocated in go back.
 */
#include <errno.h>
#include <stdbool.h>

#include "pagespan.h"
#include "pagespan/arena.h"

#define CHUNK_DEFAULT (2 * PS_PAGE_SIZE)
#define CHUNK_MAX     ((size_t)1 << 20)

struct chunk {
	struct chunk *previous;
	size_t bytes; /* from the chunk's start, arena included in the first */
};

/*
 * struct arena - the whole of an arena
 * @bump: what inlined code knows; must be first
 * @chunks: the chunk acquired last
 * @current: the chunk that bump.cur and bump.end point into
 * @next_bytes: size of the next chunk
 */
struct arena {
	struct ps_arena bump;
	struct chunk *chunks;
	struct chunk *current;
	size_t next_bytes;
};

/* The first chunk's link lies behind the arena, all others at their span's start. */
static bool is_first(const struct arena *arena, const struct chunk *chunk)
{
	return chunk == (const struct chunk *)(arena + 1);
}

static void *chunk_start(struct arena *arena, struct chunk *chunk)
{
	return is_first(arena, chunk) ? (void *)arena : (void *)chunk;
}

static uintptr_t round_up(uintptr_t value, size_t align)
{
	return (value + (align - 1)) & ~(uintptr_t)(align - 1);
}

struct ps_arena *ps_arena_create(const struct ps_arena_options *options)
{
	size_t bytes = CHUNK_DEFAULT;
	struct arena *arena;
	struct chunk *chunk;

	if (options) {
		if (options->size < sizeof(*options) || options->chunk_bytes % PS_PAGE_SIZE ||
		    options->chunk_bytes > CHUNK_MAX) {
			errno = EINVAL;
			return NULL;
		}
		if (options->chunk_bytes)
			bytes = options->chunk_bytes;
	}
	arena = ps_span_alloc(bytes);
	if (!arena)
		return NULL;
	chunk = (struct chunk *)(arena + 1);
	*chunk = (struct chunk){.bytes = bytes};
	*arena = (struct arena){
		.bump = {.cur = (uintptr_t)(chunk + 1), .end = (uintptr_t)arena + bytes},
		.chunks = chunk,
		.current = chunk,
		.next_bytes = bytes < CHUNK_MAX ? 2 * bytes : CHUNK_MAX,
	};
	return &arena->bump;
}

void ps_arena_destroy(struct ps_arena *bump)
{
	struct arena *arena = (struct arena *)bump;
	struct chunk *chunk;

	if (!arena)
		return;
	chunk = arena->chunks;
	while (!is_first(arena, chunk)) {
		struct chunk *previous = chunk->previous;

		ps_span_free(chunk, chunk->bytes);
		chunk = previous;
	}
	ps_span_free(arena, chunk->bytes);
}

static struct chunk *add_chunk(struct arena *arena, size_t bytes)
{
	struct chunk *chunk = ps_span_alloc(bytes);

	if (!chunk)
		return NULL;
	*chunk = (struct chunk){.previous = arena->chunks, .bytes = bytes};
	arena->chunks = chunk;
	return chunk;
}

/* Gives back the pages of the current chunk in which nothing was allocated. */
static void trim_current(struct arena *arena)
{
	struct chunk *chunk = arena->current;
	char *start = chunk_start(arena, chunk);
	size_t used = round_up(arena->bump.cur - (uintptr_t)start, PS_PAGE_SIZE);

	if (used < chunk->bytes && !ps_span_free(start + used, chunk->bytes - used))
		chunk->bytes = used;
}

void *ps_arena_refill(struct ps_arena *bump, size_t size, size_t align)
{
	struct arena *arena = (struct arena *)bump;
	struct chunk *chunk;
	uintptr_t object;
	size_t needed;

	if (!align || align & (align - 1) || align > PS_PAGE_SIZE) {
		errno = EINVAL;
		return NULL;
	}
	if (align < PS_ARENA_ALIGN)
		align = PS_ARENA_ALIGN;
	if (size > PS_SPAN_MAX - sizeof(*chunk) - align) {
		errno = ENOMEM;
		return NULL;
	}
	needed = round_up(sizeof(*chunk), align) + round_up(size, PS_ARENA_ALIGN);

	if (needed > arena->next_bytes / 4) {
		chunk = add_chunk(arena, round_up(needed, PS_PAGE_SIZE));
		return chunk ? (void *)round_up((uintptr_t)(chunk + 1), align) : NULL;
	}
	chunk = add_chunk(arena, arena->next_bytes);
	if (!chunk)
		return NULL;
	trim_current(arena);
	object = round_up((uintptr_t)(chunk + 1), align);
	arena->current = chunk;
	arena->bump.cur = object + round_up(size, PS_ARENA_ALIGN);
	arena->bump.end = (uintptr_t)chunk + chunk->bytes;
	if (arena->next_bytes < CHUNK_MAX)
		arena->next_bytes *= 2;
	return (void *)object;
}
