/* SPDX-License-Identifier: MIT */
/*
 * What the parts of the device backend share.  Arrows go one way: device.c → device_copy.c →
 * device_file.c.
 */
#ifndef PAGESPAN_DEVICE_STATE_H
#define PAGESPAN_DEVICE_STATE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "backend.h"
#include "descriptor.h"

struct device_state {
	struct descriptor file;
	bool huge;
	char *base;
	uint64_t nr_pages;
	uint64_t pool_pages;
	_Atomic uint8_t *broken; /* a byte a slot: it has, or may have, a page table */
	_Atomic uint32_t remaps;
	_Atomic uint64_t answered; /* how often this client was asked for pages */
	/* Read while what is owned changes, written around a fork whose child goes on. */
	pthread_rwlock_t change;
};

extern struct device_state device_state;

static inline size_t device_window_bytes(void)
{
	return device_state.nr_pages * PS_PAGE_SIZE;
}

/* ---- device_file.c -------------------------------------------------------------------------- */

/* As ioctl(), but it fails with ENODEV if the device is lost. */
int device_command(unsigned long number, void *argument);

/* As mmap() of pages from @first on. */
void *device_map(char *at, uint64_t first, size_t bytes, int fixed);

/* As backend->owned(). */
bool device_owned(uint64_t first, uint64_t *nr_pages);

/* ---- device_copy.c: a fork whose child goes on with the parent's spans ---------------------- */

/* Whether the module can do that. */
bool device_can_copy(void);

void device_copy_prepare(void);
void device_copy_parent(void);

/* In the child: false if it cannot go on. */
bool device_copy_child(struct window *window);

#endif
