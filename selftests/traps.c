// SPDX-License-Identifier: GPL-2.0-only
/*
 * The mistakes that drivers of this kind have made, each with the name it goes
 * by. README.md lists them all, with the tests elsewhere that guard against the
 * rest of them.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <time.h>

#include "harness.h"
#include "pagespan_test.h"

#define MEGABLOCK	512

/* Of a race: enough to be lost once where a guard is gone; on a slow machine time ends it. */
#define RACE_ROUNDS	100
#define RACE_SECONDS	8

/* Pages beside those of a race, which keep busy what changes an address space. */
#define BYSTANDERS	1000

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec + time.tv_nsec / 1e9;
}

/* ---- ioctl argument placed inside the window while a lock is held -------- */

FIXTURE(argument)
{
	int fd;
	uint64_t nr_free;
	long span;
};

FIXTURE_VARIANT(argument)
{
	bool mapped;
};

FIXTURE_VARIANT_ADD(argument, in_mapped_pages) { .mapped = true };
FIXTURE_VARIANT_ADD(argument, in_pages_to_be_faulted_in) { .mapped = false };

FIXTURE_SETUP(argument)
{
	self->fd = client_open();
	ASSERT_LE(0, self->fd);
	self->nr_free = client_info(self->fd).free_pages;
	self->span = client_alloc(self->fd, 8);
	ASSERT_LE(0, self->span);
}

FIXTURE_TEARDOWN(argument)
{
	close(self->fd);
	self->fd = client_open();
	EXPECT_TRUE(EVENTUALLY(client_info(self->fd).free_pages == self->nr_free));
	close(self->fd);
}

/* Somebody else who wants mmap_lock for writing, so that taking it twice for reading deadlocks. */
static void *map_and_unmap(void *unused)
{
	for (;;)
		munmap(mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), PAGE);
	return NULL;
}

/* Two windows of a client: what is written through one is not yet mapped in the other. */
struct windows {
	int fd;
	uint64_t nr_pages;
	char *written, *passed;
	bool mapped;		/* but shall be, before it is passed */
};

/* Where to pass what is written at the same place. */
static void *pass(const struct windows *windows, void *written)
{
	char *passed = windows->passed + ((char *)written - windows->written);
	size_t bytes = windows->nr_pages * PAGE;

	if (mmap(windows->passed, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
		 windows->fd, 0) != windows->passed)
		_exit(100);
	if (windows->mapped && touch(passed, -1))
		_exit(101);
	return passed;
}

