// SPDX-License-Identifier: GPL-2.0-only
/*
 * Checks that freed pages are cleared at once where the module was loaded with
 * zero_on_free=: what a client gets back of its own holds nothing. Run by module.sh.
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <sys/uio.h>

#include "pagespan_test.h"

#define SPAN	1024

static int fd;
static char *window;

/* Whether pages that are written, freed in a way and had again hold nothing. */
static bool come_back_cleared(uint64_t first, uint32_t nr_pages,
			      bool (*release)(uint64_t, uint32_t))
{
	if (client_alloc_at(fd, first, nr_pages))
		return false;
	memset(window + first * PAGE, 0x55, nr_pages * PAGE);
	return release(first, nr_pages) && !client_alloc_at(fd, first, nr_pages) &&
	       pages_hold(window + first * PAGE, nr_pages, 0) && !client_free(fd, first, nr_pages);
}

static bool as_a_whole(uint64_t first, uint32_t nr_pages)
{
	return !client_free(fd, first, nr_pages);
}

static bool page_by_page(uint64_t first, uint32_t nr_pages)
{
	for (uint32_t i = 0; i < nr_pages; i++)
		if (client_free_one(fd, first + i))
			return false;
	return true;
}

static bool every_other_page_together(uint64_t first, uint32_t nr_pages)
{
	struct pagespan_range ranges[2][PAGESPAN_MAX_COUNT / 2];

	for (uint32_t i = 0; i < nr_pages; i++)
		ranges[i % 2][i / 2] = (struct pagespan_range){ first + i, 1 };
	return client_free_ranges(fd, ranges[0], nr_pages / 2) == nr_pages / 2 &&
	       client_free_ranges(fd, ranges[1], nr_pages / 2) == nr_pages / 2;
}

/* What a pipe holds is left as it is, and cleared once the pipe is gone. */
static bool when_a_pipe_lets_go(uint64_t first, uint32_t nr_pages)
{
	struct iovec iov = { window + first * PAGE, PAGE };
	char copy[PAGE];
	int ends[2];

	if (pipe(ends) || vmsplice(ends[1], &iov, 1, 0) != PAGE || client_free(fd, first, nr_pages))
		return false;
	if (read(ends[0], copy, PAGE) != PAGE || !pages_hold(copy, 1, 0x55))
		return false;
	close(ends[0]);
	close(ends[1]);
	return EVENTUALLY(!client_info(fd).quarantined_pages);
}

/* What the last client wrote is gone for the next one too, though it clears nothing any more. */
static bool by_closing(uint64_t first, uint32_t nr_pages)
{
	munmap(window, client_info(fd).nr_pages * PAGE);
	close(fd);
	fd = client_open();
	window = client_window(fd);
	return window != MAP_FAILED;
}

int main(void)
{
	int failed = 0;

	fd = client_open();
	window = fd < 0 ? MAP_FAILED : client_window(fd);
	if (window == MAP_FAILED)
		return 2;
	failed |= expect(come_back_cleared(0, SPAN, as_a_whole), "a span");
	failed |= expect(come_back_cleared(SPAN, 1, as_a_whole), "a page");
	failed |= expect(come_back_cleared(SPAN + 3, 16, page_by_page), "single pages");
	failed |= expect(come_back_cleared(SPAN, 600, every_other_page_together), "several ranges");
	failed |= expect(come_back_cleared(7, 8, when_a_pipe_lets_go), "a pinned page");
	failed |= expect(come_back_cleared(0, SPAN, by_closing), "a closed client");
	return failed;
}
