// SPDX-License-Identifier: MIT
/* The promises of <pagespan.h>, the same on both backends. PAGESPAN_BACKEND says which is tested. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/pagespan.h>
#include <pagespan.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>

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
	char *span;
	char *neighbours[4];

	setenv("PAGESPAN_CACHE_MB", "0", 1);
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

TEST(free_of_what_is_no_range_of_the_window_is_einval_and_changes_nothing)
{
	char *span = ps_span_alloc(4 * PAGE);
	struct ps_stats before;
	char local;

	ASSERT_NE(NULL, span);
	memset(span, 0x2f, 4 * PAGE);
	before = stats();
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
	EXPECT_EQ(0x2f, span[4 * PAGE - 1]);
	EXPECT_EQ(0, ps_span_free(span, 4 * PAGE));
}

/* Wherever in the window it starts: in a window of which every page is allocated. */
TEST(free_of_a_range_that_starts_outside_the_window_is_einval)
{
	if (on_device())
		SKIP(return, "the window is everybody's");
	EXPECT_EQ(0, IN_CHILD({
		enum { PAGES = 16384 };
		char *base = (char *)UINTPTR_MAX;

		setenv("PAGESPAN_MEMORY_MB", "64", 1);
		for (int i = 0; i < PAGES; i++) {
			char *span = ps_span_alloc(PAGE);

			if (!span)
				_exit(1);
			if (span < base)
				base = span;
		}
		/* The second time of a size that is being cached. */
		for (int cached = 0; cached < 2; cached++) {
			for (size_t pages = 1; pages <= PAGES; pages *= 2)
				if (ps_span_free(base - PAGE, pages * PAGE) != -EINVAL ||
				    ps_span_free(base + PAGES * PAGE, pages * PAGE) != -EINVAL ||
				    ps_span_free(base - 1, pages * PAGE) != -EINVAL)
					_exit(2);
			if (!cached && ps_span_free(base, 2 * PAGE))
				_exit(3);
		}
		if (ps_span_free(base + 2 * PAGE, (PAGES - 2) * PAGE) || stats().bytes_held)
			_exit(4);
	}));
}

/* Of a size that is being cached too. */
TEST(free_of_a_range_of_2_mib_and_more_that_leaves_the_window_is_einval)
{
	if (on_device())
		SKIP(return, "the window is everybody's");
	EXPECT_EQ(0, IN_CHILD({
		enum { SPANS = 32 };
		const size_t bytes = 1024 * PAGE;
		char *base = (char *)UINTPTR_MAX;

		setenv("PAGESPAN_MEMORY_MB", "128", 1);
		for (int i = 0; i < SPANS; i++) {
			char *span = ps_span_alloc(bytes);

			if (!span)
				_exit(1);
			if (span < base)
				base = span;
		}
		for (int cached = 0; cached < 2; cached++) {
			if (ps_span_free(base + SPANS * bytes - bytes / 2, bytes) != -EINVAL)
				_exit(2);
			if (!cached && ps_span_free(base, bytes))
				_exit(3);
		}
		if (ps_span_free(base + bytes, (SPANS - 1) * bytes) || stats().bytes_held)
			_exit(4);
	}));
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

static bool is_zero(const char *span, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++)
		if (span[i])
			return false;
	return true;
}

TEST(span_is_aligned_as_asked)
{
	static const size_t pages[] = {1, 3, 16, 511, 512, 700};

	for (size_t i = 0; i < ARRAY_SIZE(pages); i++) {
		for (size_t align = PAGE; align <= MEGABLOCK; align *= 2) {
			char *span = ps_span_alloc_ex(pages[i] * PAGE, align, 0);

			ASSERT_NE(NULL, span);
			EXPECT_EQ(0, (uintptr_t)span % align);
			span[0] = span[pages[i] * PAGE - 1] = 1;
			EXPECT_EQ(0, ps_span_free(span, pages[i] * PAGE));
		}
	}
}

/* The device's pool may have no such place. */
TEST(span_is_aligned_to_more_than_2_mib_where_there_is_such_a_place)
{
	bool everywhere = !on_device();

	EXPECT_EQ(0, IN_CHILD({
		setenv("PAGESPAN_MEMORY_MB", "3072", 1);
		for (size_t align = 2 * MEGABLOCK; align <= PS_ALIGN_MAX; align *= 2) {
			for (unsigned int flags = 0; flags <= PS_ZERO; flags += PS_ZERO) {
				char *span = ps_span_alloc_ex(3 * PAGE, align, flags);

				if (!span && (everywhere || errno != ENOMEM))
					_exit(1);
				if (!span)
					continue;
				if ((uintptr_t)span % align || (flags && !is_zero(span, 3 * PAGE)))
					_exit(2);
				memset(span, 1, 3 * PAGE);
				if (ps_span_free(span, 3 * PAGE))
					_exit(3);
			}
		}
	}));
}

