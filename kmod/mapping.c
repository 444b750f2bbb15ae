// SPDX-License-Identifier: GPL-2.0-only
/*
 * The window: mmap of the device, faults in it, and populating it ahead of them.
 *
 * Offset is page index, in every mapping of every client.  Each client has an
 * address space of its own, so that a free zaps that client's mappings and
 * nobody else's; unmap_mapping_range() finds them in every process, children
 * that undid VM_DONTCOPY included.
 *
 * What is common to all kernels is here: which mapping is a window, who may touch a
 * page, and the order of checks and locks. How an entry is made is era.h's. A
 * megablock that the client owns whole gets one 2 MiB entry, if it can have one.
 *
 * What the kernel has read of a slot for a 2 MiB entry before it calls a fault
 * handler may be stale by then. A huge fault holds client->lock for writing, so
 * that no fault makes a table of 4 KiB entries meanwhile, and every fault looks
 * at the slot again under the lock. Populating makes entries without it, but
 * for pages that are not published: as long as there is one in a megablock no
 * fault gets a 2 MiB entry for it.
 */
#include <linux/pgtable.h>

#include "address_space.h"
#include "client.h"
#include "compat.h"
#include "era.h"
#include "mapping.h"
#include "stats.h"
#include "table.h"

static const struct vm_operations_struct mapping_vm_ops;

/**
 * mapping_create() - make the address space of a client
 * @nr_pages: page indices of the pool
 *
 * S_DAX is what makes Linux 6.1 offer huge faults to a driver.
 *
 * Return: the address space, ended by mapping_destroy(), or an ERR_PTR().
 */
struct address_space *mapping_create(u64 nr_pages)
{
	struct address_space *mapping = address_space_create();

	if (IS_ERR(mapping))
		return mapping;
	i_size_write(mapping->host, nr_pages << PAGE_SHIFT);
	mapping->host->i_flags |= S_DAX;
	return mapping;
}

/**
 * mapping_destroy() - end an address space
 * @mapping: the address space, mapped by nobody
 */
void mapping_destroy(struct address_space *mapping)
{
	address_space_destroy(mapping);
}

/**
 * mapping_fault() - a fault in a window
 * @vmf: the fault
 *
 * Return: as a fault handler.
 */
vm_fault_t mapping_fault(struct vm_fault *vmf)
{
	struct client *client = vmf->vma->vm_private_data;
	struct pool *pool = client->registry->pool;
	vm_fault_t ret;
	u64 index;

	if (vmf->pgoff >= pool->nr_pages)
		return VM_FAULT_SIGBUS;
	index = pool_clamp(pool, vmf->pgoff);
	down_read(&client->lock);
	if (unlikely(client->view.family)) {
		up_read(&client->lock);
		return snapshot_fault(vmf);
	}
	if (!client_owns(client, index, 1))
		ret = VM_FAULT_SIGBUS;
	else if (PageHWPoison(pool_page(pool, index)))
		ret = VM_FAULT_HWPOISON;
	else if (pmd_leaf(READ_ONCE(*vmf->pmd)))
		ret = VM_FAULT_NOPAGE;
	else
		ret = era_insert(vmf, pool, index);
	up_read(&client->lock);
	if (ret == VM_FAULT_NOPAGE)
		stats_count(STATS_FAULT, fault, client->id, index, 1);
	return ret;
}

#ifdef CONFIG_TRANSPARENT_HUGEPAGE
/*
 * Whether a 2 MiB entry can be made at an address, and for which page. The
 * answer does not depend on who owns the pages.
 */
static bool huge_slot(struct client *client, struct vm_area_struct *vma, unsigned long address,
		      u64 *first)
{
	struct pool *pool = client->registry->pool;

	if (address < vma->vm_start || vma->vm_end - address < PMD_SIZE)
		return false;
	*first = vma->vm_pgoff + ((address - vma->vm_start) >> PAGE_SHIFT);
	return IS_ALIGNED(*first, HPAGE_PMD_NR) && pool_contains(pool, *first, HPAGE_PMD_NR) &&
	       pool_is_huge(pool, *first);
}

