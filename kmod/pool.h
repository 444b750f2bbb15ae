/* SPDX-License-Identifier: GPL-2.0-only */
/* The pool: the reserved physical pages, and which of them are free. */
#ifndef PAGESPAN_POOL_H
#define PAGESPAN_POOL_H

#include <linux/list.h>
#include <linux/mm.h>
#include <linux/mutex.h>
#include <linux/page_ref.h>
#include <linux/nospec.h>
#include <linux/spinlock.h>

#include <linux/pagespan.h>

#include "account.h"
#include "compat.h"
#include "span_map.h"

struct dev_pagemap;

/* A sentence that says why a source gave nothing, or why the pool is not better than it is. */
#define POOL_WHY_BYTES	160

/**
 * struct pool_request - what is wanted of a source
 * @nr_pages: a piece of at most so many pages
 * @deadline: when to give up what may take long, in jiffies
 * @below: where sources that try one place after the other are: from here down
 * @why: POOL_WHY_BYTES for what pool_why() says if it fails
 */
struct pool_request {
	u64 nr_pages;
	unsigned long deadline;
	u64 below;
	char *why;
};

/**
 * struct pool_piece - physically contiguous pages from one source
 * @siblings: in the pool's list, by @first; readers without the lock use RCU
 * @source: where they are from
 * @first: page index of the first of them
 * @nr_pages: how many
 * @pfn: page frame of the first of them; the same as @first modulo a megablock
 * @withdrawn: none of them is free in the span map, and nobody owns one
 * @pgmap: of a source of ZONE_DEVICE pages
 * @nid: the node of an unplugged memory block
 * @movable: the block was in ZONE_MOVABLE
 */
struct pool_piece {
	struct list_head siblings;
	const struct pool_source *source;
	u64 first;
	u64 nr_pages;
	unsigned long pfn;
	bool withdrawn;
	struct dev_pagemap *pgmap;
	int nid;
	bool movable;
};

/**
 * struct pool_source - a way to come by physical pages
 * @id: as PAGESPAN_INFO tells it
 * @name: as source= and the log tell it
 * @zone_device: the pages are ZONE_DEVICE pages
 * @is_named: of a source that a parameter names one place for: whether it does
 * @piece_pages: of a source whose pieces are all of one size: that size
 * @take: reserve a piece; sets @pfn and @nr_pages of it; 0, or -errno with
 *	pool_why() said
 * @give_back: undo @take
 */
struct pool_source {
	enum pagespan_source id;
	const char *name;
	bool zone_device;
	bool (*is_named)(void);
	u64 (*piece_pages)(void);
	int (*take)(struct pool_piece *piece, struct pool_request *request);
	void (*give_back)(struct pool_piece *piece);
};

extern const struct pool_source pool_source_phys;
extern const struct pool_source pool_source_reserve_mem;
extern const struct pool_source pool_source_hotplug;
extern const struct pool_source pool_source_contig;

/* Above every id of a source. */
#define POOL_SOURCES	(PAGESPAN_SOURCE_RESERVE_MEM + 1)

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

/* What pool->blocks says beside the page frame. */
#define POOL_BLOCK_DEVICE	0x1UL	/* its pages are ZONE_DEVICE pages */
#define POOL_BLOCK_HUGE		0x2UL	/* it is whole and takes a 2 MiB entry */
#define POOL_BLOCK_MAPPED	2	/* number of a bit: a 2 MiB entry, or a TLB, may map it */

#define POOL_BLOCK_POISONED	3	/* number of a bit: one of its pages is, or was, poisoned */
#define POOL_BLOCK_FOLIO	4	/* number of a bit: its pages are one folio, see below */

#define POOL_BLOCK_MASK		(SPAN_MAP_MEGABLOCK_PAGES - 1UL)

