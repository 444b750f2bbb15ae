// SPDX-License-Identifier: MIT
/* What the span map promises, one test a promise; a name says the promise. */
#include "span_map_model.h"
#include "tap.h"

#define GIB_16 (1ULL << 22)
#define TIB_1  (1ULL << 28)

#define KEEP(condition)                                                  \
	do {                                                             \
		if (!(condition)) {                                      \
			printf("# line %d: %s\n", __LINE__, #condition); \
			return false;                                    \
		}                                                        \
	} while (0)

struct pool {
	struct span_map map;
	void *metadata;
	size_t bytes;
};

/* All pages in use. */
static void pool_new(struct pool *pool, u64 nr_pages)
{
	pool->metadata = metadata_new(nr_pages);
	pool->bytes = span_map_metadata_bytes(nr_pages);
	if (span_map_init(&pool->map, nr_pages, pool->metadata))
		abort();
}

static struct span_map *map_of(u64 nr_pages)
{
	static struct pool pool;

	free(pool.metadata);
	pool_new(&pool, nr_pages);
	return &pool.map;
}

static bool metadata_is_at_most_a_quarter_byte_a_page_at_16_gib(void)
{
	return (u64)span_map_metadata_bytes(GIB_16) * 4 <= GIB_16;
}

static bool metadata_is_at_most_0_17_bytes_a_page_at_1_tib(void)
{
	return (u64)span_map_metadata_bytes(TIB_1) * 100 <= TIB_1 * 17;
}

static bool a_pool_begins_with_all_pages_in_use(void)
{
	struct span_map *map = map_of(1000);
	u64 page;

	KEEP(span_map_free_pages(map) == 0);
	KEEP(span_map_longest_run(map) == 0);
	KEEP(span_map_alloc(map, 1, 1) == -ENOMEM);
	KEEP(span_map_check(map) == 0);
	for (page = 0; page < 1000; page++)
		KEEP(span_map_alloc_at(map, page, 1) == -EBUSY);
	return true;
}

static bool init_takes_metadata_of_any_content(void)
{
	static const u8 contents[] = {0x00, 0xff, 0xa5};
	struct span_map map;
	size_t i, bytes = span_map_metadata_bytes(3000);
	void *metadata = metadata_new(3000);

	for (i = 0; i < sizeof(contents); i++) {
		memset(metadata, contents[i], bytes);
		KEEP(span_map_init(&map, 3000, metadata) == 0);
		KEEP(span_map_check(&map) == 0);
		KEEP(span_map_free(&map, 100, 2000) == 0);
		KEEP(span_map_check(&map) == 0);
		KEEP(span_map_alloc(&map, 2000, 1) == 100);
		KEEP(span_map_check(&map) == 0);
	}
	free(metadata);
	return true;
}

static bool init_refuses_what_is_out_of_range_or_misaligned(void)
{
	struct span_map map;
	char *metadata = metadata_new(10);

	KEEP(span_map_metadata_bytes(0) == 0);
	KEEP(span_map_metadata_bytes(TIB_1 + 1) == 0);
	KEEP(span_map_init(&map, 0, metadata) == -EINVAL);
	KEEP(span_map_init(&map, TIB_1 + 1, metadata) == -EINVAL);
	KEEP(span_map_init(&map, 10, NULL) == -EINVAL);
	KEEP(span_map_init(&map, 10, metadata + 8) == -EINVAL);
	KEEP(span_map_init(&map, 10, metadata) == 0);
	free(metadata);
	return true;
}

static bool requests_out_of_range_are_invalid(void)
{
	struct span_map *map = map_of(200000);

	KEEP(span_map_free(map, 0, 200000) == 0);
	KEEP(span_map_alloc(map, 0, 1) == -EINVAL);
	KEEP(span_map_alloc(map, 65537, 1) == -EINVAL);
	KEEP(span_map_alloc(map, 65537, 2) == -EINVAL);
	KEEP(span_map_alloc(map, 0, 2) == -EINVAL);
	KEEP(span_map_alloc(map, 1, 0) == -EINVAL);
	KEEP(span_map_alloc(map, 1, 3) == -EINVAL);
	KEEP(span_map_alloc(map, 1, 1024) == -EINVAL);
	KEEP(span_map_alloc_at(map, 0, 0) == -EINVAL);
	KEEP(span_map_alloc_at(map, 200000, 1) == -EINVAL);
	KEEP(span_map_alloc_at(map, 199999, 2) == -EINVAL);
	KEEP(span_map_alloc_at(map, ~0ULL, 2) == -EINVAL);
	KEEP(span_map_alloc_at(map, 1, ~0ULL) == -EINVAL);
	KEEP(span_map_free_pages(map) == 200000);
	KEEP(span_map_alloc(map, 65536, 512) >= 0);
	return true;
}

/* Runs an operation that must fail and compares every byte before and after. */
static bool changes_nothing(struct pool *pool, int (*operation)(struct span_map *, u64, u64),
			    u64 first, u64 nr_pages, int error)
{
	void *before = malloc(pool->bytes);
	struct span_map map = pool->map;
	bool same;

	memcpy(before, pool->metadata, pool->bytes);
	same = operation(&pool->map, first, nr_pages) == error &&
	       !memcmp(before, pool->metadata, pool->bytes) &&
	       !memcmp(&map, &pool->map, sizeof(map));
	free(before);
	return same;
}

static bool a_free_that_touches_a_free_page_changes_nothing(void)
{
	struct pool pool;

	pool_new(&pool, 4096);
	KEEP(span_map_free(&pool.map, 700, 1) == 0);
	KEEP(span_map_free(&pool.map, 1536, 512) == 0);
	KEEP(changes_nothing(&pool, span_map_free, 700, 1, -EINVAL));
	KEEP(changes_nothing(&pool, span_map_free, 600, 101, -EINVAL));
	KEEP(changes_nothing(&pool, span_map_free, 700, 40, -EINVAL));
	KEEP(changes_nothing(&pool, span_map_free, 699, 3, -EINVAL));
	KEEP(changes_nothing(&pool, span_map_free, 0, 2000, -EINVAL));
	KEEP(changes_nothing(&pool, span_map_free, 0, 701, -EINVAL));
	KEEP(changes_nothing(&pool, span_map_free, 1000, 600, -EINVAL));
	KEEP(changes_nothing(&pool, span_map_free, 1000, 3000, -EINVAL));
	KEEP(changes_nothing(&pool, span_map_free, 1600, 10, -EINVAL));
	KEEP(changes_nothing(&pool, span_map_free, 2047, 1000, -EINVAL));
	free(pool.metadata);
	return true;
}

static bool a_free_beyond_the_pool_changes_nothing(void)
{
	struct pool pool;

	pool_new(&pool, 1000);
	KEEP(changes_nothing(&pool, span_map_free, 1000, 1, -EINVAL));
	KEEP(changes_nothing(&pool, span_map_free, 999, 2, -EINVAL));
	KEEP(changes_nothing(&pool, span_map_free, 0, 1001, -EINVAL));
	KEEP(changes_nothing(&pool, span_map_free, 0, 0, -EINVAL));
	KEEP(changes_nothing(&pool, span_map_free, ~0ULL, 1, -EINVAL));
	KEEP(changes_nothing(&pool, span_map_free, 1, ~0ULL, -EINVAL));
	free(pool.metadata);
	return true;
}

static bool an_allocation_of_a_page_in_use_changes_nothing(void)
{
	struct pool pool;

	pool_new(&pool, 4096);
	KEEP(span_map_free(&pool.map, 0, 4096) == 0);
	KEEP(span_map_alloc_at(&pool.map, 2000, 1) == 0);
	KEEP(span_map_alloc_at(&pool.map, 2560, 512) == 0);
	KEEP(changes_nothing(&pool, span_map_alloc_at, 2000, 1, -EBUSY));
	KEEP(changes_nothing(&pool, span_map_alloc_at, 1999, 3, -EBUSY));
	KEEP(changes_nothing(&pool, span_map_alloc_at, 1000, 1001, -EBUSY));
	KEEP(changes_nothing(&pool, span_map_alloc_at, 0, 4096, -EBUSY));
	KEEP(changes_nothing(&pool, span_map_alloc_at, 2600, 1, -EBUSY));
	KEEP(changes_nothing(&pool, span_map_alloc_at, 2100, 461, -EBUSY));
	KEEP(changes_nothing(&pool, span_map_alloc_at, 4096, 1, -EINVAL));
	free(pool.metadata);
	return true;
}

/* span_map_free_ranges() of two ranges for changes_nothing(): each is first * 1000 + nr_pages. */
static int free_two(struct span_map *map, u64 first, u64 second)
{
	struct span_map_range ranges[] = {{first / 1000, first % 1000},
					  {second / 1000, second % 1000}};

	return span_map_free_ranges(map, ranges, 2);
}

static bool ranges_of_which_one_cannot_be_freed_change_nothing(void)
{
	struct pool pool;

	pool_new(&pool, 4096);
	KEEP(span_map_free(&pool.map, 700, 1) == 0);
	KEEP(span_map_free(&pool.map, 1536, 512) == 0);
	KEEP(changes_nothing(&pool, free_two, 600010, 700001, -EINVAL));
	KEEP(changes_nothing(&pool, free_two, 600101, 800001, -EINVAL));
	KEEP(changes_nothing(&pool, free_two, 600010, 1700003, -EINVAL));
	KEEP(changes_nothing(&pool, free_two, 600010, 1536001, -EINVAL));
	KEEP(changes_nothing(&pool, free_two, 600010, 1537001, -EINVAL));
	KEEP(changes_nothing(&pool, free_two, 600010, 4090007, -EINVAL));
	KEEP(changes_nothing(&pool, free_two, 600010, 4096001, -EINVAL));
	KEEP(changes_nothing(&pool, free_two, 600010, 650000, -EINVAL));
	KEEP(free_two(&pool.map, 600010, 4090006) == 0);
	KEEP(span_map_check(&pool.map) == 0);
	free(pool.metadata);
	return true;
}

static bool ranges_that_overlap_or_descend_change_nothing(void)
{
	struct pool pool;

	pool_new(&pool, 4096);
	KEEP(changes_nothing(&pool, free_two, 600010, 609001, -EINVAL));
	KEEP(changes_nothing(&pool, free_two, 600010, 600010, -EINVAL));
	KEEP(changes_nothing(&pool, free_two, 600010, 590010, -EINVAL));
	KEEP(changes_nothing(&pool, free_two, 3000010, 4, -EINVAL));
	KEEP(free_two(&pool.map, 600010, 610001) == 0);
	KEEP(span_map_longest_run(&pool.map) == 11);
	free(pool.metadata);
	return true;
}

static bool ranges_freed_together_merge_with_what_borders_them(void)
{
	struct span_map_range ranges[] = {{500, 12}, {512, 1}, {514, 1}, {600, 400},
					  {1000, 600}, {1601, 1}, {1603, 445}};
	struct span_map *map = map_of(2048);

	KEEP(span_map_free(map, 490, 10) == 0);
	KEEP(span_map_free(map, 513, 1) == 0);
	KEEP(span_map_free_ranges(map, ranges, 7) == 0);
	KEEP(span_map_check(map) == 0);
	KEEP(span_map_free_pages(map) == 10 + 1 + 12 + 2 + 1000 + 446);
	KEEP(span_map_longest_run(map) == 1000);
	KEEP(span_map_alloc(map, 25, 1) == 490);
	KEEP(span_map_free_ranges(map, ranges, 0) == 0);
	return span_map_check(map) == 0;
}

/* An all-used megablock whose bits are stale becomes all free by ranges. */
static bool ranges_may_free_a_whole_megablock(void)
{
	struct span_map_range ranges[] = {{512, 1}, {513, 510}, {1023, 1}};
	struct span_map *map = map_of(4 * 512);

	KEEP(span_map_free(map, 0, 4 * 512) == 0);
	KEEP(span_map_alloc_at(map, 300, 3 * 512) == 0);
	KEEP(span_map_free_ranges(map, ranges, 3) == 0);
	KEEP(span_map_check(map) == 0);
	return span_map_longest_run(map) == 512;
}

static bool single_pages_taken_together_are_all_there_are(void)
{
	struct span_map *map = map_of(5000);
	static bool taken[5000];
	u64 pages[100], page;
	u32 nr, got = 0;

	memset(taken, 0, sizeof(taken));
	for (page = 3; page < 5000; page += 1 + page % 7)
		KEEP(span_map_free(map, page, 1) == 0);
	for (got = span_map_free_pages(map); got; got -= nr) {
		nr = span_map_alloc_pages(map, pages, 100);
		KEEP(nr && nr <= got);
		for (page = 0; page < nr; page++) {
			KEEP(!taken[pages[page]]);
			taken[pages[page]] = true;
		}
		KEEP(span_map_check(map) == 0);
	}
	return span_map_alloc_pages(map, pages, 100) == 0;
}

static bool single_pages_come_from_one_run_if_the_shortest_is_long_enough(void)
{
	struct span_map *map = map_of(4096);
	u64 pages[64];
	u32 i;

	KEEP(span_map_free(map, 1200, 70) == 0);
	KEEP(span_map_free(map, 2100, 65) == 0);
	KEEP(span_map_alloc_pages(map, pages, 64) == 64);
	for (i = 0; i < 64; i++)
		KEEP(pages[i] == 2100 + i);
	return true;
}

/* More than the run has, which begins with an all-free megablock, whose bits are stale. */
static bool single_pages_are_at_most_one_run_of_whole_megablocks(void)
{
	struct span_map *map = map_of(4096);
	u64 pages[600];
	u32 i;

	KEEP(span_map_free(map, 512, 532) == 0);
	KEEP(span_map_alloc_pages(map, pages, 600) == 532);
	for (i = 0; i < 532; i++)
		KEEP(pages[i] == 512 + i);
	return span_map_free_pages(map) == 0 && span_map_check(map) == 0;
}

/* A run of 600 pages ends in the megablock that has the shortest runs. */
static bool single_pages_are_not_taken_from_a_run_that_starts_to_the_left(void)
{
	struct span_map *map = map_of(4096);
	u64 pages[64];

	KEEP(span_map_free(map, 500, 600) == 0);
	KEEP(span_map_free(map, 1200, 1) == 0);
	KEEP(span_map_free(map, 1210, 2) == 0);
	KEEP(span_map_alloc_pages(map, pages, 64) == 3);
	KEEP(pages[0] == 1200 && pages[1] == 1210 && pages[2] == 1211);
	KEEP(span_map_longest_run(map) == 600);
	KEEP(span_map_alloc_pages(map, pages, 64) == 64);
	KEEP(span_map_longest_run(map) == 536);
	return span_map_check(map) == 0;
}

static bool free_of_a_middle_page_leaves_its_neighbours_allocated(void)
{
	struct span_map *map = map_of(2048);

	KEEP(span_map_free(map, 1000, 1) == 0);
	KEEP(span_map_free_pages(map) == 1);
	KEEP(span_map_alloc_at(map, 999, 1) == -EBUSY);
	KEEP(span_map_alloc_at(map, 1001, 1) == -EBUSY);
	KEEP(span_map_free(map, 0, 1000) == 0);
	KEEP(span_map_free(map, 1001, 1047) == 0);
	KEEP(span_map_longest_run(map) == 2048);
	return true;
}

/* Every run of one length at every distance from a megablock's border is found, and nothing longer.
 */
static bool run_is_found_exactly(u32 nr_pages)
{
	u64 first;

	for (first = 0; first < 600; first += nr_pages < 64 ? 1 : 13) {
		struct span_map *map = map_of(first + nr_pages + 300);

		KEEP(span_map_free(map, first, nr_pages) == 0);
		KEEP(span_map_longest_run(map) == nr_pages);
		KEEP(span_map_alloc(map, nr_pages + 1, 1) == -ENOMEM);
		KEEP(span_map_alloc(map, nr_pages, 1) == (s64)first);
		KEEP(span_map_free_pages(map) == 0);
		KEEP(span_map_check(map) == 0);
	}
	return true;
}

static bool a_run_is_found_wherever_it_lies(void)
{
	static const u32 lengths[] = {1, 2, 63, 64, 65, 511, 512, 513, 1024, 1500, 5000, 65535};
	size_t i;

	for (i = 0; i < sizeof(lengths) / sizeof(*lengths); i++)
		KEEP(run_is_found_exactly(lengths[i]));
	return true;
}

static bool runs_merge_across_megablocks_in_any_order(void)
{
	static const u8 orders[6][3] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2},
					{1, 2, 0}, {2, 0, 1}, {2, 1, 0}};
	static const u64 border[4] = {300, 512, 512 * 5, 512 * 5 + 77};
	u32 i, k;

	for (i = 0; i < 6; i++) {
		struct span_map *map = map_of(4096);

		for (k = 0; k < 3; k++) {
			u64 first = border[orders[i][k]], end = border[orders[i][k] + 1];

			KEEP(span_map_free(map, first, end - first) == 0);
			KEEP(span_map_check(map) == 0);
		}
		KEEP(span_map_longest_run(map) == border[3] - border[0]);
		KEEP(span_map_alloc(map, border[3] - border[0], 1) == (s64)border[0]);
	}
	return true;
}

