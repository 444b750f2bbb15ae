// SPDX-License-Identifier: MIT
/*
 * The inode tells what was opened, and a mark which opening of it: the signal of F_SETSIG, which
 * means nothing to a file without O_ASYNC.  A program that opens the device itself makes another
 * client, to which nothing of ours may go.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
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
	struct stat file;

	if (moved >= 0) {
		close(fd);
		fd = moved;
	}
	fcntl(fd, F_SETSIG, MARK);
	fstat(fd, &file);
	*descriptor = (struct descriptor){fd, file.st_dev, file.st_ino};
}

bool descriptor_is_ours(const struct descriptor *descriptor)
{
	struct stat file;

	return descriptor->fd >= 0 && !fstat(descriptor->fd, &file) &&
	       file.st_dev == descriptor->device && file.st_ino == descriptor->inode &&
	       fcntl(descriptor->fd, F_GETSIG) == MARK;
}

void descriptor_close(struct descriptor *descriptor)
{
	if (descriptor_is_ours(descriptor))
		close(descriptor->fd);
	descriptor->fd = -1;
}
