/* SPDX-License-Identifier: GPL-2.0-only */
/* What differs between the kernels that one source serves: 6.1 to 7.3. */
#ifndef PAGESPAN_COMPAT_H
#define PAGESPAN_COMPAT_H

#include <linux/err.h>
#include <linux/gfp.h>
#include <linux/memremap.h>
#include <linux/mm.h>
#include <linux/smp.h>
#include <linux/version.h>
#include <linux/workqueue.h>

#include <asm/tlbflush.h>

/* Debian's 6.1 for arm64 is built without ZONE_DEVICE: no pages that need it can be had. */
#ifndef CONFIG_ZONE_DEVICE
static inline void *memremap_pages(struct dev_pagemap *pgmap, int nid)
{
	return ERR_PTR(-EOPNOTSUPP);
}

static inline void memunmap_pages(struct dev_pagemap *pgmap)
{
}
#endif

/* A name space is a string since 6.13, a word before. */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 13, 0)
#define COMPAT_IMPORT_NS(name)	MODULE_IMPORT_NS(#name)
#else
#define COMPAT_IMPORT_NS(name)	MODULE_IMPORT_NS(name)
#endif

/* The queue for work that any CPU may do has another name since 6.18, and the old one warns. */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 18, 0)
#define compat_unbound_wq	system_dfl_wq
#else
#define compat_unbound_wq	system_unbound_wq
#endif

/*
 * What alloc_contig_range() is told of the range: a migrate type, which it becomes if
 * the call fails, or since 6.17 for whom it is. Both are integers, and 1, the type of
 * movable pages, would say for a contiguous memory allocator.
 */
#ifdef ACR_FLAGS_NONE
#define COMPAT_CONTIG_FLAGS	ACR_FLAGS_NONE
#else
#define COMPAT_CONTIG_FLAGS	MIGRATE_MOVABLE
#endif

/* The flags of a page are in a structure since 6.18. */
static inline unsigned long *compat_page_flags(struct page *page)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 18, 0)
	return &page->flags.f;
#else
	return &page->flags;
#endif
}

/*
 * Where a tail page has its head, and how that is written: since 7.1 the order goes into
 * it as well.
 */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(7, 1, 0)
#define COMPAT_HEAD_MEMBER	compound_info
#define compat_set_compound_head(tail, head, order)	set_compound_head(tail, head, order)
#else
#define COMPAT_HEAD_MEMBER	compound_head
#define compat_set_compound_head(tail, head, order)	set_compound_head(tail, head)
#endif

/* The device of a page of ZONE_DEVICE is its folio's since 6.15. */
static inline struct dev_pagemap *compat_page_pgmap(const struct page *page)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 15, 0)
	return page_pgmap(page);
#else
	return page->pgmap;
#endif
}

/* vm_flags_mod() came in 6.3; vm_flags is written directly before. */
static inline void compat_vm_flags_mod(struct vm_area_struct *vma, unsigned long set,
				       unsigned long clear)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 3, 0)
	vm_flags_mod(vma, set, clear);
#else
	vma->vm_flags = (vma->vm_flags | set) & ~clear;
#endif
}

/*
 * The size that a huge fault asks for is an order since 6.6, an enum before.
 * COMPAT_HUGE_FAULT(name) declares the handler; compat_is_pmd() reads its second
 * argument.
 */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 6, 0)
#define COMPAT_HUGE_FAULT(name)	vm_fault_t name(struct vm_fault *vmf, unsigned int size)
#define compat_is_pmd(size)	((size) == HPAGE_PMD_ORDER)
#else
#define COMPAT_HUGE_FAULT(name)	vm_fault_t name(struct vm_fault *vmf, enum page_entry_size size)
#define compat_is_pmd(size)	((size) == PE_SIZE_PMD)
#endif

/*
 * Makes every TLB forget all translations, where the kernel may have lost a 2 MiB
 * entry without a flush: see flush_translations() in free.c. 6.5 looks at what an
 * entry is before it takes it for a broken one. What does this for the whole machine is
 * not for modules on x86, what does it for one CPU is.
 */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 5, 0) && defined(CONFIG_TRANSPARENT_HUGEPAGE)
#ifdef CONFIG_X86
static inline void compat_flush_this_tlb(void *unused)
{
	__flush_tlb_all();
}

