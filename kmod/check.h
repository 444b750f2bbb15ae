/* SPDX-License-Identifier: GPL-2.0-only */
/* Checks of pages that nobody owns, maps or pins. */
#ifndef PAGESPAN_CHECK_H
#define PAGESPAN_CHECK_H

#include <linux/types.h>

struct pool;
struct pool_piece;

u64 check_pages(const struct pool *pool, const struct pool_piece *piece);

#endif
