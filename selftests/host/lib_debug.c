// SPDX-License-Identifier: MIT
/* What PAGESPAN_DEBUG=1 and PAGESPAN_STATS=1 promise, the same on both backends. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pagespan.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "../in_child.h"
#include "../harness.h"

#define PAGE      PS_PAGE_SIZE
#define MEGABLOCK (512 * PAGE)

static bool on_device(void)
{
	const char *name = ps_backend();

	return name && !strcmp(name, "device");
}

static struct ps_stats stats(void)
{
	struct ps_stats now = {0};

	if (ps_stats(&now, sizeof(now)))
		abort();
	return now;
}

/* How a child ends that runs the statements, and what it says on standard error. */
#define SAYS(text, ...)								\
	({									\
		int errors_ = memfd_create("stderr", 0);			\
		int status_ = IN_CHILD(dup2(errors_, STDERR_FILENO);		\
				       signal(SIGABRT, SIG_DFL); __VA_ARGS__);	\
		ssize_t length_ = pread(errors_, text, sizeof(text) - 1, 0);	\
										\
		text[length_ < 0 ? 0 : length_] = 0;				\
		close(errors_);							\
		status_;							\
	})

FIXTURE(debug)
{
	char said[4096];
};

FIXTURE_SETUP(debug)
{
	setenv("PAGESPAN_DEBUG", "1", 1);
}

FIXTURE_TEARDOWN(debug)
{
}

/* AddressSanitizer would say so first. */
__attribute__((no_sanitize("address"))) static int touch_after_free(size_t pages, size_t at)
{
	volatile char *span = ps_span_alloc(pages * PAGE);

	signal(SIGSEGV, SIG_DFL);
	signal(SIGBUS, SIG_DFL);
	for (size_t i = 0; i < pages; i++)
		span[i * PAGE] = 1;
	if (ps_span_free((char *)span + at * PAGE, PAGE))
		return 1;
	for (size_t i = 0; i < pages; i++)
		if (i != at && span[i * PAGE] != 1)
			return 2;
	return span[at * PAGE];
}

TEST_F(debug, freed_page_faults_at_once_and_its_neighbours_do_not)
{
	int fault = 128 + (on_device() ? SIGBUS : SIGSEGV);

	EXPECT_EQ(fault, IN_CHILD(_exit(touch_after_free(1, 0))));
	EXPECT_EQ(fault, IN_CHILD(_exit(touch_after_free(7, 3))));
	EXPECT_EQ(fault, IN_CHILD(_exit(touch_after_free(600, 0))));
	EXPECT_EQ(fault, IN_CHILD(_exit(touch_after_free(600, 599))));
}

TEST_F(debug, nothing_is_cached)
{
	for (size_t pages = 1; pages < 600; pages += 99) {
		char *span = ps_span_alloc(pages * PAGE);

		ASSERT_NE(NULL, span);
		memset(span, 1, pages * PAGE);
		ASSERT_EQ(0, ps_span_free(span, pages * PAGE));
		EXPECT_EQ(0, stats().bytes_cached);
	}
	EXPECT_EQ(0, stats().bytes_held);
	EXPECT_EQ(0, stats().cache_hits);
}

TEST_F(debug, second_free_aborts_and_says_which_page)
{
	char *end;

	EXPECT_EQ(128 + SIGABRT, SAYS(self->said, {
		char *span = ps_span_alloc(8 * PAGE);

		ps_span_free(span + 5 * PAGE, PAGE);
		fprintf(stderr, "<%p>", span + 5 * PAGE);
		ps_span_free(span, 8 * PAGE);
	}));
	EXPECT_NE(NULL, strstr(self->said, "page 6 of 8"));
	EXPECT_NE(NULL, strstr(self->said, "not allocated"));
	end = strchr(self->said, '>');
	ASSERT_NE(NULL, end);
	*end = 0;
	EXPECT_NE(NULL, strstr(end + 1, self->said + 1));
}

