/* SPDX-License-Identifier: GPL-2.0-only */
/* /dev/pagespan_importer: one open imports one dma-buf, as a driver with this device would. */
#ifndef PAGESPAN_IMPORTER_DEVICE_H
#define PAGESPAN_IMPORTER_DEVICE_H

#include <linux/ioctl.h>
#include <linux/types.h>

/* As enum dma_data_direction; IMPORTER_NONE takes the dma-buf without asking for a list. */
#define IMPORTER_BOTH		0
#define IMPORTER_TO_DEVICE	1
#define IMPORTER_FROM_DEVICE	2
#define IMPORTER_NONE		3

/**
 * struct importer_list - ioctl(IMPORTER_IMPORT)
 * @fd: the dma-buf
 * @direction: IMPORTER_*
 * @max_segment: the longest segment that the device takes, in bytes
 * @max_mapping: the most that can be mapped in one for it
 * @boundary: what no segment may cross, less one
 * @nr_segments: out: of the list
 * @shortest: out: the shortest of them but the last, in bytes
 * @longest: out: the longest
 * @nr_crossing: out: how many cross the boundary
 * @bytes: out: all together
 */
struct importer_list {
	__s32 fd;
	__u32 direction;
	__u32 max_segment;
	__u32 max_mapping;
	__u32 boundary;
	__u32 nr_segments;
	__u32 shortest;
	__u32 longest;
	__u32 nr_crossing;
	__u32 bytes;
};

#define IMPORTER_IMPORT		_IO('i', 0)

/* ioctl(IMPORTER_ADDRESS): asks for the pages' address, and returns the first byte there. */
#define IMPORTER_ADDRESS	_IO('i', 1)

/*
 * ioctl(IMPORTER_SYNCED, for_device): how often the list was made good for the CPUs, or for the
 * device; EOPNOTSUPP where the kernel lets no driver know.
 */
#define IMPORTER_SYNCED		_IO('i', 2)

#endif
