// SPDX-License-Identifier: MIT
/*
 * The library's own thread.  It sleeps until something may be due, until pages are kept again, or
 * until another client of the device asks for them.
 */
#define _GNU_SOURCE
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "backend/descriptor.h"
#include "background.h"
#include "process.h"
#include "span/budget.h"
#include "span/house.h"

/* Enough for the deepest of what it calls, and for what the C library puts there. */
#define STACK_BYTES (128 << 10)

/* How long it sleeps where nothing can wake it, in milliseconds. */
#define DEAF_MS 1000

static struct descriptor bell = {.fd = -1};
static _Atomic pid_t running_in;

/* Pages are kept again: the thread may be asleep for good. */
static void ring(void)
{
	static const uint64_t one = 1;

	if (descriptor_is_ours(&bell))
		(void)!write(bell.fd, &one, sizeof(one));
}

static void listen(uint32_t ms)
{
	uint64_t rings;
	struct pollfd files[] = {
		{.fd = bell.fd, .events = POLLIN},
		{.fd = process.window.fd, .events = POLLPRI},
	};

	if (!descriptor_is_ours(&bell)) {
		poll(NULL, 0, ms < DEAF_MS ? (int)ms : DEAF_MS);
		return;
	}
	if (ms <= INT_MAX && ms) {
		poll(files, 2, (int)ms);
	} else if (ms) {
		budget_call_when_kept(ring);
		if (budget_next_tick() == UINT32_MAX)
			poll(files, 2, -1);
		budget_call_when_kept(NULL);
	}
	if (files[0].revents & POLLIN)
		(void)!read(bell.fd, &rings, sizeof(rings));
	/* The program has closed the device. */
	if (files[1].revents & POLLNVAL)
		poll(NULL, 0, DEAF_MS);
}

static void *keep_house(void *nothing)
{
	for (;;) {
		listen(budget_next_tick());
		house_keep();
	}
	return nothing;
}

static int start(void)
{
	pthread_attr_t attributes;
	pthread_t thread;
	int ret = pthread_attr_init(&attributes);

	if (ret)
		return ret;
	pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attributes, STACK_BYTES);
	ret = pthread_create(&thread, &attributes, keep_house, NULL);
	pthread_attr_destroy(&attributes);
	if (!ret)
		pthread_setname_np(thread, "pagespan");
	return ret;
}

void background_start(void)
{
	sigset_t all, mask;
	int fd;

	/* malloc() may be what waits for it, and in a child of a fork it is another's. */
	if (atomic_exchange(&running_in, getpid()) == getpid())
		return;
	descriptor_close(&bell);
	fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (fd >= 0)
		descriptor_keep(&bell, fd);
	/* Signals are for the program's threads. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &mask);
	if (start())
		atomic_store(&running_in, 0);
	pthread_sigmask(SIG_SETMASK, &mask, NULL);
}
