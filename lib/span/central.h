/* SPDX-License-Identifier: MIT */
/*
 * The central cache: batches of free spans on their way from threads that free
 * to threads that allocate, so that neither needs the backend.
 *
 * Bounded in bytes, and it decays: once a second, what was not needed since the
 * last time goes back to the backend.
 */
#ifndef PAGESPAN_CENTRAL_H
#define PAGESPAN_CENTRAL_H

#include <stdbool.h>
#include <stdint.h>

#include "thread_cache.h"

/* Takes a batch; NULL if there is none.  The list's length is in @count. */
struct link *central_take(uint32_t bin, uint32_t *count);

/* Accepts a list of @count spans, or does not, for want of room. */
bool central_give(uint32_t bin, struct link *list, uint32_t count);

/* Gives back to the backend whatever is more than so many bytes. */
void central_trim(uint64_t keep_bytes);

/* Gives back the spans that have pages in a range; false if there are none. */
bool central_uncover(const struct range *range);

/* Gives back what has been idle, if it is time to. */
void central_decay(int64_t now);

uint64_t central_bytes(void);

/* Where that is counted, CENTRAL_KINDS figures. */
const _Atomic uint64_t *central_bytes_by_kind(void);

void central_lock(void);
void central_unlock(void);

/* In the child of a fork: empty, and nobody holds the lock. */
void central_reset(void);

/* The same for a child that continues with what is cached. */
void central_reset_lock(void);

#endif
