// SPDX-License-Identifier: GPL-2.0-only
/* Populating windows, 2 MiB mappings, allocation of one page by value and at an index. */
#include <sys/resource.h>

#include "harness.h"
#include "pagespan_test.h"

#define MEGABLOCK	512

FIXTURE(window)
{
	int fd;
	struct pagespan_info info;
	char *base;
};

FIXTURE_SETUP(window)
{
	self->fd = client_open();
	ASSERT_LE(0, self->fd);
	self->info = client_info(self->fd);
	self->base = client_window(self->fd);
	ASSERT_NE(MAP_FAILED, self->base);
}

FIXTURE_TEARDOWN(window)
{
	munmap(self->base, self->info.nr_pages * PAGE);
	close(self->fd);
}

static long faults(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return usage.ru_minflt + usage.ru_majflt;
}

/* How many faults writing to each page costs. */
static long faults_of_touching(char *pages, long nr_pages)
{
	long before = faults();

	for (long i = 0; i < nr_pages; i++)
		((volatile char *)pages)[i * PAGE] = i;
	return faults() - before;
}

TEST_F(window, populated_span_never_faults)
{
	static const uint32_t sizes[] = { 1, 2, 63, 64, 65, 511, 513, 1500 };

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		long span = client_alloc_ex(self->fd, sizes[i], 1, PAGESPAN_ALLOC_POPULATE,
					    self->base);

		ASSERT_LE(0, span);
		EXPECT_EQ(0, faults_of_touching(self->base + span * PAGE, sizes[i]));
	}
}

TEST_F(window, page_allocated_by_value_and_populated_never_faults)
{
	for (int i = 0; i < 100; i++) {
		long page = client_alloc_one(self->fd, self->base, PAGESPAN_ALLOC_POPULATE);

		ASSERT_LE(0, page);
		EXPECT_EQ(0, faults_of_touching(self->base + page * PAGE, 1));
		ASSERT_EQ(0, client_free_one(self->fd, page));
		EXPECT_EQ(SIGBUS, touch(self->base + page * PAGE, 1));
	}
}

TEST_F(window, populated_page_is_zeroed_when_asked)
{
	long page = client_alloc_one(self->fd, self->base, PAGESPAN_ALLOC_POPULATE);

	ASSERT_LE(0, page);
	memset(self->base + page * PAGE, 0x77, PAGE);
	ASSERT_EQ(0, client_free_one(self->fd, page));
	ASSERT_EQ(page, client_alloc_one(self->fd, self->base,
					 PAGESPAN_ALLOC_POPULATE | PAGESPAN_ALLOC_ZERO));
	EXPECT_TRUE(pages_hold(self->base + page * PAGE, 1, 0));
}

TEST_F(window, bulk_populates_every_span)
{
	uint64_t firsts[64];
	struct pagespan_alloc alloc = {
		.size = sizeof(alloc),
		.flags = PAGESPAN_ALLOC_POPULATE,
		.nr_pages = 3,
		.align_pages = 4,
		.count = 64,
		.spans = (uintptr_t)firsts,
		.window = (uintptr_t)self->base,
	};

	ASSERT_EQ(64, client_ioctl(self->fd, PAGESPAN_ALLOC, &alloc));
	for (int i = 0; i < 64; i++)
		EXPECT_EQ(0, faults_of_touching(self->base + firsts[i] * PAGE, 3));
}

/* Single pages, side by side and apart, in several tables and in both halves of a window. */
TEST_F(window, bulk_populates_single_pages_wherever_they_lie)
{
	uint64_t firsts[200];
	struct pagespan_alloc alloc = {
		.size = sizeof(alloc),
		.flags = PAGESPAN_ALLOC_POPULATE,
		.nr_pages = 1,
		.align_pages = 1,
		.count = 200,
		.spans = (uintptr_t)firsts,
		.window = (uintptr_t)self->base,
	};
	uint64_t start = client_longest(self->fd).first, next = start;
	char *middle = self->base + (start + 700) * PAGE;

	ASSERT_EQ(0, mprotect(middle, PAGE, PROT_NONE));
	ASSERT_EQ(0, mprotect(middle, PAGE, PROT_READ | PROT_WRITE));
	for (uint64_t run; (run = client_longest(self->fd).nr_pages);)
		ASSERT_LE(0, client_alloc(self->fd, run));
	for (int i = 0; i < 200; i++, next += i % 3 ? 1 : 1 + i % 40)
		ASSERT_EQ(0, client_free(self->fd, next, 1));
	ASSERT_LT(start + 1024, next);
	ASSERT_EQ(200, client_ioctl(self->fd, PAGESPAN_ALLOC, &alloc));
	for (int i = 0; i < 200; i++)
		EXPECT_EQ(0, faults_of_touching(self->base + firsts[i] * PAGE, 1));
}

