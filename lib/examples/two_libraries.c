// SPDX-License-Identifier: MIT
/*
 * sort(1), of two libraries that know nothing of each other. Each takes memory inside its
 * functions; no handle goes from one to the other or through here, and yet what one gives back the
 * other uses.
 */
#include <inttypes.h>
#include <pagespan.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lines.h"
#include "sorting.h"

int main(void)
{
	struct ps_stats stats;
	struct lines lines;
	int error = lines_read(STDIN_FILENO, &lines);

	if (!error) {
		error = sort_strings(lines.line, lines.count);
		for (size_t i = 0; !error && i < lines.count; i++)
			puts(lines.line[i]);
		lines_free(&lines);
	}
	if (error) {
		fprintf(stderr, "two_libraries: %s\n", strerror(-error));
		return 1;
	}
	ps_stats(&stats, sizeof(stats));
	fprintf(stderr, "%" PRIu64 " spans allocated, %" PRIu64 " pages held, %s backend\n",
		stats.spans_allocated, stats.bytes_held / PS_PAGE_SIZE, ps_backend());
	return fflush(stdout) != 0;
}
