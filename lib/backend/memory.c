// SPDX-License-Identifier: MIT
/*
 * The memory backend: the module's span map, in process, over one anonymous
 * reservation.  Pages cost memory from their first touch until they come back
 * here; a free page holds nothing and reads as zeros.
 *
 * Of the reservation only the beginning is open, as far as it was ever needed:
 * the rest is not accessible, so that it counts against no limit but that of
 * address space, is not locked by mlockall() and is in no core dump.  To the map
 * what is not open is in use.
 *
 *	0                 opened                    nr_pages
 *	┌─────────────────┬─────────────────────────┐
 *	│ in use, or free │ not accessible          │
 *	└─────────────────┴─────────────────────────┘
 *
 * Pages are dropped before the map says that they are free, so the lock is not
 * held for it: whoever frees them still owns them.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../annotate.h"
#include "address_space.h"
#include "backend.h"
#include "memory_huge.h"
#include "memory_move.h"
#include "memory_pressure.h"
#include "memory_room.h"
#include "memory_size.h"
#include "memory_state.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

struct memory_state memory_state = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* Valgrind has a look at every page of a mapping. */
#define WATCHED_PAGES (((uint64_t)1 << 30) / PS_PAGE_SIZE)

/* What was asked for in pages, or else what this process may use of the machine. */
static uint64_t wanted_pages(uint64_t bytes)
{
	uint64_t pages;

	if (bytes)
		return bytes / PS_PAGE_SIZE;
	if (annotate_watched())
		return WATCHED_PAGES;
	pages = memory_size() / PS_PAGE_SIZE;
	return pages < SPAN_MAP_MAX_PAGES ? pages : SPAN_MAP_MAX_PAGES;
}

/* Reserves as much as can be had of what is wanted; 0 if that is nothing. */
static uint64_t reserve(uint64_t bytes)
{
	uint64_t left = address_space_left() / PS_PAGE_SIZE;
	uint64_t nr_pages = wanted_pages(bytes);

	if (nr_pages > left)
		nr_pages = left;
	for (; nr_pages; nr_pages /= 2) {
		memory_state.base = address_space_reserve(nr_pages * PS_PAGE_SIZE);
		if (memory_state.base)
			return nr_pages;
	}
	return 0;
}

static int make_map(uint64_t nr_pages)
{
	size_t map_bytes = (span_map_metadata_bytes(nr_pages) + 7) & ~(size_t)7;

	memory_state.metadata_bytes = map_bytes + memory_huge_bytes(nr_pages);
	memory_state.metadata = mmap(NULL, memory_state.metadata_bytes, PROT_READ | PROT_WRITE,
				     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory_state.metadata == MAP_FAILED)
		return -ENOMEM;
	span_map_init(&memory_state.map, nr_pages, memory_state.metadata);
	memory_huge_init(memory_state.base, nr_pages, (char *)memory_state.metadata + map_bytes);
	memory_room_init();
	memory_move_init();
	return 0;
}

static int memory_open(const struct ps_config *config, struct window *window)
{
	uint64_t nr_pages = reserve(config->memory_bytes);
	size_t bytes = nr_pages * PS_PAGE_SIZE;

	if (!nr_pages)
		return -ENOMEM;
	if (madvise(memory_state.base, bytes, MADV_DONTFORK) || make_map(nr_pages)) {
		address_space_release(memory_state.base, bytes);
		return -ENOMEM;
	}
	memory_pressure_open();
	memory_state.opened = 0;
	memory_state.debug = config->debug;
	memory_state.unprotected = false;
	*window = (struct window){.base = memory_state.base, .nr_pages = nr_pages, .fd = -1};
	return 0;
}

int backend_memory_adopt(const struct window *window)
{
	memory_state.base = window->base;
	memory_state.opened = window->nr_pages;
	return make_map(window->nr_pages);
}

static uint64_t memory_pool_pages(void)
{
	return memory_state.map.nr_pages;
}

/* Of pages that were allocated just now; else they are not. */
static bool begin_use(uint64_t first, uint64_t nr_pages, unsigned int flags)
{
	if (memory_state.debug && !memory_unprotect(first, nr_pages)) {
		span_map_free(&memory_state.map, first, nr_pages);
		return false;
	}
	if (flags & PS_HUGE)
		memory_huge_advise(first, nr_pages);
	return true;
}

/* ---- spans --------------------------------------------------------------------------------- */

/* Locked memory cannot be dropped, only cleared, though whoever watches knows it as freed. */
static void drop(uint64_t first, uint64_t nr_pages)
{
	size_t bytes = nr_pages * PS_PAGE_SIZE;
	char *pages = memory_address(first);

	if (!madvise(pages, bytes, MADV_DONTNEED))
		return;
	annotate_long_allocated(pages, bytes, false);
	memset(pages, 0, bytes);
	annotate_long_freed(pages, bytes);
}

/* Of a span that nobody has seen yet.  The kernel may not know this advice. */
static void prepare_span(uint64_t first, uint64_t nr_pages, unsigned int flags)
{
	if (flags & PS_POPULATE)
		madvise(memory_address(first), nr_pages * PS_PAGE_SIZE, MADV_POPULATE_WRITE);
}

