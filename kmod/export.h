/* SPDX-License-Identifier: GPL-2.0-only */
/* Exporting owned pages as a dma-buf. */
#ifndef PAGESPAN_EXPORT_H
#define PAGESPAN_EXPORT_H

#include <linux/types.h>

struct client;

void export_zap(u64 index);
int export_pages(struct client *client, u64 first, u32 nr_pages, u32 flags);

#endif