/* Every ioctl that takes a structure; the number of the one that failed, or 0. */
static int use_window_for_arguments(int fd, long span, bool mapped)
{
	struct windows windows = {
		.fd = fd,
		.nr_pages = client_info(fd).nr_pages,
		.written = client_window(fd),
		.passed = client_window(fd),
		.mapped = mapped,
	};
	struct pagespan_range longest = client_longest(fd);
	struct pagespan_alloc *alloc;
	struct pagespan_alloc_at *at;
	struct pagespan_free *request;
	struct pagespan_range *ranges;
	struct pagespan_info *info;
	struct pagespan_query *query;
	struct pagespan_phys *phys;
	struct pagespan_export *export;
	struct pagespan_pressure *pressure;
	char *first_page, *second_page;
	pthread_t mapper;
	uint64_t *firsts;
	int dmabuf;

	first_page = windows.written + span * PAGE;
	second_page = first_page + PAGE;
	pthread_create(&mapper, NULL, map_and_unmap, NULL);

	/* What comes out lies in a page of its own, bulk and few. */
	for (int count = 2; count <= 64; count *= 32) {
		alloc = (struct pagespan_alloc *)first_page;
		firsts = (uint64_t *)second_page;
		*alloc = (struct pagespan_alloc){
			.size = sizeof(*alloc),
			.flags = PAGESPAN_ALLOC_POPULATE,
			.nr_pages = 1,
			.align_pages = 1,
			.count = count,
			.spans = (uintptr_t)windows.passed + ((char *)firsts - windows.written),
			.window = (uintptr_t)windows.passed,
		};
		if (client_ioctl(fd, PAGESPAN_ALLOC, pass(&windows, alloc)) != count)
			return 1;

		/* Ranges among what they free, and the structure too. */
		ranges = (struct pagespan_range *)(windows.written + firsts[0] * PAGE);
		for (int i = 0; i < count; i++)
			ranges[i] = (struct pagespan_range){ firsts[count - 1 - i], 1 };
		request = (struct pagespan_free *)(windows.written + firsts[1] * PAGE);
		*request = (struct pagespan_free){
			.size = sizeof(*request),
			.count = count,
			.ranges = (uintptr_t)windows.passed + ((char *)ranges - windows.written),
		};
		if (client_ioctl(fd, PAGESPAN_FREE, pass(&windows, request)) != count)
			return 2;
	}

	at = (struct pagespan_alloc_at *)first_page;
	*at = (struct pagespan_alloc_at){
		.size = sizeof(*at),
		.flags = PAGESPAN_ALLOC_POPULATE | PAGESPAN_ALLOC_ZERO,
		.first = longest.first + longest.nr_pages - 4,
		.window = (uintptr_t)windows.passed,
		.nr_pages = 4,
	};
	if (client_ioctl(fd, PAGESPAN_ALLOC_AT, pass(&windows, at)))
		return 3;

	info = (struct pagespan_info *)first_page;
	*info = (struct pagespan_info){ .size = sizeof(*info) };
	if (client_ioctl(fd, PAGESPAN_INFO, pass(&windows, info)) ||
	    info->owned_pages != 12)
		return 4;

	query = (struct pagespan_query *)first_page;
	*query = (struct pagespan_query){
		.size = sizeof(*query),
		.first = span,
		.nr_pages = 8,
	};
	if (client_ioctl(fd, PAGESPAN_QUERY, pass(&windows, query)) ||
	    query->nr_pages != 8)
		return 5;

	phys = (struct pagespan_phys *)first_page;
	*phys = (struct pagespan_phys){ .size = sizeof(*phys), .index = span };
	if (client_ioctl(fd, PAGESPAN_PHYS, pass(&windows, phys)) || !phys->address)
		return 6;

	pressure = (struct pagespan_pressure *)first_page;
	*pressure = (struct pagespan_pressure){ .size = sizeof(*pressure) };
	if (client_ioctl(fd, PAGESPAN_PRESSURE, pass(&windows, pressure)))
		return 8;

	export = (struct pagespan_export *)first_page;
	*export = (struct pagespan_export){
		.size = sizeof(*export),
		.first = span,
		.nr_pages = 8,
	};
	dmabuf = client_ioctl(fd, PAGESPAN_EXPORT, pass(&windows, export));
	return dmabuf < 0 ? 7 : 0;
}

/* A child, for what has deadlocked cannot be killed: it is left behind. */
TEST_F(argument, may_lie_in_the_window_of_every_ioctl)
{
	int status = -1;
	pid_t pid = fork();

	if (!pid)
		_exit(use_window_for_arguments(self->fd, self->span, variant->mapped));
	EXPECT_TRUE(EVENTUALLY(waitpid(pid, &status, WNOHANG) == pid));
	EXPECT_EQ(0, WEXITSTATUS(status));
}

/* ---- lock dropped mid-operation ------------------------------------------ */

struct populate_race {
	int fd;
	long last;		/* page that the other thread frees */
	char *region;		/* of BYSTANDERS pages */
	pthread_barrier_t barrier;
	bool done;
};

/* Frees the last page of a span at the first moment it can be freed. */
static void *free_at_once(void *arg)
{
	struct populate_race *race = arg;

	for (;;) {
		pthread_barrier_wait(&race->barrier);
		if (race->done)
			return NULL;
		while (client_free_one(race->fd, race->last))
			;
		pthread_barrier_wait(&race->barrier);
	}
}

/* What populates waits for the address space, again and again. */
static void *change_protection(void *arg)
{
	struct populate_race *race = arg;

	while (!__atomic_load_n(&race->done, __ATOMIC_ACQUIRE)) {
		mprotect(race->region, BYSTANDERS * PAGE, PROT_READ);
		mprotect(race->region, BYSTANDERS * PAGE, PROT_READ | PROT_WRITE);
	}
	return NULL;
}

