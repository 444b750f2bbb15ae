// SPDX-License-Identifier: GPL-2.0-only
/*
 * Plugs memory in that the machine has and that mem= keeps from the kernel, as a DIMM that
 * comes later: memory blocks with nothing in them that cannot leave. The machines of arm64
 * have memory of one piece, with something of the kernel's at its end.
 */
#include <linux/memory_hotplug.h>
#include <linux/module.h>

static unsigned long start;
module_param(start, ulong, 0444);
MODULE_PARM_DESC(start, "where it is, at the beginning of a memory block");

static unsigned long size;
module_param(size, ulong, 0444);
MODULE_PARM_DESC(size, "its size, whole memory blocks");

/* It stays: what is plugged in is the system's. */
static int __init dimm_init(void)
{
	return add_memory(0, start, size, MHP_NONE);
}
module_init(dimm_init);

MODULE_DESCRIPTION("memory that comes later, for tests of pagespan");
MODULE_LICENSE("GPL");
