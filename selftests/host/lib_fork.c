// SPDX-License-Identifier: MIT
/* What becomes of spans over fork, the same on both backends. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/pagespan.h>
#include <pagespan.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <time.h>

#include "../in_child.h"
#include "../harness.h"

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

/* What is freed here is the next of its size. */
static void stay_on_this_cpu(void)
{
	cpu_set_t one;

	CPU_ZERO(&one);
	CPU_SET(sched_getcpu(), &one);
	sched_setaffinity(0, sizeof(one), &one);
}

/* Descriptors of the device that this process has. */
static int nr_devices(void)
{
	char path[64], target[64];
	int count = 0;

	for (int fd = 0; fd < 1024; fd++) {
		ssize_t length;

		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		length = readlink(path, target, sizeof(target) - 1);
		if (length < 0)
			continue;
		target[length] = 0;
		count += !strcmp(target, "/dev/pagespan");
	}
	return count;
}

FIXTURE(fresh)
{
};

/* In a child of the test's, as the choice is made once. */
FIXTURE_SETUP(fresh)
{
	setenv("PAGESPAN_FORK", "fresh", 1);
}

FIXTURE_TEARDOWN(fresh)
{
}

/* In a child that starts afresh: 0, or what is wrong. */
static int check_fresh(char *inherited, size_t bytes)
{
	char *own;

	if (ps_span_free(inherited, bytes) != -EINVAL)
		return 1;
	if (ps_span_extend(inherited, bytes, 2 * bytes) != -EINVAL)
		return 2;
	if (stats().bytes_held || stats().spans_allocated || stats().bytes_cached)
		return 3;
	own = ps_span_alloc(8 * PAGE);
	if (!own)
		return 4;
	memset(own, 0x62, 8 * PAGE);
	if (ps_span_free(inherited, bytes) != -EINVAL)
		return 5;
	if (ps_span_free(own, 8 * PAGE))
		return 6;
	return 0;
}

TEST_F(fresh, child_starts_with_nothing)
{
	char *span = ps_span_alloc(4 * PAGE);
	char *cached = ps_span_alloc(4 * PAGE);

	ASSERT_NE(NULL, span);
	memset(span, 0x61, 4 * PAGE);
	stay_on_this_cpu();
	ASSERT_EQ(0, ps_span_free(cached, 4 * PAGE));
	EXPECT_EQ(0, IN_CHILD(_exit(check_fresh(span, 4 * PAGE))));
	EXPECT_EQ(0x61, span[4 * PAGE - 1]);
	EXPECT_EQ(cached, ps_span_alloc(4 * PAGE));
	EXPECT_EQ(0, ps_span_free(span, 4 * PAGE));
}

TEST_F(fresh, child_of_a_child_starts_with_nothing)
{
	char *span = ps_span_alloc(4 * PAGE);

	EXPECT_EQ(0, IN_CHILD({
		char *own = ps_span_alloc(4 * PAGE);

		if (!own)
			_exit(100);
		_exit(IN_CHILD({
			if (check_fresh(own, 4 * PAGE))
				_exit(101);
			if (ps_span_free(span, 4 * PAGE) != -EINVAL)
				_exit(102);
		}));
	}));
	EXPECT_EQ(0, ps_span_free(span, 4 * PAGE));
}

TEST_F(fresh, span_is_not_mapped_in_a_child)
{
	volatile char *span = ps_span_alloc(PAGE);

	ASSERT_NE(NULL, span);
	span[0] = 1;
	EXPECT_EQ(128 + SIGSEGV, IN_CHILD(signal(SIGSEGV, SIG_DFL); _exit(span[0])));
}

/* The address space of both is laid out alike, and that of the parent's window would be free. */
TEST_F(fresh, window_of_a_child_is_never_where_that_of_the_parent_was)
{
	char *span = ps_span_alloc(PAGE);
	int failed = 0;

	for (int i = 0; i < 4; i++)
		failed |= IN_CHILD(_exit(!ps_span_alloc(PAGE) || ps_span_free(span, PAGE) != -EINVAL));
	EXPECT_EQ(0, failed);
	EXPECT_EQ(0, ps_span_free(span, PAGE));
}

/* One that would fit there. */
TEST_F(fresh, smaller_window_of_a_child_is_not_where_that_of_the_parent_was)
{
	const size_t bytes = 16 << 20;

	EXPECT_EQ(0, IN_CHILD({
		char *parents;

		setenv("PAGESPAN_BACKEND", "memory", 1);
		setenv("PAGESPAN_MEMORY_MB", "16", 1);
		parents = ps_span_alloc(bytes);
		if (!parents)
			_exit(1);
		_exit(IN_CHILD({
			char *own;

			setenv("PAGESPAN_MEMORY_MB", "8", 1);
			own = ps_span_alloc(PAGE);
			_exit(!own || (own >= parents && own < parents + bytes) ? 2 : 0);
		}));
	}));
}

