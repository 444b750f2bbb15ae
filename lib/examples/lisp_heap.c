// SPDX-License-Identifier: MIT
/* The copying collector, compiled once on pagespan and once on malloc. */
#include "lisp_heap.h"

#include <errno.h>

#define PAGE         ((size_t)4096)
#define CELLS_A_PAGE (PAGE / sizeof(struct cell))
#define LEAST_PAGES  64
#define MOST_PAGES   65536

#ifndef ON_MALLOC

#include <pagespan.h>

static struct cell *space_new(size_t nr_pages)
{
	return ps_span_alloc(nr_pages * PAGE);
}

static void space_free(struct cell *space, size_t nr_pages)
{
	ps_span_free(space, nr_pages * PAGE);
}

/* Frees the pages behind the first @kept ones; how many there are now. */
static size_t space_trim(struct cell *space, size_t nr_pages, size_t kept)
{
	if (kept < nr_pages)
		space_free(space + kept * CELLS_A_PAGE, nr_pages - kept);
	return kept;
}

#else

#include <stdlib.h>

static struct cell *space_new(size_t nr_pages)
{
	return malloc(nr_pages * PAGE);
}

static void space_free(struct cell *space, size_t nr_pages)
{
	(void)nr_pages;
	free(space);
}

/* realloc() may move what it makes smaller, and a second copy is no way to save memory. */
static size_t space_trim(struct cell *space, size_t nr_pages, size_t kept)
{
	(void)space;
	(void)kept;
	return nr_pages;
}

#endif

static size_t pages_for(size_t nr_cells)
{
	return (nr_cells + CELLS_A_PAGE - 1) / CELLS_A_PAGE;
}

/* Room for as much again as is alive, and for what is asked now. */
static size_t pages_wanted(size_t alive, size_t nr_cells)
{
	size_t nr_pages = pages_for(2 * alive + nr_cells);

	return nr_pages < LEAST_PAGES ? LEAST_PAGES : nr_pages;
}

bool heap_open(struct heap *heap)
{
	heap->cells = space_new(LEAST_PAGES);
	heap->nr_pages = LEAST_PAGES;
	heap->capacity = LEAST_PAGES * CELLS_A_PAGE;
	heap->most_pages = LEAST_PAGES;
	return heap->cells;
}

void heap_close(struct heap *heap)
{
	if (heap->cells)
		space_free(heap->cells, heap->nr_pages);
}

/* ---- collecting ---- */

/* During a collection: the space that is left. */
static struct cell *old_cells;

/* Moves the cell that a value refers to, unless that was done before, and corrects the value. */
static void visit(struct heap *heap, value *v)
{
	struct cell *cell;

	if (tag_of(*v) != PAIR && tag_of(*v) != CLOSURE)
		return;
	cell = &old_cells[bits_of(*v)];
	if (tag_of(cell->first) != FORWARDED) {
		heap->cells[heap->used] = *cell;
		cell->first = make_value(FORWARDED, heap->used++);
	}
	*v = make_value(tag_of(*v), bits_of(cell->first));
}

bool heap_collect(struct heap *heap, size_t nr_cells)
{
	size_t nr_pages = pages_wanted(heap->used, nr_cells), old_pages = heap->nr_pages, kept;
	struct cell *space = NULL;

	/* The room behind what is alive is not vital. */
	if (nr_pages > MOST_PAGES)
		nr_pages = MOST_PAGES;
	if (pages_for(heap->used + nr_cells) <= MOST_PAGES)
		space = space_new(nr_pages);
	if (!space) {
		errno = ENOMEM;
		return false;
	}
	old_cells = heap->cells;
	heap->cells = space;
	heap->used = 0;
	heap->nr_collections++;

	for (size_t i = 0; i < heap->nr_roots; i++)
		visit(heap, &heap->roots[i]);
	heap->each_root(visit, heap);
	/* Cells before the scan refer to the new space, those behind it still to the old one. */
	for (size_t scan = 0; scan < heap->used; scan++) {
		visit(heap, &space[scan].first);
		visit(heap, &space[scan].second);
	}
	space_free(old_cells, old_pages);

	kept = pages_wanted(heap->used, nr_cells);
	if (kept > nr_pages)
		kept = nr_pages;
	heap->nr_pages = space_trim(space, nr_pages, kept);
	heap->pages_given_back += nr_pages - heap->nr_pages;
	/* The same on both memories: a program then collects at the same moments. */
	heap->capacity = kept * CELLS_A_PAGE;
	if (heap->nr_pages > heap->most_pages)
		heap->most_pages = heap->nr_pages;
	return true;
}
