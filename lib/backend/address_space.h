/* SPDX-License-Identifier: MIT */
/* Address space for windows. */
#ifndef PAGESPAN_ADDRESS_SPACE_H
#define PAGESPAN_ADDRESS_SPACE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>

#include "backend.h"

/*
 * Behind a window nothing else of the process is mapped for that long, so that whether a
 * span of a cached size may be in it can be told from where it starts.
 */
#define GUARD_BYTES MEGABLOCK_BYTES

/*
 * Reserves address space at a multiple of MEGABLOCK_BYTES, not accessible, and a guard
 * behind it; NULL with errno.
 */
static inline char *address_space_reserve(size_t bytes)
{
	char *raw;
	size_t head;

	bytes += GUARD_BYTES;
	raw = (char *)mmap(NULL, bytes + MEGABLOCK_BYTES, PROT_NONE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (raw == MAP_FAILED)
		return NULL;
	head = -(uintptr_t)raw % MEGABLOCK_BYTES;
	if (head)
		munmap(raw, head);
	munmap(raw + head + bytes, MEGABLOCK_BYTES - head);
	return raw + head;
}

/* Undoes address_space_reserve(). */
static inline void address_space_release(char *base, size_t bytes)
{
	munmap(base, bytes + GUARD_BYTES);
}

/*
 * Keeps everything else out of a range that is not mapped, for good: in the child
 * of a fork the addresses of the parent's spans must not become those of its own.
 */
static inline void address_space_retire(char *base, size_t bytes)
{
	mmap(base, bytes, PROT_NONE,
	     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
}

#endif
