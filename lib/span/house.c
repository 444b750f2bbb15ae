// SPDX-License-Identifier: MIT
/* What goes back without being asked, and what callers ask for. */
#include <errno.h>
#include <stdatomic.h>

#include "../backend/pages.h"
#include "../counters.h"
#include "../open.h"
#include "budget.h"
#include "cpu_caches.h"
#include "decay.h"
#include "house.h"

/* So often at most: whoever is refused is asked for 10 ms. */
#define ASKED_MS 3

/* Then to so many in turn. */
#define ANSWERS 3

void house_clear(void)
{
	cpu_caches_empty();
	budget_trim(0);
}

/* Other processes are given what this one can spare. */
static void answer(const struct backend *backend)
{
	static _Atomic uint64_t next;
	uint64_t due = atomic_load_explicit(&next, memory_order_relaxed);
	uint64_t now = decay_now();
	int i;

	if (now < due || !atomic_compare_exchange_strong(&next, &due, now + ASKED_MS))
		return;
	/* The last time that it is called tells that the pages are back. */
	for (i = 0; i < ANSWERS && backend->asked(); i++)
		house_clear();
}

void house_keep(void)
{
	const struct backend *backend = process_opened();
	bool is_due = budget_tick();
	uint64_t kept = budget_kept_bytes();

	if (is_due && backend && backend->pressed && backend->pressed())
		house_clear();
	else if (is_due || budget_granted_bytes() > budget_for_cpus())
		cpu_caches_shrink();
	if (is_due)
		budget_was_idle(kept);
	if (backend && backend->asked && process.caching)
		answer(backend);
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
	uint64_t before = atomic_load(&counters.bytes_taken), after;

	if (!process_opened())
		return 0;
	house_clear();
	after = atomic_load(&counters.bytes_taken);
	return before > after ? before - after : 0;
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
