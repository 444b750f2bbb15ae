/* SPDX-License-Identifier: GPL-2.0-only */
/* The address spaces of the module: the pool's and the windows'. */
#ifndef PAGESPAN_ADDRESS_SPACE_H
#define PAGESPAN_ADDRESS_SPACE_H

#include <linux/fs.h>
#include <linux/mm.h>

#include "span_map.h"

int address_space_init(void);
void address_space_exit(void);

struct address_space *address_space_create(void);
void address_space_hold(struct address_space *mapping);
void address_space_destroy(struct address_space *mapping);

void address_space_add(struct address_space *mapping, unsigned long pfn, u64 nr_pages);
void address_space_remove(unsigned long pfn, u64 nr_pages);

/**
 * address_space_place() - say where a page is in the pool's address space
 * @page: the page, which nobody maps or pins
 * @index: its page index
 * @id: of the client that gets it
 *
 * Each client has places of its own, 2^36 clients one after the other. So
 * nobody meets a futex of another client, be it that a thread of that one still
 * waits on a page which it has freed.
 */
static inline void address_space_place(struct page *page, u64 index, u64 id)
{
	struct folio *folio = page_folio(page);

	folio->index = id * SPAN_MAP_MAX_PAGES + index - folio_page_idx(folio, page);
}

#endif
