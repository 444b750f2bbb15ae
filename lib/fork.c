// SPDX-License-Identifier: MIT
/*
 * What happens around fork().
 *
 * A child that starts afresh needs nothing of its parent: what it inherits it
 * drops.  One that continues must find everything at rest, so all locks are held
 * from before the fork until both processes have what they need, and no CPU has a
 * cache meanwhile.
 */
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>

#include "backend/pages.h"
#include "background.h"
#include "fork.h"
#include "process.h"
#include "span/budget.h"
#include "span/cpu_caches.h"

/* The backend that the fork under way copies, NULL if it does not; under process_lock(). */
static const struct backend *copied;

static void prepare(void)
{
	const struct backend *backend = process_opened();

	process_lock();
	if (!backend || process.config.fork != PS_FORK_COPY)
		return;
	pages_begin(true);
	cpu_caches_stop();
	budget_lock();
	backend->copy_prepare();
	copied = backend;
}

static void in_parent(void)
{
	if (copied) {
		copied->copy_parent();
		copied = NULL;
		budget_unlock();
		cpu_caches_go_on();
		pages_end();
	}
	process_unlock();
}

static void in_child(void)
{
	static const char message[] =
		"pagespan: the child cannot go on with the spans of its parent\n";
	const struct backend *continued;

	if (!copied) {
		process_start_afresh();
		return;
	}
	continued = copied->copy_child(&process.window);
	if (!continued) {
		(void)!write(STDERR_FILENO, message, sizeof(message) - 1);
		abort();
	}
	copied = NULL;
	budget_reset_lock();
	pages_reset_lock();
	pages_open(continued, &process.window);
	process_continue(continued);
	cpu_caches_go_on_in_child();
	if (process.config.background)
		background_start();
}

int fork_handle(void)
{
	static bool handled;
	int ret;

	if (handled)
		return 0;
	ret = pthread_atfork(prepare, in_parent, in_child);
	handled = !ret;
	return -ret;
}