/**
 * struct pool - the reserved pages
 * @lock: serialises @map and @parked; held for one span map call at a time, for
 *	POOL_DRAINS calls that take single pages, or for freeing what is parked
 * @map: which pages are free; those of parked spans, and those that are not
 *	there, are in use for it
 * @parked: the spans freed last, the last of them on top
 * @nr_parked: how many
 * @blocks: for each megablock the page frame of its first page, or where that
 *	would be, with POOL_BLOCK_*; 0 if it is not there
 * @exports: for each page how many dma-bufs it is in
 * @metadata: what @map works on
 * @nr_pages: page indices are below this
 * @present: pages that are there; written under @resize_lock
 * @max_pages: what @present may grow to
 * @only: the only source there may be, or NULL
 * @mapping: the address space that all pages that are there belong to
 * @resize_lock: serialises growing and shrinking; protects @pieces and @why_not
 * @pieces: all there are, by index
 * @source_pages: pages from each source; written under @resize_lock
 * @looked_at: when pool_recent_figures() looked last, in jiffies
 * @recent_free: the free pages that it saw
 * @recent_longest: the longest run that it saw
 * @why_not: for each source, why there is nothing or no more from it
 */
struct pool {
	spinlock_t lock;	/* see client.c for the order of locks */
	struct span_map map;
	struct pool_span parked[POOL_PARKED];
	u32 nr_parked;
	unsigned long *blocks;
	atomic_t *exports;
	void *metadata;
	u64 nr_pages;
	u64 present;
	u64 max_pages;
	const struct pool_source *only;
	struct address_space *mapping;
	struct mutex resize_lock;	/* see client.c for the order of locks */
	struct list_head pieces;
	u64 source_pages[POOL_SOURCES];
	unsigned long looked_at;
	u64 recent_free;
	u64 recent_longest;
	char why_not[POOL_SOURCES][POOL_WHY_BYTES];
};

int pool_init(struct pool *pool, const struct pool_source *only, u64 nr_pages, u64 max_pages);
void pool_exit(struct pool *pool);
const struct pool_source *pool_find_source(const char *name);
__printf(2, 3) void pool_why(struct pool_request *request, const char *format, ...);

int pool_grow(struct pool *pool, u64 nr_pages);
struct pool_piece *pool_withdraw(struct pool *pool, u64 nr_pages);
void pool_readmit(struct pool *pool, struct pool_piece *piece);
void pool_remove(struct pool *pool, struct pool_piece *piece);

const struct pool_source *pool_best_source(const struct pool *pool);
u32 pool_sources(const struct pool *pool);
bool pool_kernel_is_huge(void);
const char *pool_why_not_huge(const struct pool *pool);
int pool_tell_sources(const struct pool *pool, char *buf, size_t bytes);
int pool_tell_why_not(const struct pool *pool, char *buf, size_t bytes, const char *separator);

s64 pool_alloc(struct pool *pool, struct account *account, u32 nr_pages, u32 align_pages);
int pool_alloc_at(struct pool *pool, struct account *account, u64 first, u32 nr_pages);
int pool_alloc_pages(struct pool *pool, struct account *account, u64 *pages, u32 nr);
void pool_free(struct pool *pool, u64 first, u64 nr_pages);
void pool_free_ranges(struct pool *pool, const struct span_map_range *ranges, u32 nr);
void pool_figures(struct pool *pool, u64 *free_pages, u64 *longest_run);
void pool_recent_figures(struct pool *pool, u64 *free_pages, u64 *longest_run);
bool pool_pinned(const struct pool *pool, u64 first, u64 nr_pages);
u64 pool_check(struct pool *pool, u64 *checked);
s64 pool_find(const struct pool *pool, unsigned long pfn);
u64 pool_next_poisoned(const struct pool_piece *piece, u64 offset);
u64 pool_poisoned_pages(const struct pool *pool);
void pool_zero(struct pool *pool, u64 first, u64 nr_pages);
int pool_zero_killable(struct pool *pool, u64 first, u64 nr_pages);
void pool_place(struct pool *pool, u64 first, u64 nr_pages, u64 id);

/**
 * pool_block() - what pool->blocks says of a page's megablock
 * @pool: the pool
 * @index: below pool->nr_pages
 *
 * Return: its word, 0 if it is not there.
 */
static inline unsigned long pool_block(const struct pool *pool, u64 index)
{
	return READ_ONCE(pool->blocks[index / SPAN_MAP_MEGABLOCK_PAGES]);
}

