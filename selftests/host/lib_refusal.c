// SPDX-License-Identifier: MIT
/*
 * What is refused, and that nothing else is: the same on both backends. Each test makes its process
 * anew, with a pool and a limit of its own.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pagespan.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "../in_child.h"
#include "harness.h"

#define PAGE PS_PAGE_SIZE
#define MIB  ((size_t)1 << 20)

/* Of a size that no cache takes. */
#define SMALL (3 * MIB)

static struct ps_stats stats(void)
{
	struct ps_stats now = {0};

	if (ps_stats(&now, sizeof(now)))
		abort();
	return now;
}

/* Of the memory backend; the device has what it has. */
static void begin(const char *memory_mb, uint64_t limit)
{
	setenv("PAGESPAN_MEMORY_MB", memory_mb, 1);
	if (!ps_backend() || ps_limit_set(limit))
		_exit(100);
}

/* ---- requests that fail beside requests that fit -------------------------------------------- */

static _Atomic bool enough;
static _Atomic size_t nr_refused;

static void *ask_for_too_much(void *arg)
{
	while (!enough) {
		if (ps_span_alloc(*(size_t *)arg))
			abort();
		nr_refused++;
	}
	return NULL;
}

/* More spans than any pool has. */
static void *ask_for_too_many(void *arg)
{
	enum { COUNT = 1 << 17 };
	static void *spans[COUNT];

	(void)arg;
	while (!enough) {
		if (ps_span_alloc_bulk(64 * PAGE, COUNT, spans) != -ENOMEM)
			abort();
		nr_refused++;
	}
	return NULL;
}

/* How many of so many spans that fit, and more, were refused while a thread was refused often. */
static int nr_refused_beside(void *(*other)(void *), size_t bytes, int rounds)
{
	pthread_t thread;
	int refused = 0;

	if (pthread_create(&thread, NULL, other, &bytes))
		abort();
	while (rounds-- > 0 || nr_refused < 100) {
		void *spans[2] = {ps_span_alloc(SMALL), ps_span_alloc(SMALL)};

		for (int i = 0; i < 2; i++) {
			refused += !spans[i];
			if (spans[i])
				ps_span_free(spans[i], SMALL);
		}
	}
	enough = true;
	pthread_join(thread, NULL);
	return refused < 100 ? refused : 99;
}

TEST(request_above_the_limit_makes_no_other_fail)
{
	EXPECT_EQ(0, IN_CHILD(begin("64", 2 * SMALL);
			      _exit(nr_refused_beside(ask_for_too_much, PS_SPAN_MAX, 20000))));
}

/* Within the limit, but for that the pool has no run so long. */
TEST(request_without_a_run_makes_no_other_fail_at_the_limit)
{
	EXPECT_EQ(0, IN_CHILD({
		begin("64", PS_SPAN_MAX + SMALL);
		if (stats().bytes_pool > PS_SPAN_MAX)
			_exit(0);
		_exit(nr_refused_beside(ask_for_too_much, PS_SPAN_MAX, 20000));
	}));
}

TEST(request_for_too_many_spans_makes_no_other_fail)
{
	EXPECT_EQ(0, IN_CHILD(begin("64", UINT64_MAX);
			      _exit(nr_refused_beside(ask_for_too_many, 0, 100))));
}

TEST(what_is_refused_counts_nowhere)
{
	EXPECT_EQ(0, IN_CHILD({
		begin("64", PS_SPAN_MAX);
		if (stats().bytes_pool > PS_SPAN_MAX)
			_exit(0);
		if (ps_span_alloc(PS_SPAN_MAX) || stats().bytes_peak || stats().bytes_held)
			_exit(1);
	}));
}

TEST_HARNESS_MAIN
