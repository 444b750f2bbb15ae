// SPDX-License-Identifier: MIT
#include "ranges.h"

/* Heaps are built of what is below @count; @root may be smaller than what is under it. */
static void sift_down(struct range *ranges, uint32_t root, uint32_t count)
{
	struct range moved = ranges[root];
	uint32_t child;

	while ((child = 2 * root + 1) < count) {
		if (child + 1 < count && ranges[child].first < ranges[child + 1].first)
			child++;
		if (moved.first >= ranges[child].first)
			break;
		ranges[root] = ranges[child];
		root = child;
	}
	ranges[root] = moved;
}

/* qsort() calls malloc(), which may be what waits for these pages. */
static void sort_by_first(struct range *ranges, uint32_t count)
{
	uint32_t i;

	for (i = count / 2; i--;)
		sift_down(ranges, i, count);
	for (i = count; i-- > 1;) {
		struct range largest = ranges[0];

		ranges[0] = ranges[i];
		ranges[i] = largest;
		sift_down(ranges, 0, i);
	}
}

bool ranges_join(struct range *into, const struct range *range)
{
	if (into->first + into->nr_pages == range->first)
		into->nr_pages += range->nr_pages;
	else if (range->first + range->nr_pages == into->first)
		*into = (struct range){range->first, range->nr_pages + into->nr_pages};
	else
		return false;
	return true;
}

/* What was cut of one run comes side by side, up or down: there is less to sort then. */
static uint32_t join_neighbours(struct range *ranges, uint32_t count)
{
	uint32_t last = 0;
	uint32_t i;

	for (i = 1; i < count; i++)
		if (!ranges_join(&ranges[last], &ranges[i]))
			ranges[++last] = ranges[i];
	return last + 1;
}

uint32_t ranges_merge(struct range *ranges, uint32_t count)
{
	if (count < 2)
		return count;
	count = join_neighbours(ranges, count);
	sort_by_first(ranges, count);
	return join_neighbours(ranges, count);
}

uint64_t ranges_pages(const struct range *ranges, uint32_t count)
{
	uint64_t nr_pages = 0;

	while (count--)
		nr_pages += ranges[count].nr_pages;
	return nr_pages;
}
