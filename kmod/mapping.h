/* SPDX-License-Identifier: GPL-2.0-only */
/* The window: mmap of the device, faults in it, and its address space. */
#ifndef PAGESPAN_MAPPING_H
#define PAGESPAN_MAPPING_H

#include <linux/fs.h>
#include <linux/mm.h>

#include "compat.h"

struct client;

struct address_space *mapping_create(u64 nr_pages);
void mapping_destroy(struct address_space *mapping);
vm_fault_t mapping_fault(struct vm_fault *vmf);
COMPAT_HUGE_FAULT(mapping_huge_fault);
int mapping_mmap(struct client *client, struct vm_area_struct *vma);
int mapping_init_vma(struct vm_area_struct *vma, unsigned long set, unsigned long clear);
struct client *mapping_client(const struct vm_area_struct *vma);
void mapping_populate_page(struct client *client, unsigned long window, u64 index);
void mapping_populate(struct client *client, unsigned long window, const u64 *firsts, u32 nr,
		      u32 nr_pages);

#endif
