// SPDX-License-Identifier: MIT
/* The promises of <pagespan.h>, the same on both backends. PAGESPAN_BACKEND says which is tested. */
#define _GNU_SOURCE
#include <errno.h>
#include <pagespan.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "../in_child.h"
#include "kselftest_harness.h"

#define PAGE PS_PAGE_SIZE

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

TEST(backend_is_the_one_asked_for)
{
	const char *asked = getenv("PAGESPAN_BACKEND");

	ASSERT_NE(NULL, ps_backend());
	if (asked)
		EXPECT_STREQ(asked, ps_backend());
}

TEST(span_is_page_aligned_and_can_be_written)
{
	static const size_t pages[] = {1, 2, 3, 17, 511, 512, 513, 4000};

	for (size_t i = 0; i < ARRAY_SIZE(pages); i++) {
		char *span = ps_span_alloc(pages[i] * PAGE);

		ASSERT_NE(NULL, span);
		EXPECT_EQ(0, (uintptr_t)span % PAGE);
		memset(span, 0x5a, pages[i] * PAGE);
		EXPECT_EQ(0x5a, span[pages[i] * PAGE - 1]);
		EXPECT_EQ(0, ps_span_free(span, pages[i] * PAGE));
	}
}

TEST(size_that_is_no_multiple_of_a_page_or_out_of_range_is_einval)
{
	static const size_t sizes[] = {0, 1, PAGE - 1, PAGE + 1, PS_SPAN_MAX + PAGE, SIZE_MAX,
				       SIZE_MAX - PAGE + 1};

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		errno = 0;
		EXPECT_EQ(NULL, ps_span_alloc(sizes[i]));
		EXPECT_EQ(EINVAL, errno);
	}
}

TEST(spans_do_not_overlap)
{
	enum { COUNT = 200 };
	char *spans[COUNT];

	for (int i = 0; i < COUNT; i++) {
		spans[i] = ps_span_alloc((size_t)(1 + i % 7) * PAGE);
		ASSERT_NE(NULL, spans[i]);
		memset(spans[i], i, (size_t)(1 + i % 7) * PAGE);
	}
	for (int i = 0; i < COUNT; i++) {
		for (size_t j = 0; j < (size_t)(1 + i % 7) * PAGE; j += 1024)
			ASSERT_EQ((char)i, spans[i][j]);
		ASSERT_EQ(0, ps_span_free(spans[i], (size_t)(1 + i % 7) * PAGE));
	}
}

TEST(any_subset_of_pages_can_be_freed)
{
	char *span = ps_span_alloc(64 * PAGE);
	uint64_t held;

	ASSERT_NE(NULL, span);
	held = stats().bytes_held;
	memset(span, 0x17, 64 * PAGE);
	for (int i = 0; i < 64; i += 2)
		ASSERT_EQ(0, ps_span_free(span + i * PAGE, PAGE));
	EXPECT_EQ(held - 32 * PAGE, stats().bytes_held);
	for (int i = 1; i < 64; i += 2)
		EXPECT_EQ(0x17, span[i * PAGE + 100]);
}

TEST(one_free_may_cover_neighbouring_spans)
{
	char *span = ps_span_alloc(32 * PAGE);
	char *neighbours[4];

	ASSERT_NE(NULL, span);
	ASSERT_EQ(0, ps_span_free(span, 32 * PAGE));
	span = ps_span_alloc(32 * PAGE);
	ASSERT_NE(NULL, span);
	ASSERT_EQ(0, ps_span_free(span + 8 * PAGE, 16 * PAGE));
	for (int i = 0; i < 4; i++)
		neighbours[i] = ps_span_alloc(4 * PAGE);
	/* The hole is the best fit for all four. */
	for (int i = 0; i < 4; i++) {
		EXPECT_LE(span + 8 * PAGE, neighbours[i]);
		EXPECT_GT(span + 24 * PAGE, neighbours[i]);
	}
	EXPECT_EQ(0, ps_span_free(span, 32 * PAGE));
}

