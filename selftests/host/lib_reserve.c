// SPDX-License-Identifier: MIT
/*
 * What the memory backend takes of a process: address space, of which it opens what it needs, within
 * the limits of the process and of its cgroup. Each test makes a child of its own.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pagespan.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "../in_child.h"
#include "cgroup_files.h"
#include "../harness.h"

#define PAGE PS_PAGE_SIZE
#define MIB  ((size_t)1 << 20)
#define GIB  ((size_t)1 << 30)

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED true
#else
#define SANITIZED false
#endif

#define SKIP_IF_NOT_PLAIN()                                             \
	do {                                                            \
		if (SANITIZED)                                          \
			SKIP(return, "a sanitizer has mappings of its own"); \
	} while (0)

static void on_memory(void)
{
	setenv("PAGESPAN_BACKEND", "memory", 1);
	unsetenv("PAGESPAN_MEMORY_MB");
}

static uint64_t bytes_pool(void)
{
	struct ps_stats now;

	if (ps_stats(&now, sizeof(now)))
		_exit(100);
	return now.bytes_pool;
}

/* Bytes of private mappings that can be written to. */
static size_t writable_bytes(void)
{
	FILE *maps = fopen("/proc/self/maps", "r");
	size_t start, end, sum = 0;
	char mode[5], line[512];

	while (fgets(line, sizeof(line), maps))
		if (sscanf(line, "%zx-%zx %4s", &start, &end, mode) == 3 && mode[1] == 'w' && mode[3] == 'p')
			sum += end - start;
	fclose(maps);
	return sum;
}

static size_t resident_bytes(void)
{
	FILE *statm = fopen("/proc/self/statm", "r");
	size_t all, resident;

	if (fscanf(statm, "%zu %zu", &all, &resident) != 2)
		abort();
	fclose(statm);
	return resident * PAGE;
}

/* Private memory that can be written to counts against RLIMIT_DATA and the commit limit, and a core has it. */
TEST(what_can_be_written_to_is_what_was_needed)
{
	SKIP_IF_NOT_PLAIN();
	EXPECT_EQ(0, IN_CHILD({
		size_t before = writable_bytes();
		char *span;

		on_memory();
		span = ps_span_alloc(PAGE);
		if (!span || bytes_pool() < 256 * MIB || writable_bytes() > before + 8 * MIB)
			_exit(1);
		span = ps_span_alloc(100 * MIB);
		if (!span || writable_bytes() < before + 100 * MIB ||
		    writable_bytes() > before + 125 * MIB)
			_exit(2);
		memset(span, 1, 100 * MIB);
		/* What was given back is used again before more is opened. */
		before = writable_bytes();
		for (int i = 0; i < 10; i++)
			if (ps_span_free(span, 100 * MIB) || !(span = ps_span_alloc(100 * MIB)))
				_exit(3);
		if (writable_bytes() != before)
			_exit(4);
	}));
}

TEST(limit_of_address_space_leaves_the_program_its_half)
{
	static const size_t limits[] = {8 * GIB, 512 * MIB, 64 * MIB};

	SKIP_IF_NOT_PLAIN();
	for (size_t i = 0; i < ARRAY_SIZE(limits); i++)
		EXPECT_EQ(0, IN_CHILD({
			struct rlimit limit = {limits[i], limits[i]};
			char *span;

			on_memory();
			setrlimit(RLIMIT_AS, &limit);
			span = ps_span_alloc(PAGE);
			if (!span)
				_exit(1);
			span[0] = 1;
			if (mmap(NULL, limits[i] / 3, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) ==
			    MAP_FAILED)
				_exit(2);
		}));
}

TEST(limit_of_data_is_enomem_and_a_refused_request_leaves_it_to_the_program)
{
	SKIP_IF_NOT_PLAIN();
	EXPECT_EQ(0, IN_CHILD({
		struct rlimit limit = {64 * MIB, 64 * MIB};
		size_t taken = 0;
		char *span;

		on_memory();
		setrlimit(RLIMIT_DATA, &limit);
		span = ps_span_alloc(PAGE);
		if (!span)
			_exit(1);
		if (ps_span_alloc(PS_SPAN_MAX) || errno != ENOMEM)
			_exit(2);
		if (mmap(NULL, 32 * MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) ==
		    MAP_FAILED)
			_exit(3);
		while ((span = ps_span_alloc(PAGE))) {
			span[0] = 1;
			taken += PAGE;
		}
		if (errno != ENOMEM || taken < 16 * MIB || taken > 32 * MIB)
			_exit(4);
	}));
}

TEST(locked_memory_is_what_is_used)
{
	SKIP_IF_NOT_PLAIN();
	EXPECT_EQ(0, IN_CHILD({
		size_t before;

		on_memory();
		if (mlockall(MCL_CURRENT | MCL_FUTURE))
			_exit(0);
		before = resident_bytes();
		errno = 77;
		if (!ps_span_alloc(PAGE) || bytes_pool() < 256 * MIB || errno != 77)
			_exit(1);
		if (resident_bytes() > before + 8 * MIB)
			_exit(2);
	}));
	EXPECT_EQ(0, IN_CHILD({
		size_t before = resident_bytes();

		on_memory();
		if (!ps_span_alloc(PAGE) || mlockall(MCL_CURRENT))
			_exit(0);
		if (resident_bytes() > before + 8 * MIB)
			_exit(1);
	}));
}

