// SPDX-License-Identifier: MIT
/*
 * The device backend: this process is one client of /dev/pagespan, with one
 * window over the whole pool.
 *
 * A 2 MiB slot of the window takes a huge page only as long as no single page of
 * it has been mapped: the page table that this needs stays when the pages go.
 * So the slots that have had one are remembered, and mapped anew when a span
 * comes to cover them whole: nothing else of this process is in them then.
 * Mappings made so never merge again, and the kernel allows a process only so
 * many, hence REMAPS_MAX.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/pagespan.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../counters.h"
#include "address_space.h"
#include "backend.h"
#include "device_state.h"

/* An eighth of the mappings that Linux allows by default. */
#define REMAPS_MAX 8192

/* Spans up to this size are mapped in the call that takes them. */
#define POPULATE_PAGES 64

static uint64_t nr_slots(void)
{
	return (device_state.nr_pages + MEGABLOCK_PAGES - 1) / MEGABLOCK_PAGES;
}

/* A window at an aligned address; NULL with errno. */
static char *map_aligned_window(void)
{
	char *base = address_space_reserve(device_window_bytes());

	if (!base)
		return NULL;
	if (device_map(base, 0, device_window_bytes(), MAP_FIXED) == MAP_FAILED) {
		int error = errno;

		address_space_release(base, device_window_bytes());
		errno = error;
		return NULL;
	}
	return base;
}

