// SPDX-License-Identifier: MIT
/*
 * bench-span, what only pagespan can be asked: that everything goes back, and what a function pays
 * that has an arena of its own.
 *
 * Usage: span_own held
 *        span_own --count OPERATIONS	(what callgrind runs)
 *
 * Prints a line for each figure, its fields separated by tabs: metric, unit, value.
 */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <pagespan.h>
#include <pagespan/arena.h>

#define NR_THREADS 4
#define NR_SPANS   1024
#define WARM_UP    16

static const size_t pages[] = {1, 1, 1, 16, 17, 129, 512};

static void *spans[NR_THREADS][NR_SPANS];
static pthread_barrier_t all_allocated;

static size_t bytes_of(size_t span)
{
	return pages[span % (sizeof(pages) / sizeof(*pages))] * PS_PAGE_SIZE;
}

/* Each thread frees its own first half and the second half of the next. */
static void *allocate_and_free(void *argument)
{
	size_t self = (size_t)(uintptr_t)argument, other = (self + 1) % NR_THREADS;

	for (size_t i = 0; i < NR_SPANS; i++) {
		spans[self][i] = ps_span_alloc(bytes_of(i));
		if (!spans[self][i]) {
			perror("bench-span: ps_span_alloc");
			exit(1);
		}
	}
	pthread_barrier_wait(&all_allocated);
	for (size_t i = 0; i < NR_SPANS; i++)
		ps_span_free(spans[i < NR_SPANS / 2 ? self : other][i], bytes_of(i));
	return NULL;
}

/* The first thread is the calling one, which does not exit but trims. */
static int report_held(void)
{
	pthread_t threads[NR_THREADS];
	struct ps_stats stats;

	pthread_barrier_init(&all_allocated, NULL, NR_THREADS);
	for (uintptr_t i = 1; i < NR_THREADS; i++)
		if (pthread_create(&threads[i], NULL, allocate_and_free, (void *)i))
			return 1;
	allocate_and_free(NULL);
	for (size_t i = 1; i < NR_THREADS; i++)
		pthread_join(threads[i], NULL);
	ps_trim(0);
	if (ps_stats(&stats, sizeof(stats)))
		return 1;
	printf("memory held\tB\t%.10g\n", (double)(stats.bytes_held + stats.bytes_cached));
	return 0;
}

/* Counted alone: a function that has memory of its own while it runs. */
__attribute__((noinline)) int measured_function(void)
{
	struct ps_arena *arena = ps_arena_create(NULL);
	uint64_t *object = arena ? ps_new(arena, uint64_t) : NULL;

	if (!object)
		return 1;
	*object = 1;
	ps_arena_destroy(arena);
	return 0;
}

__attribute__((noinline)) static int unmeasured_function(void)
{
	struct ps_arena *arena = ps_arena_create(NULL);
	int failed = !arena || !ps_alloc(arena, sizeof(uint64_t));

	ps_arena_destroy(arena);
	return failed;
}

static int count_functions(uint64_t operations)
{
	int failed = 0;

	for (int i = 0; i < WARM_UP; i++)
		failed |= unmeasured_function();
	for (uint64_t i = 0; i < operations; i++)
		failed |= measured_function();
	return failed;
}

int main(int argc, char **argv)
{
	if (argc == 2 && !strcmp(argv[1], "held"))
		return report_held();
	if (argc == 3 && !strcmp(argv[1], "--count"))
		return count_functions(strtoull(argv[2], NULL, 0));
	fputs("usage: span_own held | span_own --count OPERATIONS\n", stderr);
	return 2;
}
