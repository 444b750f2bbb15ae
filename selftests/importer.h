/* SPDX-License-Identifier: GPL-2.0-only */
/* vgem, a graphics driver without hardware, which imports dma-bufs. */
#ifndef PAGESPAN_IMPORTER_H
#define PAGESPAN_IMPORTER_H

#include <drm.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

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

#endif