/* Before anything is refused, rooms go back. */
static int64_t take(const struct request *request)
{
	int64_t first;

	if (request->flags & PS_GROWS)
		first = memory_room_alloc(request->nr_pages, request->align_pages);
	else
		first = memory_alloc_opening(request->nr_pages, request->align_pages);
	while (first == -ENOMEM && memory_room_give_some())
		first = memory_alloc_opening(request->nr_pages, request->align_pages);
	return first;
}

static int take_at(const struct range *range)
{
	int ret = memory_room_take(range);

	if (ret != -ENOENT)
		return ret;
	do {
		ret = memory_alloc_at_opening(range);
	} while (ret == -EBUSY && memory_room_give_in(range));
	return ret;
}

static int memory_alloc(const struct request *request, uint64_t *firsts)
{
	int64_t first = -ENOMEM;
	uint32_t nr, i;

	if (request->flags & PS_EXPORT)
		return -EOPNOTSUPP;
	pthread_mutex_lock(&memory_state.lock);
	for (nr = 0; nr < request->count; nr++) {
		first = take(request);
		if (first >= 0 && !begin_use((uint64_t)first, request->nr_pages, request->flags))
			first = -ENOMEM;
		if (first < 0)
			break;
		firsts[nr] = (uint64_t)first;
	}
	pthread_mutex_unlock(&memory_state.lock);
	for (i = 0; i < nr; i++)
		prepare_span(firsts[i], request->nr_pages, request->flags);
	return nr ? (int)nr : (int)first;
}

static int memory_alloc_at(const struct range *range, unsigned int flags)
{
	int ret;

	if (flags & PS_EXPORT)
		return -EOPNOTSUPP;
	pthread_mutex_lock(&memory_state.lock);
	ret = take_at(range);
	if (!ret && !begin_use(range->first, range->nr_pages, flags))
		ret = -ENOMEM;
	pthread_mutex_unlock(&memory_state.lock);
	if (!ret)
		prepare_span(range->first, range->nr_pages, flags);
	return ret;
}

/* To the map, what is not open and what is in a room is in use. */
static bool may_be_owned(const struct range *range)
{
	return range->first + range->nr_pages <= memory_state.opened && !memory_room_has(range);
}

/* With the lock held.  In debug mode nothing is dropped before the map agrees. */
static bool free_range(const struct range *range)
{
	if (!may_be_owned(range) || span_map_free(&memory_state.map, range->first, range->nr_pages))
		return false;
	if (memory_state.debug) {
		drop(range->first, range->nr_pages);
		memory_protect(range->first, range->nr_pages);
	}
	memory_room_freed(range);
	memory_withdraw_advice(range);
	return true;
}

static uint32_t memory_free(const struct range *ranges, uint32_t count)
{
	uint32_t i;

	if (!memory_state.debug)
		for (i = 0; i < count; i++)
			drop(ranges[i].first, ranges[i].nr_pages);
	pthread_mutex_lock(&memory_state.lock);
	for (i = 0; i < count; i++)
		if (!free_range(&ranges[i]))
			break;
	pthread_mutex_unlock(&memory_state.lock);
	return i;
}

/* A page that can be allocated was not owned. */
static bool memory_owned(uint64_t first, uint64_t *nr_pages)
{
	const struct range page = {first, 1};
	bool owned;

	pthread_mutex_lock(&memory_state.lock);
	owned = may_be_owned(&page);
	if (owned && !span_map_alloc_at(&memory_state.map, first, 1)) {
		span_map_free(&memory_state.map, first, 1);
		owned = false;
	}
	pthread_mutex_unlock(&memory_state.lock);
	*nr_pages = 1;
	return owned;
}

static int memory_map_export(struct window *window)
{
	(void)window;
	return -EOPNOTSUPP;
}

static int memory_export(const struct range *range)
{
	(void)range;
	return -EOPNOTSUPP;
}

/* The lock may be held by a thread that this process does not have. */
static void memory_forget(void)
{
	munmap(memory_state.metadata, memory_state.metadata_bytes);
	memory_pressure_close();
	memory_state.lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
	memory_move_reset_lock();
}

/* The kernel copies the pages, each when one of the two processes writes to it. */
static void memory_copy_prepare(void)
{
	memory_move_lock();
	pthread_mutex_lock(&memory_state.lock);
	madvise(memory_state.base, memory_state.map.nr_pages * PS_PAGE_SIZE, MADV_DOFORK);
}

static void memory_copy_parent(void)
{
	madvise(memory_state.base, memory_state.map.nr_pages * PS_PAGE_SIZE, MADV_DONTFORK);
	pthread_mutex_unlock(&memory_state.lock);
	memory_move_unlock();
}

static const struct backend *memory_copy_child(struct window *window)
{
	(void)window;
	madvise(memory_state.base, memory_state.map.nr_pages * PS_PAGE_SIZE, MADV_DONTFORK);
	memory_state.lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
	memory_move_reset_lock();
	return &backend_memory;
}

const struct backend backend_memory = {
	.name = "memory",
	.open = memory_open,
	.pool_pages = memory_pool_pages,
	.alloc = memory_alloc,
	.alloc_at = memory_alloc_at,
	.free = memory_free,
	.owned = memory_owned,
	.move = memory_move,
	.pressed = memory_pressure,
	.map_export = memory_map_export,
	.export = memory_export,
	.forget = memory_forget,
	.copy_prepare = memory_copy_prepare,
	.copy_parent = memory_copy_parent,
	.copy_child = memory_copy_child,
};
