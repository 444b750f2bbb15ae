// SPDX-License-Identifier: GPL-2.0-only
/* The quarantine: a freed page that the kernel still pins goes to nobody until it is released. */
#define _GNU_SOURCE
#include <sys/uio.h>

#include "harness.h"
#include "pagespan_test.h"

FIXTURE(pinned)
{
	int fd, other;
	uint64_t nr_pages, nr_free;
	long span;
	char *page;
	int pipe[2];
};

/* Two pages of a span of four lie in a pipe, which holds the pages themselves. */
FIXTURE_SETUP(pinned)
{
	struct iovec two;

	self->fd = client_open();
	self->other = client_open();
	ASSERT_LE(0, self->fd);
	ASSERT_LE(0, self->other);
	self->nr_pages = client_info(self->fd).nr_pages;
	self->nr_free = client_info(self->fd).free_pages;
	self->span = client_alloc(self->fd, 4);
	ASSERT_LE(0, self->span);
	self->page = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, self->fd,
			  self->span * PAGE);
	ASSERT_NE(MAP_FAILED, self->page);
	memset(self->page, 0x6b, 4 * PAGE);
	ASSERT_EQ(0, pipe(self->pipe));
	two = (struct iovec){ .iov_base = self->page + PAGE, .iov_len = 2 * PAGE };
	ASSERT_EQ(2 * PAGE, vmsplice(self->pipe[1], &two, 1, 0));
}

FIXTURE_TEARDOWN(pinned)
{
	close(self->pipe[0]);
	close(self->pipe[1]);
	munmap(self->page, 4 * PAGE);
	close(self->fd);
	close(self->other);
	self->fd = client_open();
	EXPECT_TRUE(EVENTUALLY(client_info(self->fd).free_pages == self->nr_free));
	close(self->fd);
}

static uint64_t take_all_but(int fd, uint64_t nr_pages)
{
	static uint64_t firsts[PAGESPAN_MAX_COUNT];
	uint64_t taken = 0;
	long got;

	while ((got = client_alloc_bulk(fd, 1, PAGESPAN_MAX_COUNT, firsts, 0)) > 0)
		taken += got;
	return nr_pages - taken;
}

TEST_F(pinned, pinned_page_stays_charged_until_the_last_pin_goes)
{
	struct pagespan_info info;

	ASSERT_EQ(0, client_free(self->fd, self->span, 4));
	info = client_info(self->fd);
	EXPECT_EQ(0, info.owned_pages);
	EXPECT_EQ(2, info.quarantined_pages);
	EXPECT_EQ(self->nr_free - 2, info.free_pages);
	usleep(500000);
	EXPECT_EQ(2, client_info(self->fd).quarantined_pages);

	close(self->pipe[0]);
	close(self->pipe[1]);
	EXPECT_TRUE(EVENTUALLY(!client_info(self->fd).quarantined_pages));
	EXPECT_EQ(self->nr_free, client_info(self->fd).free_pages);
}

TEST_F(pinned, pinned_page_is_given_to_nobody)
{
	static char data[2 * PAGE];

	ASSERT_EQ(0, client_free(self->fd, self->span, 4));
	EXPECT_EQ(2, take_all_but(self->other, self->nr_free));
	ASSERT_EQ(2 * PAGE, read(self->pipe[0], data, sizeof(data)));
	EXPECT_TRUE(pages_hold(data, 2, 0x6b));
}

TEST_F(pinned, quarantined_page_is_not_the_clients_to_touch_or_free)
{
	ASSERT_EQ(0, client_free(self->fd, self->span, 4));
	EXPECT_EQ(SIGBUS, touch(self->page + PAGE, -1));
	EXPECT_EQ(-EINVAL, client_free(self->fd, self->span + 1, 1));
	EXPECT_EQ(2, client_info(self->fd).quarantined_pages);
}