/*
 * A page could otherwise be mapped after its free has looked for mappings. The
 * span is mapped in small pages, by an address that fits no large ones, so that
 * it takes a while to reach the last, and before it has to wait for a thread that
 * changes the address space.
 */
TEST(free_that_races_with_populating_leaves_no_mapping)
{
	struct populate_race race = { .fd = client_open() };
	uint64_t nr_pages = client_info(race.fd).nr_pages;
	const long span = client_longest(race.fd).first + 1, length = 4096;
	double until = now() + RACE_SECONDS;
	pthread_t freer, changer;
	char *window;

	window = mmap(NULL, (nr_pages + 2 * MEGABLOCK) * PAGE, PROT_NONE,
		      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, window);
	window = (char *)((uintptr_t)window | (MEGABLOCK * PAGE - 1)) + 1 + PAGE;
	ASSERT_EQ(window, mmap(window, nr_pages * PAGE, PROT_READ | PROT_WRITE,
			       MAP_SHARED | MAP_FIXED, race.fd, 0));
	race.last = span + length - 1;
	race.region = mmap(NULL, BYSTANDERS * PAGE, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	ASSERT_NE(MAP_FAILED, race.region);
	pthread_barrier_init(&race.barrier, NULL, 2);
	pthread_create(&freer, NULL, free_at_once, &race);
	pthread_create(&changer, NULL, change_protection, &race);
	for (int round = 0; round < RACE_ROUNDS && now() < until; round++) {
		struct pagespan_alloc_at at = {
			.size = sizeof(at),
			.flags = PAGESPAN_ALLOC_POPULATE,
			.first = span,
			.nr_pages = length,
			.window = (uintptr_t)window,
		};

		pthread_barrier_wait(&race.barrier);
		ASSERT_EQ(0, client_ioctl(race.fd, PAGESPAN_ALLOC_AT, &at));
		pthread_barrier_wait(&race.barrier);
		ASSERT_EQ(SIGBUS, touch(window + race.last * PAGE, -1));
		ASSERT_EQ(0, touch(window + (race.last - 1) * PAGE, -1));
		ASSERT_EQ(0, client_info(race.fd).quarantined_pages);
		ASSERT_EQ(0, client_free(race.fd, span, length - 1));
	}
	__atomic_store_n(&race.done, true, __ATOMIC_RELEASE);
	pthread_barrier_wait(&race.barrier);
	pthread_join(freer, NULL);
	pthread_join(changer, NULL);
	munmap(race.region, BYSTANDERS * PAGE);
	munmap(window, nr_pages * PAGE);
	close(race.fd);
}

struct fault_race {
	const char *window;		/* NULL at the end */
	uint64_t firsts[256];		/* pages, of a megablock each */
	unsigned long places;
	unsigned long round, place;	/* where the freeing and the reading thread are */
};

static void wait_for(unsigned long *counter, unsigned long value)
{
	for (int tries = 0; __atomic_load_n(counter, __ATOMIC_ACQUIRE) < value; tries++)
		if (tries > 1000)
			sched_yield();
}

/* Reads a page of every megablock, in the kernel, where a missing page raises no signal. */
static void *read_at_once(void *arg)
{
	struct fault_race *race = arg;

	for (unsigned long round = 1;; round++) {
		wait_for(&race->round, round);
		if (!race->window)
			return NULL;
		for (unsigned long i = 0; i < race->places; i++) {
			__atomic_add_fetch(&race->place, 1, __ATOMIC_RELEASE);
			access(race->window + race->firsts[i] * PAGE, F_OK);
		}
		__atomic_add_fetch(&race->place, 1, __ATOMIC_RELEASE);
	}
}

/*
 * A fault could otherwise find the page owned, and map it after its free has
 * looked for mappings. Where no page table is yet, mapping takes it a while: so
 * there is one page to a table, and the window is mapped anew each time.
 */
TEST(free_that_races_with_a_fault_leaves_no_mapping)
{
	struct fault_race race = { 0 };
	int fd = client_open();
	uint64_t nr_pages = client_info(fd).nr_pages;
	double until = now() + RACE_SECONDS;
	unsigned long place = 0, round;
	pthread_t reader;

	race.places = client_megablocks(fd, race.firsts, ARRAY_SIZE(race.firsts));
	pthread_create(&reader, NULL, read_at_once, &race);
	for (round = 1; round <= RACE_ROUNDS && now() < until; round++) {
		char *window = client_window(fd);

		ASSERT_NE(MAP_FAILED, window);
		for (unsigned long i = 0; i < race.places; i++)
			while (client_alloc_at(fd, race.firsts[i], 1))
				;
		race.window = window;
		__atomic_store_n(&race.round, round, __ATOMIC_RELEASE);
		for (unsigned long i = 0; i < race.places; i++) {
			volatile int delay = (round * 37 + i * 101) % 1000;

			wait_for(&race.place, ++place);
			while (delay--)
				;
			ASSERT_EQ(0, client_free_one(fd, race.firsts[i]));
		}
		wait_for(&race.place, ++place);
		for (unsigned long i = 0; i < race.places; i++)
			ASSERT_EQ(SIGBUS, touch(window + race.firsts[i] * PAGE, -1));
		munmap(window, nr_pages * PAGE);
	}
	race.window = NULL;
	__atomic_store_n(&race.round, round, __ATOMIC_RELEASE);
	pthread_join(reader, NULL);
	close(fd);
}

/* ---- two faults, of one page and of its megablock ------------------------ */

/*
 * One page of each megablock is missing until a 4 KiB fault has found that there
 * can be no 2 MiB entry; then a fault finds that there can. Had the first not
 * looked at the slot again, it would write its entry into the first page of the
 * megablock, as if that were the table. Had the second not, it would warn of the
 * table.
 */
TEST(faults_that_race_for_one_slot_leave_the_megablock_as_it_is)
{
	const unsigned long last = MEGABLOCK - 1;
	struct fault_race race = { 0 };
	int fd = client_open();
	uint64_t nr_pages = client_info(fd).nr_pages;
	double until = now() + RACE_SECONDS;
	unsigned long place = 0, round;
	pthread_t reader;

	race.places = client_megablocks(fd, race.firsts, ARRAY_SIZE(race.firsts));
	for (unsigned long i = 0; i < race.places; i++)
		ASSERT_EQ(0, client_alloc_at(fd, race.firsts[i], last));
	pthread_create(&reader, NULL, read_at_once, &race);
	for (round = 1; round <= RACE_ROUNDS && now() < until; round++) {
		char *window = client_window(fd);

		ASSERT_NE(MAP_FAILED, window);
		race.window = window;
		__atomic_store_n(&race.round, round, __ATOMIC_RELEASE);
		for (unsigned long i = 0; i < race.places; i++) {
			volatile int delay = (round * 37 + i * 101) % 1000;

			wait_for(&race.place, ++place);
			while (delay--)
				;
			ASSERT_EQ(0, client_alloc_at(fd, race.firsts[i] + last, 1));
			*(volatile char *)(window + (race.firsts[i] + last) * PAGE) = 0;
		}
		wait_for(&race.place, ++place);
		for (unsigned long i = 0; i < race.places; i++) {
			ASSERT_TRUE(pages_hold(window + race.firsts[i] * PAGE, 1, 0));
			ASSERT_EQ(0, client_free_one(fd, race.firsts[i] + last));
		}
		munmap(window, nr_pages * PAGE);
	}
	race.window = NULL;
	__atomic_store_n(&race.round, round, __ATOMIC_RELEASE);
	pthread_join(reader, NULL);
	close(fd);
}

/* ---- unmapping against zapping, stale TLB -------------------------------- */

struct unmap_race {
	char *region;		/* a window of one page, and bystanders */
	bool started;
	double took;		/* seconds, the last time */
};

static void *unmap_at_once(void *arg)
{
	struct unmap_race *race = arg;
	double start = now();

	__atomic_store_n(&race->started, true, __ATOMIC_RELEASE);
	munmap(race->region, (1 + BYSTANDERS) * PAGE);
	race->took = now() - start;
	return NULL;
}

/*
 * While munmap takes its leave of the bystanders, no free finds the window any
 * more. By then it must have told every processor.
 */
TEST(free_that_races_with_unmapping_leaves_no_translation)
{
	int fd = client_open(), bystander = memfd_create("bystander", 0);
	struct unmap_race race = { 0 };
	double until = now() + RACE_SECONDS;

	ASSERT_EQ(0, ftruncate(bystander, 2 * PAGE));
	race.region = mmap(NULL, (1 + BYSTANDERS) * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS,
			   -1, 0);
	ASSERT_NE(MAP_FAILED, race.region);
	for (int round = 0; round < RACE_ROUNDS && now() < until; round++) {
		double delay = race.took * (round * 37 % 100) / 100, start;
		long index = client_alloc_one(fd, NULL, 0);
		pthread_t unmapper;

		ASSERT_LE(0, index);
		ASSERT_NE(MAP_FAILED, mmap(race.region, PAGE, PROT_READ, MAP_SHARED | MAP_FIXED,
					   fd, index * PAGE));
		for (int i = 1; i <= BYSTANDERS; i++)
			ASSERT_NE(MAP_FAILED,
				  mmap(race.region + i * PAGE, PAGE, PROT_READ,
				       MAP_SHARED | MAP_FIXED, bystander, i % 2 * PAGE));
		race.started = false;
		ASSERT_EQ(0, touch(race.region, -1));
		pthread_create(&unmapper, NULL, unmap_at_once, &race);
		while (!__atomic_load_n(&race.started, __ATOMIC_ACQUIRE))
			;
		for (start = now(); now() - start < delay;)
			;
		ASSERT_EQ(0, client_free_one(fd, index));
		ASSERT_NE(0, touch(race.region, -1));
		pthread_join(unmapper, NULL);
	}
	/* What was freed while unmapping still held it; the next test counts free pages. */
	EXPECT_TRUE(EVENTUALLY(!client_info(fd).quarantined_pages));
	close(bystander);
	close(fd);
}

/* ---- counting VMA opens and closes --------------------------------------- */

/* Splits, copies and ends of mappings must add up to nothing. */
TEST(mappings_that_come_go_and_split_leave_the_client_as_it_is)
{
	int fd = client_open(), other = client_open();
	uint64_t nr_pages = client_info(fd).nr_pages, nr_free = client_info(fd).free_pages;
	char *window = client_window(fd);
	long span = client_alloc(fd, 9);
	char *pages = window + span * PAGE;

	ASSERT_LE(0, span);
	memset(pages, 0x71, 9 * PAGE);
	for (int round = 0; round < 20; round++) {
		char *second = mmap(NULL, 9 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
				    span * PAGE);

		ASSERT_NE(MAP_FAILED, second);
		ASSERT_EQ(0, mprotect(second + PAGE, PAGE, PROT_READ));
		ASSERT_EQ(0, munmap(second + 3 * PAGE, 3 * PAGE));
		ASSERT_EQ(0, leave_to_children(second, 3 * PAGE));
		ASSERT_EQ(0, IN_CHILD({
			if (!inherit(fd, second, 3 * PAGE, span) || touch(second, -1) ||
			    touch(second + 6 * PAGE, -1) != SIGSEGV)
				_exit(1);
			munmap(second, PAGE);
		}));
		ASSERT_EQ(0, munmap(second, 3 * PAGE));
		ASSERT_EQ(0, munmap(second + 6 * PAGE, 3 * PAGE));
		ASSERT_EQ(9, client_info(fd).owned_pages);
		ASSERT_TRUE(pages_hold(pages, 9, 0x71));
	}
	/* The last of descriptor and mappings ends the client, whichever it is. */
	close(fd);
	ASSERT_EQ(0, munmap(pages + PAGE, PAGE));
	EXPECT_TRUE(pages_hold(pages + 2 * PAGE, 7, 0x71));
	EXPECT_EQ(nr_free - 9, client_info(other).free_pages);
	ASSERT_EQ(0, munmap(window, nr_pages * PAGE));
	EXPECT_TRUE(EVENTUALLY(client_info(other).free_pages == nr_free));
	close(other);
}

/* ---- commit, then copy_to_user fails ------------------------------------- */

/* Nothing allocated, and nothing mapped either. */
TEST(populating_allocation_whose_result_cannot_be_stored_is_undone)
{
	int fd = client_open(), other = client_open();
	uint64_t nr_free = client_info(fd).free_pages;
	char *window = client_window(fd), *theirs = client_window(other);
	uint64_t *torn;
	char *pages;

	pages = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, pages);
	munmap(pages + PAGE, PAGE);
	torn = (uint64_t *)(pages + PAGE) - 3;
	for (int count = 4; count <= 64; count *= 16) {
		struct pagespan_alloc alloc = {
			.size = sizeof(alloc),
			.flags = PAGESPAN_ALLOC_POPULATE,
			.nr_pages = 2,
			.align_pages = 1,
			.count = count,
			.spans = (uintptr_t)torn,
			.window = (uintptr_t)window,
		};

		EXPECT_EQ(-EFAULT, client_ioctl(fd, PAGESPAN_ALLOC, &alloc));
		EXPECT_EQ(0, client_info(fd).owned_pages);
		EXPECT_EQ(nr_free, client_info(fd).free_pages);
		/* What it has told of is not to be had, and not to be seen. */
		for (int i = 0; i < 3; i++) {
			EXPECT_EQ(SIGBUS, touch(window + torn[i] * PAGE, -1));
			ASSERT_EQ(0, client_alloc_at(other, torn[i], 2));
			EXPECT_EQ(0, touch(theirs + torn[i] * PAGE, 1));
			EXPECT_EQ(SIGBUS, touch(window + torn[i] * PAGE, -1));
			EXPECT_EQ(0, client_free(other, torn[i], 2));
		}
	}
	close(fd);
	close(other);
}