static vm_fault_t insert_huge(struct client *client, struct vm_fault *vmf, u64 first, bool write)
{
	WRITE_ONCE(client->had_huge, true);
	return era_insert_huge(vmf, client->registry->pool, first, write);
}

COMPAT_HUGE_FAULT(mapping_huge_fault)
{
	struct client *client = vmf->vma->vm_private_data;
	vm_fault_t ret = VM_FAULT_FALLBACK;
	pmd_t slot;
	u64 first;

	if (!compat_is_pmd(size) || !huge_slot(client, vmf->vma, vmf->address & PMD_MASK, &first))
		return VM_FAULT_FALLBACK;
	down_write(&client->lock);
	if (unlikely(client->view.family)) {
		up_write(&client->lock);
		return snapshot_huge_fault(vmf, first);
	}
	slot = READ_ONCE(*vmf->pmd);
	if (client_owns(client, first, HPAGE_PMD_NR) &&
	    pool_is_huge(client->registry->pool, first) && (pmd_none(slot) || pmd_leaf(slot)))
		ret = insert_huge(client, vmf, first, vmf->flags & FAULT_FLAG_WRITE);
	up_write(&client->lock);
	if (ret == VM_FAULT_NOPAGE)
		stats_count(STATS_FAULT, fault, client->id, first, HPAGE_PMD_NR);
	return ret;
}

/*
 * Maps one megablock by a 2 MiB entry, if its slot takes one. What makes upper
 * tables is not exported; where they are missing a fault makes them on its way
 * to being refused, for the pages are not published yet.
 */
static bool populate_huge(struct client *client, struct vm_area_struct *vma, unsigned long address)
{
	struct vm_fault vmf = {
		.vma = vma,
		.address = address,
		.flags = FAULT_FLAG_WRITE,
	};
	u64 first;

	if (!huge_slot(client, vma, address, &first))
		return false;
	vmf.pmd = table_find_pmd(vma->vm_mm, address);
	if (!vmf.pmd) {
		handle_mm_fault(vma, address, FAULT_FLAG_WRITE, NULL);
		vmf.pmd = table_find_pmd(vma->vm_mm, address);
	}
	if (!vmf.pmd || !pmd_none(*vmf.pmd))
		return false;
	return insert_huge(client, &vmf, first, true) == VM_FAULT_NOPAGE;
}
#else
static bool populate_huge(struct client *client, struct vm_area_struct *vma, unsigned long address)
{
	return false;
}
#endif

/* As a fault does: hardly ever does anyone hold it for writing. */
static inline bool lock_mm(struct mm_struct *mm)
{
	return mmap_read_trylock(mm) || !mmap_read_lock_killable(mm);
}

/* The VMA of an address, if it is a window of the client that may be populated. */
static inline struct vm_area_struct *find_window(struct client *client, unsigned long address,
						 u64 index)
{
	struct vm_area_struct *vma = vma_lookup(current->mm, address);

	if (vma && vma->vm_ops == &mapping_vm_ops && vma->vm_private_data == client &&
	    vma->vm_flags & VM_WRITE &&
	    vma->vm_pgoff + ((address - vma->vm_start) >> PAGE_SHIFT) == index)
		return vma;
	return NULL;
}

/**
 * mapping_populate_page() - mapping_populate() of one page
 * @client: the client
 * @window: the address of index 0, a multiple of the page size
 * @index: a page from client_reserve()
 */
void mapping_populate_page(struct client *client, unsigned long window, u64 index)
{
	unsigned long address = window + (index << PAGE_SHIFT);
	struct pool *pool = client->registry->pool;
	struct mm_struct *mm = current->mm;
	struct vm_area_struct *vma;

	if (pool_block_is_poisoned(pool, index) || !lock_mm(mm))
		return;
	vma = find_window(client, address, index);
	if (vma)
		era_populate_page(vma, address, pool, index);
	mmap_read_unlock(mm);
}

