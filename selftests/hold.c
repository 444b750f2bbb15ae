// SPDX-License-Identifier: GPL-2.0-only
/* Owns and touches as many pages as its argument says, tells where, until its input ends. */
#include <stdio.h>

#include "pagespan_test.h"

int main(int argc, char **argv)
{
	long nr_pages = argc == 2 ? atol(argv[1]) : 1;
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
	printf("%ld\n", first);
	fflush(stdout);
	return getchar() == EOF ? 0 : 1;
}
