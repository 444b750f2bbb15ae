// SPDX-License-Identifier: MIT
/*
 * What the clock does to pages that the process keeps: what is idle goes back, and what recurs
 * stays. How much memory a process has is asked on the memory backend alone.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <signal.h>

#include "../in_child.h"
#include "../harness.h"
#include "spans.h"

#ifdef __SANITIZE_ADDRESS__
#define SANITIZED true
#else
#define SANITIZED false
#endif

#define SKIP_IF_SANITIZED()                                                 \
	do {                                                                \
		if (SANITIZED)                                              \
			SKIP(return, "the shadow of what was freed stays"); \
	} while (0)

#define SOON_MS 200
#define SLACK   (3 * MIB)

/* Of what the process may go on keeping when it needs nothing. */
static uint64_t most_idle(void)
{
	return nr_cpus() * 2 * MIB + SLACK;
}

static void begin_with(const char *variable, const char *value)
{
	setenv(variable, value, 1);
	begin("1024");
}

/* Too large for the cache of any CPU. */
static void call_the_long_way(void)
{
	burst(513 * PAGE, 1);
}

static bool burst_is_over(uint64_t before)
{
	return stats().bytes_cached <= most_idle() &&
	       (on_device() || resident() <= before + most_idle());
}

/* The pool of the device may be small. */
static void large_burst(void)
{
	burst(64 << 10, stats().bytes_pool < 1024 * MIB ? 256 : 4096);
}

static bool is_over_within(uint64_t before, int ms, void (*meanwhile)(void))
{
	for (int waited = 0; waited < ms; waited += 10) {
		sleep_ms(10);
		if (meanwhile)
			meanwhile();
		if (burst_is_over(before))
			return true;
	}
	return false;
}

TEST(what_is_idle_goes_back_by_itself)
{
	uint64_t before;

	SKIP_IF_SANITIZED();
	begin_with("PAGESPAN_DECAY_MS", "200");
	call_the_long_way();
	for (int round = 0; round < 3; round++) {
		before = resident();
		large_burst();
		EXPECT_TRUE(is_over_within(before, 30 * SOON_MS, call_the_long_way));
	}
}

TEST(what_goes_back_for_its_age_is_counted)
{
	struct ps_stats before;

	begin_with("PAGESPAN_DECAY_MS", "50");
	if (!something_is_cached() || on_device())
		SKIP(return, "so much is never kept");
	burst(MIB, 20);
	before = stats();
	EXPECT_LE(10 * MIB, before.bytes_cached);
	EXPECT_TRUE(is_over_within(resident(), 3000, call_the_long_way));
	EXPECT_LE(before.purges + before.bytes_cached - most_idle(), stats().purges);
}

TEST(nothing_goes_back_before_its_time)
{
	uint64_t cached;

	begin_with("PAGESPAN_DECAY_MS", "60000");
	burst(513 * PAGE, 1);
	cached = stats().bytes_cached;
	for (int i = 0; i < 50; i++) {
		sleep_ms(10);
		call_the_long_way();
	}
	EXPECT_EQ(cached, stats().bytes_cached);
	EXPECT_EQ(0, stats().purges);
}

/* In every window of the clock so much is needed, and no more. */
TEST(what_is_needed_stays_while_the_rest_goes)
{
	enum { NEEDED = 16 };
	long faults;

	/* Long enough for a machine that is busy. */
	begin_with("PAGESPAN_DECAY_MS", "1000");
	if (!something_is_cached() || on_device())
		SKIP(return, "so much is never kept");
	burst(MIB, 3 * NEEDED);
	for (int i = 0; i < 120; i++) {
		burst(MIB, NEEDED);
		sleep_ms(20);
	}
	EXPECT_GE(NEEDED * MIB + most_idle(), stats().bytes_cached);
	faults = nr_faults();
	for (int i = 0; i < 40; i++) {
		burst(MIB, NEEDED);
		sleep_ms(20);
	}
	EXPECT_GE(40 * NEEDED * 256 / 50, nr_faults() - faults);
}

/* A CPU on which little is done is not idle, and needs little. */
TEST(what_is_cached_of_other_sizes_goes_back_too)
{
	static const size_t pages[] = {3, 16, 64, 200, 512};

	begin_with("PAGESPAN_DECAY_MS", "400");
	stay_on(0);
	if (!something_is_cached() || on_device())
		SKIP(return, "so much is never kept");
	for (size_t i = 0; i < ARRAY_SIZE(pages); i++)
		burst(pages[i] * PAGE, 16384 / pages[i]);
	for (int i = 0; i < 150; i++) {
		burst(PAGE, 1);
		sleep_ms(10);
	}
	EXPECT_GE(most_idle(), stats().bytes_cached);
}

/* ---- bursts --------------------------------------------------------------------------------- */

TEST(burst_that_recurs_does_not_fault_again)
{
	static const struct {
		size_t pages, count;
	} bursts[] = {
		{1, 64},  {1, 256}, {1, 4096}, {16, 8},  {16, 24},  {64, 2},
		{64, 8},  {64, 64}, {256, 2},  {256, 8}, {512, 8},  {512, 32},
		{513, 1}, {513, 8}, {768, 1},  {768, 4}, {5120, 1}, {16384, 1},
	};

	/* Long enough for a machine that is busy. */
	begin_with("PAGESPAN_DECAY_MS", "20000");
	if (!something_is_cached() || on_device())
		SKIP(return, "so much is never kept");
	for (size_t i = 0; i < ARRAY_SIZE(bursts); i++) {
		size_t bytes = bursts[i].pages * PAGE, count = bursts[i].count;
		long faults;

		/* What CPUs cache of other sizes goes after a time that is long here. */
		ps_trim(0);
		for (int round = 0; round < 3; round++)
			burst(bytes, count);
		faults = nr_faults();
		for (int round = 0; round < 10; round++)
			burst(bytes, count);
		faults = nr_faults() - faults;
		EXPECT_GE((long)(10 * count * bursts[i].pages / 100 + 4), faults)
		TH_LOG("%zu spans of %zu pages: %ld faults in 10 rounds", count, bursts[i].pages,
		       faults);
	}
}

