/* SPDX-License-Identifier: GPL-2.0-only */
/* What the kselftests of /dev/pagespan share. */
#ifndef PAGESPAN_TEST_H
#define PAGESPAN_TEST_H

#include <errno.h>
#include <fcntl.h>
#include <linux/pagespan.h>
#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "in_child.h"

#define PAGE 4096UL

static inline int client_open(void)
{
	return open("/dev/pagespan", O_RDWR | O_CLOEXEC);
}

/* Result of an ioctl, or -errno. */
static inline long client_ioctl(int fd, unsigned long cmd, void *arg)
{
	long ret = ioctl(fd, cmd, arg);

	return ret < 0 ? -errno : ret;
}

static inline long client_alloc_bulk(int fd, uint32_t nr_pages, uint32_t count, uint64_t *firsts,
				     uint32_t flags)
{
	struct pagespan_alloc alloc = {
		.size = sizeof(alloc),
		.flags = flags,
		.nr_pages = nr_pages,
		.align_pages = 1,
		.count = count,
		.spans = (uintptr_t)firsts,
	};

	return client_ioctl(fd, PAGESPAN_ALLOC, &alloc);
}

static inline long client_alloc_ex(int fd, uint32_t nr_pages, uint32_t align_pages, uint32_t flags,
				   const char *window)
{
	uint64_t first;
	struct pagespan_alloc alloc = {
		.size = sizeof(alloc),
		.flags = flags,
		.nr_pages = nr_pages,
		.align_pages = align_pages,
		.count = 1,
		.spans = (uintptr_t)&first,
		.window = (uintptr_t)window,
	};
	long ret = client_ioctl(fd, PAGESPAN_ALLOC, &alloc);

	return ret < 0 ? ret : (long)first;
}

static inline long client_alloc_at(int fd, uint64_t first, uint32_t nr_pages)
{
	struct pagespan_alloc_at at = {
		.size = sizeof(at),
		.first = first,
		.nr_pages = nr_pages,
	};

	return client_ioctl(fd, PAGESPAN_ALLOC_AT, &at);
}

/* By value: the page's index, or -errno. */
static inline long client_alloc_one(int fd, const char *window, uint32_t flags)
{
	long ret = ioctl(fd, PAGESPAN_ALLOC_ONE, (uintptr_t)window | flags);

	return ret < 0 ? -errno : ret;
}

static inline long client_free_one(int fd, uint64_t index)
{
	return ioctl(fd, PAGESPAN_FREE_ONE, index) < 0 ? -errno : 0;
}

/* PAGESPAN_QUERY_* of a page, or -errno; and how many from it on are alike. */
static inline long client_query(int fd, uint64_t first, uint64_t *nr_pages)
{
	struct pagespan_query query = {
		.size = sizeof(query),
		.first = first,
		.nr_pages = *nr_pages,
	};
	long ret = client_ioctl(fd, PAGESPAN_QUERY, &query);

	*nr_pages = query.nr_pages;
	return ret < 0 ? ret : query.state;
}

/* Index of the first page, or -errno. */
static inline long client_alloc(int fd, uint32_t nr_pages)
{
	uint64_t first;
	long ret = client_alloc_bulk(fd, nr_pages, 1, &first, 0);

	return ret < 0 ? ret : (long)first;
}

/* 0 or -errno. */
static inline long client_free(int fd, uint64_t first, uint64_t nr_pages)
{
	struct pagespan_range range = { .first = first, .nr_pages = nr_pages };
	struct pagespan_free request = {
		.size = sizeof(request),
		.count = 1,
		.ranges = (uintptr_t)&range,
	};
	long ret = client_ioctl(fd, PAGESPAN_FREE, &request);

	return ret < 0 ? ret : 0;
}

/* How many ranges were freed, or -errno. */
static inline long client_free_ranges(int fd, const struct pagespan_range *ranges, uint32_t count)
{
	struct pagespan_free request = {
		.size = sizeof(request),
		.count = count,
		.ranges = (uintptr_t)ranges,
	};

	return client_ioctl(fd, PAGESPAN_FREE, &request);
}

/* PAGESPAN_PRESSURE by one that answers, and goes on doing so: 0 or -errno. */
static inline long client_pressure(int fd, uint64_t answered, struct pagespan_pressure *told)
{
	*told = (struct pagespan_pressure){
		.size = sizeof(*told),
		.flags = PAGESPAN_PRESSURE_ANSWER,
		.answered = answered,
	};
	return client_ioctl(fd, PAGESPAN_PRESSURE, told);
}

static inline struct pagespan_info client_info(int fd)
{
	struct pagespan_info info = { .size = sizeof(info) };

	if (ioctl(fd, PAGESPAN_INFO, &info) < 0)
		abort();
	return info;
}

/*
 * The longest run of free pages, at most PAGESPAN_MAX_PAGES of it: all of one piece of
 * the pool, as a rule, while nobody owns any.
 */
static inline struct pagespan_range client_longest(int fd)
{
	uint64_t run = client_info(fd).longest_run;
	struct pagespan_range range = {
		.nr_pages = run < PAGESPAN_MAX_PAGES ? run : PAGESPAN_MAX_PAGES,
	};
	long first = run ? client_alloc(fd, range.nr_pages) : 0;

	if (run && (first < 0 || client_free(fd, first, range.nr_pages)))
		abort();
	range.first = first;
	return range;
}

