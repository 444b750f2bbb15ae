/* SPDX-License-Identifier: GPL-2.0-only */
/* Making pages poisoned, as if memory broke, and what the kernel says of them. For ever. */
#ifndef PAGESPAN_POISON_H
#define PAGESPAN_POISON_H

#include <linux/kernel-page-flags.h>
#include <stdio.h>
#include <sys/prctl.h>

#include "pagespan_test.h"

#ifndef MADV_HWPOISON
#define MADV_HWPOISON		100
#endif
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE	23
#endif
#ifndef MADV_SOFT_OFFLINE
#define MADV_SOFT_OFFLINE	101
#endif

/* Physical address of an owned page, or 0. */
static inline uint64_t phys_of(int fd, uint64_t index)
{
	struct pagespan_phys phys = { .size = sizeof(phys), .index = index };

	return client_ioctl(fd, PAGESPAN_PHYS, &phys) ? 0 : phys.address;
}

/* Has the kernel offline a page: kind is "hard" or "soft". 0 or -errno. */
static inline int offline_page(const char *kind, uint64_t address)
{
	char path[64], text[32];
	int file, ret = 0;

	snprintf(path, sizeof(path), "/sys/devices/system/memory/%s_offline_page", kind);
	snprintf(text, sizeof(text), "%#llx", (unsigned long long)address);
	file = open(path, O_WRONLY);
	if (file < 0 || write(file, text, strlen(text)) < 0)
		ret = -errno;
	close(file);
	return ret;
}

/* KPF_* of a page. */
static inline uint64_t page_flags(uint64_t address)
{
	int file = open("/proc/kpageflags", O_RDONLY);
	uint64_t flags = 0;

	if (pread(file, &flags, sizeof(flags), address / PAGE * sizeof(flags)) != sizeof(flags))
		abort();
	close(file);
	return flags;
}

/* A figure of the pool in sysfs. */
static inline long pool_figure(const char *name)
{
	char path[96];
	long figure;
	FILE *file;

	snprintf(path, sizeof(path), "/sys/class/misc/pagespan/%s", name);
	file = fopen(path, "r");
	if (!file || fscanf(file, "%ld", &figure) != 1)
		abort();
	fclose(file);
	return figure;
}

/* Takes every free page of the pool, one by one, and touches it if there is a window. */
static inline uint64_t take_all(int fd, char *window)
{
	static uint64_t firsts[PAGESPAN_MAX_COUNT];
	uint64_t taken = 0;
	long got;

	while ((got = client_alloc_bulk(fd, 1, PAGESPAN_MAX_COUNT, firsts, 0)) > 0) {
		for (long i = 0; i < got && window; i++)
			window[firsts[i] * PAGE] = 1;
		taken += got;
	}
	return taken;
}

#endif
