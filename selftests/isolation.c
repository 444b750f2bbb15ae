// SPDX-License-Identifier: GPL-2.0-only
/*
 * Isolation: a client of one user owns all it can get, with a secret in every word;
 * a client of another user, who may open the device too, tries to see it, by every
 * way into memory there is, and to get at its pages. Where the same way works for
 * root, root takes it first, so that a refusal tells something.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <grp.h>
#include <linux/kcmp.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>

#include "harness.h"
#include "pagespan_test.h"

#define OWNER		1001
#define ATTACKER	1002
#define SECRET		0x5ec7e75ec7e70000ULL
#define WORDS		(PAGE / sizeof(uint64_t))
#define MEGABLOCK	512
#define RACE_SECONDS	4
#define STALE_PAGES	(4 * MEGABLOCK)
#define SAMPLE		509	/* of so many pages one is tried in more ways */
#define SYSFS		"/sys/class/misc/pagespan"

/* ---- the owner -------------------------------------------------------------------------- */

enum what {
	TAKE_ALL,	/* how many pages it owns then */
	TAKE,		/* exactly this page: 0 or -errno */
	GIVE_BACK,	/* this page: 0 or -errno */
	LOOK,		/* how many pages it owns, or -1 if one does not hold the secret */
	WINDOW,		/* where it has mapped the pool */
	DESCRIPTOR,	/* what it has opened the device as */
};

struct request {
	enum what what;
	uint64_t page;
};

struct owner {
	int fd;
	uint64_t nr_pages;
	uint64_t *window;
	bool *owned;
};

static bool is_secret(uint64_t word)
{
	return (word ^ SECRET) >> 32 == 0;
}

static long keep(struct owner *owner, uint64_t page)
{
	for (size_t i = 0; i < WORDS; i++)
		owner->window[page * WORDS + i] = SECRET ^ page;
	owner->owned[page] = true;
	return 0;
}

static long look(const struct owner *owner)
{
	long nr = 0;

	for (uint64_t page = 0; page < owner->nr_pages; page++) {
		for (size_t i = 0; owner->owned[page] && i < WORDS; i++)
			if (owner->window[page * WORDS + i] != (SECRET ^ page))
				return -1;
		nr += owner->owned[page];
	}
	return nr == client_info(owner->fd).owned_pages ? nr : -1;
}

static long take_all(struct owner *owner)
{
	static uint64_t pages[PAGESPAN_MAX_COUNT];
	long got;

	while ((got = client_alloc_bulk(owner->fd, 1, PAGESPAN_MAX_COUNT, pages, 0)) > 0)
		for (long i = 0; i < got; i++)
			keep(owner, pages[i]);
	return look(owner);
}

static long serve(struct owner *owner, const struct request *request)
{
	long ret;

	switch (request->what) {
	case TAKE_ALL:
		return take_all(owner);
	case TAKE:
		ret = client_alloc_at(owner->fd, request->page, 1);
		return ret ?: keep(owner, request->page);
	case GIVE_BACK:
		owner->owned[request->page] = false;
		return client_free_one(owner->fd, request->page);
	case LOOK:
		return look(owner);
	case WINDOW:
		return (long)owner->window;
	default:
		return owner->fd;
	}
}

/* From here on a process is a user like any other, as after a login. */
static void become(uid_t user)
{
	if (setgroups(0, NULL) || setresgid(user, user, user) || setresuid(user, user, user) ||
	    prctl(PR_SET_DUMPABLE, 1))
		_exit(1);
}

static void own_and_serve(int line)
{
	struct owner owner = { 0 };
	struct request request;
	long result;

	become(OWNER);
	owner.fd = client_open();
	if (owner.fd < 0)
		_exit(1);
	owner.nr_pages = client_info(owner.fd).nr_pages;
	owner.window = (uint64_t *)client_window(owner.fd);
	owner.owned = calloc(owner.nr_pages, sizeof(*owner.owned));
	while (read(line, &request, sizeof(request)) == sizeof(request)) {
		result = serve(&owner, &request);
		if (write(line, &result, sizeof(result)) != sizeof(result))
			break;
	}
	_exit(0);
}

/* ---- the attacker ----------------------------------------------------------------------- */

