/* SPDX-License-Identifier: MIT */
/* Address space for windows. */
#ifndef PAGESPAN_ADDRESS_SPACE_H
#define PAGESPAN_ADDRESS_SPACE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>

#include "backend.h"

/* Reserves address space at a multiple of MEGABLOCK_BYTES, not accessible; NULL with errno. */
static inline char *address_space_reserve(size_t bytes)
{
	char *raw;
	size_t head;

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
