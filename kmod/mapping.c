// SPDX-License-Identifier: GPL-2.0-only
/*
 * The window: mmap of the device, faults in it, and populating it ahead of them.
 *
 * Offset is page index, in every mapping of every client.  Each client has an
 * address space of its own, so that a free zaps that client's mappings and
 * nobody else's; unmap_mapping_range() finds them in every process, children
 * that undid VM_DONTCOPY included.
 *
 * Pages of the running system are mapped by reference, ZONE_DEVICE pages by
 * devmap entries that hold none; a megablock of those that the client owns whole
 * gets one 2 MiB entry.
 *
 * What the kernel has read of a slot for a 2 MiB entry before it calls a fault
 * handler may be stale by then. A huge fault holds client->lock for writing, so
 * that no fault makes a table of 4 KiB entries meanwhile, and every fault looks
 * at the slot again under the lock. Populating makes entries without it, but
 * for pages that are not published: as long as there is one in a megablock no
 * fault gets a 2 MiB entry for it.
 */
#include <linux/pfn.h>
#include <linux/pfn_t.h>

#include "address_space.h"
#include "client.h"
#include "compat.h"
#include "mapping.h"
#include "stats.h"

/* Pages mapped by reference in one call, and put into the call's array at a time. */
#define POPULATE_BATCH	96
#define POPULATE_STRIDE	16

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

static pfn_t devmap_pfn(struct page *page)
{
	return phys_to_pfn_t(PFN_PHYS(page_to_pfn(page)), PFN_DEV | PFN_MAP);
}

static inline bool is_huge(pmd_t entry)
{
	return pmd_trans_huge(entry) || pmd_devmap(entry);
}

/**
 * mapping_insert_page() - map the page that a fault is about by an entry of 4 KiB
 * @vmf: the fault, in a VMA that mapping_init_vma() has been told of
 * @pool: the pool
 * @index: of the page, which cannot leave meanwhile
 *
 * The kernel can take a reference to what is mapped so.
 *
 * Return: as a fault handler.
 */
vm_fault_t mapping_insert_page(struct vm_fault *vmf, const struct pool *pool, u64 index)
{
	struct page *page = pool_page(pool, index);

	if (pool_is_device(pool, index))
		return vmf_insert_mixed(vmf->vma, vmf->address, devmap_pfn(page));
	return vmf_insert_page(vmf->vma, vmf->address, page);
}

static vm_fault_t mapping_fault(struct vm_fault *vmf)
{
	struct client *client = vmf->vma->vm_private_data;
	struct pool *pool = client->registry->pool;
	vm_fault_t ret;
	u64 index;

	if (vmf->pgoff >= pool->nr_pages)
		return VM_FAULT_SIGBUS;
	index = pool_clamp(pool, vmf->pgoff);
	down_read(&client->lock);
	if (!client_owns(client, index, 1))
		ret = VM_FAULT_SIGBUS;
	else if (PageHWPoison(pool_page(pool, index)))
		ret = VM_FAULT_HWPOISON;
	else if (is_huge(READ_ONCE(*vmf->pmd)))
		ret = VM_FAULT_NOPAGE;
	else
		ret = mapping_insert_page(vmf, pool, index);
	up_read(&client->lock);
	if (ret == VM_FAULT_NOPAGE)
		stats_count(STATS_FAULT, fault, client->id, index, 1);
	return ret;
}

/* The entry for an address in the table of 2 MiB entries, NULL if there is no such table. */
static pmd_t *find_pmd(struct mm_struct *mm, unsigned long address)
{
	pgd_t *pgd = pgd_offset(mm, address);
	p4d_t *p4d;
	pud_t *pud;

	if (pgd_none(*pgd) || pgd_bad(*pgd))
		return NULL;
	p4d = p4d_offset(pgd, address);
	if (p4d_none(*p4d) || p4d_bad(*p4d))
		return NULL;
	pud = pud_offset(p4d, address);
	if (pud_none(*pud) || pud_bad(*pud))
		return NULL;
	return pmd_offset(pud, address);
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
	struct pool *pool = client->registry->pool;

	pool_set_mapped(pool, first);
	WRITE_ONCE(client->had_huge, true);
	return vmf_insert_pfn_pmd(vmf, devmap_pfn(pool_page(pool, first)), write);
}

