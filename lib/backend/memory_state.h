/* SPDX-License-Identifier: MIT */
/*
 * What the parts of the memory backend share.  Arrows go one way: memory.c → memory_room.c →
 * memory_opened.c → memory_access.c.
 */
#ifndef PAGESPAN_MEMORY_STATE_H
#define PAGESPAN_MEMORY_STATE_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../../kmod/span_map.h"
#include "backend.h"

struct memory_state {
	pthread_mutex_t lock; /* protects map, opened, closed and unprotected */
	struct span_map map;
	void *metadata;
	size_t metadata_bytes;
	char *base;
	uint64_t opened;
	uint64_t closed;  /* of what is opened, pages of rooms that are not accessible */
	bool debug;       /* what is free faults */
	bool unprotected; /* debug mode has given up protecting what is free */
};

extern struct memory_state memory_state;

static inline char *memory_address(uint64_t index)
{
	return memory_state.base + index * PS_PAGE_SIZE;
}

/* ---- memory_access.c: what can be touched, with the lock held ------------------------------- */

/* In debug mode, what comes into use; false if the kernel refuses that much memory. */
bool memory_unprotect(uint64_t first, uint64_t nr_pages);

/* In debug mode, what was freed. */
void memory_protect(uint64_t first, uint64_t nr_pages);

/*
 * What is free is accessible, but not in debug mode.  False if the kernel refuses, for a limit of
 * the process or of the machine.
 */
bool memory_make_accessible(uint64_t first, uint64_t nr_pages);

/*
 * Makes free pages new and not accessible, whatever the kernel was advised for them.  A mapping
 * that could be written to once would stay charged to the machine's commit limit otherwise.
 */
bool memory_map_anew(uint64_t first, uint64_t nr_pages);

/* ---- memory_opened.c: what is open, with the lock held -------------------------------------- */

/* As the functions of the span map, but they open what it takes, as long as there is some. */
int64_t memory_alloc_opening(uint32_t nr_pages, uint32_t align_pages);
int memory_alloc_at_opening(const struct range *range);

/* Of the megablocks of a range that was freed just now, no page of which is in use, advice ends. */
void memory_withdraw_advice(const struct range *range);

#endif
