// SPDX-License-Identifier: MIT
/* The span map itself, called as its peers are. */
#include <stdlib.h>

#include "../../kmod/span_map.h"
#include "peer.h"

struct pool {
	struct span_map map;
	void *metadata;
	size_t bytes;
};

static void *create(uint64_t nr_pages)
{
	struct pool *pool = peer_memory(sizeof(*pool));

	pool->bytes = span_map_metadata_bytes(nr_pages);
	pool->metadata = peer_memory(pool->bytes);
	if (span_map_init(&pool->map, nr_pages, pool->metadata) ||
	    span_map_free(&pool->map, 0, nr_pages))
		abort();
	return pool;
}

static void destroy(void *self)
{
	struct pool *pool = self;

	peer_memory_free(pool->metadata, pool->bytes);
	peer_memory_free(pool, sizeof(*pool));
}

static int64_t alloc(void *self, uint32_t nr_pages)
{
	struct pool *pool = self;
	int64_t first = span_map_alloc(&pool->map, nr_pages, 1);

	return first < 0 ? -1 : first;
}

static void free_pages(void *self, uint64_t first, uint32_t nr_pages)
{
	struct pool *pool = self;

	if (span_map_free(&pool->map, first, nr_pages))
		abort();
}

static size_t metadata_bytes(uint64_t nr_pages)
{
	return span_map_metadata_bytes(nr_pages);
}

const struct peer peer_span_map = {
	.name = "span map",
	.create = create,
	.destroy = destroy,
	.alloc = alloc,
	.free = free_pages,
	.metadata_bytes = metadata_bytes,
};
