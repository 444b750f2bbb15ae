// SPDX-License-Identifier: MIT
/*
 * When memory is short, what the process keeps goes back before its time. Each test makes a child
 * of its own, with files of its cgroup that say what the test wants.
 */
#define _GNU_SOURCE
#include <errno.h>

#include "../in_child.h"
#include "cgroup_files.h"
#include "../harness.h"
#include "spans.h"

#define LIMIT    "268435456\n"
#define FAR      "file 268000000\nanon 100000000\nfile 268000000\n"
#define NEAR     "file 1000000\nanon 260000000\nfile 1000000\n"
#define OLD_FAR  "rss 260000000\ntotal_cache 160000000\ntotal_rss 100000000\n"
#define OLD_NEAR "rss 100000000\ntotal_cache 1000000\ntotal_rss 260000000\n"
#define CALM                                                                                 \
	"some avg10=0.00 avg60=0.00 avg300=0.00 total=1000000\nfull avg10=90.00 avg60=0.00 " \
	"avg300=0.00 total=0\n"
#define STALLED                                                                             \
	"some avg10=0.00 avg60=0.00 avg300=0.00 total=3000000\nfull avg10=0.00 avg60=0.00 " \
	"avg300=0.00 total=0\n"

/* In no other way does anything go back within the test. */
#define DECAY_MS "4000"
#define QUARTER  1100

static char group[600];

static bool unified(void)
{
	return find_group("/sys/fs/cgroup", "::", group, sizeof(group));
}

static bool old_controller(void)
{
	return find_group("/sys/fs/cgroup/memory", ":memory:", group, sizeof(group));
}

/* With a limit, in a group far from it, where nobody waits. */
static void begin_in_group(void)
{
	setenv("PAGESPAN_BACKEND", "memory", 1);
	setenv("PAGESPAN_DECAY_MS", DECAY_MS, 1);
	write_file(group, "memory.max", LIMIT);
	write_file(group, "memory.limit_in_bytes", LIMIT);
	write_file(group, "memory.pressure", CALM);
	if (!ps_backend())
		_exit(100);
	burst(64 << 10, 512);
	if (stats().bytes_cached < 16 * MIB)
		_exit(101);
}

/* What is cached when the next quarter of the time has begun. */
static uint64_t cached_in_next_quarter(void)
{
	sleep_ms(QUARTER);
	burst(513 * PAGE, 1);
	return stats().bytes_cached;
}

#define IN_GROUP(find, code)                                                      \
	do {                                                                      \
		int ret;                                                          \
										  \
		if (!find())                                                      \
			SKIP(return, "there is no such cgroup");                  \
		ret = IN_CHILD({                                                  \
			hide_cgroups();                                           \
			code;                                                     \
		});                                                               \
		if (ret == CGROUPS_STAY)                                          \
			SKIP(return, "this needs the right to mount");            \
		EXPECT_EQ(0, ret);                                                \
	} while (0)

static void expect_kept(bool kept)
{
	uint64_t cached = cached_in_next_quarter();

	if (kept ? cached < 16 * MIB : cached > 4 * MIB)
		_exit(kept ? 1 : 2);
}

TEST(what_is_cached_stays_as_long_as_nothing_is_short)
{
	IN_GROUP(unified, {
		write_file(group, "memory.stat", FAR);
		begin_in_group();
		expect_kept(true);
	});
}

TEST(what_is_cached_goes_back_when_a_limit_is_near)
{
	IN_GROUP(unified, {
		write_file(group, "memory.stat", FAR);
		begin_in_group();
		write_file(group, "memory.stat", NEAR);
		errno = 17;
		expect_kept(false);
		if (errno != 17)
			_exit(3);
	});
}

TEST(what_is_cached_goes_back_when_a_limit_of_the_old_controller_is_near)
{
	IN_GROUP(old_controller, {
		write_file(group, "memory.stat", OLD_FAR);
		begin_in_group();
		expect_kept(true);
		write_file(group, "memory.stat", OLD_NEAR);
		expect_kept(false);
	});
}

TEST(what_is_cached_goes_back_when_tasks_wait_for_memory)
{
	IN_GROUP(unified, {
		write_file(group, "memory.stat", FAR);
		begin_in_group();
		expect_kept(true);
		write_file(group, "memory.pressure", STALLED);
		expect_kept(false);
	});
}

/* Numbers that the program has given to files of its own are not read. */
TEST(files_that_the_program_has_closed_say_nothing)
{
	IN_GROUP(unified, {
		write_file(group, "memory.stat", FAR);
		begin_in_group();
		close_range(3, ~0U, 0);
		write_file(group, "memory.stat", NEAR);
		expect_kept(true);
	});
}

TEST_HARNESS_MAIN
