// SPDX-License-Identifier: MIT
/*
 * Second frees: those that are seen at once are refused and change nothing, no other is ever taken
 * for one, and what comes to light later ends the process with a message.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>

#include "../in_child.h"
#include "../random.h"
#include "../harness.h"
#include "spans.h"

static bool is_refused(void *span, size_t bytes)
{
	struct ps_stats before = stats();
	bool refused = ps_span_free(span, bytes) == -EINVAL;
	struct ps_stats after = stats();

	return refused && before.spans_freed == after.spans_freed &&
	       before.bytes_held == after.bytes_held && before.bytes_cached == after.bytes_cached;
}

/* ---- seen at once --------------------------------------------------------------------------- */

/* The clock takes out of a CPU's cache what it has left alone for long. */
static void stop_the_clock(void)
{
	setenv("PAGESPAN_DECAY_MS", "3600000", 1);
}

TEST(second_free_of_what_was_freed_last_is_refused)
{
	stop_the_clock();
	stay_on(0);
	if (!something_is_cached())
		SKIP(return, "nothing is cached");
	/* Of the pool of a device larger ones may go back at once. */
	for (size_t pages = 1; pages <= (on_device() ? 8 : 512); pages++) {
		size_t bytes = pages * PAGE;
		char *span = ps_span_alloc(bytes);
		char *next, *other;

		ASSERT_NE(NULL, span);
		memset(span, 1, bytes);
		ASSERT_EQ(0, ps_span_free(span, bytes));
		ASSERT_TRUE(is_refused(span, bytes))
		TH_LOG("%zu pages", pages);
		ASSERT_TRUE(is_refused(span, bytes));
		next = ps_span_alloc(bytes);
		other = ps_span_alloc(bytes);
		ASSERT_TRUE(next + bytes <= other || other + bytes <= next);
		ASSERT_EQ(0, ps_span_free(next, bytes));
		ASSERT_EQ(0, ps_span_free(other, bytes));
		ASSERT_TRUE(is_refused(other, bytes));
	}
}

TEST(second_free_of_what_the_process_keeps_is_refused)
{
	static const size_t pages[] = {513, 600, 1024, 4096, 10000};

	begin("1024");
	if (!something_is_cached() || on_device())
		SKIP(return, "not so much is kept");
	for (size_t i = 0; i < ARRAY_SIZE(pages); i++) {
		size_t bytes = pages[i] * PAGE;
		char *span = ps_span_alloc(bytes);

		ASSERT_NE(NULL, span);
		ASSERT_EQ(0, ps_span_free(span, bytes));
		EXPECT_TRUE(is_refused(span, bytes));
		if (pages[i] > 600) {
			EXPECT_TRUE(is_refused(span + PAGE, bytes - PAGE));
			EXPECT_TRUE(is_refused(span + 7 * PAGE, 550 * PAGE));
		}
		EXPECT_EQ(span, ps_span_alloc(bytes));
		EXPECT_EQ(0, ps_span_free(span, bytes));
		ps_trim(0);
	}
}

TEST(free_of_what_is_kept_in_part_is_refused_and_changes_nothing)
{
	char *span;

	begin("1024");
	if (!something_is_cached() || on_device())
		SKIP(return, "not so much is kept");
	span = ps_span_alloc(2000 * PAGE);
	ASSERT_NE(NULL, span);
	memset(span, 0x3c, 2000 * PAGE);
	ASSERT_EQ(0, ps_span_free(span + 600 * PAGE, 700 * PAGE));
	EXPECT_TRUE(is_refused(span, 2000 * PAGE));
	EXPECT_TRUE(is_refused(span + 10 * PAGE, 591 * PAGE));
	EXPECT_TRUE(is_refused(span + 1299 * PAGE, 700 * PAGE));
	EXPECT_TRUE(is_refused(span + 1000 * PAGE, 1000 * PAGE));
	EXPECT_TRUE(holds(span, 600 * PAGE, 0x3c) && holds(span + 1300 * PAGE, 700 * PAGE, 0x3c));
	EXPECT_EQ(0, ps_span_free(span, 600 * PAGE));
	EXPECT_EQ(0, ps_span_free(span + 1300 * PAGE, 700 * PAGE));
	EXPECT_EQ(0, stats().bytes_held);
}

/* ---- seen later ----------------------------------------------------------------------------- */

static char message[4096];

