// SPDX-License-Identifier: GPL-2.0-only
/* Exported pages: seen through the dma-buf, and kept from everybody else until it is released. */
#define _GNU_SOURCE
#include <linux/dma-buf.h>
#include <sys/resource.h>
#include <sys/uio.h>

#include "harness.h"
#include "exported.h"
#include "pagespan_test.h"
#include "reader.h"

FIXTURE(exported)
{
	int fd, dmabuf;
	uint64_t nr_pages, nr_free;
	char *base;
	long span;
};

FIXTURE_SETUP(exported)
{
	self->fd = client_open();
	ASSERT_LE(0, self->fd);
	self->nr_pages = client_info(self->fd).nr_pages;
	self->nr_free = client_info(self->fd).free_pages;
	self->base = client_window(self->fd);
	ASSERT_NE(MAP_FAILED, self->base);
	self->span = client_alloc(self->fd, 16);
	ASSERT_LE(0, self->span);
	memset(self->base + self->span * PAGE, 0x51, 16 * PAGE);
	self->dmabuf = export(self->fd, self->span + 4, 8);
	ASSERT_LE(0, self->dmabuf);
}

FIXTURE_TEARDOWN(exported)
{
	close(self->dmabuf);
	munmap(self->base, self->nr_pages * PAGE);
	close(self->fd);
	self->fd = client_open();
	EXPECT_TRUE(EVENTUALLY(client_info(self->fd).free_pages == self->nr_free));
	close(self->fd);
}

TEST_F(exported, dmabuf_is_as_long_as_what_was_exported)
{
	EXPECT_EQ(8 * PAGE, lseek(self->dmabuf, 0, SEEK_END));
}

TEST_F(exported, other_process_sees_exactly_the_exported_pages)
{
	EXPECT_EQ(0, IN_CHILD({
		char *pages = map_dmabuf(self->dmabuf);

		if (pages == MAP_FAILED || !pages_hold(pages, 8, 0x51))
			_exit(1);
		pages[3 * PAGE] = 0x52;
	}));
	EXPECT_EQ(0x52, self->base[(self->span + 7) * PAGE]);
}

TEST_F(exported, mapping_beyond_the_export_is_refused)
{
	EXPECT_EQ(MAP_FAILED, mmap(NULL, 9 * PAGE, PROT_READ, MAP_SHARED, self->dmabuf, 0));
	EXPECT_EQ(MAP_FAILED, mmap(NULL, PAGE, PROT_READ, MAP_SHARED, self->dmabuf, 8 * PAGE));
	EXPECT_EQ(MAP_FAILED, mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, self->dmabuf, 0));
}

TEST_F(exported, mapping_is_never_executable)
{
	char *pages = map_dmabuf(self->dmabuf);

	ASSERT_NE(MAP_FAILED, pages);
	EXPECT_TRUE(refused(self->dmabuf, PROT_READ | PROT_EXEC));
	EXPECT_TRUE(refused(self->dmabuf, PROT_EXEC));
	EXPECT_FALSE(may_become(pages, PROT_READ | PROT_EXEC));
	munmap(pages, 8 * PAGE);
}

TEST_F(exported, mapping_is_inherited_over_fork)
{
	char *pages = map_dmabuf(self->dmabuf);

	ASSERT_NE(MAP_FAILED, pages);
	pages[0] = 0x52;
	EXPECT_EQ(0, IN_CHILD({
		if (pages[0] != 0x52)
			_exit(1);
		pages[PAGE] = 0x53;
	}));
	EXPECT_EQ(0x53, pages[PAGE]);
	munmap(pages, 8 * PAGE);
}

/* The kernel takes references to pages that are mapped through the dma-buf alone. */
TEST_F(exported, page_pinned_through_a_mapping_stays_quarantined_after_the_release)
{
	static char data[2 * PAGE];
	struct iovec two = { .iov_len = 2 * PAGE };
	char *pages;
	int ends[2];

	munmap(self->base, self->nr_pages * PAGE);
	pages = map_dmabuf(self->dmabuf);
	ASSERT_NE(MAP_FAILED, pages);
	two.iov_base = pages + 2 * PAGE;
	ASSERT_EQ(0, pipe(ends));
	ASSERT_EQ(2 * PAGE, vmsplice(ends[1], &two, 1, 0));
	ASSERT_EQ(0, client_free(self->fd, self->span, 16));
	munmap(pages, 8 * PAGE);
	close(self->dmabuf);
	EXPECT_TRUE(EVENTUALLY(client_info(self->fd).quarantined_pages == 2));
	usleep(300000);
	EXPECT_EQ(2, client_info(self->fd).quarantined_pages);
	ASSERT_EQ(2 * PAGE, read(ends[0], data, sizeof(data)));
	EXPECT_TRUE(pages_hold(data, 2, 0x51));
	EXPECT_TRUE(EVENTUALLY(!client_info(self->fd).quarantined_pages));
	close(ends[0]);
	close(ends[1]);
	self->base = MAP_FAILED;
}

