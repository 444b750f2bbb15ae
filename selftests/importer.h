/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Who imports dma-bufs: vgem, a graphics driver without hardware, and a driver made for tests, in
 * importer/.
 */
#ifndef PAGESPAN_IMPORTER_H
#define PAGESPAN_IMPORTER_H

#include <drm.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdint.h>
#include <string.h>
#include <limits.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "importer/importer.h"

#define VGEM_MISSING "no driver to import; load the module vgem"

/* A descriptor of it, or -1. */
static inline int vgem_open(void)
{
	glob_t nodes;
	int fd = -1;

	if (glob("/dev/dri/*", 0, NULL, &nodes))
		return -1;
	for (size_t i = 0; i < nodes.gl_pathc && fd < 0; i++) {
		char name[8] = "";
		struct drm_version version = { .name = name, .name_len = sizeof(name) - 1 };

		fd = open(nodes.gl_pathv[i], O_RDWR | O_CLOEXEC);
		if (fd >= 0 && (ioctl(fd, DRM_IOCTL_VERSION, &version) || strcmp(name, "vgem"))) {
			close(fd);
			fd = -1;
		}
	}
	globfree(&nodes);
	return fd;
}

/* Has it look at the pages of a dma-buf: 0 and a handle of vgem, or -errno. */
static inline int vgem_import(int vgem, int dmabuf, uint32_t *handle)
{
	struct drm_prime_handle prime = { .fd = dmabuf };

	if (ioctl(vgem, DRM_IOCTL_PRIME_FD_TO_HANDLE, &prime))
		return -errno;
	*handle = prime.handle;
	return 0;
}

#define IMPORTER_MISSING "no driver made for this; see selftests/build_module"

/* A descriptor of the driver made for tests, which is loaded from beside the program; or -1. */
static inline int importer_open(void)
{
	char name[PATH_MAX];
	struct utsname kernel;
	ssize_t length = readlink("/proc/self/exe", name, sizeof(name) - 1);
	int fd;

	if (length < 0 || uname(&kernel))
		return -1;
	name[length] = '\0';
	length = strrchr(name, '/') + 1 - name;
	if (snprintf(name + length, sizeof(name) - length, "importer-%s.ko", kernel.release) >=
	    (int)(sizeof(name) - length))
		return -1;
	fd = open(name, O_RDONLY | O_CLOEXEC);
	if (fd >= 0) {
		syscall(SYS_finit_module, fd, "", 0);
		close(fd);
	}
	return open("/dev/pagespan_importer", O_RDWR | O_CLOEXEC);
}

#endif
