// SPDX-License-Identifier: MIT
/*
 * bench-span, bursts: blocks of a size are allocated, every page of them is written, and all are
 * freed, again and again. Whatever a cache is bounded by, some burst goes beyond it.
 */
#include <pthread.h>
#include <stdio.h>

#include "span_measure.h"

#define WARM_UP     2
#define MOST_BLOCKS 4096
#define MOST_PAGES  16384
#define MAX_BATCHES 8192

/* 24 blocks of 16 pages are 1.5 MiB, which a cache of 2 MiB holds; the next ones it does not. */
static const size_t cell_pages[] = {1, 2, 4, 16, 64, 256, 512, 513, 768, 1024, 5120, 16384};
static const size_t cell_counts[] = {1, 2, 4, 8, 16, 24, 32, 64, 256, 1024, 4096};

struct burst {
	size_t pages;
	size_t count;
	enum touch touch;
	struct block blocks[MOST_BLOCKS];
};

static void run_bursts(struct burst *burst, uint64_t rounds)
{
	for (; rounds; rounds--) {
		for (size_t i = 0; i < burst->count; i++)
			burst->blocks[i] = take_block(burst->pages, burst->touch);
		for (size_t i = 0; i < burst->count; i++)
			subject_free(burst->blocks[i].start, burst->blocks[i].bytes);
	}
}

static void read_burst(struct burst *burst, char **arguments)
{
	burst->pages = strtoull(arguments[0], NULL, 0);
	burst->count = strtoull(arguments[1], NULL, 0);
	if (!burst->pages || !burst->count || burst->count > MOST_BLOCKS) {
		fputs("bench-span: no such burst\n", stderr);
		exit(2);
	}
}

/*
 * Processor time of all bursts together, not of the one in the middle: what a subject puts off and
 * does in one of many is a part of the price, and so is what a thread of its own does.
 */
int measure_burst(char **arguments)
{
	static struct burst burst = {.touch = TOUCH_EVERY_PAGE};
	uint64_t budget_ns = strtoull(arguments[2], NULL, 0) * 1000000;
	uint64_t batch = 1, rounds = 0, begin, last, now;

	read_burst(&burst, arguments);
	run_bursts(&burst, WARM_UP);
	begin = last = cpu_ns();
	do {
		run_bursts(&burst, batch);
		rounds += batch;
		now = cpu_ns();
		if (now - last < BATCH_NS)
			batch *= 2;
		last = now;
	} while (now - begin < budget_ns);
	print_figure("page", "ns",
		     (double)(now - begin) / (double)(rounds * burst.count * burst.pages));
	return 0;
}

/* ---- threads that get nothing from their caches ---- */

struct burster {
	struct burst burst;
	int processor;
	uint64_t budget_ns;
	double costs[MAX_BATCHES];
	size_t nr_costs;
};

static pthread_barrier_t start_line;

static void *measure_bursts(void *argument)
{
	struct burster *burster = argument;
	double blocks = (double)burster->burst.count;
	uint64_t deadline, start;

	stay_on_processor(burster->processor);
	run_bursts(&burster->burst, WARM_UP);
	pthread_barrier_wait(&start_line);
	deadline = now_ns() + burster->budget_ns;
	do {
		start = now_ns();
		run_bursts(&burster->burst, 1);
		burster->costs[burster->nr_costs++] = (double)(now_ns() - start) / blocks;
	} while (burster->nr_costs < MAX_BATCHES && now_ns() < deadline);
	return NULL;
}

/*
 * Nothing is touched, so that the kernel's part is small. The time from one pair to the next, all
 * threads together: two that do not hinder each other halve it.
 */
int measure_bursts_of_threads(char **arguments)
{
	static struct burster bursters[NR_THREADS];
	pthread_t threads[NR_THREADS];
	size_t nr_threads = strtoull(arguments[0], NULL, 0);
	double pairs_each_ns = 0;

	if (!nr_threads || nr_threads > NR_THREADS)
		return 2;
	pthread_barrier_init(&start_line, NULL, (unsigned int)nr_threads);
	for (size_t i = 0; i < nr_threads; i++) {
		read_burst(&bursters[i].burst, arguments + 1);
		bursters[i].processor = (int)i;
		bursters[i].budget_ns = strtoull(arguments[3], NULL, 0) * 1000000;
		if (pthread_create(&threads[i], NULL, measure_bursts, &bursters[i]))
			die("no thread");
	}
	for (size_t i = 0; i < nr_threads; i++) {
		pthread_join(threads[i], NULL);
		pairs_each_ns += 1 / median(bursters[i].costs, bursters[i].nr_costs);
	}
	print_figure("from pair to pair", "ns", 1 / pairs_each_ns);
	return 0;
}

int print_cells(char **arguments)
{
	(void)arguments;
	for (size_t i = 0; i < ARRAY_SIZE(cell_pages); i++)
		for (size_t j = 0; j < ARRAY_SIZE(cell_counts); j++)
			if (cell_pages[i] * cell_counts[j] <= MOST_PAGES)
				printf("%zu %zu\n", cell_pages[i], cell_counts[j]);
	return 0;
}
