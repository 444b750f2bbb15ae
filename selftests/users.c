// SPDX-License-Identifier: GPL-2.0-only
/*
 * Checks who pays, where a client may own CLIENT pages and all clients of a user together
 * USER, twice as many, of a pool that is larger: "users CLIENT USER", as root. Run by
 * module.sh. The pages are those of users who are nobody else.
 */
#define _GNU_SOURCE
#include <grp.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include "pagespan_test.h"

#define FIRST_USER	1001
#define SECOND_USER	1002
#define ROUNDS		20000
#define HELD		64

static long client_pages, user_pages;

static void become(uid_t user)
{
	if (setgroups(0, NULL) || setresgid(user, user, user) || setresuid(user, user, user))
		_exit(2);
}

/* Runs a check as a user of its own; whether it held. */
#define AS_USER(user, check)			\
	(!IN_CHILD({				\
		become(user);			\
		_exit(!(check));		\
	}))

/* What a user is charged for, as root is told; 0 if they are not named. */
static long charged(unsigned int user)
{
	FILE *users = fopen("/sys/class/misc/pagespan/users", "r");
	unsigned int uid;
	long pages, found = 0;

	while (users && fscanf(users, "%u %ld", &uid, &pages) == 2)
		if (uid == user)
			found = pages;
	if (users)
		fclose(users);
	return found;
}

/* A client that owns as many pages as it may. */
static int open_and_own(void)
{
	int fd = client_open();
	uint64_t first;

	return client_alloc_bulk(fd, client_pages, 1, &first, 0) == 1 ? fd : -1;
}

static bool clients_share_the_limit_of_their_user(void)
{
	int one = open_and_own(), two = open_and_own(), three = client_open();
	bool kept;

	kept = one >= 0 && two >= 0 && client_info(three).quota_pages == client_pages &&
	       client_alloc_one(three, NULL, 0) == -EDQUOT &&
	       client_alloc(three, 1) == -EDQUOT && client_alloc_at(three, 0, 1) == -EDQUOT;
	close(one);
	kept = kept && client_alloc(three, client_pages) >= 0;
	close(two);
	close(three);
	return kept;
}

/* Who opened the device pays, whoever allocates: a child that became another user does not. */
static bool the_opener_pays(void)
{
	int fd = client_open();
	bool kept;

	kept = AS_USER(SECOND_USER, client_alloc(fd, 16) >= 0) && charged(0) == 16 &&
	       !charged(SECOND_USER);
	close(fd);
	return kept && !charged(0);
}

static bool another_user_has_a_limit_of_their_own(void)
{
	int one = open_and_own(), two = open_and_own();
	int asks[2], tells[2];
	char byte = 0;
	bool kept;
	pid_t pid;

	if (pipe(asks) || pipe(tells))
		return false;
	pid = fork();
	if (!pid) {
		become(FIRST_USER);
		one = open_and_own();
		byte = one >= 0;
		(void)!write(tells[1], &byte, 1);
		(void)!read(asks[0], &byte, 1);
		_exit(0);
	}
	kept = read(tells[0], &byte, 1) == 1 && byte && one >= 0 && two >= 0 &&
	       charged(FIRST_USER) == client_pages && charged(0) == user_pages;
	(void)!write(asks[1], &byte, 1);
	waitpid(pid, NULL, 0);
	close(one);
	close(two);
	return kept && !charged(FIRST_USER) && !charged(0);
}

/* Exports what a client may own and closes it, again and again; how much is held then. */
static long export_and_close(int *dmabufs)
{
	long held = 0;

	for (int i = 0; i < HELD; i++) {
		struct pagespan_export export = {
			.size = sizeof(export),
			.nr_pages = client_pages,
		};
		int fd = client_open();
		long first = client_alloc(fd, client_pages);

		export.first = first;
		dmabufs[i] = first < 0 ? -1 : ioctl(fd, PAGESPAN_EXPORT, &export);
		close(fd);
		if (dmabufs[i] < 0)
			break;
		held += client_pages;
	}
	return held;
}

static bool what_is_exported_stays_charged_until_it_is_released(void)
{
	int dmabufs[HELD], fd;
	bool kept;

	kept = export_and_close(dmabufs) == user_pages;
	fd = client_open();
	kept = kept && client_alloc_one(fd, NULL, 0) == -EDQUOT && charged(0) == user_pages;
	for (int i = 0; i < HELD && dmabufs[i] >= 0; i++)
		close(dmabufs[i]);
	kept = kept && EVENTUALLY(client_alloc(fd, client_pages) >= 0);
	close(fd);
	return kept && EVENTUALLY(!charged(0));
}

