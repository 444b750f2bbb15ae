// SPDX-License-Identifier: MIT
/* Which of the pages that are kept are taken. */
#include <errno.h>

#include "kept_place.h"

/*
 * A span that is aligned, if one is found at once: a run that is longer has one in it, of which
 * the ends go back.
 */
static int64_t place_aligned(struct span_map *map, uint32_t nr_pages, uint32_t align_pages)
{
	uint64_t slack = align_pages - 1;
	int64_t run;
	uint64_t head;

	if (nr_pages + slack > SPAN_MAP_MAX_SPAN)
		return -ENOMEM;
	run = span_map_alloc(map, (uint32_t)(nr_pages + slack), 1);
	if (run < 0)
		return run;
	head = -(uint64_t)run & slack;
	if (head)
		span_map_free(map, (uint64_t)run, head);
	if (slack - head)
		span_map_free(map, (uint64_t)run + head + nr_pages, slack - head);
	return run + (int64_t)head;
}

/* Bounded, for what is not found here the backend may have. */
static int64_t search(struct span_map *map, uint32_t nr_pages, uint32_t align_pages)
{
	struct span_map_search search = {.nr_pages = nr_pages, .align_pages = align_pages};

	return span_map_alloc_step(map, &search);
}

/* Spans whose number of pages is a power of two are aligned to it where that is no trouble. */
static uint32_t natural_align(const struct request *request)
{
	uint32_t nr_pages = request->nr_pages;

	if (nr_pages > MEGABLOCK_PAGES)
		nr_pages = MEGABLOCK_PAGES;
	else if (nr_pages & (nr_pages - 1))
		return request->align_pages;
	return nr_pages > request->align_pages ? nr_pages : request->align_pages;
}

/* The best run; a longer one instead if that is what it takes to be aligned. */
static int64_t place_best(struct span_map *map, const struct request *request, uint32_t nr_pages)
{
	uint32_t natural = natural_align(request);
	int64_t best = span_map_alloc(map, nr_pages, 1);
	int64_t aligned;

	if (best < 0 || (uint64_t)best % natural == 0)
		return best;
	aligned = place_aligned(map, nr_pages, natural);
	if (aligned < 0 && (uint64_t)best % request->align_pages == 0)
		return best;
	span_map_free(map, (uint64_t)best, nr_pages);
	return aligned < 0 ? search(map, nr_pages, request->align_pages) : aligned;
}

static uint32_t place_single_pages(struct span_map *map, const struct request *request,
				   uint64_t *firsts)
{
	uint32_t nr = 0, more;

	do {
		more = span_map_alloc_pages(map, firsts + nr, request->count - nr);
		nr += more;
	} while (more && nr < request->count);
	return nr;
}

/* Whether a megablock could have been cut from the run that begins with these pages. */
static bool was_long(struct span_map *map, uint64_t first, uint64_t nr_pages)
{
	uint64_t rest = MEGABLOCK_PAGES - nr_pages;

	if (nr_pages >= MEGABLOCK_PAGES)
		return false;
	if (span_map_alloc_at(map, first + nr_pages, rest))
		return false;
	span_map_free(map, first + nr_pages, rest);
	return true;
}

uint32_t place_spans(struct span_map *map, const struct request *request, uint64_t *firsts)
{
	uint64_t whole = (uint64_t)request->nr_pages * request->count;
	int64_t first = -ENOMEM;
	uint32_t nr = 0;

	if (request->count > 1 && whole <= SPAN_MAP_MAX_SPAN &&
	    request->nr_pages % request->align_pages == 0)
		first = place_best(map, request, (uint32_t)whole);
	if (first >= 0 && was_long(map, (uint64_t)first, whole)) {
		span_map_free(map, (uint64_t)first, whole);
		first = -ENOMEM;
	}
	if (first >= 0) {
		for (; nr < request->count; nr++)
			firsts[nr] = (uint64_t)first + nr * (uint64_t)request->nr_pages;
	} else if (request->nr_pages == 1 && request->align_pages == 1) {
		nr = place_single_pages(map, request, firsts);
	} else {
		while (nr < request->count &&
		       (first = place_best(map, request, request->nr_pages)) >= 0)
			firsts[nr++] = (uint64_t)first;
	}
	return nr;
}

struct range place_longest(struct span_map *map, uint64_t want)
{
	uint64_t longest = span_map_longest_run(map);
	uint64_t nr_pages = longest < SPAN_MAP_MAX_SPAN ? longest : SPAN_MAP_MAX_SPAN;
	uint64_t megablocks = (want + MEGABLOCK_PAGES - 1) / MEGABLOCK_PAGES;
	int64_t first = -ENOMEM;

	if (megablocks > nr_pages / MEGABLOCK_PAGES)
		megablocks = nr_pages / MEGABLOCK_PAGES;
	for (; first < 0 && megablocks; megablocks /= 2) {
		struct range range = {0, megablocks * MEGABLOCK_PAGES};

		first = place_aligned(map, (uint32_t)range.nr_pages, MEGABLOCK_PAGES);
		if (first < 0)
			continue;
		range.first = (uint64_t)first;
		return range;
	}
	if (nr_pages > want)
		nr_pages = want;
	if (!nr_pages)
		return (struct range){0};
	return (struct range){(uint64_t)span_map_alloc(map, (uint32_t)nr_pages, 1), nr_pages};
}