static int device_open(const struct ps_config *config, struct window *window)
{
	struct pagespan_info info = {.size = sizeof(info)};
	int fd = open("/dev/pagespan", O_RDWR | O_CLOEXEC);
	int error;

	if (fd < 0)
		return -errno;
	descriptor_keep(&device_state.file, fd);
	if (device_command(PAGESPAN_INFO, &info) < 0)
		goto fail;
	device_state.huge = info.flags & PAGESPAN_INFO_HUGE;
	device_state.nr_pages = info.nr_pages;
	device_state.pool_pages = info.pool_pages;
	device_state.remaps = 0;
	device_state.answered = 0;
	device_state.broken = mmap(NULL, nr_slots(), PROT_READ | PROT_WRITE,
				   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (device_state.broken == MAP_FAILED)
		goto fail;
	device_state.base = map_aligned_window();
	if (!device_state.base)
		goto unmap;
	if (config->fork == PS_FORK_FRESH)
		madvise(device_state.base, device_window_bytes(), MADV_DONTFORK);
	*window = (struct window){
		.base = device_state.base,
		.nr_pages = device_state.nr_pages,
		.fd = device_state.file.fd,
	};
	return 0;

unmap:
	error = errno;
	munmap((void *)device_state.broken, nr_slots());
	errno = error;
fail:
	error = errno;
	descriptor_close(&device_state.file);
	return -error;
}

static uint64_t device_pool_pages(void)
{
	return device_state.pool_pages;
}

/* The slots that a range covers in part get, or may get, a page table. */
static void note_broken(uint64_t first, uint64_t nr_pages)
{
	uint64_t end = first + nr_pages;
	uint64_t slot;

	if (!device_state.huge)
		return;
	for (slot = first / MEGABLOCK_PAGES; slot * MEGABLOCK_PAGES < end; slot++)
		if (slot * MEGABLOCK_PAGES < first || (slot + 1) * MEGABLOCK_PAGES > end)
			atomic_store_explicit(&device_state.broken[slot], 1, memory_order_relaxed);
}

static void remap_slot(uint64_t slot)
{
	char *at = device_state.base + slot * MEGABLOCK_BYTES;
	uint32_t remaps = atomic_load(&device_state.remaps);

	do {
		if (remaps == REMAPS_MAX)
			return;
	} while (!atomic_compare_exchange_weak(&device_state.remaps, &remaps, remaps + 1));
	if (device_map(at, slot * MEGABLOCK_PAGES, MEGABLOCK_BYTES, MAP_FIXED) == MAP_FAILED) {
		atomic_fetch_sub(&device_state.remaps, 1);
		return;
	}
	atomic_store_explicit(&device_state.broken[slot], 0, memory_order_relaxed);
	counters_add(&counters.slot_remaps, 1);
}

/* Of a span that nobody has seen yet. */
static void mend_slots(uint64_t first, uint64_t nr_pages)
{
	uint64_t end = first + nr_pages;
	uint64_t slot = (first + MEGABLOCK_PAGES - 1) / MEGABLOCK_PAGES;

	if (!device_state.huge)
		return;
	for (; (slot + 1) * MEGABLOCK_PAGES <= end; slot++)
		if (atomic_load_explicit(&device_state.broken[slot], memory_order_relaxed))
			remap_slot(slot);
}

static int device_alloc(const struct request *request, uint64_t *firsts)
{
	bool huge = device_state.huge && request->nr_pages >= MEGABLOCK_PAGES;
	/* What takes huge pages is mapped by its first touch, when its slots are whole. */
	bool populate = !huge && !(request->flags & PS_EXPORT) &&
			(request->nr_pages <= POPULATE_PAGES || request->flags & PS_POPULATE);
	struct pagespan_alloc alloc = {
		.size = sizeof(alloc),
		.flags = (request->flags & PS_ZERO ? PAGESPAN_ALLOC_ZERO : 0) |
			 (populate ? PAGESPAN_ALLOC_POPULATE : 0),
		.nr_pages = request->nr_pages,
		.align_pages = request->align_pages,
		.count = request->count,
		.spans = (uintptr_t)firsts,
		.window = populate ? (uintptr_t)device_state.base : 0,
	};
	int nr, i;

	pthread_rwlock_rdlock(&device_state.change);
	nr = device_command(PAGESPAN_ALLOC, &alloc);
	if (nr < 0)
		nr = -errno;
	for (i = 0; i < nr; i++) {
		note_broken(firsts[i], request->nr_pages);
		mend_slots(firsts[i], request->nr_pages);
	}
	pthread_rwlock_unlock(&device_state.change);
	return nr;
}

static int device_alloc_at(const struct range *range, unsigned int flags)
{
	struct pagespan_alloc_at at = {
		.size = sizeof(at),
		.first = range->first,
		.nr_pages = (uint32_t)range->nr_pages,
	};
	int ret = 0;

	pthread_rwlock_rdlock(&device_state.change);
	if (device_command(PAGESPAN_ALLOC_AT, &at) < 0) {
		ret = -errno;
	} else {
		note_broken(range->first, range->nr_pages);
		mend_slots(range->first, range->nr_pages);
	}
	pthread_rwlock_unlock(&device_state.change);
	/* The kernel clears what is new to this client, which cannot be told. */
	if (!ret && flags & PS_ZERO)
		memset(device_state.base + range->first * PS_PAGE_SIZE, 0,
		       range->nr_pages * PS_PAGE_SIZE);
	return ret;
}

static int free_ranges(const struct range *ranges, uint32_t count)
{
	struct pagespan_free request = {
		.size = sizeof(request),
		.count = count,
		.ranges = (uintptr_t)ranges,
	};

	_Static_assert(sizeof(struct range) == sizeof(struct pagespan_range), "handed on as it is");
	return device_command(PAGESPAN_FREE, &request);
}

/* For one range the kernel needs no memory. */
static int free_one_by_one(const struct range *ranges, uint32_t count)
{
	uint32_t i;

	for (i = 0; i < count; i++)
		if (free_ranges(&ranges[i], 1) < 0)
			break;
	return (int)i;
}

static uint32_t device_free(const struct range *ranges, uint32_t count)
{
	uint32_t i;
	int nr;

	/* To whom the pages cannot go back any more, they stay with until it ends. */
	if (!descriptor_is_ours(&device_state.file))
		return count;
	pthread_rwlock_rdlock(&device_state.change);
	/* First: a huge page of which a part leaves comes back in single pages. */
	for (i = 0; i < count; i++)
		note_broken(ranges[i].first, ranges[i].nr_pages);
	nr = free_ranges(ranges, count);
	if (nr < 0 && errno == ENOMEM)
		nr = free_one_by_one(ranges, count);
	pthread_rwlock_unlock(&device_state.change);
	return nr < 0 ? 0 : (uint32_t)nr;
}

/*
 * What was asked is answered by the next call, which comes when pages have been given back.  A
 * module that does not know this asks nobody.
 */
static bool device_asked(void)
{
	struct pagespan_pressure pressure = {
		.size = sizeof(pressure),
		.flags = PAGESPAN_PRESSURE_ANSWER,
		.answered = atomic_load(&device_state.answered),
	};
	int saved_errno = errno;
	bool asked = device_command(PAGESPAN_PRESSURE, &pressure) >= 0 && pressure.nr_pages;

	errno = saved_errno;
	if (asked)
		atomic_store(&device_state.answered, pressure.asked);
	return asked;
}

static int device_map_export(struct window *window)
{
	window->export_base = map_aligned_window();
	return window->export_base ? 0 : -errno;
}

static int device_export(const struct range *range)
{
	struct pagespan_export request = {
		.size = sizeof(request),
		.flags = O_CLOEXEC,
		.first = range->first,
		.nr_pages = range->nr_pages,
	};
	int fd = device_command(PAGESPAN_EXPORT, &request);

	return fd < 0 ? -errno : fd;
}

/*
 * The window is not inherited; the descriptor would keep a dead parent's pages; and a
 * thread that this process does not have may hold the lock.
 */
static void device_forget(void)
{
	device_state.change = (pthread_rwlock_t)PTHREAD_RWLOCK_WRITER_NONRECURSIVE_INITIALIZER_NP;
	descriptor_close(&device_state.file);
	munmap((void *)device_state.broken, nr_slots());
}

static const struct backend *copy_child(struct window *window)
{
	/* Its tables are new. */
	madvise((void *)device_state.broken, nr_slots(), MADV_DONTNEED);
	return device_copy_child(window) ? &backend_device : NULL;
}

const struct backend backend_device = {
	.name = "device",
	.open = device_open,
	.pool_pages = device_pool_pages,
	.alloc = device_alloc,
	.alloc_at = device_alloc_at,
	.free = device_free,
	.owned = device_owned,
	.asked = device_asked,
	.map_export = device_map_export,
	.export = device_export,
	.forget = device_forget,
	.copy_prepare = device_copy_prepare,
	.copy_parent = device_copy_parent,
	.copy_child = copy_child,
};
