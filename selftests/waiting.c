// SPDX-License-Identifier: GPL-2.0-only
/*
 * A request that would be refused waits for what others can spare: what serves it, how
 * long it waits, what comes between, and that it costs those who are asked next to nothing.
 */
#define _GNU_SOURCE
#include <sys/time.h>

#include "pressure.h"

static long alloc_page(int fd, uint32_t nr_pages)
{
	return client_alloc_one(fd, NULL, 0);
}

/* How many of so many pages were had. */
static long alloc_bulk(int fd, uint32_t nr_pages)
{
	uint64_t firsts[16];

	return client_alloc_bulk(fd, 1, nr_pages, firsts, 0);
}

TEST_F(full, span_is_served_by_what_another_spares)
{
	struct answerer answerer = {
		.fd = self->holder,
		.spare = { self->spare.first + 3, 8 },
	};

	EXPECT_EQ(self->spare.first + 3, serve(self->asker, &answerer, client_alloc));
	EXPECT_EQ(8, client_info(self->asker).owned_pages);
}

TEST_F(full, page_is_served_by_what_another_spares)
{
	struct answerer answerer = { .fd = self->holder, .spare = { self->spare.first, 1 } };

	EXPECT_EQ(self->spare.first, serve(self->asker, &answerer, alloc_page));
}

TEST_F(full, bulk_of_pages_is_served_by_what_another_spares)
{
	struct answerer answerer = { .fd = self->holder, .spare = { self->spare.first, 4 } };

	EXPECT_EQ(4, serve(self->asker, &answerer, alloc_bulk));
}

TEST_F(full, span_is_served_by_pages_that_are_freed_one_by_one)
{
	struct answerer answerer = {
		.fd = self->holder,
		.spare = { self->spare.first, 16 },
		.frees_one_by_one = true,
	};

	EXPECT_EQ(self->spare.first, serve(self->asker, &answerer, client_alloc));
}

TEST_F(full, page_of_another_is_zeroed_as_ever)
{
	struct answerer answerer = { .fd = self->holder, .spare = { self->spare.first, 1 } };
	char *window = client_window(self->holder);

	ASSERT_NE(MAP_FAILED, window);
	memset(window + self->spare.first * PAGE, 0x5a, PAGE);
	EXPECT_EQ(self->spare.first, serve(self->asker, &answerer, alloc_page));
	munmap(window, client_info(self->holder).nr_pages * PAGE);
	window = client_window(self->asker);
	ASSERT_NE(MAP_FAILED, window);
	EXPECT_TRUE(pages_hold(window + self->spare.first * PAGE, 1, 0));
	munmap(window, client_info(self->asker).nr_pages * PAGE);
}

TEST_F(full, request_is_refused_as_soon_as_all_have_answered)
{
	struct answerer answerer = { .fd = self->holder };
	double took;

	start_answering(&answerer);
	took = fastest_refusal(self->asker, 1, 1.5 * REST);
	stop_answering(&answerer);
	EXPECT_GT(AT_ONCE, took);
	EXPECT_LE(TRIES / 2, times_asked(self->holder));
}

/* Refused once the time is over, and not again until it has answered. */
TEST_F(full, one_that_does_not_answer_is_waited_for_once)
{
	double least = 1e9;

	times_asked(self->holder);
	for (int i = 0; i < 5; i++) {
		double took = refusal(self->asker, 2);

		EXPECT_LE(ANSWER, took);
		least = took < least ? took : least;
		EXPECT_EQ(POLLPRI, is_asked(self->holder));
		EXPECT_GT(AT_ONCE, fastest_refusal(self->asker, 2, 0));
		EXPECT_EQ(i + 1, times_asked(self->holder));
		EXPECT_TRUE(answer(self->holder));
		EXPECT_EQ(0, is_asked(self->holder));
	}
	EXPECT_GT(ANSWER + SLACK, least);
}

