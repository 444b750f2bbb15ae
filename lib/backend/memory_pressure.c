// SPDX-License-Identifier: MIT
/*
 * Files are opened once: a program may have put itself in a sandbox by the time that they are read,
 * and some of those kill for an open().
 *
 * How long tasks waited is pressure stall information (Documentation/accounting/psi.rst).  A limit
 * is near when little is left but for what the program itself has written: file pages, which the
 * kernel can drop, fill every group up to its limit in the end.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cgroup.h"
#include "descriptor.h"
#include "memory_pressure.h"

/* As systemd's default, MemoryPressureThresholdSec=200ms of every two seconds. */
#define STALL_SHARE 10

/* A limit is near when no more than one part in so many is left. */
#define NEAR_SHARE 16

static struct {
	struct descriptor stalls; /* PSI of the cgroup that has a limit, else of the machine */
	struct descriptor usage;  /* what that cgroup uses */
	const char *key;          /* of the line there that says it */
	uint64_t limit;
	_Atomic uint64_t stalled_us;
	_Atomic uint64_t looked_us;
} pressure = {.stalls = {.fd = -1}, .usage = {.fd = -1}};

static uint64_t now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static bool keep_file(struct descriptor *descriptor, const char *directory, const char *name)
{
	static char path[sizeof(((struct cgroup *)NULL)->directory) + 32];
	size_t length = strlen(directory);
	int fd;

	memcpy(path, directory, length);
	memcpy(path + length, name, strlen(name) + 1);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0)
		descriptor_keep(descriptor, fd);
	return fd >= 0;
}

/* The number behind @key in what a file begins with. */
static bool read_number(const struct descriptor *descriptor, const char *key, uint64_t *number)
{
	char text[1024];
	const char *at;
	ssize_t length;

	if (!descriptor_is_ours(descriptor))
		return false;
	length = pread(descriptor->fd, text, sizeof(text) - 1, 0);
	if (length < 0)
		return false;
	text[length] = 0;
	at = strstr(text, key);
	if (!at)
		return false;
	*number = strtoull(at + strlen(key), NULL, 10);
	return true;
}

/* The first such line counts some tasks, the second all at once. */
static bool read_stalled(uint64_t *us)
{
	return read_number(&pressure.stalls, " total=", us);
}

static bool is_stalling(void)
{
	uint64_t stalled, before, now = now_us();
	uint64_t looked = atomic_exchange(&pressure.looked_us, now);

	if (!read_stalled(&stalled))
		return false;
	before = atomic_exchange(&pressure.stalled_us, stalled);
	return stalled > before && stalled - before >= (now - looked) / STALL_SHARE;
}

static bool is_near_limit(void)
{
	uint64_t used;

	return read_number(&pressure.usage, pressure.key, &used) &&
	       used > pressure.limit - pressure.limit / NEAR_SHARE;
}

void memory_pressure_open(void)
{
	const struct cgroup *cgroup = cgroup_find();
	uint64_t stalled = 0;

	pressure.limit = cgroup->limit;
	if (cgroup->limit != UINT64_MAX)
		keep_file(&pressure.usage, cgroup->directory, "/memory.stat");
	/* The old controller has a line for each group, and another for all that are in it. */
	pressure.key = "total_rss ";
	if (!read_number(&pressure.usage, pressure.key, &stalled))
		pressure.key = "anon ";
	if (cgroup->limit == UINT64_MAX ||
	    !keep_file(&pressure.stalls, cgroup->directory, "/memory.pressure"))
		keep_file(&pressure.stalls, "/proc/pressure", "/memory");
	stalled = 0;
	read_stalled(&stalled);
	pressure.stalled_us = stalled;
	pressure.looked_us = now_us();
}

bool memory_pressure(void)
{
	int saved_errno = errno;
	bool pressed = is_stalling() || is_near_limit();

	errno = saved_errno;
	return pressed;
}

void memory_pressure_close(void)
{
	descriptor_close(&pressure.stalls);
	descriptor_close(&pressure.usage);
}
