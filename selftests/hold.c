// SPDX-License-Identifier: GPL-2.0-only
/*
 * Owns and touches as many pages as its argument says, tells where, until its
 * input ends. With a second argument it frees that many of them at once, which
 * the kernel goes on holding for a pipe.
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <sys/uio.h>

#include "pagespan_test.h"

static bool free_pinned(int fd, char *window, long first, long nr_pages)
{
	struct iovec pages = {
		.iov_base = window + first * PAGE,
		.iov_len = nr_pages * PAGE,
	};
	int ends[2];

	return !pipe(ends) && vmsplice(ends[1], &pages, 1, 0) == (ssize_t)pages.iov_len &&
	       !client_free(fd, first, nr_pages);
}

int main(int argc, char **argv)
{
	long nr_pages = argc > 1 ? atol(argv[1]) : 1;
	long nr_pinned = argc > 2 ? atol(argv[2]) : 0;
	int fd = client_open();
	char *window;
	long first;

	if (fd < 0)
		return 1;
	window = client_window(fd);
	first = client_alloc(fd, nr_pages);
	if (window == MAP_FAILED || first < 0)
		return 1;
	memset(window + first * PAGE, 1, nr_pages * PAGE);
	if (nr_pinned && !free_pinned(fd, window, first, nr_pinned))
		return 1;
	printf("%ld\n", first);
	fflush(stdout);
	return getchar() == EOF ? 0 : 1;
}
