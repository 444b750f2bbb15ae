// SPDX-License-Identifier: MIT
/*
 * Merge sort, which wants room for a second copy while it works. It takes a span for that and gives
 * it back before it returns: at a few nanoseconds each, a function can afford to, whoever calls it.
 */
#include <errno.h>
#include <pagespan.h>
#include <string.h>

#include "sorting.h"

static void merge(char **to, char *const *left, size_t nr_left, char *const *right, size_t nr_right)
{
	while (nr_left && nr_right) {
		if (strcmp(*left, *right) <= 0) {
			*to++ = *left++;
			nr_left--;
		} else {
			*to++ = *right++;
			nr_right--;
		}
	}
	memcpy(to, left, nr_left * sizeof(*to));
	memcpy(to + nr_left, right, nr_right * sizeof(*to));
}

static void sort(char **strings, size_t count, char **room)
{
	size_t half = count / 2;

	if (count < 2)
		return;
	sort(strings, half, room);
	sort(strings + half, count - half, room);
	memcpy(room, strings, count * sizeof(*room));
	merge(strings, room, half, room + half, count - half);
}

int sort_strings(char **strings, size_t count)
{
	size_t bytes = (count * sizeof(*strings) / PS_PAGE_SIZE + 1) * PS_PAGE_SIZE;
	char **room = ps_span_alloc(bytes);

	if (!room)
		return -ENOMEM;
	sort(strings, count, room);
	ps_span_free(room, bytes);
	return 0;
}
