// SPDX-License-Identifier: MIT
/*
 * A fork whose child gets a copy of what is owned, on the memory backend.  The parent waits, for
 * it is its pages that are copied.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "device_state.h"

void device_open_spare(void)
{
	int i, fd;

	for (i = 0; i < 2; i++) {
		if (descriptor_is_ours(&device_state.spare[i]) ||
		    !descriptor_is_ours(&device_state.file))
			continue;
		fd = fcntl(device_state.file.fd, F_DUPFD_CLOEXEC, 0);
		if (fd >= 0)
			descriptor_keep(&device_state.spare[i], fd);
	}
}

void device_close_spare(void)
{
	descriptor_close(&device_state.spare[0]);
	descriptor_close(&device_state.spare[1]);
}

void device_copy_prepare(void)
{
	pthread_rwlock_wrlock(&device_state.change);
	if (!pipe2(device_state.copied, O_CLOEXEC))
		return;
	device_close_spare();
	if (pipe2(device_state.copied, O_CLOEXEC))
		device_state.copied[0] = -1;
}

/* Until the child has closed its end, by being done or by being dead. */
void device_copy_parent(void)
{
	char nothing;

	if (device_state.copied[0] >= 0) {
		close(device_state.copied[1]);
		while (read(device_state.copied[0], &nothing, 1) < 0 && errno == EINTR)
			;
		close(device_state.copied[0]);
	}
	device_open_spare();
	pthread_rwlock_unlock(&device_state.change);
}

/* Copies what is owned into the new window; what is not becomes free there. */
static bool copy_owned(const struct window *window, const char *from)
{
	uint64_t index, run;

	for (index = 0; index < window->nr_pages; index += run) {
		run = window->nr_pages - index;
		if (device_owned(index, &run)) {
			memcpy(window->base + index * PS_PAGE_SIZE, from + index * PS_PAGE_SIZE,
			       run * PS_PAGE_SIZE);
		} else {
			struct range gap = {index, run};

			if (backend_memory.free(&gap, 1) != 1)
				return false;
		}
	}
	return true;
}

/*
 * Through the inherited descriptor the child is the same client, and sees what the
 * parent, which waits, sees.  The new window comes first, lest the kernel puts that of
 * the parent where it has to be.
 */
static bool copy_window(const struct window *window)
{
	bool copied;
	char *from;

	if (mmap(window->base, device_window_bytes(), PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1,
		 0) != window->base)
		return false;
	from = device_map(NULL, 0, device_window_bytes(), 0);
	if (from == MAP_FAILED)
		return false;
	copied = !backend_memory_adopt(window) && copy_owned(window, from);
	munmap(from, device_window_bytes());
	return copied;
}

bool device_copy_owned(const struct window *window)
{
	return device_state.copied[0] >= 0 && copy_window(window);
}

void device_copy_done(void)
{
	close(device_state.copied[1]);
	close(device_state.copied[0]);
}