struct attacker {
	int fd;
	uint64_t nr_pages;
	char *window;
};

FIXTURE(isolation)
{
	mode_t mode;		/* of the device, before */
	uint64_t nr_pages;
	pid_t owner;
	int line;		/* to the owner */
};

#define THESE	FIXTURE_DATA(isolation)

/* In a process of the attacker: its exit is the test's failure. */
#define MUST(condition)								\
	do {									\
		errno = 0;							\
		if (!(condition)) {						\
			printf("# line %d: %s, errno %d\n", __LINE__,		\
			       #condition, errno);				\
			fflush(stdout);						\
			_exit(1);						\
		}								\
	} while (0)

#define REFUSED(call, error)	MUST((call) == -1 && errno == (error))

/* Runs an attack as another user; 0 if it got nothing. */
#define ATTACK(attack)								\
	IN_CHILD({								\
		struct attacker attacker_;					\
										\
		enter(&attacker_);						\
		attack(self, &attacker_);					\
	})

static __thread sigjmp_buf peek_failed;

static void peek_handler(int signal)
{
	siglongjmp(peek_failed, signal);
}

/* As touch(), for the many: the handlers stay. */
static int peek(volatile char *byte)
{
	int raised = sigsetjmp(peek_failed, 0);

	if (!raised)
		(void)*byte;
	return raised;
}

static void enter(struct attacker *attacker)
{
	struct sigaction action = { .sa_handler = peek_handler, .sa_flags = SA_NODEFER };

	become(ATTACKER);
	sigaction(SIGBUS, &action, NULL);
	sigaction(SIGSEGV, &action, NULL);
	attacker->fd = client_open();
	MUST(attacker->fd >= 0);
	attacker->nr_pages = client_info(attacker->fd).nr_pages;
	attacker->window = client_window(attacker->fd);
	MUST(attacker->window != MAP_FAILED);
}

static long ask(const THESE *self, enum what what, uint64_t page)
{
	struct request request = { .what = what, .page = page };
	long result;

	if (write(self->line, &request, sizeof(request)) != sizeof(request) ||
	    read(self->line, &result, sizeof(result)) != sizeof(result))
		return -EPIPE;
	return result;
}

FIXTURE_SETUP(isolation)
{
	struct stat status;
	int ends[2], fd;

	if (geteuid())
		SKIP(return, "needs root, to be two users");
	ASSERT_EQ(0, stat("/dev/pagespan", &status));
	self->mode = status.st_mode & 0777;
	ASSERT_EQ(0, chmod("/dev/pagespan", 0666));
	fd = client_open();
	self->nr_pages = client_info(fd).free_pages;
	close(fd);
	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends));
	self->owner = fork();
	if (!self->owner) {
		close(ends[0]);
		own_and_serve(ends[1]);
	}
	close(ends[1]);
	self->line = ends[0];
}

FIXTURE_TEARDOWN(isolation)
{
	int fd;

	if (geteuid())
		return;
	close(self->line);
	waitpid(self->owner, NULL, 0);
	chmod("/dev/pagespan", self->mode);
	fd = client_open();
	EXPECT_TRUE(EVENTUALLY(client_info(fd).free_pages == self->nr_pages));
	close(fd);
}

/* ---- pages of another, touched ---------------------------------------------------------- */

/* Whether the kernel reads from an address on behalf of the process. */
static bool kernel_reads(const void *address, char *copy)
{
	struct iovec here = { .iov_base = copy, .iov_len = PAGE };
	struct iovec there = { .iov_base = (void *)address, .iov_len = PAGE };

	return process_vm_readv(getpid(), &here, 1, &there, 1, 0) >= 0;
}

/* In all ways there are, by a mapping of its own too. */
static void touch_in_all_ways(struct attacker *attacker, uint64_t page)
{
	char *here = attacker->window + page * PAGE;
	char *alone = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, attacker->fd,
			   page * PAGE);
	int file = memfd_create("copy", 0);
	static char copy[PAGE];

	MUST(alone != MAP_FAILED && file >= 0);
	MUST(touch(alone, -1) == SIGBUS);
	MUST(touch(alone, 1) == SIGBUS);
	MUST(touch(here, 1) == SIGBUS);
	MUST(!kernel_reads(here, copy) && errno == EFAULT);
	REFUSED(write(file, here, PAGE), EFAULT);
	REFUSED(madvise(here, PAGE, MADV_POPULATE_READ), EFAULT);
	REFUSED(madvise(here, PAGE, MADV_POPULATE_WRITE), EFAULT);
	REFUSED(mlock(here, PAGE), ENOMEM);
	munlock(here, PAGE);
	close(file);
	munmap(alone, PAGE);
}

