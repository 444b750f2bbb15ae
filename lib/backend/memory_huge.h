/* SPDX-License-Identifier: MIT */
/*
 * Which megablocks of the memory backend the kernel has been advised to back by huge pages.
 *
 * Advice is an attribute of a mapping, and every span a mapping would be too many for a process;
 * so it is given for whole megablocks only, and where that makes too many edges, not at all.
 * It stays until no page of the megablock is in use; then the backend maps it anew.
 *
 * All with the backend's lock held.
 */
#ifndef PAGESPAN_MEMORY_HUGE_H
#define PAGESPAN_MEMORY_HUGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What is remembered of a reservation takes so much, all zeros, and goes where its map goes. */
size_t memory_huge_bytes(uint64_t nr_pages);
void memory_huge_init(char *base, uint64_t nr_pages, void *memory);

/* Advises for the megablocks that a span has all of. */
void memory_huge_advise(uint64_t first, uint64_t nr_pages);

bool memory_huge_is_advised(uint64_t megablock);

/* Whether megablocks may be mapped anew: where they end, a mapping may have to end. */
bool memory_huge_may_end(uint64_t begin, uint64_t end);

/* The megablocks have been mapped anew. */
void memory_huge_forget(uint64_t begin, uint64_t end);

#endif
