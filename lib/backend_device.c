// SPDX-License-Identifier: MIT
/*
 * The device backend: this process is one client of /dev/pagespan, with one
 * window over the whole pool.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/pagespan.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "backend.h"
#include "pagespan.h"

static int device = -1;

static int device_open(struct window *window)
{
	struct pagespan_info info = {.size = sizeof(info)};
	void *base;
	int error;
	int fd = open("/dev/pagespan", O_RDWR | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	if (ioctl(fd, PAGESPAN_INFO, &info) < 0)
		goto fail;
	base = mmap(NULL, info.nr_pages * PS_PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (base == MAP_FAILED)
		goto fail;
	device = fd;
	*window = (struct window){.base = base, .nr_pages = info.nr_pages};
	return 0;

fail:
	error = errno;
	close(fd);
	return -error;
}

static int64_t device_alloc(uint32_t nr_pages)
{
	uint64_t first;
	struct pagespan_alloc alloc = {
		.size = sizeof(alloc),
		.nr_pages = nr_pages,
		.align_pages = 1,
		.count = 1,
		.spans = (uintptr_t)&first,
	};

	if (ioctl(device, PAGESPAN_ALLOC, &alloc) < 0)
		return -errno;
	return (int64_t)first;
}

static int device_free(uint64_t first, uint64_t nr_pages)
{
	struct pagespan_range range = {.first = first, .nr_pages = nr_pages};
	struct pagespan_free request = {
		.size = sizeof(request),
		.count = 1,
		.ranges = (uintptr_t)&range,
	};

	return ioctl(device, PAGESPAN_FREE, &request) < 0 ? -errno : 0;
}

/* The window is not inherited; the descriptor would keep a dead parent's pages. */
static void device_forget(void)
{
	close(device);
	device = -1;
}

const struct backend backend_device = {
	.name = "device",
	.open = device_open,
	.alloc = device_alloc,
	.free = device_free,
	.forget = device_forget,
};
