/* SPDX-License-Identifier: MIT */
/*
 * The first touch of spans in the child of a fork, where it comes before the child's
 * handlers do.
 *
 * In a process with threads the C library resets in the child what it allocated,
 * open files for one, before any handler runs; and a stack may be in a span.
 * malloc() may have put all that into spans, see lib/jemalloc.
 */
#ifndef PAGESPAN_FORK_FAULT_H
#define PAGESPAN_FORK_FAULT_H

#include "backend/backend.h"

/*
 * From here on, in a child, the first touch of @window, which is not mapped there,
 * calls @mend and is then made again.  One thread at a time.
 */
void fork_fault_expect(const struct window *window, void (*mend)(void));

/* No more, in the parent and in the child. */
void fork_fault_end(void);

#endif
