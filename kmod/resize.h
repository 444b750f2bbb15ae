/* SPDX-License-Identifier: GPL-2.0-only */
/* Growing and shrinking a pool in use, and closing it. */
#ifndef PAGESPAN_RESIZE_H
#define PAGESPAN_RESIZE_H

#include <linux/types.h>

struct registry;

int resize_pool(struct registry *registry, u64 nr_pages);
int resize_close(struct registry *registry);
void resize_reopen(struct registry *registry);

#endif