/* Beside one that never answers, who answers is asked as ever. */
TEST_F(full, one_that_does_not_answer_keeps_nobody_from_answering)
{
	int silent = client_open();
	struct answerer answerer = { .fd = self->holder };

	ASSERT_EQ(0, client_free_one(self->holder, self->spare.first));
	ASSERT_LE(0, client_alloc(silent, 1));
	times_asked(silent);
	EXPECT_LE(ANSWER, refusal(self->asker, 1));
	answerer.spare = (struct pagespan_range){ self->spare.first + 1, 1 };
	EXPECT_EQ(self->spare.first + 1, serve(self->asker, &answerer, alloc_page));
	EXPECT_EQ(1, times_asked(silent));
	close(silent);
}

/* ---- what comes between ------------------------------------------------------------------ */

static void count_signal(int signal)
{
}

/* A restarted request would wait anew each time, and one that is not would fail for it. */
TEST_F(full, signals_neither_interrupt_a_request_nor_make_it_longer)
{
	struct itimerval every = { { .tv_usec = 1000 }, { .tv_usec = 1000 } };
	struct itimerval never = { { 0 } };

	for (int flags = 0; flags <= SA_RESTART; flags += SA_RESTART) {
		struct sigaction action = { .sa_handler = count_signal, .sa_flags = flags };
		double took;

		sigaction(SIGALRM, &action, NULL);
		times_asked(self->holder);
		answer(self->holder);
		setitimer(ITIMER_REAL, &every, NULL);
		took = refusal(self->asker, 1);
		setitimer(ITIMER_REAL, &never, NULL);
		EXPECT_LE(ANSWER, took);
		EXPECT_GT(ANSWER + SLACK, took);
	}
}

TEST_F(full, one_that_is_killed_while_it_waits_loses_nothing)
{
	uint64_t owned = client_info(self->holder).owned_pages;

	times_asked(self->holder);
	for (int i = 0; i < TRIES; i++) {
		pid_t pid = fork();
		int status;

		if (!pid) {
			for (;;)
				client_alloc(self->asker, 1 + i % 3);
		}
		usleep(1000 + 500 * i);
		answer(self->holder);
		usleep(1000);
		kill(pid, SIGKILL);
		ASSERT_EQ(pid, waitpid(pid, &status, 0));
		EXPECT_EQ(SIGKILL, WTERMSIG(status));
	}
	EXPECT_EQ(owned, client_info(self->holder).owned_pages);
	EXPECT_EQ(0, client_info(self->asker).owned_pages);
}

static void *close_soon(void *answerer)
{
	usleep(2000);
	close(((struct answerer *)answerer)->fd);
	return NULL;
}

static void *free_soon(void *answerer)
{
	usleep(2000);
	give(answerer);
	return NULL;
}

/*
 * A request for two pages of another client, which answers or not, that go soon after
 * it began; where it was too soon or too late, the like again.
 */
static long served_meanwhile(int holder, int asker, uint64_t first, bool answers,
			     void *(*let_go)(void *answerer))
{
	long got = -ENOMEM;

	for (int i = 0; i < TRIES && got == -ENOMEM; i++) {
		struct answerer other = { .fd = client_open(), .spare = { first, 2 } };
		pthread_t thread;

		if (client_free(holder, first, 2) || client_alloc_at(other.fd, first, 2))
			return -EIO;
		answer(answers ? other.fd : holder);
		pthread_create(&thread, NULL, let_go, &other);
		got = client_alloc(asker, 2);
		pthread_join(thread, NULL);
		if (let_go != close_soon)
			close(other.fd);
		if (got == -ENOMEM && client_alloc_at(holder, first, 2))
			return -EIO;
	}
	return got;
}

TEST_F(full, request_is_served_by_what_a_closed_client_leaves)
{
	EXPECT_EQ(self->spare.first, served_meanwhile(self->holder, self->asker, self->spare.first,
						      true, close_soon));
}

/* Of pages that nobody was asked for. */
TEST_F(full, request_is_served_by_whatever_is_freed_while_it_waits)
{
	EXPECT_EQ(self->spare.first, served_meanwhile(self->holder, self->asker, self->spare.first,
						      false, free_soon));
}

