// SPDX-License-Identifier: MIT
/*
 * What a process may use of the machine.
 *
 * malloc() may be what waits for this, so nothing here calls it; one thread at a time, and the
 * buffers are static, lest they are on a small stack.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "memory_size.h"
#include "pagespan.h"

/* Where systemd and containers mount them. */
#define UNIFIED           "/sys/fs/cgroup"
#define MEMORY            "/sys/fs/cgroup/memory"

#define SIZE_IF_NOT_KNOWN ((uint64_t)64 << 20)

/* What a file holds, as a string; false if it cannot be read, or there is more. */
static bool read_file(const char *path, char *text, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t length = 0;
	ssize_t nr = 1;

	if (fd < 0)
		return false;
	while (nr > 0 && length < size) {
		nr = read(fd, text + length, size - length);
		length += nr > 0 ? (size_t)nr : 0;
	}
	close(fd);
	if (nr < 0 || length == size)
		return false;
	text[length] = 0;
	return true;
}

/* The limit of one group: a number, or "max" and the like for none. */
static uint64_t limit_of(char *directory, size_t length, const char *name)
{
	char text[32];
	uint64_t limit = UINT64_MAX;

	memcpy(directory + length, name, strlen(name) + 1);
	if (read_file(directory, text, sizeof(text)) && *text >= '0' && *text <= '9')
		limit = strtoull(text, NULL, 10);
	directory[length] = 0;
	return limit;
}

/* The least of the limits of a group and of those that it is in; @group ends with its line. */
static uint64_t limit_up(const char *root, const char *group, const char *name)
{
	static char directory[PATH_MAX + 64];
	size_t root_length = strlen(root);
	size_t length = strcspn(group, "\n");
	uint64_t limit, least = UINT64_MAX;

	if (length > PATH_MAX)
		return UINT64_MAX;
	memcpy(directory, root, root_length);
	memcpy(directory + root_length, group, length);
	length += root_length;
	for (;;) {
		directory[length] = 0;
		limit = limit_of(directory, length, name);
		if (limit < least)
			least = limit;
		if (length <= root_length)
			return least;
		while (directory[--length] != '/')
			;
	}
}

/* Lines are NUMBER:CONTROLLERS:GROUP, without controllers for the unified hierarchy. */
static uint64_t cgroup_limit(void)
{
	static char text[8 * PS_PAGE_SIZE];
	uint64_t limit, least = UINT64_MAX;
	const char *line, *group;

	if (!read_file("/proc/self/cgroup", text, sizeof(text)))
		return UINT64_MAX;
	for (line = text; *line; line = strchrnul(line, '\n'), line += *line == '\n') {
		group = strchrnul(line, '/');
		if (!*group)
			continue;
		if (!strncmp(line, "0::/", 4))
			limit = limit_up(UNIFIED, group, "/memory.max");
		else if (memmem(line, (size_t)(group - line), ":memory:", 8))
			limit = limit_up(MEMORY, group, "/memory.limit_in_bytes");
		else
			continue;
		if (limit < least)
			least = limit;
	}
	return least;
}

uint64_t memory_size(void)
{
	long pages = sysconf(_SC_PHYS_PAGES);
	uint64_t physical = pages < 1 ? SIZE_IF_NOT_KNOWN : (uint64_t)pages * PS_PAGE_SIZE;
	uint64_t limit = cgroup_limit();

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
	if (read_file("/proc/self/statm", text, sizeof(text)))
		used = strtoull(text, NULL, 10) * PS_PAGE_SIZE;
	return used < limit.rlim_cur ? (limit.rlim_cur - used) / 2 : 0;
}
