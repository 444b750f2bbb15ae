// SPDX-License-Identifier: MIT
/* Choosing a backend and opening it, once in a process. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "annotate.h"
#include "backend/pages.h"
#include "background.h"
#include "fork.h"
#include "open.h"
#include "report.h"
#include "span/budget.h"
#include "span/cpu_caches.h"

#define MB               ((uint64_t)1 << 20)
#define MEMORY_MB        ((uint64_t)1 << 20) /* the most, in MiB */

#define CACHE_DEFAULT    UINT64_MAX

#define DECAY_DEFAULT_MS 1000
#define DECAY_MOST_MS    3600000

/* What the cache of a CPU may hold if nothing is held, and what is kept behind those. */
#define CPU_BYTES       (2 * MB)
#define KEPT_BYTES      (96 * MB)
#define KEPT_SHARE      4
#define KEPT_POOL_SHARE 4
#define KEPT_CPUS_SHARE 2

/* On the device, where others may wait for it and the process may sleep; and if nothing is kept. */
#define SLEEPING_SHARE      16
#define SLEEPING_POOL_SHARE 8

/* What ps_init() was given; a child of a fork that starts afresh goes by it too. */
static struct ps_config configured;

/* ---- the environment ----------------------------------------------------------------------- */

static bool environment_says_one(const char *name)
{
	const char *value = secure_getenv(name);

	return value && !strcmp(value, "1");
}

/* A number from @least to @most; if the variable is not there, what @number was. */
static int number_from_environment(const char *name, uint64_t least, uint64_t most,
				   uint64_t *number)
{
	const char *text = secure_getenv(name);
	unsigned long long value;
	char *end;

	if (!text)
		return 0;
	if (*text < '0' || *text > '9')
		return -EINVAL;
	value = strtoull(text, &end, 10);
	if (*end || value < least || value > most)
		return -EINVAL;
	*number = value;
	return 0;
}

static int memory_from_environment(uint64_t *bytes)
{
	uint64_t mb = 0;
	int ret = number_from_environment("PAGESPAN_MEMORY_MB", 1, MEMORY_MB, &mb);

	*bytes = mb * MB;
	return ret;
}

static int cache_from_environment(uint64_t *bytes)
{
	uint64_t mb = CACHE_DEFAULT;
	int ret = number_from_environment("PAGESPAN_CACHE_MB", 0, MEMORY_MB, &mb);

	*bytes = mb == CACHE_DEFAULT ? CACHE_DEFAULT : mb * MB;
	return ret;
}

static int decay_from_environment(uint32_t *decay_ms)
{
	uint64_t ms = DECAY_DEFAULT_MS;
	int ret = number_from_environment("PAGESPAN_DECAY_MS", 0, DECAY_MOST_MS, &ms);

	*decay_ms = (uint32_t)ms;
	return ret;
}

static int fork_from_environment(uint32_t *how)
{
	const char *text = secure_getenv("PAGESPAN_FORK");

	if (!text || !*text || !strcmp(text, "copy"))
		*how = PS_FORK_COPY;
	else if (!strcmp(text, "fresh"))
		*how = PS_FORK_FRESH;
	else
		return -EINVAL;
	return 0;
}

static int caches_from_environment(struct ps_config *config)
{
	int ret = 0;

	if (!config->cache_bytes)
		ret = cache_from_environment(&config->cache_bytes);
	if (config->decay_ms == PS_DECAY_AT_ONCE)
		config->decay_ms = 0;
	else if (!ret && !config->decay_ms)
		ret = decay_from_environment(&config->decay_ms);
	if (!config->background)
		config->background = environment_says_one("PAGESPAN_BACKGROUND");
	return ret;
}

/*
 * Leaves no default open, but that of the backend and of its size.  Of the caches, CACHE_DEFAULT is
 * the default, 0 nothing; a decay of 0 is at once.
 */
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
	return caches_from_environment(config);
}

/* ---- opening ------------------------------------------------------------------------------- */

static int open_either(const struct backend **chosen)
{
	const struct ps_config *config = &process.config;

	if (!config->backend || !strcmp(config->backend, backend_device.name)) {
		int ret = backend_device.open(config, &process.window);

		if (!ret || config->backend) {
			*chosen = &backend_device;
			return ret;
		}
	}
	if (!config->backend || !strcmp(config->backend, backend_memory.name)) {
		*chosen = &backend_memory;
		return backend_memory.open(config, &process.window);
	}
	return -EINVAL;
}

/* What is said in pagespan.h under Caches. */
static struct budget_rules rules_of(const struct backend *backend)
{
	const struct ps_config *config = &process.config;
	uint64_t pool_bytes = backend->pool_pages() * PS_PAGE_SIZE;
	struct budget_rules rules = {.decay_ms = config->decay_ms, .cpus_share = 1};

	if (!process.caching)
		return rules;
	if (config->cache_bytes != CACHE_DEFAULT) {
		rules.fixed_bytes = config->cache_bytes;
		rules.most_bytes = config->cache_bytes;
	} else if (config->decay_ms && (backend == &backend_memory || config->background)) {
		rules.fixed_bytes = KEPT_BYTES + cpu_caches_cpus() * CPU_BYTES;
		rules.share = KEPT_SHARE;
		rules.most_bytes = pool_bytes / KEPT_POOL_SHARE;
		rules.cpus_share = KEPT_CPUS_SHARE;
	} else {
		rules.fixed_bytes = cpu_caches_cpus() * CPU_BYTES;
		rules.share = SLEEPING_SHARE;
		rules.most_bytes = pool_bytes / SLEEPING_POOL_SHARE;
	}
	return rules;
}

static uint64_t cpu_bytes(void)
{
	uint64_t bytes = process.config.cache_bytes / cpu_caches_cpus();

	return bytes < CPU_BYTES ? bytes : CPU_BYTES;
}

/* With process_lock() held. */
static int open_all(void)
{
	const struct backend *chosen;
	struct budget_rules rules;
	int ret;

	ret = complete_config();
	if (ret)
		return ret;
	ret = fork_handle();
	if (ret)
		return ret;
	ret = cpu_caches_open(&process.window);
	if (ret)
		return ret;
	ret = open_either(&chosen);
	if (ret) {
		cpu_caches_forget();
		return ret;
	}
	process.caching =
		!process.config.debug && process.config.cache_bytes && !annotate_watched();
	rules = rules_of(chosen);
	ret = budget_open(&process.window, &rules);
	if (ret) {
		cpu_caches_forget();
		chosen->forget();
		return ret;
	}
	pages_open(chosen, &process.window);
	if (process.caching)
		cpu_caches_start(&process.window, cpu_bytes());
	/* From now on it answers. */
	if (process.caching && chosen->asked)
		chosen->asked();
	if (environment_says_one("PAGESPAN_STATS"))
		report_at_exit();
	process_publish(chosen);
	if (process.config.background)
		background_start();
	return 0;
}

/* ENOMEM is kept for a pool that is full. */
static int open_backend(void)
{
	int saved_errno = errno;
	int ret = 0;

	process_lock();
	if (!process_opened())
		ret = open_all();
	process_unlock();
	errno = saved_errno;
	return ret == -ENOMEM ? -ENODEV : ret;
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
	    known->memory_bytes > MEMORY_MB * MB || known->limit_bytes % PS_PAGE_SIZE ||
	    known->cache_bytes % PS_PAGE_SIZE || known->cache_bytes > MEMORY_MB * MB ||
	    (known->decay_ms > DECAY_MOST_MS && known->decay_ms != PS_DECAY_AT_ONCE) ||
	    known->background > 1)
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
	if (process_opened()) {
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