/**
 * struct populate - where mapping_populate() is
 * @client: the client
 * @window: the address of index 0
 * @vma: where it was last, NULL at first
 */
struct populate {
	struct client *client;
	unsigned long window;
	struct vm_area_struct *vma;
};

/*
 * Whether the pages at some addresses, which are at most a megablock apart, are best
 * left to faults, which look at each.
 */
static inline bool near_poisoned(const struct populate *populate, unsigned long start,
				 unsigned long end)
{
	const struct pool *pool = populate->client->registry->pool;

	return pool_block_is_poisoned(pool, (start - populate->window) >> PAGE_SHIFT) ||
	       pool_block_is_poisoned(pool, (end - 1 - populate->window) >> PAGE_SHIFT);
}

/*
 * Maps the spans, from the first on, that lie in the table of 4 KiB entries of the
 * first one, if that can be done in one go; how many they are.
 */
static u32 populate_table(const struct populate *populate, const u64 *firsts, u32 nr, u32 nr_pages)
{
	struct pool *pool = populate->client->registry->pool;
	struct vm_area_struct *vma = populate->vma;
	unsigned long address = populate->window + (*firsts << PAGE_SHIFT);
	unsigned long bytes = (unsigned long)nr_pages << PAGE_SHIFT;
	unsigned long start, end;

	if (!vma || bytes >= PMD_SIZE || !era_fills_tables(pool, *firsts))
		return 0;
	start = max(vma->vm_start, address & PMD_MASK);
	end = min(vma->vm_end, (address & PMD_MASK) + PMD_SIZE);
	if (address < start || address + bytes > end || near_poisoned(populate, start, end))
		return 0;
	return era_populate_spans(vma, populate->window, pool, firsts, nr, nr_pages);
}

/* How many pages of a range lie before the next VMA that might be a window. */
static u64 pages_without_window(unsigned long address, u64 nr_pages)
{
	struct vm_area_struct *vma = find_vma(current->mm, address);
	unsigned long next;

	if (!vma)
		return nr_pages;
	next = vma->vm_start > address ? vma->vm_start : vma->vm_end;
	return min_t(u64, nr_pages, (next - address) >> PAGE_SHIFT);
}

/*
 * Maps pages of one VMA below one entry of the table of 2 MiB entries; how many
 * it is done with, 0 to give up.
 */
static u64 populate_part(struct populate *populate, u64 first, u64 nr_pages)
{
	unsigned long address = populate->window + (first << PAGE_SHIFT);
	struct pool *pool = populate->client->registry->pool;
	struct vm_area_struct *vma = populate->vma;

	if (!vma || address < vma->vm_start || address >= vma->vm_end) {
		vma = find_window(populate->client, address, first);
		if (!vma)
			return pages_without_window(address, nr_pages);
		populate->vma = vma;
	}
	nr_pages = min_t(u64, nr_pages, (PMD_SIZE - (address & ~PMD_MASK)) >> PAGE_SHIFT);
	nr_pages = min_t(u64, nr_pages, (vma->vm_end - address) >> PAGE_SHIFT);
	if (near_poisoned(populate, address, address + (nr_pages << PAGE_SHIFT)))
		return nr_pages;
	if (nr_pages == PMD_SIZE >> PAGE_SHIFT && populate_huge(populate->client, vma, address))
		return nr_pages;
	return era_populate(vma, address, pool, first, nr_pages) ? 0 : nr_pages;
}

/* Maps what it can of pages that follow each other; false to give up. */
static bool populate_stretch(struct populate *populate, u64 first, u64 nr_pages)
{
	u64 part;

	for (;;) {
		part = populate_part(populate, first, nr_pages);
		first += part;
		nr_pages -= part;
		if (!part || !nr_pages)
			return part;
		cond_resched();
	}
}

