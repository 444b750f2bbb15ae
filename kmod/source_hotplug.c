// SPDX-License-Identifier: GPL-2.0-only
/*
 * Whole memory blocks unplugged from the running system, and plugged in again at
 * the end: no boot parameter, and ZONE_DEVICE pages all the same.
 *
 * The trap. A block is cut out of the "System RAM" resource that holds it, and
 * the resource code gives up, after the memory is gone, if the part below the
 * block would not hold all of the resource's children: the kernel's own text, a
 * crash kernel. Then neither we nor the system can use the block until reboot. So
 * a block is only taken if no child is in it or above it in its resource; or, at
 * the resource's start, where the part above is what is left, none in it. See
 * ram_is_divisible(). It is exact, under the lock of the resources, at that
 * moment; children come at boot and with drivers that claim parts of RAM in use,
 * of which there is none, so nothing makes one between there and the unplugging.
 * Should it happen all the same, no second block is tried, by this load of the
 * module or by another: see find_lost().
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/bitmap.h>
#include <linux/completion.h>
#include <linux/fs.h>
#include <linux/fs_struct.h>
#include <linux/ioport.h>
#include <linux/kthread.h>
#include <linux/memory.h>
#include <linux/memory_hotplug.h>
#include <linux/mmzone.h>
#include <linux/sched/signal.h>
#include <linux/sched/task.h>

#include "pool.h"
#include "zone_device.h"

static u64 hotplug_piece_pages(void)
{
	return memory_block_size_bytes() >> PAGE_SHIFT;
}

#if defined(CONFIG_MEMORY_HOTREMOVE) && defined(CONFIG_ZONE_DEVICE)

/* How long one block is tried; ending it may take as long again. */
#define UNPLUG_TIMEOUT	(2 * HZ)

/* The system keeps this part of its memory available. */
#define SPARE_PART	16

/**
 * struct candidate - a memory block that may be unplugged
 * @below: it ends here or below
 * @bytes: its size
 * @start: its physical address
 * @ram: a copy of the resource it is in; of size 0 if there is no block
 */
struct candidate {
	u64 below;
	u64 bytes;
	u64 start;
	struct resource ram;
};

/* Whether a resource is memory that was there at boot or plugged in, and no driver's. */
static bool is_plain_ram(const struct resource *ram)
{
	return ram->parent == &iomem_resource && !(ram->flags & IORESOURCE_SYSRAM_DRIVER_MANAGED);
}

static int find_highest(struct resource *ram, void *data)
{
	struct candidate *candidate = data;
	u64 end = round_down(min(ram->end + 1, candidate->below), candidate->bytes);

	if (is_plain_ram(ram) && end >= ram->start + candidate->bytes) {
		candidate->start = end - candidate->bytes;
		candidate->ram = *ram;
	}
	return 0;
}

/* A block that is in the resource of RAM but has no pages is what the trap leaves behind. */
static int find_lost(struct resource *ram, void *data)
{
	u64 bytes = memory_block_size_bytes();
	u64 start = round_up(ram->start, bytes);
	u64 *lost = data;

	for (; is_plain_ram(ram) && start + bytes <= ram->end + 1; start += bytes) {
		if (!pfn_valid(PHYS_PFN(start))) {
			*lost = start;
			return 1;
		}
	}
	return 0;
}

static int walk_ram(void *data, int (*visit)(struct resource *ram, void *data))
{
	return walk_iomem_res_desc(IORES_DESC_NONE, IORESOURCE_SYSTEM_RAM | IORESOURCE_BUSY, 0,
				   U64_MAX, data, visit);
}

/* The next block downwards, false if there is none. */
static bool find_candidate(struct candidate *candidate, struct pool_request *request)
{
	*candidate = (struct candidate){
		.below = request->below,
		.bytes = memory_block_size_bytes(),
	};
	walk_ram(candidate, find_highest);
	request->below = candidate->start;
	return candidate->ram.end;
}

/*
 * Whether a block can be cut out of its resource. The lock of the resources is
 * not for modules, so they are asked by inserting one, which is given what
 * children there are in its range: from the block to the resource's end; at the
 * resource's start, in the block itself. A range like the resource's own would go
 * around it instead of into it, hence the last byte.
 */
static bool ram_is_divisible(const struct candidate *candidate)
{
	const struct resource *ram = &candidate->ram;
	u64 last = candidate->start + candidate->bytes - 1;
	struct resource probe = {
		.name = KBUILD_MODNAME,
		.start = candidate->start,
		.end = candidate->start > ram->start ? ram->end : min(last, ram->end - 1),
		.flags = IORESOURCE_MEM,
	};
	bool divisible;

	if (insert_resource(&iomem_resource, &probe))
		return false;
	divisible = !probe.child && probe.parent != &iomem_resource &&
		    probe.parent->start == ram->start && probe.parent->end == ram->end;
	remove_resource(&probe);
	return divisible;
}

