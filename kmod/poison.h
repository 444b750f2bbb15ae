/* SPDX-License-Identifier: GPL-2.0-only */
/* Poisoned pages: memory that the kernel has found to be broken. */
#ifndef PAGESPAN_POISON_H
#define PAGESPAN_POISON_H

struct registry;

void poison_init(struct registry *registry);
void poison_exit(void);

#endif
