/* SPDX-License-Identifier: MIT */
/* Where spans come from: what a backend is to span.c. */
#ifndef PAGESPAN_BACKEND_H
#define PAGESPAN_BACKEND_H

#include <stdint.h>

/* struct window - where the pages are: page i is at base + i * PS_PAGE_SIZE. */
struct window {
	char *base;
	uint64_t nr_pages;
};

/*
 * struct backend - a source of spans
 * @name: what ps_backend() says
 * @open: makes @window; called by one thread, before all others.
 *	0 or -errno, and then nothing is left open.
 * @alloc: takes nr_pages (1 to 65536) pages; the first index, or -errno.
 * @free: gives back any pages, wholly or, with -errno, not at all.
 * @forget: in the child of a fork, drops what open() made; the parent's pages
 *	are not mapped here, and stay the parent's.
 *
 * alloc and free may be called by several threads at once.
 */
struct backend {
	const char *name;
	int (*open)(struct window *window);
	int64_t (*alloc)(uint32_t nr_pages);
	int (*free)(uint64_t first, uint64_t nr_pages);
	void (*forget)(void);
};

extern const struct backend backend_device;
extern const struct backend backend_memory;

#endif