static bool one_hole_among_single_free_pages_is_found(void)
{
	struct span_map *map = map_of(100000);
	u64 page;

	for (page = 0; page < 100000; page += 2)
		KEEP(span_map_free(map, page, 1) == 0);
	for (page = 1; page < 99999; page += 998) {
		KEEP(span_map_alloc(map, 2, 1) == -ENOMEM);
		KEEP(span_map_free(map, page, 1) == 0);
		KEEP(span_map_alloc(map, 4, 1) == -ENOMEM);
		KEEP(span_map_alloc(map, 3, 1) == (s64)page - 1);
		KEEP(span_map_free(map, page - 1, 1) == 0);
		KEEP(span_map_free(map, page + 1, 1) == 0);
	}
	return span_map_check(map) == 0;
}

static bool the_shortest_run_that_fits_is_taken(void)
{
	struct span_map *map = map_of(4096);

	KEEP(span_map_free(map, 100, 20) == 0);
	KEEP(span_map_free(map, 600, 5) == 0);
	KEEP(span_map_free(map, 1100, 9) == 0);
	KEEP(span_map_free(map, 2000, 1000) == 0);
	KEEP(span_map_alloc(map, 6, 1) == 1100);
	KEEP(span_map_alloc(map, 5, 1) == 600);
	KEEP(span_map_alloc(map, 5, 1) == 100);
	KEEP(span_map_alloc(map, 16, 1) == 2000);

	/* The run of 150 before it is cut neither at its start nor where it goes on into this one.
	 */
	map = map_of(4096);
	KEEP(span_map_free(map, 1024 - 100, 150) == 0);
	KEEP(span_map_free(map, 1536 - 60, 60) == 0);
	KEEP(span_map_alloc(map, 40, 1) == 1536 - 60);
	return true;
}

