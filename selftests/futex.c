// SPDX-License-Identifier: GPL-2.0-only
/*
 * Spans are memory for futexes that are shared, as any shared memory is: between threads
 * and processes, by pages of every size, and through an export. Nobody meets a futex of
 * another client.
 */
#define _GNU_SOURCE
#include <linux/futex.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <time.h>

#include "harness.h"
#include "pagespan_test.h"

#define MEGABLOCK	512
#define ROUNDS		1000
#define PATIENCE	20	/* s, of one who waits for what never comes */

/* Shared, unless FUTEX_PRIVATE_FLAG is given; the result, or -errno. */
static long futex(uint32_t *word, int operation, uint32_t value)
{
	struct timespec patience = { .tv_sec = PATIENCE };
	long ret = syscall(SYS_futex, word, operation, value, &patience, NULL, 0);

	return ret < 0 ? -errno : ret;
}

/* Waits as long as the word is 0. */
static void *wait_for(void *word)
{
	return (void *)futex(word, FUTEX_WAIT, 0);
}

static bool wakes_one(uint32_t *word)
{
	return EVENTUALLY(futex(word, FUTEX_WAKE, 1) == 1);
}

/**
 * struct kept - what two processes share, in pages of a span
 * @word: a futex
 * @count: changed under @mutex alone, but for when its owner has died
 */
struct kept {
	uint32_t word;
	pthread_mutex_t mutex;
	pthread_cond_t condition;
	pthread_barrier_t barrier;
	int count;
};

FIXTURE(span)
{
	int fd, dmabuf;
	long first;
	char *pages;	/* of this process */
	struct kept *kept;
	pthread_mutexattr_t attributes;
};

FIXTURE_VARIANT(span)
{
	uint32_t nr_pages, align_pages;
	bool exported;
};

FIXTURE_VARIANT_ADD(span, page) { .nr_pages = 64, .align_pages = 1 };
FIXTURE_VARIANT_ADD(span, megablock) { .nr_pages = MEGABLOCK, .align_pages = MEGABLOCK };
FIXTURE_VARIANT_ADD(span, export) { .nr_pages = 64, .align_pages = 1, .exported = true };

/* The pages, as a process has them that maps them for itself. */
static char *map(int fd, int dmabuf, long first, uint32_t nr_pages)
{
	size_t bytes = nr_pages * PAGE;
	char *place = mmap(NULL, bytes + MEGABLOCK * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS,
			   -1, 0);

	/* Where a megablock can have one entry. */
	place = (char *)(((uintptr_t)place + MEGABLOCK * PAGE - 1) & -(MEGABLOCK * PAGE));
	return mmap(place, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
		    dmabuf < 0 ? fd : dmabuf, dmabuf < 0 ? first * PAGE : 0);
}

/* Not in the first page. */
static struct kept *kept_in(char *pages)
{
	return (struct kept *)(pages + 5 * PAGE + 64);
}

#define MAP()	map(self->fd, self->dmabuf, self->first, variant->nr_pages)

#define IN_OTHER_PROCESS(...)						\
	({								\
		pid_t pid_ = fork();					\
									\
		if (!pid_) {						\
			char *pages = MAP();				\
			struct kept *kept = kept_in(pages);		\
									\
			__VA_ARGS__;					\
			_exit(0);					\
		}							\
		pid_;							\
	})

