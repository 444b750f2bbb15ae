// SPDX-License-Identifier: MIT
/* Debug mode: what is said before the process aborts. */
#define _GNU_SOURCE
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "debug.h"
#include "process.h"

/* How many pages of the range come before the first that is not owned. */
static uint64_t owned_pages(const struct backend *backend, const struct range *range)
{
	uint64_t owned = 0;

	while (owned < range->nr_pages) {
		uint64_t run = range->nr_pages - owned;

		if (!backend->owned(range->first + owned, &run))
			break;
		owned += run;
	}
	return owned;
}

void debug_bad_free(const struct backend *backend, const char *ptr, const struct range *range)
{
	uint64_t owned;

	if (!process.config.debug)
		return;
	owned = owned_pages(backend, range);
	dprintf(STDERR_FILENO,
		"pagespan: debug: ps_span_free(%p, %" PRIu64 "): page %" PRIu64 " of %" PRIu64
		", at %p, is not allocated: it was freed before, or never allocated\n",
		(const void *)ptr, range->nr_pages * PS_PAGE_SIZE, owned + 1, range->nr_pages,
		(const void *)(ptr + owned * PS_PAGE_SIZE));
	abort();
}
