// SPDX-License-Identifier: GPL-2.0-only
/* Who owns which pages: allocation, any-subset free, zeroing between clients, return at close. */
#include "harness.h"
#include "pagespan_test.h"

FIXTURE(pair)
{
	int a, b;
	char *window_a, *window_b;
	uint64_t nr_pages, nr_free;
	struct pagespan_range longest;	/* run of free pages, at first */
};

FIXTURE_SETUP(pair)
{
	self->a = client_open();
	self->b = client_open();
	ASSERT_LE(0, self->a);
	ASSERT_LE(0, self->b);
	self->window_a = client_window(self->a);
	self->window_b = client_window(self->b);
	ASSERT_NE(MAP_FAILED, self->window_a);
	ASSERT_NE(MAP_FAILED, self->window_b);
	self->nr_pages = client_info(self->a).nr_pages;
	self->nr_free = client_info(self->a).free_pages;
	self->longest = client_longest(self->a);
}

FIXTURE_TEARDOWN(pair)
{
	munmap(self->window_a, self->nr_pages * PAGE);
	munmap(self->window_b, self->nr_pages * PAGE);
	close(self->a);
	close(self->b);
	self->a = client_open();
	EXPECT_EQ(self->nr_free, client_info(self->a).free_pages);
	close(self->a);
}

/* Takes every free page in spans of nr_pages at first, then less; how many it took. */
static uint64_t take_everything(int fd)
{
	static uint64_t firsts[PAGESPAN_MAX_COUNT];
	uint64_t taken = 0;
	uint32_t nr_pages;

	for (nr_pages = 65536; nr_pages; nr_pages /= 2) {
		long got;

		do {
			got = client_alloc_bulk(fd, nr_pages, PAGESPAN_MAX_COUNT, firsts, 0);
			if (got > 0)
				taken += got * nr_pages;
		} while (got == PAGESPAN_MAX_COUNT);
	}
	return taken;
}

TEST_F(pair, whole_pool_can_be_taken_and_then_is_enomem)
{
	uint64_t longest_run = client_info(self->a).longest_run;

	EXPECT_EQ(self->nr_free, take_everything(self->a));
	EXPECT_EQ(0, client_info(self->a).free_pages);
	EXPECT_EQ(0, client_info(self->a).longest_run);
	EXPECT_EQ(self->nr_free, client_info(self->a).owned_pages);
	EXPECT_EQ(-ENOMEM, client_alloc(self->a, 1));
	EXPECT_EQ(-ENOMEM, client_alloc(self->b, 1));
	client_free_all(self->a);
	EXPECT_EQ(longest_run, client_info(self->b).longest_run);
}

TEST_F(pair, request_is_refused_only_if_no_run_fits)
{
	uint64_t first = self->longest.first + 100;

	ASSERT_EQ(self->nr_free, take_everything(self->a));
	ASSERT_EQ(0, client_free(self->a, first, 37));
	ASSERT_EQ(0, client_free(self->a, first + 900, 36));
	EXPECT_EQ(37, client_info(self->b).longest_run);
	EXPECT_EQ(-ENOMEM, client_alloc(self->b, 38));
	EXPECT_EQ(first, client_alloc(self->b, 37));
	EXPECT_EQ(-ENOMEM, client_alloc(self->b, 37));
	EXPECT_EQ(first + 900, client_alloc(self->b, 36));
}

TEST_F(pair, sizes_are_not_rounded)
{
	static const uint32_t sizes[] = { 1, 2, 3, 5, 7, 511, 512, 513, 1025, 4097 };
	uint64_t owned = 0;

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		ASSERT_LE(0, client_alloc(self->a, sizes[i]));
		owned += sizes[i];
	}
	EXPECT_EQ(owned, client_info(self->a).owned_pages);
	EXPECT_EQ(self->nr_free - owned, client_info(self->a).free_pages);
}

/* The span freed last is at hand, but longer. */
TEST_F(pair, span_shorter_than_the_one_freed_last_takes_no_more_than_it_is)
{
	long span = client_alloc(self->a, 8);

	ASSERT_LE(0, span);
	ASSERT_EQ(0, client_free(self->a, span, 8));
	ASSERT_LE(0, client_alloc(self->a, 4));
	EXPECT_EQ(self->nr_free - 4, client_info(self->a).free_pages);
	ASSERT_EQ(0, client_free(self->a, span, 4));
	EXPECT_EQ(self->nr_free, client_info(self->a).free_pages);
}