/**
 * mapping_populate() - map reserved spans ahead of faults
 * @client: the client
 * @window: the address of index 0, a multiple of the page size
 * @firsts: the first page of each span, from client_reserve()
 * @nr: number of spans
 * @nr_pages: of each span
 *
 * Maps what it can; the rest is left for faults. The spans must not be published
 * yet, so that nobody can free them meanwhile.
 *
 * Context: process context; no lock held; takes mmap_lock once, so the caller
 * bounds the pages.
 */
void mapping_populate(struct client *client, unsigned long window, const u64 *firsts, u32 nr,
		      u32 nr_pages)
{
	struct populate populate = { .client = client, .window = window };
	struct mm_struct *mm = current->mm;
	u32 spans;

	if (!lock_mm(mm))
		return;
	for (; nr; firsts += spans, nr -= spans) {
		spans = populate_table(&populate, firsts, nr, nr_pages);
		if (spans) {
			cond_resched();
			continue;
		}
		spans = spans_side_by_side(firsts, nr, nr_pages);
		if (!populate_stretch(&populate, *firsts, (u64)spans * nr_pages))
			break;
	}
	mmap_read_unlock(mm);
}

static const struct vm_operations_struct mapping_vm_ops = {
	.open = snapshot_open,
	.close = snapshot_close,
	.fault = mapping_fault,
#ifdef CONFIG_TRANSPARENT_HUGEPAGE
	.huge_fault = mapping_huge_fault,
#endif
};

/**
 * mapping_client() - the client whose window a mapping is
 * @vma: any mapping; hold mmap_lock
 *
 * Return: the client, or NULL if it is no window.
 */
struct client *mapping_client(const struct vm_area_struct *vma)
{
	if (vma->vm_ops != &mapping_vm_ops && vma->vm_ops != &snapshot_vm_ops)
		return NULL;
	return vma->vm_private_data;
}

/**
 * mapping_init_vma() - make a mapping one of pages of the pool
 * @vma: the mapping to be
 * @set: flags that it gets besides
 * @clear: flags that it loses besides
 *
 * VM_MIXEDMAP is set here, not in a fault: inserting pages needs it and may not
 * set it. VM_SEQ_READ keeps a zap from marking pages as accessed, which no
 * reclaim will ever ask for. A driver that forwards its mmap() to a dma-buf may have
 * taken it for one without pages.
 *
 * Return: 0; -EINVAL if the mapping is private; -EACCES if it is executable.
 */
int mapping_init_vma(struct vm_area_struct *vma, unsigned long set, unsigned long clear)
{
	if (!(vma->vm_flags & VM_MAYSHARE))
		return -EINVAL;
	if (vma->vm_flags & VM_EXEC)
		return -EACCES;
	compat_vm_flags_mod(vma, VM_MIXEDMAP | VM_SEQ_READ | VM_DONTEXPAND | VM_DONTDUMP | set,
			    VM_MAYEXEC | VM_PFNMAP | VM_IO | clear);
	return 0;
}

/**
 * mapping_mmap() - map a window
 * @client: the client, alive as long as the mapping's file
 * @vma: the mapping to be
 *
 * Return: 0; -EINVAL if the mapping is private or leaves the pool; -EACCES if
 * it is executable.
 */
int mapping_mmap(struct client *client, struct vm_area_struct *vma)
{
	int ret;

	if (!pool_contains(client->registry->pool, vma->vm_pgoff, vma_pages(vma)))
		return -EINVAL;
	ret = mapping_init_vma(vma, VM_WIPEONFORK, 0);
	if (ret)
		return ret;
	vma->vm_private_data = client;
	vma->vm_ops = &mapping_vm_ops;
	atomic_inc(&client->view.nr_windows);
	return 0;
}
