// SPDX-License-Identifier: GPL-2.0-only
/*
 * Pages reserved at boot, named by phys=ADDR,SIZE: memory that memmap=SIZE$ADDR
 * on the kernel's command line has kept out of its hands.
 *
 * memremap_pages() gives them struct pages of ZONE_DEVICE, each with a reference
 * count of its own. So they can be mapped by 2 MiB entries, which hold no
 * reference, and still be pinned page by page.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/ioport.h>
#include <linux/kernel.h>
#include <linux/memremap.h>
#include <linux/module.h>
#include <linux/slab.h>

#include "compat.h"
#include "pool.h"

static char *phys;
module_param(phys, charp, 0444);
MODULE_PARM_DESC(phys, "Memory reserved at boot by memmap=SIZE$ADDR to use as the pool, ADDR,SIZE");

/* What memory can be added in: sparsemem's subsections. */
#define PHYS_ALIGN	SZ_2M

/**
 * pool_source_phys_is_wanted() - whether phys= was given
 *
 * Return: true if it was.
 */
bool pool_source_phys_is_wanted(void)
{
	return phys && *phys;
}

static int parse_phys(phys_addr_t *start, u64 *bytes)
{
	char *end;

	*start = memparse(phys, &end);
	if (end == phys || *end != ',')
		return -EINVAL;
	*bytes = memparse(end + 1, &end);
	if (*end && *end != '\n')
		return -EINVAL;
	if (!*bytes || !IS_ALIGNED(*start, PHYS_ALIGN) || !IS_ALIGNED(*bytes, PHYS_ALIGN))
		return -EINVAL;
	if (*bytes > (u64)SPAN_MAP_MAX_PAGES << PAGE_SHIFT || *start + *bytes - 1 < *start)
		return -EINVAL;
	return 0;
}

static int phys_take(struct pool *pool)
{
	struct dev_pagemap *pgmap;
	phys_addr_t start;
	void *address;
	u64 bytes;
	int ret;

	ret = phys ? parse_phys(&start, &bytes) : -EINVAL;
	if (ret) {
		pr_err("phys=%s is not ADDR,SIZE in multiples of 2 MiB, at most 1 TiB\n",
		       phys ?: "");
		return ret;
	}
	if (region_intersects(start, bytes, IORESOURCE_SYSTEM_RAM, IORES_DESC_NONE) !=
	    REGION_DISJOINT) {
		pr_err("phys=%s is memory that the kernel uses; reserve it at boot with memmap=%lluM$%lluM\n",
		       phys, bytes >> 20, (u64)start >> 20);
		return -EBUSY;
	}
	pool->region = request_mem_region(start, bytes, KBUILD_MODNAME);
	if (!pool->region) {
		pr_err("phys=%s is in use, see /proc/iomem\n", phys);
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
	address = memremap_pages(pgmap, NUMA_NO_NODE);
	if (IS_ERR(address)) {
		ret = PTR_ERR(address);
		pr_err("phys=%s cannot be given struct pages: error %d\n", phys, ret);
		goto free_pgmap;
	}
	pool->pgmap = pgmap;
	pool->base_pfn = PHYS_PFN(start);
	pool->nr_pages = bytes >> PAGE_SHIFT;
	return 0;

free_pgmap:
	kfree(pgmap);
release:
	release_mem_region(start, bytes);
	return ret;
}

static void phys_give_back(struct pool *pool)
{
	struct range range = pool->pgmap->range;

	memunmap_pages(pool->pgmap);
	kfree(pool->pgmap);
	release_mem_region(range.start, range_len(&range));
}

const struct pool_source pool_source_phys = {
	.id = PAGESPAN_SOURCE_PHYS,
	.name = "phys",
	.zone_device = true,
	.take = phys_take,
	.give_back = phys_give_back,
};
