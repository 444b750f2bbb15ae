// SPDX-License-Identifier: MIT
/*
 * Random operations on the span map and the naive model, over many pool sizes. The occupancy drifts
 * up and down so that a pool is nearly empty, nearly full and everything between. span_map_check()
 * runs after every operation on small pools and now and then on large ones.
 *
 * Usage: span_map_random [operations per pool [seed]]
 */
#include "span_map_model.h"
#include "tap.h"

#define SMALL_POOL 1600

struct script {
	u64 random;
	u64 nr_operations;
	u64 check_every;
	u64 nr_done;
};

/* A length with a preference for the small and for what surrounds words and megablocks. */
static u64 some_length(struct script *script, u64 limit)
{
	static const u16 edges[] = {1,   2,   63,  64,  65,   127,  128, 129,
				    510, 511, 512, 513, 1023, 1024, 1025};
	u64 *random = &script->random;
	u64 length;

	switch (random_below(random, 4)) {
	case 0:
		length = 1 + random_below(random, 8);
		break;
	case 1:
		length = edges[random_below(random, sizeof(edges) / sizeof(*edges))];
		break;
	case 2:
		length = 1 + random_below(random, 640);
		break;
	default:
		length = 1 + random_below(random, 1ULL << (1 + random_below(random, 17)));
	}
	return length <= limit ? length : 1 + random_below(random, limit);
}

static u64 some_page(struct script *script, const struct world *world)
{
	u64 page = random_below(&script->random, world->nr_pages);

	return random_below(&script->random, 3) ? page : page / 512 * 512;
}

/* The part of limit pages around a page that shares its state. */
static void same_state_around(const struct world *world, u64 page, u64 limit, u64 *first,
			      u64 *nr_pages)
{
	u8 state = world->is_free[page];
	u64 begin = page, end = page + 1;

	while (begin && page - begin < limit && world->is_free[begin - 1] == state)
		begin--;
	while (end < world->nr_pages && end - page < limit && world->is_free[end] == state)
		end++;
	*first = begin;
	*nr_pages = end - begin;
}

/* Ranges in use, and now and then one that is not, or that is out of order. */
static bool free_ranges(struct world *world, struct script *script)
{
	static struct span_map_range ranges[MODEL_BULK];
	u64 *random = &script->random, length = 1 + random_below(random, 1 + random_below(random, 700));
	u32 nr = model_ranges_in_use(world, some_page(script, world), length, ranges,
				     1 + random_below(random, 1 + random_below(random, MODEL_BULK)));

	if (!nr)
		return true;
	switch (random_below(random, 8)) {
	case 0:
		ranges[random_below(random, nr)].first = some_page(script, world);
		break;
	case 1:
		ranges[random_below(random, nr)].nr_pages = random_below(random, length + 2);
		break;
	}
	return world_free_ranges(world, ranges, nr);
}

static bool free_something(struct world *world, struct script *script)
{
	u64 page = some_page(script, world), limit = some_length(script, world->nr_pages), first,
	    nr_pages, skip;

	switch (random_below(&script->random, 12)) {
	case 8:
	case 9:
	case 10:
	case 11:
		return free_ranges(world, script);
	case 0: /* whatever the state, and beyond the end */
		return world_free(world, page, random_below(&script->random, limit + 2));
	case 1: /* a whole stretch */
		same_state_around(world, page, limit, &first, &nr_pages);
		return world_free(world, first, nr_pages);
	default: /* a part of a stretch in use */
		same_state_around(world, page, limit, &first, &nr_pages);
		skip = random_below(&script->random, nr_pages);
		nr_pages = 1 + random_below(&script->random, nr_pages - skip);
		return world->is_free[first] || world_free(world, first + skip, nr_pages);
	}
}

static bool allocate_something(struct world *world, struct script *script)
{
	u64 page = some_page(script, world), limit = some_length(script, world->nr_pages), first,
	    nr_pages, skip;
	u32 align = 1u << random_below(&script->random, 10);

	switch (random_below(&script->random, 20)) {
	case 16:
	case 17:
	case 18:
	case 19:
		return world_alloc_pages(world, some_length(script, MODEL_BULK));
	case 0:
		return world_alloc_at(world, page, random_below(&script->random, limit + 2));
	case 1:
	case 2:
		same_state_around(world, page, limit, &first, &nr_pages);
		skip = random_below(&script->random, nr_pages);
		nr_pages = 1 + random_below(&script->random, nr_pages - skip);
		return world_alloc_at(world, first + skip, nr_pages);
	case 3:
		same_state_around(world, page, limit, &first, &nr_pages);
		return world_alloc_at(world, first, nr_pages);
	case 4:
		return world_alloc(world, limit, align + random_below(&script->random, 2));
	case 5:
	case 6:
	case 7:
		return world_alloc(world, some_length(script, 70000), align);
	default:
		return world_alloc(world, some_length(script, world->nr_pages + 1), 1);
	}
}

static bool world_lives(struct world *world, struct script *script)
{
	u64 target = world->nr_pages, i;

	for (i = 0; i < script->nr_operations; i++) {
		if (!random_below(&script->random, 200))
			target = random_below(&script->random, world->nr_pages + 1);
		if (random_below(&script->random, 8) < (world->nr_free > target ? 6 : 2)) {
			if (!allocate_something(world, script))
				return false;
		} else if (!free_something(world, script)) {
			return false;
		}
		if (i % script->check_every == 0 && !world_check(world))
			return false;
		script->nr_done++;
	}
	return world_check(world);
}

int main(int argc, char **argv)
{
	static const u32 pools[] = {
		1,    2,     3,     63,    64,    65,     511,    512,
		513,  575,   1023,  1024,  1025,  1536,   1599,   4096,
		5000, 65535, 65536, 65537, 66048, 200000, 262144, (1 << 20) + 77,
	};
	u64 nr_operations = argc > 1 ? strtoull(argv[1], NULL, 0) : 100000;
	struct script script = {.random = argc > 2 ? strtoull(argv[2], NULL, 0) :
						     88172645463325252ULL};
	struct world world;
	char promise[80];
	size_t i;
	bool ok;

	tap_begin();
	for (i = 0; i < sizeof(pools) / sizeof(*pools); i++) {
		script.check_every = pools[i] <= SMALL_POOL ? 1 : pools[i];
		script.nr_operations = pools[i] <= SMALL_POOL ?
					       nr_operations :
					       nr_operations / (1 + pools[i] / 20000);
		world_new(&world, pools[i]);
		ok = world_lives(&world, &script);
		world_delete(&world);
		snprintf(promise, sizeof(promise), "a_pool_of_%u_pages_behaves_as_the_model",
			 pools[i]);
		tap_result(ok, promise);
	}
	printf("# %" PRIu64 " operations, every result compared\n", script.nr_done);
	return tap_end();
}