/* ---- SIGKILL during a long zero ------------------------------------------ */

FIXTURE(clearing)
{
	int victim, other, observer;
	uint64_t first;		/* of the pages that are cleared */
	uint32_t nr_pages;
	char *window, *others;	/* where they are */
};

FIXTURE_SETUP(clearing)
{
	struct pagespan_range longest;

	self->observer = client_open();
	self->victim = client_open();
	self->other = client_open();
	ASSERT_LE(0, self->observer);
	ASSERT_LE(0, self->victim);
	ASSERT_LE(0, self->other);
	longest = client_longest(self->observer);
	self->first = longest.first;
	self->nr_pages = longest.nr_pages;
	self->window = client_window(self->victim);
	self->others = client_window(self->other);
	ASSERT_NE(MAP_FAILED, self->window);
	ASSERT_NE(MAP_FAILED, self->others);
	self->window += self->first * PAGE;
	self->others += self->first * PAGE;
}

FIXTURE_TEARDOWN(clearing)
{
	munmap(self->window, self->nr_pages * PAGE);
	munmap(self->others, self->nr_pages * PAGE);
	close(self->victim);
	close(self->other);
	close(self->observer);
}

#define CLEARING	FIXTURE_DATA(clearing)

/* Leaves every page to be cleared before the victim may have it. */
static void make_foreign(const CLEARING *self)
{
	if (client_alloc_at(self->other, self->first, self->nr_pages))
		abort();
	memset(self->others, 0xa5, self->nr_pages * PAGE);
	if (client_free(self->other, self->first, self->nr_pages))
		abort();
}