TEST_F(fresh, descriptor_of_the_parent_is_closed_in_the_child)
{
	if (!on_device())
		SKIP(return, "needs the device");
	ASSERT_NE(NULL, ps_span_alloc(PAGE));
	EXPECT_EQ(1, nr_devices());
	EXPECT_EQ(0, IN_CHILD(_exit(nr_devices())));
	EXPECT_EQ(1, IN_CHILD(ps_span_alloc(PAGE); _exit(nr_devices())));
}

static uint64_t free_pages(void)
{
	struct pagespan_info info = {.size = sizeof(info)};
	int fd = open("/dev/pagespan", O_RDWR | O_CLOEXEC);

	if (fd < 0 || ioctl(fd, PAGESPAN_INFO, &info))
		abort();
	close(fd);
	return info.free_pages;
}

TEST(exec_gives_everything_back)
{
	struct timespec wait = {.tv_nsec = 20 * 1000 * 1000};
	int to[2], from[2], status, patience = 1000;
	uint64_t before;
	char byte;
	pid_t pid;

	if (!on_device())
		SKIP(return, "needs the device");
	ps_trim(0);
	before = free_pages();
	ASSERT_EQ(0, pipe(to));
	ASSERT_EQ(0, pipe(from));
	pid = fork();
	if (!pid) {
		dup2(to[0], STDIN_FILENO);
		close(to[1]);
		if (!ps_span_alloc(700 * PAGE) || write(from[1], "", 1) != 1 || read(to[0], &byte, 1) != 1)
			_exit(1);
		execlp("sh", "sh", "-c", "read line; exit 42", NULL);
		_exit(2);
	}
	ASSERT_EQ(1, read(from[0], &byte, 1));
	EXPECT_LE(700, before - free_pages());
	ASSERT_EQ(1, write(to[1], "", 1));
	while (free_pages() != before && patience--)
		nanosleep(&wait, NULL);
	EXPECT_EQ(before, free_pages());
	/* It is still there. */
	EXPECT_EQ(0, waitpid(pid, &status, WNOHANG));
	ASSERT_EQ(1, write(to[1], "\n", 1));
	waitpid(pid, &status, 0);
	EXPECT_EQ(42, WEXITSTATUS(status));
}

/* No handler of pthread_atfork() runs. */
TEST_F(fresh, child_of_a_bare_clone_starts_with_nothing)
{
	char *span = ps_span_alloc(4 * PAGE);
	char *cached = ps_span_alloc(PAGE);
	int status;
	pid_t pid;

	memset(span, 0x61, 4 * PAGE);
	stay_on_this_cpu();
	ASSERT_EQ(0, ps_span_free(cached, PAGE));
	pid = (pid_t)syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);
	if (!pid) {
		char *own = ps_span_alloc(PAGE);

		if (!own || own == cached)
			_exit(100);
		own[0] = 1;
		if (on_device() && nr_devices() != 1)
			_exit(101);
		if (ps_span_free(own, PAGE) || ps_trim(0))
			_exit(102);
		if (ps_span_free(span, 4 * PAGE) != -EINVAL)
			_exit(103);
		_exit(0);
	}
	waitpid(pid, &status, 0);
	EXPECT_EQ(0, status);
	EXPECT_EQ(0x61, span[4 * PAGE - 1]);
	EXPECT_EQ(0, ps_span_free(span, 4 * PAGE));
	EXPECT_EQ(cached, ps_span_alloc(PAGE));
}

TEST(vfork_leaves_the_parent_as_it_was)
{
	char *span = ps_span_alloc(PAGE);
	int status;
	pid_t pid;

	span[0] = 7;
	pid = vfork();
	if (!pid) {
		execl("/bin/true", "true", NULL);
		_exit(0);
	}
	waitpid(pid, &status, 0);
	EXPECT_EQ(0, status);
	EXPECT_EQ(7, span[0]);
	EXPECT_EQ(0, ps_span_free(span, PAGE));
}

FIXTURE(copy)
{
	char *span;
	char *cached;
	char *huge;
};

/* Without a choice. */
FIXTURE_SETUP(copy)
{
	self->span = ps_span_alloc(40 * PAGE);
	self->cached = ps_span_alloc(3 * PAGE);
	self->huge = ps_span_alloc(600 * PAGE);
	ASSERT_NE(NULL, self->span);
	ASSERT_NE(NULL, self->huge);
	for (size_t i = 0; i < 40 * PAGE; i++)
		self->span[i] = (char)(i / 100);
	memset(self->huge, 0x48, 600 * PAGE);
	/* A hole, and a span in the cache. */
	ASSERT_EQ(0, ps_span_free(self->span + 10 * PAGE, 20 * PAGE));
	ASSERT_EQ(0, ps_span_free(self->cached, 3 * PAGE));
}

