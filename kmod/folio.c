// SPDX-License-Identifier: GPL-2.0-only
/*
 * Making a megablock one folio, and pages of order 0 again.
 *
 *	order 0:  512 pages, each with a count of 1, a mapping, an index
 *	folio:    a head with a count of 1, a mapping, an index; 511 tails with a count of 0
 *
 * What does this in the kernel is not for modules, or does much more: for a folio is
 * taken apart whenever a page of it is freed alone. So it is done here, with what the
 * headers have, the same stores in the same order as prep_compound_page() and
 * __split_folio_to_order() make. Everything that is known of struct folio is in this
 * file, and checked when it is compiled. Read in Linux 7.3; 6.18 differs where
 * compat.h says so (not run).
 *
 * Who finds a page by its frame (get_user_pages_fast(), memory_failure()) may look at it
 * meanwhile. It takes its reference only where the count is not 0, and looks
 * again whether it still has what it looked for. So all counts are 0 from the first
 * store to the last.
 */
#include <linux/bitops.h>
#include <linux/mm.h>
#include <linux/page_ref.h>
#include <linux/spinlock.h>

#include "compat.h"
#include "folio.h"
#include "pool.h"

#define FOLIO_ORDER	ilog2(SPAN_MAP_MEGABLOCK_PAGES)
#define FOLIO_PAGES	((u64)SPAN_MAP_MEGABLOCK_PAGES)

/* What lies in the second page: the order, and marks of large folios alone. */
#define SECOND_ORDER	0xffUL
#define SECOND_MARKS	(SECOND_ORDER | BIT(PG_has_hwpoisoned) | BIT(PG_large_rmappable) | \
			 BIT(PG_partially_mapped))

static_assert(FOLIO_ORDER == PMD_SHIFT - PAGE_SHIFT);
static_assert((FOLIO_ORDER & ~SECOND_ORDER) == 0);
/* A tail has its head where a page of a device has its device, and nothing else of a page has. */
static_assert(offsetof(struct folio, pgmap) == offsetof(struct page, COMPAT_HEAD_MEMBER));
static_assert(offsetof(struct folio, _flags_1) == sizeof(struct page));
static_assert(offsetof(struct folio, _deferred_list) >= 2 * sizeof(struct page));
/* What a second page alone has lies in its mapping, index and private field, or in _nr_pages. */
static_assert(offsetof(struct folio, _large_mapcount) >=
	      sizeof(struct page) + offsetof(struct page, COMPAT_HEAD_MEMBER) + sizeof(long));
static_assert(offsetofend(struct folio, _mm_ids) <=
	      sizeof(struct page) + offsetofend(struct page, private));

static DEFINE_SPINLOCK(folio_lock);	/* innermost; held while a folio is made or taken apart */

/* Sets the counts of all pages to 0; false, with nothing changed, if one is not 1. */
static bool freeze_pages(struct page *page)
{
	int i, k;

	for (i = 0; i < FOLIO_PAGES; i++)
		if (!page_ref_freeze(page + i, 1))
			break;
	if (i == FOLIO_PAGES)
		return true;
	for (k = 0; k < i; k++)
		page_ref_unfreeze(page + k, 1);
	return false;
}

/* As prep_compound_page(), of pages whose counts are 0. One may become poisoned meanwhile. */
static void compose(struct page *page)
{
	struct folio *folio = (struct folio *)page;
	int i;

	set_bit(PG_head, compat_page_flags(page));
	for (i = 1; i < FOLIO_PAGES; i++) {
		page[i].mapping = TAIL_MAPPING;
		compat_set_compound_head(page + i, page, FOLIO_ORDER);
	}
	set_mask_bits(compat_page_flags(page + 1), SECOND_MARKS,
		      FOLIO_ORDER | BIT(PG_large_rmappable));
	folio->_nr_pages = FOLIO_PAGES;
	atomic_set(&folio->_large_mapcount, -1);
	atomic_set(&folio->_nr_pages_mapped, 0);
	folio->_mm_ids = 0;
	folio->_mm_id_mapcount[0] = -1;
	folio->_mm_id_mapcount[1] = -1;
	atomic_set(&folio->_pincount, 0);
	atomic_set(&folio->_entire_mapcount, -1);
	INIT_LIST_HEAD(&folio->_deferred_list);
}

/**
 * folio_build() - make the pages of a megablock one folio
 * @pool: the pool
 * @first: index of its first page; the caller has all of it, so that nobody else does
 *	the like, and it has no poisoned page
 *
 * Return: the folio; NULL if a page is mapped or pinned, or the kernel just looks at it.
 */
struct folio *folio_build(struct pool *pool, u64 first)
{
	struct page *page = pool_page(pool, first);
	struct folio *folio = (struct folio *)page;

	if (pool_is_folio(pool, first))
		return folio;
	spin_lock(&folio_lock);
	if (!pool_is_folio(pool, first)) {
		if (freeze_pages(page)) {
			compose(page);
			set_bit(POOL_BLOCK_FOLIO, &pool->blocks[first / FOLIO_PAGES]);
			page_ref_unfreeze(page, 1);
		} else {
			folio = NULL;
		}
	}
	spin_unlock(&folio_lock);
	return folio;
}

/* As __split_folio_to_order(), of a folio whose count is 0; counts its pages again. */
static void decompose(struct page *page, struct dev_pagemap *pgmap)
{
	struct folio *folio = (struct folio *)page;
	struct address_space *mapping = folio->mapping;
	pgoff_t index = folio->index;
	int i;

	set_mask_bits(compat_page_flags(page + 1), SECOND_MARKS, 0UL);
	folio->_nr_pages = 0;
	for (i = FOLIO_PAGES - 1; i > 0; i--) {
		struct folio *small = (struct folio *)(page + i);

		small->pgmap = pgmap;	/* with which it is no tail any more */
		small->mapping = mapping;
		small->index = index + i;
		small->private = NULL;
		page_ref_unfreeze(page + i, pool_is_held(page + i) ? 2 : 1);
	}
	clear_bit(PG_head, compat_page_flags(page));
	page_ref_unfreeze(page, pool_is_held(page) ? 2 : 1);
}

/**
 * folio_take_apart() - make a folio pages of order 0
 * @pool: the pool
 * @first: index of its first page, which does not leave meanwhile; it may be no folio
 *
 * Return: false if it is mapped or pinned, or the kernel just looks at it.
 */
bool folio_take_apart(struct pool *pool, u64 first)
{
	struct page *page = pool_page(pool, first);
	bool apart = true;

	spin_lock(&folio_lock);
	if (pool_is_folio(pool, first)) {
		apart = page_ref_freeze(page, 1);
		if (apart) {
			decompose(page, pool_is_device(pool, first) ? page_pgmap(page) : NULL);
			/* Whoever finds it gone finds the counts of its pages. */
			smp_mb__before_atomic();
			clear_bit(POOL_BLOCK_FOLIO, &pool->blocks[first / FOLIO_PAGES]);
		}
	}
	spin_unlock(&folio_lock);
	return apart;
}

/**
 * folio_hold_poisoned() - give a page the reference of a poisoned one
 * @page: a page that is poisoned, or is going to be marked so
 *
 * A page of a folio gets it when that is taken apart.
 *
 * Return: false if it has it already.
 */
bool folio_hold_poisoned(struct page *page)
{
	bool held;

	spin_lock(&folio_lock);
	held = pool_test_set_held(page);
	if (!held && !PageCompound(page))
		get_page(page);
	spin_unlock(&folio_lock);
	smp_mb();	/* pairs with pool_page_pinned() */
	return !held;
}
