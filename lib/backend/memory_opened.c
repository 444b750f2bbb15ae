// SPDX-License-Identifier: MIT
/* How far the reservation of the memory backend is open. */
#define _GNU_SOURCE
#include <errno.h>

#include "memory_huge.h"
#include "memory_state.h"

/* Opened at a time: so much, or a part of what is open, for a change of a mapping is not for
 * nothing. */
#define OPEN_PAGES MEGABLOCK_PAGES
#define OPEN_SHARE 8

static bool open_more(uint64_t nr_pages)
{
	if (!memory_make_accessible(memory_state.opened, nr_pages))
		return false;
	span_map_free(&memory_state.map, memory_state.opened, nr_pages);
	memory_state.opened += nr_pages;
	return true;
}

/* Opens what a request of so many pages may need, or as much as there is; false if that is nothing.
 */
static bool open_for(uint64_t nr_pages)
{
	uint64_t left = memory_state.map.nr_pages - memory_state.opened;
	uint64_t step = (memory_state.opened - memory_state.closed) / OPEN_SHARE;

	if (step < nr_pages)
		step = nr_pages;
	step = (step + OPEN_PAGES - 1) / OPEN_PAGES * OPEN_PAGES;
	if (step > left)
		step = left;
	for (; step; step /= 2)
		if (open_more(step))
			return true;
	return false;
}

/* Closes again what was opened in vain. */
static void close_from(uint64_t first)
{
	uint64_t nr_pages = memory_state.opened - first;

	if (!nr_pages || span_map_alloc_at(&memory_state.map, first, nr_pages))
		return;
	if (memory_map_anew(first, nr_pages))
		memory_state.opened = first;
	else
		span_map_free(&memory_state.map, first, nr_pages);
}

/* Of megablocks that are allocated for that; what the kernel does not open again is lost. */
static void withdraw_advice(uint64_t begin, uint64_t end)
{
	uint64_t first = begin * MEGABLOCK_PAGES;
	uint64_t nr_pages = (end - begin) * MEGABLOCK_PAGES;

	if (memory_huge_may_end(begin, end) && memory_map_anew(first, nr_pages)) {
		memory_huge_forget(begin, end);
		if (!memory_make_accessible(first, nr_pages))
			return;
	}
	span_map_free(&memory_state.map, first, nr_pages);
}

void memory_withdraw_advice(const struct range *range)
{
	uint64_t last = (range->first + range->nr_pages - 1) / MEGABLOCK_PAGES;
	uint64_t begin, end;

	for (begin = range->first / MEGABLOCK_PAGES; begin <= last; begin = end + 1) {
		for (end = begin; end <= last && memory_huge_is_advised(end); end++)
			if (span_map_alloc_at(&memory_state.map, end * MEGABLOCK_PAGES,
					      MEGABLOCK_PAGES))
				break;
		if (end > begin)
			withdraw_advice(begin, end);
	}
}

int64_t memory_alloc_opening(uint32_t nr_pages, uint32_t align_pages)
{
	uint64_t opened = memory_state.opened;
	int64_t first;

	do {
		first = span_map_alloc(&memory_state.map, nr_pages, align_pages);
	} while (first == -ENOMEM && open_for(nr_pages));
	if (first < 0)
		close_from(opened);
	return first;
}

int memory_alloc_at_opening(const struct range *range)
{
	uint64_t opened = memory_state.opened;
	uint64_t end = range->first + range->nr_pages;
	int ret;

	if (end > memory_state.map.nr_pages)
		return -EINVAL;
	while (memory_state.opened < end)
		if (!open_for(end - memory_state.opened)) {
			close_from(opened);
			return -ENOMEM;
		}
	ret = span_map_alloc_at(&memory_state.map, range->first, range->nr_pages);
	if (ret)
		close_from(opened);
	return ret;
}
