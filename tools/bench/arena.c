// SPDX-License-Identifier: MIT
/*
 * bench-arena: what a small object costs in an arena, beside other arenas and allocators.
 *
 * Times are interleaved: every round measures each subject once, so that what else the machine does
 * falls on all of them. Instructions are callgrind's, of this program run again for one subject and
 * one workload. Allocators that replace malloc are measured in a process of their own each, for
 * they cannot be together in one.
 */
#include <inttypes.h>
#include <math.h>
#include <pagespan.h>
#include <pagespan/arena.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "arena.h"
#include "report.h"

#define MAX_ROUNDS   31
#define MAX_SUBJECTS 16

uint32_t arena_sizes[ARENA_BATCH_MAX];
uint32_t arena_batch = ARENA_BATCH;

/* Objects that one round of a workload allocates. */
static const uint32_t objects_of[NR_ARENA_WORKLOADS] = {
	[FILL_16] = ARENA_BATCH,        [FILL_32] = ARENA_BATCH,        [FILL_RANDOM] = ARENA_BATCH,
	[FILL_THREE] = 3 * ARENA_BATCH, [FILL_MILLION] = ARENA_MILLION, [TREES_16] = (2 << 16) - 1,
	[TREES_18] = (2 << 18) - 1,
};

/* Names, and the functions that callgrind is to look into. */
static const char *const names[] = {"16 B",      "32 B",     "8-128 B", "16+24+40 B",
				    "1M x 16 B", "trees 16", "trees 18"};
static const char *const functions[] = {"fill_16",      "fill_32",  "fill_random", "fill_three",
					"fill_million", "trees_16", "trees_18"};

#define NR_SUBJECTS 10
static const struct arena_subject *const subjects[NR_SUBJECTS] = {
	&arena_subject_ideal,         &arena_subject_pagespan,  &arena_subject_pagespan_cursor,
	&arena_subject_pagespan_call, &arena_subject_interface, &arena_subject_obstack,
	&arena_subject_pmr,           &arena_subject_llvm,      &arena_subject_apr,
	&arena_subject_talloc,
};

/* The first of them: what the goals compare by instructions. */
#define NR_COMPARED 2

/* The subjects that are measured apart: a library that is loaded first, or none for glibc. */
static const struct {
	const char *name;
	const char *library;
} replacements[] = {
	{"glibc", ""},
	{"mimalloc", "libmimalloc.so.2"},
	{"jemalloc", "libjemalloc.so.2"},
	{"tcmalloc", "libtcmalloc_minimal.so.4"},
};
#define NR_REPLACEMENTS (sizeof(replacements) / sizeof(*replacements))

static bool is_quick;

static uint64_t nr_rounds(void)
{
	return is_quick ? 9 : MAX_ROUNDS;
}

/* A whole sample, in nanoseconds, takes about so long. */
static double sample_ns(void)
{
	return is_quick ? 1e6 : 4e6;
}

static double now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static void draw_sizes(void)
{
	uint32_t state = 12345;

	for (size_t i = 0; i < ARENA_BATCH_MAX; i++) {
		state = state * 1664525 + 1013904223;
		arena_sizes[i] = 8 + (state >> 16) % 121;
	}
}

/* ---- times --------------------------------------------------------------------------------- */

struct measured {
	const struct arena_subject *subject;
	void *state;
	uint64_t repeat; /* of the workload, in a sample */
	double samples[MAX_ROUNDS];
};

static double run_once(struct measured *measured, enum arena_workload workload)
{
	double start = now_ns();

	measured->subject->run[workload](measured->state, measured->repeat);
	return (now_ns() - start) / (double)measured->repeat / objects_of[workload];
}

static void prepare(struct measured *measured, const struct arena_subject *subject,
		    enum arena_workload workload)
{
	double per_run;

	measured->subject = subject;
	measured->state = subject->open();
	measured->repeat = 1;
	run_once(measured, workload);
	per_run = run_once(measured, workload) * objects_of[workload];
	if (per_run < sample_ns())
		measured->repeat = (uint64_t)(sample_ns() / per_run) + 1;
}

