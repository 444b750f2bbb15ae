/* SPDX-License-Identifier: MIT */
/*
 * Pages on their way from the backend and back: charged against the limit, and counted.  What the
 * kernel says on that way is in what is returned, and errno is as it was.
 */
#ifndef PAGESPAN_PAGES_H
#define PAGESPAN_PAGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "backend.h"

/* From now on pages are those of this backend; both stay the caller's. */
void pages_open(const struct backend *backend, const struct window *window);

/*
 * While requests are under way, each may have charged or taken already what another is
 * refused for, though it fails itself a moment later.  So a request is refused for good only
 * if it was @alone: then no other is under way.  One that takes in several calls, and gives
 * all back if one is refused, is under way all the time.
 */
void pages_begin(bool alone);
void pages_end(void);

/* As pages_begin(false), but false instead of waiting for one that is alone. */
bool pages_try_begin(void);

/*
 * As backend->alloc(), and -ENOMEM at the limit or the device's quota.  A single span may
 * be aligned to more than MEGABLOCK_PAGES.  Between pages_begin() and pages_end().
 */
int pages_take(const struct request *request, uint64_t *firsts);

/* As backend->alloc_at(), and -ENOMEM.  Between pages_begin() and pages_end(). */
int pages_take_at(const struct range *range);

/* Gives back ranges, which it sorts and merges; 0, or -EINVAL if one is not owned. */
int pages_give(struct range *ranges, uint32_t count);

/* For ps_limit_set(), 0 and UINT64_MAX for none; pages_limit() says UINT64_MAX for none. */
void pages_limit_set(uint64_t bytes);
uint64_t pages_limit(void);

/* In the child of a fork: nobody is under way.  Or also that nothing is charged. */
void pages_reset_lock(void);
void pages_reset(void);

#endif
