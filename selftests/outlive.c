// SPDX-License-Identifier: GPL-2.0-only
/*
 * Leaves something of a client behind when its descriptor is closed, tells so by a
 * line, and keeps it until its input ends: "outlive pin" a freed page that a pipe
 * holds, "outlive export" a dma-buf, "outlive window" a window that only a child
 * has, "outlive waiter" a thread that waits on a futex in a freed page. "outlive
 * use" has processes open the device, use pages and close it all the time, as far as
 * the module is there.
 */
#define _GNU_SOURCE
#include <linux/futex.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include "pagespan_test.h"

#define SPAN	8
#define USERS	2
#define PAUSE	50000	/* us, in which the module can go */

/* A client that owns and has touched a span. */
struct client {
	int fd;
	char *window;
	size_t bytes;
	long span;
};

static bool begin(struct client *client)
{
	client->fd = client_open();
	if (client->fd < 0)
		return false;
	client->bytes = client_info(client->fd).nr_pages * PAGE;
	client->window = client_window(client->fd);
	client->span = client_alloc(client->fd, SPAN);
	if (client->window == MAP_FAILED || client->span < 0)
		return false;
	memset(client->window + client->span * PAGE, 1, SPAN * PAGE);
	return true;
}

static bool end(struct client *client)
{
	return !munmap(client->window, client->bytes) && !close(client->fd);
}

static bool leave_pin(struct client *client)
{
	struct iovec iov = {
		.iov_base = client->window + client->span * PAGE,
		.iov_len = SPAN * PAGE,
	};
	int ends[2];

	return !pipe(ends) && vmsplice(ends[1], &iov, 1, 0) == (ssize_t)iov.iov_len &&
	       !client_free(client->fd, client->span, SPAN);
}

static bool leave_export(struct client *client)
{
	struct pagespan_export export = {
		.size = sizeof(export),
		.first = client->span,
		.nr_pages = SPAN,
	};

	return ioctl(client->fd, PAGESPAN_EXPORT, &export) >= 0;
}

static bool leave_window(struct client *client)
{
	int ready[2];
	char byte;
	pid_t pid;

	if (pipe(ready) || leave_to_children(client->window, client->bytes))
		return false;
	pid = fork();
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (!inherit(client->fd, client->window, client->bytes, 0))
			_exit(1);
		close(client->fd);
		if (touch(client->window + client->span * PAGE, 2) || write(ready[1], "", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	close(ready[1]);
	return pid > 0 && read(ready[0], &byte, 1) == 1;
}

static pid_t waiter;

static void *wait_for_ever(void *word)
{
	__atomic_store_n(&waiter, gettid(), __ATOMIC_RELEASE);
	syscall(SYS_futex, word, FUTEX_WAIT, 0, NULL, NULL, 0);
	return NULL;
}

/* Whether a thread of this process sleeps in a futex. */
static bool sleeps(pid_t thread)
{
	char name[64], call[16] = "";
	int fd;

	snprintf(name, sizeof(name), "/proc/self/task/%d/syscall", thread);
	fd = open(name, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || read(fd, call, sizeof(call) - 1) < 0)
		call[0] = '\0';
	close(fd);
	return atoi(call) == SYS_futex;
}

static bool leave_waiter(struct client *client)
{
	char *word = client->window + client->span * PAGE;
	pthread_t thread;

	memset(word, 0, PAGE);
	return !pthread_create(&thread, NULL, wait_for_ever, word) &&
	       EVENTUALLY(__atomic_load_n(&waiter, __ATOMIC_ACQUIRE) && sleeps(waiter)) &&
	       !client_free(client->fd, client->span, SPAN);
}

/* The module may be gone at any moment, but not while it is open. */
static void use(void)
{
	struct client client;
	int fd;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (;;) {
		fd = client_open();
		if (fd < 0 && errno != ENOENT && errno != ENODEV && errno != ENXIO)
			_exit(1);
		close(fd);
		if (fd < 0 || !begin(&client))
			continue;
		if (touch(client.window + client.span * PAGE, 3) || !end(&client))
			_exit(1);
		usleep(PAUSE);
	}
}

static bool start_users(pid_t *users)
{
	for (int i = 0; i < USERS; i++) {
		users[i] = fork();
		if (!users[i])
			use();
		if (users[i] < 0)
			return false;
	}
	return true;
}

/* Whether none has ended on its own. */
static bool end_users(const pid_t *users)
{
	bool well = true;
	int status;

	for (int i = 0; i < USERS; i++) {
		kill(users[i], SIGKILL);
		waitpid(users[i], &status, 0);
		well &= WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
	}
	return well;
}

static const struct {
	const char *name;
	bool (*leave)(struct client *client);
} kinds[] = {
	{ "pin", leave_pin },
	{ "export", leave_export },
	{ "window", leave_window },
	{ "waiter", leave_waiter },
};

static bool leave(const char *name)
{
	struct client client;

	for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++)
		if (!strcmp(name, kinds[i].name))
			return begin(&client) && kinds[i].leave(&client) && end(&client);
	return false;
}

int main(int argc, char **argv)
{
	bool in_use = argc == 2 && !strcmp(argv[1], "use");
	pid_t users[USERS];

	if (argc != 2 || !(in_use ? start_users(users) : leave(argv[1])))
		return 1;
	puts("ready");
	fflush(stdout);
	if (getchar() != EOF)
		return 1;
	return in_use && !end_users(users);
}
