// SPDX-License-Identifier: MIT
/*
 * bench-span, workloads: blocks of whole pages, 256 of them live, of which a random one is given
 * back and replaced by another, again and again.
 *
 * A figure is the median over many batches of about a fifth of a millisecond, so that whatever
 * interrupts one batch does not show. It includes the loop, which is the same for all and takes its
 * choices from a list that is drawn beforehand.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "span_measure.h"

#define NR_SLOTS     256
#define NR_STEPS     16384
#define PARCEL       64
#define QUEUE_CLOSED UINT64_MAX
#define MIN_BATCHES  5
#define MAX_BATCHES  8192
#define SPINS        1000
#define HELD_SAMPLES 11
#define HELD_STEP    500
#define CACHE_LINE   64

/* Two threads exchange what they allocate, or one allocates and the other only frees. */
enum shape { ONE_THREAD, TWO_THREADS, EXCHANGED, ONE_WAY, MEMORY_HELD };

/* Blocks are drawn from `pages`, each entry as likely as any other. */
struct workload {
	const char *name;
	const uint16_t *pages;
	unsigned int nr_pages;
	enum touch touch;
	enum shape shape;
};

#define SIZES(...)                                \
	.pages = (const uint16_t[]){__VA_ARGS__}, \
	.nr_pages = ARRAY_SIZE(((const uint16_t[]){__VA_ARGS__}))
#define MIX SIZES(1, 1, 1, 1, 1, 1, 16, 16, 16, 512)

static const struct workload workloads[] = {
	{"4K", SIZES(1), TOUCH_NOTHING, ONE_THREAD},
	{"64K", SIZES(16), TOUCH_NOTHING, ONE_THREAD},
	{"2M", SIZES(512), TOUCH_NOTHING, ONE_THREAD},
	{"mix", MIX, TOUCH_NOTHING, ONE_THREAD},
	{"4K, first page touched", SIZES(1), TOUCH_FIRST_PAGE, ONE_THREAD},
	{"64K, first page touched", SIZES(16), TOUCH_FIRST_PAGE, ONE_THREAD},
	{"2M, first page touched", SIZES(512), TOUCH_FIRST_PAGE, ONE_THREAD},
	{"mix, first page touched", MIX, TOUCH_FIRST_PAGE, ONE_THREAD},
	{"mix, every page touched", MIX, TOUCH_EVERY_PAGE, ONE_THREAD},
	{"mix, two threads", MIX, TOUCH_NOTHING, TWO_THREADS},
	{"4K, freed by another thread", SIZES(1), TOUCH_NOTHING, EXCHANGED},
	{"mix, freed by another thread", MIX, TOUCH_NOTHING, EXCHANGED},
	{"4K, freed by another thread, one way", SIZES(1), TOUCH_NOTHING, ONE_WAY},
	{"mix, freed by another thread, one way", MIX, TOUCH_NOTHING, ONE_WAY},
	{"odd sizes", SIZES(5, 9, 17, 33, 129), TOUCH_EVERY_PAGE, MEMORY_HELD},
};

struct worker;
typedef void operate(struct worker *worker, uint64_t operations);

/* One choice: which of the live blocks is replaced, and how large the new one is. */
struct step {
	uint16_t slot;
	uint16_t nr_pages;
};

/* A thread that measures: what it repeats, and what one operation of each batch took. */
struct worker {
	const struct workload *workload;
	operate *operate;
	uint64_t budget_ns;
	uint64_t next_step;
	struct step steps[NR_STEPS];
	struct block live[NR_SLOTS];
	double costs[MAX_BATCHES];
	size_t nr_costs;
};

static struct worker workers[NR_THREADS];
static pthread_barrier_t start_line;

/* Blocks on their way from the thread that allocates them to the one that frees them. */
static struct queue {
	_Alignas(CACHE_LINE) _Atomic uint64_t sent;
	_Alignas(CACHE_LINE) _Atomic uint64_t received;
	_Alignas(CACHE_LINE) struct block blocks[NR_SLOTS];
} queues[NR_THREADS];

static void draw_steps(struct worker *worker)
{
	const struct workload *workload = worker->workload;
	uint64_t random = 88172645463325252ULL + (uint64_t)(worker - workers);

	for (size_t i = 0; i < NR_STEPS; i++) {
		next_random(&random);
		worker->steps[i].slot = random % NR_SLOTS;
		worker->steps[i].nr_pages = workload->pages[(random >> 32) % workload->nr_pages];
	}
}

