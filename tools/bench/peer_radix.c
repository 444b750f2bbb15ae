// SPDX-License-Identifier: MIT
/*
 * A radix tree of summaries over a bitmap, first fit, as the Go runtime's page allocator describes
 * itself: a chunk is 512 pages with a bit each; its summary says how many pages are free at its
 * start, at most in a row, and at its end; a node sums up 8 below it. A search goes down from the
 * root to the first address that fits; an update goes up until a summary stays as it was. A hint
 * remembers the lowest page that may be free.
 */
#include <string.h>

#include "peer.h"

#define CHUNK        512
#define WORDS        (CHUNK / 64)
#define FANOUT_SHIFT 3
#define FANOUT       (1 << FANOUT_SHIFT)
#define MAX_LEVELS   8

struct summary {
	uint32_t start;
	uint32_t max;
	uint32_t end;
};

struct pool {
	uint64_t (*bits)[WORDS];           /* 1 = free */
	struct summary *level[MAX_LEVELS]; /* 0: the chunks */
	uint32_t top;
	uint32_t nr_chunks;
	uint64_t hint;
	size_t bytes;
};

/* Entries of a level, whole groups of 8: what is beyond the pool is never free. */
static uint64_t level_size(uint64_t nr_chunks, uint32_t level)
{
	uint64_t size =
		(nr_chunks + ((1ULL << (FANOUT_SHIFT * level)) - 1)) >> (FANOUT_SHIFT * level);

	return (size + FANOUT - 1) & ~(uint64_t)(FANOUT - 1);
}

static uint64_t nr_chunks_of(uint64_t nr_pages)
{
	return (nr_pages + CHUNK - 1) / CHUNK;
}

static size_t metadata_bytes(uint64_t nr_pages)
{
	uint64_t chunks = nr_chunks_of(nr_pages), size;
	size_t bytes = level_size(chunks, 0) * WORDS * sizeof(uint64_t);
	uint32_t level = 0;

	do {
		size = level_size(chunks, level++);
		bytes += size * sizeof(struct summary);
	} while (size > FANOUT);
	return bytes;
}

static struct summary summarize(const uint64_t *bits)
{
	struct summary sum = {0, 0, 0};
	uint32_t run = 0, i;
	int started = 0;

	for (i = 0; i < WORDS; i++) {
		if (!bits[i]) {
			if (run > sum.max)
				sum.max = run;
			if (!started)
				sum.start = run;
			started = 1;
			run = 0;
		} else if (bits[i] == ~0ULL) {
			run += 64;
		} else {
			run += __builtin_ctzll(~bits[i]);
			if (run > sum.max)
				sum.max = run;
			if (!started)
				sum.start = run;
			started = 1;
			run = __builtin_clzll(~bits[i]);
		}
	}
	if (!started)
		return (struct summary){CHUNK, CHUNK, CHUNK};
	sum.end = run;
	if (run > sum.max)
		sum.max = run;

	/* Runs strictly within a word cannot be longer than 62. */
	for (i = 0; i < WORDS && sum.max < 62; i++) {
		uint64_t word = bits[i];
		uint32_t have = 1, want = sum.max + 1;

		while (word && have * 2 <= want) {
			word &= word >> have;
			have *= 2;
		}
		if (word && have < want)
			word &= word >> (want - have);
		for (; word; word &= word >> 1)
			sum.max++;
	}
	return sum;
}

/* The first run of nr pages in a chunk from page `from` on, or -1. */
static int find_in_chunk(const uint64_t *bits, uint32_t from, uint32_t nr)
{
	uint32_t run = 0, i = from / 64, have;
	uint64_t free = bits[i] & ~0ULL << (from % 64), word;

	for (;;) {
		if (free == ~0ULL) {
			if (run + 64 >= nr)
				return i * 64 - run;
			run += 64;
		} else {
			if (run + __builtin_ctzll(~free) >= nr)
				return i * 64 - run;
			if (nr <= 62 && free) {
				word = free;
				for (have = 1; word && have * 2 <= nr; have *= 2)
					word &= word >> have;
				if (have < nr)
					word &= word >> (nr - have);
				if (word)
					return i * 64 + __builtin_ctzll(word);
			}
			run = __builtin_clzll(~free);
		}
		if (++i == WORDS)
			return -1;
		free = bits[i];
	}
}

static struct summary merge(const struct summary *below, uint32_t pages)
{
	struct summary sum = below[0];
	uint32_t i;

	for (i = 1; i < FANOUT; i++) {
		if (sum.start == i * pages)
			sum.start += below[i].start;
		if (sum.end + below[i].start > sum.max)
			sum.max = sum.end + below[i].start;
		if (below[i].max > sum.max)
			sum.max = below[i].max;
		sum.end = below[i].end == pages ? sum.end + pages : below[i].end;
	}
	return sum;
}

