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

#include "../../kmod/span_map.h"
#include "../annotate.h"
#include "../counters.h"
#include "address_space.h"
#include "backend.h"
#include "memory_huge.h"
#include "memory_size.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

static struct {
	pthread_mutex_t lock; /* protects map, opened and unprotected */
	struct span_map map;
	void *metadata;
	size_t metadata_bytes;
	char *base;
	uint64_t opened;
	bool debug;       /* what is free faults */
	bool unprotected; /* debug mode has given up protecting what is free */
} memory = {.lock = PTHREAD_MUTEX_INITIALIZER};

static char *address_of(uint64_t index)
{
	return memory.base + index * PS_PAGE_SIZE;
}

/* Valgrind has a look at every page of a mapping. */
#define WATCHED_PAGES (((uint64_t)1 << 30) / PS_PAGE_SIZE)

/* Opened at a time: so much, or a part of what is open, for a change of a mapping is not for
 * nothing. */
#define OPEN_PAGES MEGABLOCK_PAGES
#define OPEN_SHARE 8

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
		memory.base = address_space_reserve(nr_pages * PS_PAGE_SIZE);
		if (memory.base)
			return nr_pages;
	}
	return 0;
}

static int make_map(uint64_t nr_pages)
{
	size_t map_bytes = (span_map_metadata_bytes(nr_pages) + 7) & ~(size_t)7;

	memory.metadata_bytes = map_bytes + memory_huge_bytes(nr_pages);
	memory.metadata = mmap(NULL, memory.metadata_bytes, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory.metadata == MAP_FAILED)
		return -ENOMEM;
	span_map_init(&memory.map, nr_pages, memory.metadata);
	memory_huge_init(memory.base, nr_pages, (char *)memory.metadata + map_bytes);
	return 0;
}

static int memory_open(const struct ps_config *config, struct window *window)
{
	uint64_t nr_pages = reserve(config->memory_bytes);
	size_t bytes = nr_pages * PS_PAGE_SIZE;

	if (!nr_pages)
		return -ENOMEM;
	if (madvise(memory.base, bytes, MADV_DONTFORK) || make_map(nr_pages)) {
		address_space_release(memory.base, bytes);
		return -ENOMEM;
	}
	memory.opened = 0;
	memory.debug = config->debug;
	memory.unprotected = false;
	*window = (struct window){.base = memory.base, .nr_pages = nr_pages, .fd = -1};
	return 0;
}

int backend_memory_adopt(const struct window *window)
{
	memory.base = window->base;
	memory.opened = window->nr_pages;
	return make_map(window->nr_pages);
}

static uint64_t memory_pool_pages(void)
{
	return memory.map.nr_pages;
}

/*
 * Every change of protection in the middle of a mapping makes it two, and the kernel
 * allows a process only so many.  Once that is reached everything stays accessible.
 */
static bool give_up_protecting(void)
{
	static const char message[] =
		"pagespan: debug: too many mappings; from here on a page that "
		"is touched after it was freed reads as zeros\n";

	if (memory.unprotected)
		return true;
	if (mprotect(memory.base, memory.opened * PS_PAGE_SIZE, PROT_READ | PROT_WRITE))
		return false;
	memory.unprotected = true;
	(void)!write(STDERR_FILENO, message, sizeof(message) - 1);
	return true;
}

/* In debug mode, with the lock held; false if the kernel refuses that much memory. */
static bool unprotect(uint64_t first, uint64_t nr_pages)
{
	if (!memory.unprotected &&
	    !mprotect(address_of(first), nr_pages * PS_PAGE_SIZE, PROT_READ | PROT_WRITE))
		return true;
	return give_up_protecting();
}

static void protect(uint64_t first, uint64_t nr_pages)
{
	if (!memory.unprotected && mprotect(address_of(first), nr_pages * PS_PAGE_SIZE, PROT_NONE))
		give_up_protecting();
	if (memory.unprotected)
		counters_add(&counters.unprotected, 1);
}

/* ---- what is open, with the lock held ------------------------------------------------------ */

/*
 * What is free is accessible, but not in debug mode.  False if the kernel refuses, for a limit of
 * the process or of the machine.
 */
