// SPDX-License-Identifier: GPL-2.0-only
/*
 * Pages reserved at boot, named by phys=ADDR,SIZE: memory that memmap=SIZE$ADDR
 * on the kernel's command line has kept out of its hands.
 */
#include <linux/ioport.h>
#include <linux/kernel.h>
#include <linux/module.h>

#include "compat.h"
#include "pool.h"
#include "zone_device.h"

static char *phys;
module_param(phys, charp, 0444);
MODULE_PARM_DESC(phys, "Memory reserved at boot by memmap=SIZE$ADDR to use as the pool, ADDR,SIZE");

/* What memory can be added in: sparsemem's subsections. */
#define PHYS_ALIGN	SZ_2M

static bool phys_is_named(void)
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

static int phys_take(struct pool_piece *piece, struct pool_request *request)
{
	phys_addr_t start;
	u64 bytes;
	int ret;

	ret = phys ? parse_phys(&start, &bytes) : -EINVAL;
	if (ret) {
		pool_why(request, "phys=%s is not ADDR,SIZE in multiples of 2 MiB, at most 1 TiB",
			 phys ?: "");
		return ret;
	}
	if (bytes >> PAGE_SHIFT > request->nr_pages) {
		pool_why(request, "phys=%s is more than the %llu MiB wanted", phys,
			 request->nr_pages >> (20 - PAGE_SHIFT));
		return -EINVAL;
	}
	if (region_intersects(start, bytes, IORESOURCE_SYSTEM_RAM, IORES_DESC_NONE) !=
	    REGION_DISJOINT) {
		pool_why(request,
			 "phys=%s is memory that the kernel uses; reserve it at boot with memmap=%lluM$%lluM",
			 phys, bytes >> 20, (u64)start >> 20);
		return -EBUSY;
	}
	return zone_device_claim(piece, start, bytes, NUMA_NO_NODE, request);
}

const struct pool_source pool_source_phys = {
	.id = PAGESPAN_SOURCE_PHYS,
	.name = "phys",
	.zone_device = true,
	.is_named = phys_is_named,
	.take = phys_take,
	.give_back = zone_device_leave,
};