/*
 * The attacker owns a page of each megablock but the last, so that there is a page
 * table and a fault takes the short way.
 */
static void touch_every_index(const THESE *self, struct attacker *attacker)
{
	unsigned char *resident = calloc(attacker->nr_pages, 1);
	bool *own = calloc(attacker->nr_pages, sizeof(*own));
	uint64_t page, nr = 0;

	for (page = 0; page + MEGABLOCK < attacker->nr_pages; page += MEGABLOCK) {
		own[page] = !client_alloc_at(attacker->fd, page, 1);
		nr += own[page];
	}
	MUST(nr && ask(self, TAKE_ALL, 0) == self->nr_pages - nr);
	for (page = 0; page < attacker->nr_pages; page++) {
		MUST(peek(attacker->window + page * PAGE) == (own[page] ? 0 : SIGBUS));
		if (!own[page] && !(page % SAMPLE))
			touch_in_all_ways(attacker, page);
	}
	MUST(!mincore(attacker->window, attacker->nr_pages * PAGE, resident));
	for (page = 0; page < attacker->nr_pages; page++)
		MUST((resident[page] & 1) == own[page]);
	MUST(ask(self, LOOK, 0) == self->nr_pages - nr);
}

TEST_F_TIMEOUT(isolation, no_index_shows_a_page_of_another, 300)
{
	EXPECT_EQ(0, ATTACK(touch_every_index));
}

/* ---- mappings of pages that were the attacker's ----------------------------------------- */

static void touch_all(const char *pages, uint64_t nr_pages, int expected)
{
	for (uint64_t page = 0; page < nr_pages; page++)
		MUST(peek((char *)pages + page * PAGE) == expected);
}

/* A child that has the window too, and touches it when it is told to. */
static pid_t start_child(struct attacker *attacker, const char *pages, int told, int tell)
{
	pid_t pid;

	MUST(!leave_to_children(attacker->window, attacker->nr_pages * PAGE));
	pid = fork();
	if (!pid) {
		char byte;

		MUST(inherit(attacker->fd, attacker->window, attacker->nr_pages * PAGE, 0));
		touch_all(pages, STALE_PAGES, 0);
		MUST(write(tell, "", 1) == 1 && read(told, &byte, 1) == 1);
		touch_all(pages, STALE_PAGES, SIGBUS);
		_exit(0);
	}
	return pid;
}

/* By the window, by a second one, by one that was moved, and in a child: all had every page. */
static void touch_stale_mappings(const THESE *self, struct attacker *attacker)
{
	size_t bytes = attacker->nr_pages * PAGE;
	char *second = client_window(attacker->fd);
	char *third = client_window(attacker->fd), *moved;
	int told[2], tell[2], status;
	long first = client_alloc_ex(attacker->fd, STALE_PAGES, MEGABLOCK, 0, NULL);
	size_t at = first * PAGE;
	char byte;
	pid_t child;

	MUST(first >= 0 && !pipe(told) && !pipe(tell));
	touch_all(attacker->window + at, STALE_PAGES, 0);
	touch_all(second + at, STALE_PAGES, 0);
	touch_all(third + at, STALE_PAGES, 0);
	moved = mremap(third, bytes, bytes, MREMAP_MAYMOVE | MREMAP_FIXED,
		       attacker->window - (1UL << 40));
	MUST(moved != MAP_FAILED);
	touch_all(moved + at, STALE_PAGES, 0);
	child = start_child(attacker, attacker->window + at, told[0], tell[1]);
	MUST(read(tell[0], &byte, 1) == 1);

	MUST(!client_free(attacker->fd, first, STALE_PAGES));
	MUST(ask(self, TAKE_ALL, 0) == self->nr_pages);
	touch_all(attacker->window + at, STALE_PAGES, SIGBUS);
	touch_all(second + at, STALE_PAGES, SIGBUS);
	touch_all(moved + at, STALE_PAGES, SIGBUS);
	MUST(write(told[1], "", 1) == 1);
	MUST(waitpid(child, &status, 0) == child && !status);
	MUST(ask(self, LOOK, 0) == self->nr_pages);
}

