/* SPDX-License-Identifier: MIT */
/*
 * Spans that leave the caches of CPUs, gathered to become the process's own together.
 *
 * On the way they are nowhere, so a request that is alone must wait for them: batch_open() before
 * the first is taken.  One of them that is free already has been freed twice, and so has damaged
 * what it was then; the process is stopped.
 */
#ifndef PAGESPAN_BATCH_H
#define PAGESPAN_BATCH_H

#include <stdbool.h>
#include <stdint.h>

#include "../backend/ranges.h"

/* struct batch - @open: it holds up requests that would be alone */
struct batch {
	uint32_t count;
	bool open;
	struct range ranges[RANGES_MOST];
};

static inline void batch_begin(struct batch *batch)
{
	batch->count = 0;
	batch->open = false;
}

/* False if a request is alone just now: then nothing may be taken. */
bool batch_open(struct batch *batch);

void batch_add(struct batch *batch, const void *span, uint32_t nr_pages);
void batch_end(struct batch *batch);

#endif
