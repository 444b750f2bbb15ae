// SPDX-License-Identifier: GPL-2.0-only
/*
 * Mapping pages in kernels that have devmap entries: 6.1 to 6.16.
 *
 * Pages of the running system are mapped by reference, ZONE_DEVICE pages by
 * devmap entries that hold none. A 2 MiB entry of that kind maps 512 pages of order
 * 0, each of which can be pinned by itself; one of other pages would have
 * every reference to any of them counted at the first.
 *
 * Read in Linux 6.1 and 6.12: vmf_insert_mixed() and vmf_insert_pfn_pmd() take
 * PFN_DEV | PFN_MAP for a devmap entry, vm_normal_page() finds no page behind one,
 * so that a zap drops nothing, and get_user_pages() takes its reference from the
 * pagemap's pages.
 */
#include <linux/pfn.h>
#include <linux/pfn_t.h>

#include "compat.h"
#include "era.h"
#include "table.h"

/* Pages mapped by reference in one call, and put into the call's array at a time. */
#define POPULATE_BATCH	96
#define POPULATE_STRIDE	16

/*
 * Pages zapped in one go, of the running system's and of ZONE_DEVICE. The kernel
 * holds the lock of their page table meanwhile, for 40,000 and 25,000 instructions
 * if all of them are mapped and written.
 */
#define ZAP_PAGES		86
#define ZAP_DEVICE_PAGES	256

static pfn_t devmap_pfn(struct page *page)
{
	return phys_to_pfn_t(PFN_PHYS(page_to_pfn(page)), PFN_DEV | PFN_MAP);
}

/**
 * era_insert() - map the page that a fault is about by an entry of 4 KiB
 * @vmf: the fault, in a VMA that mapping_init_vma() has been told of
 * @pool: the pool
 * @index: of the page, which cannot leave meanwhile
 *
 * The kernel can take a reference to what is mapped so.
 *
 * Return: as a fault handler.
 */
vm_fault_t era_insert(struct vm_fault *vmf, const struct pool *pool, u64 index)
{
	struct page *page = pool_page(pool, index);

	if (pool_is_device(pool, index))
		return vmf_insert_mixed(vmf->vma, vmf->address, devmap_pfn(page));
	return vmf_insert_page(vmf->vma, vmf->address, page);
}

/**
 * era_insert_page() - map a page by an entry that is writable or is not
 * @vmf: the fault
 * @page: the page, which cannot leave meanwhile
 * @device: whether it is a ZONE_DEVICE page
 * @writable: whether the entry may be written, as far as the VMA may
 *
 * Return: as a fault handler.
 */
vm_fault_t era_insert_page(struct vm_fault *vmf, struct page *page, bool device, bool writable)
{
	struct vm_area_struct vma;

	era_borrow(&vma, vmf->vma, writable);
	if (device)
		return vmf_insert_mixed(&vma, vmf->address, devmap_pfn(page));
	return vmf_insert_page(&vma, vmf->address, page);
}

#ifdef CONFIG_TRANSPARENT_HUGEPAGE
/**
 * era_insert_huge_page() - era_insert_huge() by an entry that is writable or is not
 * @vmf: the fault
 * @pool: the pool
 * @first: index of the megablock's first page
 * @write: whether it is for writing
 * @writable: whether the entry may be written, as far as the VMA may
 *
 * Return: as a fault handler.
 */
vm_fault_t era_insert_huge_page(struct vm_fault *vmf, struct pool *pool, u64 first, bool write,
				bool writable)
{
	struct vm_area_struct vma;
	struct vm_fault huge = {
		.vma = &vma,
		.address = vmf->address,
		.pmd = vmf->pmd,
		.flags = vmf->flags,
	};

	era_borrow(&vma, vmf->vma, writable);
	return era_insert_huge(&huge, pool, first, write && writable);
}
/**
 * era_insert_huge() - map a megablock by an entry of 2 MiB
 * @vmf: as of a fault, with the entry's place in @pmd
 * @pool: the pool
 * @first: index of its first page; it cannot leave, and nobody frees or maps a part
 *	of it meanwhile
 * @write: whether it is for writing
 *
 * Return: as a fault handler; VM_FAULT_FALLBACK if it has to be mapped by pages.
 */
vm_fault_t era_insert_huge(struct vm_fault *vmf, struct pool *pool, u64 first, bool write)
{
	pool_set_mapped(pool, first);
	return vmf_insert_pfn_pmd(vmf, devmap_pfn(pool_page(pool, first)), write);
}
#endif