TEST_F_TIMEOUT(isolation, no_mapping_outlives_a_free, 300)
{
	EXPECT_EQ(0, ATTACK(touch_stale_mappings));
}

/* One page of a megablock that is mapped as a whole. */
static void touch_around_one_page(const THESE *self, struct attacker *attacker)
{
	long first = client_alloc_ex(attacker->fd, MEGABLOCK, MEGABLOCK, PAGESPAN_ALLOC_POPULATE,
				     attacker->window);
	long middle = first + MEGABLOCK / 2;

	MUST(first >= 0);
	memset(attacker->window + first * PAGE, 1, MEGABLOCK * PAGE);
	MUST(!client_free_one(attacker->fd, middle));
	MUST(!ask(self, TAKE, middle));
	for (long page = first; page < first + MEGABLOCK; page++)
		MUST(peek(attacker->window + page * PAGE) == (page == middle ? SIGBUS : 0));
	MUST(ask(self, LOOK, 0) == 1);
}

TEST_F(isolation, no_large_mapping_shows_the_page_that_left_it)
{
	EXPECT_EQ(0, ATTACK(touch_around_one_page));
}

/* What two threads do to the mapping of one page, which goes to and fro. */
struct race {
	int fd;
	uint64_t index, other;		/* the page, and one that stays the attacker's */
	uint64_t *place, *elsewhere;
	uint64_t seen;
	bool done;
};

static void *race_read(void *argument)
{
	struct race *race = argument;

	while (!__atomic_load_n(&race->done, __ATOMIC_RELAXED)) {
		if (sigsetjmp(peek_failed, 0))
			continue;
		race->seen += is_secret(*(volatile uint64_t *)race->place);
		race->seen += is_secret(*(volatile uint64_t *)race->elsewhere);
	}
	return NULL;
}

/* Maps the page, moves it away and back, and lets its place show the other page and it again. */
static void *race_remap(void *argument)
{
	struct race *race = argument;
	const int fixed = MAP_SHARED | MAP_FIXED;

	while (!__atomic_load_n(&race->done, __ATOMIC_RELAXED)) {
		mmap(race->place, PAGE, PROT_READ, fixed, race->fd, race->index * PAGE);
		mremap(race->place, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, race->elsewhere);
		mremap(race->elsewhere, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, race->place);
		mmap(race->place, PAGE, PROT_READ, fixed, race->fd, race->other * PAGE);
		syscall(SYS_remap_file_pages, race->place, PAGE, 0, race->index, 0);
		mprotect(race->place, PAGE, PROT_NONE);
		mprotect(race->place, PAGE, PROT_READ | PROT_WRITE);
		madvise(race->place, PAGE, MADV_POPULATE_READ);
	}
	return NULL;
}

