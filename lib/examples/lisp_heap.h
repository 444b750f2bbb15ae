/* SPDX-License-Identifier: MIT */
/*
 * The heap of lisp: cells of two words, collected by copying.
 *
 * A collection copies what can be reached into another space and frees the old one. It cannot know
 * beforehand how much that will be, so it takes a space for the worst case, and when it is done
 * gives back the pages at its end that the program is not going to need: the heap grows and shrinks
 * with what is alive. On pagespan a space is a span, of which any pages can be freed; malloc frees
 * whole blocks, so with ON_MALLOC those pages stay.
 */
#ifndef LISP_HEAP_H
#define LISP_HEAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The low bits say what a value is. Cells are referred to by their index in the current space. */
typedef uint64_t value;

#define TAG_BITS 3
enum tag { PAIR, CLOSURE, NUMBER, SYMBOL, SPECIAL, FORWARDED };

static inline value make_value(enum tag tag, uint64_t bits)
{
	return bits << TAG_BITS | tag;
}

static inline enum tag tag_of(value v)
{
	return v & ((1 << TAG_BITS) - 1);
}

static inline uint64_t bits_of(value v)
{
	return v >> TAG_BITS;
}

struct cell {
	value first;
	value second;
};

struct heap {
	struct cell *cells;
	size_t nr_pages;     /* of the space */
	size_t used;         /* cells */
	size_t capacity;     /* cells */
	size_t wanted_pages; /* of the next space */

	/* What the program can reach without a cell. */
	value *roots;
	size_t nr_roots;
	void (*each_root)(void (*visit)(struct heap *heap, value *root), struct heap *heap);

	uint64_t nr_collections;
	size_t most_pages;
	uint64_t pages_given_back; /* of spaces in use */
};

/* Both return false, with errno ENOMEM, if there is no memory. */
bool heap_open(struct heap *heap);
bool heap_collect(struct heap *heap, size_t nr_cells);
void heap_close(struct heap *heap);

/* Makes sure that so many cells can be made; all values that are not in a root are void then. */
static inline bool heap_reserve(struct heap *heap, size_t nr_cells)
{
	return heap->capacity - heap->used >= nr_cells || heap_collect(heap, nr_cells);
}

/* A cell out of those that were reserved. */
static inline value heap_cell(struct heap *heap, enum tag tag, value first, value second)
{
	heap->cells[heap->used] = (struct cell){first, second};
	return make_value(tag, heap->used++);
}

static inline struct cell *cell_of(const struct heap *heap, value v)
{
	return &heap->cells[bits_of(v)];
}

#endif
