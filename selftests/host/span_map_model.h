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

/* Every page, every run and every invariant. */
static inline bool world_check(const struct world *world)
{
	u64 got = span_map_longest_run(&world->map), want = model_longest_run(world);

	AGREE(!span_map_check(&world->map), "the map contradicts itself");
	AGREE(got == want, "longest run %" PRIu64 ", expected %" PRIu64, got, want);
	return true;
}

#endif