/* By what the parent has, which the child frees. */
TEST_F(full, child_answers_for_its_parent)
{
	struct answerer answerer = { .fd = self->holder, .spare = { self->spare.first, 4 } };
	long got = -ENOMEM;

	times_asked(self->holder);
	for (int i = 0; i < TRIES && got == -ENOMEM; i++) {
		pid_t pid = fork();

		if (!pid)
			answer_all(&answerer);
		usleep(20000);
		got = client_alloc(self->asker, 4);
		if (got == -ENOMEM)
			EXPECT_TRUE(EVENTUALLY(!client_alloc_at(self->holder, answerer.spare.first,
								4)));
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
	}
	EXPECT_EQ(self->spare.first, got);
}

/* ---- many at once ------------------------------------------------------------------------ */

#define MANY	12

struct waiter {
	int fd;
	long until;	/* in milliseconds, or 0: once */
	long got;
	unsigned long refused;
	pthread_t thread;
};

static void *want(void *argument)
{
	struct waiter *waiter = argument;
	double end = now() + waiter->until;

	do {
		waiter->got = client_alloc(waiter->fd, 1);
		waiter->refused += waiter->got == -ENOMEM;
	} while (now() < end);
	return NULL;
}

/* How many of them got a page. */
static int want_together(struct waiter *waiters, long until)
{
	int got = 0;

	for (int i = 0; i < MANY; i++) {
		waiters[i] = (struct waiter){ .fd = client_open(), .until = until };
		pthread_create(&waiters[i].thread, NULL, want, &waiters[i]);
	}
	for (int i = 0; i < MANY; i++) {
		pthread_join(waiters[i].thread, NULL);
		got += waiters[i].got >= 0;
	}
	for (int i = 0; i < MANY; i++)
		close(waiters[i].fd);
	return got;
}

TEST_F(full, many_are_served_by_one)
{
	struct answerer answerer = { .fd = self->holder, .spare = { self->spare.first, MANY } };
	struct waiter waiters[MANY];
	int got = 0;

	start_answering(&answerer);
	for (int i = 0; i < TRIES && got < MANY; i++)
		if (!i || take_back(&answerer, MANY))
			got = want_together(waiters, 0);
	stop_answering(&answerer);
	EXPECT_EQ(MANY, got);
}

/* Once all have given their page, of which nobody has taken one: they have them again. */
static bool all_take_back(struct answerer *answerers)
{
	for (int i = 0; i < MANY; i++)
		if (!take_back(&answerers[i], 1))
			return false;
	return true;
}

TEST_F(full, one_is_served_by_many)
{
	struct answerer answerers[MANY];
	long first = -ENOMEM;
	int tries;

	ASSERT_EQ(0, client_free(self->holder, self->spare.first, MANY));
	for (int i = 0; i < MANY; i++) {
		int fd = client_open();

		answerers[i] = (struct answerer){
			.fd = fd,
			.spare = { client_alloc(fd, 1), 1 },
		};
		start_answering(&answerers[i]);
	}
	/* On a slow machine some answers come too late. */
	for (tries = 0; tries < TRIES && first == -ENOMEM; tries++)
		if (!tries || all_take_back(answerers))
			first = client_alloc(self->asker, MANY);
	for (int i = 0; i < MANY; i++) {
		stop_answering(&answerers[i]);
		EXPECT_LE(1, times_asked(answerers[i].fd));
		EXPECT_GE(tries, times_asked(answerers[i].fd));
		close(answerers[i].fd);
	}
	EXPECT_EQ(self->spare.first, first);
}

/* However many are refused again and again, and however fast the one that is asked answers. */
TEST_F(full, one_that_answers_rests_before_it_is_asked_again)
{
	struct answerer answerer = { .fd = self->holder };
	struct waiter waiters[MANY];
	double start = now(), took;
	uint64_t asked;

	start_answering(&answerer);
	want_together(waiters, 300);
	took = now() - start;
	stop_answering(&answerer);
	asked = times_asked(self->holder);
	TH_LOG("asked %llu times in %.0f ms, of %lu refusals of one client",
	       (unsigned long long)asked, took, waiters[0].refused);
	EXPECT_LE(2, asked);
	EXPECT_GE(took / REST + 1, asked);
	EXPECT_LT(0, waiters[0].refused);
}

TEST_HARNESS_MAIN
