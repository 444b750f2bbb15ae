// SPDX-License-Identifier: GPL-2.0-only
/*
 * ZONE_DEVICE pages for memory that the kernel does not use.
 *
 * memremap_pages() gives them struct pages, each with a reference count of its
 * own. So where there are devmap entries, see era.h, they can be mapped by 2 MiB
 * entries, which hold no reference, and still be pinned page by page.
 *
 * The struct pages go when the piece is given back, and with them the mark of a
 * page that is poisoned. So a resource of the page alone is left behind in its
 * place, which outlives the module: nobody else can claim the page until reboot,
 * and who claims the memory here again finds the page out.
 */
#include <linux/ioport.h>
#include <linux/kmemleak.h>
#include <linux/memremap.h>
#include <linux/module.h>
#include <linux/slab.h>

#include "compat.h"
#include "era.h"
#include "pool.h"
#include "zone_device.h"

/**
 * struct zone_device - memory that was claimed
 * @pgmap: its struct pages
 * @region: the claim; below it are the poisoned pages found before
 */
struct zone_device {
	struct dev_pagemap pgmap;
	struct resource region;
};

#define POISONED_NAME	"pagespan: poisoned page"

/**
 * struct poisoned_page - what is left behind of a page
 * @resource: the page
 * @name: what the resource is called, when the module is gone too
 */
struct poisoned_page {
	struct resource resource;
	char name[sizeof(POISONED_NAME)];
};

static DEFINE_MUTEX(reporter_lock);	/* protects reporter; held while it runs */
static void (*reporter)(unsigned long pfn);

/**
 * zone_device_report() - whom to tell of pages that become poisoned
 * @report: is told the page frame, once, from process context; NULL for nobody
 *
 * When it returns nobody is told by an earlier one.
 */
void zone_device_report(void (*report)(unsigned long pfn))
{
	mutex_lock(&reporter_lock);
	reporter = report;
	mutex_unlock(&reporter_lock);
}

#ifdef CONFIG_MEMORY_FAILURE
/*
 * Called by memory_failure(), again for a page that is poisoned already. The page
 * has its struct while this runs.
 */
static int zone_device_memory_failure(struct dev_pagemap *pgmap, unsigned long pfn,
				      unsigned long nr_pages, int flags)
{
	mutex_lock(&reporter_lock);
	for (; nr_pages; pfn++, nr_pages--) {
		struct page *page = pfn_to_page(pfn);

		if (PageHWPoison(page))
			continue;
		era_hold_poisoned(page);
		SetPageHWPoison(page);
		if (reporter)
			reporter(pfn);
	}
	mutex_unlock(&reporter_lock);
	return 0;
}
#endif

static const struct dev_pagemap_ops zone_device_ops = {
#ifdef CONFIG_MEMORY_FAILURE
	.memory_failure = zone_device_memory_failure,
#endif
};

static struct resource busy_memory(u64 start, u64 bytes, const char *name)
{
	return (struct resource){
		.name = name,
		.start = start,
		.end = start + bytes - 1,
		.flags = IORESOURCE_MEM | IORESOURCE_BUSY,
	};
}

/*
 * What the poisoned pages are children of: the claim, or what it was put around
 * because it has the same range, as "Reserved" may have.
 */
static struct resource *inside(struct resource *region)
{
	struct resource *inner = region;

	while (inner->child && !(inner->child->flags & IORESOURCE_BUSY) &&
	       inner->child->start == region->start && inner->child->end == region->end)
		inner = inner->child;
	return inner;
}

static bool holds_others(struct resource *region)
{
	const struct resource *child;

	for (child = inside(region)->child; child; child = child->sibling)
		if (resource_size(child) != PAGE_SIZE || strcmp(child->name, POISONED_NAME))
			return true;
	return false;
}

/*
 * As request_mem_region(), but around the poisoned pages that were left behind:
 * inserting a resource gives it what was in its place. Nobody changes what is below it
 * then, for it is busy.
 */