TEST_F(pair, aligned_span_starts_at_a_multiple)
{
	for (uint32_t align = 1; align <= PAGESPAN_MAX_ALIGN; align *= 2) {
		struct pagespan_alloc alloc = {
			.size = sizeof(alloc),
			.nr_pages = 3,
			.align_pages = align,
			.count = 4,
		};
		uint64_t firsts[4];

		alloc.spans = (uintptr_t)firsts;
		ASSERT_EQ(4, client_ioctl(self->a, PAGESPAN_ALLOC, &alloc));
		for (int i = 0; i < 4; i++)
			EXPECT_EQ(0, firsts[i] % align);
	}
}

/* The span freed last is at hand, and of the length, but not aligned. */
TEST_F(pair, aligned_span_is_not_the_one_freed_last_if_that_is_not)
{
	long span = client_alloc(self->a, 8), odd = span % 4 == 3 ? 2 : 1;

	ASSERT_LE(0, span);
	ASSERT_EQ(0, client_free(self->a, span + odd, 4));
	EXPECT_EQ(0, client_alloc_ex(self->a, 4, 4, 0, NULL) % 4);
}

TEST_F(pair, any_subset_of_spans_can_be_freed)
{
	long span = client_alloc(self->a, 1024);
	uint64_t owned = 1024;

	ASSERT_LE(0, span);
	memset(self->window_a + span * PAGE, 0x5a, 1024 * PAGE);
	for (int i = 0; i < 1024; i += 2, owned--)
		ASSERT_EQ(0, client_free(self->a, span + i, 1));
	EXPECT_EQ(owned, client_info(self->a).owned_pages);
	for (int i = 0; i < 1024; i++) {
		char *page = self->window_a + (span + i) * PAGE;

		if (i % 2)
			ASSERT_TRUE(pages_hold(page, 1, 0x5a));
		if (i % 2 == 0)
			ASSERT_EQ(SIGBUS, touch(page, -1));
	}
}

TEST_F(pair, free_may_cover_several_spans)
{
	ASSERT_EQ(self->nr_free, take_everything(self->a));
	EXPECT_EQ(0, client_free(self->a, self->longest.first + 3, self->longest.nr_pages - 7));
	EXPECT_EQ(self->nr_free - (self->longest.nr_pages - 7), client_info(self->a).owned_pages);
}

TEST_F(pair, refused_free_changes_nothing)
{
	long span = client_alloc(self->a, 8);

	ASSERT_LE(0, span);
	memset(self->window_a + span * PAGE, 0x11, 8 * PAGE);
	ASSERT_EQ(0, client_free(self->a, span + 7, 1));
	EXPECT_EQ(-EINVAL, client_free(self->a, span, 8));
	EXPECT_EQ(7, client_info(self->a).owned_pages);
	EXPECT_TRUE(pages_hold(self->window_a + span * PAGE, 7, 0x11));
}

TEST_F(pair, bulk_free_stops_at_the_first_bad_range)
{
	long span = client_alloc(self->a, 8);
	struct pagespan_range ranges[] = {
		{ .first = span, .nr_pages = 1 },
		{ .first = span + 4, .nr_pages = 2 },
		{ .first = span, .nr_pages = 1 },
		{ .first = span + 7, .nr_pages = 1 },
	};
	struct pagespan_free request = {
		.size = sizeof(request),
		.count = 4,
		.ranges = (uintptr_t)ranges,
	};

	ASSERT_LE(0, span);
	EXPECT_EQ(2, client_ioctl(self->a, PAGESPAN_FREE, &request));
	EXPECT_EQ(5, client_info(self->a).owned_pages);
	EXPECT_EQ(0, touch(self->window_a + (span + 7) * PAGE, -1));
}