TEST(bad_free_is_einval_and_changes_nothing)
{
	char *span = ps_span_alloc(4 * PAGE);
	struct ps_stats before;
	char local;

	ASSERT_NE(NULL, span);
	memset(span, 0x2f, 4 * PAGE);
	ASSERT_EQ(0, ps_span_free(span + 3 * PAGE, PAGE));
	before = stats();
	EXPECT_EQ(-EINVAL, ps_span_free(span + 3 * PAGE, PAGE));
	EXPECT_EQ(-EINVAL, ps_span_free(span, 4 * PAGE));
	EXPECT_EQ(-EINVAL, ps_span_free(span, 0));
	EXPECT_EQ(-EINVAL, ps_span_free(span, PAGE - 1));
	EXPECT_EQ(-EINVAL, ps_span_free(span + 1, PAGE));
	EXPECT_EQ(-EINVAL, ps_span_free(span, SIZE_MAX - PAGE + 1));
	EXPECT_EQ(-EINVAL, ps_span_free(NULL, PAGE));
	EXPECT_EQ(-EINVAL, ps_span_free((void *)PAGE, PAGE));
	EXPECT_EQ(-EINVAL, ps_span_free((void *)((uintptr_t)&local & ~(PAGE - 1)), PAGE));
	EXPECT_EQ(-EINVAL, ps_span_free((void *)-PAGE, PAGE));
	EXPECT_EQ(before.bytes_held, stats().bytes_held);
	EXPECT_EQ(before.spans_freed, stats().spans_freed);
	EXPECT_EQ(0x2f, span[3 * PAGE - 1]);
	EXPECT_EQ(0, ps_span_free(span, 3 * PAGE));
}

TEST(free_before_any_allocation_is_einval)
{
	EXPECT_EQ(-EINVAL, ps_span_free((void *)(16 * PAGE), PAGE));
}

TEST(exhausted_pool_is_enomem_and_recovers)
{
	size_t bytes = PS_SPAN_MAX;
	uint64_t held = 0;
	struct {
		char *span;
		size_t bytes;
	} taken[2048];
	size_t count = 0;

	/* A pool of 8 MiB of this process's own. */
	if (!on_device())
		ASSERT_EQ(0, setenv("PAGESPAN_MEMORY_MB", "8", 1));
	EXPECT_EQ(0, IN_CHILD({
		while (bytes) {
			char *span = ps_span_alloc(bytes);

			if (!span) {
				if (errno != ENOMEM)
					_exit(1);
				bytes = bytes / 2 / PAGE * PAGE;
				continue;
			}
			taken[count].span = span;
			taken[count++].bytes = bytes;
			held += bytes;
		}
		if (held != stats().bytes_pool || stats().bytes_held != held)
			_exit(2);
		while (count--)
			if (ps_span_free(taken[count].span, taken[count].bytes))
				_exit(3);
		if (stats().bytes_held)
			_exit(4);
		if (!ps_span_alloc(4 << 20))
			_exit(5);
	}));
}

TEST(statistics_count_calls_and_bytes)
{
	struct ps_stats before = stats();
	struct ps_stats after;
	char *span = ps_span_alloc(10 * PAGE);

	ASSERT_NE(NULL, span);
	ASSERT_EQ(0, ps_span_free(span, 4 * PAGE));
	ASSERT_EQ(0, ps_span_free(span + 4 * PAGE, 3 * PAGE));
	after = stats();
	EXPECT_EQ(before.spans_allocated + 1, after.spans_allocated);
	EXPECT_EQ(before.spans_freed + 2, after.spans_freed);
	EXPECT_EQ(before.bytes_held + 3 * PAGE, after.bytes_held);
	EXPECT_LE(before.bytes_held + 10 * PAGE, after.bytes_peak);
	EXPECT_LT(0, after.bytes_pool);
}

TEST(statistics_of_another_size_are_cut_or_padded)
{
	struct {
		struct ps_stats known;
		uint64_t later;
	} larger;
	uint64_t first[2] = {0, 42};

	memset(&larger, 0xff, sizeof(larger));
	ASSERT_EQ(0, ps_stats(&larger.known, sizeof(larger)));
	EXPECT_EQ(0, larger.later);
	EXPECT_EQ(larger.known.bytes_pool, stats().bytes_pool);
	ASSERT_EQ(0, ps_stats((struct ps_stats *)first, sizeof(first[0])));
	EXPECT_EQ(42, first[1]);
	EXPECT_EQ(-EINVAL, ps_stats(&larger.known, 0));
}

TEST(child_of_a_fork_starts_with_nothing)
{
	char *span = ps_span_alloc(4 * PAGE);

	ASSERT_NE(NULL, span);
	memset(span, 0x61, 4 * PAGE);
	EXPECT_EQ(0, IN_CHILD({
		char *own;

		if (ps_span_free(span, 4 * PAGE) != -EINVAL)
			_exit(1);
		if (stats().bytes_held || stats().spans_allocated)
			_exit(2);
		own = ps_span_alloc(8 * PAGE);
		if (!own)
			_exit(3);
		memset(own, 0x62, 8 * PAGE);
		if (ps_span_free(own, 8 * PAGE))
			_exit(4);
	}));
	EXPECT_EQ(0x61, span[4 * PAGE - 1]);
	EXPECT_EQ(0, ps_span_free(span, 4 * PAGE));
}