static inline struct step next_step(struct worker *worker)
{
	return worker->steps[worker->next_step++ % NR_STEPS];
}

/* ---- what is repeated ---- */

static inline __attribute__((always_inline)) void replace(struct worker *worker,
							  uint64_t operations, enum touch touch)
{
	uint64_t first = worker->next_step;

	for (uint64_t i = first; i < first + operations; i++) {
		struct step step = worker->steps[i % NR_STEPS];
		struct block *block = &worker->live[step.slot];

		subject_free(block->start, block->bytes);
		*block = take_block(step.nr_pages, touch);
	}
	worker->next_step = first + operations;
}

static void replace_untouched(struct worker *worker, uint64_t operations)
{
	replace(worker, operations, TOUCH_NOTHING);
}

static void replace_first_touched(struct worker *worker, uint64_t operations)
{
	replace(worker, operations, TOUCH_FIRST_PAGE);
}

static void replace_all_touched(struct worker *worker, uint64_t operations)
{
	replace(worker, operations, TOUCH_EVERY_PAGE);
}

/* The other side of the queue may have no processor at the moment. */
static void wait_until(const _Atomic uint64_t *counter, uint64_t target)
{
	unsigned int spins = 0;

	while (atomic_load_explicit(counter, memory_order_acquire) < target) {
		if (++spins % SPINS == 0)
			sched_yield();
		__builtin_ia32_pause();
	}
}

/* Whole parcels, so that the queue's own cache lines seldom change hands. */
static void send_parcel(struct worker *worker)
{
	struct queue *queue = &queues[worker - workers];
	uint64_t sent = atomic_load_explicit(&queue->sent, memory_order_relaxed);

	if (sent >= NR_SLOTS)
		wait_until(&queue->received, sent + PARCEL - NR_SLOTS);
	for (uint64_t i = sent; i < sent + PARCEL; i++)
		queue->blocks[i % NR_SLOTS] = take_block(next_step(worker).nr_pages, TOUCH_NOTHING);
	atomic_store_explicit(&queue->sent, sent + PARCEL, memory_order_release);
}

/* Frees what the other thread has sent; false once it has closed its queue. */
static bool receive_parcel(struct worker *worker)
{
	struct queue *queue = &queues[worker == workers];
	uint64_t received = atomic_load_explicit(&queue->received, memory_order_relaxed);

	wait_until(&queue->sent, received + PARCEL);
	if (atomic_load(&queue->sent) == QUEUE_CLOSED)
		return false;
	for (uint64_t i = received; i < received + PARCEL; i++)
		subject_free(queue->blocks[i % NR_SLOTS].start, queue->blocks[i % NR_SLOTS].bytes);
	atomic_store_explicit(&queue->received, received + PARCEL, memory_order_release);
	return true;
}

/* The number of operations is a multiple of a parcel. */
static void send_parcels(struct worker *worker, uint64_t operations)
{
	for (uint64_t i = 0; i < operations; i += PARCEL)
		send_parcel(worker);
}

static void exchange_parcels(struct worker *worker, uint64_t operations)
{
	for (uint64_t i = 0; i < operations; i += PARCEL) {
		send_parcel(worker);
		receive_parcel(worker);
	}
}

static void *partner_that_frees(void *partner)
{
	stay_on_processor(1);
	while (receive_parcel(partner))
		;
	return NULL;
}

static void *partner_that_exchanges(void *partner)
{
	stay_on_processor(1);
	do
		send_parcel(partner);
	while (receive_parcel(partner));
	return NULL;
}

/* ---- measuring ---- */

static void fill(struct worker *worker)
{
	for (size_t i = 0; i < NR_SLOTS; i++)
		worker->live[i] = take_block(next_step(worker).nr_pages, worker->workload->touch);
}

static uint64_t time_batch(struct worker *worker, uint64_t operations)
{
	uint64_t start = now_ns();

	worker->operate(worker, operations);
	return now_ns() - start;
}

/* How many operations make a batch; the search for it warms the caches. */
static uint64_t batch_size(struct worker *worker)
{
	uint64_t operations = NR_SLOTS;

	while (time_batch(worker, operations) < BATCH_NS)
		operations *= 2;
	return operations;
}

static void measure(struct worker *worker)
{
	uint64_t operations = batch_size(worker);
	uint64_t deadline = now_ns() + worker->budget_ns;

	while (worker->nr_costs < MAX_BATCHES &&
	       (worker->nr_costs < MIN_BATCHES || now_ns() < deadline))
		worker->costs[worker->nr_costs++] =
			(double)time_batch(worker, operations) / (double)operations;
}

