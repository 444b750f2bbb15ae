// SPDX-License-Identifier: MIT
/*
 * Boundary tags and two-level segregated lists, TLSF style: the first and the last page of a run
 * carry its length (4 bytes a page), the first also its links (8 more). Classes split each power of
 * two in 32. A request goes to the first class in which every run fits, and only when those are
 * empty through the list of its own class.
 */
#include <string.h>

#include "peer.h"

#define SUB_SHIFT 5
#define SUB       (1 << SUB_SHIFT)
#define NR_FIRST  30
#define NONE      UINT32_MAX

struct tag {
	uint32_t length; /* not 0 only on the first and the last page of a run */
	uint32_t next;
	uint32_t prev;
};

struct pool {
	uint32_t filled;
	uint32_t sub_filled[NR_FIRST];
	uint32_t head[NR_FIRST][SUB];
	struct tag *tags; /* [-1] and [nr_pages] exist and are never free */
	struct tag *memory;
	size_t bytes;
};

struct class
{
	uint32_t first;
	uint32_t sub;
};

static inline struct class class_of(uint32_t length)
{
	uint32_t log = 31 - __builtin_clz(length);

	if (log < SUB_SHIFT)
		return (struct class){0, length};
	return (struct class){log - SUB_SHIFT + 1, (length >> (log - SUB_SHIFT)) - SUB};
}

static inline void insert(struct pool *pool, uint32_t page, uint32_t length)
{
	struct class class = class_of(length);
	uint32_t head = pool->head[class.first][class.sub];

	pool->tags[page].length = length;
	pool->tags[page + length - 1].length = length;
	pool->tags[page].prev = NONE;
	pool->tags[page].next = head;
	if (head != NONE)
		pool->tags[head].prev = page;
	pool->head[class.first][class.sub] = page;
	pool->sub_filled[class.first] |= 1u << class.sub;
	pool->filled |= 1u << class.first;
}

static inline void remove_run(struct pool *pool, uint32_t page, uint32_t length)
{
	struct class class = class_of(length);
	uint32_t next = pool->tags[page].next, prev = pool->tags[page].prev;

	if (next != NONE)
		pool->tags[next].prev = prev;
	if (prev != NONE) {
		pool->tags[prev].next = next;
	} else {
		pool->head[class.first][class.sub] = next;
		if (next == NONE) {
			pool->sub_filled[class.first] &= ~(1u << class.sub);
			if (!pool->sub_filled[class.first])
				pool->filled &= ~(1u << class.first);
		}
	}
	pool->tags[page].length = 0;
	pool->tags[page + length - 1].length = 0;
}

/* A run from the given class or the next that is filled. */
static inline uint32_t first_of(const struct pool *pool, struct class class)
{
	uint32_t subs = pool->sub_filled[class.first] & ~0u << class.sub, firsts;

	if (!subs) {
		firsts = pool->filled & ~1u << class.first;
		if (!firsts)
			return NONE;
		class.first = __builtin_ctz(firsts);
		subs = pool->sub_filled[class.first];
	}
	return pool->head[class.first][__builtin_ctz(subs)];
}

static uint32_t find(const struct pool *pool, uint32_t nr_pages)
{
	uint32_t log = 31 - __builtin_clz(nr_pages), rounded = nr_pages, page;
	struct class own = class_of(nr_pages);

	if (log > SUB_SHIFT)
		rounded += (1u << (log - SUB_SHIFT)) - 1;
	page = first_of(pool, class_of(rounded));
	if (page != NONE)
		return page;
	page = pool->head[own.first][own.sub];
	while (page != NONE && pool->tags[page].length < nr_pages)
		page = pool->tags[page].next;
	return page;
}

static int64_t alloc(void *self, uint32_t nr_pages)
{
	struct pool *pool = self;
	uint32_t page = find(pool, nr_pages), length;

	if (page == NONE)
		return -1;
	length = pool->tags[page].length;
	remove_run(pool, page, length);
	if (length > nr_pages)
		insert(pool, page + nr_pages, length - nr_pages);
	return page;
}

static void free_pages(void *self, uint64_t first, uint32_t nr_pages)
{
	struct pool *pool = self;
	uint32_t page = first, before = pool->tags[(int64_t)page - 1].length,
		 after = pool->tags[page + nr_pages].length;

	if (after)
		remove_run(pool, page + nr_pages, after);
	if (before) {
		page -= before;
		remove_run(pool, page, before);
	}
	insert(pool, page, before + nr_pages + after);
}

static size_t metadata_bytes(uint64_t nr_pages)
{
	return sizeof(struct pool) + (nr_pages + 2) * sizeof(struct tag);
}

static void *create(uint64_t nr_pages)
{
	struct pool *pool = peer_memory(sizeof(*pool));

	pool->bytes = (nr_pages + 2) * sizeof(struct tag);
	pool->memory = peer_memory(pool->bytes);
	pool->tags = pool->memory + 1;
	memset(pool->head, 0xff, sizeof(pool->head));
	insert(pool, 0, nr_pages);
	return pool;
}

static void destroy(void *self)
{
	struct pool *pool = self;

	peer_memory_free(pool->memory, pool->bytes);
	peer_memory_free(pool, sizeof(*pool));
}

const struct peer peer_tags = {
	.name = "TLSF tags",
	.create = create,
	.destroy = destroy,
	.alloc = alloc,
	.free = free_pages,
	.metadata_bytes = metadata_bytes,
};
