/* SPDX-License-Identifier: MIT */
/*
 * The memory of a document, in two forms that have the same interface: an arena, or malloc when
 * ON_MALLOC is defined.
 *
 *              pagespan                                  malloc
 *   new        a few inlined instructions                malloc
 *   shrink     the end of the last object goes back      realloc
 *   the end    the arena is reset, whatever it held      every node and text is freed
 */
#ifndef JSONTREE_MEMORY_H
#define JSONTREE_MEMORY_H

#include <stdbool.h>
#include <stddef.h>

#ifndef ON_MALLOC

#include <pagespan/arena.h>

/* A document that needs no more leaves it to the next. */
#define KEPT_BYTES ((size_t)1 << 20)

/* Nothing of a document is freed by itself. */
#define MEMORY_FREES_EACH false

struct memory {
	struct ps_arena *arena;
};

static inline bool memory_open(struct memory *memory)
{
	memory->arena = ps_arena_create(NULL);
	return memory->arena;
}

static inline void memory_close(struct memory *memory)
{
	ps_arena_destroy(memory->arena);
}

static inline void *memory_new(struct memory *memory, size_t bytes)
{
	return ps_alloc(memory->arena, bytes);
}

/* The object that was made last needs less than was asked for. */
static inline void *memory_shrink(struct memory *memory, void *object, size_t bytes, size_t used)
{
	ps_shrink_last(memory->arena, object, bytes, used);
	return object;
}

static inline void memory_free(struct memory *memory, void *object)
{
	(void)memory;
	(void)object;
}

static inline void memory_end_document(struct memory *memory)
{
	ps_arena_reset(memory->arena, KEPT_BYTES);
}

#else

#include <stdlib.h>

#define MEMORY_FREES_EACH true

struct memory {
	char unused;
};

static inline bool memory_open(struct memory *memory)
{
	(void)memory;
	return true;
}

static inline void memory_close(struct memory *memory)
{
	(void)memory;
}

static inline void *memory_new(struct memory *memory, size_t bytes)
{
	(void)memory;
	return malloc(bytes);
}

static inline void *memory_shrink(struct memory *memory, void *object, size_t bytes, size_t used)
{
	void *shrunk = used < bytes ? realloc(object, used ? used : 1) : object;

	(void)memory;
	return shrunk ? shrunk : object;
}

static inline void memory_free(struct memory *memory, void *object)
{
	(void)memory;
	free(object);
}

static inline void memory_end_document(struct memory *memory)
{
	(void)memory;
}

#endif
#endif
