// SPDX-License-Identifier: MIT
/* What there is once in a process, from the moment that a backend is open; open.c opens it. */
#include <pthread.h>
#include <stdatomic.h>

#include "backend/address_space.h"
#include "backend/pages.h"
#include "counters.h"
#include "process.h"
#include "span/budget.h"
#include "span/cpu_caches.h"

struct process process;

/* Published when everything it needs is there. */
static const struct backend *_Atomic opened;

/* Protects opening, and window.export_base. */
static pthread_mutex_t open_lock = PTHREAD_MUTEX_INITIALIZER;

void process_lock(void)
{
	pthread_mutex_lock(&open_lock);
}

void process_unlock(void)
{
	pthread_mutex_unlock(&open_lock);
}

const struct backend *process_opened(void)
{
	const struct backend *backend = atomic_load_explicit(&opened, memory_order_acquire);

	if (backend && __builtin_expect(!cpu_caches_ours(), 0)) {
		process_start_afresh();
		return NULL;
	}
	return backend;
}

void process_publish(const struct backend *backend)
{
	atomic_store_explicit(&opened, backend, memory_order_release);
}

/* ---- after a fork -------------------------------------------------------------------------- */

static void retire_window(void)
{
	size_t bytes = process.window.nr_pages * PS_PAGE_SIZE;

	address_space_retire(process.window.base, bytes);
	if (process.window.export_base)
		address_space_retire(process.window.export_base, bytes);
}

void process_start_afresh(void)
{
	const struct backend *inherited = atomic_load(&opened);

	open_lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
	if (!inherited)
		return;
	inherited->forget();
	retire_window();
	cpu_caches_forget();
	budget_forget();
	pages_reset();
	counters_reset();
	process = (struct process){0};
	atomic_store(&opened, NULL);
}

void process_continue(const struct backend *backend)
{
	open_lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
	atomic_store(&opened, backend);
}
