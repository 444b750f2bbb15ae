// SPDX-License-Identifier: MIT
/*
 * What happens around fork().
 *
 * A child that starts afresh needs nothing of its parent: what it inherits it
 * drops.  One that continues must find everything at rest, so all locks are held
 * from before the fork until both processes have what they need; threads that
 * are served by their own caches go on.
 */
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>

#include "backend.h"
#include "central.h"
#include "fork.h"
#include "process.h"
#include "thread_cache.h"

/* The backend that the fork under way copies, NULL if it does not; under process_lock(). */
static const struct backend *copied;

static void prepare(void)
{
	const struct backend *backend = process_opened();

	process_lock();
	if (!backend || process.config.fork != PS_FORK_COPY)
		return;
	central_lock();
	thread_caches_copy_prepare();
	backend->copy_prepare();
	copied = backend;
}

static void in_parent(void)
{
	if (copied) {
		copied->copy_parent();
		thread_caches_copy_parent();
		copied = NULL;
		central_unlock();
	}
	process_unlock();
}

static void in_child(void)
{
	static const char message[] =
		"pagespan: the spans of the parent process cannot be copied\n";
	const struct backend *parents = copied;
	const struct backend *backend;

	if (!parents) {
		process_start_afresh();
		return;
	}
	backend = parents->copy_child(&process.window);
	copied = NULL;
	if (!backend) {
		(void)!write(STDERR_FILENO, message, sizeof(message) - 1);
		abort();
	}
	central_reset_lock();
	process_continue(backend);
	/* The memory backend's pages are copied by fork itself. */
	thread_caches_copy_child(parents == backend);
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
