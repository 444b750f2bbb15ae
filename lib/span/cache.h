/* SPDX-License-Identifier: MIT */
/*
 * The calling thread's cache of free spans: what may be called from code that
 * has to keep every register but the general ones.
 *
 * cache.c is compiled for general registers only, and these two functions make
 * no system call, call nothing outside it and wait for nothing.  A thread that
 * has no cache is like one whose cache is empty and takes nothing.
 */
#ifndef PAGESPAN_CACHE_H
#define PAGESPAN_CACHE_H

#include <stdbool.h>
#include <stdint.h>

/**
 * cache_take() - take a span out of the calling thread's cache
 * @nr_pages: any value
 *
 * Return: the span, the caller's now, its contents undefined; or NULL if the
 * cache cannot serve it at once: then ps_span_alloc() is the way.
 */
void *cache_take(uint32_t nr_pages);

/**
 * cache_put() - put pages into the calling thread's cache
 * @span: pages of the caller's, in the window
 * @nr_pages: how many
 *
 * Return: true, and they are no longer the caller's; or false if they must go
 * the long way: ps_span_free().
 */
bool cache_put(void *span, uint32_t nr_pages);

#endif
