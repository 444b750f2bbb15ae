/* SPDX-License-Identifier: GPL-2.0-only */
/* Refusing to hibernate while pages are owned. */
#ifndef PAGESPAN_HIBERNATION_H
#define PAGESPAN_HIBERNATION_H

struct pool;

int hibernation_init(struct pool *pool);
void hibernation_exit(void);

#endif
