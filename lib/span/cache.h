/* SPDX-License-Identifier: MIT */
/*
 * The cache of the CPU: what may be called from code that has to keep every register but the
 * general ones.
 *
 * cache.c is compiled for general registers only, and these functions make no system call, call
 * nothing outside it and wait for nothing.  Where there is no cache it is as if it were empty and
 * took nothing.
 */
#ifndef PAGESPAN_CACHE_H
#define PAGESPAN_CACHE_H

#include <stdbool.h>
#include <stdint.h>

/**
 * cache_take() - take a span out of the CPU's cache
 * @nr_pages: any value
 *
 * Return: the span, the caller's now, its contents undefined; or NULL if the
 * cache cannot serve it at once: then ps_span_alloc() is the way.
 */
void *cache_take(uint32_t nr_pages);

/* The same for a span at a multiple of @align bytes, a power of two. */
void *cache_take_aligned(uint32_t nr_pages, uint64_t align);

/**
 * cache_put() - put pages into the CPU's cache
 * @span: pages of the caller's
 * @nr_pages: how many
 *
 * Return: true, and they are no longer the caller's; or false if they must go
 * the long way: ps_span_free().
 */
bool cache_put(void *span, uint32_t nr_pages);

#endif