/* Pages of every kind that the pool has, in one call: nothing else is free. */
TEST_F(window, bulk_populates_single_pages_of_every_piece)
{
	struct pagespan_range pieces[16], piece;
	uint64_t firsts[3 * ARRAY_SIZE(pieces)];
	int nr = 0, freed = 0;

	while ((piece = client_longest(self->fd)).nr_pages) {
		ASSERT_EQ(0, client_alloc_at(self->fd, piece.first, piece.nr_pages));
		if (nr < ARRAY_SIZE(pieces) && piece.nr_pages > 2 * MEGABLOCK)
			pieces[nr++] = piece;
	}
	for (; freed < 3 * nr; freed++) {
		piece = pieces[freed % nr];
		ASSERT_EQ(0, client_free_one(self->fd, piece.first + 5 + 2 * freed));
		/* There is a table for the page. */
		ASSERT_EQ(0, touch(self->base + (piece.first + 6 + 2 * freed) * PAGE, 1));
	}
	for (int round = 0; round < 8; round++) {
		struct pagespan_alloc alloc = {
			.size = sizeof(alloc),
			.flags = PAGESPAN_ALLOC_POPULATE,
			.nr_pages = 1,
			.align_pages = 1,
			.count = freed,
			.spans = (uintptr_t)firsts,
			.window = (uintptr_t)self->base,
		};

		ASSERT_EQ(freed, client_ioctl(self->fd, PAGESPAN_ALLOC, &alloc));
		for (int i = 0; i < freed; i++)
			EXPECT_EQ(0, faults_of_touching(self->base + firsts[i] * PAGE, 1));
		for (int i = 0; i < freed; i++)
			ASSERT_EQ(0, client_free_one(self->fd, firsts[i]));
	}
}

/* What lies behind a hole is populated, what lies in it faults and is refused. */
TEST_F(window, window_with_a_hole_is_populated_around_it)
{
	long span = client_alloc(self->fd, 64);

	ASSERT_LE(0, span);
	ASSERT_EQ(0, client_free(self->fd, span, 64));
	ASSERT_EQ(0, munmap(self->base + (span + 8) * PAGE, 8 * PAGE));
	ASSERT_EQ(0, mprotect(self->base + (span + 32) * PAGE, 8 * PAGE, PROT_READ));
	ASSERT_EQ(span, client_alloc_ex(self->fd, 64, 1, PAGESPAN_ALLOC_POPULATE, self->base));
	EXPECT_EQ(0, faults_of_touching(self->base + span * PAGE, 8));
	EXPECT_EQ(SIGSEGV, touch(self->base + (span + 8) * PAGE, -1));
	EXPECT_EQ(0, faults_of_touching(self->base + (span + 16) * PAGE, 16));
	EXPECT_EQ(SIGSEGV, touch(self->base + (span + 32) * PAGE, 1));
	EXPECT_EQ(0, faults_of_touching(self->base + (span + 40) * PAGE, 24));
}

/* A free of what lies on both sides of it, in one call. */
TEST_F(window, owned_page_between_freed_ones_keeps_its_mapping)
{
	long span = client_alloc_ex(self->fd, 32, 1, PAGESPAN_ALLOC_POPULATE, self->base);
	struct pagespan_range ranges[8];

	ASSERT_LE(0, span);
	memset(self->base + span * PAGE, 0x6e, 32 * PAGE);
	for (int i = 0; i < 8; i++)
		ranges[i] = (struct pagespan_range){ span + 4 * i, 2 };
	ASSERT_EQ(8, client_free_ranges(self->fd, ranges, 8));
	for (int i = 0; i < 8; i++) {
		char *page = self->base + (span + 4 * i + 2) * PAGE;
		long before = faults();

		EXPECT_TRUE(pages_hold(page, 2, 0x6e));
		EXPECT_EQ(before, faults());
		EXPECT_EQ(SIGBUS, touch(page - PAGE, -1));
		EXPECT_EQ(SIGBUS, touch(page - 2 * PAGE, -1));
	}
}

