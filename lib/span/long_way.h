/* SPDX-License-Identifier: MIT */
/* The long way, with everything that can go wrong; in span.c. */
#ifndef PAGESPAN_LONG_WAY_H
#define PAGESPAN_LONG_WAY_H

#include <stddef.h>
#include <stdint.h>

void *span_alloc_long(uint64_t nr_pages);
int span_free_long(void *ptr, size_t bytes);

#endif
