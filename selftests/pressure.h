/* SPDX-License-Identifier: GPL-2.0-only */
/* Clients that answer, and a pool that is used up: what pressure.c and waiting.c share. */
#ifndef PAGESPAN_PRESSURE_H
#define PAGESPAN_PRESSURE_H

#include <poll.h>
#include <pthread.h>
#include <time.h>

#include "harness.h"
#include "pagespan_test.h"

/* In milliseconds: how long others are waited for, how often they are asked, as documented. */
#define ANSWER	10.0
#define REST	5.0

/* What is done at once is done so at least once in a while on a slow machine. */
#define AT_ONCE	(0.8 * ANSWER)
#define TRIES	20

/* What a machine that is busy adds to it. */
#define SLACK	90.0

static inline double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return 1000.0 * time.tv_sec + time.tv_nsec / 1000000.0;
}

/* ---- who answers ------------------------------------------------------------------------ */

/* How often it was asked. */
static inline uint64_t times_asked(int fd)
{
	struct pagespan_pressure told;

	return client_pressure(fd, 0, &told) ? UINT64_MAX : told.asked;
}

static inline int is_asked(int fd)
{
	struct pollfd it = { .fd = fd, .events = POLLIN | POLLOUT | POLLPRI };

	return poll(&it, 1, 0) ? it.revents : 0;
}

/* Answers whatever it was asked. */
static inline bool answer(int fd)
{
	struct pagespan_pressure told;

	return !client_pressure(fd, times_asked(fd), &told) && !told.nr_pages;
}

/* One that answers as a library does: with pages the first time, later with none. */
struct answerer {
	int fd;
	struct pagespan_range spare;
	bool frees_one_by_one;
	bool stop;
	pthread_t thread;
};

static inline void give(struct answerer *answerer)
{
	struct pagespan_range *spare = &answerer->spare;

	while (answerer->frees_one_by_one && spare->nr_pages)
		if (client_free_one(answerer->fd, spare->first + --spare->nr_pages))
			abort();
	if (spare->nr_pages && client_free(answerer->fd, spare->first, spare->nr_pages))
		abort();
	__atomic_store_n(&spare->nr_pages, 0, __ATOMIC_RELEASE);
}

/* Once it has given its pages, of which nobody has taken one: it has them again. */
static inline bool take_back(struct answerer *answerer, uint32_t nr_pages)
{
	struct pagespan_range *spare = &answerer->spare;

	if (!EVENTUALLY(!__atomic_load_n(&spare->nr_pages, __ATOMIC_ACQUIRE)) ||
	    client_alloc_at(answerer->fd, spare->first, nr_pages))
		return false;
	spare->nr_pages = nr_pages;
	return true;
}

static inline void *answer_all(void *argument)
{
	struct answerer *answerer = argument;
	struct pollfd poll_it = { .fd = answerer->fd, .events = POLLPRI };
	struct pagespan_pressure it = { .asked = 0 };

	while (!__atomic_load_n(&answerer->stop, __ATOMIC_RELAXED)) {
		if (client_pressure(answerer->fd, it.asked, &it))
			abort();
		if (it.nr_pages)
			give(answerer);
		else
			poll(&poll_it, 1, 50);
	}
	return NULL;
}

static inline void start_answering(struct answerer *answerer)
{
	times_asked(answerer->fd);
	pthread_create(&answerer->thread, NULL, answer_all, answerer);
}

static inline void stop_answering(struct answerer *answerer)
{
	__atomic_store_n(&answerer->stop, true, __ATOMIC_RELAXED);
	pthread_join(answerer->thread, NULL);
}

/*
 * Has a request for what another can spare served by it. On a slow machine the answer may
 * come too late; then the other has its pages again, and the request is repeated.
 */
static inline long serve(int asker, struct answerer *answerer,
			 long (*alloc)(int fd, uint32_t nr_pages))
{
	uint32_t nr_pages = answerer->spare.nr_pages;
	long got = -ENOMEM;

	start_answering(answerer);
	for (int i = 0; i < TRIES && got == -ENOMEM; i++)
		if (!i || take_back(answerer, nr_pages))
			got = alloc(asker, nr_pages);
	stop_answering(answerer);
	return got;
}

/* ---- a pool that is used up -------------------------------------------------------------- */

FIXTURE(full)
{
	int holder;	/* owns all there is */
	int asker;
	struct pagespan_range spare;	/* of the holder's */
	uint64_t free_pages;
};

FIXTURE_SETUP(full)
{
	uint64_t run;

	self->holder = client_open();
	self->asker = client_open();
	ASSERT_LE(0, self->holder);
	ASSERT_LE(0, self->asker);
	self->free_pages = client_info(self->asker).free_pages;
	self->spare = client_longest(self->holder);
	ASSERT_LE(16, self->spare.nr_pages);
	while ((run = client_info(self->holder).longest_run))
		ASSERT_LE(0, client_alloc(self->holder, run < PAGESPAN_MAX_PAGES ?
							run : PAGESPAN_MAX_PAGES));
}

FIXTURE_TEARDOWN(full)
{
	int fd = client_open();

	close(self->holder);
	close(self->asker);
	EXPECT_TRUE(EVENTUALLY(client_info(fd).free_pages == self->free_pages));
	close(fd);
}

/* How long a request for a run takes to be refused; 1e9 if it is not, or otherwise. */
static inline double refusal(int fd, uint32_t nr_pages)
{
	double start = now();
	long ret = client_alloc(fd, nr_pages);

	return ret == -ENOMEM ? now() - start : 1e9;
}

/* The fastest of some, with pauses of so many milliseconds between them. */
static inline double fastest_refusal(int fd, uint32_t nr_pages, double pause)
{
	double least = 1e9;

	for (int i = 0; i < TRIES; i++) {
		double took = refusal(fd, nr_pages);

		least = took < least ? took : least;
		usleep(1e3 * pause);
	}
	return least;
}

#endif