/* Adjacent ranges may be freed together; that must not show. */
TEST_F(pair, bulk_free_of_adjacent_ranges_stops_at_the_first_bad_range)
{
	long span = client_alloc(self->a, 8);
	struct pagespan_range ranges[4];
	struct pagespan_free request = {
		.size = sizeof(request),
		.count = 4,
		.ranges = (uintptr_t)ranges,
	};

	ASSERT_LE(0, span);
	for (int i = 0; i < 4; i++)
		ranges[i] = (struct pagespan_range){ .first = span + 2 * i, .nr_pages = 2 };
	ASSERT_EQ(0, client_free_one(self->a, span + 5));
	EXPECT_EQ(2, client_ioctl(self->a, PAGESPAN_FREE, &request));
	EXPECT_EQ(3, client_info(self->a).owned_pages);
	EXPECT_EQ(SIGBUS, touch(self->window_a + (span + 3) * PAGE, -1));
	EXPECT_EQ(0, touch(self->window_a + (span + 4) * PAGE, -1));
	EXPECT_EQ(0, touch(self->window_a + (span + 7) * PAGE, -1));
	ranges[1].nr_pages = UINT64_MAX;
	EXPECT_EQ(-EINVAL, client_ioctl(self->a, PAGESPAN_FREE, &request));
	ranges[1].nr_pages = 0;
	ASSERT_EQ(0, client_alloc_at(self->a, span, 2));
	EXPECT_EQ(1, client_ioctl(self->a, PAGESPAN_FREE, &request));
}

TEST_F(pair, bulk_allocation_gives_what_there_is)
{
	uint64_t firsts[8];

	ASSERT_EQ(self->nr_free, take_everything(self->a));
	for (int i = 0; i < 3; i++)
		ASSERT_EQ(0, client_free(self->a, self->longest.first + 10 + 10 * i, 4));
	EXPECT_EQ(3, client_alloc_bulk(self->b, 4, 8, firsts, 0));
	EXPECT_EQ(12, client_info(self->b).owned_pages);
	EXPECT_EQ(-ENOMEM, client_alloc_bulk(self->b, 4, 8, firsts, 0));
}

/* Ranges near each other may be freed together; that must not show either. */
TEST_F(pair, bulk_free_of_overlapping_or_repeated_ranges_stops_at_the_first)
{
	long span = client_alloc(self->a, 64);
	struct pagespan_range overlapping[] = {
		{ span, 4 }, { span + 6, 2 }, { span + 7, 3 }, { span + 20, 1 },
	};
	struct pagespan_range repeated[] = {
		{ span + 30, 1 }, { span + 32, 1 }, { span + 32, 1 }, { span + 34, 1 },
	};
	struct pagespan_range around[] = {
		{ span + 41, 1 }, { span + 43, 1 }, { span + 40, 5 },
	};

	ASSERT_LE(0, span);
	EXPECT_EQ(2, client_free_ranges(self->a, overlapping, 4));
	EXPECT_EQ(64 - 6, client_info(self->a).owned_pages);
	EXPECT_EQ(0, touch(self->window_a + (span + 8) * PAGE, 1));
	EXPECT_EQ(2, client_free_ranges(self->a, repeated, 4));
	EXPECT_EQ(64 - 8, client_info(self->a).owned_pages);
	EXPECT_EQ(0, touch(self->window_a + (span + 34) * PAGE, 1));
	EXPECT_EQ(2, client_free_ranges(self->a, around, 3));
	EXPECT_EQ(64 - 10, client_info(self->a).owned_pages);
	EXPECT_EQ(-EINVAL, client_free_ranges(self->a, around, 3));
}

TEST_F(pair, bulk_free_stops_at_a_range_near_the_others_that_leaves_the_pool)
{
	struct pagespan_range ranges[3];
	uint64_t last = self->nr_pages - 1;

	ASSERT_EQ(0, client_alloc_at(self->a, last - 3, 4));
	ranges[0] = (struct pagespan_range){ last - 3, 1 };
	ranges[1] = (struct pagespan_range){ last - 1, 1 };
	ranges[2] = (struct pagespan_range){ last, 2 };
	EXPECT_EQ(2, client_free_ranges(self->a, ranges, 3));
	ranges[0] = (struct pagespan_range){ last, 1 };
	ranges[1] = (struct pagespan_range){ last + 3, 1 };
	EXPECT_EQ(1, client_free_ranges(self->a, ranges, 2));
	EXPECT_EQ(1, client_info(self->a).owned_pages);
}