/* Sixty-four pages of the client and one of nobody. */
static long alloc_before_a_free_page(int fd)
{
	long span = client_alloc(fd, 65);

	if (span >= 0)
		client_free_one(fd, span + 64);
	return span;
}

TEST_F(window, map_populate_maps_what_is_owned)
{
	long span = alloc_before_a_free_page(self->fd);
	char *pages;

	ASSERT_LE(0, span);
	pages = mmap(NULL, 65 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, self->fd,
		     span * PAGE);
	ASSERT_NE(MAP_FAILED, pages);
	EXPECT_EQ(0, faults_of_touching(pages, 64));
	EXPECT_EQ(SIGBUS, touch(pages + 64 * PAGE, -1));
}

TEST_F(window, populating_advice_maps_what_is_owned_and_is_efault_for_the_rest)
{
	static const int advices[] = { MADV_POPULATE_READ, MADV_POPULATE_WRITE };

	for (size_t i = 0; i < ARRAY_SIZE(advices); i++) {
		long span = alloc_before_a_free_page(self->fd);
		char *pages = self->base + span * PAGE;

		ASSERT_LE(0, span);
		ASSERT_EQ(0, madvise(pages, 64 * PAGE, advices[i]));
		EXPECT_EQ(0, faults_of_touching(pages, 64));
		EXPECT_EQ(-1, madvise(pages, 65 * PAGE, advices[i]));
		EXPECT_EQ(EFAULT, errno);
		EXPECT_EQ(SIGBUS, touch(pages + 64 * PAGE, -1));
		ASSERT_EQ(0, client_free(self->fd, span, 64));
		EXPECT_EQ(-1, madvise(pages, PAGE, advices[i]));
		EXPECT_EQ(EFAULT, errno);
	}
}

/* A window address that is not ours populates nothing, and the pages fault in as ever. */
TEST_F(window, wrong_window_address_is_harmless)
{
	char *memory = mmap(NULL, 64 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			    -1, 0);
	int other = client_open();
	char *window = client_window(other);
	const char *const wrong[] = {
		self->base + PAGE, self->base - PAGE, NULL, (char *)(1UL << 46), window,
	};

	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		long span = client_alloc_ex(self->fd, 4, 1, PAGESPAN_ALLOC_POPULATE, wrong[i]);

		ASSERT_LE(0, span);
		EXPECT_EQ(0, touch(self->base + span * PAGE, 1));
		EXPECT_EQ(SIGBUS, touch(window + span * PAGE, 1));
		/* Nor is another page where one of these would be. */
		EXPECT_EQ(SIGBUS, touch(self->base + (span + 4) * PAGE, -1));
		/* Anonymous memory at that place stays what it was. */
		ASSERT_EQ(0, client_free(self->fd, span, 4));
		span = client_alloc_ex(self->fd, 4, 1, PAGESPAN_ALLOC_POPULATE,
				       memory - span * PAGE);
		ASSERT_LE(0, span);
		EXPECT_TRUE(pages_hold(memory, 64, 0));
	}
	close(other);
}

TEST_F(window, read_only_window_is_not_populated_for_writing)
{
	long span, before;
	char *page;

	ASSERT_EQ(0, mprotect(self->base, self->info.nr_pages * PAGE, PROT_READ));
	span = client_alloc_ex(self->fd, 2, 1, PAGESPAN_ALLOC_POPULATE, self->base);
	ASSERT_LE(0, span);
	page = self->base + span * PAGE;
	before = faults();
	(void)*(volatile char *)page;
	EXPECT_LT(before, faults());
	EXPECT_EQ(SIGSEGV, touch(page, 1));
}

TEST_F(window, window_in_pieces_is_populated_piece_by_piece)
{
	long span = client_alloc(self->fd, 64);

	ASSERT_LE(0, span);
	ASSERT_EQ(0, client_free(self->fd, span, 64));
	ASSERT_EQ(0, mprotect(self->base + (span + 8) * PAGE, 8 * PAGE, PROT_NONE));
	ASSERT_EQ(0, mprotect(self->base + (span + 8) * PAGE, 8 * PAGE, PROT_READ | PROT_WRITE));
	ASSERT_EQ(span, client_alloc_ex(self->fd, 64, 1, PAGESPAN_ALLOC_POPULATE, self->base));
	EXPECT_EQ(0, faults_of_touching(self->base + span * PAGE, 64));
}

