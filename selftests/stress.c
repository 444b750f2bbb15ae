// SPDX-License-Identifier: GPL-2.0-only
/*
 * Stress: threads of several clients allocate, tag, verify and free subsets at
 * once, and die by SIGKILL; no page is ever lost or shared.
 */
#include <pthread.h>
#include <time.h>

#include "harness.h"
#include "pagespan_test.h"

#define SECONDS		5
#define CLIENTS		3
#define THREADS		2
#define SLOTS		64

struct worker {
	int fd;
	char *window;
	uint64_t tag;
	unsigned int seed;
	time_t until;
	bool failed;
};

static void tag_page(struct worker *worker, uint64_t index)
{
	uint64_t *page = (uint64_t *)(worker->window + index * PAGE);

	page[0] = worker->tag ^ index;
	page[511] = worker->tag ^ index;
}

static bool page_is_tagged(struct worker *worker, uint64_t index)
{
	uint64_t *page = (uint64_t *)(worker->window + index * PAGE);

	return page[0] == (worker->tag ^ index) && page[511] == (worker->tag ^ index);
}

/* Frees a span in up to three pieces, each verified first. */
static void release(struct worker *worker, uint64_t first, uint32_t nr_pages)
{
	while (nr_pages) {
		uint32_t piece = 1 + rand_r(&worker->seed) % nr_pages;

		for (uint32_t i = 0; i < piece; i++)
			if (!page_is_tagged(worker, first + i))
				worker->failed = true;
		if (client_free(worker->fd, first, piece))
			worker->failed = true;
		first += piece;
		nr_pages -= piece;
	}
}

static void *work(void *arg)
{
	struct worker *worker = arg;
	struct {
		uint64_t first;
		uint32_t nr_pages;
	} slots[SLOTS] = { 0 };

	while (time(NULL) < worker->until && !worker->failed) {
		int slot = rand_r(&worker->seed) % SLOTS;
		uint32_t nr_pages = 1 + rand_r(&worker->seed) % 40;
		long first;

		release(worker, slots[slot].first, slots[slot].nr_pages);
		slots[slot].nr_pages = 0;
		first = client_alloc(worker->fd, nr_pages);
		if (first == -ENOMEM)
			continue;
		if (first < 0) {
			worker->failed = true;
			break;
		}
		for (uint32_t i = 0; i < nr_pages; i++)
			tag_page(worker, first + i);
		slots[slot].first = first;
		slots[slot].nr_pages = nr_pages;
	}
	for (int slot = 0; slot < SLOTS; slot++)
		release(worker, slots[slot].first, slots[slot].nr_pages);
	return NULL;
}

/* One client with several threads; 0 if no page was lost or foreign. */
static int run_client(int number, int seconds)
{
	struct worker workers[THREADS];
	pthread_t threads[THREADS];
	int fd = client_open();
	char *window = client_window(fd);
	int failed = 0;

	for (int i = 0; i < THREADS; i++) {
		workers[i] = (struct worker){
			.fd = fd,
			.window = window,
			.tag = (uint64_t)(number * THREADS + i + 1) << 48,
			.seed = number * THREADS + i,
			.until = time(NULL) + seconds,
		};
		pthread_create(&threads[i], NULL, work, &workers[i]);
	}
	for (int i = 0; i < THREADS; i++) {
		pthread_join(threads[i], NULL);
		failed |= workers[i].failed;
	}
	return failed || client_info(fd).owned_pages;
}

TEST(no_page_is_lost_or_shared)
{
	int fd = client_open();
	struct pagespan_info before = client_info(fd);
	pid_t pids[CLIENTS];
	int status;

	for (int i = 0; i < CLIENTS; i++) {
		pids[i] = fork();
		if (!pids[i])
			_exit(run_client(i, SECONDS));
	}
	for (int i = 0; i < CLIENTS; i++) {
		waitpid(pids[i], &status, 0);
		EXPECT_EQ(0, status);
	}
	EXPECT_TRUE(EVENTUALLY(client_info(fd).free_pages == before.free_pages));
	EXPECT_EQ(before.longest_run, client_info(fd).longest_run);
}

TEST(sigkill_at_any_moment_loses_no_page)
{
	int fd = client_open();
	struct pagespan_info before = client_info(fd);
	unsigned int seed = 1;

	for (int round = 0; round < 40; round++) {
		pid_t pid = fork();

		if (!pid)
			_exit(run_client(round, 60));
		usleep(1000 + rand_r(&seed) % 100000);
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
	}
	EXPECT_TRUE(EVENTUALLY(client_info(fd).free_pages == before.free_pages));
	EXPECT_EQ(before.longest_run, client_info(fd).longest_run);
}

/*
 * One page goes to and fro between two clients. The second writes a secret; a
 * thread of the first reads its window all the time, another maps it anew, so
 * that frees race with faults and with unmapping. The secret must never show.
 */
