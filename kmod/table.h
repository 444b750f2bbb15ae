/* SPDX-License-Identifier: GPL-2.0-only */
/* The page tables of a process. */
#ifndef PAGESPAN_TABLE_H
#define PAGESPAN_TABLE_H

#include <linux/mm.h>
#include <linux/pgtable.h>

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

#endif
