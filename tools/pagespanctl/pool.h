/* SPDX-License-Identifier: MIT */
/* The pool as /sys/class/misc/pagespan tells of it. */
#ifndef PAGESPANCTL_POOL_H
#define PAGESPANCTL_POOL_H

#include <stdbool.h>
#include <stdint.h>

#define POOL_SYSFS      "/sys/class/misc/pagespan"
#define POOL_PAGE_BYTES 4096
#define MEGABLOCK_PAGES 512

/**
 * struct pool - the figures of one moment each
 * @source: where the memory is from
 * @why_not: why it is no better, a sentence a line
 * @huge: whether whole megablocks are mapped with 2 MiB pages
 * @nr_pages: page indices there are
 * @max_pages: what it may grow to
 * @pool_pages: what it has
 * @free_pages: that nobody owns
 * @longest_run: of free pages
 * @quarantined_pages: freed, and still held by the kernel
 * @poisoned_pages: broken in hardware and out of use; NOT_KNOWN with a module that does not tell
 * @user_max_pages: what a user may be charged, 0 for any number; NOT_KNOWN with one that charges no
 * user
 * @clients: how many
 * @allocs: spans allocated since the module was loaded
 * @frees: ranges freed
 * @faults: faults that mapped a page or a megablock
 * @quarantines: pages that were pinned when freed
 * @asks: times that a client was asked for pages; NOT_KNOWN from an older module
 * @waits: requests that waited for what others can spare; NOT_KNOWN as well
 * @served: those of them that were not refused; NOT_KNOWN as well
 */
struct pool {
	char source[64];
	char why_not[4096];
	bool huge;
	uint64_t nr_pages;
	uint64_t max_pages;
	uint64_t pool_pages;
	uint64_t free_pages;
	uint64_t longest_run;
	uint64_t quarantined_pages;
	uint64_t poisoned_pages;
	uint64_t user_max_pages;
	uint64_t clients;
	uint64_t allocs;
	uint64_t frees;
	uint64_t faults;
	uint64_t quarantines;
	uint64_t asks;
	uint64_t waits;
	uint64_t served;
};

/**
 * pool_read() - read the figures
 * @pool: where to
 *
 * Return: DONE; or NO_MODULE or FAILED, which have been said.
 */
int pool_read(struct pool *pool);

/** pool_is_there() - whether the module is loaded. Return: true if it is. */
bool pool_is_there(void);

/** no_module() - say that the module is not loaded. Return: NO_MODULE. */
int no_module(void);

/**
 * pool_used() - pages that clients own
 * @pool: the pool
 *
 * Return: their number, without those in quarantine and those that are broken.
 */
uint64_t pool_used(const struct pool *pool);

#endif
