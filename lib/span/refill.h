/* SPDX-License-Identifier: MIT */
/* The long way of the caches of CPUs: where their spans come from, and what room they have. */
#ifndef PAGESPAN_REFILL_H
#define PAGESPAN_REFILL_H

#include <stdint.h>

/* A span of a size that is cached, of which the cache has none; others with it for the next calls.
 * NULL if there is none, for which nothing was given back yet. */
void *refill(uint32_t nr_pages);

/*
 * Takes a span in that there was no room for.  0; -EINVAL if it is free already; -ENOSPC if the
 * cache is not for it.
 */
int refill_accept(void *span, uint32_t nr_pages);

#endif