static void race_for_a_page(const THESE *self, struct attacker *attacker)
{
	struct race race = { .fd = attacker->fd };
	time_t until = time(NULL) + RACE_SECONDS;
	pthread_t reader, remapper;
	unsigned long rounds = 0;
	char *room;

	race.index = client_alloc(attacker->fd, 1);
	race.other = client_alloc(attacker->fd, 1);
	room = mmap(NULL, 4 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	MUST((long)race.index >= 0 && (long)race.other >= 0 && room != MAP_FAILED);
	race.place = (uint64_t *)room;
	race.elsewhere = (uint64_t *)(room + 2 * PAGE);
	MUST(!pthread_create(&reader, NULL, race_read, &race));
	MUST(!pthread_create(&remapper, NULL, race_remap, &race));
	while (time(NULL) < until) {
		MUST(!client_free_one(attacker->fd, race.index));
		/* Quarantined for a moment if the other threads are at it. */
		while (ask(self, TAKE, race.index))
			usleep(100);
		MUST(ask(self, LOOK, 0) == 1);
		MUST(!ask(self, GIVE_BACK, race.index));
		while (client_alloc_at(attacker->fd, race.index, 1))
			usleep(100);
		rounds++;
	}
	__atomic_store_n(&race.done, true, __ATOMIC_RELAXED);
	pthread_join(reader, NULL);
	pthread_join(remapper, NULL);
	MUST(!race.seen);
	MUST(rounds > 10);
}

TEST_F_TIMEOUT(isolation, no_race_of_frees_with_remapping_shows_a_page_of_another, 120)
{
	EXPECT_EQ(0, ATTACK(race_for_a_page));
}

/* ---- pages that were pinned or exported before they were freed --------------------------- */

static void keep_exported_and_piped(const THESE *self, struct attacker *attacker)
{
	struct pagespan_export export = { .size = sizeof(export), .nr_pages = 8 };
	long span = client_alloc(attacker->fd, 16);
	char *own = attacker->window + span * PAGE, *exported;
	struct iovec piped = { .iov_base = own + 8 * PAGE, .iov_len = 8 * PAGE };
	static char copy[8 * PAGE];
	int ends[2], dmabuf;

	MUST(span >= 0 && !pipe(ends));
	memset(own, 0x77, 16 * PAGE);
	export.first = span;
	dmabuf = ioctl(attacker->fd, PAGESPAN_EXPORT, &export);
	MUST(dmabuf >= 0);
	exported = mmap(NULL, 8 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, dmabuf, 0);
	MUST(exported != MAP_FAILED);
	MUST(vmsplice(ends[1], &piped, 1, 0) == piped.iov_len);

	MUST(!client_free(attacker->fd, span, 16));
	MUST(ask(self, TAKE_ALL, 0) == self->nr_pages - 16);
	touch_all(own, 16, SIGBUS);
	MUST(pages_hold(exported, 8, 0x77));
	memset(exported, 0x66, 8 * PAGE);
	MUST(read(ends[0], copy, sizeof(copy)) == sizeof(copy) && pages_hold(copy, 8, 0x77));
	MUST(ask(self, LOOK, 0) == self->nr_pages - 16);

	/* Once they are let go of, the owner takes them, and the last mapping is gone. */
	munmap(exported, 8 * PAGE);
	close(dmabuf);
	MUST(EVENTUALLY(ask(self, TAKE_ALL, 0) == self->nr_pages));
	touch_all(own, 16, SIGBUS);
	MUST(ask(self, LOOK, 0) == self->nr_pages);
}

TEST_F(isolation, no_reference_reaches_the_next_owner)
{
	EXPECT_EQ(0, ATTACK(keep_exported_and_piped));
}

static void take_what_is_left(const THESE *self, struct attacker *attacker)
{
	static uint64_t pages[PAGESPAN_MAX_COUNT];
	uint64_t taken = 0;
	long got;

	MUST(EVENTUALLY(client_info(attacker->fd).free_pages == self->nr_pages));
	while ((got = client_alloc_bulk(attacker->fd, 1, PAGESPAN_MAX_COUNT, pages, 0)) > 0) {
		taken += got;
		for (long i = 0; i < got; i++)
			MUST(pages_hold(attacker->window + pages[i] * PAGE, 1, 0));
	}
	MUST(taken == self->nr_pages);
}

TEST_F_TIMEOUT(isolation, nothing_is_left_in_the_pages_of_the_dead, 120)
{
	ASSERT_EQ(self->nr_pages, ask(self, TAKE_ALL, 0));
	kill(self->owner, SIGKILL);
	EXPECT_EQ(0, ATTACK(take_what_is_left));
}

/* ---- another process ---------------------------------------------------------------------- */

/* Opens a file of a process; -1 and errno. */
static int open_of(pid_t pid, const char *name, int flags)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
	return open(path, flags);
}

static ssize_t process_vm(pid_t pid, char *remote, uint64_t *word, bool out)
{
	struct iovec here = { .iov_base = word, .iov_len = sizeof(*word) };
	struct iovec there = { .iov_base = remote, .iov_len = sizeof(*word) };

	return out ? process_vm_writev(pid, &here, 1, &there, 1, 0) :
		     process_vm_readv(pid, &here, 1, &there, 1, 0);
}

