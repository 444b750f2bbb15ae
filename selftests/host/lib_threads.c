// SPDX-License-Identifier: MIT
/*
 * What threads cost: nothing. As many as the machine allows up to MOST, each of which used a page,
 * against ten.
 */
#define _GNU_SOURCE
#include <sys/sysinfo.h>

#include "../in_child.h"
#include "../harness.h"
#include "spans.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#define MOST      200
#else
#define SANITIZED 0
#define MOST      20000
#endif
#define FEW 10

/* What is used of a thread's stack before it calls the library, so that this is not counted. */
#define STACK_USED (8 << 10)

/* What a thread may take of the machine's memory, the kernel's part with it. */
#define BYTES_OF_THREAD (128 << 10)

static pthread_t threads[MOST];
static int nr_threads;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t begun = PTHREAD_COND_INITIALIZER, arrived = PTHREAD_COND_INITIALIZER;
static int phase, nr_waiting;

static void wait_for_phase(int wanted)
{
	pthread_mutex_lock(&lock);
	nr_waiting++;
	pthread_cond_signal(&arrived);
	while (phase < wanted)
		pthread_cond_wait(&begun, &lock);
	pthread_mutex_unlock(&lock);
}

static void wait_for_threads(void)
{
	pthread_mutex_lock(&lock);
	while (nr_waiting < nr_threads)
		pthread_cond_wait(&arrived, &lock);
	pthread_mutex_unlock(&lock);
}

/* Once all of the threads wait. */
static void begin_phase(int next)
{
	wait_for_threads();
	pthread_mutex_lock(&lock);
	nr_waiting = 0;
	phase = next;
	pthread_cond_broadcast(&begun);
	pthread_mutex_unlock(&lock);
}

static void use_stack(void)
{
	volatile char frame[STACK_USED];

	for (size_t i = 0; i < sizeof(frame); i += 512)
		frame[i] = 1;
}

static void use_one_page(void)
{
	char *span = ps_span_alloc(PAGE);

	if (!span)
		abort();
	span[0] = 1;
	if (ps_span_free(span, PAGE))
		abort();
}

static void *live(void *arg)
{
	use_stack();
	wait_for_phase(1);
	use_one_page();
	wait_for_phase(2);
	return arg;
}

/* So many, or as many as there can be, use a page and sleep; bytes of memory that each took. */
static int64_t start_threads(int count)
{
	pthread_attr_t attributes;
	uint64_t before;

	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, SANITIZED ? 256 << 10 : 32 << 10);
	pthread_attr_setguardsize(&attributes, 0);
	phase = nr_waiting = nr_threads = 0;
	while (nr_threads < count && !pthread_create(&threads[nr_threads], &attributes, live, NULL))
		nr_threads++;
	wait_for_threads();
	before = resident();
	begin_phase(1);
	wait_for_threads();
	return ((int64_t)resident() - (int64_t)before) / (nr_threads + !nr_threads);
}

static void end_threads(void)
{
	begin_phase(2);
	while (nr_threads)
		pthread_join(threads[--nr_threads], NULL);
}

/* How many the kernel allows of all, which it knows from the memory that it booted with. */
static unsigned long threads_max(void)
{
	unsigned long max = 0;
	FILE *file = fopen("/proc/sys/kernel/threads-max", "r");

	if (!file || fscanf(file, "%lu", &max) != 1)
		abort();
	fclose(file);
	return max;
}

/* As many as there is memory for, and so few that others can start beside them. */
static int most_threads(void)
{
	unsigned long most = threads_max() / 2;
	struct sysinfo info;

	if (sysinfo(&info))
		abort();
	if (info.freeram / BYTES_OF_THREAD < most)
		most = info.freeram / BYTES_OF_THREAD;
	return most < MOST ? most : MOST;
}

/* The best of many, so that nobody else's work is in it. */
static double least_of(int rounds, double (*measure)(void))
{
	double least = 1e9;

	while (rounds--) {
		double seconds = measure();

		if (seconds < least)
			least = seconds;
	}
	return least;
}

static double time_pairs(void)
{
	double before = seconds_of(CLOCK_MONOTONIC);

	for (int i = 0; i < 1000; i++)
		use_one_page();
	return (seconds_of(CLOCK_MONOTONIC) - before) / 1000;
}

static double time_stats(void)
{
	double before = seconds_of(CLOCK_MONOTONIC);

	for (int i = 0; i < 10; i++)
		stats();
	return (seconds_of(CLOCK_MONOTONIC) - before) / 10;
}