/* How a child ends that runs a function; what it says on standard error is in message. */
static int end_of(void (*function)(void))
{
	int to[2], status;
	ssize_t length, all = 0;
	pid_t pid;

	if (pipe(to))
		abort();
	pid = fork();
	if (!pid) {
		struct rlimit none = {0, 0};

		setrlimit(RLIMIT_CORE, &none);
		signal(SIGABRT, SIG_DFL);
		dup2(to[1], STDERR_FILENO);
		function();
		_exit(0);
	}
	close(to[1]);
	while (all < (ssize_t)sizeof(message) - 1 &&
	       (length = read(to[0], message + all, sizeof(message) - 1 - all)) > 0)
		all += length;
	message[all] = 0;
	close(to[0]);
	waitpid(pid, &status, 0);
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

static size_t twice_pages;

/* The first of two is freed again; 42 if that is seen at once. */
static void free_twice(void)
{
	size_t bytes = twice_pages * PAGE;
	char *spans[2] = {ps_span_alloc(bytes), ps_span_alloc(bytes)};

	stay_on(0);
	if (ps_span_free(spans[0], bytes) || ps_span_free(spans[1], bytes))
		_exit(1);
	if (ps_span_free(spans[0], bytes) == -EINVAL)
		_exit(42);
	ps_trim(0);
}

/* As part of another span, which is never what was freed last of its size. */
static void free_part_twice(void)
{
	size_t bytes = twice_pages * PAGE;
	char *span = ps_span_alloc(bytes + PAGE);

	stay_on(0);
	if (ps_span_free(span, bytes + PAGE))
		_exit(1);
	if (ps_span_free(span, bytes) == -EINVAL)
		_exit(42);
	ps_trim(0);
}

/* Of what the process keeps a part that the cache of a CPU takes. */
static void free_part_of_what_is_kept(void)
{
	char *span = ps_span_alloc(1300 * PAGE);

	stay_on(0);
	if (ps_span_free(span, 1300 * PAGE))
		_exit(1);
	if (ps_span_free(span + 300 * PAGE, twice_pages * PAGE) == -EINVAL)
		_exit(42);
	ps_trim(0);
}

/* Behind all that was ever allocated. */
static void free_what_was_never_owned(void)
{
	char *span = ps_span_alloc(PAGE);

	if (ps_span_free(span + 16 * MIB, twice_pages * PAGE) == -EINVAL)
		_exit(42);
	ps_trim(0);
}

TEST(second_free_that_comes_to_light_later_aborts_with_a_message)
{
	static void (*const ways[])(void) = {free_twice, free_part_twice, free_part_of_what_is_kept,
					     free_what_was_never_owned};
	static const size_t pages[] = {1, 2, 8, 33, 100, 511, 600};

	setenv("PAGESPAN_MEMORY_MB", "64", 1);
	for (size_t way = 0; way < ARRAY_SIZE(ways); way++) {
		for (size_t i = 0; i < ARRAY_SIZE(pages); i++) {
			int end;

			twice_pages = pages[i];
			end = end_of(ways[way]);
			EXPECT_TRUE(end == 42 || end == 128 + SIGABRT)
			TH_LOG("way %zu, %zu pages: %d", way, pages[i], end);
			if (end == 128 + SIGABRT)
				EXPECT_NE(NULL, strstr(message, "pagespan: "));
		}
	}
}

/* ---- none else ------------------------------------------------------------------------------ */

/* Spans that end, or start, where another did that is cached. */
TEST(free_of_what_was_freed_as_another_span_before_is_taken)
{
	stay_on(0);
	for (size_t first = 1; first < 24; first++) {
		for (size_t all = first + 1; all <= 24; all++) {
			char *span = ps_span_alloc(all * PAGE);
			size_t pages;

			ASSERT_NE(NULL, span);
			ASSERT_EQ(0, ps_span_free(span, first * PAGE));
			ASSERT_EQ(0, ps_span_free(span + first * PAGE, (all - first) * PAGE));
			span = ps_span_alloc(first * PAGE);
			pages = ps_span_extend(span, first * PAGE, all * PAGE) ? first : all;
			ASSERT_EQ(0, ps_span_free(span, pages * PAGE));
		}
	}
	EXPECT_EQ(0, stats().bytes_held);
}

/* A window is smaller than so many pages, so that each has a place of its own. */
enum { PLACES = 1 << 20, MOST_HELD = 300 };
static uint32_t owner_of[PLACES];

static struct {
	char *start;
	uint32_t pages, number;
} held[MOST_HELD];
static uint32_t nr_held, last_number, nr_refused;

static uint32_t *owner(const char *page)
{
	return &owner_of[(uintptr_t)page / PAGE % PLACES];
}

/* Whether the pool, which is one window of the memory backend's, has a free run so long. */
static bool has_run(const char *base, size_t pool_pages, size_t pages)
{
	size_t run = 0;

	for (size_t page = 0; page < pool_pages; page++) {
		run = *owner(base + page * PAGE) ? 0 : run + 1;
		if (run >= pages)
			return true;
	}
	return false;
}

static bool take(size_t pages)
{
	char *span = ps_span_alloc(pages * PAGE);

	if (!span)
		return false;
	last_number++;
	for (size_t page = 0; page < pages; page++) {
		if (*owner(span + page * PAGE))
			abort();
		*owner(span + page * PAGE) = last_number;
		*(uint32_t *)(span + page * PAGE) = last_number;
	}
	held[nr_held].start = span;
	held[nr_held].pages = pages;
	held[nr_held++].number = last_number;
	return true;
}

/* Frees a part of a span, now and then a second time at once. */
static void give(uint64_t *random, bool again)
{
	uint32_t number = random_below(random, nr_held);
	uint32_t pages = held[number].pages;
	/* Of a span in parts two may be left for one. */
	bool whole = nr_held >= MOST_HELD - 2;
	uint32_t first = whole || random_below(random, 2) ? 0 : random_below(random, pages);
	uint32_t count = whole || random_below(random, 2) ? pages - first :
						1 + random_below(random, pages - first);
	char *start = held[number].start;
	uint32_t mark = held[number].number;

	for (uint32_t page = first; page < first + count; page++) {
		if (*(uint32_t *)(start + page * PAGE) != mark)
			abort();
		*owner(start + page * PAGE) = 0;
	}
	if (ps_span_free(start + first * PAGE, count * PAGE))
		abort();
	if (again && count <= 512) {
		nr_refused++;
		if (ps_span_free(start + first * PAGE, count * PAGE) != -EINVAL)
			abort();
	}
	held[number] = held[--nr_held];
	if (first) {
		held[nr_held].start = start;
		held[nr_held].number = mark;
		held[nr_held++].pages = first;
	}
	if (first + count < pages) {
		held[nr_held].start = start + (first + count) * PAGE;
		held[nr_held].number = mark;
		held[nr_held++].pages = pages - first - count;
	}
}

/* How a process ends that does so many operations, with a pool of 4 MiB. */
static void fuzz(uint64_t seed, size_t operations)
{
	bool cached = something_is_cached();
	uint64_t random = seed;
	char *base = on_device() ? NULL : ps_span_alloc(4 * MIB);

	if (base && ps_span_free(base, 4 * MIB))
		_exit(1);
	while (operations--) {
		size_t pages = random_below(&random, 64) ? 1 + random_below(&random, 9) :
							   1 + random_below(&random, 700);

		if (nr_held < MOST_HELD - 2 && (!nr_held || random_below(&random, 2))) {
			if (!take(pages) && base && has_run(base, 4 * MIB / PAGE, pages))
				_exit(2);
		} else {
			/* To the device what is kept may go back at once, and nobody knows it then. */
			give(&random, cached && !on_device() && !random_below(&random, 4));
		}
		if (!random_below(&random, 5000))
			ps_trim(random_below(&random, 2) * 16 * PAGE);
	}
	_exit(cached && !on_device() && !nr_refused ? 3 : 0);
}

/* Nor is anything refused that fits, whatever is cached of the pool. */
TEST(no_free_is_taken_for_a_second_one)
{
	static const char *const cache_mb[] = {"", "1", "4", "64"};
	size_t operations = on_device() ? 25000 : 250000;

	for (size_t i = 0; i < ARRAY_SIZE(cache_mb); i++) {
		EXPECT_EQ(0, IN_CHILD({
				  if (*cache_mb[i])
					  setenv("PAGESPAN_CACHE_MB", cache_mb[i], 1);
				  stop_the_clock();
				  begin("4");
				  stay_on(0);
				  fuzz(i, operations);
			  }));
	}
}

TEST_HARNESS_MAIN
