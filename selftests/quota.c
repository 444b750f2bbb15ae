// SPDX-License-Identifier: GPL-2.0-only
/* Checks that a client cannot own more pages than its quota, the argument. Run by module.sh. */
#define _GNU_SOURCE
#include <stdio.h>
#include <sys/uio.h>

#include "pagespan_test.h"

/* Whether a client that owns nothing is charged for nothing. */
static bool all_can_be_had(int fd, long quota)
{
	long first = client_alloc(fd, quota);

	return first >= 0 && !client_free(fd, first, quota);
}

static long alloc_into_nothing(int fd)
{
	return client_alloc_bulk(fd, 1, 8, (uint64_t *)PAGE, 0);
}

static long alloc_when_the_pool_is_empty(int fd, long quota)
{
	static uint64_t firsts[PAGESPAN_MAX_COUNT];
	int others[64];
	int nr = 0;
	long ret;

	while (nr < 64 && client_info(fd).free_pages) {
		others[nr] = client_open();
		client_alloc_bulk(others[nr++], 1, quota, firsts, 0);
	}
	ret = client_alloc(fd, 2);
	if (ret == -ENOMEM && client_alloc_bulk(fd, 1, 8, firsts, 0) != -ENOMEM)
		ret = 0;
	while (nr)
		close(others[--nr]);
	return ret;
}

/* A page that a pipe holds is freed: what is left of the quota. */
static long alloc_beside_a_pinned_page(int fd, long quota)
{
	long first = client_alloc(fd, 1), more;
	struct iovec iov = { .iov_len = PAGE };
	char *window = client_window(fd);
	int ends[2];

	if (first < 0 || window == MAP_FAILED || pipe(ends))
		return -EIO;
	iov.iov_base = window + first * PAGE;
	window[first * PAGE] = 1;
	if (vmsplice(ends[1], &iov, 1, 0) != PAGE || client_free(fd, first, 1))
		return -EIO;
	munmap(window, client_info(fd).nr_pages * PAGE);
	first = client_alloc(fd, quota);
	more = client_alloc(fd, quota - 1);
	if (more >= 0)
		client_free(fd, more, quota - 1);
	close(ends[0]);
	close(ends[1]);
	return more < 0 ? more : first;
}

int main(int argc, char **argv)
{
	long quota = argc == 2 ? atol(argv[1]) : 0;
	int fd = client_open(), other = client_open();
	static uint64_t firsts[PAGESPAN_MAX_COUNT];
	struct pagespan_pressure told;
	int failed = 0;
	char *window;
	long first;

	if (quota < 4 || fd < 0 || other < 0)
		return 2;
	failed |= expect(client_info(fd).quota_pages == (uint64_t)quota, "the quota is told");
	failed |= expect(client_alloc(fd, quota + 1) == -EDQUOT, "more at once is refused");
	failed |= expect(alloc_into_nothing(fd) == -EFAULT && all_can_be_had(fd, quota),
			 "what is undone is not charged");
	failed |= expect(alloc_when_the_pool_is_empty(fd, quota) == -ENOMEM &&
			 EVENTUALLY(all_can_be_had(fd, quota)), "nor what the pool refuses");
	first = client_alloc(other, 1);
	failed |= expect(client_alloc_at(fd, first, 2) == -EBUSY && all_can_be_had(fd, quota),
			 "nor what is refused at an address");
	client_free(other, first, 1);
	failed |= expect(alloc_beside_a_pinned_page(fd, quota) == -EDQUOT,
			 "a quarantined page is charged");
	failed |= expect(EVENTUALLY(all_can_be_had(fd, quota)), "until it leaves");
	first = client_alloc(other, 1);
	client_pressure(other, 0, &told);
	failed |= expect(client_alloc(fd, quota + 1) == -EDQUOT &&
			 !client_pressure(other, 0, &told) && !told.asked,
			 "nobody is asked for what a quota refuses");
	client_free(other, first, 1);
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
