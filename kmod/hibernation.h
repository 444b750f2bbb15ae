/* SPDX-License-Identifier: GPL-2.0-only */
/* Refusing to hibernate while pages are owned. */
#ifndef PAGESPAN_HIBERNATION_H
#define PAGESPAN_HIBERNATION_H

struct registry;

int hibernation_init(struct registry *registry);
void hibernation_exit(void);

#endif