static bool a_small_span_leaves_all_free_megablocks_whole(void)
{
	struct span_map *map = map_of(16 * 512);

	KEEP(span_map_free(map, 0, 4 * 512) == 0);
	KEEP(span_map_free(map, 5 * 512 + 1, 400) == 0);
	KEEP(span_map_alloc(map, 390, 1) == 5 * 512 + 1);
	return span_map_longest_run(map) == 4 * 512;
}

static bool a_small_span_is_taken_from_the_mixed_end_of_a_run(void)
{
	struct span_map *map = map_of(16 * 512);

	KEEP(span_map_free(map, 512, 3 * 512 + 100) == 0);
	KEEP(span_map_alloc(map, 30, 1) == 4 * 512 + 70);
	KEEP(span_map_alloc(map, 70, 1) == 4 * 512);
	KEEP(span_map_longest_run(map) == 3 * 512);
	KEEP(span_map_free(map, 512 - 10, 10) == 0);
	KEEP(span_map_free(map, 4 * 512, 20) == 0);
	KEEP(span_map_alloc(map, 15, 1) == 4 * 512 + 5);
	KEEP(span_map_alloc(map, 10, 1) == 502);
	return span_map_check(map) == 0;
}

static bool pages_are_taken_from_the_middle_of_a_long_run(void)
{
	u64 nr_pages = 70000 * 512, at = 31234ULL * 512;
	struct span_map *map = map_of(nr_pages);

	KEEP(span_map_free(map, 0, nr_pages) == 0);
	KEEP(span_map_alloc_at(map, at + 17, 1) == 0);
	KEEP(span_map_longest_run(map) == nr_pages - at - 18);
	KEEP(span_map_alloc_at(map, at + 18, nr_pages - at - 18) == 0);
	KEEP(span_map_longest_run(map) == at + 17);
	KEEP(span_map_check(map) == 0);
	KEEP(span_map_free(map, at + 17, nr_pages - at - 17) == 0);
	KEEP(span_map_longest_run(map) == nr_pages);
	return span_map_check(map) == 0;
}

