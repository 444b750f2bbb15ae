// SPDX-License-Identifier: GPL-2.0-only
/*
 * Runs a command while it owns single pages here and there in the first half of each
 * run of free pages. So free runs of every length are in every piece of the pool, and
 * what the command allocates, of a length for which one fits best, is of all kinds
 * of pages that the pool has; what is long is had from the other halves.
 */
#include <stdio.h>

#include "pagespan_test.h"
#include "random.h"

#define PIECES	64
#define FARTHEST	700	/* from one page to the next: more than a megablock, now and then */

/* The runs of free pages: how many. */
static int find_runs(int fd, struct pagespan_range *runs)
{
	int nr = 0;

	for (uint64_t run; nr < PIECES && (run = client_info(fd).longest_run); nr++) {
		runs[nr].nr_pages = run < PAGESPAN_MAX_PAGES ? run : PAGESPAN_MAX_PAGES;
		runs[nr].first = client_alloc(fd, runs[nr].nr_pages);
	}
	client_free_all(fd);
	return nr;
}

int main(int argc, char **argv)
{
	struct pagespan_range runs[PIECES];
	uint64_t random = 1;
	int fd = client_open();
	int nr, status;
	pid_t pid;

	if (fd < 0 || argc < 2)
		return 2;
	nr = find_runs(fd, runs);
	for (int i = 0; i < nr; i++) {
		uint64_t page = runs[i].first, half = page + runs[i].nr_pages / 2;

		while ((page += 1 + random_below(&random, FARTHEST)) < half)
			if (client_alloc_at(fd, page, 1))
				return 1;
	}
	printf("# %llu pages of %d pieces are owned\n",
	       (unsigned long long)client_info(fd).owned_pages, nr);
	fflush(stdout);
	pid = fork();
	if (!pid) {
		execvp(argv[1], argv + 1);
		_exit(127);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return 1;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
