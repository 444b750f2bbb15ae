// SPDX-License-Identifier: GPL-2.0-only
/* Checks that a client cannot own more pages than its quota, the argument. Run by module.sh. */
#include <stdio.h>

#include "pagespan_test.h"

static int expect(bool holds, const char *what)
{
	if (!holds)
		printf("# %s\n", what);
	return !holds;
}

int main(int argc, char **argv)
{
	long quota = argc == 2 ? atol(argv[1]) : 0;
	int fd = client_open(), other = client_open();
	static uint64_t firsts[PAGESPAN_MAX_COUNT];
	int failed = 0;
	char *window;
	long first;

	if (quota < 4 || fd < 0 || other < 0)
		return 2;
	failed |= expect(client_info(fd).quota_pages == (uint64_t)quota, "the quota is told");
	failed |= expect(client_alloc(fd, quota + 1) == -EDQUOT, "more at once is refused");
	first = client_alloc(fd, quota - 1);
	failed |= expect(first >= 0, "less is allowed");
	failed |= expect(client_alloc(fd, 2) == -EDQUOT, "more in pieces is refused");
	failed |= expect(client_alloc_at(fd, first + quota, 2) == -EDQUOT, "and at an address");
	failed |= expect(client_alloc_bulk(fd, 1, 4, firsts, 0) == 1, "bulk gives what is left");
	failed |= expect(client_alloc_one(fd, NULL, 0) == -EDQUOT, "one more is refused");
	window = client_window(fd);
	failed |= expect(window != MAP_FAILED && !touch(window + first * PAGE, 1), "it is mapped");
	munmap(window, client_info(fd).nr_pages * PAGE);
	failed |= expect(client_alloc_one(fd, NULL, 0) == -EDQUOT, "unmapping gives nothing back");
	failed |= expect(client_alloc_bulk(fd, 1, 4, firsts, 0) == -EDQUOT, "and in bulk");
	failed |= expect(!client_free(fd, first, quota - 1), "all but one are freed");
	failed |= expect(client_alloc_bulk(fd, 1, PAGESPAN_MAX_COUNT, firsts, 0) == quota - 1,
			 "bulk gives the whole quota");
	failed |= expect(client_info(fd).owned_pages == (uint64_t)quota, "and is charged for it");
	first = firsts[0];
	failed |= expect(client_alloc(other, quota) >= 0, "another client has its own");
	failed |= expect(!client_free(fd, first, 1), "a page is freed");
	failed |= expect(client_alloc_one(fd, NULL, 0) >= 0, "and can be had again");
	return failed;
}
