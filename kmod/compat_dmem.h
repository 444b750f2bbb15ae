/* SPDX-License-Identifier: GPL-2.0-only */
/* What differs between the kernels that have the dmem cgroup controller: 6.14 to 7.3. */
#ifndef PAGESPAN_COMPAT_DMEM_H
#define PAGESPAN_COMPAT_DMEM_H

#include <linux/cgroup_dmem.h>
#include <linux/version.h>

/* The size stands in a structure since 7.3. Its region never changes its size. */
static inline struct dmem_cgroup_region *compat_dmem_register(u64 bytes, const char *name)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(7, 3, 0)
	const struct dmem_cgroup_init init = { .size = bytes };

	return dmem_cgroup_register_region(&init, "%s", name);
#else
	return dmem_cgroup_register_region(bytes, "%s", name);
#endif
}

#endif
