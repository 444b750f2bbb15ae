// SPDX-License-Identifier: MIT
/*
 * A program that knows nothing of spans: buffers of random sizes, every page of them written, some
 * 16 MiB of them live.
 *
 * Usage: buffers LEAST MOST replaced|waves SECONDS
 *
 * Random ones are replaced by others, or all are allocated and all are freed.  Prints what a buffer
 * took, in nanoseconds of the CPU, and the most KiB that were held: anonymous memory, and spans of
 * the device.
 */
#define _GNU_SOURCE
#include <glob.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#define PAGE       4096
#define LIVE_BYTES ((size_t)16 << 20)

static size_t least, most, nr_live;
static char **live;
static uint64_t random_state = 88172645463325252ULL;

static uint64_t next_random(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state;
}

static double now(clockid_t clock)
{
	struct timespec time;

	clock_gettime(clock, &time);
	return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

/* The number behind a key in a file, 0 if there is none. */
static long kib_in(const char *path, const char *key)
{
	char line[256];
	long kib = 0;
	FILE *file = fopen(path, "r");

	while (file && !kib && fgets(line, sizeof(line), file))
		if (!strncmp(line, key, strlen(key)))
			kib = strtol(line + strlen(key), NULL, 10);
	if (file)
		fclose(file);
	return kib;
}

/* The descriptors of the device are of one client. */
static long kib_held(void)
{
	long in_spans = 0, kib;
	glob_t found;

	if (!glob("/proc/self/fdinfo/*", 0, NULL, &found)) {
		for (size_t i = 0; i < found.gl_pathc; i++) {
			kib = kib_in(found.gl_pathv[i], "pagespan-memory-owned:");
			in_spans = kib > in_spans ? kib : in_spans;
		}
		globfree(&found);
	}
	return in_spans + kib_in("/proc/self/status", "RssAnon:");
}

static void allocate(size_t slot)
{
	size_t bytes = least + next_random() % (most - least + 1);

	live[slot] = malloc(bytes);
	if (!live[slot]) {
		perror("buffers: malloc");
		exit(1);
	}
	for (size_t at = 0; at < bytes; at += PAGE)
		live[slot][at] = 1;
}

static void release(size_t slot)
{
	free(live[slot]);
	live[slot] = NULL;
}

/* As many as are live at a time. */
static void replace(void)
{
	for (size_t i = 0; i < nr_live; i++) {
		size_t slot = next_random() % nr_live;

		release(slot);
		allocate(slot);
	}
}

/* A look at what is held is not timed. */
static void wave(void)
{
	for (size_t i = 0; i < nr_live; i++) {
		release(i);
		allocate(i);
	}
	for (size_t i = 0; i < nr_live; i++)
		release(i);
}

int main(int argc, char **argv)
{
	double spent = 0, until;
	long peak = 0, held;
	uint64_t nr = 0;
	void (*round)(void);
	struct rusage usage;

	if (argc != 5) {
		fputs("usage: buffers LEAST MOST replaced|waves SECONDS\n", stderr);
		return 2;
	}
	least = strtoull(argv[1], NULL, 0);
	most = strtoull(argv[2], NULL, 0);
	round = strcmp(argv[3], "waves") ? replace : wave;
	until = now(CLOCK_MONOTONIC) + strtod(argv[4], NULL);
	nr_live = LIVE_BYTES / ((least + most) / 2);
	live = calloc(nr_live, sizeof(*live));
	while (now(CLOCK_MONOTONIC) < until || nr < 4 * nr_live) {
		double start = now(CLOCK_PROCESS_CPUTIME_ID);

		round();
		spent += now(CLOCK_PROCESS_CPUTIME_ID) - start;
		nr += nr_live;
		/* Now and then, for it takes long. */
		if (nr / nr_live % 64 == 4) {
			held = kib_held();
			peak = held > peak ? held : peak;
		}
	}
	getrusage(RUSAGE_SELF, &usage);
	printf("%.0f %ld %.3g\n", spent * 1e9 / (double)nr, peak,
	       (double)usage.ru_minflt / (double)nr);
	return 0;
}