TEST(span_of_2_mib_and_more_is_aligned_to_2_mib)
{
	for (size_t pages = 512; pages < 3000; pages += 355) {
		char *odd = ps_span_alloc(PAGE);
		char *span = ps_span_alloc(pages * PAGE);

		ASSERT_NE(NULL, span);
		EXPECT_EQ(0, (uintptr_t)span % (512 * PAGE));
		EXPECT_EQ(0, ps_span_free(odd, PAGE));
		EXPECT_EQ(0, ps_span_free(span, pages * PAGE));
	}
}

TEST(arguments_of_alloc_ex_out_of_range_are_einval)
{
	static const struct {
		size_t bytes, align;
		unsigned int flags;
	} bad[] = {
		{0, 0, 0}, {PAGE + 1, 0, 0}, {PS_SPAN_MAX + PAGE, 0, 0}, {PAGE, 1, 0},
		{PAGE, 3 * PAGE, 0}, {PAGE, 2 * PS_ALIGN_MAX, 0}, {PAGE, SIZE_MAX, 0},
		{PAGE, 0, 0x20}, {PAGE, 0, ~0u},
	};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		errno = 0;
		EXPECT_EQ(NULL, ps_span_alloc_ex(bad[i].bytes, bad[i].align, bad[i].flags));
		EXPECT_EQ(EINVAL, errno);
	}
}

/* Whether it comes from a cache or not. */
TEST(zeroed_span_is_zero_in_every_byte)
{
	static const size_t pages[] = {1, 7, 16, 100, 300, 512, 600, 1024};

	for (size_t i = 0; i < ARRAY_SIZE(pages); i++) {
		size_t bytes = pages[i] * PAGE;

		for (int round = 0; round < 4; round++) {
			unsigned int flags = PS_ZERO | (round % 2 ? PS_POPULATE : 0);
			char *span = ps_span_alloc_ex(bytes, round == 3 ? MEGABLOCK : 0, flags);

			ASSERT_NE(NULL, span);
			EXPECT_TRUE(is_zero(span, bytes));
			memset(span, 0xa5, bytes);
			ASSERT_EQ(0, ps_span_free(span, bytes));
			if (round == 1)
				ps_trim(0);
		}
	}
}

TEST(huge_and_populated_spans_can_be_written_and_freed_in_part)
{
	static const unsigned int flags[] = {PS_HUGE, PS_POPULATE, PS_HUGE | PS_POPULATE | PS_ZERO};

	for (size_t i = 0; i < ARRAY_SIZE(flags); i++) {
		size_t bytes = 1024 * PAGE;
		char *span = ps_span_alloc_ex(bytes, 0, flags[i]);

		ASSERT_NE(NULL, span);
		EXPECT_EQ(0, (uintptr_t)span % MEGABLOCK);
		memset(span, 3, bytes);
		EXPECT_EQ(0, ps_span_free(span + 100 * PAGE, 700 * PAGE));
		EXPECT_EQ(3, span[99 * PAGE]);
		EXPECT_EQ(3, span[800 * PAGE]);
		EXPECT_EQ(0, ps_span_free(span, 100 * PAGE));
		EXPECT_EQ(0, ps_span_free(span + 800 * PAGE, 224 * PAGE));
	}
}

TEST(extended_span_keeps_its_place_and_contents)
{
	char *span = ps_span_alloc_ex(64 * PAGE, MEGABLOCK, 0);
	uint64_t held;

	ASSERT_NE(NULL, span);
	memset(span, 0x44, 64 * PAGE);
	/* The pages behind are free: nothing is cached, and the span starts a megablock. */
	ps_trim(0);
	held = stats().bytes_held;
	ASSERT_EQ(0, ps_span_extend(span, 64 * PAGE, 200 * PAGE));
	EXPECT_EQ(held + 136 * PAGE, stats().bytes_held);
	memset(span + 64 * PAGE, 0x45, 136 * PAGE);
	EXPECT_EQ(0x44, span[64 * PAGE - 1]);
	EXPECT_EQ(0, ps_span_extend(span, 200 * PAGE, 200 * PAGE));
	EXPECT_EQ(0, ps_span_free(span, 200 * PAGE));
}