static void look_into_the_process(const THESE *self, struct attacker *attacker)
{
	static const char *const files[] = {
		"mem", "maps", "smaps", "smaps_rollup", "pagemap", "map_files", "environ",
	};
	char *window = (char *)ask(self, WINDOW, 0);
	long descriptor = ask(self, DESCRIPTOR, 0);
	char name[32];
	uint64_t word = 0;
	int pidfd = syscall(SYS_pidfd_open, self->owner, 0);

	MUST(ask(self, TAKE_ALL, 0) == self->nr_pages);
	for (size_t i = 0; i < ARRAY_SIZE(files); i++)
		MUST((open_of(self->owner, files[i], O_RDONLY) < 0 && errno == EACCES) ||
		     errno == ENOENT);
	REFUSED(open_of(self->owner, "mem", O_RDWR), EACCES);
	snprintf(name, sizeof(name), "fd/%ld", descriptor);
	REFUSED(open_of(self->owner, name, O_RDWR), EACCES);
	snprintf(name, sizeof(name), "fdinfo/%ld", descriptor);
	REFUSED(open_of(self->owner, name, O_RDONLY), EACCES);
	REFUSED(process_vm(self->owner, window, &word, false), EPERM);
	REFUSED(process_vm(self->owner, window, &word, true), EPERM);
	REFUSED(ptrace(PTRACE_ATTACH, self->owner, NULL, NULL), EPERM);
	REFUSED(ptrace(PTRACE_SEIZE, self->owner, NULL, NULL), EPERM);
	REFUSED(kill(self->owner, SIGKILL), EPERM);
	MUST(pidfd >= 0);
	REFUSED(syscall(SYS_pidfd_getfd, pidfd, descriptor, 0), EPERM);
	MUST(!is_secret(word));
	MUST(ask(self, LOOK, 0) == self->nr_pages);
}

TEST_F_TIMEOUT(isolation, no_way_leads_into_the_process_of_another, 120)
{
	char *window = (char *)ask(self, WINDOW, 0);
	uint64_t word = 0, through_file = 0;
	int fd;

	ASSERT_EQ(0, ask(self, TAKE, 7));
	EXPECT_EQ(sizeof(word), process_vm(self->owner, window + 7 * PAGE, &word, false));
	EXPECT_TRUE(is_secret(word));
	fd = open_of(self->owner, "mem", O_RDONLY);
	ASSERT_LE(0, fd);
	EXPECT_EQ(sizeof(word), pread(fd, &through_file, sizeof(word),
				      (uintptr_t)window + 7 * PAGE));
	EXPECT_TRUE(is_secret(through_file));
	close(fd);
	ASSERT_EQ(0, ask(self, GIVE_BACK, 7));
	EXPECT_EQ(0, ATTACK(look_into_the_process));
}

/* ---- where pages are, and what is told of them ------------------------------------------- */

#define PAGEMAP_PFN	((1ULL << 55) - 1)

/* The entry of a mapped page in the caller's own pagemap. */
static uint64_t own_pagemap(const char *page)
{
	int fd = open("/proc/self/pagemap", O_RDONLY);
	uint64_t entry = 0;

	if (fd < 0 || pread(fd, &entry, sizeof(entry), (uintptr_t)page / PAGE * sizeof(entry)) !=
	    sizeof(entry))
		_exit(1);
	close(fd);
	return entry;
}

static void look_for_addresses(const THESE *self, struct attacker *attacker)
{
	static const char *const files[] = {
		"/proc/kpagecount", "/proc/kpageflags", "/proc/kcore", "/dev/mem",
		"/sys/kernel/debug/pagespan/map", "/sys/kernel/tracing/trace",
		"/sys/module/pagespan/sections/.text",
	};
	long page = client_alloc(attacker->fd, 1);
	struct pagespan_phys phys = { .size = sizeof(phys), .index = page };

	MUST(page >= 0 && !touch(attacker->window + page * PAGE, 1));
	MUST(!(own_pagemap(attacker->window + page * PAGE) & PAGEMAP_PFN));
	REFUSED(ioctl(attacker->fd, PAGESPAN_PHYS, &phys), EPERM);
	for (size_t i = 0; i < ARRAY_SIZE(files); i++)
		MUST(open(files[i], O_RDONLY) < 0 && (errno == EACCES || errno == ENOENT));
}

