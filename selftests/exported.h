/* SPDX-License-Identifier: GPL-2.0-only */
/* What the tests of exports share. */
#ifndef PAGESPAN_EXPORTED_H
#define PAGESPAN_EXPORTED_H

#include <time.h>

#include "pagespan_test.h"

/* Pages that a test exports and maps, but for where it says otherwise. */
#define EXPORTED	8

static inline int export_as(int fd, uint64_t first, uint64_t nr_pages, uint32_t flags)
{
	struct pagespan_export export = {
		.size = sizeof(export),
		.flags = O_CLOEXEC | flags,
		.first = first,
		.nr_pages = nr_pages,
	};

	return client_ioctl(fd, PAGESPAN_EXPORT, &export);
}

static inline int export(int fd, uint64_t first, uint64_t nr_pages)
{
	return export_as(fd, first, nr_pages, 0);
}

static inline double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec + time.tv_nsec / 1e9;
}

static inline char *map_as(int dmabuf, int protection)
{
	return mmap(NULL, EXPORTED * PAGE, protection, MAP_SHARED, dmabuf, 0);
}

static inline char *map_dmabuf(int dmabuf)
{
	return map_as(dmabuf, PROT_READ | PROT_WRITE);
}

/* Whether mapping pages so is refused. Later kernels do not even ask if it is to be executed. */
static inline bool refused(int fd, int protection)
{
	return map_as(fd, protection) == MAP_FAILED &&
	       (errno == EACCES || (errno == EPERM && protection & PROT_EXEC));
}

/* Whether a mapping can be made one so. */
static inline bool may_become(char *pages, int protection)
{
	return !mprotect(pages, EXPORTED * PAGE, protection) || errno != EACCES;
}

/* As a debugger does, by a way for which a mapping's protection is no obstacle. */
static inline bool debugger_can_write(char *byte)
{
	int fd = open("/proc/self/mem", O_RDWR | O_CLOEXEC);
	ssize_t written = pwrite(fd, "x", 1, (uintptr_t)byte);

	close(fd);
	return written == 1;
}

/* Whether a file's pages, which hold nothing but a byte, can be read when mapped, not written. */
static inline bool is_for_reading(int fd, char byte)
{
	char *pages = map_as(fd, PROT_READ);
	bool good;

	if (pages == MAP_FAILED)
		return false;
	good = pages_hold(pages, EXPORTED, byte) && touch(pages, 1) == SIGSEGV &&
	       !may_become(pages, PROT_READ | PROT_WRITE) &&
	       !may_become(pages, PROT_READ | PROT_EXEC) && !debugger_can_write(pages + PAGE) &&
	       pages_hold(pages, EXPORTED, byte);
	munmap(pages, EXPORTED * PAGE);
	return good && refused(fd, PROT_READ | PROT_WRITE) && refused(fd, PROT_WRITE) &&
	       refused(fd, PROT_READ | PROT_EXEC);
}

#endif