static bool make_accessible(uint64_t first, uint64_t nr_pages)
{
	return (memory.debug && !memory.unprotected) ||
	       !mprotect(address_of(first), nr_pages * PS_PAGE_SIZE, PROT_READ | PROT_WRITE);
}

static bool open_more(uint64_t nr_pages)
{
	if (!make_accessible(memory.opened, nr_pages))
		return false;
	span_map_free(&memory.map, memory.opened, nr_pages);
	memory.opened += nr_pages;
	return true;
}

/* Opens what a request of so many pages may need, or as much as there is; false if that is nothing.
 */
static bool open_for(uint64_t nr_pages)
{
	uint64_t left = memory.map.nr_pages - memory.opened;
	uint64_t step = memory.opened / OPEN_SHARE;

	if (step < nr_pages)
		step = nr_pages;
	step = (step + OPEN_PAGES - 1) / OPEN_PAGES * OPEN_PAGES;
	if (step > left)
		step = left;
	for (; step; step /= 2)
		if (open_more(step))
			return true;
	return false;
}

/*
 * Makes free pages new and not accessible, whatever the kernel was advised for them.  A mapping
 * that could be written to once would stay charged to the machine's commit limit otherwise.
 */
static bool map_anew(uint64_t first, uint64_t nr_pages)
{
	size_t bytes = nr_pages * PS_PAGE_SIZE;

	if (mmap(address_of(first), bytes, PROT_NONE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0) == MAP_FAILED)
		return false;
	madvise(address_of(first), bytes, MADV_DONTFORK);
	return true;
}

/* Closes again what was opened in vain. */
static void close_from(uint64_t first)
{
	uint64_t nr_pages = memory.opened - first;

	if (!nr_pages || span_map_alloc_at(&memory.map, first, nr_pages))
		return;
	if (map_anew(first, nr_pages))
		memory.opened = first;
	else
		span_map_free(&memory.map, first, nr_pages);
}

/* Of megablocks that are allocated for that; what the kernel does not open again is lost. */
static void withdraw_advice(uint64_t begin, uint64_t end)
{
	uint64_t first = begin * MEGABLOCK_PAGES;
	uint64_t nr_pages = (end - begin) * MEGABLOCK_PAGES;

	if (memory_huge_may_end(begin, end) && map_anew(first, nr_pages)) {
		memory_huge_forget(begin, end);
		if (!make_accessible(first, nr_pages))
			return;
	}
	span_map_free(&memory.map, first, nr_pages);
}

/* Of the megablocks of a range that was freed just now, for those of which no page is in use. */
static void withdraw_advice_in(const struct range *range)
{
	uint64_t last = (range->first + range->nr_pages - 1) / MEGABLOCK_PAGES;
	uint64_t begin, end;

	for (begin = range->first / MEGABLOCK_PAGES; begin <= last; begin = end + 1) {
		for (end = begin; end <= last && memory_huge_is_advised(end); end++)
			if (span_map_alloc_at(&memory.map, end * MEGABLOCK_PAGES, MEGABLOCK_PAGES))
				break;
		if (end > begin)
			withdraw_advice(begin, end);
	}
}

static int64_t alloc_opening(uint32_t nr_pages, uint32_t align_pages)
{
	uint64_t opened = memory.opened;
	int64_t first;

	do {
		first = span_map_alloc(&memory.map, nr_pages, align_pages);
	} while (first == -ENOMEM && open_for(nr_pages));
	if (first < 0)
		close_from(opened);
	return first;
}

static int alloc_at_opening(const struct range *range)
{
	uint64_t opened = memory.opened;
	uint64_t end = range->first + range->nr_pages;
	int ret;

	if (end > memory.map.nr_pages)
		return -EINVAL;
	while (memory.opened < end)
		if (!open_for(end - memory.opened)) {
			close_from(opened);
			return -ENOMEM;
		}
	ret = span_map_alloc_at(&memory.map, range->first, range->nr_pages);
	if (ret)
		close_from(opened);
	return ret;
}

