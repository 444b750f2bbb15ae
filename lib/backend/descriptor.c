// SPDX-License-Identifier: MIT
/*
 * A mark tells whether a number still stands for what was opened: the signal of F_SETSIG, the last
 * there is, which means nothing to a file without O_ASYNC and which no file has by itself.  It
 * belongs to the opening, not to the inode: a program that opens the device itself makes another
 * client, to which nothing of ours may go.  One call to the kernel, for every call looks at it.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include "descriptor.h"

#define MARK (_NSIG - 1)

/* Above what programs have open and loops close; the kernel's table of a process grows to it. */
#define LOWEST 512

/* Half of what the process may have is for itself. */
static int lowest_number(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) || limit.rlim_cur / 2 > LOWEST)
		return LOWEST;
	return (int)(limit.rlim_cur / 2);
}

void descriptor_keep(struct descriptor *descriptor, int fd)
{
	int moved = fcntl(fd, F_DUPFD_CLOEXEC, lowest_number());

	if (moved >= 0) {
		close(fd);
		fd = moved;
	}
	fcntl(fd, F_SETSIG, MARK);
	descriptor->fd = fd;
}

bool descriptor_is_ours(const struct descriptor *descriptor)
{
	return descriptor->fd >= 0 && fcntl(descriptor->fd, F_GETSIG) == MARK;
}

void descriptor_close(struct descriptor *descriptor)
{
	if (descriptor_is_ours(descriptor))
		close(descriptor->fd);
	descriptor->fd = -1;
}