static int status_of(pid_t pid)
{
	int status;

	waitpid(pid, &status, 0);
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

FIXTURE_SETUP(span)
{
	struct pagespan_export export = { .size = sizeof(export) };

	self->fd = client_open();
	ASSERT_LE(0, self->fd);
	self->first = client_alloc_ex(self->fd, variant->nr_pages, variant->align_pages,
				      PAGESPAN_ALLOC_ZERO, NULL);
	ASSERT_LE(0, self->first);
	self->dmabuf = -1;
	if (variant->exported) {
		export.first = self->first;
		export.nr_pages = variant->nr_pages;
		self->dmabuf = client_ioctl(self->fd, PAGESPAN_EXPORT, &export);
		ASSERT_LE(0, self->dmabuf);
	}
	self->pages = MAP();
	ASSERT_NE(MAP_FAILED, self->pages);
	self->kept = kept_in(self->pages);
	pthread_mutexattr_init(&self->attributes);
	pthread_mutexattr_setpshared(&self->attributes, PTHREAD_PROCESS_SHARED);
}

FIXTURE_TEARDOWN(span)
{
	munmap(self->pages, variant->nr_pages * PAGE);
	if (self->dmabuf >= 0)
		close(self->dmabuf);
	close(self->fd);
}

TEST_F(span, wake_reaches_a_thread_that_waits)
{
	pthread_t thread;
	void *ret;

	ASSERT_EQ(0, pthread_create(&thread, NULL, wait_for, &self->kept->word));
	EXPECT_TRUE(wakes_one(&self->kept->word));
	pthread_join(thread, &ret);
	EXPECT_EQ(NULL, ret);
}

TEST_F(span, wake_reaches_another_process)
{
	pid_t pid = IN_OTHER_PROCESS(_exit(wait_for(&kept->word) ? 1 : 0));

	EXPECT_TRUE(wakes_one(&self->kept->word));
	EXPECT_EQ(0, status_of(pid));
}

TEST_F(span, words_of_different_pages_and_of_one_page_are_different_futexes)
{
	pid_t pid = IN_OTHER_PROCESS(_exit(wait_for(&kept->word) ? 1 : 0));

	for (int i = 0; i < 20; i++) {
		EXPECT_EQ(0, futex(&self->kept->word + 1, FUTEX_WAKE, 1));
		EXPECT_EQ(0, futex(&self->kept->word + PAGE / sizeof(uint32_t), FUTEX_WAKE, 1));
		usleep(1000);
	}
	EXPECT_TRUE(wakes_one(&self->kept->word));
	EXPECT_EQ(0, status_of(pid));
}

TEST_F(span, one_who_may_only_read_can_wait)
{
	pid_t pid = IN_OTHER_PROCESS({
		if (mprotect(pages, variant->nr_pages * PAGE, PROT_READ))
			_exit(2);
		_exit(wait_for(&kept->word) ? 1 : 0);
	});

	EXPECT_TRUE(wakes_one(&self->kept->word));
	EXPECT_EQ(0, status_of(pid));
}

static void count_up(struct kept *kept)
{
	for (int i = 0; i < ROUNDS; i++) {
		pthread_mutex_lock(&kept->mutex);
		int count = kept->count;

		if (!(i % 64))
			usleep(1000);	/* so that the other one waits */
		kept->count = count + 1;
		pthread_mutex_unlock(&kept->mutex);
	}
}

TEST_F(span, mutex_excludes_another_process)
{
	pid_t pid;

	ASSERT_EQ(0, pthread_mutex_init(&self->kept->mutex, &self->attributes));
	pid = IN_OTHER_PROCESS(count_up(kept));
	count_up(self->kept);
	EXPECT_EQ(0, status_of(pid));
	EXPECT_EQ(2 * ROUNDS, self->kept->count);
}

TEST_F(span, mutex_that_inherits_priority_excludes_another_process)
{
	pid_t pid;

	pthread_mutexattr_setprotocol(&self->attributes, PTHREAD_PRIO_INHERIT);
	ASSERT_EQ(0, pthread_mutex_init(&self->kept->mutex, &self->attributes));
	pid = IN_OTHER_PROCESS(count_up(kept));
	count_up(self->kept);
	EXPECT_EQ(0, status_of(pid));
	EXPECT_EQ(2 * ROUNDS, self->kept->count);
}

/* A process that dies with a mutex, while this one waits for it; what taking it then gives. */
static int take_from_the_dead(struct kept *kept, pid_t pid)
{
	struct timespec until;
	int ret;

	while (!__atomic_load_n(&kept->count, __ATOMIC_ACQUIRE))
		usleep(1000);
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += PATIENCE;
	ret = pthread_mutex_timedlock(&kept->mutex, &until);
	if (ret == EOWNERDEAD && (pthread_mutex_consistent(&kept->mutex) ||
				  pthread_mutex_unlock(&kept->mutex) ||
				  pthread_mutex_lock(&kept->mutex)))
		ret = -1;
	status_of(pid);
	return ret;
}

#define DIE_WITH_THE_MUTEX						\
	IN_OTHER_PROCESS({						\
		pthread_mutex_lock(&kept->mutex);			\
		__atomic_store_n(&kept->count, 1, __ATOMIC_RELEASE);	\
		usleep(100000);						\
	})

TEST_F(span, robust_mutex_tells_that_its_owner_died)
{
	pthread_mutexattr_setrobust(&self->attributes, PTHREAD_MUTEX_ROBUST);
	ASSERT_EQ(0, pthread_mutex_init(&self->kept->mutex, &self->attributes));
	EXPECT_EQ(EOWNERDEAD, take_from_the_dead(self->kept, DIE_WITH_THE_MUTEX));
}

TEST_F(span, robust_mutex_that_inherits_priority_tells_that_its_owner_died)
{
	pthread_mutexattr_setrobust(&self->attributes, PTHREAD_MUTEX_ROBUST);
	pthread_mutexattr_setprotocol(&self->attributes, PTHREAD_PRIO_INHERIT);
	ASSERT_EQ(0, pthread_mutex_init(&self->kept->mutex, &self->attributes));
	EXPECT_EQ(EOWNERDEAD, take_from_the_dead(self->kept, DIE_WITH_THE_MUTEX));
}

TEST_F(span, condition_and_barrier_join_two_processes)
{
	pthread_condattr_t condition;
	pthread_barrierattr_t barrier;
	pid_t pid;

	pthread_condattr_init(&condition);
	pthread_condattr_setpshared(&condition, PTHREAD_PROCESS_SHARED);
	pthread_barrierattr_init(&barrier);
	pthread_barrierattr_setpshared(&barrier, PTHREAD_PROCESS_SHARED);
	ASSERT_EQ(0, pthread_mutex_init(&self->kept->mutex, &self->attributes));
	ASSERT_EQ(0, pthread_cond_init(&self->kept->condition, &condition));
	ASSERT_EQ(0, pthread_barrier_init(&self->kept->barrier, &barrier, 2));

	pid = IN_OTHER_PROCESS({
		pthread_mutex_lock(&kept->mutex);
		for (int i = 0; i < ROUNDS / 10; i++) {
			while (kept->count != 2 * i + 1)
				pthread_cond_wait(&kept->condition, &kept->mutex);
			kept->count++;
			pthread_cond_broadcast(&kept->condition);
		}
		pthread_mutex_unlock(&kept->mutex);
		for (int i = 0; i < ROUNDS / 10; i++)
			pthread_barrier_wait(&kept->barrier);
	});
	pthread_mutex_lock(&self->kept->mutex);
	for (int i = 0; i < ROUNDS / 10; i++) {
		self->kept->count++;
		pthread_cond_broadcast(&self->kept->condition);
		while (self->kept->count != 2 * i + 2)
			pthread_cond_wait(&self->kept->condition, &self->kept->mutex);
	}
	pthread_mutex_unlock(&self->kept->mutex);
	for (int i = 0; i < ROUNDS / 10; i++)
		pthread_barrier_wait(&self->kept->barrier);
	EXPECT_EQ(0, status_of(pid));
}

static void *where_it_runs(void *nothing)
{
	return __builtin_frame_address(0);
}

/* The kernel wakes who joins it, by a shared futex beside its stack. */
TEST_F(span, thread_whose_stack_is_a_span_is_joined)
{
	pthread_attr_t attributes;
	pthread_t thread;
	void *ret;

	pthread_attr_init(&attributes);
	ASSERT_EQ(0, pthread_attr_setstack(&attributes, self->pages, variant->nr_pages * PAGE));
	ASSERT_EQ(0, pthread_create(&thread, &attributes, where_it_runs, NULL));
	ASSERT_EQ(0, pthread_join(thread, &ret));
	EXPECT_TRUE((char *)ret > self->pages);
	EXPECT_TRUE((char *)ret < self->pages + variant->nr_pages * PAGE);
}

TEST_F(span, window_and_export_have_the_same_futexes)
{
	pid_t pid;

	if (!variant->exported)
		return;
	pid = IN_OTHER_PROCESS({
		kept = kept_in(map(self->fd, -1, self->first, variant->nr_pages));
		_exit(wait_for(&kept->word) ? 1 : 0);
	});
	EXPECT_TRUE(wakes_one(&self->kept->word));
	EXPECT_EQ(0, status_of(pid));
}

/* ---- clients one after the other ------------------------------------------ */

/* Another client, in a process of its own that has a thread wait on a page. */
struct left {
	pid_t pid;
	int fd;
	long index;
};

/* Whether a thread sleeps in a futex; others may only look from outside. */
static bool sleeps(pid_t process, pid_t thread)
{
	char name[64], call[16] = "";
	int fd;

	snprintf(name, sizeof(name), "/proc/%d/task/%d/syscall", process, thread);
	fd = open(name, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || read(fd, call, sizeof(call) - 1) < 0)
		call[0] = '\0';
	close(fd);
	return atoi(call) == SYS_futex;
}

static pid_t waiter;

static void *wait_for_ever(void *word)
{
	__atomic_store_n(&waiter, gettid(), __ATOMIC_RELEASE);
	syscall(SYS_futex, word, FUTEX_WAIT, 0, NULL, NULL, 0);
	return NULL;
}

/* Leaves a thread waiting on the page of an index, which is freed then; -1 for any. */
static struct left leave_a_waiter(long index)
{
	struct left left;
	int told[2];

	left.fd = client_open();
	if (left.fd < 0 || pipe(told))
		abort();
	left.pid = fork();
	if (!left.pid) {
		pthread_t thread;
		char *page;

		if (index < 0)
			index = client_alloc(left.fd, 1);
		else if (client_alloc_at(left.fd, index, 1))
			_exit(1);
		page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, left.fd, index * PAGE);
		if (page == MAP_FAILED || pthread_create(&thread, NULL, wait_for_ever, page))
			_exit(1);
		while (!__atomic_load_n(&waiter, __ATOMIC_ACQUIRE) || !sleeps(getpid(), waiter))
			usleep(1000);
		if (client_free(left.fd, index, 1) || write(told[1], &index, sizeof(index)) < 0)
			_exit(1);
		pause();
	}
	close(told[1]);
	if (left.pid < 0 || read(told[0], &left.index, sizeof(left.index)) != sizeof(left.index))
		left.index = -1;
	close(told[0]);
	return left;
}