TEST_F(window, populated_pages_are_unmapped_by_a_free)
{
	long span = client_alloc_ex(self->fd, 1024, MEGABLOCK, PAGESPAN_ALLOC_POPULATE, self->base);

	ASSERT_LE(0, span);
	memset(self->base + span * PAGE, 5, 1024 * PAGE);
	ASSERT_EQ(0, client_free(self->fd, span + 1, 1022));
	EXPECT_EQ(5, self->base[span * PAGE]);
	EXPECT_EQ(5, self->base[(span + 1023) * PAGE]);
	for (int i = 1; i < 1023; i++)
		ASSERT_EQ(SIGBUS, touch(self->base + (span + i) * PAGE, -1));
}

TEST_F(window, whole_megablocks_are_mapped_by_one_fault_each)
{
	long span;

	if (!(self->info.flags & PAGESPAN_INFO_HUGE))
		SKIP(return, "this pool has no 2 MiB mappings");
	span = client_alloc_huge(self->fd, 3);
	ASSERT_LE(0, span);
	EXPECT_EQ(3, faults_of_touching(self->base + span * PAGE, 3 * MEGABLOCK));
}

TEST_F(window, whole_megablocks_are_populated_without_faults)
{
	long span = client_alloc_ex(self->fd, 3 * MEGABLOCK, MEGABLOCK, PAGESPAN_ALLOC_POPULATE,
				    self->base);

	ASSERT_LE(0, span);
	EXPECT_EQ(0, faults_of_touching(self->base + span * PAGE, 3 * MEGABLOCK));
}

/* The 2 MiB entry goes as a whole; the neighbours come back page by page with what they held. */
TEST_F(window, free_of_a_middle_page_splits_a_huge_mapping)
{
	long span = client_alloc_ex(self->fd, MEGABLOCK, MEGABLOCK, PAGESPAN_ALLOC_POPULATE,
				    self->base);

	ASSERT_LE(0, span);
	memset(self->base + span * PAGE, 0x29, MEGABLOCK * PAGE);
	ASSERT_EQ(0, client_free_one(self->fd, span + 200));
	EXPECT_EQ(SIGBUS, touch(self->base + (span + 200) * PAGE, -1));
	EXPECT_TRUE(pages_hold(self->base + span * PAGE, 200, 0x29));
	EXPECT_TRUE(pages_hold(self->base + (span + 201) * PAGE, MEGABLOCK - 201, 0x29));
}

/* Windows of one client, the last of them at an address that fits no 2 MiB entries. */
#define WINDOWS		3