/* By the event: who only looked from time to time would do so every quarter of a second by then. */
TEST_F(exported, release_ends_the_quarantine_at_once)
{
	int rounds = 10, soon = 0;

	ASSERT_EQ(0, client_free(self->fd, self->span, 16));
	for (int i = 0; i < rounds; i++) {
		double released;

		usleep(450000);
		released = now();
		close(self->dmabuf);
		while (client_info(self->fd).quarantined_pages)
			;
		soon += now() - released < 0.025;
		self->span = client_alloc(self->fd, 16);
		ASSERT_LE(0, self->span);
		self->dmabuf = export(self->fd, self->span, 8);
		ASSERT_LE(0, self->dmabuf);
		ASSERT_EQ(0, client_free(self->fd, self->span, 16));
	}
	TH_LOG("%d of %d at once", soon, rounds);
	EXPECT_LE(rounds / 2, soon);
}

TEST_F(exported, access_by_the_cpu_can_be_announced)
{
	static const uint64_t kinds[] = { DMA_BUF_SYNC_READ, DMA_BUF_SYNC_WRITE, DMA_BUF_SYNC_RW };

	for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++) {
		struct dma_buf_sync sync = { .flags = kinds[i] | DMA_BUF_SYNC_START };

		EXPECT_EQ(0, ioctl(self->dmabuf, DMA_BUF_IOCTL_SYNC, &sync));
		sync.flags = kinds[i] | DMA_BUF_SYNC_END;
		EXPECT_EQ(0, ioctl(self->dmabuf, DMA_BUF_IOCTL_SYNC, &sync));
	}
}

TEST_F(exported, query_tells_exported_pages)
{
	uint64_t nr_pages = 16;

	EXPECT_EQ(PAGESPAN_QUERY_OWNED, client_query(self->fd, self->span, &nr_pages));
	EXPECT_EQ(4, nr_pages);
	nr_pages = 16;
	EXPECT_EQ(PAGESPAN_QUERY_OWNED | PAGESPAN_QUERY_EXPORTED,
		  client_query(self->fd, self->span + 4, &nr_pages));
	EXPECT_EQ(8, nr_pages);
}

TEST_F(exported, freed_pages_are_quarantined_until_the_last_reference_goes)
{
	char *pages = map_dmabuf(self->dmabuf);
	uint64_t nr_pages = 8;

	ASSERT_NE(MAP_FAILED, pages);
	ASSERT_EQ(0, client_free(self->fd, self->span, 16));
	EXPECT_EQ(8, client_info(self->fd).quarantined_pages);
	EXPECT_EQ(PAGESPAN_QUERY_QUARANTINED | PAGESPAN_QUERY_EXPORTED,
		  client_query(self->fd, self->span + 4, &nr_pages));
	EXPECT_EQ(SIGBUS, touch(self->base + (self->span + 4) * PAGE, -1));

	/* The mapping alone keeps them, with what they hold. */
	close(self->dmabuf);
	usleep(300000);
	EXPECT_EQ(8, client_info(self->fd).quarantined_pages);
	EXPECT_TRUE(pages_hold(pages, 8, 0x51));
	munmap(pages, 8 * PAGE);
	EXPECT_TRUE(EVENTUALLY(!client_info(self->fd).quarantined_pages));
}

TEST_F(exported, exported_pages_are_never_reassigned)
{
	static uint64_t firsts[PAGESPAN_MAX_COUNT];
	int other = client_open();
	char *pages = map_dmabuf(self->dmabuf);
	uint64_t taken = 0;
	long got;

	ASSERT_NE(MAP_FAILED, pages);
	ASSERT_EQ(0, client_free(self->fd, self->span, 16));
	while ((got = client_alloc_bulk(other, 1, PAGESPAN_MAX_COUNT, firsts, 0)) > 0)
		taken += got;
	EXPECT_EQ(self->nr_free - 8, taken);
	EXPECT_TRUE(pages_hold(pages, 8, 0x51));
	munmap(pages, 8 * PAGE);
	close(other);
}