static bool the_longest_run_is_exact_beyond_the_longest_list(void)
{
	struct span_map *map = map_of(1 << 20);

	KEEP(span_map_free(map, 0, 70000) == 0);
	KEEP(span_map_free(map, 100000, 200000) == 0);
	KEEP(span_map_free(map, 400000, 65536) == 0);
	KEEP(span_map_free(map, 600000, 190001) == 0);
	KEEP(span_map_longest_run(map) == 200000);
	KEEP(span_map_alloc_at(map, 200000, 1) == 0);
	KEEP(span_map_longest_run(map) == 190001);
	return span_map_check(map) == 0;
}

static bool a_pool_of_1_tib_is_used_to_its_last_page(void)
{
	struct span_map *map = map_of(TIB_1);
	s64 first;

	KEEP(span_map_free(map, 0, TIB_1) == 0);
	KEEP(span_map_longest_run(map) == TIB_1);
	KEEP(span_map_alloc_at(map, TIB_1 - 1, 1) == 0);
	KEEP(span_map_alloc_at(map, TIB_1 - 1, 1) == -EBUSY);
	first = span_map_alloc(map, 65536, 512);
	KEEP(first >= 0 && first % 512 == 0);
	KEEP(span_map_alloc_at(map, TIB_1 / 2, TIB_1 / 2 - 1) == 0);
	KEEP(span_map_free_pages(map) == TIB_1 / 2 - 65536);
	KEEP(span_map_check(map) == 0);
	KEEP(span_map_free(map, TIB_1 / 2, TIB_1 / 2) == 0);
	KEEP(span_map_free(map, first, 65536) == 0);
	return span_map_longest_run(map) == TIB_1 && span_map_check(map) == 0;
}

