/* SPDX-License-Identifier: GPL-2.0-only */
/* The pool: the reserved physical pages, and which of them are free. */
#ifndef PAGESPAN_POOL_H
#define PAGESPAN_POOL_H

#include <linux/mm.h>
#include <linux/spinlock.h>

#include <linux/pagespan.h>

#include "span_map.h"

/**
 * struct pool - the reserved pages
 * @lock: serialises @map; held for one span map call at a time
 * @map: which pages are free
 * @metadata: what @map works on
 * @nr_pages: page indices are below this
 * @base_pfn: page frame of index 0
 */
struct pool {
	spinlock_t lock;	/* see client.c for the order of locks */
	struct span_map map;
	void *metadata;
	u64 nr_pages;
	unsigned long base_pfn;
};

int pool_init(struct pool *pool, u64 nr_pages);
void pool_exit(struct pool *pool);

s64 pool_alloc(struct pool *pool, u32 nr_pages, u32 align_pages);
void pool_free(struct pool *pool, u64 first, u64 nr_pages);
void pool_figures(struct pool *pool, u64 *free_pages, u64 *longest_run);
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

#endif
