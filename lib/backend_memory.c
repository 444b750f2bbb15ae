// SPDX-License-Identifier: MIT
/*
 * The memory backend: the module's span map, in process, over one anonymous
 * reservation.  Pages cost memory from their first touch until they are freed.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../kmod/span_map.h"
#include "backend.h"
#include "pagespan.h"

#define PAGES_PER_MB (((size_t)1 << 20) / PS_PAGE_SIZE)

/* The window starts at a multiple of this, so aligned indices are aligned addresses. */
#define WINDOW_ALIGN ((size_t)512 * PS_PAGE_SIZE)

static struct {
	pthread_mutex_t lock; /* protects map */
	struct span_map map;
	void *metadata;
	size_t metadata_bytes;
	char *base;
} memory = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* PAGESPAN_MEMORY_MB in pages, or else the machine's memory; 0 if it is no number in range. */
static uint64_t reservation_pages(void)
{
	const char *text = secure_getenv("PAGESPAN_MEMORY_MB");
	unsigned long long mb;
	long physical;
	char *end;

	if (!text) {
		physical = sysconf(_SC_PHYS_PAGES);
		if (physical < 1)
			return 64 * PAGES_PER_MB;
		return (uint64_t)physical < SPAN_MAP_MAX_PAGES ? (uint64_t)physical :
								 SPAN_MAP_MAX_PAGES;
	}
	if (*text < '0' || *text > '9')
		return 0;
	mb = strtoull(text, &end, 10);
	if (*end || mb < 1 || mb > SPAN_MAP_MAX_PAGES / PAGES_PER_MB)
		return 0;
	return mb * PAGES_PER_MB;
}

static void *map_anonymous(size_t bytes, int flags)
{
	void *ptr = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | flags,
			 -1, 0);

	return ptr == MAP_FAILED ? NULL : ptr;
}

/* Reserves address space at a multiple of WINDOW_ALIGN; a child does not inherit it. */
static char *reserve_window(size_t bytes)
{
	char *raw = map_anonymous(bytes + WINDOW_ALIGN, MAP_NORESERVE);
	size_t head;

	if (!raw)
		return NULL;
	head = -(uintptr_t)raw % WINDOW_ALIGN;
	if (head)
		munmap(raw, head);
	munmap(raw + head + bytes, WINDOW_ALIGN - head);
	if (madvise(raw + head, bytes, MADV_DONTFORK)) {
		munmap(raw + head, bytes);
		return NULL;
	}
	return raw + head;
}

static int memory_open(struct window *window)
{
	uint64_t nr_pages = reservation_pages();
	size_t bytes;

	if (!nr_pages)
		return -EINVAL;
	if (nr_pages > (SIZE_MAX - WINDOW_ALIGN) / PS_PAGE_SIZE)
		return -ENOMEM;
	bytes = nr_pages * PS_PAGE_SIZE;
	memory.metadata_bytes = span_map_metadata_bytes(nr_pages);
	memory.metadata = map_anonymous(memory.metadata_bytes, 0);
	if (!memory.metadata)
		return -ENOMEM;
	memory.base = reserve_window(bytes);
	if (!memory.base) {
		munmap(memory.metadata, memory.metadata_bytes);
		return -ENOMEM;
	}
	span_map_init(&memory.map, nr_pages, memory.metadata);
	span_map_free(&memory.map, 0, nr_pages);
	*window = (struct window){.base = memory.base, .nr_pages = nr_pages};
	return 0;
}

static int64_t memory_alloc(uint32_t nr_pages)
{
	int64_t first;

	pthread_mutex_lock(&memory.lock);
	first = span_map_alloc(&memory.map, nr_pages, 1);
	pthread_mutex_unlock(&memory.lock);
	return first;
}

/* The lock is held until the pages are dropped, so that no other owner's data is. */
static int memory_free(uint64_t first, uint64_t nr_pages)
{
	int ret;

	pthread_mutex_lock(&memory.lock);
	ret = span_map_free(&memory.map, first, nr_pages);
	if (!ret)
		madvise(memory.base + first * PS_PAGE_SIZE, nr_pages * PS_PAGE_SIZE, MADV_DONTNEED);
	pthread_mutex_unlock(&memory.lock);
	return ret;
}

/* The lock may be held by a thread that this process does not have. */
static void memory_forget(void)
{
	munmap(memory.metadata, memory.metadata_bytes);
	memory.lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
}

const struct backend backend_memory = {
	.name = "memory",
	.open = memory_open,
	.alloc = memory_alloc,
	.free = memory_free,
	.forget = memory_forget,
};