static bool a_span_begins_at_every_alignment_asked_for(void)
{
	u32 align, nr_pages;

	for (align = 1; align <= 512; align *= 2) {
		struct span_map *map = map_of(20000);

		KEEP(span_map_free(map, 7, 19000) == 0);
		for (nr_pages = 1; nr_pages < 1100; nr_pages += 97) {
			s64 first = span_map_alloc(map, nr_pages, align);

			KEEP(first > 0 && first % align == 0);
		}
		KEEP(span_map_check(map) == 0);
	}
	return true;
}

/* Runs of span + align - 2 pages that hold no aligned span, but for one that just does. */
static bool an_aligned_span_is_found_where_only_a_search_can_tell(void)
{
	struct span_map *map = map_of(512 * 64);
	u64 megablock;

	for (megablock = 0; megablock < 63; megablock++)
		KEEP(span_map_free(map, megablock * 512 + 1, 67) == 0);
	KEEP(span_map_alloc(map, 10, 64) == -ENOMEM);
	KEEP(span_map_free(map, 40 * 512 + 100, 60) == 0);
	KEEP(span_map_alloc(map, 32, 64) == 40 * 512 + 128);
	KEEP(span_map_alloc(map, 32, 64) == -ENOMEM);
	KEEP(span_map_alloc(map, 4, 64) % 512 == 64);
	return span_map_check(map) == 0;
}