/* Whether a block is worth a try: online, of one zone, nothing in it reserved for good. */
static bool is_ordinary(const struct candidate *candidate)
{
	unsigned long first = PHYS_PFN(candidate->start);
	unsigned long end = first + PHYS_PFN(candidate->bytes);
	struct zone *zone = NULL;
	unsigned long pfn;

	for (pfn = first; pfn < end; pfn++) {
		struct page *page = pfn_to_online_page(pfn);

		if (!page || PageReserved(page) || PageHWPoison(page))
			return false;
		if (!zone)
			zone = page_zone(page);
		if (page_zone(page) != zone)
			return false;
		if (!(pfn % SPAN_MAP_MEGABLOCK_PAGES))
			cond_resched();
	}
	return true;
}

/**
 * struct unplugging - what the thread that unplugs a block is told
 * @candidate: the block
 * @done: it has ended
 */
struct unplugging {
	const struct candidate *candidate;
	struct completion done;
};

static int unplug_thread(void *data)
{
	struct unplugging *unplugging = data;
	const struct candidate *candidate = unplugging->candidate;
	int ret;

	allow_signal(SIGTERM);
	ret = offline_and_remove_memory(candidate->start, candidate->bytes);
	complete(&unplugging->done);
	return ret;
}

/*
 * Unplugs a block, in bounded time: pages that cannot be moved away are tried for
 * ever, but a signal ends it, and only a thread's own lets us send one.
 */
static int unplug(const struct candidate *candidate)
{
	struct unplugging unplugging = { .candidate = candidate };
	struct task_struct *thread;
	int ret;

	init_completion(&unplugging.done);
	thread = kthread_create(unplug_thread, &unplugging, KBUILD_MODNAME);
	if (IS_ERR(thread))
		return PTR_ERR(thread);
	get_task_struct(thread);
	wake_up_process(thread);
	if (wait_for_completion_killable_timeout(&unplugging.done, UNPLUG_TIMEOUT) <= 0) {
		do {
			send_sig(SIGTERM, thread, 1);
		} while (!wait_for_completion_timeout(&unplugging.done, UNPLUG_TIMEOUT));
	}
	ret = kthread_stop(thread);
	put_task_struct(thread);
	return ret;
}

/*
 * Writes to the state of a memory block; what does the same in the kernel is not
 * for modules. While somebody else plugs memory the write asks to be restarted.
 */
static void write_state(u64 block, const char *state)
{
	unsigned long deadline = jiffies + UNPLUG_TIMEOUT;
	struct path root;
	struct file *file;
	char name[64];
	ssize_t written;

	task_lock(&init_task);
	get_fs_root(init_task.fs, &root);
	task_unlock(&init_task);
	snprintf(name, sizeof(name), "sys/devices/system/memory/memory%llu/state", block);
	file = file_open_root(&root, name, O_WRONLY, 0);
	path_put(&root);
	if (IS_ERR(file))
		return;
	do {
		written = kernel_write(file, state, strlen(state), &(loff_t){ 0 });
	} while (written == -ERESTARTNOINTR && time_before(jiffies, deadline));
	filp_close(file, NULL);
}

static void tell_lost(u64 start, u64 bytes, int error)
{
	pr_err("%llu MiB of memory at %#llx are lost until reboot: they cannot be plugged in again, error %d\n",
	       bytes >> 20, start, error);
}

/* Plugs a block in again and makes it the system's, which some kernels do by themselves. */
static int plug(u64 start, u64 bytes, int nid, bool movable)
{
	u64 block = div64_ul(start, bytes);
	int ret;

	ret = add_memory(nid, start, bytes, MHP_MERGE_RESOURCE);
	if (ret) {
		tell_lost(start, bytes, ret);
		return ret;
	}
	if (!pfn_to_online_page(PHYS_PFN(start)))
		write_state(block, movable ? "online_movable" : "online");
	return 0;
}

/* plug(), of a block that may as well be put online later. */
static int plug_whole(u64 start, u64 bytes, int nid, bool movable)
{
	u64 block = div64_ul(start, bytes);
	int ret = plug(start, bytes, nid, movable);

	if (!ret && !pfn_to_online_page(PHYS_PFN(start)))
		pr_err("memory block %llu is left offline; write online to /sys/devices/system/memory/memory%llu/state\n",
		       block, block);
	return ret;
}

/* Makes an unplugged block a piece. If that fails the block goes back, and there is no other. */
static int claim(struct pool_piece *piece, const struct candidate *candidate,
		 struct pool_request *request)
{
	int ret;

	ret = zone_device_claim(piece, candidate->start, candidate->bytes, piece->nid, request);
	if (ret && plug_whole(candidate->start, candidate->bytes, piece->nid, piece->movable))
		pool_why(request,
			 "memory at %#llx was unplugged, cannot be claimed, and is lost until reboot",
			 candidate->start);
	return ret;
}