#define SECRET	0x5ec7e7

struct race {
	uint64_t *page;
	int fd;
	uint64_t index;
	bool done;
	unsigned long seen;
};

static __thread sigjmp_buf race_fault;

static void race_handler(int signal)
{
	siglongjmp(race_fault, signal);
}

static void *race_read(void *arg)
{
	struct race *race = arg;

	while (!__atomic_load_n(&race->done, __ATOMIC_RELAXED)) {
		if (sigsetjmp(race_fault, 1))
			continue;
		if (*(volatile uint64_t *)race->page == SECRET)
			race->seen++;
	}
	return NULL;
}

static void *race_remap(void *arg)
{
	struct race *race = arg;

	while (!__atomic_load_n(&race->done, __ATOMIC_RELAXED)) {
		if (mmap(race->page, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
			 race->fd, race->index * PAGE) == MAP_FAILED)
			break;
		munmap(race->page, PAGE);
	}
	return NULL;
}

TEST(frees_that_race_with_faults_and_unmapping_never_show_another_client)
{
	struct sigaction action = { .sa_handler = race_handler };
	int first = client_open(), second = client_open();
	char *window = client_window(second);
	struct race race = { .fd = first };
	time_t until = time(NULL) + SECONDS;
	uint64_t nr_free = client_info(first).free_pages;
	pthread_t reader, remapper;
	unsigned long rounds = 0;
	long index;

	index = client_alloc(first, 1);
	ASSERT_LE(0, index);
	race.index = index;
	race.page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, first, index * PAGE);
	ASSERT_NE(MAP_FAILED, (void *)race.page);
	sigaction(SIGBUS, &action, NULL);
	sigaction(SIGSEGV, &action, NULL);
	pthread_create(&reader, NULL, race_read, &race);
	pthread_create(&remapper, NULL, race_remap, &race);
	while (time(NULL) < until) {
		ASSERT_EQ(0, client_free_one(first, index));
		/* Quarantined for a moment if the other threads are at it. */
		while (client_alloc_at(second, index, 1))
			usleep(100);
		*(volatile uint64_t *)(window + index * PAGE) = SECRET;
		ASSERT_EQ(0, client_free_one(second, index));
		while (client_alloc_at(first, index, 1))
			usleep(100);
		rounds++;
	}
	__atomic_store_n(&race.done, true, __ATOMIC_RELAXED);
	pthread_join(reader, NULL);
	pthread_join(remapper, NULL);
	EXPECT_EQ(0, race.seen);
	EXPECT_EQ(0, client_free_one(first, index));
	EXPECT_TRUE(EVENTUALLY(client_info(first).free_pages == nr_free));
	EXPECT_EQ(0, client_info(first).quarantined_pages);
	EXPECT_EQ(0, client_info(second).quarantined_pages);
	TH_LOG("%lu rounds", rounds);
	EXPECT_LT(10, rounds);
}

/* What an ioctl has checked must be what it uses. */
static void *race_change(void *arg)
{
	struct pagespan_alloc *alloc = arg;
	unsigned int seed = 3;

	while (alloc->count != UINT32_MAX) {
		alloc->nr_pages = rand_r(&seed);
		alloc->size = rand_r(&seed) % 128;
		alloc->align_pages = rand_r(&seed);
		alloc->nr_pages = 3;
		alloc->size = sizeof(*alloc);
		alloc->align_pages = 1;
		/* As it is now for about as long as not. */
		sched_yield();
	}
	return NULL;
}

TEST(argument_that_changes_while_it_is_read_does_no_harm)
{
	int fd = client_open();
	uint64_t nr_free = client_info(fd).free_pages;
	uint64_t first;
	static struct pagespan_alloc alloc;
	time_t until = time(NULL) + 10;
	pthread_t changer;
	int succeeded = 0;

	alloc = (struct pagespan_alloc){
		.size = sizeof(alloc),
		.nr_pages = 3,
		.align_pages = 1,
		.count = 1,
		.spans = (uintptr_t)&first,
	};
	pthread_create(&changer, NULL, race_change, &alloc);
	/* The other thread may not get to run for long. */
	for (int i = 0; i < 20000 || (!succeeded && time(NULL) < until); i++) {
		uint64_t owned;
		long ret = client_ioctl(fd, PAGESPAN_ALLOC, &alloc);

		if (ret < 0)
			continue;
		succeeded++;
		owned = client_info(fd).owned_pages;
		ASSERT_EQ(0, client_free(fd, first, owned));
	}
	alloc.count = UINT32_MAX;
	pthread_join(changer, NULL);
	EXPECT_LT(0, succeeded);
	EXPECT_EQ(nr_free, client_info(fd).free_pages);
}

TEST_HARNESS_MAIN