TEST(extension_that_cannot_be_is_refused_and_changes_nothing)
{
	char *span = ps_span_alloc(32 * PAGE);
	uint64_t held;

	ASSERT_NE(NULL, span);
	memset(span, 0x46, 32 * PAGE);
	held = stats().bytes_held;
	EXPECT_EQ(-ENOMEM, ps_span_extend(span, 16 * PAGE, 20 * PAGE));
	EXPECT_EQ(-ENOMEM, ps_span_extend(span, 16 * PAGE, 33 * PAGE));
	EXPECT_EQ(-EINVAL, ps_span_extend(span, 32 * PAGE, 31 * PAGE));
	EXPECT_EQ(-EINVAL, ps_span_extend(span, 0, PAGE));
	EXPECT_EQ(-EINVAL, ps_span_extend(span, PAGE, PAGE + 1));
	EXPECT_EQ(-EINVAL, ps_span_extend(span + 1, PAGE, 2 * PAGE));
	EXPECT_EQ(-EINVAL, ps_span_extend(span, PAGE, PS_SPAN_MAX + PAGE));
	EXPECT_EQ(-EINVAL, ps_span_extend(NULL, PAGE, 2 * PAGE));
	EXPECT_EQ(held, stats().bytes_held);
	for (size_t i = 0; i < 32 * PAGE; i++)
		ASSERT_EQ(0x46, span[i]);
	EXPECT_EQ(0, ps_span_free(span, 32 * PAGE));
}

TEST(bulk_spans_are_apart_and_each_can_be_freed)
{
	enum { COUNT = 700 };
	static void *spans[COUNT];
	uint64_t held = stats().bytes_held;

	ASSERT_EQ(0, ps_span_alloc_bulk(3 * PAGE, COUNT, spans));
	EXPECT_EQ(held + COUNT * 3 * PAGE, stats().bytes_held);
	for (int i = 0; i < COUNT; i++)
		memset(spans[i], i, 3 * PAGE);
	for (int i = 0; i < COUNT; i++) {
		for (size_t at = 0; at < 3 * PAGE; at += 512)
			ASSERT_EQ((char)i, ((char *)spans[i])[at]);
		ASSERT_EQ(0, ps_span_free(spans[i], 3 * PAGE));
	}
	EXPECT_EQ(held, stats().bytes_held);
}

TEST(what_is_cached_serves_every_way_of_allocating)
{
	void *spans[3] = {ps_span_alloc(2 * PAGE), ps_span_alloc(2 * PAGE), ps_span_alloc(2 * PAGE)};
	uint64_t held;
	char *span;

	for (int i = 0; i < 3; i++)
		ASSERT_EQ(0, ps_span_free(spans[i], 2 * PAGE));
	held = stats().bytes_held;
	span = ps_span_alloc_ex(2 * PAGE, 0, PS_POPULATE);
	ASSERT_NE(NULL, span);
	span[2 * PAGE - 1] = 1;
	ASSERT_EQ(0, ps_span_alloc_bulk(2 * PAGE, 3, spans));
	for (int i = 0; i < 3; i++) {
		EXPECT_NE(span, spans[i]);
		EXPECT_NE(spans[i], spans[(i + 1) % 3]);
		EXPECT_EQ(0, ps_span_free(spans[i], 2 * PAGE));
	}
	EXPECT_EQ(0, ps_span_free(span, 2 * PAGE));
	EXPECT_EQ(held, stats().bytes_held);
}

TEST(bulk_that_does_not_fit_takes_nothing)
{
	enum { COUNT = 1 << 15 };
	static void *spans[COUNT];

	EXPECT_EQ(-EINVAL, ps_span_alloc_bulk(PAGE, 0, spans));
	EXPECT_EQ(-EINVAL, ps_span_alloc_bulk(PAGE + 1, 1, spans));
	EXPECT_EQ(0, IN_CHILD({
		setenv("PAGESPAN_MEMORY_MB", "64", 1);
		if (ps_span_alloc_bulk(8 * PAGE, COUNT, spans) != -ENOMEM)
			_exit(1);
		if (stats().bytes_held)
			_exit(2);
		if (ps_span_alloc_bulk(PAGE, 1000, spans))
			_exit(3);
	}));
}

