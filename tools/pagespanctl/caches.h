/* SPDX-License-Identifier: MIT */
/* What libpagespan has cached in another process, read from the memory of that process. */
#ifndef PAGESPANCTL_CACHES_H
#define PAGESPANCTL_CACHES_H

#include <stdbool.h>
#include <stdint.h>

/* Copies of the library in one process that are looked at. */
#define CACHES_MOST 4

/**
 * struct caches_found - of one process
 * @looked: whether it was looked for them
 * @count: how many were found
 * @list: the descriptor of the device that they are of, and what they hold in bytes
 */
struct caches_found {
	bool looked;
	unsigned int count;
	struct {
		int fd;
		uint64_t bytes;
	} list[CACHES_MOST];
};

/**
 * caches_find() - look for them, the first time
 * @found: zeroed before the first time
 * @pid: the process; none are found if the caller may not trace it, if it has no libpagespan,
 *	or one whose caches have another layout than those of the version this was built with
 */
void caches_find(struct caches_found *found, int pid);

/**
 * caches_of() - what is cached of a client
 * @found: in a process
 * @fd: the client's descriptor there
 *
 * Return: bytes, or NOT_KNOWN.
 */
uint64_t caches_of(const struct caches_found *found, int fd);

#endif