TEST_F(isolation, physical_addresses_are_not_told)
{
	int fd = client_open();
	char *window = client_window(fd);
	long page = client_alloc(fd, 1);
	struct pagespan_phys phys = { .size = sizeof(phys), .index = page };

	ASSERT_LE(0, page);
	ASSERT_EQ(0, touch(window + page * PAGE, 1));
	ASSERT_EQ(0, client_ioctl(fd, PAGESPAN_PHYS, &phys));
	EXPECT_EQ(phys.address / PAGE, own_pagemap(window + page * PAGE) & PAGEMAP_PFN);
	munmap(window, client_info(fd).nr_pages * PAGE);
	close(fd);
	EXPECT_EQ(0, ATTACK(look_for_addresses));
}

/* Whether a text is a number of pages, of clients or of events, and nothing else. */
static bool is_count(const char *text)
{
	char *end;
	unsigned long long nr = strtoull(text, &end, 10);

	return end != text && !strcmp(end, "\n") && nr < 1ULL << 32;
}

/* Every file of a directory of the pool in sysfs is a count, or says where memory is from. */
static void read_sysfs(const char *directory)
{
	DIR *files = opendir(directory);
	struct dirent *file;
	char path[512], text[1024];
	unsigned int counts = 0;

	MUST(files);
	while ((file = readdir(files))) {
		ssize_t length;
		int fd;

		if (file->d_type != DT_REG)
			continue;
		snprintf(path, sizeof(path), "%s/%s", directory, file->d_name);
		MUST(open(path, O_WRONLY) < 0 && errno == EACCES);
		if (!strcmp(file->d_name, "users")) {	/* who is charged is for root */
			REFUSED(open(path, O_RDONLY), EACCES);
			continue;
		}
		fd = open(path, O_RDONLY);
		MUST(fd >= 0);
		length = read(fd, text, sizeof(text) - 1);
		close(fd);
		MUST(length >= 0);
		text[length] = '\0';
		if (is_count(text)) {
			counts++;
			continue;
		}
		MUST(!strcmp(file->d_name, "dev") || !strcmp(file->d_name, "uevent") ||
		     !strcmp(file->d_name, "source") || !strcmp(file->d_name, "why_not"));
		MUST(!strstr(text, "0x"));
	}
	closedir(files);
	MUST(counts >= 4);
}

static unsigned long long fdinfo_value(const char *text, const char *key)
{
	const char *line = strstr(text, key);

	MUST(line);
	return strtoull(line + strlen(key), NULL, 10);
}

/* The caller's client in fdinfo: nothing of any other. */
static void read_fdinfo(struct attacker *attacker)
{
	char path[64], text[1024];
	char *ours;
	ssize_t length;
	int fd;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", attacker->fd);
	fd = open(path, O_RDONLY);
	MUST(fd >= 0);
	length = read(fd, text, sizeof(text) - 1);
	close(fd);
	MUST(length > 0);
	text[length] = '\0';
	ours = strstr(text, "pagespan-");
	MUST(ours);
	MUST(fdinfo_value(ours, "pagespan-client-id:"));
	MUST(!fdinfo_value(ours, "pagespan-memory-owned:"));
	MUST(!fdinfo_value(ours, "pagespan-memory-quarantined:"));
	MUST(fdinfo_value(ours, "pagespan-memory-quota:") <= attacker->nr_pages * 4);
	MUST(fdinfo_value(ours, "pagespan-user-id:") == ATTACKER);
	MUST(!fdinfo_value(ours, "pagespan-user-memory:"));
	MUST(fdinfo_value(ours, "pagespan-user-quota:") <= attacker->nr_pages * 4);
	for (unsigned int lines = 0; *ours; ours++)
		MUST((lines += *ours == '\n') <= 7);
}