static inline void compat_flush_lost_translations(void)
{
	on_each_cpu(compat_flush_this_tlb, NULL, 1);
}
#else
static inline void compat_flush_lost_translations(void)
{
	flush_tlb_all();
}
#endif
#else
static inline void compat_flush_lost_translations(void)
{
}
#endif

/* Whether a process ever pinned memory: flags of an mm are in a bitmap since 6.18. */
static inline bool compat_mm_has_pinned(struct mm_struct *mm)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 18, 0)
	return mm_flags_test(MMF_HAS_PINNED, mm);
#else
	return test_bit(MMF_HAS_PINNED, &mm->flags);
#endif
}

/* Makes entries of 4 KiB not writable, where there is something for it. */
static inline void compat_wp_mapping(struct address_space *mapping, pgoff_t first, pgoff_t nr)
{
#ifdef CONFIG_MAPPING_DIRTY_HELPERS
	wp_shared_mapping_range(mapping, first, nr);
#endif
}

/* Since 6.4 faults take a lock of the VMA alone. */
static inline void compat_vma_start_write(struct vm_area_struct *vma)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 4, 0)
	vma_start_write(vma);
#endif
}

/* Memory reserved at boot by name came in 6.11. */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 11, 0)
#define COMPAT_HAS_RESERVE_MEM	true
#define compat_reserve_mem_find(name, start, size)	reserve_mem_find_by_name(name, start, size)
#else
#define COMPAT_HAS_RESERVE_MEM	false
#define compat_reserve_mem_find(name, start, size)	(*(start) = *(size) = 0, false)
#endif

/*
 * The locked table of 4 KiB entries below an entry of the table of 2 MiB entries,
 * for compat_unlock_table(); NULL, with no lock held, if there is none. Since 6.5 what
 * does this is not for modules; and a table may go while mmap_lock is held for reading,
 * but does so under its lock, and is freed after a grace period. sparse cannot follow a
 * lock that may be held, and is told of none.
 */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 5, 0)
static inline pte_t *compat_lock_table(struct mm_struct *mm, pmd_t *pmd, unsigned long address,
				       spinlock_t **lock)
{
	pmd_t table;

	if (!pmd)
		return NULL;
	rcu_read_lock();
	table = pmdp_get_lockless(pmd);
	if (!pmd_present(table) || pmd_leaf(table) || pmd_bad(table))
		goto unlock;
	*lock = pte_lockptr(mm, &table);
	spin_lock(*lock);
	__release(*lock);
	if (pmd_same(table, pmdp_get_lockless(pmd)))
		return pte_offset_kernel(&table, address);
	__acquire(*lock);
	spin_unlock(*lock);
unlock:
	rcu_read_unlock();
	return NULL;
}
#else
static inline pte_t *compat_lock_table(struct mm_struct *mm, pmd_t *pmd, unsigned long address,
				       spinlock_t **lock)
{
	pte_t *entry;

	if (!pmd || !pmd_present(*pmd) || pmd_bad(*pmd))
		return NULL;
	entry = pte_offset_map_lock(mm, pmd, address, lock);
	__release(*lock);
	return entry;
}
#endif

static inline void compat_unlock_table(pte_t *entry, spinlock_t *lock)
{
	__acquire(lock);
	pte_unmap_unlock(entry, lock);
}

/*
 * set_pte_at() where there was no entry. With memory tags arm64's is not for
 * modules: what it calls for memory that has tags, as a window never has, is not
 * exported.
 */
static inline void compat_set_pte_at(struct mm_struct *mm, unsigned long address, pte_t *slot,
				     pte_t entry)
{
#ifdef CONFIG_ARM64_MTE
	set_pte(slot, entry);
#else
	set_pte_at(mm, address, slot, entry);
#endif
}

/*
 * The entry for the page frame after one that is present. Before 6.9 there is no
 * call for it; with 4 KiB pages every architecture that has pte_mkdevmap() keeps
 * the physical address in its place.
 */
static inline pte_t compat_pte_next(pte_t entry)
{
#ifdef pte_next_pfn
	return pte_next_pfn(entry);
#else
	return __pte(pte_val(entry) + PAGE_SIZE);
#endif
}

#endif
