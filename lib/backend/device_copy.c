// SPDX-License-Identifier: MIT
/*
 * A fork whose child goes on with the parent's spans.  The module has made the child a client of its
 * own, which sees what the parent had, where the parent had it; all that is left is to talk to
 * that one, and not to the parent's.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/pagespan.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "device_state.h"

/* A module that does not know it has windows that no child inherits. */
bool device_can_copy(void)
{
	return device_command(PAGESPAN_ADOPT, NULL) < 0 && errno == EINVAL;
}

void device_copy_prepare(void)
{
	pthread_rwlock_wrlock(&device_state.change);
}

void device_copy_parent(void)
{
	pthread_rwlock_unlock(&device_state.change);
}

/* In an address space of its own, where no free of the parent's looks for entries. */
static bool map_anew(char *base)
{
	return !base || device_map(base, 0, device_window_bytes(), MAP_FIXED) != MAP_FAILED;
}

bool device_copy_child(struct window *window)
{
	int fd = ioctl(device_state.file.fd, PAGESPAN_ADOPT, (uintptr_t)device_state.base);

	device_state.change = (pthread_rwlock_t)PTHREAD_RWLOCK_WRITER_NONRECURSIVE_INITIALIZER_NP;
	if (fd < 0)
		return false;
	/* The parent's would keep what it frees. */
	descriptor_close(&device_state.file);
	descriptor_keep(&device_state.file, fd);
	window->fd = device_state.file.fd;
	device_state.answered = 0;
	device_state.remaps = 0;
	return map_anew(window->base) && map_anew(window->export_base);
}
