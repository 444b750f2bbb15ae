/* SPDX-License-Identifier: GPL-2.0-only */
/* /dev/pagespan. */
#ifndef PAGESPAN_CHARDEV_H
#define PAGESPAN_CHARDEV_H

struct registry;

int chardev_init(struct registry *registry);
void chardev_exit(void);

#endif
