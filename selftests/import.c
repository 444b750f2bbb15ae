// SPDX-License-Identifier: GPL-2.0-only
/* Exported pages as drivers have them: what they are given, and that the pages wait for them. */
#define _GNU_SOURCE
#include <linux/dma-buf.h>

#include "harness.h"
#include "exported.h"
#include "importer.h"
#include "reader.h"

FIXTURE(imported)
{
	int fd, vgem;
	uint64_t nr_pages, nr_free;
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
	self->nr_free = client_info(self->fd).free_pages;
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
	EXPECT_TRUE(EVENTUALLY(client_info(self->fd).free_pages == self->nr_free));
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

/* ---- exported to be read -------------------------------------------------- */

/* Of a device that takes everything. */
static struct importer_list any_list(int dmabuf)
{
	return (struct importer_list){
		.fd = dmabuf,
		.max_segment = UINT32_MAX,
		.max_mapping = UINT32_MAX,
		.boundary = UINT32_MAX,
	};
}

static int ask(int importer, struct importer_list *list)
{
	return ioctl(importer, IMPORTER_IMPORT, list) ? -errno : 0;
}

/*
 * Whether a graphics driver lets a process write. It is refused at once; or by a later
 * kernel, which asks only when the pages are used, the process cannot map what was imported.
 */
static bool vgem_writes(int vgem, int dmabuf)
{
	struct drm_mode_map_dumb map = { 0 };
	char *pages;

	if (vgem_import(vgem, dmabuf, &map.handle) == -EACCES)
		return false;
	if (ioctl(vgem, DRM_IOCTL_MODE_MAP_DUMB, &map))
		return errno != EINVAL;
	pages = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, vgem, map.offset);
	return pages != MAP_FAILED || errno != EACCES;
}

TEST_F(reader, graphics_driver_that_wants_to_write_is_refused)
{
	int vgem = vgem_open();

	if (vgem < 0)
		SKIP(return, VGEM_MISSING);
	EXPECT_FALSE(vgem_writes(vgem, self->dmabuf));
	close(vgem);
}

static int import_as(int importer, int dmabuf, uint32_t direction)
{
	struct importer_list list = any_list(dmabuf);

	list.direction = direction;
	return ask(importer, &list);
}

TEST_F(reader, driver_that_forwards_its_mapping_gives_no_more)
{
	int importer = importer_open();

	if (importer < 0)
		SKIP(return, IMPORTER_MISSING);
	ASSERT_EQ(0, import_as(importer, self->dmabuf, IMPORTER_NONE));
	EXPECT_TRUE(is_for_reading(importer, 0x55));
	close(importer);
}

TEST_F(reader, device_may_read_and_nothing_else)
{
	int importer = importer_open();

	if (importer < 0)
		SKIP(return, IMPORTER_MISSING);
	EXPECT_EQ(-EACCES, import_as(importer, self->dmabuf, IMPORTER_BOTH));
	EXPECT_EQ(-EACCES, import_as(importer, self->dmabuf, IMPORTER_FROM_DEVICE));
	EXPECT_EQ(0, import_as(importer, self->dmabuf, IMPORTER_TO_DEVICE));
	EXPECT_EQ(-1, ioctl(importer, IMPORTER_ADDRESS));
	EXPECT_EQ(EINVAL, errno);
	close(importer);
}

/* ---- imported by a driver made for tests ----------------------------------- */

FIXTURE(listed)
{
	int fd, importer, dmabuf;
	char *window;
	uint64_t nr_pages, bytes;
	long span;
};

/* As long a span as there may be. */
FIXTURE_SETUP(listed)
{
	struct pagespan_info info;

	self->importer = importer_open();
	self->fd = client_open();
	ASSERT_LE(0, self->fd);
	info = client_info(self->fd);
	self->nr_pages = info.longest_run;
	if (self->nr_pages > PAGESPAN_MAX_PAGES)
		self->nr_pages = PAGESPAN_MAX_PAGES;
	self->bytes = self->nr_pages * PAGE;
	self->span = client_alloc(self->fd, self->nr_pages);
	ASSERT_LE(0, self->span);
	self->window = client_window(self->fd);
	ASSERT_NE(MAP_FAILED, self->window);
	self->dmabuf = export(self->fd, self->span, self->nr_pages);
	ASSERT_LE(0, self->dmabuf);
}

FIXTURE_TEARDOWN(listed)
{
	close(self->importer);
	close(self->dmabuf);
	close(self->fd);
}

TEST_F(listed, segments_are_as_long_as_the_device_takes_them)
{
	/* 64 KiB is what a device takes that says nothing; a part of a page goes to waste. */
	static const uint32_t most[] = { 4096, 4097, 65536, 2 << 20, 3 * 4096, UINT32_MAX };

	if (self->importer < 0)
		SKIP(return, IMPORTER_MISSING);
	for (size_t i = 0; i < sizeof(most) / sizeof(*most); i++) {
		struct importer_list list = any_list(self->dmabuf);
		uint64_t segment = most[i] & -PAGE;

		list.max_segment = most[i];
		ASSERT_EQ(0, ask(self->importer, &list));
		EXPECT_EQ(self->bytes, list.bytes);
		EXPECT_GE(segment, list.longest);
		EXPECT_GE((self->bytes + segment - 1) / segment + 1, list.nr_segments);
		EXPECT_EQ(0, list.nr_crossing);
	}
}

