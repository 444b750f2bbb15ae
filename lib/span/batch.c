// SPDX-License-Identifier: MIT
#include "batch.h"
#include "../backend/pages.h"
#include "budget.h"
#include "cpu_cache.h"
#include "kept.h"

static void flush(struct batch *batch)
{
	if (batch->count && budget_give(batch->ranges, batch->count))
		kept_stop();
	batch->count = 0;
}

bool batch_open(struct batch *batch)
{
	if (!batch->open)
		batch->open = pages_try_begin();
	return batch->open;
}

void batch_add(struct batch *batch, const void *span, uint32_t nr_pages)
{
	struct range range = {
		.first = (uint64_t)((const char *)span - cpu_caches.base) / PS_PAGE_SIZE,
		.nr_pages = nr_pages,
	};

	if (batch->count && ranges_join(&batch->ranges[batch->count - 1], &range))
		return;
	if (batch->count == RANGES_MOST)
		flush(batch);
	batch->ranges[batch->count++] = range;
}

void batch_end(struct batch *batch)
{
	flush(batch);
	if (batch->open)
		pages_end();
}