static __always_inline void make_devmap_entries(struct vm_area_struct *vma, pte_t *slot,
						unsigned long address, struct page *page,
						u64 nr_pages, void *made)
{
	pte_t entry = pfn_pte(page_to_pfn(page), vma->vm_page_prot);

	entry = pte_mkyoung(pte_mkdirty(pte_mkdevmap(entry)));
	for (;; slot++, address += PAGE_SIZE) {
		if (pte_none(*slot))
			compat_set_pte_at(vma->vm_mm, address, slot, entry);
		if (!--nr_pages)
			break;
		entry = compat_pte_next(entry);
	}
}

/**
 * era_populate_page() - era_populate() of one page
 * @vma: the VMA
 * @address: in it
 * @pool: the pool
 * @index: of the page
 */
void era_populate_page(struct vm_area_struct *vma, unsigned long address, struct pool *pool,
		       u64 index)
{
	struct page *page = pool_page(pool, index);

	if (pool_is_device(pool, index))
		table_populate(vma, address, page, 1, make_devmap_entries, NULL);
	else
		vm_insert_page(vma, address, page);
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

/**
 * era_populate() - map pages by entries of 4 KiB ahead of faults
 * @vma: a VMA that mapping_init_vma() has been told of; mmap_lock is held
 * @address: in it
 * @pool: the pool
 * @first: index of the first page
 * @nr_pages: how many, below one entry of the table of 2 MiB entries; they are
 *	reserved and not published, so that none of them is mapped
 *
 * Where a fault has made an entry meanwhile it stays.
 *
 * Return: 0 or -errno; then some are mapped, and the rest is left for faults.
 */
int era_populate(struct vm_area_struct *vma, unsigned long address, struct pool *pool, u64 first,
		 u64 nr_pages)
{
	struct page *page = pool_page(pool, first);

	if (pool_is_device(pool, first))
		return table_populate(vma, address, page, nr_pages, make_devmap_entries, NULL);
	if (nr_pages == 1)
		return vm_insert_page(vma, address, page);
	return populate_pages(vma, page, address, nr_pages);
}

/**
 * era_populate_spans() - era_populate() of spans whose entries are in one table
 * @vma: the VMA
 * @window: the address of index 0
 * @pool: the pool
 * @firsts: the first page of each span; the first of them lies in the VMA whole, and
 *	below one entry of the table of 2 MiB entries
 * @nr: how many spans
 * @nr_pages: of each span
 *
 * Only where era_fills_tables(). Pages of another kind are in another piece, and so in
 * another table.
 *
 * Return: how many spans, from the first on, are done; 0 if there is no table.
 */
u32 era_populate_spans(struct vm_area_struct *vma, unsigned long window, struct pool *pool,
		       const u64 *firsts, u32 nr, u32 nr_pages)
{
	return table_populate_spans(vma, window, pool, firsts, nr, nr_pages, make_devmap_entries,
				    NULL);
}

/**
 * era_take_apart() - make a folio pages of order 0
 * @pool: the pool
 * @first: index of its first page
 *
 * Return: true, for there are no folios.
 */
bool era_take_apart(struct pool *pool, u64 first)
{
	return true;
}

/**
 * era_hold_poisoned() - give a page the reference of a poisoned one
 * @page: a page that is poisoned, or is going to be marked so
 *
 * Return: false if it has it already.
 */
bool era_hold_poisoned(struct page *page)
{
	if (pool_test_set_held(page))
		return false;
	get_page(page);
	smp_mb__after_atomic();	/* pairs with pool_page_pinned() */
	return true;
}

/**
 * era_zap_pages() - how many pages are to be zapped in one go
 * @pool: the pool
 * @first: index of the first of them
 * @nr_pages: at most so many
 *
 * Return: at least 1.
 */
u64 era_zap_pages(const struct pool *pool, u64 first, u64 nr_pages)
{
	if (!pool_is_device(pool, first))
		return min_t(u64, nr_pages, ZAP_PAGES);
	if (nr_pages >= SPAN_MAP_MEGABLOCK_PAGES && IS_ALIGNED(first, SPAN_MAP_MEGABLOCK_PAGES) &&
	    pool_is_mapped(pool, first))
		return SPAN_MAP_MEGABLOCK_PAGES;
	return min_t(u64, nr_pages, ZAP_DEVICE_PAGES - first % ZAP_DEVICE_PAGES);
}