static COMPAT_HUGE_FAULT(mapping_huge_fault)
{
	struct client *client = vmf->vma->vm_private_data;
	vm_fault_t ret = VM_FAULT_FALLBACK;
	pmd_t slot;
	u64 first;

	if (!compat_is_pmd(size) || !huge_slot(client, vmf->vma, vmf->address & PMD_MASK, &first))
		return VM_FAULT_FALLBACK;
	down_write(&client->lock);
	slot = READ_ONCE(*vmf->pmd);
	if (client_owns(client, first, HPAGE_PMD_NR) &&
	    pool_is_huge(client->registry->pool, first) && (pmd_none(slot) || is_huge(slot)))
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
	vmf.pmd = find_pmd(vma->vm_mm, address);
	if (!vmf.pmd) {
		handle_mm_fault(vma, address, FAULT_FLAG_WRITE, NULL);
		vmf.pmd = find_pmd(vma->vm_mm, address);
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

static inline pte_t devmap_entry(const struct vm_area_struct *vma, struct page *page)
{
	pte_t entry = pfn_pte(page_to_pfn(page), vma->vm_page_prot);

	return pte_mkyoung(pte_mkdirty(pte_mkdevmap(entry)));
}

/* Maps pages that follow each other, but for those that racing faults have mapped. */
static inline void make_devmap_entries(struct mm_struct *mm, pte_t *slot, unsigned long address,
				       pte_t entry, u64 nr_pages)
{
	for (;; slot++, address += PAGE_SIZE) {
		if (pte_none(*slot))
			compat_set_pte_at(mm, address, slot, entry);
		if (!--nr_pages)
			break;
		entry = compat_pte_next(entry);
	}
}

/* The entry to be made next by make_devmap_entry(). */
struct next_entry {
	struct mm_struct *mm;
	pte_t entry;
};

static int make_devmap_entry(pte_t *slot, unsigned long address, void *data)
{
	struct next_entry *next = data;

	make_devmap_entries(next->mm, slot, address, next->entry, 1);
	next->entry = compat_pte_next(next->entry);
	return 0;
}

/* Where no table can be locked. */
static noinline int apply_devmap(struct vm_area_struct *vma, struct page *page,
				 unsigned long address, u64 nr_pages)
{
	struct next_entry next = { .mm = vma->vm_mm, .entry = devmap_entry(vma, page) };

	return apply_to_page_range(vma->vm_mm, address, nr_pages << PAGE_SHIFT, make_devmap_entry,
				   &next);
}

/*
 * For pages below one entry of the table of 2 MiB entries. Compiled twice, for a
 * single page is the hot path.
 */
static __always_inline int populate_devmap(struct vm_area_struct *vma, struct page *page,
					   unsigned long address, u64 nr_pages)
{
	spinlock_t *lock;	/* of the table */
	pte_t *slot = compat_lock_table(vma->vm_mm, find_pmd(vma->vm_mm, address), address, &lock);

	if (!slot)
		return apply_devmap(vma, page, address, nr_pages);
	make_devmap_entries(vma->vm_mm, slot, address, devmap_entry(vma, page), nr_pages);
	compat_unlock_table(slot, lock);
	return 0;
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
	if (vma && pool_is_device(pool, index))
		populate_devmap(vma, pool_page(pool, index), address, 1);
	else if (vma)
		vm_insert_page(vma, address, pool_page(pool, index));
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
 * first one, if that can be locked; how many they are. Pages of another kind are in
 * another piece, and so in another table.
 */
static u32 populate_table(const struct populate *populate, const u64 *firsts, u32 nr, u32 nr_pages)
{
	const struct pool *pool = populate->client->registry->pool;
	struct vm_area_struct *vma = populate->vma;
	unsigned long address = populate->window + (*firsts << PAGE_SHIFT);
	unsigned long bytes = (unsigned long)nr_pages << PAGE_SHIFT;
	unsigned long start, end;
	spinlock_t *lock;	/* of the table */
	pte_t *slot;
	u32 i = 0;

	if (!vma || bytes >= PMD_SIZE || !pool_is_device(pool, *firsts))
		return 0;
	start = max(vma->vm_start, address & PMD_MASK);
	end = min(vma->vm_end, (address & PMD_MASK) + PMD_SIZE);
	if (address < start || address + bytes > end || near_poisoned(populate, start, end))
		return 0;
	slot = compat_lock_table(vma->vm_mm, find_pmd(vma->vm_mm, start), start, &lock);
	if (!slot)
		return 0;
	do {
		make_devmap_entries(vma->vm_mm, slot + ((address - start) >> PAGE_SHIFT), address,
				    devmap_entry(vma, pool_page(pool, firsts[i])), nr_pages);
		if (++i == nr)
			break;
		address = populate->window + (firsts[i] << PAGE_SHIFT);
	} while (address >= start && address + bytes <= end);
	compat_unlock_table(slot, lock);
	return i;
}

/* Without a branch for each; what is beyond the batch is not looked at. */
static __always_inline void fill_stride(struct page **pages, struct page *page)
{
	int i;

#pragma GCC unroll 16
	for (i = 0; i < POPULATE_STRIDE; i++)
		pages[i] = page + i;
}

static int populate_pages(struct vm_area_struct *vma, struct page *page, unsigned long address,
			  u64 nr_pages)
{
	struct page *pages[POPULATE_BATCH];

	while (nr_pages) {
		unsigned long batch = min_t(u64, nr_pages, POPULATE_BATCH);
		unsigned long left = batch;
		unsigned long i;
		int ret;

		for (i = 0; i < batch; i += POPULATE_STRIDE)
			fill_stride(&pages[i], page + i);
		ret = vm_insert_pages(vma, address, pages, &left);
		if (ret)
			return ret;
		address += batch << PAGE_SHIFT;
		page += batch;
		nr_pages -= batch;
	}
	return 0;
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
	int ret;

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
	if (pool_is_device(pool, first))
		ret = populate_devmap(vma, pool_page(pool, first), address, nr_pages);
	else if (nr_pages == 1)
		ret = vm_insert_page(vma, address, pool_page(pool, first));
	else
		ret = populate_pages(vma, pool_page(pool, first), address, nr_pages);
	return ret ? 0 : nr_pages;
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
	return vma->vm_ops == &mapping_vm_ops ? vma->vm_private_data : NULL;
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
	ret = mapping_init_vma(vma, VM_DONTCOPY, 0);
	if (ret)
		return ret;
	vma->vm_private_data = client;
	vma->vm_ops = &mapping_vm_ops;
	return 0;
}
