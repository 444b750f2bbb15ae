// SPDX-License-Identifier: MIT
/* What goes to the device, and never to another file that has its number by now. */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/pagespan.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "device_state.h"

struct device_state device_state = {
	.file = {.fd = -1},
	.change = PTHREAD_RWLOCK_WRITER_NONRECURSIVE_INITIALIZER_NP,
};

int device_command(unsigned long number, void *argument)
{
	if (!descriptor_is_ours(&device_state.file)) {
		errno = ENODEV;
		return -1;
	}
	return ioctl(device_state.file.fd, number, argument);
}

void *device_map(char *at, uint64_t first, size_t bytes, int fixed)
{
	if (!descriptor_is_ours(&device_state.file)) {
		errno = ENODEV;
		return MAP_FAILED;
	}
	return mmap(at, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | fixed, device_state.file.fd,
		    (off_t)(first * PS_PAGE_SIZE));
}

bool device_owned(uint64_t first, uint64_t *nr_pages)
{
	struct pagespan_query query = {
		.size = sizeof(query),
		.first = first,
		.nr_pages = *nr_pages < PAGESPAN_MAX_PAGES ? *nr_pages : PAGESPAN_MAX_PAGES,
	};

	if (device_command(PAGESPAN_QUERY, &query) < 0)
		return false;
	*nr_pages = query.nr_pages;
	return query.state & PAGESPAN_QUERY_OWNED;
}
