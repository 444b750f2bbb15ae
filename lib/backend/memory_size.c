// SPDX-License-Identifier: MIT
/* What a process may use of the machine. */
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "cgroup.h"
#include "memory_size.h"
#include "pagespan.h"

#define SIZE_IF_NOT_KNOWN ((uint64_t)64 << 20)

uint64_t memory_size(void)
{
	long pages = sysconf(_SC_PHYS_PAGES);
	uint64_t physical = pages < 1 ? SIZE_IF_NOT_KNOWN : (uint64_t)pages * PS_PAGE_SIZE;
	uint64_t limit = cgroup_find()->limit;

	return limit < physical ? limit : physical;
}

/* The first figure of statm is the size of all mappings in pages. */
uint64_t address_space_left(void)
{
	struct rlimit limit;
	uint64_t used = 0;
	char text[128];

	if (getrlimit(RLIMIT_AS, &limit) || limit.rlim_cur == RLIM_INFINITY)
		return UINT64_MAX;
	if (cgroup_read_file("/proc/self/statm", text, sizeof(text)))
		used = strtoull(text, NULL, 10) * PS_PAGE_SIZE;
	return used < limit.rlim_cur ? (limit.rlim_cur - used) / 2 : 0;
}
