// SPDX-License-Identifier: MIT
/*
 * malloc() may be what waits for this, so nothing here calls it; one thread at a time, and the
 * buffers are static, lest they are on a small stack.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cgroup.h"

/* Where systemd and containers mount them. */
#define UNIFIED "/sys/fs/cgroup"
#define MEMORY  "/sys/fs/cgroup/memory"

bool cgroup_read_file(const char *path, char *text, size_t size)
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
	if (cgroup_read_file(directory, text, sizeof(text)) && *text >= '0' && *text <= '9')
		limit = strtoull(text, NULL, 10);
	directory[length] = 0;
	return limit;
}

/* Of a group, whose name ends with its line, and of those that it is in, one with a lower limit. */
static void find_lower(struct cgroup *lowest, const char *root, const char *group, const char *name)
{
	static char directory[sizeof(lowest->directory)];
	size_t root_length = strlen(root);
	size_t length = strcspn(group, "\n");
	uint64_t limit;

	if (length > PATH_MAX)
		return;
	memcpy(directory, root, root_length);
	memcpy(directory + root_length, group, length);
	length += root_length;
	for (;;) {
		directory[length] = 0;
		limit = limit_of(directory, length, name);
		if (limit < lowest->limit) {
			lowest->limit = limit;
			memcpy(lowest->directory, directory, length + 1);
		}
		if (length <= root_length)
			return;
		while (directory[--length] != '/')
			;
	}
}

/* Lines are NUMBER:CONTROLLERS:GROUP, without controllers for the unified hierarchy. */
const struct cgroup *cgroup_find(void)
{
	static char text[8 * PS_PAGE_SIZE];
	static struct cgroup lowest;
	const char *line, *group;

	lowest.limit = UINT64_MAX;
	lowest.directory[0] = 0;
	if (!cgroup_read_file("/proc/self/cgroup", text, sizeof(text)))
		return &lowest;
	for (line = text; *line; line = strchrnul(line, '\n'), line += *line == '\n') {
		group = strchrnul(line, '/');
		if (!*group)
			continue;
		if (!strncmp(line, "0::/", 4))
			find_lower(&lowest, UNIFIED, group, "/memory.max");
		else if (memmem(line, (size_t)(group - line), ":memory:", 8))
			find_lower(&lowest, MEMORY, group, "/memory.limit_in_bytes");
	}
	return &lowest;
}