TEST_F(pair, bulk_free_takes_ranges_in_any_order)
{
	long span = client_alloc(self->a, 64);
	struct pagespan_range ranges[16];

	ASSERT_LE(0, span);
	for (int i = 0; i < 16; i++)
		ranges[i] = (struct pagespan_range){ span + 60 - 4 * i, 2 };
	EXPECT_EQ(16, client_free_ranges(self->a, ranges, 16));
	for (int i = 0; i < 64; i++)
		EXPECT_EQ(i % 4 < 2 ? SIGBUS : 0, touch(self->window_a + (span + i) * PAGE, 1));
}

/* More than one call can free together, of all lengths, from the middle of a megablock on. */
TEST_F(pair, bulk_free_of_near_ranges_across_megablocks_frees_each)
{
	static struct pagespan_range ranges[PAGESPAN_MAX_COUNT];
	uint64_t first = self->longest.first + 300;
	uint64_t next = first, nr_pages = 12288, owned = nr_pages;

	ASSERT_EQ(0, client_alloc_at(self->a, first, nr_pages));
	memset(self->window_a + first * PAGE, 0x4e, nr_pages * PAGE);
	for (int i = 0; i < PAGESPAN_MAX_COUNT; i++) {
		ranges[i] = (struct pagespan_range){ next, 1 + i % 13 };
		next += 1 + i % 13 + i % 10;
		owned -= 1 + i % 13;
	}
	ASSERT_LE(next, first + nr_pages);
	ASSERT_EQ(PAGESPAN_MAX_COUNT, client_free_ranges(self->a, ranges, PAGESPAN_MAX_COUNT));
	EXPECT_EQ(owned, client_info(self->a).owned_pages);
	EXPECT_EQ(self->nr_free - owned, client_info(self->a).free_pages);
	for (int i = 0; i < PAGESPAN_MAX_COUNT; i++) {
		char *page = self->window_a + ranges[i].first * PAGE;
		char *after = page + ranges[i].nr_pages * PAGE;

		ASSERT_EQ(SIGBUS, touch(page, -1));
		ASSERT_EQ(SIGBUS, touch(after - PAGE, -1));
		if (i % 10)
			ASSERT_TRUE(pages_hold(after, i % 10, 0x4e));
	}
}

TEST_F(pair, bulk_free_leaves_pages_of_another_client_in_between_alone)
{
	const uint64_t mine = self->longest.first + 500, theirs = mine + 1;
	struct pagespan_range ranges[32];

	for (int i = 0; i < 32; i++) {
		ASSERT_EQ(0, client_alloc_at(self->a, mine + 2 * i, 1));
		ASSERT_EQ(0, client_alloc_at(self->b, theirs + 2 * i, 1));
		memset(self->window_a + (mine + 2 * i) * PAGE, 0x11, PAGE);
		memset(self->window_b + (theirs + 2 * i) * PAGE, 0x22, PAGE);
		ranges[i] = (struct pagespan_range){ mine + 2 * i, 1 };
	}
	EXPECT_EQ(32, client_free_ranges(self->a, ranges, 32));
	EXPECT_EQ(32, client_info(self->b).owned_pages);
	for (int i = 0; i < 32; i++) {
		EXPECT_TRUE(pages_hold(self->window_b + (theirs + 2 * i) * PAGE, 1, 0x22));
		EXPECT_EQ(-EBUSY, client_alloc_at(self->a, theirs + 2 * i, 1));
		EXPECT_EQ(0, client_alloc_at(self->b, mine + 2 * i, 1));
		EXPECT_TRUE(pages_hold(self->window_b + (mine + 2 * i) * PAGE, 1, 0));
	}
}

