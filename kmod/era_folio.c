// SPDX-License-Identifier: GPL-2.0-only
/*
 * Mapping pages in kernels without devmap entries: 6.17 and later.
 *
 * Every entry holds a reference and counts as a mapping of what it maps, be it a
 * ZONE_DEVICE page or one of the running system. A 2 MiB entry maps a folio, so a
 * megablock is made one when it gets such an entry (folio.c), and has one
 * reference count as long as it is one; see pool.h.
 *
 * Read in Linux 7.3, and in part in 6.18 (not run):
 *
 * - An entry without a reference is a special one, and get_user_pages() refuses it, or
 *   of 2 MiB takes all references on the first page. So vmf_insert_mixed()
 *   and vmf_insert_pfn_pmd() are of no use.
 * - vmf_insert_folio_pmd() counts what it maps in the process and in the folio. A mapping
 *   of which the kernel splits the entry forgets to take that off again unless it is
 *   DAX (vma_is_special_huge()), hence S_DAX in mapping_create().
 * - A zap takes off of the process and the page what make_entries() adds; what it
 *   finds written it marks as dirty, by page->mapping.
 * - The first mapping of a page and the last are counted for its node, one by one. A
 *   page of the pool has one more, ERA_UNMAPPED, the pool's; so the pool's pages
 *   are no part of "Mapped" in /proc/meminfo, as they are not with devmap entries, and
 *   /proc/PID/smaps tells of 4 KiB entries as shared with somebody. Of folios it
 *   does not, for a 2 MiB entry is counted once.
 */
#include <linux/mm.h>
#include <linux/percpu_counter.h>

#include "compat.h"
#include "era.h"
#include "folio.h"
#include "table.h"

/*
 * Pages zapped in one go. The kernel holds the lock of their page table meanwhile, for
 * 40,000 instructions if all of them are mapped and written.
 */
#define ZAP_PAGES	86

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
	return vmf_insert_page_mkwrite(vmf, pool_page(pool, index),
				       vmf->flags & FAULT_FLAG_WRITE);
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
	struct vm_fault fault = { .vma = &vma, .address = vmf->address, .pmd = vmf->pmd };

	era_borrow(&vma, vmf->vma, writable);
	return vmf_insert_page_mkwrite(&fault, page, writable && vma.vm_flags & VM_WRITE);
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
 * To write into a place that turns out to have a table is warned of, and a guard of
 * madvise() can make one at any time; a new entry is writable without.
 *
 * Return: as a fault handler; VM_FAULT_FALLBACK if it has to be mapped by pages.
 */
vm_fault_t era_insert_huge(struct vm_fault *vmf, struct pool *pool, u64 first, bool write)
{
	struct folio *folio = folio_build(pool, first);

	if (!folio)
		return VM_FAULT_FALLBACK;
	return vmf_insert_folio_pmd(vmf, folio, write && pmd_leaf(READ_ONCE(*vmf->pmd)));
}
#endif

/*
 * As insert_page_into_pte_locked(), of pages of order 0, but for what count_made() does.
 * How many were made is added to @made.
 */
static __always_inline void make_entries(struct vm_area_struct *vma, pte_t *slot,
					 unsigned long address, struct page *page, u64 nr_pages,
					 void *made)
{
	pte_t entry = pte_mkyoung(mk_pte(page, vma->vm_page_prot));
	int nr_entries = 0;

	for (;; slot++, page++, address += PAGE_SIZE) {
		if (pte_none(ptep_get(slot))) {
			page_ref_inc(page);
			atomic_inc(&page->_mapcount);	/* never the first, see ERA_UNMAPPED */
			compat_set_pte_at(vma->vm_mm, address, slot, entry);
			nr_entries++;
		}
		if (!--nr_pages)
			break;
		entry = compat_pte_next(entry);
	}
	*(int *)made += nr_entries;
}

/* What add_mm_counter() does, which also traces and so is not for modules. */
static inline void count_made(struct vm_area_struct *vma, int made)
{
	percpu_counter_add(&vma->vm_mm->rss_stat[MM_FILEPAGES], made);
}

/* Compiled twice, for a single page is the hot path. */
static __always_inline int populate(struct vm_area_struct *vma, unsigned long address,
				    struct page *page, u64 nr_pages)
{
	int made = 0;
	int ret = table_populate(vma, address, page, nr_pages, make_entries, &made);

	count_made(vma, made);
	return ret;
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
	populate(vma, address, pool_page(pool, index), 1);
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
	u64 block = round_down(first, SPAN_MAP_MEGABLOCK_PAGES);

	/* A megablock that was one folio the last time, and has no place for a 2 MiB entry now. */
	for (; block < first + nr_pages; block += SPAN_MAP_MEGABLOCK_PAGES)
		if (pool_is_folio(pool, block) && !folio_take_apart(pool, block))
			return -EBUSY;
	return populate(vma, address, pool_page(pool, first), nr_pages);
}

/**
 * era_populate_spans() - era_populate() of spans whose entries are in one table
 * @vma: the VMA
 * @window: the address of index 0
 * @pool: the pool
 * @firsts: the first page of each span; the first of them lies in the VMA whole, and
 *	below one entry of the table of 2 MiB entries
 * @nr: how many spans
 * @nr_pages: of each span, less than a megablock
 *
 * Only where era_fills_tables(). Pages of another kind are in another piece, and so in
 * another table.
 *
 * Return: how many spans, from the first on, are done; 0 if there is no table.
 */
u32 era_populate_spans(struct vm_area_struct *vma, unsigned long window, struct pool *pool,
		       const u64 *firsts, u32 nr, u32 nr_pages)
{
	int made = 0;
	u32 done = table_populate_spans(vma, window, pool, firsts, nr, nr_pages, make_entries,
					&made);

	count_made(vma, made);
	return done;
}

/**
 * era_take_apart() - make a folio pages of order 0
 * @pool: the pool
 * @first: index of its first page
 *
 * Return: false if it is mapped or pinned, or the kernel just looks at it.
 */
bool era_take_apart(struct pool *pool, u64 first)
{
	return folio_take_apart(pool, first);
}

/**
 * era_hold_poisoned() - give a page the reference of a poisoned one
 * @page: a page that is poisoned, or is going to be marked so
 *
 * Return: false if it has it already.
 */
bool era_hold_poisoned(struct page *page)
{
	return folio_hold_poisoned(page);
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
	if (nr_pages >= SPAN_MAP_MEGABLOCK_PAGES && IS_ALIGNED(first, SPAN_MAP_MEGABLOCK_PAGES) &&
	    pool_is_folio(pool, first))
		return SPAN_MAP_MEGABLOCK_PAGES;
	return min_t(u64, nr_pages, ZAP_PAGES);
}