TEST(limit_is_obeyed_and_what_is_cached_counts_but_does_not_hinder)
{
	EXPECT_EQ(-EINVAL, ps_limit_set(1));
	EXPECT_EQ(0, IN_CHILD({
		char *spans[64];
		int count = 0;

		if (ps_limit_set(64 * PAGE) || stats().bytes_limit != 64 * PAGE)
			_exit(1);
		while (count < 64 && (spans[count] = ps_span_alloc(PAGE)))
			count++;
		if (count != 64 || ps_span_alloc(PAGE) || errno != ENOMEM)
			_exit(2);
		while (count--)
			if (ps_span_free(spans[count], PAGE))
				_exit(3);
		/* 64 single pages are cached now. */
		spans[0] = ps_span_alloc(64 * PAGE);
		if (!spans[0] || stats().bytes_held + stats().bytes_cached != 64 * PAGE)
			_exit(4);
		if (ps_span_extend(spans[0], 64 * PAGE, 65 * PAGE) != -ENOMEM)
			_exit(5);
		if (ps_limit_set(UINT64_MAX) || !ps_span_alloc(64 * PAGE))
			_exit(6);
	}));
}

TEST(configuration_counts_before_the_environment)
{
	struct ps_config config = {
		.backend = "memory",
		.memory_bytes = 16 << 20,
		.limit_bytes = 8 * PAGE,
		.fork = PS_FORK_FRESH,
	};
	struct {
		struct ps_config known;
		uint64_t later;
	} larger = {.later = 0};

	ASSERT_NE(NULL, ps_backend());
	EXPECT_EQ(-EALREADY, ps_init(&config, sizeof(config)));
	EXPECT_EQ(0, IN_CHILD({
		setenv("PAGESPAN_MEMORY_MB", "32", 1);
		larger.later = 1;
		if (ps_init(&larger.known, sizeof(larger)) != -E2BIG)
			_exit(1);
		config.memory_bytes++;
		if (ps_init(&config, sizeof(config)) != -EINVAL)
			_exit(2);
		config.memory_bytes--;
		config.fork = 3;
		if (ps_init(&config, sizeof(config)) != -EINVAL)
			_exit(3);
		config.fork = PS_FORK_FRESH;
		config.backend = "disk";
		if (ps_init(&config, sizeof(config)) != -EINVAL)
			_exit(4);
		config.backend = "memory";
		larger.known = config;
		larger.later = 0;
		if (ps_init(&larger.known, sizeof(larger)))
			_exit(5);
		if (strcmp(ps_backend(), "memory") || stats().bytes_pool != 16 << 20)
			_exit(6);
		if (stats().bytes_limit != 8 * PAGE || ps_span_alloc(9 * PAGE))
			_exit(7);
		if (ps_init(&config, sizeof(config)) != -EALREADY)
			_exit(8);
	}));
}

static bool pool_is_huge(void)
{
	struct pagespan_info info = {.size = sizeof(info)};
	int fd = open("/dev/pagespan", O_RDWR);
	bool huge = fd >= 0 && !ioctl(fd, PAGESPAN_INFO, &info) && info.flags & PAGESPAN_INFO_HUGE;

	close(fd);
	return huge;
}

static long nr_faults(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return usage.ru_minflt;
}

/* As many spans of a huge page as there are; how many. */
static int alloc_huge_pages(char **spans, int most)
{
	int count = 0;

	while (count < most && (spans[count] = ps_span_alloc(512 * PAGE)))
		count++;
	return count;
}

static void touch_huge_page(char *span, size_t from)
{
	for (size_t page = from; page < 512; page++)
		span[page * PAGE] = 1;
}

/* Single pages everywhere first: each leaves a page table behind in its part of the window. */
TEST(part_of_the_window_that_had_single_pages_takes_a_huge_page_again)
{
	static char *spans[4096];
	uint64_t before;
	long faults;
	int count;

	if (!on_device() || !pool_is_huge())
		SKIP(return, "needs a device with huge pages");
	for (int i = 0; i < 4096; i++) {
		spans[i] = ps_span_alloc(PAGE);
		if (spans[i])
			spans[i][0] = 1;
	}
	for (int i = 0; i < 4096; i++)
		ps_span_free(spans[i], PAGE);
	ps_trim(0);
	before = stats().slot_remaps;
	count = alloc_huge_pages(spans, 4096);
	ASSERT_LT(8, count);
	EXPECT_LE(before + 8, stats().slot_remaps);
	faults = nr_faults();
	for (int i = 0; i < count; i++)
		touch_huge_page(spans[i], 0);
	EXPECT_GE(2 * count, nr_faults() - faults);
	for (int i = 0; i < count; i++)
		EXPECT_EQ(0, ps_span_free(spans[i], 512 * PAGE));
}

