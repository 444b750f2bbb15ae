/* SPDX-License-Identifier: MIT */
/*
 * Checked arenas: red zones, the thread, and what AddressSanitizer and valgrind are told.
 *
 *	┌───────┬────────┬──────┬────────┬──────┬──────────┐
 *	│ chunk │ object │ zone │ object │ zone │ free     │
 *	└───────┴────────┴──────┴────────┴──────┴──────────┘
 *	                                      cur ^
 *
 * A zone holds the size of the object before it, so that all can be found from the last one on.
 */
#ifndef PAGESPAN_ARENA_CHECK_H
#define PAGESPAN_ARENA_CHECK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "arena_chunk.h"

/* Bytes of a zone. */
#define CHECK_ZONE ((size_t)16)

/* Whether every arena is to be checked, in a process that has a backend. */
bool check_start(void);

/* What tells the calling thread from the others; not NULL. */
const void *check_thread(void);

/* Aborts if a checked arena is not the calling thread's. */
void check_owner_is_here(const struct arena *arena);

static inline void check_owner(const struct arena *arena)
{
	if (__builtin_expect(arena->owner != NULL, 0))
		check_owner_is_here(arena);
}

/* A new arena: nothing may be touched. */
void check_created(struct arena *arena);

/* The object at the end of a chunk, with its zone. */
void check_alloc(const struct chunk *chunk, void *object, size_t size);

/* Looks at the zones of a chunk from chunk->cur down to @floor; nothing there may be touched any
 * more. */
void check_free(struct chunk *chunk, uintptr_t floor);

/* The same for all chunks of an arena behind one, and for that one from @floor on. */
void check_free_chunks(struct arena *arena, struct chunk *chunk, uintptr_t floor);

/* Memory on its way back: it may be touched. */
void check_allow(const void *start, size_t bytes);

#endif
