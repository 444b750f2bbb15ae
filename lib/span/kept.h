/* SPDX-License-Identifier: MIT */
/*
 * The pages that a process keeps: the free ones of a span map of their own, behind one lock.
 * budget.h says what they are for.
 */
#ifndef PAGESPAN_KEPT_H
#define PAGESPAN_KEPT_H

#include <stdbool.h>
#include <stdint.h>

#include "../backend/backend.h"

/* A map for so many pages, none of them kept; 0 or -errno. */
int kept_open(uint64_t nr_pages);
void kept_forget(void);

/* How many are kept now, and where that is counted. */
uint64_t kept_pages(void);
const _Atomic uint64_t *kept_pages_counter(void);

/* As many spans of a request as there are, in one run if they can be; 0 for none. */
uint32_t kept_take(const struct request *request, uint64_t *firsts);

/* Exactly these pages: 0 or -EBUSY. */
int kept_take_at(const struct range *range);

/* Whether the first page of a range is kept, or the last. */
bool kept_has_end_of(const struct range *range);

/*
 * How many pages at the start of a range are like its first: kept, and taken now, or none of
 * them; which is told in @kept.
 */
uint64_t kept_take_alike(const struct range *range, bool *kept);

/*
 * Takes up to so many pages, and a megablock more at most, in whole megablocks of the longest
 * runs as far as there are any; how many ranges that makes.
 */
uint32_t kept_take_longest(uint64_t nr_pages, struct range *ranges, uint32_t most);

/* Takes the longest run, if it has so many pages; else none. */
struct range kept_take_run(uint64_t least, uint64_t most);

/* Keeps ranges that ranges_merge() made; -EINVAL, and none is, if one of their pages is kept. */
int kept_give(const struct range *ranges, uint32_t count);

/* Pages that were freed are free already: what they are now is lost, and the process ends. */
_Noreturn void kept_stop(void);

void kept_lock(void);
void kept_unlock(void);
void kept_reset_lock(void);

#endif
