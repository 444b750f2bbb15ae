// SPDX-License-Identifier: MIT
/*
 * bench-span, producer and consumer: one thread allocates blocks and writes every page, another
 * only frees. What the second gets back is what the first needs next.
 *
 * The queue is full before the consumer starts, so that the most that is in use at a time is the
 * same whatever the scheduler does.
 */
#include <pthread.h>
#include <semaphore.h>

#include "span_measure.h"

#define PARCEL     32
#define NR_PARCELS 4
#define MOST_PAGES 128

/* Empty where nothing follows. */
struct parcel {
	size_t count;
	struct block blocks[PARCEL];
};

static struct parcel parcels[NR_PARCELS];
static sem_t filled, emptied;

static size_t fill_parcel(struct parcel *parcel, uint64_t *random)
{
	size_t pages = 0;

	for (parcel->count = 0; parcel->count < PARCEL; parcel->count++) {
		size_t nr_pages = 1 + (next_random(random) >> 32) % MOST_PAGES;

		parcel->blocks[parcel->count] = take_block(nr_pages, TOUCH_EVERY_PAGE);
		pages += nr_pages;
	}
	return pages;
}

static void *consume(void *unused)
{
	struct parcel *parcel;
	size_t received = 0;

	stay_on_processor(1);
	do {
		parcel = &parcels[received++ % NR_PARCELS];
		sem_wait(&filled);
		for (size_t i = 0; i < parcel->count; i++)
			subject_free(parcel->blocks[i].start, parcel->blocks[i].bytes);
		sem_post(&emptied);
	} while (parcel->count);
	return unused;
}

/* Processor time of both threads, and what the process took more than it began with. */
int measure_stream(char **arguments)
{
	uint64_t budget_ns = strtoull(arguments[0], NULL, 0) * 1000000;
	uint64_t random = 88172645463325252ULL, begin;
	double at_first = peak_bytes();
	size_t pages = 0, sent = 0;
	pthread_t consumer;

	sem_init(&filled, 0, 0);
	sem_init(&emptied, 0, 0);
	for (; sent < NR_PARCELS; sent++, sem_post(&filled))
		fill_parcel(&parcels[sent], &random);
	stay_on_processor(0);
	begin = cpu_ns();
	if (pthread_create(&consumer, NULL, consume, NULL))
		die("no thread");
	for (; cpu_ns() - begin < budget_ns; sent++, sem_post(&filled)) {
		sem_wait(&emptied);
		pages += fill_parcel(&parcels[sent % NR_PARCELS], &random);
	}
	print_figure("page", "ns", (double)(cpu_ns() - begin) / (double)pages);
	print_figure("peak memory", "B", peak_bytes() - at_first);
	sem_wait(&emptied);
	parcels[sent % NR_PARCELS].count = 0;
	sem_post(&filled);
	pthread_join(consumer, NULL);
	return 0;
}