/* Seconds that an allocation takes, nearly all of them for clearing. */
static double time_of_clearing(const CLEARING *self)
{
	double start = now();

	if (client_alloc_at(self->victim, self->first, self->nr_pages))
		abort();
	start = now() - start;
	if (client_free(self->victim, self->first, self->nr_pages))
		abort();
	return start;
}

/*
 * A child allocates through the victim's descriptor, and is killed as soon as
 * the pages are reserved: while they are cleared. Seconds that it took to go.
 */
static double kill_while_clearing(const CLEARING *self)
{
	uint64_t before = client_info(self->observer).free_pages;
	pid_t pid = fork();
	double start;

	if (!pid) {
		client_alloc_at(self->victim, self->first, self->nr_pages);
		_exit(0);
	}
	while (client_info(self->observer).free_pages == before)
		;
	start = now();
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	return now() - start;
}

/*
 * A machine that is busy may notice late, so one prompt end of several is
 * enough. The pages cleared by then must not pass for the rest, which still hold
 * what the other client wrote: it sees them again, the victim never does.
 */
TEST_F(clearing, sigkill_is_heeded_at_once_and_rolled_back)
{
	struct pagespan_info before = client_info(self->observer);
	char *last = self->others + (self->nr_pages - 1) * PAGE;
	bool prompt = false;
	double whole;

	make_foreign(self);
	whole = time_of_clearing(self);
	for (int round = 0; round < 10 && !prompt; round++) {
		double took;

		make_foreign(self);
		took = kill_while_clearing(self);
		prompt = !client_info(self->victim).owned_pages && took < whole / 2;
		if (client_info(self->victim).owned_pages)
			ASSERT_EQ(0, client_free(self->victim, self->first, self->nr_pages));
		ASSERT_EQ(before.free_pages, client_info(self->observer).free_pages);
		ASSERT_EQ(before.longest_run, client_info(self->observer).longest_run);
	}
	ASSERT_TRUE(prompt);

	ASSERT_EQ(0, client_alloc_at(self->other, self->first, self->nr_pages));
	EXPECT_TRUE(pages_hold(last, 1, 0xa5));
	for (uint32_t i = 0; i < self->nr_pages; i++) {
		char *page = self->others + i * PAGE;

		ASSERT_TRUE(pages_hold(page, 1, 0xa5) || pages_hold(page, 1, 0));
	}
	ASSERT_EQ(0, client_free(self->other, self->first, self->nr_pages));
	ASSERT_EQ(0, client_alloc_at(self->victim, self->first, self->nr_pages));
	EXPECT_TRUE(pages_hold(self->window, self->nr_pages, 0));
}