TEST_F(pair, bulk_allocation_of_single_pages_gives_every_page_there_is)
{
	uint64_t first = self->longest.first, firsts[200];

	ASSERT_EQ(self->nr_free, take_everything(self->a));
	for (int i = 0; i < 100; i++)
		ASSERT_EQ(0, client_free(self->a, first + 20 + 150 * i, 1));
	ASSERT_EQ(0, client_free(self->a, first + 16000, 70));
	EXPECT_EQ(170, client_alloc_bulk(self->b, 1, 200, firsts, 0));
	EXPECT_EQ(170, client_info(self->b).owned_pages);
	EXPECT_EQ(0, client_info(self->b).free_pages);
	for (int i = 0; i < 170; i++)
		EXPECT_EQ(0, touch(self->window_b + firsts[i] * PAGE, 1));
	EXPECT_EQ(-ENOMEM, client_alloc_bulk(self->b, 1, 200, firsts, 0));
}

TEST_F(pair, single_pages_allocated_in_bulk_are_zeroed_between_clients_only)
{
	uint64_t first = self->longest.first + 40, firsts[100];

	ASSERT_EQ(self->nr_free, take_everything(self->a));
	for (int i = 0; i < 100; i++) {
		memset(self->window_a + (first + 3 * i) * PAGE, 0x5c, PAGE);
		ASSERT_EQ(0, client_free(self->a, first + 3 * i, 1));
	}
	ASSERT_EQ(100, client_alloc_bulk(self->a, 1, 100, firsts, 0));
	for (int i = 0; i < 100; i++) {
		ASSERT_TRUE(pages_hold(self->window_a + firsts[i] * PAGE, 1, 0x5c));
		ASSERT_EQ(0, client_free(self->a, firsts[i], 1));
	}
	ASSERT_EQ(50, client_alloc_bulk(self->a, 1, 50, firsts, PAGESPAN_ALLOC_ZERO));
	for (int i = 0; i < 50; i++)
		ASSERT_TRUE(pages_hold(self->window_a + firsts[i] * PAGE, 1, 0));
	ASSERT_EQ(50, client_alloc_bulk(self->b, 1, 50, firsts, 0));
	for (int i = 0; i < 50; i++)
		ASSERT_TRUE(pages_hold(self->window_b + firsts[i] * PAGE, 1, 0));
}

/* The window undone from VM_DONTCOPY is a child's too; a bulk free takes the pages from both. */
TEST_F(pair, bulk_free_unmaps_the_pages_of_a_child)
{
	long span = client_alloc(self->a, 64);
	struct pagespan_range ranges[16];

	ASSERT_LE(0, span);
	memset(self->window_a + span * PAGE, 0x2d, 64 * PAGE);
	for (int i = 0; i < 16; i++)
		ranges[i] = (struct pagespan_range){ span + 4 * i, 1 };
	ASSERT_EQ(0, leave_to_children(self->window_a, self->nr_pages * PAGE));
	EXPECT_EQ(0, IN_CHILD({
		int status;

		if (!inherit(self->a, self->window_a, self->nr_pages * PAGE, 0) ||
		    !pages_hold(self->window_a + span * PAGE, 64, 0x2d))
			_exit(1);
		status = IN_CHILD(_exit(client_free_ranges(self->a, ranges, 16) != 16));
		if (status)
			_exit(2);
		for (int i = 0; i < 64; i++)
			if (touch(self->window_a + (span + i) * PAGE, -1) !=
			    (i % 4 ? 0 : SIGBUS))
				_exit(3);
	}));
	for (int i = 0; i < 64; i++)
		EXPECT_EQ(i % 4 ? 0 : SIGBUS, touch(self->window_a + (span + i) * PAGE, -1));
}

TEST_F(pair, other_client_cannot_see_a_page)
{
	long span = client_alloc(self->a, 2);

	ASSERT_LE(0, span);
	ASSERT_EQ(0, touch(self->window_a + span * PAGE, 0x77));
	EXPECT_EQ(SIGBUS, touch(self->window_b + span * PAGE, -1));
	EXPECT_EQ(SIGBUS, touch(self->window_b + span * PAGE, 1));
	EXPECT_EQ(0x77, self->window_a[span * PAGE]);
}

TEST_F(pair, other_client_cannot_free_a_page)
{
	long span = client_alloc(self->a, 2);

	ASSERT_LE(0, span);
	EXPECT_EQ(-EINVAL, client_free(self->b, span, 2));
	EXPECT_EQ(2, client_info(self->a).owned_pages);
	EXPECT_EQ(0, touch(self->window_a + span * PAGE, 1));
}

