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
#include "../harness.h"

#define PAGE      PS_PAGE_SIZE
#define MIB       ((size_t)1 << 20)
#define MEGABLOCK (512 * PAGE)

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

TEST(limit_of_zero_is_none)
{
	EXPECT_EQ(0, IN_CHILD({
		begin("64", 4 * PAGE);
		if (ps_span_alloc(SMALL) || errno != ENOMEM)
			_exit(1);
		if (ps_limit_set(0) || stats().bytes_limit != UINT64_MAX || !ps_span_alloc(SMALL))
			_exit(2);
	}));
	EXPECT_EQ(0, IN_CHILD({
		struct ps_config config = {.limit_bytes = 0};

		if (ps_init(&config, sizeof(config)) || stats().bytes_limit != UINT64_MAX ||
		    !ps_span_alloc(SMALL))
			_exit(1);
	}));
}

/* ---- alignment ------------------------------------------------------------------------------ */

static bool is_aligned(const void *span)
{
	return span && (uintptr_t)span % MEGABLOCK == 0;
}

/* Takes all that is left of the pool, in pieces. */
static void fill_pool(void)
{
	size_t bytes = 64 * MIB;

	while (bytes >= PAGE)
		if (!ps_span_alloc(bytes))
			bytes /= 2;
}

TEST(run_that_is_long_enough_is_given_however_it_is_aligned)
{
	static const size_t pages[] = {1, 511, 512, 513, 600, 1022};

	EXPECT_EQ(0, IN_CHILD({
		char *span;

		begin("16", UINT64_MAX);
		span = ps_span_alloc_ex(2 * MEGABLOCK, MEGABLOCK, 0);
		fill_pool();
		if (ps_span_free(span + PAGE, 2 * MEGABLOCK - 2 * PAGE))
			_exit(1);
		for (size_t i = 0; i < ARRAY_SIZE(pages); i++) {
			char *given = ps_span_alloc(pages[i] * PAGE);
			void *many[1];

			if (!given || ps_span_free(given, pages[i] * PAGE) || ps_trim(0))
				_exit(2 + i);
			if (ps_span_alloc_bulk(pages[i] * PAGE, 1, many) ||
			    ps_span_free(many[0], pages[i] * PAGE) || ps_trim(0))
				_exit(10 + i);
		}
		/* What has to be aligned is refused. */
		if (ps_span_alloc_ex(MEGABLOCK, MEGABLOCK, 0) || errno != ENOMEM ||
		    ps_span_alloc_ex(MEGABLOCK, 0, PS_HUGE) || errno != ENOMEM)
			_exit(20);
	}));
}

TEST(what_was_freed_unaligned_does_not_serve_what_is_to_be_aligned)
{
	static const size_t sizes[] = {MEGABLOCK, 2 * MEGABLOCK};

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		size_t bytes = sizes[i];

		EXPECT_EQ(0, IN_CHILD({
			char *span;

			begin("256", UINT64_MAX);
			/* Once before, so that the size is being cached. */
			span = ps_span_alloc(bytes);
			if (!span || ps_span_free(span, bytes))
				_exit(1);
			span = ps_span_alloc_ex(2 * bytes, MEGABLOCK, 0);
			if (!span || ps_span_free(span + PAGE, bytes))
				_exit(2);
			for (int round = 0; round < 2; round++) {
				if (!is_aligned(ps_span_alloc_ex(bytes, MEGABLOCK, 0)) ||
				    !is_aligned(ps_span_alloc_ex(bytes, 16 * PAGE, 0)) ||
				    !is_aligned(ps_span_alloc_ex(bytes, 0, PS_HUGE)) ||
				    !is_aligned(ps_span_alloc(bytes)))
					_exit(3);
				ps_trim(0);
			}
		}));
	}
}

/* What could not be aligned itself is no better the next time, once there is a better place. */
TEST(span_that_was_given_unaligned_does_not_come_again)
{
	EXPECT_EQ(0, IN_CHILD({
		char *span;
		char *given;
		char *better;

		begin("16", UINT64_MAX);
		better = ps_span_alloc_ex(MEGABLOCK, MEGABLOCK, 0);
		span = ps_span_alloc_ex(2 * MEGABLOCK, MEGABLOCK, 0);
		fill_pool();
		ps_span_free(span + PAGE, 2 * MEGABLOCK - 2 * PAGE);
		given = ps_span_alloc(MEGABLOCK);
		if (!given || is_aligned(given) || ps_span_free(given, MEGABLOCK))
			_exit(1);
		for (size_t page = 0; page < 512; page++)
			if (ps_span_free(better + page * PAGE, PAGE))
				_exit(2);
		for (int round = 0; round < 3; round++) {
			given = ps_span_alloc_ex(MEGABLOCK, MEGABLOCK, 0);
			if (given != better || ps_span_free(given, MEGABLOCK))
				_exit(3);
			given = ps_span_alloc(MEGABLOCK);
			if (!is_aligned(given) || ps_span_free(given, MEGABLOCK))
				_exit(4);
		}
	}));
}

TEST_HARNESS_MAIN
