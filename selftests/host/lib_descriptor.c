// SPDX-License-Identifier: MIT
/*
 * Programs that close descriptors which they do not know, and open files of their own there. On the
 * memory backend there is nothing to close, and every promise holds all the more.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/pagespan.h>
#include <pagespan.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "../in_child.h"
#include "../harness.h"

#define PAGE    PS_PAGE_SIZE
#define MIB     ((size_t)1 << 20)
#define MOST_FD 1024

static bool on_device(void)
{
	const char *name = ps_backend();

	return name && !strcmp(name, "device");
}

static bool is_device(int fd)
{
	char path[64], target[64];
	ssize_t length;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	length = readlink(path, target, sizeof(target) - 1);
	if (length < 0)
		return false;
	target[length] = 0;
	return !strcmp(target, "/dev/pagespan");
}

static int lowest_device(void)
{
	for (int fd = 0; fd < MOST_FD; fd++)
		if (is_device(fd))
			return fd;
	return -1;
}

static const char own_text[] = "the program's own file";

/* Makes a file of the program's of every number that was the device's; how many. */
static int put_own_files(int (*open_own)(void))
{
	int count = 0;

	for (int fd = 3; fd < MOST_FD; fd++) {
		int own;

		if (!is_device(fd))
			continue;
		own = open_own();
		if (own < 0 || dup2(own, fd) != fd || close(own))
			abort();
		count++;
	}
	return count;
}

static int own_file(void)
{
	int fd = memfd_create("own", 0);

	if (fd < 0 || ftruncate(fd, MIB) || pwrite(fd, own_text, sizeof(own_text), 0) < 0)
		return -1;
	return fd;
}

static int own_client(void)
{
	return open("/dev/pagespan", O_RDWR);
}

static bool is_own_file(int fd)
{
	char text[sizeof(own_text)];

	return pread(fd, text, sizeof(text), 0) == sizeof(text) && !memcmp(text, own_text, sizeof(text));
}

static bool owns_nothing(int fd)
{
	struct pagespan_info info = {.size = sizeof(info)};

	return !ioctl(fd, PAGESPAN_INFO, &info) && !info.owned_pages;
}

struct spans {
	char *large;
	char *small;
};

static void take_spans(struct spans *spans)
{
	spans->large = ps_span_alloc(3 * MIB);
	spans->small = ps_span_alloc(PAGE);
	if (!spans->large || !spans->small)
		_exit(100);
	memset(spans->large, 0x51, 3 * MIB);
	memset(spans->small, 0x52, PAGE);
}

static bool are_whole(const struct spans *spans)
{
	for (size_t i = 0; i < 3 * MIB; i++)
		if (spans->large[i] != 0x51)
			return false;
	return spans->small[0] == 0x52 && spans->small[PAGE - 1] == 0x52;
}

/* What a program can still do that has lost the device: 0, or what is wrong. */
static int use_spans(const struct spans *spans, bool lost)
{
	struct ps_stats stats;
	char *span;

	if (!are_whole(spans))
		return 1;
	errno = 0;
	span = ps_span_alloc(5 * MIB);
	if (lost ? span || errno != ENODEV : !span)
		return 2;
	if (ps_span_free(spans->small, PAGE))
		return 3;
	/* It is cached, and served. */
	span = ps_span_alloc(PAGE);
	if (span != spans->small)
		return 4;
	if (ps_span_extend(spans->large, 3 * MIB, 4 * MIB) != -ENODEV && lost)
		return 5;
	if (ps_span_free(spans->large, 3 * MIB) || ps_trim(0) || ps_stats(&stats, sizeof(stats)))
		return 6;
	return 0;
}

TEST(device_has_none_of_the_low_numbers)
{
	struct rlimit limit;
	int lowest;

	if (!on_device())
		SKIP(return, "needs the device");
	lowest = lowest_device();
	getrlimit(RLIMIT_NOFILE, &limit);
	EXPECT_LE((int)(limit.rlim_cur > 1024 ? 512 : limit.rlim_cur / 2), lowest);
	EXPECT_EQ(FD_CLOEXEC, fcntl(lowest, F_GETFD));
	EXPECT_EQ(0, IN_CHILD({
		struct rlimit few = {32, 32};

		setrlimit(RLIMIT_NOFILE, &few);
		_exit(!ps_span_alloc(PAGE) || lowest_device() < 16 || lowest_device() >= 32);
	}));
}

TEST(program_that_closes_all_descriptors_keeps_its_spans)
{
	EXPECT_EQ(0, IN_CHILD({
		struct spans spans;

		take_spans(&spans);
		close_range(3, ~0U, 0);
		_exit(use_spans(&spans, on_device()));
	}));
}

TEST(file_that_gets_the_number_of_the_device_is_left_alone)
{
	EXPECT_EQ(0, IN_CHILD({
		struct spans spans;
		int fd;
		int ret;

		take_spans(&spans);
		fd = lowest_device();
		if (put_own_files(own_file) != on_device())
			_exit(101);
		ret = use_spans(&spans, on_device());
		if (ret)
			_exit(ret);
		if (on_device() && !is_own_file(fd))
			_exit(102);
		/* Nor does a child close it. */
		_exit(IN_CHILD({
			if (!ps_span_alloc(PAGE) || ps_span_free(spans.small, PAGE) != -EINVAL)
				_exit(103);
			if (fd >= 0 && !is_own_file(fd))
				_exit(104);
		}));
	}));
}

TEST(client_of_the_programs_own_that_gets_the_number_is_left_alone)
{
	if (!on_device())
		SKIP(return, "needs the device");
	EXPECT_EQ(0, IN_CHILD({
		struct spans spans;
		int fd;
		int ret;

		take_spans(&spans);
		fd = lowest_device();
		if (put_own_files(own_client) != 1)
			_exit(101);
		ret = use_spans(&spans, true);
		if (ret)
			_exit(ret);
		if (!owns_nothing(fd))
			_exit(102);
	}));
}

/* Before the library needs a descriptor for the fork. */
TEST(copying_fork_needs_no_descriptor_that_is_free)
{
	EXPECT_EQ(0, IN_CHILD({
		struct rlimit few = {64, 64};
		struct spans spans;

		setenv("PAGESPAN_FORK", "copy", 1);
		setrlimit(RLIMIT_NOFILE, &few);
		take_spans(&spans);
		while (dup(0) >= 0)
			;
		for (int i = 0; i < 3; i++) {
			int ret = IN_CHILD(_exit(!are_whole(&spans) || ps_span_free(spans.large, 3 * MIB)));

			if (ret)
				_exit(ret);
		}
	}));
}

TEST(copying_fork_without_the_device_gives_the_data_or_stops_and_leaves_files_alone)
{
	EXPECT_EQ(0, IN_CHILD({
		struct spans spans;
		int device;
		int first;
		int ret;

		setenv("PAGESPAN_FORK", "copy", 1);
		take_spans(&spans);
		device = on_device();
		first = lowest_device();
		if (put_own_files(own_file) != 3 * device)
			_exit(101);
		signal(SIGABRT, SIG_DFL);
		fclose(stderr);
		close(STDERR_FILENO);
		ret = IN_CHILD(_exit(!are_whole(&spans)));
		if (ret != (device ? 128 + SIGABRT : 0))
			_exit(102);
		for (int fd = first; device && fd < first + 3; fd++)
			if (!is_own_file(fd))
				_exit(103);
		_exit(use_spans(&spans, device));
	}));
}

TEST_HARNESS_MAIN
