/* SPDX-License-Identifier: MIT */
/*
 * Pages on their way from the backend and back: charged against the limit, and counted.  What the
 * kernel says on that way is in what is returned, and errno is as it was.
 */
#ifndef PAGESPAN_PAGES_H
#define PAGESPAN_PAGES_H

#include <stdint.h>

#include "../backend/backend.h"
#include "thread_cache.h"

/*
 * enum pages_company - whether other requests may be under way at the same time
 *
 * Then a refusal may be due to one that fails itself a moment later.  A request that is
 * refused is so for good only if it was made alone, without which no caller is told.
 */
enum pages_company { PAGES_TOGETHER, PAGES_ALONE };

/*
 * As backend->alloc(), and -ENOMEM at the limit or the device's quota.  A single span may
 * be aligned to more than MEGABLOCK_PAGES.
 */
int pages_take(const struct backend *backend, const struct request *request, uint64_t *firsts,
	       enum pages_company company);

/* Takes any number of spans, each as @each says, or none: 0 or -errno. */
int pages_take_all(const struct backend *backend, const struct request *each, size_t count,
		   uint64_t *firsts, enum pages_company company);

/* As backend->alloc_at(), and -ENOMEM. */
int pages_take_at(const struct backend *backend, const struct range *range,
		  enum pages_company company);

/* Gives back ranges, which it sorts and merges; 0, or -EINVAL if one is not owned. */
int pages_give(const struct backend *backend, struct range *ranges, uint32_t count);

/* On the stack, of which coroutines and handlers of signals have little: see pagespan.h. */
#define PAGES_BATCH_RANGES 48

/*
 * struct pages_batch - spans gathered to be given back together
 *
 * @count: ranges, of @nr_spans spans
 *
 * Begins with pages_batch_begin() and ends with pages_batch_flush().
 */
struct pages_batch {
	uint32_t count;
	uint32_t nr_spans;
	struct range ranges[PAGES_BATCH_RANGES];
};

void pages_batch_begin(struct pages_batch *batch);

/* Adds the spans of a list, each of so many pages; flushes when it is full. */
void pages_batch_add(struct pages_batch *batch, struct link *list, uint64_t nr_pages);
void pages_batch_flush(struct pages_batch *batch);

/* For ps_limit_set(), 0 and UINT64_MAX for none; pages_limit() says UINT64_MAX for none. */
void pages_limit_set(uint64_t bytes);
uint64_t pages_limit(void);

/* Around a fork of which the child continues: no request is under way.  In the child nobody holds
 * it. */
void pages_lock(void);
void pages_unlock(void);
void pages_reset_lock(void);

#endif