TEST_F(pinned, quarantine_outlives_the_client)
{
	static char data[2 * PAGE];

	munmap(self->page, 4 * PAGE);
	close(self->fd);
	usleep(100000);
	EXPECT_EQ(self->nr_free - 2, client_info(self->other).free_pages);
	ASSERT_EQ(2 * PAGE, read(self->pipe[0], data, sizeof(data)));
	EXPECT_TRUE(pages_hold(data, 2, 0x6b));
	EXPECT_TRUE(EVENTUALLY(client_info(self->other).free_pages == self->nr_free));
}

/* Freed in one call with pages near them that nobody pins. */
TEST_F(pinned, bulk_free_keeps_only_the_pinned_pages)
{
	struct pagespan_range ranges[] = {
		{ self->span, 1 }, { self->span + 2, 1 }, { self->span + 3, 1 },
	};
	static char data[2 * PAGE];

	/* A page of its own in between would keep them from being freed together. */
	ASSERT_EQ(0, client_free_one(self->fd, self->span + 1));
	ASSERT_EQ(3, client_free_ranges(self->fd, ranges, 3));
	EXPECT_EQ(0, client_info(self->fd).owned_pages);
	EXPECT_EQ(2, client_info(self->fd).quarantined_pages);
	EXPECT_EQ(-EBUSY, client_alloc_at(self->other, self->span + 2, 1));
	EXPECT_EQ(0, client_alloc_at(self->other, self->span, 1));
	EXPECT_EQ(0, client_alloc_at(self->other, self->span + 3, 1));
	EXPECT_EQ(-EINVAL, client_free_ranges(self->fd, ranges, 3));
	ASSERT_EQ(2 * PAGE, read(self->pipe[0], data, sizeof(data)));
	EXPECT_TRUE(pages_hold(data, 2, 0x6b));
	EXPECT_TRUE(EVENTUALLY(!client_info(self->fd).quarantined_pages));
	EXPECT_EQ(0, client_alloc_at(self->other, self->span + 2, 1));
}

/*
 * Pages of a 2 MiB mapping are pinned one by one, where neighbours do not share a count;
 * where they do, all that is freed of the megablock is kept.
 */
TEST_F(pinned, pin_of_one_page_of_a_megablock_keeps_only_that_page)
{
	bool one_count = pages_share_a_count();
	char *base = client_window(self->fd);
	struct iovec one = { .iov_len = PAGE };
	static char data[3 * PAGE];
	long span;

	ASSERT_NE(MAP_FAILED, base);
	span = client_alloc_ex(self->fd, 512, 512, PAGESPAN_ALLOC_POPULATE, base);
	ASSERT_LE(0, span);
	memset(base + span * PAGE, 0x6c, 512 * PAGE);
	one.iov_base = base + (span + 100) * PAGE;
	ASSERT_EQ(PAGE, vmsplice(self->pipe[1], &one, 1, 0));
	ASSERT_EQ(0, client_free(self->fd, span, 512));
	EXPECT_EQ(one_count ? 512 : 1, client_info(self->fd).quarantined_pages);
	EXPECT_EQ(-EBUSY, client_alloc_at(self->other, span + 100, 1));
	EXPECT_EQ(one_count ? -EBUSY : 0, client_alloc_at(self->other, span + 99, 1));
	EXPECT_EQ(one_count ? -EBUSY : 0, client_alloc_at(self->other, span + 101, 1));
	ASSERT_EQ(3 * PAGE, read(self->pipe[0], data, sizeof(data)));
	EXPECT_TRUE(pages_hold(data + 2 * PAGE, 1, 0x6c));
	EXPECT_TRUE(EVENTUALLY(!client_info(self->fd).quarantined_pages));
	munmap(base, self->nr_pages * PAGE);
}