TEST(span_is_not_mapped_in_a_child)
{
	volatile char *span = ps_span_alloc(PAGE);

	ASSERT_NE(NULL, span);
	span[0] = 1;
	EXPECT_EQ(128 + SIGSEGV, IN_CHILD(signal(SIGSEGV, SIG_DFL); _exit(span[0])));
}

TEST(freed_page_on_the_device_raises_sigbus)
{
	volatile char *span;

	if (!on_device())
		SKIP(return, "the memory backend does not promise it");
	EXPECT_EQ(128 + SIGBUS, IN_CHILD({
		signal(SIGBUS, SIG_DFL);
		span = ps_span_alloc(2 * PAGE);
		span[0] = span[PAGE] = 1;
		ps_span_free((void *)span, PAGE);
		if (span[PAGE] != 1)
			_exit(1);
		span[0] = 1;
	}));
}

static void *churn(void *arg)
{
	unsigned int seed = (unsigned int)(uintptr_t)arg;
	char tag = (char)(uintptr_t)arg;
	struct {
		char *span;
		size_t pages;
	} slots[32] = {0};

	for (int round = 0; round < 4000; round++) {
		int i = rand_r(&seed) % 32;
		size_t pages = slots[i].pages;

		if (pages) {
			size_t head = 1 + rand_r(&seed) % pages;

			for (size_t p = 0; p < pages; p++)
				if (slots[i].span[p * PAGE] != tag)
					return arg;
			if (ps_span_free(slots[i].span, head * PAGE) ||
			    (pages > head && ps_span_free(slots[i].span + head * PAGE,
							  (pages - head) * PAGE)))
				return arg;
		}
		slots[i].pages = 1 + rand_r(&seed) % 20;
		slots[i].span = ps_span_alloc(slots[i].pages * PAGE);
		if (!slots[i].span)
			return arg;
		for (size_t p = 0; p < slots[i].pages; p++)
			slots[i].span[p * PAGE] = tag;
	}
	for (int i = 0; i < 32; i++)
		if (slots[i].pages && ps_span_free(slots[i].span, slots[i].pages * PAGE))
			return arg;
	return NULL;
}

TEST(threads_allocate_and_free_at_once)
{
	pthread_t threads[4];
	uint64_t held = stats().bytes_held;

	for (uintptr_t i = 0; i < 4; i++)
		ASSERT_EQ(0, pthread_create(&threads[i], NULL, churn, (void *)(i + 1)));
	for (int i = 0; i < 4; i++) {
		void *failed;

		pthread_join(threads[i], &failed);
		EXPECT_EQ(NULL, failed);
	}
	EXPECT_EQ(held, stats().bytes_held);
}

static int backend_errno(const char *backend, const char *memory_mb)
{
	return IN_CHILD({
		setenv("PAGESPAN_BACKEND", backend, 1);
		if (memory_mb)
			setenv("PAGESPAN_MEMORY_MB", memory_mb, 1);
		errno = 0;
		if (ps_backend() || ps_span_alloc(PAGE))
			_exit(200);
		_exit(errno);
	});
}

TEST(environment_that_makes_no_sense_is_einval)
{
	EXPECT_EQ(EINVAL, backend_errno("disk", NULL));
	EXPECT_EQ(EINVAL, backend_errno("memory", "0"));
	EXPECT_EQ(EINVAL, backend_errno("memory", "-1"));
	EXPECT_EQ(EINVAL, backend_errno("memory", "12x"));
	EXPECT_EQ(EINVAL, backend_errno("memory", ""));
	EXPECT_EQ(EINVAL, backend_errno("memory", "1048577"));
	EXPECT_EQ(EINVAL, backend_errno("memory", "99999999999999999999"));
}

TEST(device_that_is_not_there_is_an_error_when_asked_for)
{
	if (!access("/dev/pagespan", F_OK))
		SKIP(return, "the device is there");
	EXPECT_EQ(ENOENT, backend_errno("device", NULL));
	EXPECT_EQ(0, IN_CHILD(unsetenv("PAGESPAN_BACKEND");
			      _exit(!ps_backend() || strcmp(ps_backend(), "memory"))));
}

TEST_HARNESS_MAIN
