/* SPDX-License-Identifier: MIT */
/* What becomes of large objects and their spans, but how they are made: see arena_refill.h. */
#ifndef PAGESPAN_ARENA_LARGE_H
#define PAGESPAN_ARENA_LARGE_H

#include "arena_chunk.h"

/* Gives back the span of a chunk, or of a large object, which is in no list any more. */
void arena_put_chunk(struct arena *arena, struct chunk *chunk);

/* Gives back the large objects above one in the stack. */
void arena_put_large(struct arena *arena, const struct chunk *above);

/* Empties the stack.  So many bytes of its spans, and of those kept before, are kept. */
void arena_keep_large(struct arena *arena, size_t bytes);

#endif
