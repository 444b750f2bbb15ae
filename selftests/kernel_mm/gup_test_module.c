// SPDX-License-Identifier: GPL-2.0-only
/*
 * mm/gup_test.c of the kernel as a module, for kernels that were built without
 * CONFIG_GUP_TEST: through it programs pin pages as drivers do. It is of a newer
 * kernel than some that it is built for.
 */
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/version.h>

#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 5, 0)
#define get_user_pages(start, nr, flags, pages)	get_user_pages(start, nr, flags, pages, NULL)
#define pin_user_pages(start, nr, flags, pages)	pin_user_pages(start, nr, flags, pages, NULL)
#endif

#include "gup_test.c"

MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("gup_test of the kernel");