static void *time_first_pair(void *seconds)
{
	double before = seconds_of(CLOCK_MONOTONIC);

	use_one_page();
	*(double *)seconds = seconds_of(CLOCK_MONOTONIC) - before;
	return NULL;
}

static double time_first(void)
{
	double seconds = 1;
	pthread_t thread;

	if (pthread_create(&thread, NULL, time_first_pair, &seconds))
		return 1;
	pthread_join(thread, NULL);
	return seconds;
}

/* Of @times as much as with few threads, and of @besides in any case. */
static const struct {
	const char *name;
	int rounds;
	double (*measure)(void);
	double times;
	double besides;
} costs[] = {
	{"a pair", 100, time_pairs, 1.5, 50e-9},
	{"ps_stats", 50, time_stats, 1.5, 50e-6},
	{"the first pair of a thread", 50, time_first, 1.5, 20e-6},
};

TEST(many_threads_cost_no_more_than_few)
{
	double few[ARRAY_SIZE(costs)];
	int64_t bytes;

	begin("1024");
	use_one_page();
	start_threads(FEW);
	for (size_t i = 0; i < ARRAY_SIZE(costs); i++)
		few[i] = least_of(costs[i].rounds, costs[i].measure);
	end_threads();
	bytes = start_threads(most_threads());
	TH_LOG("%d threads of %d, each took %ld bytes", nr_threads, MOST, (long)bytes);
	ASSERT_LE(100, nr_threads);
	for (size_t i = 0; i < ARRAY_SIZE(costs); i++) {
		double many = least_of(costs[i].rounds, costs[i].measure);

		TH_LOG("%s: %.0f ns with %d threads, %.0f with %d", costs[i].name, few[i] * 1e9,
		       FEW, many * 1e9, nr_threads);
		EXPECT_TRUE(many <= few[i] * costs[i].times + costs[i].besides);
	}
	if (!SANITIZED)
		EXPECT_GE(8 << 10, bytes);
	EXPECT_GE(nr_cpus(), stats().caches);
	EXPECT_GE(nr_cpus() * 2 * MIB, stats().bytes_cached - stats().bytes_kept);
	end_threads();
}

/* ---- threads that end ----------------------------------------------------------------------- */

static void *allocate_and_free(void *arg)
{
	for (size_t pages = 1; pages < 40; pages += 6)
		burst(pages * PAGE, 30);
	return arg;
}

TEST(thread_that_has_ended_leaves_nothing)
{
	struct ps_stats before;
	pthread_t thread;

	stats();
	before = stats();
	for (int i = 0; i < 20; i++) {
		ASSERT_EQ(0, pthread_create(&thread, NULL, allocate_and_free, NULL));
		ASSERT_EQ(0, pthread_join(thread, NULL));
		EXPECT_EQ(0, stats().bytes_held);
	}
	EXPECT_EQ(before.spans_allocated + 20 * 7 * 30, stats().spans_allocated);
	EXPECT_EQ(before.spans_freed + 20 * 7 * 30, stats().spans_freed);
	ps_trim(0);
	EXPECT_EQ(0, stats().bytes_cached);
}

/* Keys are destroyed in any order, and a destructor may free spans. */
static void free_late(void *span)
{
	burst(3 * PAGE, 1);
	if (ps_span_free(span, PAGE))
		abort();
}

static pthread_key_t first_key, last_keys[8];

static void *leave_spans_to_destructors(void *arg)
{
	pthread_setspecific(first_key, ps_span_alloc(PAGE));
	for (int i = 0; i < 8; i++)
		pthread_setspecific(last_keys[i], ps_span_alloc(PAGE));
	return arg;
}

TEST(destructor_that_frees_spans_leaves_nothing)
{
	pthread_t thread;

	/* One key is made before whatever the library makes, the others after it. */
	ASSERT_EQ(0, pthread_key_create(&first_key, free_late));
	stats();
	for (int i = 0; i < 8; i++) {
		ASSERT_EQ(0, pthread_key_create(&last_keys[i], free_late));
	}
	ASSERT_EQ(0, pthread_create(&thread, NULL, leave_spans_to_destructors, NULL));
	ASSERT_EQ(0, pthread_join(thread, NULL));
	EXPECT_EQ(0, stats().bytes_held);
	ps_trim(0);
	EXPECT_EQ(0, stats().bytes_cached);
}

TEST_HARNESS_MAIN
