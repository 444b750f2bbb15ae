// SPDX-License-Identifier: MIT
/*
 * Every operation in every state that operations can reach. A tiny pool is cut at a few places; an
 * operation frees or allocates any range between two cuts, or asks for as many pages at any of
 * three alignments. States are compared by every byte of the map, lists and stale bits included,
 * and visited once, breadth first: where the search ends by itself, every sequence of operations of
 * any length has been covered, else every sequence up to the stated length.
 *
 * Usage: span_map_exhaustive [states per pool]
 */
#include "span_map_model.h"
#include "tap.h"

#define MAX_CUTS 10

struct shape {
	const char *name;
	u32 cut[MAX_CUTS]; /* the first is 0, the last the pool's size, and zeroes follow */
};

static const struct shape shapes[] = {
	{"of_1_page", {0, 1}},
	{"of_2_pages", {0, 1, 2}},
	{"of_3_pages", {0, 1, 2, 3}},
	{"of_4_pages", {0, 1, 2, 3, 4}},
	{"of_5_pages", {0, 1, 2, 3, 4, 5}},
	{"of_6_pages", {0, 1, 2, 3, 4, 5, 6}},
	{"of_8_pages", {0, 1, 2, 3, 4, 5, 6, 7, 8}},
	{"around_a_word", {0, 63, 64, 65, 128, 130}},
	{"around_a_megablock", {0, 511, 512, 513, 1023, 1024}},
	{"of_2_megablocks_in_halves", {0, 256, 512, 768, 1024}},
	{"of_3_megablocks_with_ends", {0, 1, 512, 1024, 1535, 1536}},
	{"of_3_whole_megablocks", {0, 512, 1024, 1536}},
	{"of_4_megablocks_and_a_part", {0, 512, 1024, 1536, 2048, 2100}},
	{"of_3_megablocks_in_parts", {0, 100, 512, 800, 1024, 1030, 1536}},
};

/* One block of memory that is the whole state: the map, its metadata and the model. */
struct state {
	struct world world;
	u64 *words;
	u32 nr_words;
};

/* A state kept: the words that differ from the first state. */
struct kept {
	u64 hash;
	u32 depth;
	u32 nr_differences;
	struct difference {
		u32 at;
		u64 word;
	} differences[];
};

struct search {
	struct state state;
	u64 *first;   /* state, for the differences */
	u64 *current; /* state whose successors are being looked at */
	struct kept **queue;
	u32 *table; /* open hash of queue numbers + 1 */
	u64 table_size;
	u64 limit;
	u64 nr_kept;
	u64 nr_operations;
	u32 depth; /* of the current state */
	bool full; /* a new state was not kept */
	u32 full_depth;
};

static void *allocate(size_t bytes)
{
	void *memory = calloc(1, bytes);

	if (!memory)
		abort();
	return memory;
}

static void state_new(struct state *state, u64 nr_pages)
{
	size_t metadata = (span_map_metadata_bytes(nr_pages) + 63) & ~(size_t)63;
	size_t bytes = 256 + metadata + ((nr_pages + 7) & ~(size_t)7);
	void *memory;

	if (posix_memalign(&memory, 64, bytes))
		abort();
	memset(memory, 0, bytes);
	state->words = memory;
	state->nr_words = bytes / 8;
	state->world = (struct world){
		.nr_pages = nr_pages,
		.metadata = (char *)memory + 256,
		.is_free = (u8 *)memory + 256 + metadata,
	};
	if (span_map_init(&state->world.map, nr_pages, state->world.metadata))
		abort();
}

/* The map itself holds pointers that stay and one counter that does not. */
static void state_pack(struct state *state)
{
	state->words[0] = state->world.map.free_pages;
	state->words[1] = state->world.nr_free;
}

static void state_unpack(struct state *state)
{
	state->world.map.free_pages = state->words[0];
	state->world.nr_free = state->words[1];
}

static u64 state_hash(const struct state *state)
{
	u64 hash = 0x9e3779b97f4a7c15ULL;
	u32 i;

	for (i = 0; i < state->nr_words; i++) {
		hash = (hash ^ state->words[i]) * 0xff51afd7ed558ccdULL;
		hash ^= hash >> 32;
	}
	return hash;
}

static bool is_current(const struct search *search)
{
	return !memcmp(search->state.words, search->current, search->state.nr_words * 8ULL);
}

static void state_restore(struct search *search, const struct kept *kept, u64 *words)
{
	u32 i;

	memcpy(words, search->first, search->state.nr_words * 8ULL);
	for (i = 0; i < kept->nr_differences; i++)
		words[kept->differences[i].at] = kept->differences[i].word;
}

static bool equals(const struct search *search, const struct kept *kept)
{
	const u64 *words = search->state.words;
	u32 i, k = 0;

	for (i = 0; i < search->state.nr_words; i++) {
		u64 word = search->first[i];

		if (k < kept->nr_differences && kept->differences[k].at == i)
			word = kept->differences[k++].word;
		if (word != words[i])
			return false;
	}
	return true;
}

static struct kept *keep(const struct search *search, u64 hash)
{
	const u64 *words = search->state.words;
	u32 nr = 0, i;
	struct kept *kept;

	for (i = 0; i < search->state.nr_words; i++)
		nr += words[i] != search->first[i];
	kept = allocate(sizeof(*kept) + nr * sizeof(struct difference));
	kept->hash = hash;
	kept->depth = search->depth + 1;
	for (i = 0; i < search->state.nr_words; i++)
		if (words[i] != search->first[i])
			kept->differences[kept->nr_differences++] =
				(struct difference){i, words[i]};
	return kept;
}