static int hotplug_take(struct pool_piece *piece, struct pool_request *request)
{
	u64 pages = hotplug_piece_pages();
	unsigned int refused = 0, indivisible = 0;
	struct candidate candidate;
	int ret = 0;
	u64 lost;

	if (walk_ram(&lost, find_lost) == 1) {
		pool_why(request,
			 "an earlier unplugging has lost the memory at %#llx; reboot to get it back",
			 lost);
		return -ENODEV;
	}
	while (find_candidate(&candidate, request)) {
		struct page *page = pfn_to_online_page(PHYS_PFN(candidate.start));

		if (fatal_signal_pending(current))
			return -EINTR;
		if (time_after(jiffies, request->deadline)) {
			pool_why(request, "no more memory block could be unplugged in time");
			return -ETIMEDOUT;
		}
		if (si_mem_available() < (long)(pages + totalram_pages() / SPARE_PART)) {
			pool_why(request,
				 "one more memory block of %llu MiB would leave the system too little",
				 pages >> (20 - PAGE_SHIFT));
			return -ENOMEM;
		}
		if (!is_ordinary(&candidate))
			continue;
		if (!ram_is_divisible(&candidate)) {
			indivisible++;
			continue;
		}
		piece->nid = page_to_nid(page);
		piece->movable = zone_idx(page_zone(page)) == ZONE_MOVABLE;
		ret = unplug(&candidate);
		if (!ret)
			return claim(piece, &candidate, request);
		refused++;
	}
	pool_why(request,
		 "no more memory block can be unplugged: %u refused (the last with error %d), %u have the kernel or a crash kernel above them",
		 refused, ret, indivisible);
	return -ENOMEM;
}

/*
 * Which pages of a block are poisoned, for keep_poisoned(): a bit for each page;
 * written only while that cannot be called.
 */
static unsigned long poisoned_first, poisoned_pages;
static unsigned long *poisoned_bits;

/* Whether one of some pages, which are in the block or are not, is poisoned. */
static bool any_poisoned(unsigned long pfn, unsigned long nr_pages)
{
	unsigned long offset = pfn - poisoned_first;

	if (pfn < poisoned_first || offset >= poisoned_pages)
		return false;
	return find_next_bit(poisoned_bits, offset + nr_pages, offset) < offset + nr_pages;
}

/*
 * Called for aligned pages that come online, of any block: they become the system's
 * free pages, but for those that are poisoned. Marked as reserved a page keeps its
 * block from being put offline, and so from coming online without this.
 */
static void keep_poisoned(struct page *page, unsigned int order)
{
	if (!any_poisoned(page_to_pfn(page), 1UL << order)) {
		generic_online_page(page, order);
	} else if (order) {
		keep_poisoned(page, order - 1);
		keep_poisoned(page + (1UL << (order - 1)), order - 1);
	} else {
		SetPageReserved(page);
		SetPageHWPoison(page);
	}
}

/*
 * Plugs in a block of which poisoned_bits tells. That it cannot be left offline:
 * whoever puts it online later does not know.
 */
static void plug_but_poisoned(u64 start, u64 bytes, int nid, bool movable)
{
	int ret = set_online_page_callback(keep_poisoned);

	if (!ret) {
		if (!plug(start, bytes, nid, movable) && !pfn_to_online_page(PHYS_PFN(start)))
			ret = remove_memory(start, bytes) ?: -EAGAIN;
		restore_online_page_callback(keep_poisoned);
	}
	if (ret)
		tell_lost(start, bytes, ret);
}

/* Whether there is a poisoned page in a piece, of which poisoned_bits tells then, or is NULL. */
static bool find_poisoned(const struct pool_piece *piece)
{
	u64 i = pool_next_poisoned(piece, 0);

	if (i == piece->nr_pages)
		return false;
	poisoned_first = piece->pfn;
	poisoned_pages = piece->nr_pages;
	poisoned_bits = bitmap_zalloc(piece->nr_pages, GFP_KERNEL);
	for (; poisoned_bits && i < piece->nr_pages; i = pool_next_poisoned(piece, i + 1))
		__set_bit(i, poisoned_bits);
	return true;
}

static void hotplug_give_back(struct pool_piece *piece)
{
	u64 start = PFN_PHYS((u64)piece->pfn);
	u64 bytes = piece->nr_pages << PAGE_SHIFT;
	bool poisoned = find_poisoned(piece);

	zone_device_release(piece);
	if (!poisoned)
		plug_whole(start, bytes, piece->nid, piece->movable);
	else if (poisoned_bits)
		plug_but_poisoned(start, bytes, piece->nid, piece->movable);
	else
		tell_lost(start, bytes, -ENOMEM);
	bitmap_free(poisoned_bits);
	poisoned_bits = NULL;
	poisoned_pages = 0;
}

#else

static int hotplug_take(struct pool_piece *piece, struct pool_request *request)
{
	pool_why(request, "this kernel has no hot-unplug of memory, or no ZONE_DEVICE");
	return -EOPNOTSUPP;
}

static void hotplug_give_back(struct pool_piece *piece)
{
}

#endif

const struct pool_source pool_source_hotplug = {
	.id = PAGESPAN_SOURCE_HOTPLUG,
	.name = "hotplug",
	.zone_device = true,
	.piece_pages = hotplug_piece_pages,
	.take = hotplug_take,
	.give_back = hotplug_give_back,
};
