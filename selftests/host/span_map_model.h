/* SPDX-License-Identifier: MIT */
/*
 * The naive model: a byte a page. A world is a span map and its model; each operation here is done
 * to both, the results are compared, and false comes back (with a diagnostic line) when they
 * disagree.
 */
#ifndef PAGESPAN_SPAN_MAP_MODEL_H
#define PAGESPAN_SPAN_MAP_MODEL_H

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../kmod/span_map.h"

struct world {
	struct span_map map;
	u64 nr_pages;
	u64 nr_free;
	u8 *is_free;
	void *metadata;
};

#define AGREE(condition, ...)                                    \
	do {                                                     \
		if (!(condition)) {                              \
			printf("# %s:%d: ", __func__, __LINE__); \
			printf(__VA_ARGS__);                     \
			putchar('\n');                           \
			return false;                            \
		}                                                \
	} while (0)

static inline u64 random_u64(u64 *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state * 0x2545f4914f6cdd1dULL;
}

/* 0..limit-1 */
static inline u64 random_below(u64 *state, u64 limit)
{
	return (random_u64(state) >> 11) % limit;
}

/* Metadata of exactly the size asked for and full of rubbish, so that a sanitizer sees any step
 * beyond it. */
static inline void *metadata_new(u64 nr_pages)
{
	size_t bytes = span_map_metadata_bytes(nr_pages);
	void *metadata = NULL;

	if (posix_memalign(&metadata, SPAN_MAP_METADATA_ALIGN, bytes))
		abort();
	return memset(metadata, 0xa5, bytes);
}

static inline void world_new(struct world *world, u64 nr_pages)
{
	world->nr_pages = nr_pages;
	world->nr_free = 0;
	world->is_free = calloc(nr_pages, 1);
	world->metadata = metadata_new(nr_pages);
	if (!world->is_free || span_map_init(&world->map, nr_pages, world->metadata))
		abort();
}

static inline void world_delete(struct world *world)
{
	free(world->is_free);
	free(world->metadata);
}

static inline u64 model_run_end(const struct world *world, u64 first)
{
	while (first < world->nr_pages && world->is_free[first])
		first++;
	return first;
}

static inline bool model_fits(const struct world *world, u32 nr_pages, u32 align)
{
	u64 first = 0, end, aligned;

	for (; first < world->nr_pages; first = end + 1) {
		end = model_run_end(world, first);
		aligned = (first + align - 1) / align * align;
		if (aligned + nr_pages <= end)
			return true;
	}
	return false;
}

static inline u64 model_longest_run(const struct world *world)
{
	u64 first, end, longest = 0;

	for (first = 0; first < world->nr_pages; first = end + 1) {
		end = model_run_end(world, first);
		if (end - first > longest)
			longest = end - first;
	}
	return longest;
}

static inline bool model_all(const struct world *world, u64 first, u64 nr_pages, u8 is_free)
{
	u64 i;

	for (i = 0; i < nr_pages; i++)
		if (world->is_free[first + i] != is_free)
			return false;
	return true;
}

static inline bool model_in_range(const struct world *world, u64 first, u64 nr_pages)
{
	return nr_pages && nr_pages <= world->nr_pages && first <= world->nr_pages - nr_pages;
}

static inline bool world_counts_agree(const struct world *world)
{
	u64 nr_free = span_map_free_pages(&world->map);

	AGREE(nr_free == world->nr_free, "%" PRIu64 " free, expected %" PRIu64, nr_free,
	      world->nr_free);
	return true;
}

/* Applies to the model what an allocation answered. */
static inline bool world_allocated(struct world *world, s64 first, u32 nr_pages, u32 align)
{
	bool valid = nr_pages && nr_pages <= SPAN_MAP_MAX_SPAN && align &&
		     align <= SPAN_MAP_MAX_ALIGN && !(align & (align - 1));

	if (!valid) {
		AGREE(first == -EINVAL, "alloc %u align %u: %" PRId64, nr_pages, align, first);
	} else if (first < 0) {
		AGREE(first == -ENOMEM, "alloc %u align %u: %" PRId64, nr_pages, align, first);
		AGREE(!model_fits(world, nr_pages, align), "alloc %u align %u refused", nr_pages,
		      align);
	} else {
		AGREE(model_in_range(world, first, nr_pages), "alloc %u: %" PRId64, nr_pages,
		      first);
		AGREE(!(first & (align - 1)), "alloc %u align %u: %" PRId64, nr_pages, align,
		      first);
		AGREE(model_all(world, first, nr_pages, 1), "alloc %u: %" PRId64 " in use",
		      nr_pages, first);
		memset(world->is_free + first, 0, nr_pages);
		world->nr_free -= nr_pages;
	}
	return world_counts_agree(world);
}

