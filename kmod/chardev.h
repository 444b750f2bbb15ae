/* SPDX-License-Identifier: GPL-2.0-only */
/* /dev/pagespan. */
#ifndef PAGESPAN_CHARDEV_H
#define PAGESPAN_CHARDEV_H

struct address_space;
struct client;
struct file;
struct registry;

struct file *chardev_create_file(struct client *client, struct address_space *mapping);
int chardev_init(struct registry *registry);
void chardev_exit(void);

#endif