/* Keeps the state if it has not been seen. */
static bool visit(struct search *search)
{
	u64 hash, slot;

	state_pack(&search->state);
	hash = state_hash(&search->state);
	for (slot = hash % search->table_size; search->table[slot];
	     slot = (slot + 1) % search->table_size) {
		const struct kept *seen = search->queue[search->table[slot] - 1];

		if (seen->hash == hash && equals(search, seen))
			return true;
	}
	if (search->nr_kept == search->limit) {
		if (!search->full)
			search->full_depth = search->depth;
		search->full = true;
		return world_check(&search->state.world);
	}
	search->queue[search->nr_kept++] = keep(search, hash);
	search->table[slot] = search->nr_kept;
	return world_check(&search->state.world);
}

static void back_to_current(struct search *search)
{
	memcpy(search->state.words, search->current, search->state.nr_words * 8ULL);
	state_unpack(&search->state);
}

enum operation { ALLOC, ALLOC_AT, ALLOC_PAGES, FREE, FREE_ENDS };

/* The range without what lies in its middle third, if it has one. */
static bool free_ends(struct world *world, u64 first, u64 nr_pages)
{
	u64 third = nr_pages / 3;
	struct span_map_range ends[] = {{first, third}, {first + nr_pages - third, third}};

	return !third || world_free_ranges(world, ends, 2);
}

static bool try_one(struct search *search, enum operation operation, u64 first, u64 nr_pages,
		    u32 align)
{
	struct world *world = &search->state.world;
	u64 before = world->nr_free;
	bool agreed;

	search->nr_operations++;
	if (operation == ALLOC)
		agreed = world_alloc(world, nr_pages, align);
	else if (operation == ALLOC_AT)
		agreed = world_alloc_at(world, first, nr_pages);
	else if (operation == ALLOC_PAGES)
		agreed = world_alloc_pages(world, nr_pages);
	else if (operation == FREE_ENDS)
		agreed = free_ends(world, first, nr_pages);
	else
		agreed = world_free(world, first, nr_pages);
	if (!agreed)
		return false;

	if (world->nr_free == before) {
		AGREE(is_current(search), "a refused operation changed the map");
		return true;
	}
	agreed = visit(search);
	back_to_current(search);
	return agreed;
}

static u32 cuts_of(const struct shape *shape)
{
	u32 nr_cuts = 1;

	while (nr_cuts < MAX_CUTS && shape->cut[nr_cuts])
		nr_cuts++;
	return nr_cuts;
}

static bool try_all(struct search *search, const struct shape *shape)
{
	static const u32 aligns[] = {1, 2, 512};
	u32 nr_cuts = cuts_of(shape), i, k, a;

	for (i = 0; i < nr_cuts; i++) {
		for (k = i + 1; k < nr_cuts; k++) {
			u32 first = shape->cut[i], nr_pages = shape->cut[k] - first;

			if (!try_one(search, FREE, first, nr_pages, 0) ||
			    !try_one(search, FREE_ENDS, first, nr_pages, 0) ||
			    !try_one(search, ALLOC_PAGES, 0, nr_pages, 0) ||
			    !try_one(search, ALLOC_AT, first, nr_pages, 0))
				return false;
			for (a = 0; a < 3; a++)
				if (!try_one(search, ALLOC, 0, nr_pages, aligns[a]))
					return false;
		}
	}
	return true;
}

static bool explore(struct search *search, const struct shape *shape)
{
	u64 i;

	if (!visit(search))
		return false;
	search->queue[0]->depth = 0;
	for (i = 0; i < search->nr_kept; i++) {
		search->depth = search->queue[i]->depth;
		state_restore(search, search->queue[i], search->current);
		back_to_current(search);
		if (!try_all(search, shape))
			return false;
	}
	return true;
}

static void run(const struct shape *shape, u64 limit)
{
	struct search search = {.limit = limit, .table_size = limit * 2 + 1};
	char promise[120];
	bool kept;
	u64 i;

	state_new(&search.state, shape->cut[cuts_of(shape) - 1]);
	search.first = allocate(search.state.nr_words * 8ULL);
	search.current = allocate(search.state.nr_words * 8ULL);
	search.queue = allocate(limit * sizeof(*search.queue));
	search.table = allocate(search.table_size * sizeof(*search.table));
	memcpy(search.first, search.state.words, search.state.nr_words * 8ULL);

	kept = explore(&search, shape);
	if (search.full)
		snprintf(promise, sizeof(promise),
			 "every_sequence_of_%u_operations_is_right_in_a_pool_%s",
			 search.full_depth + 1, shape->name);
	else
		snprintf(promise, sizeof(promise),
			 "every_sequence_of_operations_is_right_in_a_pool_%s", shape->name);
	printf("# %" PRIu64 " states, %" PRIu64 " operations\n", search.nr_kept,
	       search.nr_operations);
	tap_result(kept, promise);

	for (i = 0; i < search.nr_kept; i++)
		free(search.queue[i]);
	free(search.queue);
	free(search.table);
	free(search.first);
	free(search.current);
	free(search.state.words);
}

int main(int argc, char **argv)
{
	u64 limit = argc > 1 ? strtoull(argv[1], NULL, 0) : 20000;
	size_t i;

	tap_begin();
	for (i = 0; i < sizeof(shapes) / sizeof(*shapes); i++)
		run(&shapes[i], limit);
	return tap_end();
}
