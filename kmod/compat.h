/* SPDX-License-Identifier: GPL-2.0-only */
/* What differs between the kernels that one source serves: 6.1 to 6.12. */
#ifndef PAGESPAN_COMPAT_H
#define PAGESPAN_COMPAT_H

#include <linux/mm.h>
#include <linux/version.h>

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

#endif
