// SPDX-License-Identifier: MIT
/*
 * How much the caches of a process may hold, and that none of it is ever missing: the same on both
 * backends.
 */
#define _GNU_SOURCE
#include <errno.h>

#include "../in_child.h"
#include "../random.h"
#include "../harness.h"
#include "spans.h"

#define NR_IDLE 32

/* What may be too many for a moment, when less is held than was. */
#define GONE_LATER (8 * MIB)

static uint64_t smaller(uint64_t one, uint64_t other)
{
	return one < other ? one : other;
}

static uint64_t beyond(uint64_t bytes, uint64_t most)
{
	return bytes > most ? bytes - most : 0;
}

/* How much more is cached than may be, by CPUs and behind them. */
static uint64_t bytes_too_many(void)
{
	struct ps_stats now = stats();
	uint64_t most = nr_cpus() * 2 * MIB + now.bytes_held / 16;

	if (!on_device())
		most = smaller(nr_cpus() * 2 * MIB + 96 * MIB + now.bytes_held / 4,
			       now.bytes_pool / 4);
	/* What a cache takes at once is held no more, and nobody looks at what is kept then. */
	return beyond(now.bytes_cached, most + (on_device() ? MIB / 2 : 0));
}

/* ---- threads that sleep --------------------------------------------------------------------- */

static pthread_barrier_t lived, seen;
static pthread_mutex_t turn = PTHREAD_MUTEX_INITIALIZER;

/* Spans of every size, all freed. */
static void live(void)
{
	for (size_t pages = 9; pages <= 200; pages++)
		burst(pages * PAGE, pages <= 32 ? 128 / pages : 2);
}

static void *live_and_sleep(void *cpu)
{
	stay_on((int)(uintptr_t)cpu);
	pthread_mutex_lock(&turn);
	live();
	pthread_mutex_unlock(&turn);
	pthread_barrier_wait(&lived);
	pthread_barrier_wait(&seen);
	return NULL;
}

static void start_idle(pthread_t *threads)
{
	pthread_barrier_init(&lived, NULL, NR_IDLE + 1);
	pthread_barrier_init(&seen, NULL, NR_IDLE + 1);
	for (uintptr_t i = 0; i < NR_IDLE; i++)
		if (pthread_create(&threads[i], NULL, live_and_sleep, (void *)i))
			abort();
	pthread_barrier_wait(&lived);
}

static void end_idle(pthread_t *threads)
{
	pthread_barrier_wait(&seen);
	for (int i = 0; i < NR_IDLE; i++)
		pthread_join(threads[i], NULL);
}

TEST(threads_that_sleep_strand_nothing)
{
	pthread_t threads[NR_IDLE];
	size_t longest;

	begin("256");
	longest = longest_span();
	for (int limited = 0; limited < 2; limited++) {
		start_idle(threads);
		if (limited)
			ASSERT_EQ(0, ps_limit_set(longest));
		EXPECT_EQ(0, bytes_too_many());
		for (size_t bytes = PAGE; bytes < longest; bytes *= 4)
			EXPECT_TRUE(can_have(bytes));
		EXPECT_TRUE(can_have(longest));
		end_idle(threads);
	}
}

TEST(trim_reaches_what_threads_that_sleep_had)
{
	pthread_t threads[NR_IDLE];

	begin("256");
	start_idle(threads);
	EXPECT_EQ(0, ps_trim(0));
	EXPECT_EQ(0, stats().bytes_cached);
	EXPECT_EQ(0, stats().bytes_held);
	end_idle(threads);
}

/* ---- bounds --------------------------------------------------------------------------------- */

static void churn(void *random)
{
	for (int i = 0; i < 300; i++) {
		size_t pages = 1 + random_below(random, i % 8 ? 40 : 700);

		burst(pages * PAGE, 1 + random_below(random, 1 + 600 / pages));
	}
}