/* How many pages of a client that owns all it can get hold nothing but this byte. */
static uint64_t nr_holding(int fd, const char *window, uint64_t nr_pages, char byte)
{
	uint64_t nr = 0, one;

	for (uint64_t page = 0; page < nr_pages; page++) {
		one = 1;
		if (client_query(fd, page, &one) & PAGESPAN_QUERY_OWNED)
			nr += pages_hold(window + page * PAGE, 1, byte);
	}
	return nr;
}

/* Every page of the pool is written by one client, freed, and shown to the other. */
TEST_F(pair, pages_are_zeroed_between_clients)
{
	uint64_t one;

	ASSERT_EQ(self->nr_free, take_everything(self->a));
	for (uint64_t page = 0; page < self->nr_pages; page++) {
		one = 1;
		if (client_query(self->a, page, &one) & PAGESPAN_QUERY_OWNED)
			memset(self->window_a + page * PAGE, 0xa5, PAGE);
	}
	client_free_all(self->a);
	ASSERT_EQ(self->nr_free, take_everything(self->b));
	EXPECT_EQ(self->nr_free, nr_holding(self->b, self->window_b, self->nr_pages, 0));
}

TEST_F(pair, pages_are_zeroed_after_a_client_closed)
{
	int fd = client_open();
	char *window = client_window(fd);
	long span = client_alloc(fd, 512);

	ASSERT_LE(0, span);
	memset(window + span * PAGE, 0xee, 512 * PAGE);
	munmap(window, self->nr_pages * PAGE);
	close(fd);
	ASSERT_EQ(self->nr_free, take_everything(self->b));
	EXPECT_TRUE(pages_hold(self->window_b + span * PAGE, 512, 0));
}

/* Of one span, those that others owned last, wherever they lie, and no others. */
TEST_F(pair, pages_of_others_within_a_span_are_zeroed)
{
	long span = client_alloc(self->a, 30);
	char *pages = self->window_a + span * PAGE;

	ASSERT_LE(0, span);
	memset(pages, 0x41, 30 * PAGE);
	ASSERT_EQ(0, client_free(self->a, span, 30));
	for (int i = 5; i < 30; i += 15) {
		ASSERT_EQ(0, client_alloc_at(self->b, span + i, 5));
		memset(self->window_b + (span + i) * PAGE, 0x42, 5 * PAGE);
		ASSERT_EQ(0, client_free(self->b, span + i, 5));
	}
	ASSERT_EQ(0, client_alloc_at(self->a, span, 30));
	EXPECT_TRUE(pages_hold(pages, 5, 0x41));
	EXPECT_TRUE(pages_hold(pages + 5 * PAGE, 5, 0));
	EXPECT_TRUE(pages_hold(pages + 10 * PAGE, 10, 0x41));
	EXPECT_TRUE(pages_hold(pages + 20 * PAGE, 5, 0));
	EXPECT_TRUE(pages_hold(pages + 25 * PAGE, 5, 0x41));
}

TEST_F(pair, pages_keep_their_contents_within_a_client)
{
	uint64_t span = self->longest.first + 50;

	ASSERT_EQ(self->nr_free, take_everything(self->a));
	ASSERT_EQ(0, client_free(self->a, span, 20));
	ASSERT_EQ(span, client_alloc(self->a, 20));
	memset(self->window_a + span * PAGE, 0x3c, 20 * PAGE);
	ASSERT_EQ(0, client_free(self->a, span, 20));
	ASSERT_EQ(span, client_alloc(self->a, 20));
	EXPECT_TRUE(pages_hold(self->window_a + span * PAGE, 20, 0x3c));
}

TEST_F(pair, zero_flag_zeroes_within_a_client)
{
	uint64_t span = self->longest.first + 50, first;

	ASSERT_EQ(self->nr_free, take_everything(self->a));
	memset(self->window_a + span * PAGE, 0x3c, 20 * PAGE);
	ASSERT_EQ(0, client_free(self->a, span, 20));
	ASSERT_EQ(1, client_alloc_bulk(self->a, 20, 1, &first, PAGESPAN_ALLOC_ZERO));
	ASSERT_EQ(span, first);
	EXPECT_TRUE(pages_hold(self->window_a + span * PAGE, 20, 0));
}