/**
 * pool_page() - the struct page behind a page index
 * @pool: the pool
 * @index: of a page that cannot leave meanwhile: it is owned, reserved or
 *	quarantined
 *
 * Pages with consecutive indices in one piece have consecutive structs.
 *
 * Return: the page.
 */
static inline struct page *pool_page(const struct pool *pool, u64 index)
{
	return pfn_to_page((pool_block(pool, index) & ~POOL_BLOCK_MASK) |
			   (index & POOL_BLOCK_MASK));
}

/**
 * pool_is_device() - whether a page is a ZONE_DEVICE page
 * @pool: the pool
 * @index: below pool->nr_pages
 *
 * Return: true if it is.
 */
static inline bool pool_is_device(const struct pool *pool, u64 index)
{
	return pool_block(pool, index) & POOL_BLOCK_DEVICE;
}

/**
 * pool_is_huge() - whether a page's megablock can be mapped with a 2 MiB page
 * @pool: the pool
 * @index: below pool->nr_pages
 *
 * Return: true if it can.
 */
static inline bool pool_is_huge(const struct pool *pool, u64 index)
{
	unsigned long word = pool_block(pool, index);

	return (word & (POOL_BLOCK_HUGE | BIT(POOL_BLOCK_POISONED))) == POOL_BLOCK_HUGE;
}

/**
 * pool_block_is_poisoned() - whether a page's megablock has a poisoned page
 * @pool: the pool
 * @index: below pool->nr_pages
 *
 * Return: true if it is known to have one.
 */
static inline bool pool_block_is_poisoned(const struct pool *pool, u64 index)
{
	return pool_block(pool, index) & BIT(POOL_BLOCK_POISONED);
}

/**
 * pool_set_poisoned() - note that a megablock, if it is there, has a poisoned page
 * @pool: the pool
 * @index: of the page
 */
static inline void pool_set_poisoned(struct pool *pool, u64 index)
{
	unsigned long *block = &pool->blocks[index / SPAN_MAP_MEGABLOCK_PAGES];
	unsigned long word = READ_ONCE(*block);

	while (word && !try_cmpxchg(block, &word, word | BIT(POOL_BLOCK_POISONED)))
		;
}

/*
 * Folios. Where a 2 MiB entry maps a folio, see era.h, the pages of a megablock are
 * one as soon as it has such an entry, and count as one: that one of them is
 * pinned cannot be told from another. So a folio is somebody's, free, or of the
 * quarantine whole, but for what follows: who frees a part of it has it taken apart;
 * as long as it is pinned that fails, and what is freed of it is quarantined; who
 * allocates a part of a free one takes it apart. It is when one of its pages is
 * poisoned, too.
 */

/**
 * pool_is_folio() - whether the pages of a megablock are one folio
 * @pool: the pool
 * @index: of a page in it
 *
 * Who owns or has reserved all of it, or holds the client's lock, makes it one; who
 * owns or has reserved a page, or is about to free it, takes it apart.
 *
 * Return: true if they are.
 */
static inline bool pool_is_folio(const struct pool *pool, u64 index)
{
	return PAGESPAN_FOLIOS && pool_block(pool, index) & BIT(POOL_BLOCK_FOLIO);
}

/**
 * pool_next_split() - the next folio that some pages do not take with them whole
 * @pool: the pool
 * @index: where to begin
 * @first: index of the first of the pages
 * @end: index after the last
 *
 * Return: index of the first page of a folio of which only a part is among the pages,
 * or which has a poisoned page; U64_MAX if there is none from @index on.
 */
static inline u64 pool_next_split(const struct pool *pool, u64 index, u64 first, u64 end)
{
	u64 block;

	if (!PAGESPAN_FOLIOS)
		return U64_MAX;
	for (block = round_down(index, SPAN_MAP_MEGABLOCK_PAGES); block < end;
	     block += SPAN_MAP_MEGABLOCK_PAGES)
		if (pool_is_folio(pool, block) &&
		    (block < first || block + SPAN_MAP_MEGABLOCK_PAGES > end ||
		     pool_block_is_poisoned(pool, block)))
			return block;
	return U64_MAX;
}