TEST(what_is_cached_is_bounded_by_cpus_and_by_what_is_held)
{
	static const size_t held[] = {0, 16, 40, 0};
	static void *spans[8];
	uint64_t random = 1;

	begin("1024");
	for (size_t i = 0; i < ARRAY_SIZE(held); i++) {
		size_t bytes = held[i] * MIB / 8;

		if (bytes)
			alloc_all(bytes, 8, spans);
		for (int round = 0; round < 2; round++) {
			for (uint64_t cpu = 0; cpu < nr_cpus(); cpu++)
				on_cpu(cpu, churn, &random);
			EXPECT_GE(GONE_LATER, bytes_too_many());
		}
		if (bytes)
			free_all(bytes, 8, spans);
	}
}

TEST(what_is_cached_is_bounded_whatever_the_sizes)
{
	begin("1024");
	for (size_t pages = 1; pages <= 600; pages++) {
		burst(pages * PAGE, 6);
		ASSERT_EQ(0, bytes_too_many());
	}
	if (on_device())
		return;
	burst(8 * MIB, 30);
	EXPECT_EQ(0, bytes_too_many());
	burst(200 * MIB, 1);
	EXPECT_EQ(0, bytes_too_many());
}

static bool never_caches_more_than(uint64_t most)
{
	uint64_t random = 2, excess = 0, now;

	for (uint64_t cpu = 0; cpu < nr_cpus(); cpu++) {
		on_cpu(cpu, churn, &random);
		now = beyond(stats().bytes_cached, most);
		excess = now > excess ? now : excess;
	}
	for (size_t pages = 1; pages <= 600; pages += 7) {
		burst(pages * PAGE, 6);
		now = beyond(stats().bytes_cached, most);
		excess = now > excess ? now : excess;
	}
	if (excess)
		fprintf(stderr, "# %llu bytes more than %llu are cached\n",
			(unsigned long long)excess, (unsigned long long)most);
	return !excess;
}

TEST(cache_mb_is_the_most_that_is_cached)
{
	static const char *const most[] = {"1", "8", "100"};

	for (size_t i = 0; i < ARRAY_SIZE(most); i++) {
		EXPECT_EQ(0, IN_CHILD({
				  setenv("PAGESPAN_CACHE_MB", most[i], 1);
				  begin("1024");
				  _exit(!never_caches_more_than(atoi(most[i]) * MIB));
			  }));
	}
}

TEST(cache_mb_of_zero_caches_nothing)
{
	setenv("PAGESPAN_CACHE_MB", "0", 1);
	begin("1024");
	EXPECT_TRUE(never_caches_more_than(0));
	EXPECT_EQ(0, stats().cache_hits);
	EXPECT_EQ(0, stats().handovers);
}

TEST(cache_bytes_counts_before_the_environment)
{
	struct ps_config config = {.cache_bytes = 3 * MIB + PAGE};
	bool cached = something_is_cached();

	EXPECT_EQ(0, IN_CHILD({
			  setenv("PAGESPAN_CACHE_MB", "0", 1);
			  if (ps_init(&config, sizeof(config)))
				  _exit(1);
			  if (!never_caches_more_than(3 * MIB + PAGE))
				  _exit(2);
			  ps_trim(0);
			  if (something_is_cached() != cached)
				  _exit(3);
		  }));
}

/* More than by itself is kept, where it may. */
TEST(cache_bytes_may_be_more_than_the_default)
{
	struct ps_config config = {.memory_bytes = 1024 * MIB, .cache_bytes = 200 * MIB};

	ASSERT_EQ(0, ps_init(&config, sizeof(config)));
	if (!something_is_cached() || on_device())
		SKIP(return, "not so much can be cached");
	burst(2 * MIB, 75);
	EXPECT_LE(150 * MIB, stats().bytes_cached);
}

static int refusal_of(const char *variable, const char *value)
{
	return IN_CHILD({
		setenv(variable, value, 1);
		errno = 0;
		_exit(ps_backend() ? 0 : errno);
	});
}

