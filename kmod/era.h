/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * An era: the kernels that one way of mapping pages serves. What a kernel takes an
 * entry, a reference and a map count for stands in one file for each era, of
 * which Kbuild compiles one:
 *
 *	era_devmap.c	until 6.16: devmap entries, which hold no reference
 *	era_folio.c	from 6.17 on: every entry holds one; 2 MiB entries map folios
 */
#ifndef PAGESPAN_ERA_H
#define PAGESPAN_ERA_H

#include <linux/mm.h>

#include "pool.h"

/*
 * The map count of a page of the pool that no entry maps. Where the first entry of a page
 * and the last are counted for the system, of which that would be the half of what an
 * entry costs, the pool counts as a mapping.
 */
#define ERA_UNMAPPED	(PAGESPAN_FOLIOS ? 0 : -1)

vm_fault_t era_insert(struct vm_fault *vmf, const struct pool *pool, u64 index);
vm_fault_t era_insert_page(struct vm_fault *vmf, struct page *page, bool device, bool writable);
vm_fault_t era_insert_huge(struct vm_fault *vmf, struct pool *pool, u64 first, bool write);
vm_fault_t era_insert_huge_page(struct vm_fault *vmf, struct pool *pool, u64 first, bool write,
				bool writable);

void era_populate_page(struct vm_area_struct *vma, unsigned long address, struct pool *pool,
		       u64 index);
int era_populate(struct vm_area_struct *vma, unsigned long address, struct pool *pool, u64 first,
		 u64 nr_pages);
u32 era_populate_spans(struct vm_area_struct *vma, unsigned long window, struct pool *pool,
		       const u64 *firsts, u32 nr, u32 nr_pages);

/* A copy of the VMA of a fault, from which the kernel takes what an entry allows. */
static inline void era_borrow(struct vm_area_struct *borrowed, const struct vm_area_struct *vma,
			      bool writable)
{
	memcpy(borrowed, vma, sizeof(*borrowed));
	borrowed->vm_page_prot = vm_get_page_prot(writable ? vma->vm_flags :
						  vma->vm_flags & ~VM_SHARED);
}

bool era_take_apart(struct pool *pool, u64 first);
bool era_hold_poisoned(struct page *page);
u64 era_zap_pages(const struct pool *pool, u64 first, u64 nr_pages);

/**
 * era_fills_tables() - whether era_populate_spans() is of use
 * @pool: the pool
 * @index: of a page
 *
 * Return: true if it is for this page.
 */
static inline bool era_fills_tables(const struct pool *pool, u64 index)
{
	return PAGESPAN_FOLIOS || pool_is_device(pool, index);
}

#endif
