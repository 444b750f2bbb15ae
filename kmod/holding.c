// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a client holds: how many pages it owns of each megablock.
 *
 * Closing a client asks for it, so that it costs what the client owns and not
 * what the pool has. The counts are in leaves, of which a client has those of the GiBs
 * in which it ever owned a page.
 */
#include <linux/minmax.h>
#include <linux/sched.h>
#include <linux/slab.h>

#include "holding.h"

#define BLOCK_PAGES	((u64)SPAN_MAP_MEGABLOCK_PAGES)

/**
 * holding_init() - start with nothing
 * @holding: the holding
 * @nr_pages: page indices of the pool
 *
 * Return: 0 or -ENOMEM.
 */
int holding_init(struct holding *holding, u64 nr_pages)
{
	holding->nr_leaves = DIV_ROUND_UP(nr_pages, HOLDING_LEAF_PAGES);
	holding->leaves = kcalloc(holding->nr_leaves, sizeof(*holding->leaves),
				  GFP_KERNEL_ACCOUNT);
	return holding->leaves ? 0 : -ENOMEM;
}

/**
 * holding_exit() - free the counts
 * @holding: the holding
 */
void holding_exit(struct holding *holding)
{
	u32 i;

	for (i = 0; i < holding->nr_leaves; i++)
		kfree(holding->leaves[i]);
	kfree(holding->leaves);
}

/* Others may be making the same leaf; one of them is taken. */
static int prepare_leaf(struct holding_leaf **place)
{
	struct holding_leaf *leaf;

	if (READ_ONCE(*place))
		return 0;
	leaf = kzalloc(sizeof(*leaf), GFP_KERNEL_ACCOUNT);
	if (!leaf)
		return -ENOMEM;
	if (cmpxchg(place, NULL, leaf))
		kfree(leaf);
	return 0;
}

/**
 * holding_prepare_range() - holding_prepare(), for any number of pages
 * @holding: the holding
 * @first: index of the first page
 * @nr_pages: how many
 *
 * Return: 0 or -ENOMEM.
 */
int holding_prepare_range(struct holding *holding, u64 first, u64 nr_pages)
{
	u64 index = round_down(first, BLOCK_PAGES);
	int ret;

	for (; index < first + nr_pages; index += BLOCK_PAGES) {
		ret = prepare_leaf(holding_leaf(holding, index));
		if (ret)
			return ret;
		set_bit(holding_place(index), (*holding_leaf(holding, index))->seen);
	}
	return 0;
}

/**
 * holding_add_range() - holding_add(), for pages of several megablocks
 * @holding: prepared for them
 * @first: index of the first page
 * @nr_pages: how many
 * @sign: 1 to add, -1 to take away
 */
void holding_add_range(struct holding *holding, u64 first, u64 nr_pages, int sign)
{
	u64 end = first + nr_pages;
	u64 stop;

	for (; first < end; first = stop) {
		stop = min(end, round_down(first, BLOCK_PAGES) + BLOCK_PAGES);
		holding_add(holding, first, sign * (int)(stop - first));
	}
}

/**
 * holding_next() - where a client owns something
 * @holding: the holding
 * @index: where to look from, below the end of the pool or at it
 *
 * Return: the first index, from @index on, in a megablock of which the client owns
 * a page; U64_MAX if there is none.
 */
u64 holding_next(const struct holding *holding, u64 index)
{
	u32 nr = index / HOLDING_LEAF_PAGES;
	u32 place = holding_place(index);

	for (; nr < holding->nr_leaves; nr++, place = 0) {
		const struct holding_leaf *leaf = holding->leaves[nr];

		if (!leaf)
			continue;
		for_each_set_bit_from(place, leaf->seen, HOLDING_LEAF_BLOCKS)
			if (atomic_read(&leaf->nr_owned[place]))
				return max(index, nr * HOLDING_LEAF_PAGES + place * BLOCK_PAGES);
	}
	return U64_MAX;
}
