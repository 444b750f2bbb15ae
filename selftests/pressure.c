// SPDX-License-Identifier: GPL-2.0-only
/*
 * Before a client is refused, the others are asked what they can spare: who is asked, for
 * what, and how they learn of it. waiting.c is about those who ask.
 */
#define _GNU_SOURCE
#include <sys/epoll.h>
#include <sys/resource.h>

#include "poison.h"
#include "pressure.h"

TEST_F(full, request_is_refused_at_once_where_nobody_answers)
{
	EXPECT_GT(AT_ONCE, fastest_refusal(self->asker, 1, 0));
	EXPECT_GT(AT_ONCE, fastest_refusal(self->asker, 16, 0));
	EXPECT_EQ(0, is_asked(self->holder));
	EXPECT_EQ(0, times_asked(self->holder));
}

TEST_F(full, client_that_owns_nothing_is_not_asked)
{
	int other = client_open();

	EXPECT_EQ(0, times_asked(other));
	EXPECT_GT(AT_ONCE, fastest_refusal(self->asker, 1, 0));
	EXPECT_EQ(0, is_asked(other));
	EXPECT_EQ(0, times_asked(other));
	close(other);
}

TEST_F(full, client_is_not_asked_for_itself)
{
	EXPECT_EQ(0, times_asked(self->holder));
	EXPECT_GT(AT_ONCE, fastest_refusal(self->holder, 1, 0));
	EXPECT_EQ(0, times_asked(self->holder));
}

TEST_F(full, client_that_answers_no_more_is_not_asked)
{
	struct pagespan_pressure told = { .size = sizeof(told) };

	times_asked(self->holder);
	refusal(self->asker, 1);
	EXPECT_EQ(POLLPRI, is_asked(self->holder));
	EXPECT_EQ(0, client_ioctl(self->holder, PAGESPAN_PRESSURE, &told));
	EXPECT_EQ(1, told.asked);
	EXPECT_EQ(0, is_asked(self->holder));
	EXPECT_GT(AT_ONCE, fastest_refusal(self->asker, 1, 0));
	EXPECT_EQ(0, is_asked(self->holder));
	EXPECT_EQ(1, times_asked(self->holder));
}

/* What is wanted is told until the answer is for it, whatever is answered besides. */
TEST_F(full, event_is_level_until_it_is_answered)
{
	struct epoll_event event = { .events = EPOLLPRI };
	int watch = epoll_create1(EPOLL_CLOEXEC);
	struct pagespan_pressure told;

	ASSERT_EQ(0, epoll_ctl(watch, EPOLL_CTL_ADD, self->holder, &event));
	times_asked(self->holder);
	EXPECT_EQ(0, is_asked(self->holder));
	EXPECT_EQ(0, epoll_wait(watch, &event, 1, 0));
	refusal(self->asker, 3);
	for (int i = 0; i < 2; i++) {
		EXPECT_EQ(POLLPRI, is_asked(self->holder));
		EXPECT_EQ(1, epoll_wait(watch, &event, 1, 0));
		EXPECT_EQ(EPOLLPRI, event.events);
		EXPECT_EQ(0, client_pressure(self->holder, 0, &told));
		EXPECT_EQ(1, told.asked);
		EXPECT_EQ(3, told.nr_pages);
	}
	EXPECT_EQ(-EINVAL, client_pressure(self->holder, 2, &told));
	EXPECT_EQ(POLLPRI, is_asked(self->holder));
	EXPECT_EQ(0, client_pressure(self->holder, 1, &told));
	EXPECT_EQ(1, told.asked);
	EXPECT_EQ(0, told.nr_pages);
	EXPECT_EQ(0, is_asked(self->holder));
	EXPECT_EQ(0, epoll_wait(watch, &event, 1, 0));

	usleep(2e3 * REST);
	refusal(self->asker, 2);
	EXPECT_EQ(0, client_pressure(self->holder, 1, &told));
	EXPECT_EQ(2, told.asked);
	EXPECT_EQ(2, told.nr_pages);
	EXPECT_EQ(POLLPRI, is_asked(self->holder));
	close(watch);
}

