// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory from /dev/pagespan for the kernel's own tests, which know nothing of it:
 * build makes their calls of mmap() and munmap(), and of those that allocate, calls
 * of what is here.
 *
 * What a test maps anonymously, or shared from a file, becomes a span of its
 * process, mapped as every window is, MAP_SHARED; unmapping it frees the pages. A
 * test that forks takes for granted that its child has its memory, and a window is
 * left to the parent unless MADV_DOFORK is asked for, so it is. A private mapping
 * of a file becomes a private one of the device, which refuses it.
 */
#define _GNU_SOURCE
#include <stdio.h>

#include "../pagespan_test.h"

#define MEGABLOCK	512

/* A longer mapping is owned only at its start, which is all that a test of gigabytes touches. */
#define WHOLE_PAGES	(64 << 20 >> 12)
#define START_PAGES	(8 << 20 >> 12)

/* What of a mapping's flags is not about where its pages are from. */
#define KEPT_FLAGS	(MAP_FIXED | MAP_FIXED_NOREPLACE | MAP_POPULATE | MAP_LOCKED)

/* Buffers from window_memalign() and its like, and VMAs that a test unmaps at once. */
#define MAX_BUFFERS	16
#define MAX_SPANS	64

static struct {
	void *address;
	size_t length;
} buffers[MAX_BUFFERS];

static int client = -1;
static pid_t client_pid;

/* A test may die of a signal, or fork, with lines still in a buffer. */
__attribute__((constructor)) static void print_lines_at_once(void)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
}

/* A process has a client of its own, for a child that unmaps must not free what its parent uses. */
static bool has_client(void)
{
	return client >= 0 && client_pid == getpid();
}

static int get_client(void)
{
	if (!has_client()) {
		client = client_open();
		client_pid = getpid();
	}
	return client;
}

static size_t pages_of(size_t length)
{
	return (length + PAGE - 1) / PAGE;
}

/* Frees what this process owns of a range of pages. */
static void free_owned(uint64_t first, uint64_t end)
{
	while (first < end) {
		uint64_t nr_pages = end - first;
		long state;

		if (nr_pages > PAGESPAN_MAX_PAGES)
			nr_pages = PAGESPAN_MAX_PAGES;
		state = client_query(client, first, &nr_pages);
		if (state < 0)
			break;
		if (state & PAGESPAN_QUERY_OWNED)
			client_free(client, first, nr_pages);
		first += nr_pages;
	}
}

/* What can have 2 MiB entries starts as far behind the start of a megablock as its address does. */
static long span_like(uintptr_t address, size_t nr_pages)
{
	bool huge = nr_pages >= MEGABLOCK;
	size_t ahead = huge ? address / PAGE % MEGABLOCK : 0;
	long first = client_alloc_ex(client, ahead + nr_pages, huge ? MEGABLOCK : 1,
				     PAGESPAN_ALLOC_ZERO, NULL);

	if (first < 0 || !ahead)
		return first;
	client_free(client, first, ahead);
	return first + ahead;
}

static void *failed(int error)
{
	errno = error;
	return MAP_FAILED;
}

void *window_mmap(void *address, size_t length, int prot, int flags, int fd, off_t offset)
{
	size_t nr_pages = pages_of(length);
	char *window;
	long first;

	(void)fd;
	(void)offset;
	if (get_client() < 0)
		return MAP_FAILED;
	if (!(flags & (MAP_ANONYMOUS | MAP_SHARED)))
		return mmap(address, length, prot, flags, client, 0);
	if (!nr_pages)
		return failed(EINVAL);
	if (nr_pages > WHOLE_PAGES) {
		if (flags & MAP_HUGETLB)
			return failed(ENOMEM);
		nr_pages = START_PAGES;
	}
	first = span_like((uintptr_t)address, nr_pages);
	if (first < 0)
		return failed(-first);
	window = mmap(address, length, prot, MAP_SHARED | (flags & KEPT_FLAGS), client,
		      first * PAGE);
	if (window == MAP_FAILED) {
		int error = errno;

		client_free(client, first, nr_pages);
		return failed(error);
	}
	madvise(window, length, MADV_DOFORK);
	return window;
}

struct span {
	uint64_t first, end;
};

/* The pages that are mapped between two addresses, wherever the test has moved their mapping to. */
static int spans_between(uintptr_t start, uintptr_t end, struct span spans[MAX_SPANS])
{
	FILE *maps = fopen("/proc/self/maps", "re");
	char line[512];
	int nr = 0;

	while (maps && nr < MAX_SPANS && fgets(line, sizeof(line), maps)) {
		unsigned long from, to, offset, low, high;

		if (!strstr(line, "/dev/pagespan") ||
		    sscanf(line, "%lx-%lx %*s %lx", &from, &to, &offset) != 3)
			continue;
		low = from > start ? from : start;
		high = to < end ? to : end;
		if (low < high) {
			spans[nr].first = (offset + low - from) / PAGE;
			spans[nr++].end = (offset + high - from) / PAGE;
		}
	}
	if (maps)
		fclose(maps);
	return nr;
}

int window_munmap(void *address, size_t length)
{
	uintptr_t start = (uintptr_t)address;
	struct span spans[MAX_SPANS];
	int nr = 0, ret;

	if (has_client())
		nr = spans_between(start, start + pages_of(length) * PAGE, spans);
	ret = munmap(address, length);
	if (ret)
		return ret;
	while (nr--)
		free_owned(spans[nr].first, spans[nr].end);
	return 0;
}

void *window_memalign(size_t align, size_t size)
{
	char *memory;
	int i;

	for (i = 0; i < MAX_BUFFERS && buffers[i].address; i++)
		;
	if (i == MAX_BUFFERS || align > MEGABLOCK * PAGE)
		return NULL;
	/* The address of what may have 2 MiB entries is as well aligned as its pages are. */
	memory = window_mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
			     0);
	if (memory == MAP_FAILED)
		return NULL;
	if ((uintptr_t)memory % align) {
		window_munmap(memory, size);
		return NULL;
	}
	buffers[i].address = memory;
	buffers[i].length = size;
	return memory;
}

void *window_aligned_alloc(size_t align, size_t size)
{
	return window_memalign(align, size);
}

void *window_malloc(size_t size)
{
	return window_memalign(PAGE, size);
}

void window_free(void *buffer)
{
	for (int i = 0; i < MAX_BUFFERS; i++) {
		if (buffer && buffers[i].address == buffer) {
			window_munmap(buffer, buffers[i].length);
			buffers[i].address = NULL;
			return;
		}
	}
	free(buffer);
}