TEST_F(pair, span_is_physically_contiguous_by_index)
{
	long span = client_alloc(self->a, 64);

	ASSERT_LE(0, span);
	for (int i = 0; i < 64; i++)
		self->window_a[(span + i) * PAGE] = i;
	munmap(self->window_a, self->nr_pages * PAGE);
	self->window_a = client_window(self->a);
	for (int i = 0; i < 64; i++)
		EXPECT_EQ(i, self->window_a[(span + i) * PAGE]);
}

TEST_F(pair, close_returns_everything)
{
	int fd = client_open();

	ASSERT_LE(0, client_alloc(fd, 1000));
	ASSERT_LE(0, client_alloc(fd, 1));
	EXPECT_EQ(self->nr_free - 1001, client_info(self->a).free_pages);
	close(fd);
	EXPECT_EQ(self->nr_free, client_info(self->a).free_pages);
}

TEST_F(pair, mapped_window_keeps_the_client_after_close)
{
	int fd = client_open();
	char *window = client_window(fd);
	long span = client_alloc(fd, 5);

	ASSERT_LE(0, span);
	close(fd);
	EXPECT_EQ(0, touch(window + span * PAGE, 1));
	EXPECT_EQ(self->nr_free - 5, client_info(self->a).free_pages);
	munmap(window, self->nr_pages * PAGE);
	EXPECT_EQ(self->nr_free, client_info(self->a).free_pages);
}

TEST_F(pair, sigkill_returns_everything)
{
	int status = IN_CHILD({
		int fd = client_open();
		char *window = client_window(fd);
		long span = client_alloc(fd, 2000);

		memset(window + span * PAGE, 1, 2000 * PAGE);
		kill(getpid(), SIGKILL);
	});

	EXPECT_EQ(128 + SIGKILL, status);
	EXPECT_EQ(self->nr_free, client_info(self->a).free_pages);
}

/* The other client has written every page, so all of them have to be cleared. */
TEST_F(pair, sigkill_while_pages_are_cleared_returns_everything)
{
	uint32_t nr_pages = self->longest.nr_pages;

	for (int delay = 0; delay < 20000; delay += 1000) {
		pid_t pid = fork();

		if (!pid) {
			int fd = client_open();

			for (;;)
				client_free(fd, client_alloc_ex(fd, nr_pages, 1,
								PAGESPAN_ALLOC_ZERO, NULL),
					    nr_pages);
		}
		usleep(delay);
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		ASSERT_EQ(self->nr_free, client_info(self->a).free_pages);
	}
}

TEST_F(pair, unmapping_the_window_returns_nothing)
{
	long span = client_alloc(self->a, 16);

	ASSERT_LE(0, span);
	memset(self->window_a + span * PAGE, 0x3b, 16 * PAGE);
	munmap(self->window_a, self->nr_pages * PAGE);
	EXPECT_EQ(16, client_info(self->a).owned_pages);
	self->window_a = client_window(self->a);
	EXPECT_TRUE(pages_hold(self->window_a + span * PAGE, 16, 0x3b));
}

TEST_F(pair, inherited_descriptor_is_the_same_client)
{
	long span = client_alloc(self->a, 4);

	ASSERT_LE(0, span);
	EXPECT_EQ(0, IN_CHILD(_exit(client_free(self->a, span, 4) ? 1 : 0)));
	EXPECT_EQ(0, client_info(self->a).owned_pages);
}

TEST_F(pair, information_adds_up)
{
	struct pagespan_info info;

	ASSERT_LE(0, client_alloc(self->a, 10));
	ASSERT_LE(0, client_alloc(self->b, 20));
	info = client_info(self->a);
	EXPECT_EQ(sizeof(info), info.size);
	EXPECT_EQ(10, info.owned_pages);
	EXPECT_EQ(0, info.quarantined_pages);
	EXPECT_EQ(self->nr_free - 30, info.free_pages);
	EXPECT_LE(info.longest_run, info.free_pages);
}

TEST_HARNESS_MAIN