TEST_F(listed, segments_cross_no_boundary_of_the_device)
{
	static const uint32_t boundaries[] = { 4095, 65535, (1 << 20) - 1, UINT32_MAX };

	if (self->importer < 0)
		SKIP(return, IMPORTER_MISSING);
	for (size_t i = 0; i < sizeof(boundaries) / sizeof(*boundaries); i++) {
		struct importer_list list = any_list(self->dmabuf);

		list.boundary = boundaries[i];
		ASSERT_EQ(0, ask(self->importer, &list));
		EXPECT_EQ(self->bytes, list.bytes);
		EXPECT_EQ(0, list.nr_crossing);
		EXPECT_GE(boundaries[i], list.longest - 1);
	}
}

TEST_F(listed, segments_are_no_longer_than_can_be_mapped_in_one)
{
	struct importer_list list = any_list(self->dmabuf);

	if (self->importer < 0)
		SKIP(return, IMPORTER_MISSING);
	list.max_mapping = 256 << 10;
	ASSERT_EQ(0, ask(self->importer, &list));
	if (ioctl(self->importer, IMPORTER_SYNCED, 0) < 0)
		SKIP(return, "this kernel lets no driver say what it can map");
	EXPECT_EQ(self->bytes, list.bytes);
	EXPECT_EQ(256 << 10, list.longest);
}

TEST_F(listed, device_that_cannot_take_a_page_is_refused)
{
	struct importer_list list = any_list(self->dmabuf);

	if (self->importer < 0)
		SKIP(return, IMPORTER_MISSING);
	list.max_segment = 2048;
	EXPECT_EQ(-EINVAL, ask(self->importer, &list));
}

/* The longest list there is: a segment for each page. */
TEST_F(listed, list_of_single_pages_is_made_in_no_time)
{
	double start = now(), exported, listed;
	struct importer_list list;
	int dmabuf;

	dmabuf = export(self->fd, self->span, self->nr_pages);
	ASSERT_LE(0, dmabuf);
	exported = now();
	if (self->importer < 0)
		SKIP(return, IMPORTER_MISSING);
	list = any_list(dmabuf);
	list.max_segment = 4096;
	ASSERT_EQ(0, ask(self->importer, &list));
	listed = now();
	EXPECT_EQ(self->nr_pages, list.nr_segments);
	EXPECT_EQ(4096, list.longest);
	close(dmabuf);
	TH_LOG("%llu pages: %.1f ms to export, %.1f ms to import",
	       (unsigned long long)self->nr_pages, (exported - start) * 1e3,
	       (listed - exported) * 1e3);
	EXPECT_GT(2, listed - start);
}

static int synced(int importer, int for_device)
{
	return ioctl(importer, IMPORTER_SYNCED, for_device);
}

TEST_F(listed, access_by_the_cpu_is_told_to_every_device_that_has_the_pages)
{
	struct dma_buf_sync sync = { .flags = DMA_BUF_SYNC_RW | DMA_BUF_SYNC_START };
	struct importer_list list = any_list(self->dmabuf);

	if (self->importer < 0)
		SKIP(return, IMPORTER_MISSING);
	ASSERT_EQ(0, ask(self->importer, &list));
	if (synced(self->importer, 0) < 0)
		SKIP(return, "this kernel lets no driver know");
	EXPECT_EQ(0, synced(self->importer, 0));
	ASSERT_EQ(0, ioctl(self->dmabuf, DMA_BUF_IOCTL_SYNC, &sync));
	EXPECT_EQ(1, synced(self->importer, 0));
	EXPECT_EQ(0, synced(self->importer, 1));
	sync.flags = DMA_BUF_SYNC_RW | DMA_BUF_SYNC_END;
	ASSERT_EQ(0, ioctl(self->dmabuf, DMA_BUF_IOCTL_SYNC, &sync));
	EXPECT_EQ(1, synced(self->importer, 0));
	EXPECT_EQ(1, synced(self->importer, 1));

	/* Not to one that has let go. */
	list.direction = IMPORTER_NONE;
	ASSERT_EQ(0, ask(self->importer, &list));
	ASSERT_EQ(0, ioctl(self->dmabuf, DMA_BUF_IOCTL_SYNC, &sync));
	EXPECT_EQ(0, synced(self->importer, 1));
}

TEST_F(listed, driver_that_may_write_has_the_address_and_forwards_its_mapping)
{
	struct importer_list list = any_list(self->dmabuf);
	char *pages;

	if (self->importer < 0)
		SKIP(return, IMPORTER_MISSING);
	self->window[self->span * PAGE] = 0x57;
	ASSERT_EQ(0, ask(self->importer, &list));
	EXPECT_EQ(0x57, ioctl(self->importer, IMPORTER_ADDRESS));
	EXPECT_TRUE(refused(self->importer, PROT_READ | PROT_EXEC));
	pages = map_dmabuf(self->importer);
	ASSERT_NE(MAP_FAILED, pages);
	EXPECT_FALSE(may_become(pages, PROT_READ | PROT_EXEC));
	EXPECT_EQ(0x57, pages[0]);
	pages[PAGE] = 0x58;
	EXPECT_EQ(0x58, self->window[(self->span + 1) * PAGE]);
	munmap(pages, 8 * PAGE);
}

TEST_HARNESS_MAIN