/*
 * The first pages of megablocks that are free as a whole; how many there are, and at
 * most as many as there is room for.
 */
static inline size_t client_megablocks(int fd, uint64_t *firsts, size_t most)
{
	uint64_t end = client_info(fd).nr_pages;
	size_t nr = 0;

	for (uint64_t first = 0; first + 512 <= end && nr < most; first += 512) {
		if (client_alloc_at(fd, first, 512))
			continue;
		if (client_free(fd, first, 512))
			abort();
		firsts[nr++] = first;
	}
	return nr;
}

/* So many megablocks side by side that may have 2 MiB entries: the first page, or -ENOMEM. */
static inline long client_alloc_huge(int fd, uint32_t nr)
{
	uint64_t end = client_info(fd).nr_pages, one = 1;

	for (uint64_t first = 0; first + nr * 512 <= end; first += 512) {
		if (client_alloc_at(fd, first, nr * 512))
			continue;
		if (client_query(fd, first, &one) & PAGESPAN_QUERY_HUGE)
			return first;
		if (client_free(fd, first, nr * 512))
			abort();
	}
	return -ENOMEM;
}

/* Frees all that the client owns, stretch by stretch. */
static inline void client_free_all(int fd)
{
	uint64_t end = client_info(fd).nr_pages, nr_pages;
	long state;

	for (uint64_t first = 0; first < end; first += nr_pages) {
		nr_pages = end - first < PAGESPAN_MAX_PAGES ? end - first : PAGESPAN_MAX_PAGES;
		state = client_query(fd, first, &nr_pages);
		if (state < 0 || (state & PAGESPAN_QUERY_OWNED && client_free(fd, first, nr_pages)))
			abort();
	}
}

/* A window over the whole pool. */
static inline char *client_window(int fd)
{
	return mmap(NULL, client_info(fd).nr_pages * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED,
		    fd, 0);
}

/*
 * Has a part of the window left to children. Later kernels refuse that of a device's
 * mapping; there a child that calls inherit() maps what it would have had.
 */
static inline int leave_to_children(void *pages, size_t bytes)
{
	return madvise(pages, bytes, MADV_DOFORK) && errno != EINVAL ? -1 : 0;
}

/* Of pages from an index on, in the child. */
static inline bool inherit(int fd, void *pages, size_t bytes, uint64_t first)
{
	if (!msync(pages, bytes, MS_ASYNC))
		return true;
	return mmap(pages, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd,
		    first * PAGE) == pages;
}

/* Whether this kernel maps a megablock as a folio, whose pages share a reference count. */
static inline bool pages_share_a_count(void)
{
	struct utsname kernel;
	int major, minor;

	if (uname(&kernel) || sscanf(kernel.release, "%d.%d", &major, &minor) != 2)
		abort();
	return major > 6 || (major == 6 && minor >= 17);
}

/*
 * When a test program ends, every free page of the pool has to be as it came; the module
 * says in the kernel log if one is not.
 */
static inline bool free_pages_are_as_they_came(void)
{
	FILE *file = fopen("/sys/kernel/debug/pagespan/check", "r");
	unsigned long long faults = 0;
	bool told;

	if (!file)
		return true;
	told = fscanf(file, "%llu", &faults) == 1;
	fclose(file);
	return told && !faults;
}

static pid_t test_program;

static __attribute__((constructor)) void begin_program(void)
{
	test_program = getpid();
}

static __attribute__((destructor)) void end_program(void)
{
	if (getpid() == test_program && !free_pages_are_as_they_came()) {
		printf("# free pages are not as they came, see the kernel log\n");
		fflush(stdout);
		_exit(1);
	}
}

static sigjmp_buf touch_failed;

static inline void touch_handler(int signal)
{
	siglongjmp(touch_failed, signal);
}

/* Reads (or writes, if value >= 0) a byte; 0, or the signal that it raised. */
static inline int touch(volatile char *byte, int value)
{
	struct sigaction action = { .sa_handler = touch_handler };
	struct sigaction old_bus, old_segv;
	int raised;

	sigaction(SIGBUS, &action, &old_bus);
	sigaction(SIGSEGV, &action, &old_segv);
	raised = sigsetjmp(touch_failed, 1);
	if (!raised) {
		if (value >= 0)
			*byte = value;
		else
			(void)*byte;
	}
	sigaction(SIGBUS, &old_bus, NULL);
	sigaction(SIGSEGV, &old_segv, NULL);
	return raised;
}

/* Whether nr_pages pages hold nothing but this byte. */
static inline bool pages_hold(const char *pages, unsigned long nr_pages, char byte)
{
	uint64_t expected, word;
	unsigned long i;

	memset(&expected, byte, sizeof(expected));
	for (i = 0; i < nr_pages * PAGE; i += sizeof(word)) {
		memcpy(&word, pages + i, sizeof(word));
		if (word != expected)
			return false;
	}
	return true;
}

/* For programs that a script runs: says what does not hold; whether it does not. */
static inline int expect(bool holds, const char *what)
{
	if (!holds)
		printf("# %s\n", what);
	return !holds;
}

/* Waits up to two seconds for a condition that another context makes true. */
#define EVENTUALLY(condition)						\
	({								\
		int tries_ = 2000;					\
									\
		while (!(condition) && --tries_)			\
			usleep(1000);					\
		tries_ > 0;						\
	})

#endif
