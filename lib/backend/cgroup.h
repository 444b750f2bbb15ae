/* SPDX-License-Identifier: MIT */
/* What the kernel says of the groups that this process is in. */
#ifndef PAGESPAN_CGROUP_H
#define PAGESPAN_CGROUP_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pagespan.h"

/*
 * struct cgroup - the group with the lowest limit of memory, of all that the process is in
 * @limit: bytes; UINT64_MAX if none of them has one
 * @directory: where its files are; empty if there is no such group
 */
struct cgroup {
	uint64_t limit;
	char directory[PATH_MAX + 64];
};

/* One thread at a time; valid until the next call. */
const struct cgroup *cgroup_find(void);

/* What a file holds, as a string; false if it cannot be read, or there is more. */
bool cgroup_read_file(const char *path, char *text, size_t size);

#endif
