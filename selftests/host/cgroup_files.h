/* SPDX-License-Identifier: MIT */
/* Files of cgroups as a test makes them, in place of those of the kernel. */
#ifndef PAGESPAN_CGROUP_FILES_H
#define PAGESPAN_CGROUP_FILES_H

#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

static inline void write_file(const char *directory, const char *name, const char *text)
{
	char path[1024];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", directory, name);
	for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = 0;
		mkdir(path, 0755);
		*slash = '/';
	}
	file = fopen(path, "w");
	if (!file || fputs(text, file) < 0 || fclose(file))
		_exit(101);
}

/* Where the files of this process's group are: of the unified hierarchy, or of the old controller.
 */
static inline bool find_group(const char *root, const char *controllers, char *directory,
			      size_t size)
{
	FILE *groups = fopen("/proc/self/cgroup", "r");
	char line[512];
	bool found = false;

	while (groups && fgets(line, sizeof(line), groups)) {
		char *colon = strchr(line, ':');

		line[strcspn(line, "\n")] = 0;
		if (!colon || strncmp(colon, controllers, strlen(controllers)))
			continue;
		snprintf(directory, size, "%s%s", root, colon + strlen(controllers));
		found = true;
	}
	if (groups)
		fclose(groups);
	return found;
}

/* What a child that may not hide them exits with. */
#define CGROUPS_STAY 77

/* In a child, before its first call: files of cgroups as this test makes them. */
static inline void hide_cgroups(void)
{
	if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    mount("tmpfs", "/sys/fs/cgroup", "tmpfs", 0, NULL))
		_exit(CGROUPS_STAY);
}

#endif
