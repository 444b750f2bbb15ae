// SPDX-License-Identifier: MIT
/*
 * Spans: choosing a backend, and translating between addresses and the page
 * indices that backends speak of.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "backend.h"
#include "pagespan.h"

/* Written under open_lock before backend is published; constant afterwards. */
static struct window window;
static const struct backend *_Atomic backend;
static pthread_mutex_t open_lock = PTHREAD_MUTEX_INITIALIZER;

static struct {
	_Atomic uint64_t spans_allocated;
	_Atomic uint64_t spans_freed;
	_Atomic uint64_t bytes_held;
	_Atomic uint64_t bytes_peak;
} counters;

/* The child owns nothing, and no other thread of the parent's exists in it. */
static void start_afresh_in_child(void)
{
	const struct backend *inherited = atomic_load(&backend);

	open_lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
	if (!inherited)
		return;
	inherited->forget();
	atomic_store(&backend, NULL);
	memset(&counters, 0, sizeof(counters));
}

static int open_either(const struct backend **chosen)
{
	const char *name = secure_getenv("PAGESPAN_BACKEND");
	bool any = !name || !*name;

	if (any || !strcmp(name, backend_device.name)) {
		int ret = backend_device.open(&window);

		if (!ret || !any) {
			*chosen = &backend_device;
			return ret;
		}
	}
	if (any || !strcmp(name, backend_memory.name)) {
		*chosen = &backend_memory;
		return backend_memory.open(&window);
	}
	return -EINVAL;
}

static int open_backend(void)
{
	static bool fork_handled;
	const struct backend *chosen;
	int ret = 0;

	pthread_mutex_lock(&open_lock);
	if (atomic_load(&backend))
		goto unlock;
	if (!fork_handled) {
		ret = -pthread_atfork(NULL, NULL, start_afresh_in_child);
		if (ret)
			goto unlock;
		fork_handled = true;
	}
	ret = open_either(&chosen);
	if (!ret)
		atomic_store(&backend, chosen);
unlock:
	pthread_mutex_unlock(&open_lock);
	return ret;
}

/* The backend in use, opened if need be; NULL with errno. */
static const struct backend *get_backend(void)
{
	const struct backend *opened = atomic_load_explicit(&backend, memory_order_acquire);
	int ret;

	if (__builtin_expect(opened != NULL, 1))
		return opened;
	ret = open_backend();
	if (ret) {
		errno = -ret;
		return NULL;
	}
	return atomic_load(&backend);
}

static void count_allocated(size_t bytes)
{
	uint64_t held = atomic_fetch_add(&counters.bytes_held, bytes) + bytes;
	uint64_t peak = atomic_load(&counters.bytes_peak);

	atomic_fetch_add(&counters.spans_allocated, 1);
	while (held > peak && !atomic_compare_exchange_weak(&counters.bytes_peak, &peak, held))
		;
}

void *ps_span_alloc(size_t bytes)
{
	const struct backend *from;
	int64_t first;

	if (!bytes || bytes % PS_PAGE_SIZE || bytes > PS_SPAN_MAX) {
		errno = EINVAL;
		return NULL;
	}
	from = get_backend();
	if (!from)
		return NULL;
	first = from->alloc((uint32_t)(bytes / PS_PAGE_SIZE));
	if (first < 0) {
		errno = (int)-first;
		return NULL;
	}
	count_allocated(bytes);
	return window.base + (uint64_t)first * PS_PAGE_SIZE;
}

int ps_span_free(void *ptr, size_t bytes)
{
	const struct backend *to = atomic_load_explicit(&backend, memory_order_acquire);
	uint64_t offset;
	int ret;

	if (!to || !bytes || (uintptr_t)ptr % PS_PAGE_SIZE || bytes % PS_PAGE_SIZE ||
	    (char *)ptr < window.base)
		return -EINVAL;
	offset = (uint64_t)((char *)ptr - window.base);
	if (offset / PS_PAGE_SIZE >= window.nr_pages)
		return -EINVAL;
	ret = to->free(offset / PS_PAGE_SIZE, bytes / PS_PAGE_SIZE);
	if (ret)
		return ret;
	atomic_fetch_sub(&counters.bytes_held, bytes);
	atomic_fetch_add(&counters.spans_freed, 1);
	return 0;
}

const char *ps_backend(void)
{
	const struct backend *opened = get_backend();

	return opened ? opened->name : NULL;
}

int ps_stats(struct ps_stats *stats, size_t size)
{
	struct ps_stats current;

	if (!size)
		return -EINVAL;
	if (!get_backend())
		return -errno;
	current = (struct ps_stats){
		.spans_allocated = atomic_load(&counters.spans_allocated),
		.spans_freed = atomic_load(&counters.spans_freed),
		.bytes_held = atomic_load(&counters.bytes_held),
		.bytes_peak = atomic_load(&counters.bytes_peak),
		.bytes_pool = window.nr_pages * PS_PAGE_SIZE,
	};
	memset(stats, 0, size);
	memcpy(stats, &current, size < sizeof(current) ? size : sizeof(current));
	return 0;
}