static void read_what_is_told(const THESE *self, struct attacker *attacker)
{
	struct pagespan_info before = client_info(attacker->fd), now;

	MUST(ask(self, TAKE_ALL, 0) == self->nr_pages);
	read_sysfs(SYSFS);
	read_sysfs(SYSFS "/events");
	read_fdinfo(attacker);
	/* What others own shows only in how much is left. */
	now = client_info(attacker->fd);
	MUST(!now.free_pages && !now.longest_run);
	now.free_pages = before.free_pages;
	now.longest_run = before.longest_run;
	MUST(!memcmp(&before, &now, sizeof(now)));
}

TEST_F_TIMEOUT(isolation, only_counts_are_told_of_others, 120)
{
	EXPECT_EQ(0, ATTACK(read_what_is_told));
}

/* ---- ioctls with the indices of another ---------------------------------------------------- */

/* Of one page, or of one page of the attacker and the page after it. */
static void name_page_of_another(struct attacker *attacker, uint64_t page, uint64_t own)
{
	struct pagespan_range both[2] = { { page, 1 }, { own, 1 } };
	struct pagespan_alloc_at at = { .size = sizeof(at), .first = page, .nr_pages = 1 };
	struct pagespan_phys phys = { .size = sizeof(phys), .index = page };
	struct pagespan_query query = { .size = sizeof(query), .first = page, .nr_pages = 1 };
	struct pagespan_export export = { .size = sizeof(export), .first = page, .nr_pages = 1 };
	struct pagespan_free request = {
		.size = sizeof(request),
		.count = 2,
		.ranges = (uintptr_t)both,
	};

	REFUSED(ioctl(attacker->fd, PAGESPAN_FREE_ONE, page), EINVAL);
	REFUSED(ioctl(attacker->fd, PAGESPAN_FREE, &request), EINVAL);
	REFUSED(ioctl(attacker->fd, PAGESPAN_ALLOC_AT, &at), EBUSY);
	REFUSED(ioctl(attacker->fd, PAGESPAN_EXPORT, &export), EINVAL);
	REFUSED(ioctl(attacker->fd, PAGESPAN_PHYS, &phys), EPERM);
	MUST(!ioctl(attacker->fd, PAGESPAN_QUERY, &query) && !query.state && !phys.address);
}

/* Ranges that begin with the attacker's own page, or end with it. */
static void name_range_of_both(struct attacker *attacker, uint64_t first)
{
	struct pagespan_range range = { first, 2 };
	struct pagespan_free request = {
		.size = sizeof(request),
		.count = 1,
		.ranges = (uintptr_t)&range,
	};
	struct pagespan_export export = { .size = sizeof(export), .first = first, .nr_pages = 2 };
	struct pagespan_alloc_at at = { .size = sizeof(at), .first = first, .nr_pages = 2 };

	REFUSED(ioctl(attacker->fd, PAGESPAN_FREE, &request), EINVAL);
	REFUSED(ioctl(attacker->fd, PAGESPAN_EXPORT, &export), EINVAL);
	REFUSED(ioctl(attacker->fd, PAGESPAN_ALLOC_AT, &at), EBUSY);
}

static void name_pages_of_another(const THESE *self, struct attacker *attacker)
{
	long span = client_alloc(attacker->fd, 3), own = span + 1;
	struct pagespan_info before, now;

	/* Pages of the other on both sides of it. */
	MUST(span >= 0 && !client_free_one(attacker->fd, span) &&
	     !client_free_one(attacker->fd, span + 2));
	memset(attacker->window + own * PAGE, 0x55, PAGE);
	MUST(ask(self, TAKE_ALL, 0) == self->nr_pages - 1);
	before = client_info(attacker->fd);
	for (uint64_t page = 0; page < attacker->nr_pages; page++)
		if (page != own)
			name_page_of_another(attacker, page, own);
	name_range_of_both(attacker, own - 1);
	name_range_of_both(attacker, own);
	now = client_info(attacker->fd);
	MUST(!memcmp(&before, &now, sizeof(now)));
	MUST(now.owned_pages == 1 && pages_hold(attacker->window + own * PAGE, 1, 0x55));
	MUST(ask(self, LOOK, 0) == self->nr_pages - 1);
}

TEST_F_TIMEOUT(isolation, every_ioctl_with_a_page_of_another_is_refused_and_changes_nothing, 300)
{
	EXPECT_EQ(0, ATTACK(name_pages_of_another));
}

TEST_HARNESS_MAIN
