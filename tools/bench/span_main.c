// SPDX-License-Identifier: MIT
/*
 * bench-span, one measurement of one subject. Compiled once for every subject (span_subject.h), so
 * that each has a process and a heap of its own; span.sh takes turns between them.
 *
 * Prints a line for each figure, its fields separated by tabs: metric, unit, value.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <gnu/libc-version.h>
#include <stdio.h>
#include <string.h>

#include "span_measure.h"

#define WARM_UP 256

/* Counted alone, and only in what it calls is there more than a few instructions. */
__attribute__((noinline)) void measured_pair(size_t bytes)
{
	void *start = subject_alloc(bytes);

	__asm__ volatile("" : "+r"(start));
	subject_free(start, bytes);
}

__attribute__((noinline)) static void unmeasured_pair(size_t bytes)
{
	subject_free(subject_alloc(bytes), bytes);
}

/* For callgrind. The first pairs fill caches and bind symbols. */
static int count_pairs(char **arguments)
{
	size_t bytes = strtoull(arguments[0], NULL, 0) * PS_PAGE_SIZE;
	uint64_t operations = strtoull(arguments[1], NULL, 0);

	for (size_t i = 0; i < WARM_UP; i++)
		unmeasured_pair(bytes);
	for (uint64_t i = 0; i < operations; i++)
		measured_pair(bytes);
	return 0;
}

/* From 3.2 on, or 2.2, two digits for each part but the first. */
static void print_mimalloc_version(int version)
{
	int digits = version < 10000 ? 10 : 100;

	printf("%d.%d.%d\n", version / digits / digits, version / digits % digits,
	       version % digits);
}

/* Of the peer that is loaded, as it says itself; of glibc where there is no other. */
static int print_version(char **arguments)
{
	int (*mimalloc)(void) = (int (*)(void))dlsym(RTLD_DEFAULT, "mi_version");
	const char *(*tcmalloc)(int *, int *, const char **) =
		(const char *(*)(int *, int *, const char **))dlsym(RTLD_DEFAULT, "tc_version");
	int (*jemalloc)(const char *, void *, size_t *, void *, size_t) =
		(int (*)(const char *, void *, size_t *, void *, size_t))dlsym(RTLD_DEFAULT,
									       "mallctl");
	const char *version = gnu_get_libc_version();
	size_t length = sizeof(version);

	(void)arguments;
	if (mimalloc) {
		print_mimalloc_version(mimalloc());
		return 0;
	}
	if (tcmalloc)
		version = tcmalloc(NULL, NULL, NULL);
	else if (jemalloc)
		jemalloc("version", &version, &length, NULL, 0);
	puts(version);
	return 0;
}

static const struct command {
	const char *name;
	int nr_arguments;
	int (*run)(char **arguments);
	const char *usage;
} commands[] = {
	{"workload", 2, measure_workload, "NAME MILLISECONDS"},
	{"burst", 3, measure_burst, "PAGES COUNT MILLISECONDS"},
	{"burst-of-threads", 4, measure_bursts_of_threads, "THREADS PAGES COUNT MILLISECONDS"},
	{"stream", 1, measure_stream, "MILLISECONDS"},
	{"left", 1, measure_memory_left, "calls|asleep"},
	{"count", 2, count_pairs, "PAGES OPERATIONS"},
	{"workloads", 0, print_workloads, ""},
	{"cells", 0, print_cells, ""},
	{"version", 0, print_version, ""},
};

int main(int argc, char **argv)
{
	for (size_t i = 0; argc > 1 && i < ARRAY_SIZE(commands); i++)
		if (!strcmp(commands[i].name, argv[1]) && commands[i].nr_arguments == argc - 2)
			return commands[i].run(argv + 2);
	fputs("usage:\n", stderr);
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		fprintf(stderr, "\tspan %s %s\n", commands[i].name, commands[i].usage);
	return 2;
}
