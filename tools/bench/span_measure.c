// SPDX-License-Identifier: MIT
/* What the measurements of bench-span share: clocks, figures, and what the kernel says of memory.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "span_measure.h"

_Noreturn void die(const char *what)
{
	fprintf(stderr, "bench-span: %s: %s\n", what, strerror(errno));
	exit(1);
}

static uint64_t read_clock(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

uint64_t now_ns(void)
{
	return read_clock(CLOCK_MONOTONIC);
}

uint64_t cpu_ns(void)
{
	return read_clock(CLOCK_PROCESS_CPUTIME_ID);
}

void stay_on_processor(int index)
{
	cpu_set_t allowed, one;
	int cpu = -1;

	if (sched_getaffinity(0, sizeof(allowed), &allowed))
		die("sched_getaffinity");
	for (index %= CPU_COUNT(&allowed); index >= 0; index--)
		do
			cpu++;
		while (!CPU_ISSET(cpu, &allowed));
	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	if (sched_setaffinity(0, sizeof(one), &one))
		die("sched_setaffinity");
}

uint64_t next_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

static int compare(const void *left, const void *right)
{
	double a = *(const double *)left, b = *(const double *)right;

	return (a > b) - (a < b);
}

double median(double *values, size_t count)
{
	qsort(values, count, sizeof(*values), compare);
	return values[count / 2];
}

void print_figure(const char *metric, const char *unit, double value)
{
	printf("%s\t%s\t%.10g\n", metric, unit, value);
}

/* A file of lines "field: KiB kB", in bytes. */
static double read_field(const char *path, const char *field)
{
	char text[8192];
	const char *line;
	ssize_t length;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	length = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	if (length < 0)
		die(path);
	close(fd);
	text[length] = 0;
	line = strstr(text, field);
	if (!line)
		die(field);
	return strtod(line + strlen(field), NULL) * 1024;
}

double resident_bytes(void)
{
	return read_field("/proc/self/smaps_rollup", "\nAnonymous:");
}

double peak_bytes(void)
{
	return read_field("/proc/self/status", "\nVmHWM:");
}

#ifdef SUBJECT_PAGESPAN
double accounted_bytes(void)
{
	struct ps_stats stats;

	if (ps_stats(&stats, sizeof(stats)))
		die("ps_stats");
	return (double)(stats.bytes_held + stats.bytes_cached);
}
#endif