static void map_windows(int fd, uint64_t nr_pages, char *windows[WINDOWS])
{
	windows[0] = client_window(fd);
	windows[1] = client_window(fd);
	windows[2] = mmap(NULL, (nr_pages + 2 * MEGABLOCK) * PAGE, PROT_NONE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	windows[2] = (char *)((uintptr_t)windows[2] | (MEGABLOCK * PAGE - 1)) + 1 + PAGE;
	if (mmap(windows[2], nr_pages * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd,
		 0) != windows[2])
		abort();
}

/* How many of the pages can be touched. */
static int reachable(char *pages, long nr_pages)
{
	int nr = 0;

	for (long i = 0; i < nr_pages; i++)
		nr += !touch(pages + i * PAGE, -1);
	return nr;
}

TEST_F(window, free_of_half_a_megablock_keeps_the_other_half_in_every_window)
{
	const long half = MEGABLOCK / 2;
	char *windows[WINDOWS];
	long span;

	map_windows(self->fd, self->info.nr_pages, windows);
	for (int round = 0; round < 4; round++) {
		long freed, kept;

		span = client_alloc_ex(self->fd, MEGABLOCK, MEGABLOCK, PAGESPAN_ALLOC_POPULATE,
				       windows[round % WINDOWS]);
		ASSERT_LE(0, span);
		freed = round % 2 ? span : span + half;
		kept = round % 2 ? span + half : span;
		for (int i = 0; i < WINDOWS; i++)
			memset(windows[i] + span * PAGE, 0x2a + round, MEGABLOCK * PAGE);
		ASSERT_EQ(0, client_free(self->fd, freed, half));
		for (int i = 0; i < WINDOWS; i++) {
			ASSERT_EQ(0, reachable(windows[i] + freed * PAGE, half));
			ASSERT_TRUE(pages_hold(windows[i] + kept * PAGE, half, 0x2a + round));
		}
		ASSERT_EQ(0, client_free(self->fd, kept, half));
	}
}

TEST_F(window, free_of_a_megablock_leaves_no_window)
{
	char *windows[WINDOWS];
	long span;

	map_windows(self->fd, self->info.nr_pages, windows);
	for (int round = 0; round < 4; round++) {
		span = client_alloc_ex(self->fd, MEGABLOCK, MEGABLOCK, PAGESPAN_ALLOC_POPULATE,
				       windows[round % WINDOWS]);
		ASSERT_LE(0, span);
		for (int i = 0; i < WINDOWS; i++)
			memset(windows[i] + span * PAGE, 0x31, MEGABLOCK * PAGE);
		ASSERT_EQ(0, client_free(self->fd, span, MEGABLOCK));
		for (int i = 0; i < WINDOWS; i++)
			ASSERT_EQ(0, reachable(windows[i] + span * PAGE, MEGABLOCK));
	}
}

/* Windows over one half of a megablock, beside which nothing is mapped. */
TEST_F(window, part_of_a_megablock_is_never_mapped_beyond_its_window)
{
	const size_t megabyte = MEGABLOCK / 2 * PAGE;
	char *place = mmap(NULL, 6 * megabyte, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	long span = client_alloc_ex(self->fd, MEGABLOCK, MEGABLOCK, 0, NULL);
	char *low, *high;

	ASSERT_LE(0, span);
	ASSERT_NE(MAP_FAILED, place);
	low = place + -(uintptr_t)place % (2 * megabyte);
	high = low + 3 * megabyte;
	ASSERT_EQ(low, mmap(low, megabyte, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
			    self->fd, span * PAGE));
	ASSERT_EQ(high, mmap(high, megabyte, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
			     self->fd, span * PAGE + megabyte));
	EXPECT_EQ(0, touch(low, 1));
	EXPECT_EQ(0, touch(high, 1));
	EXPECT_EQ(SIGSEGV, touch(low + megabyte, -1));
	EXPECT_EQ(SIGSEGV, touch(high - megabyte, -1));
	munmap(place, 6 * megabyte);
}

TEST_F(window, huge_mapping_made_by_reading_can_be_written)
{
	long span = client_alloc_ex(self->fd, MEGABLOCK, MEGABLOCK, PAGESPAN_ALLOC_ZERO, NULL);
	char *pages = self->base + span * PAGE;

	ASSERT_LE(0, span);
	EXPECT_TRUE(pages_hold(pages, MEGABLOCK, 0));
	memset(pages, 0x38, MEGABLOCK * PAGE);
	EXPECT_TRUE(pages_hold(pages, MEGABLOCK, 0x38));
}

TEST_F(window, protection_of_a_part_of_a_huge_mapping_is_obeyed)
{
	long span = client_alloc_ex(self->fd, MEGABLOCK, MEGABLOCK, PAGESPAN_ALLOC_POPULATE,
				    self->base);
	char *pages = self->base + span * PAGE;

	ASSERT_LE(0, span);
	memset(pages, 0x39, MEGABLOCK * PAGE);
	ASSERT_EQ(0, mprotect(pages + 9 * PAGE, PAGE, PROT_READ));
	EXPECT_EQ(SIGSEGV, touch(pages + 9 * PAGE, 1));
	EXPECT_TRUE(pages_hold(pages, MEGABLOCK, 0x39));
	EXPECT_EQ(0, touch(pages + 10 * PAGE, 1));
}

TEST_F(window, megablock_not_owned_whole_is_never_mapped_whole)
{
	long span = client_alloc_ex(self->fd, MEGABLOCK, MEGABLOCK, 0, NULL);

	ASSERT_LE(0, span);
	ASSERT_EQ(0, client_free_one(self->fd, span + MEGABLOCK - 1));
	EXPECT_EQ(0, touch(self->base + span * PAGE, 1));
	EXPECT_EQ(SIGBUS, touch(self->base + (span + MEGABLOCK - 1) * PAGE, -1));
}

TEST_F(window, megablock_owned_page_by_page_is_mapped_whole)
{
	long span;

	if (!(self->info.flags & PAGESPAN_INFO_HUGE))
		SKIP(return, "this pool has no 2 MiB mappings");
	span = client_alloc_huge(self->fd, 1);
	ASSERT_LE(0, span);
	ASSERT_EQ(0, client_free(self->fd, span, MEGABLOCK));
	for (int i = 0; i < MEGABLOCK; i += 8)
		ASSERT_EQ(0, client_alloc_at(self->fd, span + i, 8));
	EXPECT_EQ(1, faults_of_touching(self->base + span * PAGE, MEGABLOCK));
}

TEST_F(window, window_is_aligned_for_huge_mappings)
{
	if (!(self->info.flags & PAGESPAN_INFO_HUGE))
		SKIP(return, "this pool has no 2 MiB mappings");
	EXPECT_EQ(0, (uintptr_t)self->base % (MEGABLOCK * PAGE));
}

TEST_F(window, span_grows_in_place)
{
	long span = client_alloc(self->fd, 16);

	ASSERT_LE(0, span);
	memset(self->base + span * PAGE, 1, 16 * PAGE);
	ASSERT_EQ(0, client_alloc_at(self->fd, span + 16, 16));
	EXPECT_TRUE(pages_hold(self->base + span * PAGE, 16, 1));
	EXPECT_EQ(0, touch(self->base + (span + 31) * PAGE, 1));
	EXPECT_EQ(32, client_info(self->fd).owned_pages);
	EXPECT_EQ(0, client_free(self->fd, span, 32));
}

TEST_F(window, pages_allocated_at_an_index_are_zeroed_between_clients)
{
	int other = client_open();
	char *window = client_window(other);
	long span = client_alloc(other, 8);

	ASSERT_LE(0, span);
	memset(window + span * PAGE, 0x4d, 8 * PAGE);
	ASSERT_EQ(0, client_free(other, span, 8));
	ASSERT_EQ(0, client_alloc_at(self->fd, span, 8));
	EXPECT_TRUE(pages_hold(self->base + span * PAGE, 8, 0));
	close(other);
}

TEST_F(window, query_tells_runs_of_pages_in_the_same_state)
{
	long span = client_alloc(self->fd, 10);
	uint64_t nr_pages = 100;

	ASSERT_LE(0, span);
	ASSERT_EQ(0, client_free_one(self->fd, span + 4));
	EXPECT_EQ(PAGESPAN_QUERY_OWNED, client_query(self->fd, span, &nr_pages));
	EXPECT_EQ(4, nr_pages);
	nr_pages = 1;
	EXPECT_EQ(0, client_query(self->fd, span + 4, &nr_pages));
	nr_pages = 100;
	EXPECT_EQ(PAGESPAN_QUERY_OWNED, client_query(self->fd, span + 5, &nr_pages));
	EXPECT_EQ(5, nr_pages);
}

TEST_F(window, query_tells_nothing_of_other_clients)
{
	int other = client_open();
	long span = client_alloc(other, 8);
	uint64_t nr_pages = 8;

	ASSERT_LE(0, span);
	EXPECT_EQ(0, client_query(self->fd, span, &nr_pages));
	close(other);
}

TEST_F(window, query_tells_which_megablocks_can_be_huge)
{
	bool huge = self->info.flags & PAGESPAN_INFO_HUGE;
	long span = huge ? client_alloc_huge(self->fd, 1) :
		    client_alloc_ex(self->fd, MEGABLOCK, MEGABLOCK, 0, NULL);
	uint64_t nr_pages = 1;

	ASSERT_LE(0, span);
	EXPECT_EQ(PAGESPAN_QUERY_OWNED | (huge ? PAGESPAN_QUERY_HUGE : 0),
		  client_query(self->fd, span + 17, &nr_pages));
	ASSERT_EQ(0, client_free_one(self->fd, span));
	EXPECT_EQ(PAGESPAN_QUERY_OWNED, client_query(self->fd, span + 17, &nr_pages));
}

TEST_F(window, pages_of_a_span_are_physically_consecutive)
{
	long span = client_alloc(self->fd, 700);
	uint64_t start = 0;

	ASSERT_LE(0, span);
	for (int i = 0; i < 700; i++) {
		struct pagespan_phys phys = { .size = sizeof(phys), .index = span + i };

		ASSERT_EQ(0, client_ioctl(self->fd, PAGESPAN_PHYS, &phys));
		if (!i)
			start = phys.address;
		ASSERT_EQ(start + i * PAGE, phys.address);
	}
}

TEST_HARNESS_MAIN