FIXTURE_TEARDOWN(copy)
{
}

static bool span_is_whole(const char *span)
{
	for (size_t i = 0; i < 40 * PAGE; i++)
		if ((i < 10 * PAGE || i >= 30 * PAGE) && span[i] != (char)(i / 100))
			return false;
	return true;
}

TEST_F(copy, child_has_the_spans_at_the_same_addresses)
{
	const char *backend = ps_backend();
	uint64_t held = stats().bytes_held;

	EXPECT_EQ(0, IN_CHILD({
		if (!span_is_whole(self->span) || self->huge[600 * PAGE - 1] != 0x48)
			_exit(1);
		if (strcmp(ps_backend(), backend) || nr_devices())
			_exit(2);
		if (stats().bytes_held != held)
			_exit(3);
	}));
	EXPECT_TRUE(span_is_whole(self->span));
}

/* What a child does before it is the library's turn. */
static void (*early)(void);

static void run_early(void)
{
	if (early)
		early();
}

/* Handlers run in the order in which they came, so this one's before the library's. */
__attribute__((constructor)) static void handle_forks_first(void)
{
	pthread_atfork(NULL, NULL, run_early);
}

static volatile char *touched;

static void touch(void)
{
	if (touched[0] == 0x61)
		touched[0] = 0x62;
}

TEST_F(copy, child_has_the_spans_before_the_first_handler_runs)
{
	volatile char *span = ps_span_alloc(3 * PAGE);
	struct sigaction before, after;
	sigset_t blocked, mask;

	ASSERT_NE(NULL, span);
	span[0] = 0x61;
	touched = span;
	early = touch;
	sigaction(SIGSEGV, NULL, &before);
	sigemptyset(&blocked);
	sigaddset(&blocked, SIGSEGV);
	sigprocmask(SIG_BLOCK, &blocked, NULL);
	EXPECT_EQ(0, IN_CHILD(sigaction(SIGSEGV, NULL, &after); sigprocmask(0, NULL, &mask);
			      _exit(span[0] != 0x62 || before.sa_handler != after.sa_handler ||
				    !sigismember(&mask, SIGSEGV))));
	early = NULL;
	EXPECT_EQ(0x61, span[0]);
	sigprocmask(0, NULL, &mask);
	EXPECT_TRUE(sigismember(&mask, SIGSEGV));
	sigaction(SIGSEGV, NULL, &after);
	EXPECT_TRUE(before.sa_handler == after.sa_handler);
	sigprocmask(SIG_UNBLOCK, &blocked, NULL);
	EXPECT_EQ(0, ps_span_free((void *)span, 3 * PAGE));
}

static char *closed;
static volatile sig_atomic_t caught;

static void open_closed(int number, siginfo_t *info, void *context)
{
	caught = info->si_code;
	if (info->si_addr == closed)
		mprotect(closed, PAGE, PROT_READ | PROT_WRITE);
}

static void touch_closed(void)
{
	*(volatile char *)closed = 1;
}

static void send_signal(void)
{
	raise(SIGSEGV);
}

TEST_F(copy, signal_before_the_first_handler_that_no_span_caused_is_the_programs)
{
	struct sigaction action = {.sa_sigaction = open_closed, .sa_flags = SA_SIGINFO};
	struct sigaction before;

	closed = mmap(NULL, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, (void *)closed);
	sigaction(SIGSEGV, &action, &before);
	early = touch_closed;
	EXPECT_EQ(0, IN_CHILD(_exit(caught != SEGV_ACCERR || closed[0] != 1 ||
				    !span_is_whole(self->span))));
	early = send_signal;
	EXPECT_EQ(0, IN_CHILD(_exit(caught != SI_TKILL || !span_is_whole(self->span))));
	early = NULL;
	EXPECT_EQ(0, caught);
	sigaction(SIGSEGV, &before, NULL);
	munmap(closed, PAGE);
}

TEST_F(copy, what_one_process_writes_the_other_does_not_see)
{
	int status, go[2];
	char byte;

	ASSERT_EQ(0, pipe(go));
	if (!fork()) {
		memset(self->span, 0, 10 * PAGE);
		if (read(go[0], &byte, 1) != 1 || self->huge[0] != 0x48)
			_exit(1);
		_exit(0);
	}
	memset(self->huge, 0x49, PAGE);
	ASSERT_EQ(1, write(go[1], "", 1));
	wait(&status);
	EXPECT_EQ(0, status);
	EXPECT_TRUE(span_is_whole(self->span));
	EXPECT_EQ(0x49, self->huge[0]);
}