static int claim_region(struct resource *region)
{
	if (insert_resource(&iomem_resource, region))
		return -EBUSY;
	if (!(region->parent->flags & IORESOURCE_BUSY) && !holds_others(region))
		return 0;
	remove_resource(region);
	return -EBUSY;
}

/* Marks the pages that were found poisoned before. */
static void mark_poisoned(struct resource *region)
{
	const struct resource *child;

	for (child = inside(region)->child; child; child = child->sibling) {
		struct page *page = pfn_to_page(PHYS_PFN(child->start));

		era_hold_poisoned(page);
		SetPageHWPoison(page);
	}
}

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
	struct zone_device *device;
	void *address;
	int ret = -ENOMEM;

	device = kzalloc(sizeof(*device), GFP_KERNEL);
	if (!device)
		goto tell;
	device->region = busy_memory(start, bytes, KBUILD_MODNAME);
	ret = claim_region(&device->region);
	if (ret) {
		kfree(device);
		pool_why(request, "memory at %#llx is in use, see /proc/iomem", start);
		return ret;
	}
	device->pgmap.type = MEMORY_DEVICE_GENERIC;
	device->pgmap.range.start = start;
	device->pgmap.range.end = start + bytes - 1;
	device->pgmap.nr_range = 1;
	device->pgmap.ops = &zone_device_ops;
	address = memremap_pages(&device->pgmap, nid);
	if (IS_ERR(address)) {
		ret = PTR_ERR(address);
		goto release;
	}
	mark_poisoned(&device->region);
	piece->pgmap = &device->pgmap;
	piece->pfn = PHYS_PFN(start);
	piece->nr_pages = bytes >> PAGE_SHIFT;
	return 0;

release:
	remove_resource(&device->region);
	kfree(device);
tell:
	pool_why(request, "memory at %#llx cannot be given struct pages: error %d", start, ret);
	return ret;
}

/**
 * zone_device_release() - undo zone_device_claim()
 * @piece: the piece
 *
 * Of pages that are poisoned no mark is left. They are still counted as corrupted
 * memory; Linux 6.1 would count off those that are marked when their structs go.
 */
void zone_device_release(struct pool_piece *piece)
{
	struct zone_device *device = container_of(piece->pgmap, struct zone_device, pgmap);
	u64 i;

	for (i = pool_next_poisoned(piece, 0); i < piece->nr_pages;
	     i = pool_next_poisoned(piece, i + 1))
		ClearPageHWPoison(pfn_to_page(piece->pfn + i));
	memunmap_pages(&device->pgmap);
	remove_resource(&device->region);
	kfree(device);
}

static bool was_left_behind(struct resource *region, u64 address)
{
	const struct resource *child;

	for (child = inside(region)->child; child; child = child->sibling)
		if (child->start == address)
			return true;
	return false;
}

static void leave_behind(struct resource *region, u64 address)
{
	struct poisoned_page *page = kzalloc(sizeof(*page), GFP_KERNEL | __GFP_NOFAIL);

	strscpy(page->name, POISONED_NAME, sizeof(page->name));
	page->resource = busy_memory(address, PAGE_SIZE, page->name);
	kmemleak_not_leak(page);
	WARN_ON(insert_resource(region, &page->resource));
}

/**
 * zone_device_leave() - zone_device_release(), and leave what is poisoned behind
 * @piece: the piece, of memory that nobody but this module ever uses
 */
void zone_device_leave(struct pool_piece *piece)
{
	struct zone_device *device = container_of(piece->pgmap, struct zone_device, pgmap);
	u64 i, address;

	for (i = pool_next_poisoned(piece, 0); i < piece->nr_pages;
	     i = pool_next_poisoned(piece, i + 1)) {
		address = PFN_PHYS((u64)piece->pfn + i);
		if (!was_left_behind(&device->region, address))
			leave_behind(&device->region, address);
	}
	zone_device_release(piece);
}