static int compare_doubles(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* Sorts the samples; in the form of the report, which then has one run. */
static struct times times_of(double *samples, uint64_t count)
{
	qsort(samples, count, sizeof(*samples), compare_doubles);
	return (struct times){
		.p10 = samples[count / 10],
		.median = samples[count / 2],
		.p90 = samples[count * 9 / 10],
		.operations = count,
	};
}

static void time_together(enum arena_workload workload)
{
	static struct measured all[NR_SUBJECTS];

	for (size_t s = 0; s < NR_SUBJECTS; s++)
		prepare(&all[s], subjects[s], workload);
	for (uint64_t round = 0; round < nr_rounds(); round++)
		for (size_t s = 0; s < NR_SUBJECTS; s++)
			all[s].samples[round] = run_once(&all[s], workload);
	for (size_t s = 0; s < NR_SUBJECTS; s++) {
		struct times times = times_of(all[s].samples, nr_rounds());

		report_times(names[workload], subjects[s]->name, "time", &times, 1);
		subjects[s]->close(all[s].state);
	}
}

/* In the process that a library was loaded into: three numbers. */
static void time_malloc(enum arena_workload workload)
{
	struct measured measured;
	struct times times;

	prepare(&measured, &arena_subject_malloc, workload);
	for (uint64_t round = 0; round < nr_rounds(); round++)
		measured.samples[round] = run_once(&measured, workload);
	times = times_of(measured.samples, nr_rounds());
	printf("%g %g %g\n", times.p10, times.median, times.p90);
}

static bool time_apart(const char *program, size_t replacement, enum arena_workload workload)
{
	char command[512];
	struct times times = {0};
	FILE *output;
	bool read;

	snprintf(command, sizeof(command), "LD_PRELOAD='%s' '%s' --malloc %d 2>/dev/null",
		 replacements[replacement].library, program, (int)workload);
	output = popen(command, "r");
	read = output && fscanf(output, "%lf %lf %lf", &times.p10, &times.median, &times.p90) == 3;
	if (output)
		pclose(output);
	if (read)
		report_times(names[workload], replacements[replacement].name, "time", &times, 1);
	return read;
}

/* ---- instructions -------------------------------------------------------------------------- */

#define COUNTED_ROUNDS 4

/* What callgrind sees in a function of this program, run with these arguments. */
static double count_instructions(const char *program, const char *function, const char *mode,
				 unsigned int number)
{
	char path[] = "/tmp/bench-arena-XXXXXX", command[1024], line[256];
	uint64_t count = 0, sum = 0;
	int fd = mkstemp(path);
	FILE *file;

	if (fd < 0)
		return NAN;
	close(fd);
	snprintf(command, sizeof(command),
		 "valgrind -q --tool=callgrind --callgrind-out-file=%s --toggle-collect='%s' '%s' "
		 "%s %u >/dev/null 2>&1",
		 path, function, program, mode, number);
	if (system(command) == 0) {
		file = fopen(path, "r");
		while (file && fgets(line, sizeof(line), file))
			if (sscanf(line, "summary: %" SCNu64, &count) == 1)
				sum += count;
		if (file)
			fclose(file);
	}
	unlink(path);
	return sum ? (double)sum : NAN;
}

static const struct arena_subject *find_subject(const char *name)
{
	for (size_t s = 0; s < NR_SUBJECTS; s++)
		if (!strcmp(subjects[s]->name, name))
			return subjects[s];
	abort();
}

/* In the process under callgrind. */
static void run_counted(const char *name, int workload, uint32_t batch)
{
	const struct arena_subject *subject = find_subject(name);
	void *state = subject->open();

	arena_batch = batch;
	subject->run[workload](state, COUNTED_ROUNDS);
	subject->close(state);
}

/* A function that has memory of its own. */
static __attribute__((noinline)) void own_arena(void)
{
	struct ps_arena *arena = ps_arena_create(NULL);
	uint64_t *object = ps_alloc(arena, 16);

	object[0] = 1;
	ps_arena_destroy(arena);
}

static __attribute__((noinline)) void three_apart(struct ps_arena *arena, void **objects)
{
	objects[0] = ps_alloc(arena, 16);
	objects[1] = ps_alloc(arena, 24);
	objects[2] = ps_alloc(arena, 40);
}

static __attribute__((noinline)) void three_together(struct ps_arena *arena, void **objects)
{
	char(*a)[16], (*b)[24], (*c)[40];

	if (!PS_NEW3(arena, char[16], a, char[24], b, char[40], c))
		abort();
	objects[0] = a;
	objects[1] = b;
	objects[2] = c;
}

/* What the two above do beside allocating. */
static __attribute__((noinline)) void three_none(void **objects, void *a, void *b, void *c)
{
	objects[0] = a;
	objects[1] = b;
	objects[2] = c;
}

static void run_functions(uint64_t repeat)
{
	struct ps_arena_options options = {.size = sizeof(options), .chunk_bytes = ARENA_CHUNK};
	struct ps_arena *arena = ps_arena_create(&options);
	void *objects[3];

	while (repeat--) {
		three_apart(arena, objects);
		three_together(arena, objects);
		three_none(objects, objects[0], objects[1], objects[2]);
		own_arena();
	}
	ps_arena_destroy(arena);
}

/*
 * How much more a thousand objects, or calls, take than a thousand: what a round costs once, its
 * reset and the first touch of everything, falls out.
 */
static double count_one(const char *program, const char *function, const char *mode)
{
	return (count_instructions(program, function, mode, ARENA_BATCH_MAX) -
		count_instructions(program, function, mode, ARENA_BATCH)) /
	       (ARENA_BATCH_MAX - ARENA_BATCH);
}

static void count_all(const char *program)
{
	static const char *const calls[] = {"three_apart", "three_together", "three_none",
					    "own_arena"};
	char mode[64], function[64];
	double one;

	for (int w = FILL_16; w <= FILL_THREE; w++) {
		/* C++ adds the arguments to the name. */
		snprintf(function, sizeof(function), "%s*", functions[w]);
		for (size_t s = 0; s < (is_quick ? NR_COMPARED : NR_SUBJECTS); s++) {
			if (w == FILL_THREE && is_quick)
				continue;
			snprintf(mode, sizeof(mode), "--count '%s' %d", subjects[s]->name, w);
			one = count_one(program, function, mode) / COUNTED_ROUNDS;
			report_value(names[w], subjects[s]->name, "instructions", "instructions",
				     w == FILL_THREE ? one / 3 : one);
		}
	}
	for (size_t i = 0; i < sizeof(calls) / sizeof(*calls); i++)
		report_value(calls[i], "pagespan", "instructions", "instructions",
			     count_one(program, calls[i], "--functions"));
}

/* ---- memory -------------------------------------------------------------------------------- */

static void hold_100(void)
{
	struct ps_arena *arenas[100];
	struct ps_stats before = {0}, after = {0};

	ps_stats(&before, sizeof(before));
	for (int i = 0; i < 100; i++) {
		arenas[i] = ps_arena_create(NULL);
		if (!arenas[i] || !ps_alloc(arenas[i], 16))
			abort();
	}
	ps_stats(&after, sizeof(after));
	report_value("100 arenas", "pagespan", "held by each", "B",
		     (double)(after.bytes_held - before.bytes_held) / 100);
	for (int i = 0; i < 100; i++)
		ps_arena_destroy(arenas[i]);
}

/* ---- goals --------------------------------------------------------------------------------- */

static double ratio(const char *workload, const char *metric, const char *a, const char *b)
{
	return report_median(workload, a, metric) / report_median(workload, b, metric);
}

/* Of a call, without what it does with the objects. */
static double instructions_of_three(const char *function)
{
	return report_median(function, "pagespan", "instructions") -
	       report_median("three_none", "pagespan", "instructions");
}

/* The fastest of the others, but for the ideal. */
static double fastest_peer(const char *workload)
{
	double fastest = INFINITY;

	for (size_t s = 4; s < NR_SUBJECTS; s++)
		fastest = fmin(fastest, report_median(workload, subjects[s]->name, "time"));
	for (size_t r = 0; r < NR_REPLACEMENTS; r++)
		fastest = fmin(fastest, report_median(workload, replacements[r].name, "time"));
	return fastest;
}

static void report_goals(void)
{
	static const enum arena_workload small[] = {FILL_16, FILL_32, FILL_RANDOM};
	static const char *const slow[] = {"obstack", "std::pmr::monotonic",
					   "LLVM BumpPtrAllocator"};
	static char texts[32][80];
	char *text = texts[0];

	for (size_t i = 0; i < 3; i++) {
		const char *workload = names[small[i]];

		text = texts[2 * i];
		snprintf(text, 80, "%s: instructions, of the ideal", workload);
		report_goal(text, AT_MOST, 1.0,
			    ratio(workload, "instructions", "pagespan", "ideal bump"));
		text = texts[2 * i + 1];
		snprintf(text, 80, "%s: time, of the ideal", workload);
		report_goal(text, AT_MOST, 1.08, ratio(workload, "time", "pagespan", "ideal bump"));
	}
	report_goal("16 B in a loop with a cursor: time, of the ideal", AT_MOST, 0.75,
		    ratio(names[FILL_16], "time", "pagespan, cursor", "ideal bump"));
	report_goal("16+24+40 B grouped: instructions, of three allocations", AT_MOST, 0.60,
		    instructions_of_three("three_together") / instructions_of_three("three_apart"));
	for (size_t i = 0; i < 3; i++) {
		text = texts[6 + i];
		snprintf(text, 80, "1M x 16 B: time of %s, of ours", slow[i]);
		report_goal(text, AT_LEAST, 4,
			    ratio(names[FILL_MILLION], "time", slow[i], "pagespan"));
	}
	for (int w = TREES_16; w <= TREES_18; w++) {
		text = texts[9 + 2 * (w - TREES_16)];
		snprintf(text, 80, "%s: time, of the ideal", names[w]);
		report_goal(text, AT_MOST, 1.05, ratio(names[w], "time", "pagespan", "ideal bump"));
		text = texts[10 + 2 * (w - TREES_16)];
		snprintf(text, 80, "%s: time, of the fastest other peer", names[w]);
		report_goal(text, AT_MOST, 1.0,
			    report_median(names[w], "pagespan", "time") / fastest_peer(names[w]));
	}
	report_goal("100 arenas of one small object: bytes held by each", AT_MOST, 8192,
		    report_median("100 arenas", "pagespan", "held by each"));
	report_goal("create, allocate, destroy, with a cached chunk: instructions", AT_MOST, 100,
		    report_median("own_arena", "pagespan", "instructions"));
}

int main(int argc, char **argv)
{
	const char *json = argc == 3 && !strcmp(argv[1], "--json") ? argv[2] : NULL;
	const char *environment = getenv("BENCH_QUICK");

	is_quick = environment && strcmp(environment, "0") != 0;
	setenv("PAGESPAN_BACKEND", "memory", 0);
	draw_sizes();
	if (argc == 5 && !strcmp(argv[1], "--count")) {
		run_counted(argv[2], (int)strtol(argv[3], NULL, 10),
			    (uint32_t)strtoul(argv[4], NULL, 10));
		return 0;
	}
	if (argc == 3 && !strcmp(argv[1], "--malloc")) {
		time_malloc((enum arena_workload)strtol(argv[2], NULL, 10));
		return 0;
	}
	if (argc == 3 && !strcmp(argv[1], "--functions")) {
		run_functions(strtoul(argv[2], NULL, 10));
		return 0;
	}
	if (!json) {
		fputs("usage: arena --json FILE\n", stderr);
		return 2;
	}
	for (int w = 0; w < NR_ARENA_WORKLOADS; w++) {
		time_together((enum arena_workload)w);
		for (size_t r = 0; r < NR_REPLACEMENTS; r++)
			if (!time_apart(argv[0], r, (enum arena_workload)w))
				fprintf(stderr, "bench-arena: no %s here\n", replacements[r].name);
	}
	count_all(argv[0]);
	hold_100();
	report_goals();
	report_write("arena", json, NULL, NULL);
	return 0;
}
