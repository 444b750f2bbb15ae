// SPDX-License-Identifier: MIT
/* What goes back without being asked, and what callers ask for. */
#include <errno.h>

#include "../backend/pages.h"
#include "../counters.h"
#include "../open.h"
#include "budget.h"
#include "cpu_caches.h"
#include "house.h"

void house_keep(void)
{
	if (budget_tick())
		cpu_caches_shrink();
}

void house_clear(void)
{
	cpu_caches_empty();
	budget_trim(0);
}

int ps_trim(size_t keep_bytes)
{
	if (keep_bytes % PS_PAGE_SIZE)
		return -EINVAL;
	if (!process_opened())
		return 0;
	cpu_caches_empty();
	budget_trim(keep_bytes);
	return 0;
}

uint64_t ps_reclaim(void)
{
	if (!process_opened())
		return 0;
	cpu_caches_empty();
	return budget_trim(0);
}

/* Nothing is a thread's. */
void ps_thread_flush(void)
{
}

int ps_limit_set(uint64_t bytes)
{
	if (bytes % PS_PAGE_SIZE && bytes != UINT64_MAX)
		return -EINVAL;
	process_opened();
	pages_limit_set(bytes);
	return 0;
}

const char *ps_backend(void)
{
	const struct backend *backend = process_backend();

	return backend ? backend->name : NULL;
}
