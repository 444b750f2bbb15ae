// SPDX-License-Identifier: MIT
/* Counts instructions: runs this program again under callgrind, which counts inside the measured
 * calls only. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "core.h"

/* The greatest and the sum of what the dumps of a run collected; false if there was none. */
static bool run_callgrind(const char *arguments, const char *program, const char *mode,
			  const char *subject, uint64_t operations, double *sum, double *greatest)
{
	char directory[] = "/tmp/bench-core-XXXXXX", path[64], command[1024], line[256];
	uint64_t count;
	FILE *file;
	int dumps = 0;

	if (!mkdtemp(directory))
		return false;
	snprintf(path, sizeof(path), "%s/counts", directory);
	snprintf(command, sizeof(command),
		 "valgrind -q --tool=callgrind --combine-dumps=yes --callgrind-out-file=%s %s "
		 "'%s' --count %s '%s' %" PRIu64 " >/dev/null 2>&1",
		 path, arguments, program, mode, subject, operations);
	*sum = 0;
	*greatest = 0;
	if (system(command) == 0) {
		file = fopen(path, "r");
		while (file && fgets(line, sizeof(line), file)) {
			if (sscanf(line, "summary: %" SCNu64, &count) != 1)
				continue;
			dumps++;
			*sum += count;
			if (count > *greatest)
				*greatest = count;
		}
		if (file)
			fclose(file);
	}
	unlink(path);
	rmdir(directory);
	return dumps > 0;
}

double callgrind_per_pair(const char *program, const char *subject, uint64_t operations)
{
	double sum, greatest;

	if (!run_callgrind("--toggle-collect=measured_alloc --toggle-collect=measured_free",
			   program, "b90", subject, operations, &sum, &greatest))
		return -1;
	return sum / operations;
}

double callgrind_worst_one_page(const char *program, const char *subject, uint64_t operations)
{
	double sum, greatest;

	if (!run_callgrind("--toggle-collect=measured_one_page --dump-after=measured_one_page",
			   program, "one-page", subject, operations, &sum, &greatest))
		return -1;
	return greatest;
}
