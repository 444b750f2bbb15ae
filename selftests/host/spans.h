/* SPDX-License-Identifier: MIT */
/* What the tests of the library's spans have in common. */
#ifndef PAGESPAN_SPANS_H
#define PAGESPAN_SPANS_H

#include <pagespan.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define PAGE      PS_PAGE_SIZE
#define MIB       ((size_t)1 << 20)
#define MEGABLOCK (512 * PAGE)

static inline struct ps_stats stats(void)
{
	struct ps_stats now = {0};

	if (ps_stats(&now, sizeof(now)))
		abort();
	return now;
}

static inline bool on_device(void)
{
	const char *name = ps_backend();

	return name && !strcmp(name, "device");
}

/* The memory backend's pool, in MiB; the device has what it has. */
static inline void begin(const char *memory_mb)
{
	setenv("PAGESPAN_MEMORY_MB", memory_mb, 1);
	if (!ps_backend())
		abort();
}

static inline void touch(void *span, size_t bytes)
{
	for (size_t at = 0; at < bytes; at += PAGE)
		((volatile char *)span)[at] = 1;
}

/* Whether every byte has this value. */
static inline bool holds(const char *span, size_t bytes, char value)
{
	return !bytes || (span[0] == value && !memcmp(span, span + 1, bytes - 1));
}

static inline void alloc_all(size_t bytes, size_t count, void **spans)
{
	for (size_t i = 0; i < count; i++) {
		spans[i] = ps_span_alloc(bytes);
		if (!spans[i])
			abort();
		touch(spans[i], bytes);
	}
}

static inline void free_all(size_t bytes, size_t count, void **spans)
{
	for (size_t i = 0; i < count; i++)
		if (ps_span_free(spans[i], bytes))
			abort();
}

/* Spans of a size allocated, written and freed. */
static inline void burst(size_t bytes, size_t count)
{
	void **spans = calloc(count, sizeof(*spans));

	alloc_all(bytes, count, spans);
	free_all(bytes, count, spans);
	free(spans);
}

/* What the longest run of free pages has, up to the longest span; nothing may be held. */
static inline size_t longest_span(void)
{
	size_t fits = 0, beyond = PS_SPAN_MAX / PAGE + 1;

	while (beyond - fits > 1) {
		size_t pages = (fits + beyond) / 2;
		void *span = ps_span_alloc(pages * PAGE);

		if (span && ps_span_free(span, pages * PAGE))
			abort();
		if (span)
			fits = pages;
		else
			beyond = pages;
	}
	return fits * PAGE;
}

static inline bool can_have(size_t bytes)
{
	void *span = ps_span_alloc(bytes);

	return span && !ps_span_free(span, bytes);
}

/* Not so where Valgrind or a sanitizer watches what is freed. */
static inline bool something_is_cached(void)
{
	void *span = ps_span_alloc(PAGE);
	uint64_t before = stats().bytes_cached;

	if (!span || ps_span_free(span, PAGE))
		abort();
	return stats().bytes_cached > before;
}

static inline long nr_faults(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return usage.ru_minflt;
}

/* Bytes of the process that are in memory. */
static inline uint64_t resident(void)
{
	FILE *statm = fopen("/proc/self/statm", "r");
	unsigned long all, resident;

	if (!statm || fscanf(statm, "%lu %lu", &all, &resident) != 2)
		abort();
	fclose(statm);
	return resident * PAGE;
}

static inline void sleep_ms(long ms)
{
	struct timespec wait = {ms / 1000, ms % 1000 * 1000000};

	nanosleep(&wait, NULL);
}

static inline double seconds_of(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return now.tv_sec + now.tv_nsec * 1e-9;
}

/* ---- CPUs ----------------------------------------------------------------------------------- */

static inline uint64_t nr_cpus(void)
{
	return sysconf(_SC_NPROCESSORS_CONF);
}

static cpu_set_t allowed_cpus;

__attribute__((constructor)) static void note_allowed_cpus(void)
{
	sched_getaffinity(0, sizeof(allowed_cpus), &allowed_cpus);
}

/* The calling thread stays on one of the CPUs it may use, whose number is taken modulo theirs. */
static inline void stay_on(int number)
{
	cpu_set_t one;

	number %= CPU_COUNT(&allowed_cpus);
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		if (!CPU_ISSET(cpu, &allowed_cpus) || number--)
			continue;
		CPU_ZERO(&one);
		CPU_SET(cpu, &one);
		sched_setaffinity(0, sizeof(one), &one);
		return;
	}
}

/* A function on another CPU, if there is one, by a thread of its own that ends. */
struct errand {
	void (*function)(void *argument);
	void *argument;
	int cpu;
};

static inline void *run_errand(void *argument)
{
	struct errand *errand = argument;

	stay_on(errand->cpu);
	errand->function(errand->argument);
	return NULL;
}

static inline void on_cpu(int cpu, void (*function)(void *), void *argument)
{
	struct errand errand = {function, argument, cpu};
	pthread_t thread;

	if (pthread_create(&thread, NULL, run_errand, &errand))
		abort();
	pthread_join(thread, NULL);
}

#endif
