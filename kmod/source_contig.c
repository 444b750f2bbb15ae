// SPDX-License-Identifier: GPL-2.0-only
/*
 * Pages from the running system: one physically contiguous range which
 * alloc_contig_range() empties by moving away what is in use there.
 *
 * No boot parameter, any size, but where there are devmap entries, see era.h, mapped
 * with 4 KiB pages only: those are for ZONE_DEVICE pages.
 */
#include <linux/gfp.h>
#include <linux/memory_hotplug.h>
#include <linux/mmzone.h>
#include <linux/sched/signal.h>

#include "compat.h"
#include "pool.h"

/* Pages handled between two looks at the scheduler. */
#define PIECE	512UL

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
		if (!page || page_zone(page) != zone || PageReserved(page) || PageHuge(page) ||
		    PageHWPoison(page))
			return false;
		if (!(pfn % PIECE))
			cond_resched();
	}
	return true;
}

/* Candidates start at multiples of 2 MiB and advance by a quarter of the size. */
static int take_from_zone(struct pool_piece *piece, struct zone *zone, unsigned long nr_pages)
{
	unsigned long step = ALIGN(DIV_ROUND_UP(nr_pages, 4), PIECE);
	unsigned long end = zone_end_pfn(zone);
	unsigned long pfn = ALIGN(zone->zone_start_pfn, PIECE);
	unsigned long next;
	int ret = -ENOMEM;

	while (pfn < end && nr_pages <= end - pfn) {
		if (fatal_signal_pending(current))
			return -EINTR;
		if (!range_is_ordinary(zone, pfn, nr_pages, &next)) {
			pfn = ALIGN(next, PIECE);
			continue;
		}
		ret = alloc_contig_range(pfn, pfn + nr_pages, COMPAT_CONTIG_FLAGS,
					 GFP_KERNEL | __GFP_NOWARN);
		if (!ret) {
			piece->pfn = pfn;
			piece->nr_pages = nr_pages;
			return 0;
		}
		pfn += step;
	}
	return ret == -EINTR ? ret : -ENOMEM;
}

/*
 * ZONE_DMA is small, and for those who can use nothing else. arm64's may be most of a
 * node, or all of it.
 */
static bool is_for_others(const struct zone *zone)
{
#ifdef CONFIG_ZONE_DMA
	return zone_idx(zone) == ZONE_DMA &&
	       zone->present_pages <= zone->zone_pgdat->node_present_pages / 2;
#else
	return false;
#endif
}

/* ZONE_MOVABLE is left alone, for these pages never move again. */
static int contig_take(struct pool_piece *piece, struct pool_request *request)
{
	static const enum zone_type zones[] = {
		ZONE_NORMAL,
#ifdef CONFIG_ZONE_DMA32
		ZONE_DMA32,
#endif
#ifdef CONFIG_ZONE_DMA
		ZONE_DMA,
#endif
	};
	int i, nid, ret;

	for (i = 0; i < ARRAY_SIZE(zones); i++) {
		for_each_online_node(nid) {
			struct zone *zone = &NODE_DATA(nid)->node_zones[zones[i]];

			if (!populated_zone(zone) || is_for_others(zone))
				continue;
			ret = take_from_zone(piece, zone, request->nr_pages);
			if (ret != -ENOMEM)
				return ret;
		}
	}
	pool_why(request, "cannot reserve %llu MiB of contiguous memory",
		 request->nr_pages >> (20 - PAGE_SHIFT));
	return -ENOMEM;
}

static void free_pages_in_pieces(unsigned long pfn, unsigned long left)
{
	while (left) {
		unsigned long piece = min(left, PIECE);

		free_contig_range(pfn, piece);
		pfn += piece;
		left -= piece;
		cond_resched();
	}
}

/* What is poisoned stays allocated to nobody, for ever. */
static void contig_give_back(struct pool_piece *piece)
{
	u64 offset, end;

	for (offset = 0; offset < piece->nr_pages; offset = end + 1) {
		end = pool_next_poisoned(piece, offset);
		free_pages_in_pieces(piece->pfn + offset, end - offset);
	}
}

const struct pool_source pool_source_contig = {
	.id = PAGESPAN_SOURCE_CONTIG,
	.name = "contig",
	.take = contig_take,
	.give_back = contig_give_back,
};
