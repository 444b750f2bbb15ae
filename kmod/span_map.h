/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * The span map: which pages of a pool are free, and where a span of n pages
 * goes. Exact, any size from 1 to 65536 pages, any subset of the allocated
 * pages may be freed, in bounded time. span_map.c says how.
 *
 * Pure bookkeeping: it never touches the pages, allocates nothing and takes no
 * lock. The caller serialises every call on one map; the functions that take a
 * const map only read.
 */
#ifndef PAGESPAN_SPAN_MAP_H
#define PAGESPAN_SPAN_MAP_H

#ifdef __KERNEL__
#include <linux/types.h>
#else
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
typedef int32_t s32;
typedef int64_t s64;
#endif

#define SPAN_MAP_MEGABLOCK_PAGES	512u
#define SPAN_MAP_MAX_PAGES		0x10000000u	/* of a pool: 1 TiB */
#define SPAN_MAP_MAX_SPAN		65536u		/* pages in one allocation */
#define SPAN_MAP_MAX_ALIGN		512u		/* pages */
#define SPAN_MAP_STEP_MEGABLOCKS	1024u		/* one span_map_alloc_step() */
#define SPAN_MAP_METADATA_ALIGN		64u		/* bytes: a cache line */
#define SPAN_MAP_INDEX_LEVELS		4

struct span_map_megablock;
struct span_map_start;

/* A set of numbers: a bit each, and above every 64 words a word that says which are not zero. */
struct span_map_index {
	u64 *level[SPAN_MAP_INDEX_LEVELS];
	u32 top;
};

/* The caller embeds it and reads nothing in it but through the functions below. */
struct span_map {
	u64 nr_pages;
	u64 free_pages;
	u32 nr_megablocks;
	u32 nr_lists;
	u64 (*bits)[SPAN_MAP_MEGABLOCK_PAGES / 64];
	struct span_map_megablock *megablocks;
	struct span_map_start *starts;
	u32 *lists;			/* first megablock of each list */
	struct span_map_index filled;	/* lists that are not empty */
	struct span_map_index walls;	/* megablocks that are not all free */
};

/* An aligned allocation under way. The caller sets the first two members and zeroes the rest. */
struct span_map_search {
	u32 nr_pages;
	u32 align_pages;
	u32 next;
};

/* Pages first..first + nr_pages - 1. */
struct span_map_range {
	u64 first;
	u64 nr_pages;
};

size_t span_map_metadata_bytes(u64 nr_pages);
int span_map_init(struct span_map *map, u64 nr_pages, void *metadata);

s64 span_map_alloc(struct span_map *map, u32 nr_pages, u32 align_pages);
s64 span_map_alloc_step(struct span_map *map, struct span_map_search *search);
int span_map_alloc_at(struct span_map *map, u64 first, u64 nr_pages);
u32 span_map_alloc_pages(struct span_map *map, u64 *pages, u32 nr);
int span_map_free(struct span_map *map, u64 first, u64 nr_pages);
int span_map_free_ranges(struct span_map *map, const struct span_map_range *ranges, u32 nr);

u64 span_map_free_pages(const struct span_map *map);
u64 span_map_longest_run(const struct span_map *map);
int span_map_check(const struct span_map *map);

#endif