TEST(settings_that_make_no_sense_are_einval)
{
	static const struct ps_config bad[] = {
		{.cache_bytes = 1},
		{.cache_bytes = PAGE + 1},
		{.cache_bytes = (MIB << 20) + PAGE},
		{.cache_bytes = UINT64_MAX},
		{.decay_ms = 3600001},
		{.decay_ms = UINT32_MAX - 1},
		{.background = 2},
	};
	static const char *const numbers[] = {"PAGESPAN_CACHE_MB", "PAGESPAN_DECAY_MS"};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		EXPECT_EQ(-EINVAL, ps_init(&bad[i], sizeof(bad[i])));
	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
		EXPECT_EQ(EINVAL, refusal_of(numbers[i], "-1"));
		EXPECT_EQ(EINVAL, refusal_of(numbers[i], "1x"));
		EXPECT_EQ(EINVAL, refusal_of(numbers[i], "99999999999999999999"));
		EXPECT_EQ(0, refusal_of(numbers[i], "0"));
		EXPECT_EQ(0, refusal_of(numbers[i], "3600"));
	}
	EXPECT_EQ(EINVAL, refusal_of("PAGESPAN_CACHE_MB", "1048577"));
	EXPECT_EQ(EINVAL, refusal_of("PAGESPAN_DECAY_MS", "3600001"));
}

/* ---- spans that come from it ----------------------------------------------------------------- */

/* What an allocator of slabs asks for. */
TEST(aligned_spans_come_from_the_caches)
{
	enum { COUNT = 32, ROUNDS = 500 };
	void *spans[COUNT];
	struct ps_stats before, after;

	begin("1024");
	stay_on(0);
	if (!something_is_cached() || (on_device() && nr_cpus() < 2))
		SKIP(return, "not so much is cached");
	for (int round = -10; round < ROUNDS; round++) {
		if (!round)
			before = stats();
		for (int i = 0; i < COUNT; i++) {
			spans[i] = ps_span_alloc_ex(64 << 10, 64 << 10, 0);
			ASSERT_NE(NULL, spans[i]);
			ASSERT_EQ(0, (uintptr_t)spans[i] % (64 << 10));
			touch(spans[i], 64 << 10);
		}
		free_all(64 << 10, COUNT, spans);
	}
	after = stats();
	EXPECT_EQ(before.refills, after.refills);
	EXPECT_LE(COUNT * ROUNDS * 8 / 10, after.cache_hits - before.cache_hits);
}

/* Random ones of those that live are replaced by others; the clock does not come between. */
TEST(small_spans_leave_room_for_large_ones_in_what_is_kept)
{
	enum { COUNT = 256, WARM_UP = 200000, STEPS = 1000000 };
	static const size_t pages[] = {1, 1, 1, 1, 1, 1, 16, 16, 16, 512};
	static struct { void *start; size_t bytes; } spans[COUNT];
	struct ps_stats before = {0}, after;
	uint64_t random = 3;

	setenv("PAGESPAN_DECAY_MS", "3600000", 1);
	begin("1024");
	stay_on(0);
	if (on_device() || !something_is_cached())
		SKIP(return, "not so much is cached");
	for (int step = -WARM_UP; step < STEPS; step++) {
		size_t slot = random_below(&random, COUNT);

		if (!step)
			before = stats();
		if (spans[slot].start)
			ASSERT_EQ(0, ps_span_free(spans[slot].start, spans[slot].bytes));
		spans[slot].bytes = pages[random_below(&random, ARRAY_SIZE(pages))] * PAGE;
		spans[slot].start = ps_span_alloc(spans[slot].bytes);
		ASSERT_NE(NULL, spans[slot].start);
	}
	after = stats();
	EXPECT_GE(STEPS / 50000, after.refills - before.refills);
}

TEST_HARNESS_MAIN
