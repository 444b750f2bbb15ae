/* SPDX-License-Identifier: MIT */
/*
 * What the measurements of bench-span share: blocks, clocks and figures. Each measurement is a file
 * of its own; span_main.c has the commands.
 */
#ifndef PAGESPAN_BENCH_SPAN_MEASURE_H
#define PAGESPAN_BENCH_SPAN_MEASURE_H

#include <stdint.h>

#include "span_subject.h"

#define NR_THREADS        2
#define BATCH_NS          200000

#define ARRAY_SIZE(array) (sizeof(array) / sizeof(*(array)))

enum touch { TOUCH_NOTHING, TOUCH_FIRST_PAGE, TOUCH_EVERY_PAGE };

struct block {
	void *start;
	size_t bytes;
};

/* The commands; each returns what the program ends with. */
int measure_workload(char **arguments);
int measure_burst(char **arguments);
int measure_bursts_of_threads(char **arguments);
int measure_stream(char **arguments);
int measure_memory_left(char **arguments);
int print_workloads(char **arguments);
int print_cells(char **arguments);

_Noreturn void die(const char *what);
uint64_t now_ns(void);

/* Of all threads of the process. */
uint64_t cpu_ns(void);

/*
 * Threads that work together stay on processors of their own, where there are as many: whether the
 * scheduler puts them on one or on two would otherwise decide the figure.
 */
void stay_on_processor(int index);

/* A period longer than branch predictors remember. */
uint64_t next_random(uint64_t *state);

/* Sorts the values. */
double median(double *values, size_t count);

void print_figure(const char *metric, const char *unit, double value);

/* Anonymous memory of this process that is resident; nothing is allocated to find out. */
double resident_bytes(void);

/* The most that was ever resident, the program itself included. */
double peak_bytes(void);

#ifdef SUBJECT_PAGESPAN
/* What the library says it holds and caches. */
double accounted_bytes(void);
#endif

static inline struct block take_block(size_t nr_pages, enum touch touch)
{
	size_t bytes = nr_pages * PS_PAGE_SIZE;
	volatile char *start = subject_alloc(bytes);

	if (__builtin_expect(!start || (uintptr_t)start % PS_PAGE_SIZE, 0))
		die("no block of whole pages");
	if (touch == TOUCH_FIRST_PAGE)
		*start = 1;
	if (touch == TOUCH_EVERY_PAGE)
		for (size_t offset = 0; offset < bytes; offset += PS_PAGE_SIZE)
			start[offset] = 1;
	return (struct block){(void *)start, bytes};
}

#endif
