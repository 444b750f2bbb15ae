// SPDX-License-Identifier: MIT
/*
 * A bit a page and linear first fit from the start of the pool, as the kernel's genalloc and
 * bitmap_find_next_zero_area() do: find a free page, look for one in use in the pages it needs, go
 * on behind that.
 */
#include "peer.h"

struct pool {
	uint64_t nr_pages;
	uint64_t *used;
	size_t bytes;
};

/* The first page in from..end-1 whose bit equals `is_used`, or end. */
static uint64_t next_page(const struct pool *pool, uint64_t from, uint64_t end, int is_used)
{
	uint64_t flip = is_used ? 0 : ~0ULL, i = from / 64, word, page;

	if (from >= end)
		return end;
	word = (pool->used[i] ^ flip) & ~0ULL << (from % 64);
	while (!word) {
		if (++i * 64 >= end)
			return end;
		word = pool->used[i] ^ flip;
	}
	page = i * 64 + __builtin_ctzll(word);
	return page < end ? page : end;
}

static void set_pages(struct pool *pool, uint64_t first, uint64_t end, int is_used)
{
	uint64_t i;

	for (i = first / 64; i <= (end - 1) / 64; i++) {
		uint64_t mask = ~0ULL;

		if (i == first / 64)
			mask &= ~0ULL << (first % 64);
		if (i == (end - 1) / 64)
			mask &= ~0ULL >> (63 - (end - 1) % 64);
		pool->used[i] = is_used ? pool->used[i] | mask : pool->used[i] & ~mask;
	}
}

static int64_t alloc(void *self, uint32_t nr_pages)
{
	struct pool *pool = self;
	uint64_t first = 0, obstacle;

	for (;;) {
		first = next_page(pool, first, pool->nr_pages, 0);
		if (first + nr_pages > pool->nr_pages)
			return -1;
		obstacle = next_page(pool, first, first + nr_pages, 1);
		if (obstacle == first + nr_pages)
			break;
		first = obstacle + 1;
	}
	set_pages(pool, first, first + nr_pages, 1);
	return first;
}

static void free_pages(void *self, uint64_t first, uint32_t nr_pages)
{
	set_pages(self, first, first + nr_pages, 0);
}

static size_t metadata_bytes(uint64_t nr_pages)
{
	return (nr_pages + 63) / 64 * sizeof(uint64_t);
}

static void *create(uint64_t nr_pages)
{
	struct pool *pool = peer_memory(sizeof(*pool));

	pool->nr_pages = nr_pages;
	pool->bytes = metadata_bytes(nr_pages);
	pool->used = peer_memory(pool->bytes);
	return pool;
}

static void destroy(void *self)
{
	struct pool *pool = self;

	peer_memory_free(pool->used, pool->bytes);
	peer_memory_free(pool, sizeof(*pool));
}

const struct peer peer_linear = {
	.name = "linear first fit",
	.create = create,
	.destroy = destroy,
	.alloc = alloc,
	.free = free_pages,
	.metadata_bytes = metadata_bytes,
	.is_slow = 1,
};
