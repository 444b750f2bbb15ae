// SPDX-License-Identifier: MIT
/*
 * A binary buddy. Like alloc_pages_exact(), an allocation takes a block of the next power of two
 * and gives the pages after the span back at once, so any subset may be freed; a free gives back
 * the aligned blocks that make up its range, each merging with its buddy as long as that is free. 9
 * bytes a page: links, and the order of a free block.
 */
#include <string.h>

#include "peer.h"

#define MAX_ORDER 16
#define NONE      UINT32_MAX
#define IN_USE    0xff

struct links {
	uint32_t next;
	uint32_t prev;
};

struct pool {
	uint32_t filled;
	uint32_t head[MAX_ORDER + 1];
	uint64_t nr_pages;
	struct links *links;
	uint8_t *order; /* of a free block, at its first page */
	size_t bytes;
};

static void insert(struct pool *pool, uint32_t page, uint32_t order)
{
	uint32_t head = pool->head[order];

	pool->order[page] = order;
	pool->links[page] = (struct links){.next = head, .prev = NONE};
	if (head != NONE)
		pool->links[head].prev = page;
	pool->head[order] = page;
	pool->filled |= 1u << order;
}

static void remove_block(struct pool *pool, uint32_t page, uint32_t order)
{
	struct links links = pool->links[page];

	pool->order[page] = IN_USE;
	if (links.next != NONE)
		pool->links[links.next].prev = links.prev;
	if (links.prev != NONE) {
		pool->links[links.prev].next = links.next;
	} else {
		pool->head[order] = links.next;
		if (links.next == NONE)
			pool->filled &= ~(1u << order);
	}
}

static void free_block(struct pool *pool, uint32_t page, uint32_t order)
{
	for (; order < MAX_ORDER; order++) {
		uint32_t buddy = page ^ 1u << order;

		if (buddy >= pool->nr_pages || pool->order[buddy] != order)
			break;
		remove_block(pool, buddy, order);
		page &= ~(1u << order);
	}
	insert(pool, page, order);
}

static void free_pages(void *self, uint64_t first, uint32_t nr_pages)
{
	struct pool *pool = self;
	uint64_t end = first + nr_pages;

	while (first < end) {
		uint32_t order = first ? __builtin_ctzll(first) : MAX_ORDER;
		uint32_t fits = 63 - __builtin_clzll(end - first);

		if (order > fits)
			order = fits;
		if (order > MAX_ORDER)
			order = MAX_ORDER;
		free_block(pool, first, order);
		first += 1ULL << order;
	}
}

static int64_t alloc(void *self, uint32_t nr_pages)
{
	struct pool *pool = self;
	uint32_t want = nr_pages > 1 ? 32 - __builtin_clz(nr_pages - 1) : 0,
		 orders = pool->filled >> want, order, page;

	if (!orders)
		return -1;
	order = want + __builtin_ctz(orders);
	page = pool->head[order];
	remove_block(pool, page, order);
	while (order > want) {
		order--;
		insert(pool, page + (1u << order), order);
	}
	if (nr_pages < 1u << want)
		free_pages(pool, page + nr_pages, (1u << want) - nr_pages);
	return page;
}

static size_t metadata_bytes(uint64_t nr_pages)
{
	return sizeof(struct pool) + nr_pages * (sizeof(struct links) + 1);
}

static void *create(uint64_t nr_pages)
{
	struct pool *pool = peer_memory(sizeof(*pool));
	uint64_t first;

	pool->nr_pages = nr_pages;
	pool->bytes = nr_pages * (sizeof(struct links) + 1);
	pool->links = peer_memory(pool->bytes);
	pool->order = (uint8_t *)(pool->links + nr_pages);
	memset(pool->order, IN_USE, nr_pages);
	memset(pool->head, 0xff, sizeof(pool->head));
	for (first = 0; first < nr_pages; first += 1u << MAX_ORDER)
		free_pages(pool, first,
			   nr_pages - first < 1u << MAX_ORDER ? nr_pages - first : 1u << MAX_ORDER);
	return pool;
}

static void destroy(void *self)
{
	struct pool *pool = self;

	peer_memory_free(pool->links, pool->bytes);
	peer_memory_free(pool, sizeof(*pool));
}

const struct peer peer_buddy = {
	.name = "buddy",
	.create = create,
	.destroy = destroy,
	.alloc = alloc,
	.free = free_pages,
	.metadata_bytes = metadata_bytes,
};