TEST_F(copy, child_goes_on_allocating_and_freeing)
{
	EXPECT_EQ(0, IN_CHILD({
		char *spans[500];

		if (ps_span_free(self->span + 5 * PAGE, 5 * PAGE))
			_exit(1);
		for (int i = 0; i < 500; i++) {
			spans[i] = ps_span_alloc((size_t)(1 + i % 9) * PAGE);
			if (!spans[i])
				_exit(2);
			memset(spans[i], 0x11, (size_t)(1 + i % 9) * PAGE);
		}
		for (size_t i = 0; i < 5 * PAGE; i++)
			if (self->span[i] != (char)(i / 100))
				_exit(3);
		if (self->huge[0] != 0x48 || self->huge[600 * PAGE - 1] != 0x48)
			_exit(4);
		for (int i = 0; i < 500; i++)
			if (ps_span_free(spans[i], (size_t)(1 + i % 9) * PAGE))
				_exit(5);
		if (ps_span_free(self->span, 5 * PAGE) || ps_span_free(self->span + 30 * PAGE, 10 * PAGE) ||
		    ps_span_free(self->huge, 600 * PAGE))
			_exit(6);
		if (ps_trim(0) || stats().bytes_held || stats().bytes_cached)
			_exit(7);
		/* And its own child. */
		self->span = ps_span_alloc(PAGE);
		self->span[0] = 0x77;
		_exit(IN_CHILD(_exit(self->span[0] != 0x77 || ps_span_free(self->span, PAGE))));
	}));
	EXPECT_TRUE(span_is_whole(self->span));
}

static void *cache_and_wait(void *arg)
{
	pthread_barrier_t *barrier = arg;
	void *spans[100];

	for (int i = 0; i < 100; i++)
		spans[i] = ps_span_alloc(2 * PAGE);
	for (int i = 0; i < 100; i++)
		ps_span_free(spans[i], 2 * PAGE);
	pthread_barrier_wait(barrier);
	pthread_barrier_wait(barrier);
	return NULL;
}

TEST_F(copy, what_threads_of_the_parent_cached_is_free_in_the_child)
{
	uint64_t held = stats().bytes_held;
	uint64_t allocated = stats().spans_allocated + 100;
	bool device = on_device();
	pthread_barrier_t barrier;
	pthread_t thread;

	pthread_barrier_init(&barrier, NULL, 2);
	ASSERT_EQ(0, pthread_create(&thread, NULL, cache_and_wait, &barrier));
	pthread_barrier_wait(&barrier);
	EXPECT_EQ(0, IN_CHILD({
		if (ps_trim(0) || stats().bytes_cached)
			_exit(1);
		if (stats().bytes_held < held ||
		    stats().bytes_held > held + (device ? 200 * PAGE : 0))
			_exit(2);
		if (stats().spans_allocated != allocated)
			_exit(3);
	}));
	pthread_barrier_wait(&barrier);
	pthread_join(thread, NULL);
	EXPECT_EQ(held, stats().bytes_held);
}

static _Atomic bool enough;

/* Overwrites every word of what it gets, where links are as well. */
static void *use_spans(void *arg)
{
	char *spans[48];

	while (!enough) {
		for (int i = 0; i < 48; i++) {
			spans[i] = ps_span_alloc((size_t)(1 + i % 3) * PAGE);
			memset(spans[i], 0x5b, (size_t)(1 + i % 3) * PAGE);
		}
		for (int i = 0; i < 48; i++)
			ps_span_free(spans[i], (size_t)(1 + i % 3) * PAGE);
		spans[0] = ps_span_alloc(601 * PAGE);
		memset(spans[0], 0x5c, 601 * PAGE);
		ps_span_free(spans[0], 601 * PAGE);
	}
	return arg;
}

TEST_F(copy, spans_may_be_copied_while_threads_use_theirs)
{
	pthread_t threads[3];

	for (int i = 0; i < 3; i++)
		ASSERT_EQ(0, pthread_create(&threads[i], NULL, use_spans, NULL));
	for (int i = 0; i < 30; i++) {
		EXPECT_EQ(0, IN_CHILD({
			char *own = ps_span_alloc(3 * PAGE);

			if (!own || !span_is_whole(self->span) || ps_span_free(own, 3 * PAGE))
				_exit(1);
		}));
	}
	enough = true;
	for (int i = 0; i < 3; i++)
		ASSERT_EQ(0, pthread_join(threads[i], NULL));
}

TEST_F(copy, child_of_a_bare_clone_still_starts_with_nothing)
{
	int status;
	pid_t pid = (pid_t)syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);

	if (!pid)
		_exit(ps_span_free(self->span, PAGE) != -EINVAL || stats().bytes_held ||
		      !ps_span_alloc(PAGE));
	waitpid(pid, &status, 0);
	EXPECT_EQ(0, status);
	EXPECT_TRUE(span_is_whole(self->span));
}

TEST_HARNESS_MAIN