static void measure_one_thread(void)
{
	static operate *const by_touch[] = {replace_untouched, replace_first_touched,
					    replace_all_touched};
	struct worker *worker = &workers[0];

	worker->operate = by_touch[worker->workload->touch];
	fill(worker);
	measure(worker);
	print_figure("pair", "ns", median(worker->costs, worker->nr_costs));
}

static void *measure_in_step(void *argument)
{
	struct worker *worker = argument;

	stay_on_processor((int)(worker - workers));
	worker->operate = replace_untouched;
	fill(worker);
	pthread_barrier_wait(&start_line);
	measure(worker);
	return NULL;
}

/* The mean of the threads: what a pair costs the thread that asks for it. */
static void measure_two_threads(void)
{
	pthread_t threads[NR_THREADS];
	double sum = 0;

	pthread_barrier_init(&start_line, NULL, NR_THREADS);
	for (size_t i = 0; i < NR_THREADS; i++)
		if (pthread_create(&threads[i], NULL, measure_in_step, &workers[i]))
			die("no thread");
	for (size_t i = 0; i < NR_THREADS; i++) {
		pthread_join(threads[i], NULL);
		sum += median(workers[i].costs, workers[i].nr_costs);
	}
	print_figure("pair", "ns", sum / NR_THREADS);
}

/* Only the first thread measures; the other keeps up with it. */
static void measure_with(operate *operate, void *(*partner)(void *))
{
	struct worker *worker = &workers[0];
	pthread_t thread;

	if (pthread_create(&thread, NULL, partner, &workers[1]))
		die("no thread");
	stay_on_processor(0);
	worker->operate = operate;
	measure(worker);
	atomic_store(&queues[0].sent, QUEUE_CLOSED);
	pthread_join(thread, NULL);
	print_figure("pair", "ns", median(worker->costs, worker->nr_costs));
}

static double asked_bytes(const struct worker *worker)
{
	double sum = 0;

	for (size_t i = 0; i < NR_SLOTS; i++)
		sum += (double)worker->live[i].bytes;
	return sum;
}

/*
 * Memory held for each byte asked, once the replacements have gone on for a while. What a peer
 * holds is what of it is resident, every page having been touched. pagespan also says it itself:
 * pages of its caches are held even if nobody has touched them.
 */
static void measure_memory_held(void)
{
	struct worker *worker = &workers[0];
	double before = resident_bytes();
	double resident[HELD_SAMPLES];
#ifdef SUBJECT_PAGESPAN
	double accounted[HELD_SAMPLES];
#endif

	measure_one_thread();
	for (size_t i = 0; i < HELD_SAMPLES; i++) {
		replace_all_touched(worker, HELD_STEP);
		resident[i] = (resident_bytes() - before) / asked_bytes(worker);
#ifdef SUBJECT_PAGESPAN
		accounted[i] = accounted_bytes() / asked_bytes(worker);
#endif
	}
	print_figure("memory resident / asked", "1", median(resident, HELD_SAMPLES));
#ifdef SUBJECT_PAGESPAN
	print_figure("memory accounted / asked", "1", median(accounted, HELD_SAMPLES));
#endif
}

static void measure_shape(enum shape shape)
{
	switch (shape) {
	case ONE_THREAD:
		measure_one_thread();
		break;
	case TWO_THREADS:
		measure_two_threads();
		break;
	case EXCHANGED:
		measure_with(exchange_parcels, partner_that_exchanges);
		break;
	case ONE_WAY:
		measure_with(send_parcels, partner_that_frees);
		break;
	case MEMORY_HELD:
		measure_memory_held();
		break;
	}
}

int measure_workload(char **arguments)
{
	const struct workload *workload = workloads;
	const struct workload *end = workloads + ARRAY_SIZE(workloads);

	while (workload < end && strcmp(workload->name, arguments[0]) != 0)
		workload++;
	if (workload == end) {
		fprintf(stderr, "bench-span: no workload '%s'\n", arguments[0]);
		return 2;
	}
	for (size_t i = 0; i < NR_THREADS; i++) {
		workers[i].workload = workload;
		draw_steps(&workers[i]);
		workers[i].budget_ns = strtoull(arguments[1], NULL, 0) * 1000000;
	}
	measure_shape(workload->shape);
	return 0;
}

int print_workloads(char **arguments)
{
	(void)arguments;
	for (size_t i = 0; i < ARRAY_SIZE(workloads); i++)
		puts(workloads[i].name);
	return 0;
}