static inline bool world_alloc(struct world *world, u32 nr_pages, u32 align)
{
	return world_allocated(world, span_map_alloc(&world->map, nr_pages, align), nr_pages,
			       align);
}

static inline bool world_alloc_at(struct world *world, u64 first, u64 nr_pages)
{
	int got = span_map_alloc_at(&world->map, first, nr_pages), want = 0;

	if (!model_in_range(world, first, nr_pages)) {
		want = -EINVAL;
	} else if (!model_all(world, first, nr_pages, 1)) {
		want = -EBUSY;
	} else {
		memset(world->is_free + first, 0, nr_pages);
		world->nr_free -= nr_pages;
	}
	AGREE(got == want, "alloc_at %" PRIu64 " %" PRIu64 ": %d, expected %d", first, nr_pages,
	      got, want);
	return world_counts_agree(world);
}

static inline bool world_free(struct world *world, u64 first, u64 nr_pages)
{
	int got = span_map_free(&world->map, first, nr_pages), want = 0;

	if (!model_in_range(world, first, nr_pages) || !model_all(world, first, nr_pages, 0)) {
		want = -EINVAL;
	} else {
		memset(world->is_free + first, 1, nr_pages);
		world->nr_free += nr_pages;
	}
	AGREE(got == want, "free %" PRIu64 " %" PRIu64 ": %d, expected %d", first, nr_pages, got,
	      want);
	return world_counts_agree(world);
}

#define MODEL_BULK 600 /* pages or ranges at once */

static inline bool world_alloc_pages(struct world *world, u32 nr)
{
	static u64 pages[MODEL_BULK];
	u32 got, i;

	if (nr > MODEL_BULK)
		nr = MODEL_BULK;
	got = span_map_alloc_pages(&world->map, pages, nr);
	AGREE(got <= nr && !got == !world->nr_free, "%u pages: %u", nr, got);
	for (i = 0; i < got; i++) {
		AGREE(pages[i] < world->nr_pages, "page %u of %u: %" PRIu64, i, got, pages[i]);
		AGREE(world->is_free[pages[i]], "page %" PRIu64 " in use", pages[i]);
		world->is_free[pages[i]] = 0;
		world->nr_free--;
	}
	return world_counts_agree(world);
}

static inline bool model_ranges_valid(const struct world *world,
				      const struct span_map_range *ranges, u32 nr)
{
	u64 end = 0;
	u32 i;

	for (i = 0; i < nr; i++) {
		if (ranges[i].first < end ||
		    !model_in_range(world, ranges[i].first, ranges[i].nr_pages) ||
		    !model_all(world, ranges[i].first, ranges[i].nr_pages, 0))
			return false;
		end = ranges[i].first + ranges[i].nr_pages;
	}
	return true;
}

static inline bool world_free_ranges(struct world *world, const struct span_map_range *ranges,
				     u32 nr)
{
	int want = model_ranges_valid(world, ranges, nr) ? 0 : -EINVAL;
	int got = span_map_free_ranges(&world->map, ranges, nr);
	u32 i;

	AGREE(got == want, "%u ranges from %" PRIu64 ": %d, expected %d", nr, ranges[0].first, got,
	      want);
	for (i = 0; i < nr && !want; i++) {
		memset(world->is_free + ranges[i].first, 1, ranges[i].nr_pages);
		world->nr_free += ranges[i].nr_pages;
	}
	return world_counts_agree(world);
}

/* The stretches in use from a page on, each cut to a length, as ranges; how many they are. */
static inline u32 model_ranges_in_use(const struct world *world, u64 page, u64 length,
				      struct span_map_range *ranges, u32 limit)
{
	u64 first;
	u32 nr = 0;

	while (nr < limit && page < world->nr_pages) {
		for (first = page++; page < world->nr_pages && page - first < length; page++)
			if (world->is_free[page] != world->is_free[first])
				break;
		if (!world->is_free[first])
			ranges[nr++] = (struct span_map_range){first, page - first};
		page += page % 3;
	}
	return nr;
}

/* Every page, every run and every invariant. */
static inline bool world_check(const struct world *world)
{
	u64 got = span_map_longest_run(&world->map), want = model_longest_run(world);

	AGREE(!span_map_check(&world->map), "the map contradicts itself");
	AGREE(got == want, "longest run %" PRIu64 ", expected %" PRIu64, got, want);
	return true;
}

#endif