static void end_left(const struct left *left)
{
	kill(left->pid, SIGKILL);
	status_of(left->pid);
	close(left->fd);
}

/* Whether the one wake that a client gives on a page of its own reaches its one waiter. */
static bool wake_is_not_lost(int fd, long index)
{
	uint32_t *word = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, index * PAGE);
	bool woken = false;
	pthread_t thread;
	void *ret;

	if (word == MAP_FAILED)
		return false;
	*word = 0;
	waiter = 0;
	if (!pthread_create(&thread, NULL, wait_for_ever, word)) {
		while (!__atomic_load_n(&waiter, __ATOMIC_ACQUIRE) || !sleeps(getpid(), waiter))
			usleep(1000);
		woken = futex(word, FUTEX_WAKE, 1) == 1 &&
			EVENTUALLY(!pthread_tryjoin_np(thread, &ret));
	}
	munmap(word, PAGE);
	return woken;
}

TEST(waiter_left_on_a_freed_page_does_not_take_the_wakes_of_the_next_owner)
{
	struct left left = leave_a_waiter(-1);
	int fd = client_open();

	ASSERT_LE(0, left.index);
	ASSERT_EQ(0, client_alloc_at(fd, left.index, 1));
	EXPECT_TRUE(wake_is_not_lost(fd, left.index));
	end_left(&left);
	close(fd);
}