TEST(default_size_follows_the_cgroup_and_all_that_it_is_in)
{
	static const struct {
		const char *root, *controllers, *name, *none;
	} kinds[] = {
		{"/sys/fs/cgroup", "::", "memory.max", "max\n"},
		{"/sys/fs/cgroup/memory", ":memory:", "memory.limit_in_bytes", "9223372036854771712\n"},
	};
	char group[600];
	int ret;

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		if (!find_group(kinds[i].root, kinds[i].controllers, group, sizeof(group)))
			continue;
		ret = IN_CHILD({
			uint64_t expected = 48 * MIB;

			hide_cgroups();
			on_memory();
			write_file(group, kinds[i].name, "50331648\n");
			if (bytes_pool() != expected)
				_exit(1);
		});
		if (ret == CGROUPS_STAY)
			SKIP(return, "this needs the right to mount");
		EXPECT_EQ(0, ret);
		/* The limit of the group above counts; that of this one is none. */
		EXPECT_EQ(0, IN_CHILD({
			uint64_t expected = 40 * MIB;

			hide_cgroups();
			on_memory();
			write_file(kinds[i].root, kinds[i].name, "41943040\n");
			if (strcmp(group, kinds[i].root) && group[strlen(kinds[i].root) + 1])
				write_file(group, kinds[i].name, kinds[i].none);
			if (bytes_pool() != expected)
				_exit(1);
		}));
	}
}

/* Mappings, and how many of them are advised to be huge. */
static int nr_mappings(int *nr_huge)
{
	FILE *smaps = fopen("/proc/self/smaps", "r");
	char line[512];
	int count = 0;

	*nr_huge = 0;
	while (fgets(line, sizeof(line), smaps)) {
		count += !strncmp(line, "VmFlags:", 8);
		*nr_huge += !strncmp(line, "VmFlags:", 8) && strstr(line, " hg");
	}
	fclose(smaps);
	return count;
}

TEST(huge_spans_however_small_leave_few_mappings)
{
	enum { COUNT = 12000 };
	static void *spans[COUNT], *between[COUNT];

	SKIP_IF_NOT_PLAIN();
	EXPECT_EQ(0, IN_CHILD({
		int huge;
		int before = nr_mappings(&huge);

		setenv("PAGESPAN_BACKEND", "memory", 1);
		setenv("PAGESPAN_MEMORY_MB", "65536", 1);
		for (int i = 0; i < COUNT; i++)
			if (!(spans[i] = ps_span_alloc_ex(i % 2 ? PAGE : 2 * MIB, 0, PS_HUGE)) ||
			    !(between[i] = ps_span_alloc_ex(2 * MIB, 2 * MIB, 0)))
				_exit(1);
		if (nr_mappings(&huge) > before + 8200 || !huge)
			_exit(2);
		for (int i = 0; i < COUNT; i++)
			ps_span_free(spans[i], i % 2 ? PAGE : 2 * MIB);
		for (int i = 0; i < COUNT; i++)
			ps_span_free(between[i], 2 * MIB);
		ps_trim(0);
		if (nr_mappings(&huge) > before + 8200 || huge)
			_exit(3);
	}));
}

TEST(advice_for_a_huge_span_ends_with_it)
{
	EXPECT_EQ(0, IN_CHILD({
		int huge;
		char *span;

		on_memory();
		span = ps_span_alloc_ex(64 * MIB, 0, PS_HUGE);
		if (!span || nr_mappings(&huge) < 1 || !huge)
			_exit(1);
		memset(span, 1, 64 * MIB);
		/* In two parts, each of which leaves half of a megablock in use. */
		if (ps_span_free(span, 9 * MIB) || ps_span_free(span + 9 * MIB, 55 * MIB) || ps_trim(0))
			_exit(2);
		nr_mappings(&huge);
		if (huge)
			_exit(3);
		span = ps_span_alloc_ex(64 * MIB, 0, PS_ZERO);
		for (size_t at = 0; at < 64 * MIB; at += PAGE / 2)
			if (span[at])
				_exit(4);
	}));
}

TEST(call_that_succeeds_leaves_errno)
{
	EXPECT_EQ(0, IN_CHILD({
		void *many[3];
		char *span;

		on_memory();
		errno = 77;
		span = ps_span_alloc(8 * PAGE);
		if (!span || errno != 77)
			_exit(1);
		if (ps_span_free(span + 4 * PAGE, 4 * PAGE) || ps_span_extend(span, 4 * PAGE, 8 * PAGE) ||
		    ps_span_alloc_bulk(5 * MIB, 3, many) || errno != 77)
			_exit(2);
		if (!ps_span_alloc_ex(4 * MIB, 0, PS_HUGE | PS_POPULATE | PS_ZERO) || errno != 77)
			_exit(3);
		/* What is locked cannot be dropped. */
		if (!mlock(many[0], 5 * MIB)) {
			if (ps_span_free(many[0], 5 * MIB) || errno != 77)
				_exit(4);
		}
		if (ps_trim(0) || !bytes_pool() || !ps_backend() || errno != 77)
			_exit(5);
	}));
}

TEST_HARNESS_MAIN
