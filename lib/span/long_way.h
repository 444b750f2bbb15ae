/* SPDX-License-Identifier: MIT */
/* The long way, with everything that can go wrong; in span.c. */
#ifndef PAGESPAN_LONG_WAY_H
#define PAGESPAN_LONG_WAY_H

#include <stddef.h>
#include <stdint.h>

void *span_alloc_long(uint64_t nr_pages);
int span_free_long(void *ptr, size_t bytes);

/* A thread that had slept is back. */
void span_rested(void);

/* What the assembly goes on with, @nr_pages maybe too many; in cache.c. */
#pragma GCC visibility push(hidden)
void *cache_alloc_other(uint64_t nr_pages);
void *cache_alloc_rested(uint64_t nr_pages);
int cache_free_other(void *ptr, uint64_t nr_pages);
#pragma GCC visibility pop

#endif