/**
 * pool_folio_is_pinned() - whether something holds a folio, besides its mappings
 * @pool: the pool
 * @first: index of its first page
 *
 * Return: true if something does, at this moment.
 */
static inline bool pool_folio_is_pinned(const struct pool *pool, u64 first)
{
	struct folio *folio = page_folio(pool_page(pool, first));

	return folio_ref_count(folio) > 1 + folio_mapcount(folio);
}

/**
 * pool_page_is_poisoned() - whether a page is poisoned
 * @pool: the pool
 * @index: of a page that cannot leave meanwhile
 *
 * Return: true if it is.
 */
static inline bool pool_page_is_poisoned(const struct pool *pool, u64 index)
{
	return PageHWPoison(pool_page(pool, index));
}

/**
 * pool_page_pinned() - pool_pinned() of a page that may be poisoned
 * @pool: the pool
 * @index: of the page
 *
 * A poisoned page has a reference more, see poison.c. Of the running system's pages
 * nobody knows whether it has one or two more, but those may be nobody's while they
 * are pinned, for their structs stay. A folio has to be taken apart first.
 *
 * Return: true if it has to be quarantined.
 */
static inline bool pool_page_pinned(const struct pool *pool, u64 index)
{
	struct page *page = pool_page(pool, index);

	if (pool_is_folio(pool, index))
		return true;
	if (!PageHWPoison(page))
		return page_ref_count(page) != 1;
	smp_rmb();	/* pairs with era_hold_poisoned() */
	return pool_is_device(pool, index) && page_ref_count(page) != 2;
}

/**
 * pool_test_set_held() - note that a poisoned page has the reference of one
 * @page: the page
 *
 * The mark is for whoever owns a page.
 *
 * Return: whether it was noted before.
 */
static inline bool pool_test_set_held(struct page *page)
{
	return test_and_set_bit(PG_owner_priv_1, compat_page_flags(page));
}

/**
 * pool_is_held() - whether a page has the reference of a poisoned one
 * @page: the page
 *
 * Return: true if that is noted.
 */
static inline bool pool_is_held(struct page *page)
{
	return test_bit(PG_owner_priv_1, compat_page_flags(page));
}

/**
 * pool_set_mapped() - note that a 2 MiB entry is about to map a megablock
 * @pool: the pool
 * @index: of its first page
 */
static inline void pool_set_mapped(struct pool *pool, u64 index)
{
	set_bit(POOL_BLOCK_MAPPED, &pool->blocks[index / SPAN_MAP_MEGABLOCK_PAGES]);
}

/**
 * pool_is_mapped() - whether a 2 MiB entry may map a megablock, or did
 * @pool: the pool
 * @index: of a page in it
 *
 * Return: true if it was noted since pool_clear_mapped().
 */
static inline bool pool_is_mapped(const struct pool *pool, u64 index)
{
	return pool_block(pool, index) & BIT(POOL_BLOCK_MAPPED);
}

/**
 * pool_clear_mapped() - note that neither a page table nor a TLB maps a megablock
 * @pool: the pool
 * @index: of a page in it
 *
 * A page of it must not be free yet that was owned when it was mapped: until
 * then no 2 MiB entry can be made for it.
 */
static inline void pool_clear_mapped(struct pool *pool, u64 index)
{
	if (pool_is_mapped(pool, index))
		clear_bit(POOL_BLOCK_MAPPED, &pool->blocks[index / SPAN_MAP_MEGABLOCK_PAGES]);
}

/**
 * pool_contains() - whether a range lies in the index space of the pool
 * @pool: the pool
 * @first: any value
 * @nr_pages: any value
 *
 * Return: true if it is not empty and every page index in it is below
 * pool->nr_pages.
 */
static inline bool pool_contains(const struct pool *pool, u64 first, u64 nr_pages)
{
	return nr_pages && first < pool->nr_pages && nr_pages <= pool->nr_pages - first;
}

/**
 * pool_clamp() - keep a CPU that guesses from using an index outside the pool
 * @pool: the pool
 * @index: an index from a program, found to be below pool->nr_pages
 *
 * Return: the index.
 */
static inline u64 pool_clamp(const struct pool *pool, u64 index)
{
	return array_index_nospec(index, pool->nr_pages);
}

#endif