/* What is freed of a megablock that is pinned leaves when the pin goes, though the rest is used. */
TEST_F(pinned, page_of_a_pinned_megablock_leaves_while_the_rest_is_used)
{
	char *base = client_window(self->fd);
	struct iovec one = { .iov_len = PAGE };
	static char data[3 * PAGE];
	long span;

	ASSERT_NE(MAP_FAILED, base);
	span = client_alloc_ex(self->fd, 512, 512, PAGESPAN_ALLOC_POPULATE, base);
	ASSERT_LE(0, span);
	memset(base + span * PAGE, 0x6e, 512 * PAGE);
	one.iov_base = base + (span + 100) * PAGE;
	ASSERT_EQ(PAGE, vmsplice(self->pipe[1], &one, 1, 0));
	ASSERT_EQ(0, client_free(self->fd, span + 100, 1));
	EXPECT_EQ(SIGBUS, touch(base + (span + 100) * PAGE, -1));
	EXPECT_TRUE(pages_hold(base + span * PAGE, 100, 0x6e));
	ASSERT_EQ(0, client_free(self->fd, span + 200, 2));
	EXPECT_EQ(-EBUSY, client_alloc_at(self->other, span + 100, 1));
	memset(base + (span + 202) * PAGE, 0x6f, 310 * PAGE);
	ASSERT_EQ(3 * PAGE, read(self->pipe[0], data, sizeof(data)));
	EXPECT_TRUE(pages_hold(data + 2 * PAGE, 1, 0x6e));
	EXPECT_TRUE(EVENTUALLY(!client_info(self->fd).quarantined_pages));
	EXPECT_EQ(0, client_alloc_at(self->other, span + 100, 1));
	EXPECT_EQ(0, client_alloc_at(self->other, span + 200, 2));
	EXPECT_EQ(SIGBUS, touch(base + (span + 100) * PAGE, -1));
	EXPECT_TRUE(pages_hold(base + span * PAGE, 100, 0x6e));
	EXPECT_TRUE(pages_hold(base + (span + 101) * PAGE, 99, 0x6e));
	EXPECT_TRUE(pages_hold(base + (span + 202) * PAGE, 310, 0x6f));
	munmap(base, self->nr_pages * PAGE);
}

/* Counts of pages are looked at several together. */
TEST_F(pinned, pin_is_seen_wherever_the_page_lies)
{
	char *base = client_window(self->fd);
	struct iovec one = { .iov_len = PAGE };
	int ends[2];
	long span;

	ASSERT_NE(MAP_FAILED, base);
	for (int i = 0; i < 40; i++) {
		span = client_alloc(self->fd, 40);
		ASSERT_LE(0, span);
		ASSERT_EQ(0, touch(base + (span + i) * PAGE, 1));
		ASSERT_EQ(0, pipe(ends));
		one.iov_base = base + (span + i) * PAGE;
		ASSERT_EQ(PAGE, vmsplice(ends[1], &one, 1, 0));
		ASSERT_EQ(0, client_free(self->fd, span, 40));
		EXPECT_EQ(1, client_info(self->fd).quarantined_pages) TH_LOG("page %d", i);
		close(ends[0]);
		close(ends[1]);
		ASSERT_TRUE(EVENTUALLY(!client_info(self->fd).quarantined_pages));
	}
	munmap(base, self->nr_pages * PAGE);
}

static int module_references(void)
{
	int references = -1;
	FILE *file = fopen("/sys/module/pagespan/refcnt", "r");

	if (!file)
		return -1;
	if (fscanf(file, "%d", &references) != 1)
		references = -1;
	fclose(file);
	return references;
}

TEST_F(pinned, module_is_held_while_a_page_is_quarantined)
{
	int before = module_references();

	if (before < 0)
		SKIP(return, "pagespan is built in");
	ASSERT_EQ(0, client_free(self->fd, self->span, 4));
	EXPECT_EQ(before + 1, module_references());
	close(self->pipe[0]);
	close(self->pipe[1]);
	EXPECT_TRUE(EVENTUALLY(module_references() == before));
}

TEST_HARNESS_MAIN
