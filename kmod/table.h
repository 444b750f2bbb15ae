/* SPDX-License-Identifier: GPL-2.0-only */
/* The page tables of a process, and how many entries of 4 KiB are made in them at once. */
#ifndef PAGESPAN_TABLE_H
#define PAGESPAN_TABLE_H

#include <linux/mm.h>
#include <linux/pgtable.h>

#include "compat.h"
#include "pool.h"

/**
 * table_find_pmd() - the entry for an address in the table of 2 MiB entries
 * @mm: whose tables
 * @address: the address
 *
 * Return: the entry, NULL if there is no such table.
 */
static inline pmd_t *table_find_pmd(struct mm_struct *mm, unsigned long address)
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

/*
 * Makes entries for pages that follow each other, but where there is one; the table is
 * locked. What is given as @made tells or is told of them.
 */
typedef void table_make(struct vm_area_struct *vma, pte_t *slot, unsigned long address,
			struct page *page, u64 nr_pages, void *made);

/**
 * struct table_apply - the entry to be made next by table_apply_one()
 * @vma: for which VMA
 * @page: its page
 * @make: how it is made
 * @made: for @make
 */
struct table_apply {
	struct vm_area_struct *vma;
	struct page *page;
	table_make *make;
	void *made;
};

static inline int table_apply_one(pte_t *slot, unsigned long address, void *data)
{
	struct table_apply *apply = data;

	apply->make(apply->vma, slot, address, apply->page++, 1, apply->made);
	return 0;
}

/* Where there is no table yet. */
static noinline __maybe_unused int table_apply(struct table_apply *apply, unsigned long address,
					       u64 nr_pages)
{
	return apply_to_page_range(apply->vma->vm_mm, address, nr_pages << PAGE_SHIFT,
				   table_apply_one, apply);
}

/**
 * table_populate() - make entries below one entry of the table of 2 MiB entries
 * @vma: for which VMA
 * @address: of the first entry
 * @page: its page
 * @nr_pages: how many
 * @make: how, known when this is compiled
 * @made: for @make
 *
 * Return: 0 or -errno.
 */
static __always_inline int table_populate(struct vm_area_struct *vma, unsigned long address,
					  struct page *page, u64 nr_pages, table_make *make,
					  void *made)
{
	spinlock_t *lock;	/* of the table */
	pte_t *slot = compat_lock_table(vma->vm_mm, table_find_pmd(vma->vm_mm, address), address,
					&lock);

	if (!slot) {
		struct table_apply apply = {
			.vma = vma,
			.page = page,
			.make = make,
			.made = made,
		};

		return table_apply(&apply, address, nr_pages);
	}
	make(vma, slot, address, page, nr_pages, made);
	compat_unlock_table(slot, lock);
	return 0;
}

/**
 * table_populate_spans() - table_populate() of spans whose entries are in one table
 * @vma: for which VMA
 * @window: the address of index 0
 * @pool: the pool
 * @firsts: the first page of each span; the first of them lies in the VMA whole, and
 *	below one entry of the table of 2 MiB entries
 * @nr: how many spans
 * @nr_pages: of each span
 * @make: how, known when this is compiled
 * @made: for @make
 *
 * Return: how many spans, from the first on, are done; 0 if there is no table.
 */
static __always_inline u32 table_populate_spans(struct vm_area_struct *vma, unsigned long window,
						const struct pool *pool, const u64 *firsts, u32 nr,
						u32 nr_pages, table_make *make, void *made)
{
	unsigned long address = window + (*firsts << PAGE_SHIFT);
	unsigned long bytes = (unsigned long)nr_pages << PAGE_SHIFT;
	unsigned long start = max(vma->vm_start, address & PMD_MASK);
	unsigned long end = min(vma->vm_end, (address & PMD_MASK) + PMD_SIZE);
	spinlock_t *lock;	/* of the table */
	pte_t *slot;
	u32 i = 0;

	slot = compat_lock_table(vma->vm_mm, table_find_pmd(vma->vm_mm, start), start, &lock);
	if (!slot)
		return 0;
	do {
		make(vma, slot + ((address - start) >> PAGE_SHIFT), address,
		     pool_page(pool, firsts[i]), nr_pages, made);
		if (++i == nr)
			break;
		address = window + (firsts[i] << PAGE_SHIFT);
	} while (address >= start && address + bytes <= end);
	compat_unlock_table(slot, lock);
	return i;
}

#endif