/* What stays after the first part has gone is mapped by single pages. */
TEST(huge_page_that_is_freed_in_two_parts_comes_back_as_one)
{
	static char *spans[4096];
	long faults;
	int count;

	if (!on_device() || !pool_is_huge())
		SKIP(return, "needs a device with huge pages");
	count = alloc_huge_pages(spans, 4096);
	ASSERT_LT(8, count);
	for (int i = 0; i < count; i++) {
		touch_huge_page(spans[i], 0);
		EXPECT_EQ(0, ps_span_free(spans[i], 100 * PAGE));
	}
	ps_trim(0);
	for (int i = 0; i < count; i++) {
		touch_huge_page(spans[i], 100);
		EXPECT_EQ(0, ps_span_free(spans[i] + 100 * PAGE, 412 * PAGE));
	}
	ps_trim(0);
	EXPECT_EQ(count, alloc_huge_pages(spans, 4096));
	faults = nr_faults();
	for (int i = 0; i < count; i++)
		touch_huge_page(spans[i], 0);
	EXPECT_GE(2 * count, nr_faults() - faults);
	for (int i = 0; i < count; i++)
		EXPECT_EQ(0, ps_span_free(spans[i], 512 * PAGE));
}

TEST(exported_span_is_shared_through_its_descriptor)
{
	char *span = ps_span_alloc_ex(4 * PAGE, 0, PS_EXPORT);
	char *plain = ps_span_alloc(4 * PAGE);
	char *other;
	int fd;

	if (!on_device()) {
		EXPECT_EQ(NULL, span);
		EXPECT_EQ(EOPNOTSUPP, errno);
		EXPECT_EQ(-EOPNOTSUPP, ps_span_export(plain, 4 * PAGE));
		EXPECT_EQ(0, ps_span_free(plain, 4 * PAGE));
		return;
	}
	ASSERT_NE(NULL, span);
	span[PAGE] = 0x33;
	EXPECT_EQ(-EINVAL, ps_span_export(plain, 4 * PAGE));
	EXPECT_EQ(-EINVAL, ps_span_export(span, PAGE - 1));
	fd = ps_span_export(span, 4 * PAGE);
	ASSERT_LE(0, fd);
	other = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	ASSERT_NE(MAP_FAILED, other);
	EXPECT_EQ(0x33, other[PAGE]);
	/* Freed, they go to no cache; they stay where they are as long as they are shared. */
	EXPECT_EQ(0, ps_span_free(span, 4 * PAGE));
	for (int i = 0; i < 100; i++) {
		char *next = ps_span_alloc(4 * PAGE);

		ASSERT_NE(NULL, next);
		memset(next, 0x7e, 4 * PAGE);
	}
	EXPECT_EQ(0x33, other[PAGE]);
	munmap(other, 4 * PAGE);
	close(fd);
	EXPECT_EQ(0, ps_span_free(plain, 4 * PAGE));
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

static void *churn(void *arg)
{
	unsigned int seed = (unsigned int)(uintptr_t)arg;
	char tag = (char)(uintptr_t)arg;
	struct {
		char *span;
		size_t pages;
	} slots[32] = {0};

	for (int round = 0; round < 250; round++) {
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

TEST(every_call_tells_that_no_backend_can_be_had)
{
	EXPECT_EQ(0, IN_CHILD({
		struct ps_stats now;
		void *span;

		setenv("PAGESPAN_BACKEND", "disk", 1);
		_exit(ps_stats(&now, sizeof(now)) != -EINVAL ||
		      ps_span_alloc_bulk(PAGE, 1, &span) != -EINVAL ||
		      ps_span_alloc_ex(PAGE, 0, PS_ZERO) || errno != EINVAL);
	}));
}

TEST(empty_environment_is_none)
{
	EXPECT_EQ(0, IN_CHILD(setenv("PAGESPAN_BACKEND", "", 1); _exit(!ps_backend())));
}

TEST(device_that_is_not_there_is_an_error_when_asked_for)
{
	if (!access("/dev/pagespan", F_OK))
		SKIP(return, "the device is there");
	EXPECT_EQ(ENOENT, backend_errno("device", NULL));
	/* What was refused does not hold. */
	EXPECT_EQ(0, IN_CHILD({
		struct ps_config config = {.backend = "device"};

		_exit(ps_init(&config, sizeof(config)) != -ENOENT || !ps_backend() ||
		      strcmp(ps_backend(), "memory"));
	}));
	EXPECT_EQ(0, IN_CHILD(unsetenv("PAGESPAN_BACKEND");
			      _exit(!ps_backend() || strcmp(ps_backend(), "memory"))));
}

TEST_HARNESS_MAIN