/* A client that is closed while a pipe holds all that it owned. */
static bool pipe_and_close(int *ends)
{
	int fd = client_open();
	char *window = client_window(fd);
	long first = client_alloc(fd, 8);
	struct iovec iov = { window + first * PAGE, 8 * PAGE };

	if (first < 0 || pipe(ends))
		return false;
	memset(iov.iov_base, 1, iov.iov_len);
	if (vmsplice(ends[1], &iov, 1, 0) != iov.iov_len)
		return false;
	munmap(window, client_info(fd).nr_pages * PAGE);
	close(fd);
	return true;
}

static bool what_a_closed_client_left_in_quarantine_stays_charged(void)
{
	int ends[2], fd;
	bool kept = pipe_and_close(ends);

	fd = client_open();
	kept = kept && charged(0) == 8 && !client_info(fd).quarantined_pages;
	close(ends[0]);
	close(ends[1]);
	kept = kept && EVENTUALLY(client_info(fd).nr_pages && !charged(0));
	close(fd);
	return kept;
}

/* Asks for a run that there is not, as long as it may own, again and again. */
static void *ask_in_vain(void *argument)
{
	int *fd = argument;

	while (__atomic_load_n(fd, __ATOMIC_RELAXED) >= 0) {
		client_alloc_ex(*fd, client_pages, 512, 0, NULL);
		client_alloc_at(*fd, 0, client_pages);
	}
	return NULL;
}

/* Beside a request of one's own, or of another client of the user, that is refused in the end. */
static bool what_fits_is_granted_beside(int asks, int wants)
{
	bool kept = true;
	pthread_t thread;

	pthread_create(&thread, NULL, ask_in_vain, &asks);
	for (int i = 0; i < ROUNDS && kept; i++) {
		long page = client_alloc_one(wants, NULL, 0);

		kept = page >= 0 && !client_free_one(wants, page);
	}
	__atomic_store_n(&asks, -1, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	return kept;
}

/* The pool is cut so that no run is as long as what a client may own. */
static bool no_request_that_fits_is_refused_because_another_does_not(void)
{
	int cut = client_open(), one = client_open(), two = client_open();
	uint64_t nr_pages = client_info(cut).nr_pages;
	bool kept;

	for (uint64_t page = 0; page < nr_pages; page += client_pages / 2)
		client_alloc_at(cut, page, 1);
	kept = client_alloc(one, client_pages) == -ENOMEM;
	kept = kept && what_fits_is_granted_beside(one, one) &&
	       what_fits_is_granted_beside(one, two);
	close(cut);
	close(one);
	close(two);
	return kept;
}

/* For a free page, for one of another client, and for its own. */
static bool alloc_at_without_room_tells_nothing(void)
{
	int one = open_and_own(), other = client_open(), errors = 0;
	long page = client_alloc(other, 1);

	for (uint64_t at = 0; at < client_info(one).nr_pages; at += 7)
		errors += client_alloc_at(one, at, 1) != -EDQUOT;
	errors += client_alloc_at(one, page, 1) != -EDQUOT;
	errors += client_alloc_at(one, client_info(one).nr_pages, 1) != -EINVAL;
	close(one);
	close(other);
	return !errors;
}

int main(int argc, char **argv)
{
	struct stat status;
	int failed = 0;

	if (argc != 3 || geteuid() || stat("/dev/pagespan", &status))
		return 2;
	client_pages = atol(argv[1]);
	user_pages = atol(argv[2]);
	chmod("/dev/pagespan", 0666);
#define CHECK(check) (failed |= expect(check(), #check))
	CHECK(clients_share_the_limit_of_their_user);
	failed |= expect(AS_USER(FIRST_USER, clients_share_the_limit_of_their_user()),
			 "clients of any user share its limit");
	CHECK(the_opener_pays);
	CHECK(another_user_has_a_limit_of_their_own);
	CHECK(what_is_exported_stays_charged_until_it_is_released);
	CHECK(what_a_closed_client_left_in_quarantine_stays_charged);
	CHECK(no_request_that_fits_is_refused_because_another_does_not);
	CHECK(alloc_at_without_room_tells_nothing);
	chmod("/dev/pagespan", status.st_mode & 0777);
	return failed;
}
