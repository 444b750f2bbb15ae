// SPDX-License-Identifier: GPL-2.0-only
/*
 * The pool: one physically contiguous range taken from the page allocator by
 * alloc_contig_range(), which moves away what is in use there.
 *
 * Every page keeps order 0 and a reference count of its own, with a baseline of
 * 1 that is the pool's.  A higher count means that somebody maps or pins the
 * page.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/gfp.h>
#include <linux/highmem.h>
#include <linux/memory_hotplug.h>
#include <linux/mmzone.h>
#include <linux/sched/signal.h>
#include <linux/vmalloc.h>

#include "pool.h"

/* Pages handled between two looks at the scheduler and at signals. */
#define POOL_PIECE	512UL

/*
 * Whether a range could be taken at all.  If not, *next is the place behind the
 * page in the way.  An answer of true may be out of date at once; then
 * alloc_contig_range() says so.
 */
static bool range_is_ordinary(struct zone *zone, unsigned long start, unsigned long nr_pages,
			      unsigned long *next)
{
	unsigned long pfn;

	for (pfn = start; pfn < start + nr_pages; pfn++) {
		struct page *page = pfn_to_online_page(pfn);

		*next = pfn + 1;
		if (!page || page_zone(page) != zone || PageReserved(page) || PageHuge(page))
			return false;
		if (!(pfn % POOL_PIECE))
			cond_resched();
	}
	return true;
}

/* Candidates start at multiples of 2 MiB and advance by a quarter of the size. */
static int take_from_zone(struct pool *pool, struct zone *zone)
{
	unsigned long nr_pages = pool->nr_pages;
	unsigned long step = ALIGN(DIV_ROUND_UP(nr_pages, 4), POOL_PIECE);
	unsigned long end = zone_end_pfn(zone);
	unsigned long pfn = ALIGN(zone->zone_start_pfn, POOL_PIECE);
	unsigned long next;
	int ret = -ENOMEM;

	while (pfn < end && nr_pages <= end - pfn) {
		if (fatal_signal_pending(current))
			return -EINTR;
		if (!range_is_ordinary(zone, pfn, nr_pages, &next)) {
			pfn = ALIGN(next, POOL_PIECE);
			continue;
		}
		ret = alloc_contig_range(pfn, pfn + nr_pages, MIGRATE_MOVABLE,
					 GFP_KERNEL | __GFP_NOWARN);
		if (!ret) {
			pool->base_pfn = pfn;
			return 0;
		}
		pfn += step;
	}
	return ret == -EINTR ? ret : -ENOMEM;
}

/*
 * ZONE_MOVABLE is left alone, for these pages never move again, and so is
 * ZONE_DMA, which is small and for those who can use nothing else.
 */
static int take_contiguous(struct pool *pool)
{
	static const enum zone_type zones[] = {
		ZONE_NORMAL,
#ifdef CONFIG_ZONE_DMA32
		ZONE_DMA32,
#endif
	};
	int i, nid, ret;

	for (i = 0; i < ARRAY_SIZE(zones); i++) {
		for_each_online_node(nid) {
			struct zone *zone = &NODE_DATA(nid)->node_zones[zones[i]];

			if (!populated_zone(zone))
				continue;
			ret = take_from_zone(pool, zone);
			if (ret != -ENOMEM)
				return ret;
		}
	}
	return -ENOMEM;
}

static void give_back_contiguous(struct pool *pool)
{
	unsigned long pfn = pool->base_pfn;
	unsigned long left = pool->nr_pages;

	while (left) {
		unsigned long piece = min(left, POOL_PIECE);

		free_contig_range(pfn, piece);
		pfn += piece;
		left -= piece;
		cond_resched();
	}
}

/**
 * pool_init() - reserve pages and make them all free
 * @pool: the pool, zeroed
 * @nr_pages: how many, 1 to SPAN_MAP_MAX_PAGES
 *
 * Context: process context; sleeps, and may take long while pages are moved.
 * Return: 0, -ENOMEM if that many contiguous pages cannot be had, -EINTR if a
 * fatal signal arrived.
 */
int pool_init(struct pool *pool, u64 nr_pages)
{
	int ret;

	spin_lock_init(&pool->lock);
	pool->nr_pages = nr_pages;
	pool->metadata = vmalloc(span_map_metadata_bytes(nr_pages));
	if (!pool->metadata)
		return -ENOMEM;
	ret = take_contiguous(pool);
	if (ret)
		goto free_metadata;
	ret = span_map_init(&pool->map, nr_pages, pool->metadata);
	if (ret)
		goto give_back;
	ret = span_map_free(&pool->map, 0, nr_pages);
	if (ret)
		goto give_back;
	return 0;

give_back:
	give_back_contiguous(pool);
free_metadata:
	vfree(pool->metadata);
	return ret;
}

/**
 * pool_exit() - return the pages to the system
 * @pool: a pool all of whose pages are free
 */
void pool_exit(struct pool *pool)
{
	WARN_ON(span_map_free_pages(&pool->map) != pool->nr_pages);
	give_back_contiguous(pool);
	vfree(pool->metadata);
}

/**
 * pool_alloc() - take a run of free pages
 * @pool: the pool
 * @nr_pages: 1 to 65536
 * @align_pages: a power of two up to 512
 *
 * Return: index of the first page, or -ENOMEM if no run is long enough.
 */
s64 pool_alloc(struct pool *pool, u32 nr_pages, u32 align_pages)
{
	s64 first;

	spin_lock(&pool->lock);
	first = span_map_alloc(&pool->map, nr_pages, align_pages);
	spin_unlock(&pool->lock);
	return first;
}

/**
 * pool_free() - make pages free
 * @pool: the pool
 * @first: index of the first page
 * @nr_pages: number of pages, none of them free
 *
 * The lock is held for at most PAGESPAN_MAX_PAGES pages at a time.
 */
void pool_free(struct pool *pool, u64 first, u64 nr_pages)
{
	while (nr_pages) {
		u64 piece = min_t(u64, nr_pages, PAGESPAN_MAX_PAGES);
		int ret;

		spin_lock(&pool->lock);
		ret = span_map_free(&pool->map, first, piece);
		spin_unlock(&pool->lock);
		WARN_ON_ONCE(ret);
		first += piece;
		nr_pages -= piece;
	}
}

/**
 * pool_figures() - how much is free, at one moment
 * @pool: the pool
 * @free_pages: where to put the number of free pages
 * @longest_run: where to put the length of the longest run
 */
void pool_figures(struct pool *pool, u64 *free_pages, u64 *longest_run)
{
	spin_lock(&pool->lock);
	*free_pages = span_map_free_pages(&pool->map);
	*longest_run = span_map_longest_run(&pool->map);
	spin_unlock(&pool->lock);
}

/**
 * pool_zero() - clear pages that nobody can reach
 * @pool: the pool
 * @first: index of the first page
 * @nr_pages: number of pages
 *
 * Context: process context, no lock held.
 * Return: 0, or -EINTR if a fatal signal arrived; then only some are cleared.
 */
int pool_zero(struct pool *pool, u64 first, u64 nr_pages)
{
	u64 index;

	for (index = first; index < first + nr_pages; index++) {
		clear_highpage(pool_page(pool, index));
		if (!(index % POOL_PIECE)) {
			if (fatal_signal_pending(current))
				return -EINTR;
			cond_resched();
		}
	}
	return 0;
}
