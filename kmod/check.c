// SPDX-License-Identifier: GPL-2.0-only
/*
 * Checks of pages that nobody owns, maps or pins: that each is as it came, whatever was
 * done to it. A reference, a map count or a mark that an entry has left behind, or has
 * taken with it, is a bug in how pages are mapped, here or in the kernel, and is found at
 * the latest when the page goes back.
 *
 * A poisoned page is not looked at: who else holds it nobody knows.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/mm.h>
#include <linux/page_ref.h>
#include <linux/sched.h>

#include "check.h"
#include "compat.h"
#include "era.h"
#include "pool.h"

/* Pages that are told of, of all that are not as they should be. */
#define TOLD_MOST	4

/* What only a page has that somebody else uses, or that is the first or second of a folio. */
#define WRONG_MARKS	(BIT(PG_locked) | BIT(PG_writeback) | BIT(PG_head) | BIT(PG_lru) | \
			 BIT(PG_active) | BIT(PG_reclaim) | BIT(PG_private))

/* What is wrong with a page, NULL if nothing is. */
static const char *find_fault(const struct pool *pool, const struct pool_piece *piece, u64 index)
{
	struct page *page = pool_page(pool, index);
	struct folio *folio = page_folio(page);
	u64 place = folio->index % SPAN_MAP_MAX_PAGES;

	if (folio != (struct folio *)page || *compat_page_flags(page) & WRONG_MARKS)
		return "marks";
	if (page_ref_count(page) != 1)
		return "references";
	if (atomic_read(&page->_mapcount) != ERA_UNMAPPED)
		return "map count";
	if (page->mapping != pool->mapping || (place && place != index))
		return "place";
	if (page_private(page) || atomic_read(&pool->exports[index]))
		return "exports";
	if (piece->pgmap && compat_page_pgmap(page) != piece->pgmap)
		return "device";
	return NULL;
}

/**
 * check_pages() - look for pages of a piece that are not as they came
 * @pool: the pool
 * @piece: the piece, none of whose pages is owned, mapped, pinned or in a folio
 *
 * Says in the kernel log what it finds.
 *
 * Context: process context; sleeps.
 * Return: how many it found.
 */
u64 check_pages(const struct pool *pool, const struct pool_piece *piece)
{
	u64 end = piece->first + piece->nr_pages;
	u64 faults = 0;
	u64 index;

	for (index = piece->first; index < end; index++) {
		const char *fault = NULL;

		if (!pool_page_is_poisoned(pool, index))
			fault = find_fault(pool, piece, index);
		if (fault && faults++ < TOLD_MOST)
			pr_err("page %llu is free and has %s that a free page has not, flags %#lx\n",
			       index, fault, *compat_page_flags(pool_page(pool, index)));
		if (!(index % SPAN_MAP_MEGABLOCK_PAGES))
			cond_resched();
	}
	WARN_ON_ONCE(faults);
	return faults;
}
