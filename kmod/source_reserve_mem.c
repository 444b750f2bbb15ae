// SPDX-License-Identifier: GPL-2.0-only
/*
 * Pages reserved at boot, named by reserve_mem=NAME: memory that
 * reserve_mem=SIZE:ALIGN:NAME on the kernel's command line, from Linux 6.11 on,
 * has set aside.
 *
 * They are ordinary pages, marked reserved, with a reference count of 1 that
 * nobody ever drops; so they are mapped as those of source_contig.c are, and stay
 * where they are when the pool gives them back.
 */
#include <linux/kernel.h>
#include <linux/mm.h>
#include <linux/module.h>

#include "compat.h"
#include "pool.h"

static char *reserve_mem;
module_param(reserve_mem, charp, 0444);
MODULE_PARM_DESC(reserve_mem, "Memory reserved at boot by reserve_mem=SIZE:ALIGN:NAME to use as the pool, NAME");

static bool reserve_mem_is_named(void)
{
	return reserve_mem && *reserve_mem;
}

static int reserve_mem_take(struct pool_piece *piece, struct pool_request *request)
{
	phys_addr_t start, bytes;
	u64 pfn, end;

	if (!COMPAT_HAS_RESERVE_MEM) {
		pool_why(request, "reserve_mem= needs Linux 6.11 or later");
		return -EOPNOTSUPP;
	}
	if (!reserve_mem_is_named() || !compat_reserve_mem_find(reserve_mem, &start, &bytes)) {
		pool_why(request,
			 "reserve_mem=%s is not reserved; boot with reserve_mem=SIZE:2M:%s",
			 reserve_mem ?: "", reserve_mem_is_named() ? reserve_mem : "NAME");
		return -ENOENT;
	}
	pfn = PFN_UP(start);
	end = PFN_DOWN(start + bytes);
	if (end <= pfn || end - pfn > request->nr_pages) {
		pool_why(request,
			 "reserve_mem=%s has %llu pages, which is not from 1 to %llu", reserve_mem,
			 end > pfn ? end - pfn : 0, request->nr_pages);
		return -EINVAL;
	}
	piece->pfn = pfn;
	piece->nr_pages = end - pfn;
	return 0;
}

static void reserve_mem_give_back(struct pool_piece *piece)
{
}

const struct pool_source pool_source_reserve_mem = {
	.id = PAGESPAN_SOURCE_RESERVE_MEM,
	.name = "reserve_mem",
	.is_named = reserve_mem_is_named,
	.take = reserve_mem_take,
	.give_back = reserve_mem_give_back,
};