/* ... nor when it has asked for zeros, and gets the page that was freed last. */
TEST(waiter_left_on_a_freed_page_does_not_take_wakes_in_a_page_of_zeros)
{
	struct left left = leave_a_waiter(-1);
	int fd = client_open();

	ASSERT_LE(0, left.index);
	ASSERT_EQ(left.index, client_alloc_ex(fd, 1, 1, PAGESPAN_ALLOC_ZERO, NULL));
	EXPECT_TRUE(wake_is_not_lost(fd, left.index));
	end_left(&left);
	close(fd);
}

/* ... nor when a reservation that failed has put the page into its places once more. */
TEST(waiter_left_does_not_take_wakes_after_an_allocation_that_failed)
{
	int fd = client_open();
	struct left left;
	long index;

	index = client_alloc(fd, 1);
	ASSERT_LE(0, index);
	ASSERT_EQ(0, client_free(fd, index, 1));
	left = leave_a_waiter(index);
	ASSERT_EQ(index, left.index);

	ASSERT_EQ(0, client_alloc_at(fd, index, 1));
	ASSERT_EQ(0, client_free(fd, index, 1));
	/* It gets the page that was freed last, and cannot say so. */
	ASSERT_EQ(-EFAULT, client_alloc_bulk(left.fd, 1, 1, NULL, 0));
	ASSERT_EQ(0, client_alloc_at(fd, index, 1));
	EXPECT_TRUE(wake_is_not_lost(fd, index));
	end_left(&left);
	close(fd);
}

TEST_HARNESS_MAIN
