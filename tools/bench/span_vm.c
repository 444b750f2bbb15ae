// SPDX-License-Identifier: MIT
/*
 * bench-span, the part that runs in the guest: spans on the device backend. The guest counts
 * instructions, one tick of the TSC each (see vm.c); what the clock itself takes is subtracted.
 *
 * Prints a line for each figure, its fields separated by tabs:
 *
 *	workload  subject  metric  unit  value
 */
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <x86intrin.h>

#include <pagespan.h>
#include <pagespan/arena.h>

#define STREAM  1024
#define RUNS    21
#define WARM_UP 3

static char *spans[STREAM];
static int nr_spans;

static _Noreturn void die(const char *what)
{
	fprintf(stderr, "bench-span: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void nothing(void)
{
	__asm__ volatile("");
}

static void refill(void)
{
	for (int i = 0; i < nr_spans; i++)
		spans[i] = ps_span_alloc(PS_PAGE_SIZE);
}

static void touch(void)
{
	for (int i = 0; i < nr_spans; i++)
		*(volatile char *)spans[i] = 1;
}

static void flush(void)
{
	for (int i = 0; i < nr_spans; i++)
		ps_span_free(spans[i], PS_PAGE_SIZE);
	ps_trim(0);
}

static __attribute__((noinline)) uint64_t ticks_of(void (*operation)(void))
{
	uint64_t start = __rdtsc();

	operation();
	return __rdtsc() - start;
}

static void print_figure(const char *workload, const char *source, const char *metric,
			 const char *unit, double value)
{
	printf("%s\tpagespan %s\t%s\t%s\t%.10g\n", workload, source, metric, unit, value);
}

static __attribute__((noinline)) uint64_t ticks_of_none(void)
{
	uint64_t start = __rdtsc();

	return __rdtsc() - start;
}

static __attribute__((noinline)) uint64_t ticks_of_pair(void)
{
	uint64_t start = __rdtsc();

	ps_span_free(ps_span_alloc(PS_PAGE_SIZE), PS_PAGE_SIZE);
	return __rdtsc() - start;
}

static __attribute__((noinline)) uint64_t ticks_of_arena(void)
{
	uint64_t start = __rdtsc();
	struct ps_arena *arena = ps_arena_create(NULL);
	uint64_t *object = ps_new(arena, uint64_t);

	*object = 1;
	ps_arena_destroy(arena);
	return __rdtsc() - start;
}

/* All of the functions, the calls of them and what loads their arguments. */
static void report_calls(const char *workload, const char *source, const char *metric,
			 uint64_t (*ticks_of_calls)(void))
{
	for (int run = -WARM_UP; run < RUNS; run++) {
		uint64_t overhead = ticks_of_none();
		uint64_t cost = ticks_of_calls() - overhead;

		if (run >= 0)
			print_figure(workload, source, metric, "instructions", (double)cost);
	}
}

/* From empty caches to empty caches, every page touched once. */
static void report_stream(const char *workload, int count, const char *source, uint64_t overhead)
{
	static void (*const phases[])(void) = {refill, touch, flush};
	static const char *const names[] = {"refill", "touch", "flush"};

	nr_spans = count;
	ps_trim(0);
	for (int run = -WARM_UP; run < RUNS; run++) {
		double whole = 0;

		for (size_t i = 0; i < 3; i++) {
			double cost = (double)(ticks_of(phases[i]) - overhead) / nr_spans;

			whole += cost;
			if (run >= 0)
				print_figure(workload, source, names[i], "instructions/page", cost);
		}
		if (!spans[nr_spans - 1])
			die("ps_span_alloc");
		if (run >= 0)
			print_figure(workload, source, "whole", "instructions/page", whole);
	}
}

int main(int argc, char **argv)
{
	static char output[1 << 16];
	uint64_t overhead = UINT64_MAX;
	const char *backend = ps_backend();

	if (argc != 2 || !backend || strcmp(backend, "device") != 0)
		die("usage: span_vm SOURCE, on the device backend");
	/* Printed at the end: a console in between would be measured too. */
	setvbuf(stdout, output, _IOFBF, sizeof(output));
	for (int run = 0; run < RUNS; run++) {
		uint64_t cost = ticks_of(nothing);

		if (cost < overhead)
			overhead = cost;
	}
	report_calls("guest: 4K, cached", argv[1], "pair", ticks_of_pair);
	report_calls("guest: function with an arena of its own", argv[1], "whole", ticks_of_arena);
	/* In the second, refills have grown to batches of 64 pages before long. */
	report_stream("guest: 64 single pages, nothing cached", 64, argv[1], overhead);
	report_stream("guest: 1024 single pages, nothing cached", STREAM, argv[1], overhead);
	return 0;
}