TEST_F(exported, dmabuf_outlives_the_client)
{
	char *pages = map_dmabuf(self->dmabuf);
	int other = client_open();

	ASSERT_NE(MAP_FAILED, pages);
	munmap(self->base, self->nr_pages * PAGE);
	close(self->fd);
	EXPECT_EQ(self->nr_free - 8, client_info(other).free_pages);
	EXPECT_TRUE(pages_hold(pages, 8, 0x51));
	munmap(pages, 8 * PAGE);
	close(self->dmabuf);
	EXPECT_TRUE(EVENTUALLY(client_info(other).free_pages == self->nr_free));
	close(other);
}

TEST_F(exported, page_may_be_exported_twice)
{
	int second = export(self->fd, self->span, 16);
	uint64_t nr_pages = 1;

	ASSERT_LE(0, second);
	close(self->dmabuf);
	EXPECT_TRUE(EVENTUALLY(client_query(self->fd, self->span + 4, &nr_pages) ==
			       (PAGESPAN_QUERY_OWNED | PAGESPAN_QUERY_EXPORTED)));
	close(second);
	EXPECT_TRUE(EVENTUALLY(client_query(self->fd, self->span + 4, &nr_pages) ==
			       PAGESPAN_QUERY_OWNED));
}

/* Longer than what is looked at in one go. */
TEST_F(exported, export_that_is_refused_at_its_end_holds_nothing)
{
	long span = client_alloc(self->fd, 2000);

	ASSERT_LE(0, span);
	ASSERT_EQ(0, client_free(self->fd, span + 1999, 1));
	EXPECT_EQ(-EINVAL, export(self->fd, span, 2000));
	ASSERT_EQ(0, client_free(self->fd, span, 1999));
	EXPECT_TRUE(EVENTUALLY(!client_info(self->fd).quarantined_pages));
}

TEST_F(exported, export_without_a_descriptor_left_is_emfile_and_holds_nothing)
{
	struct rlimit before, none;

	ASSERT_EQ(0, getrlimit(RLIMIT_NOFILE, &before));
	none = before;
	none.rlim_cur = 0;
	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &none));
	EXPECT_EQ(-EMFILE, export(self->fd, self->span, 4));
	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &before));

	ASSERT_EQ(0, client_free(self->fd, self->span, 4));
	EXPECT_TRUE(EVENTUALLY(!client_info(self->fd).quarantined_pages));
}

/* ---- exported to be read -------------------------------------------------- */

TEST_F(reader, export_to_be_read_is_written_by_no_process)
{
	EXPECT_EQ(O_RDONLY, fcntl(self->dmabuf, F_GETFL) & O_ACCMODE);
	EXPECT_TRUE(is_for_reading(self->dmabuf, 0x55));
}

TEST_F(reader, descriptor_cannot_be_opened_anew_for_writing)
{
	char name[32];

	snprintf(name, sizeof(name), "/proc/self/fd/%d", self->dmabuf);
	EXPECT_EQ(-1, open(name, O_RDWR | O_CLOEXEC));
	EXPECT_EQ(0, fcntl(self->dmabuf, F_SETFL, O_RDWR));
	EXPECT_TRUE(is_for_reading(self->dmabuf, 0x55));
}

TEST_F(reader, owner_still_writes_and_the_reader_sees_it)
{
	char *pages = map_as(self->dmabuf, PROT_READ);

	ASSERT_NE(MAP_FAILED, pages);
	self->own[3 * PAGE] = 0x56;
	EXPECT_EQ(0x56, pages[3 * PAGE]);
	munmap(pages, 8 * PAGE);
}

TEST_F(reader, kernel_reads_through_it_and_does_not_write)
{
	struct iovec one = { .iov_len = PAGE };
	char *pages = map_as(self->dmabuf, PROT_READ);
	static char data[PAGE];
	int ends[2];

	ASSERT_NE(MAP_FAILED, pages);
	one.iov_base = pages;
	ASSERT_EQ(0, pipe(ends));
	ASSERT_EQ(PAGE, vmsplice(ends[1], &one, 1, 0));
	ASSERT_EQ(PAGE, read(ends[0], data, PAGE));
	EXPECT_TRUE(pages_hold(data, 1, 0x55));
	ASSERT_EQ(PAGE, write(ends[1], self->own, PAGE));
	EXPECT_EQ(-1, read(ends[0], pages, PAGE));
	EXPECT_EQ(EFAULT, errno);
	munmap(pages, 8 * PAGE);
	close(ends[0]);
	close(ends[1]);
}

TEST_HARNESS_MAIN
