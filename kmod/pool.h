/* SPDX-License-Identifier: GPL-2.0-only */
/* The pool: the reserved physical pages, and which of them are free. */
#ifndef PAGESPAN_POOL_H
#define PAGESPAN_POOL_H

#include <linux/mm.h>
#include <linux/spinlock.h>

#include <linux/pagespan.h>

#include "span_map.h"

struct dev_pagemap;
struct pool;
struct resource;

/**
 * struct pool_source - a way to come by physical pages
 * @id: as PAGESPAN_INFO tells it
 * @name: as source= and the log tell it
 * @zone_device: the pages are ZONE_DEVICE pages
 * @take: reserve contiguous pages; sets @base_pfn and @nr_pages of the pool,
 *	where @nr_pages says before how many are wanted; 0 or -errno, said why
 * @give_back: undo @take
 */
struct pool_source {
	enum pagespan_source id;
	const char *name;
	bool zone_device;
	int (*take)(struct pool *pool);
	void (*give_back)(struct pool *pool);
};

extern const struct pool_source pool_source_contig;
extern const struct pool_source pool_source_phys;
bool pool_source_phys_is_wanted(void);

/* Freed spans kept aside for the next allocation, and the longest that is, in pages. */
#define POOL_PARKED		16
#define POOL_PARKED_MAX_PAGES	SPAN_MAP_MEGABLOCK_PAGES

/**
 * struct pool_span - a span that is free but parked
 * @first: index of its first page
 * @nr_pages: its length
 */
struct pool_span {
	u64 first;
	u32 nr_pages;
};

/**
 * struct pool - the reserved pages
 * @lock: serialises @map and @parked; held for one span map call at a time, for
 *	POOL_DRAINS calls that take single pages, or for freeing what is parked
 * @map: which pages are free; those of parked spans are in use for it
 * @parked: the spans freed last, the last of them on top
 * @nr_parked: how many
 * @metadata: what @map works on
 * @nr_pages: page indices are below this
 * @base_pfn: page frame of index 0
 * @huge: whole aligned megablocks can be mapped with 2 MiB pages
 * @source: where the pages are from
 * @pgmap: of a source of ZONE_DEVICE pages
 * @region: what such a source holds in iomem_resource
 */
struct pool {
	spinlock_t lock;	/* see client.c for the order of locks */
	struct span_map map;
	struct pool_span parked[POOL_PARKED];
	u32 nr_parked;
	void *metadata;
	u64 nr_pages;
	unsigned long base_pfn;
	bool huge;
	const struct pool_source *source;
	struct dev_pagemap *pgmap;
	struct resource *region;
};

int pool_init(struct pool *pool, const struct pool_source *source, u64 nr_pages);
void pool_exit(struct pool *pool);

s64 pool_alloc(struct pool *pool, u32 nr_pages, u32 align_pages);
int pool_alloc_at(struct pool *pool, u64 first, u32 nr_pages);
u32 pool_alloc_pages(struct pool *pool, u64 *pages, u32 nr);
void pool_free(struct pool *pool, u64 first, u64 nr_pages);
void pool_free_ranges(struct pool *pool, const struct span_map_range *ranges, u32 nr);
void pool_figures(struct pool *pool, u64 *free_pages, u64 *longest_run);
bool pool_pinned(const struct pool *pool, u64 first, u64 nr_pages);
int pool_zero(struct pool *pool, u64 first, u64 nr_pages);

/**
 * pool_page() - the struct page behind a page index
 * @pool: the pool
 * @index: below pool->nr_pages
 *
 * Return: the page.
 */
static inline struct page *pool_page(const struct pool *pool, u64 index)
{
	return pfn_to_page(pool->base_pfn + index);
}

/**
 * pool_contains() - whether a range lies in the pool
 * @pool: the pool
 * @first: any value
 * @nr_pages: any value
 *
 * Return: true if it is not empty and every page index in it is the pool's.
 */
static inline bool pool_contains(const struct pool *pool, u64 first, u64 nr_pages)
{
	return nr_pages && first < pool->nr_pages && nr_pages <= pool->nr_pages - first;
}

#endif