static void update_above(struct pool *pool, uint64_t first_chunk, uint64_t last_chunk)
{
	uint64_t a = first_chunk, b = last_chunk, i;
	uint32_t level;

	for (level = 1; level <= pool->top; level++) {
		uint32_t pages = CHUNK << (FANOUT_SHIFT * (level - 1));
		int changed = 0;

		a >>= FANOUT_SHIFT;
		b >>= FANOUT_SHIFT;
		for (i = a; i <= b; i++) {
			struct summary sum =
				merge(&pool->level[level - 1][i << FANOUT_SHIFT], pages);
			struct summary *old = &pool->level[level][i];

			if (sum.start != old->start || sum.max != old->max || sum.end != old->end) {
				*old = sum;
				changed = 1;
			}
		}
		if (!changed)
			return;
	}
}

static void set_range(uint64_t *bits, uint32_t first, uint32_t end, int is_free)
{
	uint32_t i = first / 64, last = (end - 1) / 64;
	uint64_t flip = is_free ? 0 : ~0ULL, mask = ~0ULL << (first % 64);

	for (; i < last; i++, mask = ~0ULL)
		bits[i] = (bits[i] | mask) ^ (flip & mask);
	mask &= ~0ULL >> (63 - (end - 1) % 64);
	bits[i] = (bits[i] | mask) ^ (flip & mask);
}

static void set_pages(struct pool *pool, uint64_t first, uint64_t nr_pages, int is_free)
{
	uint64_t a = first / CHUNK, b = (first + nr_pages - 1) / CHUNK, chunk;
	struct summary whole = {CHUNK, CHUNK, CHUNK}, none = {0, 0, 0};

	for (chunk = a; chunk <= b; chunk++) {
		uint32_t begin = chunk == a ? first % CHUNK : 0;
		uint32_t end = chunk == b ? (first + nr_pages - 1) % CHUNK + 1 : CHUNK;

		if (end - begin == CHUNK) {
			memset(pool->bits[chunk], is_free ? 0xff : 0, sizeof(pool->bits[chunk]));
			pool->level[0][chunk] = is_free ? whole : none;
		} else {
			set_range(pool->bits[chunk], begin, end, is_free);
			pool->level[0][chunk] = summarize(pool->bits[chunk]);
		}
	}
	update_above(pool, a, b);
}

static int64_t find(struct pool *pool, uint32_t nr_pages)
{
	uint64_t chunk = pool->hint / CHUNK, entry = 0, run_start = 0;
	int level, at;

	/* The hint's own chunk first: nothing below it is free. */
	if (chunk < pool->nr_chunks && pool->level[0][chunk].max >= nr_pages) {
		at = find_in_chunk(pool->bits[chunk], pool->hint % CHUNK, nr_pages);
		if (at >= 0)
			return chunk * CHUNK + at;
	}

	for (level = pool->top; level >= 0; level--) {
		uint64_t pages = (uint64_t)CHUNK << (FANOUT_SHIFT * level), run = 0, from;
		const struct summary *sum = pool->level[level];
		uint64_t end = entry + FANOUT;

		from = pool->hint / pages;
		if (from < entry || from >= end)
			from = entry;
		for (entry = from; entry < end; entry++) {
			if (!run)
				run_start = entry * pages;
			if (run + sum[entry].start >= nr_pages)
				return run_start;
			if (sum[entry].max >= nr_pages)
				break;
			if (sum[entry].end == pages) {
				run += pages;
			} else {
				run = sum[entry].end;
				run_start = (entry + 1) * pages - run;
			}
		}
		if (entry == end)
			return -1;
		if (level)
			entry <<= FANOUT_SHIFT;
	}
	return entry * CHUNK + find_in_chunk(pool->bits[entry], 0, nr_pages);
}

static int64_t alloc(void *self, uint32_t nr_pages)
{
	struct pool *pool = self;
	int64_t first = find(pool, nr_pages);

	if (first < 0)
		return -1;
	set_pages(pool, first, nr_pages, 0);
	if (nr_pages == 1 || (uint64_t)first == pool->hint)
		pool->hint = first + nr_pages;
	return first;
}

static void free_pages(void *self, uint64_t first, uint32_t nr_pages)
{
	struct pool *pool = self;

	set_pages(pool, first, nr_pages, 1);
	if (first < pool->hint)
		pool->hint = first;
}

static void *create(uint64_t nr_pages)
{
	struct pool *pool = peer_memory(sizeof(*pool));
	uint64_t chunks = nr_chunks_of(nr_pages);
	uint32_t level = 0;
	char *memory;

	pool->bytes = metadata_bytes(nr_pages);
	memory = peer_memory(pool->bytes);
	pool->nr_chunks = chunks;
	pool->bits = (void *)memory;
	memory += level_size(chunks, 0) * sizeof(*pool->bits);
	for (;; level++) {
		pool->level[level] = (void *)memory;
		memory += level_size(chunks, level) * sizeof(struct summary);
		if (level_size(chunks, level) <= FANOUT)
			break;
	}
	pool->top = level;
	set_pages(pool, 0, nr_pages, 1);
	pool->hint = 0;
	return pool;
}

static void destroy(void *self)
{
	struct pool *pool = self;

	peer_memory_free(pool->bits, pool->bytes);
	peer_memory_free(pool, sizeof(*pool));
}

const struct peer peer_radix = {
	.name = "summary radix",
	.create = create,
	.destroy = destroy,
	.alloc = alloc,
	.free = free_pages,
	.metadata_bytes = metadata_bytes,
};
