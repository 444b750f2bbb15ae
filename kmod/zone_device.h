/* SPDX-License-Identifier: GPL-2.0-only */
/* ZONE_DEVICE pages for memory that the kernel does not use. */
#ifndef PAGESPAN_ZONE_DEVICE_H
#define PAGESPAN_ZONE_DEVICE_H

#include <linux/types.h>

struct pool_piece;
struct pool_request;

int zone_device_claim(struct pool_piece *piece, u64 start, u64 bytes, int nid,
		      struct pool_request *request);
void zone_device_release(struct pool_piece *piece);
void zone_device_leave(struct pool_piece *piece);
void zone_device_report(void (*report)(unsigned long pfn));

#endif
