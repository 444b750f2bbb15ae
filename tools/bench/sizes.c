// SPDX-License-Identifier: MIT
/*
 * bench-sizes, one subject: what a span costs, from one page to 256 MiB. It is allocated and freed,
 * untouched or with a byte written to every page. Compiled once for every subject (span_subject.h).
 *
 * In a guest that counts instructions a tick of the TSC is an instruction (see vm.c), and what is
 * counted is the same every time.
 *
 * Usage: sizes MILLISECONDS [PAGES]	each figure, in nanoseconds
 *        sizes instructions [PAGES]	the largest span
 *
 * Prints a line for each figure, its fields separated by tabs: workload, metric, unit and the
 * values of the runs.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <x86intrin.h>

#include "span_subject.h"

#define MAX_PAGES 65536
#define RUNS      5

/* The first ones fill caches. */
#define WARM_UP 2

/* Counting takes long, and one long operation tells as much as several. */
#define COUNTED_RUNS      5
#define COUNTED_ONCE_FROM 4096

static bool counts_instructions;
static double budget_ns;

static double now(void)
{
	struct timespec time;

	if (counts_instructions)
		return (double)__rdtsc();
	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

static void allocate_and_free(size_t bytes, bool touches)
{
	volatile char *start = subject_alloc(bytes);

	if (!start) {
		fprintf(stderr, "bench-sizes: %zu bytes: %s\n", bytes, strerror(errno));
		exit(1);
	}
	for (size_t offset = 0; touches && offset < bytes; offset += PS_PAGE_SIZE)
		start[offset] = 1;
	subject_free((void *)start, bytes);
}

static double time_batch(size_t bytes, bool touches, uint64_t repeat)
{
	double begin = now();

	for (uint64_t i = 0; i < repeat; i++)
		allocate_and_free(bytes, touches);
	return now() - begin;
}

/* How often to repeat, so that all runs take as long as they may. */
static uint64_t batch_size(size_t bytes, bool touches)
{
	uint64_t repeat = 1;

	for (int i = 0; i < WARM_UP; i++)
		allocate_and_free(bytes, touches);
	if (counts_instructions)
		return 1;
	while (time_batch(bytes, touches, repeat) < budget_ns / RUNS / 2 && repeat < 1 << 20)
		repeat *= 2;
	return repeat;
}

static void report(unsigned int nr_pages, bool touches)
{
	size_t bytes = nr_pages * PS_PAGE_SIZE;
	uint64_t repeat = batch_size(bytes, touches);
	int runs = !counts_instructions ? RUNS : nr_pages < COUNTED_ONCE_FROM ? COUNTED_RUNS : 1;

	printf("%u pages\t%s\t%s", nr_pages,
	       touches ? "pair, every page touched" : "pair, untouched",
	       counts_instructions ? "instructions" : "ns");
	for (int run = 0; run < runs; run++)
		printf("\t%.10g", time_batch(bytes, touches, repeat) / (double)repeat);
	putchar('\n');
}

int main(int argc, char **argv)
{
	unsigned long max_pages = MAX_PAGES;
	static char output[1 << 16];

	if (argc < 2 || argc > 3) {
		fputs("usage: sizes MILLISECONDS [PAGES] | sizes instructions [PAGES]\n", stderr);
		return 2;
	}
	if (argc == 3)
		max_pages = strtoul(argv[2], NULL, 0);
	counts_instructions = !strcmp(argv[1], "instructions");
	budget_ns = strtod(argv[1], NULL) * 1e6;
	/* Printed at the end: a console in between would be measured too. */
	setvbuf(stdout, output, _IOFBF, sizeof(output));
	for (unsigned int nr_pages = subject_least_pages; nr_pages <= max_pages; nr_pages *= 2) {
		report(nr_pages, false);
		report(nr_pages, true);
	}
	return 0;
}