static bool an_aligned_span_across_words_is_found(void)
{
	struct span_map *map = map_of(512 * 64);
	u64 megablock;

	for (megablock = 0; megablock < 64; megablock++)
		KEEP(span_map_free(map, megablock * 512 + 1, 131) == 0);
	KEEP(span_map_free(map, 50 * 512 + 300, 132) == 0);
	KEEP(span_map_alloc(map, 70, 64) == 50 * 512 + 320);
	KEEP(span_map_alloc(map, 70, 64) == -ENOMEM);
	return span_map_check(map) == 0;
}

/* The same where the span crosses megablocks: starts in a suffix, and in all-free megablocks. */
static bool an_aligned_span_across_megablocks_is_found(void)
{
	struct span_map *map = map_of(512 * 32);

	KEEP(span_map_free(map, 512 * 10 - 64, 1000) == 0);
	KEEP(span_map_free(map, 512 - 63, 1000) == 0);
	KEEP(span_map_alloc(map, 999, 64) == 512 * 10 - 64);
	KEEP(span_map_alloc(map, 1000, 2) == -ENOMEM);
	KEEP(span_map_alloc(map, 1000, 1) == 512 - 63);
	KEEP(span_map_free(map, 512 * 20 - 1, 512 * 2 + 2) == 0);
	KEEP(span_map_alloc(map, 1024, 512) == 512 * 20);
	return span_map_check(map) == 0;
}

static bool an_aligned_span_of_65536_pages_is_found(void)
{
	struct span_map *map = map_of(400000);

	KEEP(span_map_free(map, 1, 65536 + 510) == 0);
	KEEP(span_map_free(map, 100000, 65536 + 300) == 0);
	KEEP(span_map_alloc(map, 65536, 512) == -ENOMEM);
	KEEP(span_map_free(map, 512 * 400, 65536) == 0);
	KEEP(span_map_alloc(map, 65536, 512) == 512 * 400);
	return span_map_check(map) == 0;
}

/* A pool in which an aligned request has to be searched for through every megablock. */
static struct span_map *map_to_search(u64 nr_megablocks)
{
	struct span_map *map = map_of(nr_megablocks * 512);
	u64 megablock;