/* Of pages that were allocated just now; else they are not. */
static bool begin_use(uint64_t first, uint64_t nr_pages, unsigned int flags)
{
	if (memory.debug && !unprotect(first, nr_pages)) {
		span_map_free(&memory.map, first, nr_pages);
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
	char *pages = address_of(first);

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
		madvise(address_of(first), nr_pages * PS_PAGE_SIZE, MADV_POPULATE_WRITE);
}

static int memory_alloc(const struct request *request, uint64_t *firsts)
{
	int64_t first = -ENOMEM;
	uint32_t nr, i;

	if (request->flags & PS_EXPORT)
		return -EOPNOTSUPP;
	pthread_mutex_lock(&memory.lock);
	for (nr = 0; nr < request->count; nr++) {
		first = alloc_opening(request->nr_pages, request->align_pages);
		if (first >= 0 && !begin_use((uint64_t)first, request->nr_pages, request->flags))
			first = -ENOMEM;
		if (first < 0)
			break;
		firsts[nr] = (uint64_t)first;
	}
	pthread_mutex_unlock(&memory.lock);
	for (i = 0; i < nr; i++)
		prepare_span(firsts[i], request->nr_pages, request->flags);
	return nr ? (int)nr : (int)first;
}

static int memory_alloc_at(const struct range *range, unsigned int flags)
{
	int ret;

	if (flags & PS_EXPORT)
		return -EOPNOTSUPP;
	pthread_mutex_lock(&memory.lock);
	ret = alloc_at_opening(range);
	if (!ret && !begin_use(range->first, range->nr_pages, flags))
		ret = -ENOMEM;
	pthread_mutex_unlock(&memory.lock);
	if (!ret)
		prepare_span(range->first, range->nr_pages, flags);
	return ret;
}

/* To the map, what is not open is in use. */
static bool is_open(const struct range *range)
{
	return range->first + range->nr_pages <= memory.opened;
}

/* With the lock held.  In debug mode nothing is dropped before the map agrees. */
static bool free_range(const struct range *range)
{
	if (!is_open(range) || span_map_free(&memory.map, range->first, range->nr_pages))
		return false;
	if (memory.debug) {
		drop(range->first, range->nr_pages);
		protect(range->first, range->nr_pages);
	}
	withdraw_advice_in(range);
	return true;
}

static uint32_t memory_free(const struct range *ranges, uint32_t count)
{
	uint32_t i;

	if (!memory.debug)
		for (i = 0; i < count; i++)
			drop(ranges[i].first, ranges[i].nr_pages);
	pthread_mutex_lock(&memory.lock);
	for (i = 0; i < count; i++)
		if (!free_range(&ranges[i]))
			break;
	pthread_mutex_unlock(&memory.lock);
	return i;
}

/* A page that can be allocated was not owned. */
static bool memory_owned(uint64_t first, uint64_t *nr_pages)
{
	bool owned;

	pthread_mutex_lock(&memory.lock);
	owned = first < memory.opened && span_map_alloc_at(&memory.map, first, 1);
	if (!owned && first < memory.opened)
		span_map_free(&memory.map, first, 1);
	pthread_mutex_unlock(&memory.lock);
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
	munmap(memory.metadata, memory.metadata_bytes);
	memory.lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
}

/* The kernel copies the pages, each when one of the two processes writes to it. */
static void memory_copy_prepare(void)
{
	pthread_mutex_lock(&memory.lock);
	madvise(memory.base, memory.map.nr_pages * PS_PAGE_SIZE, MADV_DOFORK);
}

static void memory_copy_parent(void)
{
	madvise(memory.base, memory.map.nr_pages * PS_PAGE_SIZE, MADV_DONTFORK);
	pthread_mutex_unlock(&memory.lock);
}

static const struct backend *memory_copy_child(struct window *window)
{
	(void)window;
	madvise(memory.base, memory.map.nr_pages * PS_PAGE_SIZE, MADV_DONTFORK);
	memory.lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
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
	.map_export = memory_map_export,
	.export = memory_export,
	.forget = memory_forget,
	.copy_prepare = memory_copy_prepare,
	.copy_parent = memory_copy_parent,
	.copy_child = memory_copy_child,
};