TEST_F(debug, free_of_what_was_never_allocated_aborts)
{
	EXPECT_EQ(128 + SIGABRT, SAYS(self->said, {
		char *span = ps_span_alloc_ex(PAGE, MEGABLOCK, 0);

		ps_span_free(span + PAGE, PAGE);
	}));
	EXPECT_NE(NULL, strstr(self->said, "page 1 of 1"));
}

TEST_F(debug, free_over_several_live_spans_is_allowed)
{
	EXPECT_EQ(0, SAYS(self->said, {
		void *spans[64];
		char *least = (char *)UINTPTR_MAX;

		if (ps_span_alloc_bulk(PAGE, 64, spans))
			_exit(1);
		for (int i = 0; i < 64; i++)
			if ((char *)spans[i] < least)
				least = spans[i];
		for (int i = 0; i < 64; i++)
			if ((char *)spans[i] >= least + 64 * PAGE)
				_exit(0);
		_exit(ps_span_free(least, 64 * PAGE) != 0);
	}));
	EXPECT_STREQ("", self->said);
}

TEST_F(debug, zeroed_populated_and_extended_spans_work)
{
	char *span = ps_span_alloc_ex(20 * PAGE, MEGABLOCK, PS_ZERO | PS_POPULATE);

	ASSERT_NE(NULL, span);
	for (size_t i = 0; i < 20 * PAGE; i++)
		ASSERT_EQ(0, span[i]);
	ASSERT_EQ(0, ps_span_extend(span, 20 * PAGE, 30 * PAGE));
	memset(span, 1, 30 * PAGE);
	EXPECT_EQ(0, ps_span_free(span, 30 * PAGE));
}

TEST_F(debug, memory_that_cannot_be_protected_any_more_stays_usable)
{
	long limit = 0;
	FILE *file = fopen("/proc/sys/vm/max_map_count", "r");

	ASSERT_NE(NULL, file);
	ASSERT_EQ(1, fscanf(file, "%ld", &limit));
	fclose(file);
	if (on_device())
		SKIP(return, "the device needs no mapping for it");
	if (limit > 200000)
		SKIP(return, "too many mappings to try");
	setenv("PAGESPAN_MEMORY_MB", "2048", 1);
	EXPECT_EQ(0, SAYS(self->said, {
		size_t pages = limit + 2000;
		char *span = NULL;

		for (size_t left = pages; left;) {
			size_t part = left < 65536 ? left : 65536;
			char *next = ps_span_alloc(part * PAGE);

			if (!next || (span && next != span + (pages - left) * PAGE))
				_exit(1);
			span = span ? span : next;
			left -= part;
		}
		/* Every other page: a mapping each. */
		for (size_t i = 0; i < pages; i += 2)
			if (ps_span_free(span + i * PAGE, PAGE))
				_exit(2);
		for (size_t i = 1; i < pages; i += 2)
			span[i * PAGE] = 1;
		if (!stats().unprotected)
			_exit(3);
		for (size_t i = 1; i < pages; i += 2)
			if (ps_span_free(span + i * PAGE, PAGE))
				_exit(4);
		if (stats().bytes_held)
			_exit(5);
	}));
	EXPECT_NE(NULL, strstr(self->said, "too many mappings"));
}

TEST(statistics_are_printed_when_the_process_exits)
{
	char said[4096];

	setenv("PAGESPAN_STATS", "1", 1);
	EXPECT_EQ(3, SAYS(said, {
		ps_span_free(ps_span_alloc(5 * PAGE), 5 * PAGE);
		exit(3);
	}));
	EXPECT_NE(NULL, strstr(said, "spans allocated 1, freed 1"));
	EXPECT_NE(NULL, strstr(said, ps_backend()));
	EXPECT_NE(NULL, strstr(said, "KiB held 0"));
}

TEST_HARNESS_MAIN
