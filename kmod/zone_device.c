// SPDX-License-Identifier: GPL-2.0-only
/*
 * ZONE_DEVICE pages for memory that the kernel does not use.
 *
 * memremap_pages() gives them struct pages, each with a reference count of its
 * own. So they can be mapped by 2 MiB entries, which hold no reference, and still
 * be pinned page by page.
 */
#include <linux/ioport.h>
#include <linux/memremap.h>
#include <linux/module.h>
#include <linux/slab.h>

#include "compat.h"
#include "pool.h"
#include "zone_device.h"

/**
 * zone_device_claim() - make memory a piece
 * @piece: the piece
 * @start: physical address, a multiple of 2 MiB
 * @bytes: size, a multiple of 2 MiB
 * @nid: node, or NUMA_NO_NODE
 * @request: for pool_why()
 *
 * Return: 0, -EBUSY if somebody else has claimed a part of it, or what
 * memremap_pages() gave.
 */
int zone_device_claim(struct pool_piece *piece, u64 start, u64 bytes, int nid,
		      struct pool_request *request)
{
	struct dev_pagemap *pgmap;
	void *address;
	int ret;

	if (!request_mem_region(start, bytes, KBUILD_MODNAME)) {
		pool_why(request, "memory at %#llx is in use, see /proc/iomem", start);
		return -EBUSY;
	}
	pgmap = kzalloc(sizeof(*pgmap), GFP_KERNEL);
	if (!pgmap) {
		ret = -ENOMEM;
		goto release;
	}
	pgmap->type = MEMORY_DEVICE_GENERIC;
	pgmap->range.start = start;
	pgmap->range.end = start + bytes - 1;
	pgmap->nr_range = 1;
	address = memremap_pages(pgmap, nid);
	if (IS_ERR(address)) {
		ret = PTR_ERR(address);
		kfree(pgmap);
		goto release;
	}
	piece->pgmap = pgmap;
	piece->pfn = PHYS_PFN(start);
	piece->nr_pages = bytes >> PAGE_SHIFT;
	return 0;

release:
	release_mem_region(start, bytes);
	pool_why(request, "memory at %#llx cannot be given struct pages: error %d", start, ret);
	return ret;
}

/**
 * zone_device_release() - undo zone_device_claim()
 * @piece: the piece
 */
void zone_device_release(struct pool_piece *piece)
{
	struct range range = piece->pgmap->range;

	memunmap_pages(piece->pgmap);
	kfree(piece->pgmap);
	release_mem_region(range.start, range_len(&range));
}