	for (megablock = 0; megablock < nr_megablocks; megablock++)
		if (span_map_free(map, megablock * 512 + 1, 3))
			abort();
	return map;
}

static bool a_step_of_a_search_visits_1024_megablocks(void)
{
	struct span_map *map = map_to_search(4000);
	struct span_map_search search = {.nr_pages = 2, .align_pages = 4};
	u32 steps;

	for (steps = 0; span_map_alloc_step(map, &search) == -EAGAIN; steps++)
		;
	KEEP(steps == 3);
	KEEP(span_map_alloc_step(map, &search) == -ENOMEM);

	KEEP(span_map_free(map, 3999 * 512 + 8, 2) == 0);
	search = (struct span_map_search){.nr_pages = 2, .align_pages = 4};
	for (steps = 0; steps < 3; steps++)
		KEEP(span_map_alloc_step(map, &search) == -EAGAIN);
	return span_map_alloc_step(map, &search) == 3999 * 512 + 8;
}

/* Pages freed just before it move the start of its run into a megablock that was visited already.
 */
static bool a_span_that_stays_free_is_found_though_the_map_changes(void)
{
	struct span_map *map = map_to_search(3000);
	struct span_map_search search = {.nr_pages = 600, .align_pages = 512};
	u64 first = 1024 * 512, decoy = 2000 * 512;

	KEEP(span_map_free(map, first, 1) == 0);
	KEEP(span_map_free(map, first + 4, 509) == 0);
	KEEP(span_map_free(map, first + 516, 94) == 0);
	KEEP(span_map_free(map, decoy + 4, 509) == 0);
	KEEP(span_map_free(map, decoy + 516, 88) == 0);
	KEEP(span_map_alloc_step(map, &search) == -EAGAIN);
	KEEP(span_map_free(map, first - 100, 100) == 0);
	return span_map_alloc_step(map, &search) == (s64)first;
}

static bool a_step_without_alignment_is_the_whole_allocation(void)
{
	struct span_map *map = map_to_search(3000);
	struct span_map_search search = {.nr_pages = 3, .align_pages = 1};

	KEEP(span_map_alloc_step(map, &search) % 512 == 1);
	search.nr_pages = 4;
	KEEP(span_map_alloc_step(map, &search) == -ENOMEM);
	search.nr_pages = 0;
	return span_map_alloc_step(map, &search) == -EINVAL;
}

static bool a_span_freed_during_a_search_may_be_taken(void)
{
	struct span_map *map = map_to_search(3000);
	struct span_map_search search = {.nr_pages = 2, .align_pages = 4};

	KEEP(span_map_alloc_step(map, &search) == -EAGAIN);
	KEEP(span_map_free(map, 16, 5) == 0);
	return span_map_alloc_step(map, &search) == 16;
}

/* Pages of every state, so that every record and list is in use. */
static void pool_of_all_states(struct pool *pool)
{
	u64 page;

	pool_new(pool, 8 * 512 + 100);
	for (page = 512 + 40; page < 1000; page += 50)
		if (span_map_free(&pool->map, page, 20 + page % 3))
			abort();
	if (span_map_free(&pool->map, 1500, 1200) || span_map_free(&pool->map, 3600, 300))
		abort();
	if (span_map_free(&pool->map, 4000, 10) || span_map_free(&pool->map, 8 * 512 + 50, 40))
		abort();
}

static bool damage_is_noticed(struct pool *pool, void *where)
{
	u8 *byte = where, before = *byte;
	bool noticed;

	*byte ^= 1;
	noticed = span_map_check(&pool->map) == -EUCLEAN;
	*byte = before;
	return noticed && span_map_check(&pool->map) == 0;
}

static bool check_notices_damage(void)
{
	struct pool pool;
	struct span_map *map = &pool.map;
	size_t nr_records = 9 * 8, i;
	u8 *records, *lists;

	pool_of_all_states(&pool);
	KEEP(span_map_check(map) == 0);
	KEEP(damage_is_noticed(&pool, &map->free_pages));

	/* Every field of a record is 2 bytes; the first record is the wall's. */
	records = (u8 *)map->megablocks;
	for (i = 0; i < nr_records; i += 2)
		KEEP(damage_is_noticed(&pool, records + 8 + i));
	KEEP(damage_is_noticed(&pool, records));
	KEEP(damage_is_noticed(&pool, records + 8 * 10));
	KEEP(damage_is_noticed(&pool, records + 9));

	/* Three words for every megablock: length, next, slot. */
	for (i = 0; i < 9 * 12; i += 4)
		KEEP(damage_is_noticed(&pool, (u8 *)map->starts + 12 + i));
	lists = (u8 *)map->lists;
	for (i = 0; i < map->nr_lists + 1; i++)
		KEEP(damage_is_noticed(&pool, lists + 4 * i));
	for (i = 0; i <= map->walls.top; i++)
		KEEP(damage_is_noticed(&pool, map->walls.level[i]));
	for (i = 1; i <= map->filled.top; i++)
		KEEP(damage_is_noticed(&pool, map->filled.level[i]));
	KEEP(damage_is_noticed(&pool, (u8 *)map->filled.level[0] + 1));
	KEEP(damage_is_noticed(&pool, &map->bits[2]));
	free(pool.metadata);
	return true;
}

