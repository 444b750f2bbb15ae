/* SPDX-License-Identifier: MIT */
/* Pages and ranges as callers know them: by address. */
#ifndef PAGESPAN_WINDOW_H
#define PAGESPAN_WINDOW_H

#include <stdbool.h>

#include "../process.h"

/* Whether a span can have this size. */
bool is_span_size(size_t bytes);

static inline bool is_inside(const char *base, const char *ptr, size_t bytes)
{
	size_t window_bytes = process.window.nr_pages * PS_PAGE_SIZE;
	size_t offset = (size_t)ptr - (size_t)base;

	return base && offset < window_bytes && bytes <= window_bytes - offset;
}

/* The base of the window that a range is in; NULL if it is in none, or no range of pages. */
static inline char *window_of(const void *ptr, size_t bytes)
{
	if (!bytes || bytes % PS_PAGE_SIZE || (uintptr_t)ptr % PS_PAGE_SIZE)
		return NULL;
	if (is_inside(process.window.base, ptr, bytes))
		return process.window.base;
	if (is_inside(process.window.export_base, ptr, bytes))
		return process.window.export_base;
	return NULL;
}

static inline struct range range_in(const char *base, const void *ptr, size_t bytes)
{
	return (struct range){
		.first = (uint64_t)((const char *)ptr - base) / PS_PAGE_SIZE,
		.nr_pages = bytes / PS_PAGE_SIZE,
	};
}

static inline uint64_t span_page(const void *span)
{
	return (uint64_t)((const char *)span - process.window.base) / PS_PAGE_SIZE;
}

#endif
