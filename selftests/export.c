// SPDX-License-Identifier: GPL-2.0-only
/* Exported pages: seen through the dma-buf, and kept from everybody else until it is released. */
#include <sys/resource.h>

#include "../kselftest_harness.h"
#include "importer.h"
#include "pagespan_test.h"

FIXTURE(exported)
{
	int fd, dmabuf;
	uint64_t nr_pages;
	char *base;
	long span;
};

static int export(int fd, uint64_t first, uint64_t nr_pages)
{
	struct pagespan_export export = {
		.size = sizeof(export),
		.flags = O_CLOEXEC,
		.first = first,
		.nr_pages = nr_pages,
	};

	return client_ioctl(fd, PAGESPAN_EXPORT, &export);
}

FIXTURE_SETUP(exported)
{
	self->fd = client_open();
	ASSERT_LE(0, self->fd);
	self->nr_pages = client_info(self->fd).nr_pages;
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
	EXPECT_TRUE(EVENTUALLY(client_info(self->fd).free_pages == self->nr_pages));
	close(self->fd);
}

static char *map_dmabuf(int dmabuf)
{
	return mmap(NULL, 8 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, dmabuf, 0);
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
	EXPECT_EQ(self->nr_pages - 8, taken);
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
	EXPECT_EQ(self->nr_pages - 8, client_info(other).free_pages);
	EXPECT_TRUE(pages_hold(pages, 8, 0x51));
	munmap(pages, 8 * PAGE);
	close(self->dmabuf);
	EXPECT_TRUE(EVENTUALLY(client_info(other).free_pages == self->nr_pages));
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

/* ---- imported by a driver ------------------------------------------------ */

FIXTURE(imported)
{
	int fd, vgem;
	uint64_t nr_pages;
	char *base;
	long span;
	uint32_t handle;
};

/* The driver alone holds the dma-buf then. */
FIXTURE_SETUP(imported)
{
	int dmabuf;

	self->vgem = vgem_open();
	self->fd = client_open();
	ASSERT_LE(0, self->fd);
	self->nr_pages = client_info(self->fd).nr_pages;
	self->base = client_window(self->fd);
	ASSERT_NE(MAP_FAILED, self->base);
	self->span = client_alloc(self->fd, 8);
	ASSERT_LE(0, self->span);
	memset(self->base + self->span * PAGE, 0x53, 8 * PAGE);
	if (self->vgem < 0)
		return;
	dmabuf = export(self->fd, self->span, 8);
	ASSERT_LE(0, dmabuf);
	ASSERT_EQ(0, vgem_import(self->vgem, dmabuf, &self->handle));
	close(dmabuf);
}

FIXTURE_TEARDOWN(imported)
{
	close(self->vgem);
	munmap(self->base, self->nr_pages * PAGE);
	close(self->fd);
	self->fd = client_open();
	EXPECT_TRUE(EVENTUALLY(client_info(self->fd).free_pages == self->nr_pages));
	close(self->fd);
}

TEST_F(imported, pages_freed_while_a_driver_has_them_are_quarantined_until_it_lets_go)
{
	struct drm_gem_close gem_close = { .handle = self->handle };
	int other = client_open();

	if (self->vgem < 0)
		SKIP(return, VGEM_MISSING);
	ASSERT_EQ(0, client_free(self->fd, self->span, 8));
	EXPECT_EQ(8, client_info(self->fd).quarantined_pages);
	EXPECT_EQ(-EBUSY, client_alloc_at(other, self->span, 1));
	usleep(300000);
	EXPECT_EQ(8, client_info(self->fd).quarantined_pages);
	ASSERT_EQ(0, ioctl(self->vgem, DRM_IOCTL_GEM_CLOSE, &gem_close));
	EXPECT_TRUE(EVENTUALLY(!client_info(self->fd).quarantined_pages));
	EXPECT_EQ(0, client_alloc_at(other, self->span, 8));
	close(other);
}

TEST_F(imported, driver_that_dies_with_its_file_lets_go)
{
	if (self->vgem < 0)
		SKIP(return, VGEM_MISSING);
	ASSERT_EQ(0, client_free(self->fd, self->span, 8));
	EXPECT_EQ(8, client_info(self->fd).quarantined_pages);
	close(self->vgem);
	EXPECT_TRUE(EVENTUALLY(!client_info(self->fd).quarantined_pages));
}

TEST_F(imported, pages_are_seen_through_the_driver)
{
	struct drm_prime_handle prime = { .handle = self->handle, .flags = O_RDWR };
	char *pages;

	if (self->vgem < 0)
		SKIP(return, VGEM_MISSING);
	ASSERT_EQ(0, ioctl(self->vgem, DRM_IOCTL_PRIME_HANDLE_TO_FD, &prime));
	pages = map_dmabuf(prime.fd);
	ASSERT_NE(MAP_FAILED, pages);
	EXPECT_TRUE(pages_hold(pages, 8, 0x53));
	pages[5 * PAGE] = 0x54;
	EXPECT_EQ(0x54, self->base[(self->span + 5) * PAGE]);
	munmap(pages, 8 * PAGE);
	close(prime.fd);
}

TEST_HARNESS_MAIN
