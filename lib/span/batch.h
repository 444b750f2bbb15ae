/* SPDX-License-Identifier: MIT */
/*
 * Spans that leave the caches of CPUs, gathered to become the process's own together.
 *
 * One of them that is free already has been freed twice, and so has damaged what it was then; the
 * process is stopped.
 */
#ifndef PAGESPAN_BATCH_H
#define PAGESPAN_BATCH_H

#include <stdbool.h>
#include <stdint.h>

#include "../backend/ranges.h"

struct batch {
	uint32_t count;
	bool any;
	struct range ranges[RANGES_MOST];
};

static inline void batch_begin(struct batch *batch)
{
	batch->count = 0;
	batch->any = false;
}

void batch_add(struct batch *batch, const void *span, uint32_t nr_pages);

/* Whether there was any. */
bool batch_end(struct batch *batch);

#endif
