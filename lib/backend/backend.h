/* SPDX-License-Identifier: MIT */
/* Where pages come from: what a backend is to the rest of the library. */
#ifndef PAGESPAN_BACKEND_H
#define PAGESPAN_BACKEND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pagespan.h"

#define MEGABLOCK_PAGES ((uint32_t)512)
#define MEGABLOCK_BYTES (MEGABLOCK_PAGES * PS_PAGE_SIZE)

/* The most spans or ranges that one call of a backend handles. */
#define BACKEND_MAX_COUNT 256

/*
 * struct window - where the pages are: page i is at base + i * PS_PAGE_SIZE.
 * @base: a multiple of MEGABLOCK_BYTES
 * @export_base: a second mapping of the same pages, for those that are exported,
 *	so that an address tells them from all others; NULL if there is none
 * @fd: of the device whose pages they are; -1 if they are not of one
 */
struct window {
	char *base;
	char *export_base;
	uint64_t nr_pages;
	int fd;
};

struct range {
	uint64_t first;
	uint64_t nr_pages;
};

/* How the pages have to be: PS_ZERO, PS_HUGE, PS_POPULATE, PS_EXPORT. */
struct request {
	uint32_t nr_pages;    /* of each span, 1 to 65536 */
	uint32_t align_pages; /* a power of two up to MEGABLOCK_PAGES */
	uint32_t count;       /* spans, 1 to BACKEND_MAX_COUNT */
	unsigned int flags;
};

/*
 * struct backend - a source of pages
 * @name: what ps_backend() says
 * @open: makes @window, as @config says; called by one thread, before all others.
 *	0 or -errno, and then nothing is left open.
 * @pool_pages: what there is to give out at most
 * @alloc: takes spans; how many, their first pages in @firsts, or -errno
 *	if there is not one
 * @alloc_at: takes exactly these pages, as a request with these flags; 0, -EBUSY if
 *	one is not free, or -errno
 * @free: gives back ranges, each wholly or not at all, and stops at the first that
 *	is not all owned; how many it gave back.  In debug mode the pages fault from
 *	then on.
 * @owned: whether a page is owned by this process, and in @nr_pages how many from
 *	there on are like it, or fewer; at most as many as @nr_pages says before
 * @move: makes the contents of pages those of others, by changing what is mapped
 *	where, and those of the former undefined; false if it does not.  NULL if it
 *	never does
 * @asked: whether another process waits for pages that this one may not need.  To be
 *	called again when it has given back what it can.  NULL if there are no others
 * @pressed: whether memory is short, so that what is cached had better go back.  NULL if
 *	that would help nobody
 * @map_export: makes @window->export_base; 0 or -errno
 * @export: makes a dma-buf; its descriptor, or -errno
 * @forget: in the child of a fork, drops what open() made; the pages are not
 *	mapped here, and stay the parent's
 * @copy_prepare, @copy_parent, @copy_child: around a fork whose child gets a copy;
 *	the child's backend is what the last one returns, NULL if it cannot be done,
 *	and it says so in @window
 *
 * All between open and forget may be called by several threads at once.
 */
struct backend {
	const char *name;
	int (*open)(const struct ps_config *config, struct window *window);
	uint64_t (*pool_pages)(void);
	int (*alloc)(const struct request *request, uint64_t *firsts);
	int (*alloc_at)(const struct range *range, unsigned int flags);
	uint32_t (*free)(const struct range *ranges, uint32_t count);
	bool (*owned)(uint64_t first, uint64_t *nr_pages);
	bool (*move)(uint64_t from, uint64_t to, uint64_t nr_pages);
	bool (*asked)(void);
	bool (*pressed)(void);
	int (*map_export)(struct window *window);
	int (*export)(const struct range *range);
	void (*forget)(void);
	void (*copy_prepare)(void);
	void (*copy_parent)(void);
	const struct backend *(*copy_child)(struct window *window);
};

extern const struct backend backend_device;
extern const struct backend backend_memory;

/*
 * Makes the memory backend the owner of an anonymous mapping that is there
 * already, every page of it in use; 0 or -errno.
 */
int backend_memory_adopt(const struct window *window);

#endif