/* ---- at once -------------------------------------------------------------------------------- */

static bool keeps_nothing(void)
{
	static const size_t pages[] = {1, 16, 256, 513, 4000};
	uint64_t before;

	call_the_long_way();
	before = resident();
	for (size_t i = 0; i < ARRAY_SIZE(pages); i++) {
		burst(pages[i] * PAGE, 5000 / pages[i]);
		if (stats().bytes_kept || !burst_is_over(before))
			return false;
	}
	return true;
}

TEST(decay_of_zero_keeps_nothing)
{
	SKIP_IF_SANITIZED();
	begin_with("PAGESPAN_DECAY_MS", "0");
	EXPECT_TRUE(keeps_nothing());
}

TEST(decay_at_once_keeps_nothing)
{
	struct ps_config config = {.memory_bytes = 1024 * MIB, .decay_ms = PS_DECAY_AT_ONCE};

	SKIP_IF_SANITIZED();
	setenv("PAGESPAN_DECAY_MS", "60000", 1);
	ASSERT_EQ(0, ps_init(&config, sizeof(config)));
	EXPECT_TRUE(keeps_nothing());
}

TEST(reclaim_leaves_no_memory_with_the_process)
{
	uint64_t before, cached;

	SKIP_IF_SANITIZED();
	begin("1024");
	call_the_long_way();
	ps_trim(0);
	before = resident();
	burst(64 << 10, 500);
	burst(PAGE, 3000);
	cached = stats().bytes_cached;
	EXPECT_EQ(cached, ps_reclaim());
	EXPECT_EQ(0, stats().bytes_cached);
	if (!on_device())
		EXPECT_GE(before + MIB, resident());
}

/* ---- the library's own thread --------------------------------------------------------------- */

static int nr_tasks(void)
{
	DIR *tasks = opendir("/proc/self/task");
	struct dirent *task;
	int count = 0;

	while ((task = readdir(tasks)))
		count += task->d_name[0] != '.';
	closedir(tasks);
	return count;
}

static bool sleeper_loses_memory(void)
{
	uint64_t before = resident();

	large_burst();
	/* No call but of the counters. */
	if (!is_over_within(before, 50 * SOON_MS, NULL))
		return false;
	for (int waited = 0; stats().bytes_kept && waited < 50 * SOON_MS; waited += 10)
		sleep_ms(10);
	return !stats().bytes_kept;
}

TEST(background_thread_gives_back_what_is_idle_while_all_sleep)
{
	struct ps_config config = {.memory_bytes = 1024 * MIB,
				   .decay_ms = SOON_MS,
				   .background = 1};

	SKIP_IF_SANITIZED();
	ASSERT_EQ(0, ps_init(&config, sizeof(config)));
	EXPECT_TRUE(sleeper_loses_memory());
	EXPECT_EQ(2, nr_tasks());
	EXPECT_TRUE(sleeper_loses_memory());
}

TEST(background_thread_may_be_asked_for_by_the_environment)
{
	SKIP_IF_SANITIZED();
	setenv("PAGESPAN_BACKGROUND", "1", 1);
	begin_with("PAGESPAN_DECAY_MS", "200");
	EXPECT_TRUE(sleeper_loses_memory());
}

TEST(child_of_a_fork_has_a_background_thread_of_its_own)
{
	SKIP_IF_SANITIZED();
	setenv("PAGESPAN_MEMORY_MB", "1024", 1);
	setenv("PAGESPAN_BACKGROUND", "1", 1);
	setenv("PAGESPAN_DECAY_MS", "200", 1);
	for (int copy = 0; copy < 2; copy++) {
		EXPECT_EQ(0, IN_CHILD({
				  setenv("PAGESPAN_FORK", copy ? "copy" : "fresh", 1);
				  burst(MIB, 1);
				  _exit(IN_CHILD({
					  burst(MIB, 1);
					  _exit(!sleeper_loses_memory());
				  }));
			  }));
	}
}

TEST(there_is_no_thread_unless_asked_for)
{
	begin("1024");
	large_burst();
	EXPECT_EQ(1, nr_tasks());
}

/* It takes no signal that is meant for the program. */
static volatile sig_atomic_t in_program;
static pthread_t program;

static void note_thread(int number)
{
	in_program += pthread_equal(pthread_self(), program) ? 1 : 1000;
}

TEST(background_thread_takes_no_signal_of_the_programs)
{
	struct sigaction action = {.sa_handler = note_thread};

	setenv("PAGESPAN_BACKGROUND", "1", 1);
	begin_with("PAGESPAN_DECAY_MS", "20");
	program = pthread_self();
	sigaction(SIGUSR1, &action, NULL);
	for (int i = 0; i < 50; i++) {
		burst(MIB, 2);
		kill(getpid(), SIGUSR1);
		sleep_ms(2);
	}
	EXPECT_EQ(50, in_program);
}

TEST_HARNESS_MAIN
