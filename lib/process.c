// SPDX-License-Identifier: MIT
/* Choosing a backend and opening it, once in a process. */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "backend/address_space.h"
#include "annotate.h"
#include "span/central.h"
#include "counters.h"
#include "fork.h"
#include "span/pages.h"
#include "process.h"
#include "report.h"
#include "span/thread_cache.h"

#define MB        ((uint64_t)1 << 20)
#define MEMORY_MB ((uint64_t)1 << 20) /* the most, in MiB */

struct process process;

/* Published when everything it needs is there. */
static const struct backend *_Atomic opened;

/* Protects opening, and window.export_base. */
static pthread_mutex_t open_lock = PTHREAD_MUTEX_INITIALIZER;

/* What ps_init() was given; a child of a fork that starts afresh goes by it too. */
static struct ps_config configured;

/* ---- the environment ----------------------------------------------------------------------- */

static bool environment_says_one(const char *name)
{
	const char *value = secure_getenv(name);

	return value && !strcmp(value, "1");
}

static int memory_from_environment(uint64_t *bytes)
{
	const char *text = secure_getenv("PAGESPAN_MEMORY_MB");
	unsigned long long mb;
	char *end;

	if (!text)
		return 0;
	if (*text < '0' || *text > '9')
		return -EINVAL;
	mb = strtoull(text, &end, 10);
	if (*end || mb < 1 || mb > MEMORY_MB)
		return -EINVAL;
	*bytes = mb * MB;
	return 0;
}

static int fork_from_environment(uint32_t *how)
{
	const char *text = secure_getenv("PAGESPAN_FORK");

	if (!text || !*text || !strcmp(text, "fresh"))
		*how = PS_FORK_FRESH;
	else if (!strcmp(text, "copy"))
		*how = PS_FORK_COPY;
	else
		return -EINVAL;
	return 0;
}

/* Leaves no default open, but that of the backend and of its size. */
static int complete_config(void)
{
	struct ps_config *config = &process.config;
	int ret;

	*config = configured;
	if (!config->backend)
		config->backend = secure_getenv("PAGESPAN_BACKEND");
	if (config->backend && !*config->backend)
		config->backend = NULL;
	if (!config->memory_bytes) {
		ret = memory_from_environment(&config->memory_bytes);
		if (ret)
			return ret;
	}
	if (config->fork == PS_FORK_DEFAULT) {
		ret = fork_from_environment(&config->fork);
		if (ret)
			return ret;
	}
	if (!config->debug)
		config->debug = environment_says_one("PAGESPAN_DEBUG");
	return 0;
}

/* ---- opening ------------------------------------------------------------------------------- */

static int open_either(const struct backend **chosen)
{
	const char *name = process.config.backend;

	if (!name || !strcmp(name, backend_device.name)) {
		int ret = backend_device.open(&process.window);

		if (!ret || name) {
			*chosen = &backend_device;
			return ret;
		}
	}
	if (!name || !strcmp(name, backend_memory.name)) {
		*chosen = &backend_memory;
		return backend_memory.open(&process.window);
	}
	return -EINVAL;
}

/* With open_lock held. */
static int open_all(void)
{
	const struct backend *chosen;
	int ret;

	ret = complete_config();
	if (ret)
		return ret;
	ret = fork_handle();
	if (ret)
		return ret;
	ret = thread_caches_open();
	if (ret)
		return ret;
	ret = open_either(&chosen);
	if (ret) {
		thread_caches_forget();
		return ret;
	}
	process.caching = !process.config.debug && !annotate_watched();
	if (environment_says_one("PAGESPAN_STATS"))
		report_at_exit();
	atomic_store_explicit(&opened, chosen, memory_order_release);
	return 0;
}

/* ENOMEM is kept for a pool that is full. */
static int open_backend(void)
{
	int saved_errno = errno;
	int ret = 0;

	process_lock();
	if (!atomic_load(&opened))
		ret = open_all();
	process_unlock();
	errno = saved_errno;
	return ret == -ENOMEM ? -ENODEV : ret;
}

const struct backend *process_opened(void)
{
	const struct backend *backend = atomic_load_explicit(&opened, memory_order_acquire);

	if (backend && __builtin_expect(!thread_caches_ours(), 0)) {
		process_start_afresh();
		return NULL;
	}
	return backend;
}

const struct backend *process_backend(void)
{
	const struct backend *backend = process_opened();
	int ret;

	if (__builtin_expect(backend != NULL, 1))
		return backend;
	ret = open_backend();
	if (ret) {
		errno = -ret;
		return NULL;
	}
	return process_opened();
}

int process_open_exports(const struct backend *backend)
{
	int ret = 0;

	process_lock();
	if (!process.window.export_base)
		ret = backend->map_export(&process.window);
	process_unlock();
	return ret;
}

/* A configuration that this library does not know all of must ask for nothing more. */
static int read_config(struct ps_config *known, const struct ps_config *config, size_t size)
{
	const char *beyond = (const char *)config;
	size_t i;

	for (i = sizeof(*known); i < size; i++)
		if (beyond[i])
			return -E2BIG;
	*known = (struct ps_config){0};
	memcpy(known, config, size < sizeof(*known) ? size : sizeof(*known));
	if (known->fork > PS_FORK_COPY || known->debug > 1 || known->memory_bytes % MB ||
	    known->memory_bytes > MEMORY_MB * MB || known->limit_bytes % PS_PAGE_SIZE)
		return -EINVAL;
	/* The caller's string may go. */
	if (known->backend && !strcmp(known->backend, backend_device.name))
		known->backend = backend_device.name;
	else if (known->backend && !strcmp(known->backend, backend_memory.name))
		known->backend = backend_memory.name;
	else if (known->backend)
		return -EINVAL;
	return 0;
}

int ps_init(const struct ps_config *config, size_t size)
{
	struct ps_config known;
	int ret = read_config(&known, config, size);

	if (ret)
		return ret;
	if (process_opened())
		return -EALREADY;
	process_lock();
	if (atomic_load(&opened)) {
		ret = -EALREADY;
	} else {
		configured = known;
		ret = open_all();
		if (ret)
			configured = (struct ps_config){0};
		else
			pages_limit_set(known.limit_bytes);
	}
	process_unlock();
	return ret == -ENOMEM ? -ENODEV : ret;
}

/* ---- after a fork -------------------------------------------------------------------------- */

void process_lock(void)
{
	pthread_mutex_lock(&open_lock);
}

void process_unlock(void)
{
	pthread_mutex_unlock(&open_lock);
}

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
	thread_caches_forget();
	central_reset();
	counters_reset();
	process = (struct process){0};
	atomic_store(&opened, NULL);
}

/* Exported spans are not copied. */
void process_continue(const struct backend *backend)
{
	open_lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
	if (process.window.export_base)
		address_space_retire(process.window.export_base,
				     process.window.nr_pages * PS_PAGE_SIZE);
	process.window.export_base = NULL;
	atomic_store(&opened, backend);
}
