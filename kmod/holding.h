/* SPDX-License-Identifier: GPL-2.0-only */
/* What a client holds: how many pages it owns of each megablock. */
#ifndef PAGESPAN_HOLDING_H
#define PAGESPAN_HOLDING_H

#include <linux/atomic.h>
#include <linux/bitmap.h>
#include <linux/types.h>

#include "span_map.h"

/* Megablocks whose counts lie together: those of 1 GiB. */
#define HOLDING_LEAF_BLOCKS	512

/**
 * struct holding_leaf - counts of megablocks that lie together
 * @seen: a bit for each, set before it is first counted
 * @nr_owned: pages owned of each
 */
struct holding_leaf {
	DECLARE_BITMAP(seen, HOLDING_LEAF_BLOCKS);
	atomic_t nr_owned[HOLDING_LEAF_BLOCKS];
};

/**
 * struct holding - how many pages a client owns, by the megablock
 * @leaves: the counts of each GiB of the pool; NULL where it never owned a page
 * @nr_leaves: how many there are
 */
struct holding {
	struct holding_leaf **leaves;
	u32 nr_leaves;
};

int holding_init(struct holding *holding, u64 nr_pages);
void holding_exit(struct holding *holding);
int holding_prepare_range(struct holding *holding, u64 first, u64 nr_pages);
void holding_add_range(struct holding *holding, u64 first, u64 nr_pages, int sign);
u64 holding_next(const struct holding *holding, u64 index);

#define HOLDING_LEAF_PAGES	((u64)HOLDING_LEAF_BLOCKS * SPAN_MAP_MEGABLOCK_PAGES)

static inline struct holding_leaf **holding_leaf(const struct holding *holding, u64 index)
{
	return &holding->leaves[index / HOLDING_LEAF_PAGES];
}

/* The place of a page's megablock in its leaf. */
static inline u32 holding_place(u64 index)
{
	return index / SPAN_MAP_MEGABLOCK_PAGES % HOLDING_LEAF_BLOCKS;
}

/* Whether a range lies in one megablock, as most do. */
static inline bool holding_is_short(u64 first, u64 nr_pages)
{
	return first % SPAN_MAP_MEGABLOCK_PAGES + nr_pages <= SPAN_MAP_MEGABLOCK_PAGES;
}

/**
 * holding_prepare() - make room to count pages
 * @holding: the holding
 * @first: index of the first page
 * @nr_pages: how many
 *
 * Context: process context; sleeps.
 * Return: 0 or -ENOMEM.
 */
static inline int holding_prepare(struct holding *holding, u64 first, u64 nr_pages)
{
	const struct holding_leaf *leaf = READ_ONCE(*holding_leaf(holding, first));

	if (leaf && test_bit(holding_place(first), leaf->seen) && holding_is_short(first, nr_pages))
		return 0;
	return holding_prepare_range(holding, first, nr_pages);
}

/**
 * holding_add() - count pages of one megablock
 * @holding: prepared for them
 * @first: index of the first page
 * @nr_pages: how many are owned from now on; less than 0 if they are not any more
 */
static inline void holding_add(struct holding *holding, u64 first, int nr_pages)
{
	atomic_add(nr_pages, &(*holding_leaf(holding, first))->nr_owned[holding_place(first)]);
}

/* Whether two pages lie in the same megablock. */
static inline bool holding_is_same(u64 one, u64 other)
{
	return one / SPAN_MAP_MEGABLOCK_PAGES == other / SPAN_MAP_MEGABLOCK_PAGES;
}

/**
 * struct holding_batch - what several ranges add to one count, or take from it
 * @holding: of which holding
 * @sign: 1 if they are owned from now on, -1 if they are not any more
 * @first: a page of the megablock that is counted at the moment
 * @nr_pages: what is to be added for it
 */
struct holding_batch {
	struct holding *holding;
	int sign;
	u64 first;
	int nr_pages;
};

/**
 * holding_end() - add what a batch has gathered
 * @batch: the batch
 */
static inline void holding_end(struct holding_batch *batch)
{
	if (batch->nr_pages)
		holding_add(batch->holding, batch->first, batch->sign * batch->nr_pages);
}

/**
 * holding_count() - add a range to a batch
 * @batch: of a holding that is prepared for them
 * @first: index of the first page
 * @nr_pages: how many
 */
static inline void holding_count(struct holding_batch *batch, u64 first, u64 nr_pages)
{
	if (!holding_is_short(first, nr_pages)) {
		holding_add_range(batch->holding, first, nr_pages, batch->sign);
	} else if (batch->nr_pages && holding_is_same(first, batch->first)) {
		batch->nr_pages += nr_pages;
	} else {
		holding_end(batch);
		batch->first = first;
		batch->nr_pages = nr_pages;
	}
}

#endif
