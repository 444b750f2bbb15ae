/* SPDX-License-Identifier: MIT */
/*
 * Descriptors that a library keeps in a program that may close what it does not know: daemons
 * close every number, and then open files of their own there.
 *
 * They are moved out of the low numbers, and looked at each time before they are believed.
 * A thread that closes one at that very moment can still deceive.
 */
#ifndef PAGESPAN_DESCRIPTOR_H
#define PAGESPAN_DESCRIPTOR_H

#include <stdbool.h>

/* struct descriptor - the number, -1 for none */
struct descriptor {
	int fd;
};

/* Keeps a file that was opened just now, under another number if there is one. */
void descriptor_keep(struct descriptor *descriptor, int fd);

bool descriptor_is_ours(const struct descriptor *descriptor);

/* Closes it if it is ours. */
void descriptor_close(struct descriptor *descriptor);

#endif