TEST_F(full, answer_that_cannot_be_stored_is_none)
{
	struct pagespan_pressure it = {
		.size = sizeof(it),
		.flags = PAGESPAN_PRESSURE_ANSWER,
		.answered = 1,
	};
	struct pagespan_pressure *readonly;

	readonly = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, readonly);
	times_asked(self->holder);
	refusal(self->asker, 1);
	*readonly = it;
	mprotect(readonly, PAGE, PROT_READ);
	EXPECT_EQ(-EFAULT, client_ioctl(self->holder, PAGESPAN_PRESSURE, readonly));
	EXPECT_EQ(POLLPRI, is_asked(self->holder));
	munmap(readonly, PAGE);
}

/* How often this thread waits while it is refused; not how long, for the machine may be busy. */
static long waits(int fd, uint32_t nr_pages)
{
	struct rusage before, after;

	getrusage(RUSAGE_THREAD, &before);
	refusal(fd, nr_pages);
	getrusage(RUSAGE_THREAD, &after);
	return after.ru_nvcsw - before.ru_nvcsw;
}

TEST_F(full, nonblocking_request_asks_and_does_not_wait)
{
	double start;

	times_asked(self->holder);
	ASSERT_EQ(0, fcntl(self->asker, F_SETFL, O_NONBLOCK));
	EXPECT_EQ(0, waits(self->asker, 1));
	EXPECT_EQ(POLLPRI, is_asked(self->holder));
	EXPECT_EQ(0, client_free_one(self->holder, self->spare.first));
	EXPECT_TRUE(answer(self->holder));
	EXPECT_EQ(self->spare.first, client_alloc(self->asker, 1));
	/* It has answered of late; that it is not asked is not waited for either. */
	EXPECT_GT(AT_ONCE, fastest_refusal(self->asker, 1, 0));
	ASSERT_EQ(0, fcntl(self->asker, F_SETFL, 0));
	EXPECT_TRUE(answer(self->holder));
	start = now();
	EXPECT_LE(1, waits(self->asker, 1));
	EXPECT_LE(ANSWER, now() - start);
}

TEST_F(full, nobody_is_asked_for_certain_pages_or_for_the_rest_of_a_bulk)
{
	uint64_t firsts[8];
	double start;

	times_asked(self->holder);
	EXPECT_EQ(-EBUSY, client_alloc_at(self->asker, self->spare.first, 2));
	EXPECT_EQ(0, client_free(self->holder, self->spare.first, 3));
	start = now();
	EXPECT_EQ(3, client_alloc_bulk(self->asker, 1, 8, firsts, 0));
	EXPECT_EQ(0, client_free(self->holder, self->spare.first + 4, 4));
	EXPECT_EQ(2, client_alloc_bulk(self->asker, 2, 8, firsts, 0));
	EXPECT_GT(AT_ONCE + SLACK, now() - start);
	EXPECT_EQ(0, times_asked(self->holder));
}

TEST_F(full, nobody_is_asked_for_more_than_the_pool_has)
{
	uint64_t pages = client_info(self->asker).pool_pages;

	if (pages >= PAGESPAN_MAX_PAGES)
		SKIP(return, "the pool has room for every span");
	times_asked(self->holder);
	EXPECT_GT(AT_ONCE, fastest_refusal(self->asker, pages + 1, 0));
	EXPECT_EQ(0, times_asked(self->holder));
}

TEST_F(full, who_was_asked_and_served_is_counted)
{
	struct answerer answerer = { .fd = self->holder, .spare = { self->spare.first, 1 } };
	long served = pool_figure("events/served"), asks, waits;

	EXPECT_EQ(self->spare.first, serve(self->asker, &answerer, client_alloc));
	EXPECT_EQ(served + 1, pool_figure("events/served"));
	answer(self->holder);
	usleep(2000 * REST);
	asks = pool_figure("events/ask");
	waits = pool_figure("events/wait");
	EXPECT_LE(ANSWER, refusal(self->asker, 1));
	EXPECT_EQ(asks + 1, pool_figure("events/ask"));
	EXPECT_EQ(waits + 1, pool_figure("events/wait"));
	EXPECT_EQ(served + 1, pool_figure("events/served"));
}

TEST_HARNESS_MAIN