static bool check_survives_any_damage(void)
{
	struct pool pool;
	size_t i, noticed = 0;

	pool_of_all_states(&pool);
	for (i = 0; i < pool.bytes; i++) {
		((u8 *)pool.metadata)[i] ^= 0x5a;
		noticed += span_map_check(&pool.map) != 0;
		((u8 *)pool.metadata)[i] ^= 0x5a;
	}
	KEEP(span_map_check(&pool.map) == 0);
	free(pool.metadata);
	return noticed > 1000;
}

#define PROMISE(name)       \
	{                   \
		name, #name \
	}

static const struct {
	bool (*kept)(void);
	const char *name;
} promises[] = {
	PROMISE(metadata_is_at_most_a_quarter_byte_a_page_at_16_gib),
	PROMISE(metadata_is_at_most_0_17_bytes_a_page_at_1_tib),
	PROMISE(a_pool_begins_with_all_pages_in_use),
	PROMISE(init_takes_metadata_of_any_content),
	PROMISE(init_refuses_what_is_out_of_range_or_misaligned),
	PROMISE(requests_out_of_range_are_invalid),
	PROMISE(a_free_that_touches_a_free_page_changes_nothing),
	PROMISE(a_free_beyond_the_pool_changes_nothing),
	PROMISE(an_allocation_of_a_page_in_use_changes_nothing),
	PROMISE(ranges_of_which_one_cannot_be_freed_change_nothing),
	PROMISE(ranges_that_overlap_or_descend_change_nothing),
	PROMISE(ranges_freed_together_merge_with_what_borders_them),
	PROMISE(ranges_may_free_a_whole_megablock),
	PROMISE(single_pages_taken_together_are_all_there_are),
	PROMISE(single_pages_come_from_one_run_if_the_shortest_is_long_enough),
	PROMISE(single_pages_are_at_most_one_run_of_whole_megablocks),
	PROMISE(single_pages_are_not_taken_from_a_run_that_starts_to_the_left),
	PROMISE(free_of_a_middle_page_leaves_its_neighbours_allocated),
	PROMISE(a_run_is_found_wherever_it_lies),
	PROMISE(runs_merge_across_megablocks_in_any_order),
	PROMISE(one_hole_among_single_free_pages_is_found),
	PROMISE(the_shortest_run_that_fits_is_taken),
	PROMISE(a_small_span_leaves_all_free_megablocks_whole),
	PROMISE(a_small_span_is_taken_from_the_mixed_end_of_a_run),
	PROMISE(pages_are_taken_from_the_middle_of_a_long_run),
	PROMISE(the_longest_run_is_exact_beyond_the_longest_list),
	PROMISE(a_pool_of_1_tib_is_used_to_its_last_page),
	PROMISE(a_span_begins_at_every_alignment_asked_for),
	PROMISE(an_aligned_span_is_found_where_only_a_search_can_tell),
	PROMISE(an_aligned_span_across_words_is_found),
	PROMISE(an_aligned_span_across_megablocks_is_found),
	PROMISE(an_aligned_span_of_65536_pages_is_found),
	PROMISE(a_step_of_a_search_visits_1024_megablocks),
	PROMISE(a_span_that_stays_free_is_found_though_the_map_changes),
	PROMISE(a_step_without_alignment_is_the_whole_allocation),
	PROMISE(a_span_freed_during_a_search_may_be_taken),
	PROMISE(check_notices_damage),
	PROMISE(check_survives_any_damage),
};

int main(void)
{
	size_t i;

	tap_begin();
	for (i = 0; i < sizeof(promises) / sizeof(*promises); i++)
		tap_result(promises[i].kept(), promises[i].name);
	return tap_end();
}
