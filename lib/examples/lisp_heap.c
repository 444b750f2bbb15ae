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

/*
 * Room for as much again as is alive, and for what is asked now. A power of two: as long as it
 * stays the same, two spaces of one size take turns, and a new one comes out of the library's
 * cache.
 */
static size_t pages_wanted(size_t alive, size_t nr_cells)
{
	size_t nr_pages = LEAST_PAGES;

	while (nr_pages < pages_for(2 * alive + nr_cells) && nr_pages < MOST_PAGES)
		nr_pages *= 2;
	return nr_pages;
}

bool heap_open(struct heap *heap)
{
	heap->cells = space_new(LEAST_PAGES);
	heap->nr_pages = LEAST_PAGES;
	heap->capacity = LEAST_PAGES * CELLS_A_PAGE;
	heap->wanted_pages = LEAST_PAGES;
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

/* Copies what is alive into a space of so many pages. */
static bool copy_into(struct heap *heap, size_t nr_pages)
{
	struct cell *space = space_new(nr_pages);

	if (!space)
		return false;
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
	space_free(old_cells, heap->nr_pages);
	heap->nr_pages = nr_pages;
	return true;
}

bool heap_collect(struct heap *heap, size_t nr_cells)
{
	do {
		size_t worst = pages_for(heap->used), wanted;
		size_t nr_pages = heap->wanted_pages > worst ? heap->wanted_pages : worst;

		if (!copy_into(heap, nr_pages))
			return false;
		/* More is for the next time; where less than half is wanted the rest goes back now.
		 */
		wanted = pages_wanted(heap->used, nr_cells);
		heap->wanted_pages =
			wanted < nr_pages && wanted >= nr_pages / 2 ? nr_pages : wanted;
		if (wanted < nr_pages / 2) {
			heap->nr_pages = space_trim(heap->cells, nr_pages, wanted);
			heap->pages_given_back += nr_pages - heap->nr_pages;
			nr_pages = wanted;
		}
		if (heap->nr_pages > heap->most_pages)
			heap->most_pages = heap->nr_pages;
		/* The same on both memories: a program then collects at the same moments. */
		heap->capacity = nr_pages * CELLS_A_PAGE;
		if (heap->capacity - heap->used >= nr_cells)
			return true;
	} while (heap->wanted_pages * CELLS_A_PAGE - heap->used >= nr_cells);
	errno = ENOMEM;
	return false;
}