/* Where a child is that allocates in bulk; shared with it. */
enum stage { BEFORE, ALLOCATING, AFTER };

static double time_of_bulk(int victim)
{
	static uint64_t pages[PAGESPAN_MAX_COUNT];
	double start = now();

	if (client_alloc_bulk(victim, 1, PAGESPAN_MAX_COUNT, pages, 0) != PAGESPAN_MAX_COUNT)
		abort();
	start = now() - start;
	client_free_all(victim);
	return start;
}

/* A child allocates through the victim's descriptor, and is killed so many seconds later. */
static void kill_in_bulk_allocation(int victim, double delay, volatile enum stage *stage)
{
	double start;
	pid_t pid;

	*stage = BEFORE;
	pid = fork();
	if (!pid) {
		static uint64_t pages[PAGESPAN_MAX_COUNT];

		memset(pages, 0, sizeof(pages));
		*stage = ALLOCATING;
		client_alloc_bulk(victim, 1, PAGESPAN_MAX_COUNT, pages, 0);
		*stage = AFTER;
		pause();
	}
	while (*stage == BEFORE)
		;
	for (start = now(); now() - start < delay;)
		;
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

/*
 * Single pages, each of which has to be cleared, at various moments; at some it is
 * undone. There are no others to be had.
 */
TEST_F(clearing, sigkill_in_a_bulk_allocation_undoes_all_of_it)
{
	volatile enum stage *stage;
	int keeper = client_open();
	uint64_t run, before;
	int undone = 0;
	double whole;

	while ((run = client_longest(keeper).nr_pages))
		ASSERT_LE(0, client_alloc(keeper, run));
	self->nr_pages = PAGESPAN_MAX_COUNT;
	ASSERT_EQ(0, client_free(keeper, self->first, PAGESPAN_MAX_COUNT));
	before = client_info(self->observer).free_pages;
	stage = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, (void *)stage);
	make_foreign(self);
	whole = time_of_bulk(self->victim);
	for (int round = 0; round < RACE_ROUNDS && undone < 5; round++) {
		uint64_t owned;

		make_foreign(self);
		kill_in_bulk_allocation(self->victim, whole * (round % 10) / 10, stage);
		owned = client_info(self->victim).owned_pages;
		ASSERT_EQ(before, client_info(self->observer).free_pages + owned);
		if (owned) {
			ASSERT_EQ(PAGESPAN_MAX_COUNT, owned);
			client_free_all(self->victim);
		} else if (*stage == ALLOCATING) {
			undone++;
		}
		ASSERT_EQ(0, client_alloc_at(self->victim, self->first, PAGESPAN_MAX_COUNT));
		if (!owned)
			ASSERT_TRUE(pages_hold(self->window, PAGESPAN_MAX_COUNT, 0));
		client_free_all(self->victim);
	}
	EXPECT_LT(0, undone);
	munmap((void *)stage, PAGE);
	close(keeper);
}

TEST_HARNESS_MAIN
