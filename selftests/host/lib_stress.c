// SPDX-License-Identifier: MIT
/*
 * Eight threads that allocate, free in part, pass spans on, extend, resize, fork and end,
 * at random; every page says whose it is, and nobody may find another's mark.
 *
 * usage: lib_stress [SECONDS [SEED]]
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/pagespan.h>
#include <pagespan.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tap.h"

#define PAGE       PS_PAGE_SIZE
#define NR_THREADS 8
#define NR_SLOTS   24
#define NR_PARCELS 64

struct block {
	char *start;
	size_t pages;
	uint32_t mark;
};

/* Blocks that whoever comes first frees. */
static struct {
	pthread_mutex_t lock;
	struct block blocks[NR_PARCELS];
	int count;
} parcels = {.lock = PTHREAD_MUTEX_INITIALIZER};

static _Atomic uint32_t last_mark;
static _Atomic int failures;
static _Atomic int stop;

static void fail(const char *what)
{
	if (!atomic_fetch_add(&failures, 1))
		printf("# %s: %s\n", what, strerror(errno));
	atomic_store(&stop, 1);
}

static void mark(struct block *block, size_t from)
{
	for (size_t page = from; page < block->pages; page++) {
		uint32_t *words = (uint32_t *)(block->start + page * PAGE);

		words[0] = words[PAGE / 8 + page % 64] = words[PAGE / 4 - 1] = block->mark;
	}
}

static void show(const struct block *block, size_t page, size_t at)
{
	printf("# page %zu of %zu, at %p: %#x instead of %#x\n", page, block->pages,
	       (void *)(block->start + page * PAGE), *(uint32_t *)(block->start + page * PAGE + at),
	       block->mark);
}

static bool is_marked(const struct block *block)
{
	for (size_t page = 0; page < block->pages; page++) {
		const uint32_t *words = (const uint32_t *)(block->start + page * PAGE);

		if (words[0] != block->mark || words[PAGE / 8 + page % 64] != block->mark ||
		    words[PAGE / 4 - 1] != block->mark) {
			show(block, page, 0);
			return false;
		}
	}
	return true;
}

static size_t draw_pages(unsigned int *seed)
{
	switch (rand_r(seed) % 16) {
	case 0:
		return 512;
	case 1:
		return 1 + rand_r(seed) % 600;
	case 2:
	case 3:
		return 1 + rand_r(seed) % 64;
	default:
		return 1 + rand_r(seed) % 17;
	}
}

static void allocate(struct block *block, unsigned int *seed)
{
	size_t pages = draw_pages(seed);
	unsigned int flags = rand_r(seed) % 8 ? 0 : PS_ZERO;

	block->start = flags ? ps_span_alloc_ex(pages * PAGE, 0, flags) : ps_span_alloc(pages * PAGE);
	block->pages = block->start ? pages : 0;
	if (!block->start) {
		/* The pool is small; that it is full is in order. */
		if (errno != ENOMEM)
			fail("allocation");
		return;
	}
	block->mark = 0;
	for (size_t page = 0; flags && page < pages; page++)
		for (size_t at = 0; at < PAGE; at += 64)
			if (block->start[page * PAGE + at]) {
				show(block, page, at);
				fail("a zeroed span is not zero");
			}
	block->mark = atomic_fetch_add(&last_mark, 1) + 1;
	mark(block, 0);
}

/* In up to three parts, in any order. */
static void release(struct block *block, unsigned int *seed)
{
	size_t first = rand_r(seed) % (block->pages + 1);
	size_t second = first + rand_r(seed) % (block->pages - first + 1);
	size_t parts[4] = {0, first, second, block->pages};

	if (!is_marked(block))
		fail("a span has lost its contents");
	for (int i = 0; i < 3; i++) {
		int part = (i + first) % 3;
		size_t bytes = (parts[part + 1] - parts[part]) * PAGE;

		if (bytes && ps_span_free(block->start + parts[part] * PAGE, bytes))
			fail("free");
	}
	block->pages = 0;
}

static void extend(struct block *block, unsigned int *seed)
{
	size_t pages = block->pages + 1 + rand_r(seed) % 8;
	int ret = ps_span_extend(block->start, block->pages * PAGE, pages * PAGE);

	if (ret == -ENOMEM)
		return;
	if (ret)
		fail("extend");
	size_t before = block->pages;
	block->pages = pages;
	mark(block, before);
}

static void resize(struct block *block, unsigned int *seed)
{
	size_t before = block->pages, pages = draw_pages(seed);
	char *moved = ps_span_resize(block->start, before * PAGE, pages * PAGE);

	if (!moved && errno != ENOMEM)
		fail("resize");
	if (!moved)
		return;
	block->start = moved;
	block->pages = before < pages ? before : pages;
	if (!is_marked(block))
		fail("a span that was resized has lost its contents");
	block->pages = pages;
	mark(block, before < pages ? before : pages);
}

/* Gives a block away, and gets rid of another's. */
static void pass_on(struct block *block, unsigned int *seed)
{
	struct block other = {0};

	pthread_mutex_lock(&parcels.lock);
	if (parcels.count == NR_PARCELS)
		other = parcels.blocks[--parcels.count];
	parcels.blocks[parcels.count++] = *block;
	block->pages = 0;
	if (!other.pages && parcels.count > 4)
		other = parcels.blocks[--parcels.count];
	pthread_mutex_unlock(&parcels.lock);
	if (other.pages)
		release(&other, seed);
}

/* Only what a child of a process with threads may do; it has the library to itself. */
static void have_child(const struct block *block)
{
	int status;
	pid_t pid = fork();

	if (!pid) {
		bool copied = ps_span_free(block->start, PAGE) == 0;
		char *own = ps_span_alloc(3 * PAGE);
		const char *how = getenv("PAGESPAN_FORK");

		if (copied != (how && !strcmp(how, "copy")) || (!own && errno != ENOMEM))
			_exit(1);
		if (own)
			memset(own, 1, 3 * PAGE);
		_exit(own && ps_span_free(own, 3 * PAGE));
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid || status)
		fail("a child of a fork");
}

static void *work(void *arg)
{
	unsigned int seed = (unsigned int)(uintptr_t)arg;
	struct block blocks[NR_SLOTS] = {0};
	int rounds = 200 + rand_r(&seed) % 800;

	while (rounds-- && !atomic_load(&stop)) {
		struct block *block = &blocks[rand_r(&seed) % NR_SLOTS];
		int what = rand_r(&seed) % 256;

		if (!block->pages)
			allocate(block, &seed);
		else if (what < 32)
			pass_on(block, &seed);
		else if (what < 64)
			extend(block, &seed);
		else if (what < 72)
			resize(block, &seed);
		else if (what == 72)
			ps_trim(rand_r(&seed) % 2 ? 0 : 64 * PAGE);
		else if (what == 73)
			ps_reclaim();
		else if (what == 74 && rounds % 4 == 0)
			have_child(block);
		else
			release(block, &seed);
	}
	for (int i = 0; i < NR_SLOTS; i++)
		if (blocks[i].pages)
			release(&blocks[i], &seed);
	return NULL;
}

/* Threads end and others begin until the time is over. */
static void run_threads(int seconds, unsigned int seed)
{
	pthread_t threads[NR_THREADS];
	time_t end = time(NULL) + seconds;

	for (int i = 0; i < NR_THREADS; i++)
		pthread_create(&threads[i], NULL, work, (void *)(uintptr_t)seed++);
	for (int i = 0; time(NULL) < end && !atomic_load(&stop); i = (i + 1) % NR_THREADS) {
		pthread_join(threads[i], NULL);
		pthread_create(&threads[i], NULL, work, (void *)(uintptr_t)seed++);
	}
	for (int i = 0; i < NR_THREADS; i++)
		pthread_join(threads[i], NULL);
	while (parcels.count)
		release(&parcels.blocks[--parcels.count], &seed);
}

static bool nothing_is_left(void)
{
	struct ps_stats stats;

	ps_trim(0);
	ps_stats(&stats, sizeof(stats));
	printf("# %llu spans, %llu KiB left, %llu KiB cached\n",
	       (unsigned long long)stats.spans_allocated,
	       (unsigned long long)stats.bytes_held >> 10, (unsigned long long)stats.bytes_cached >> 10);
	return !stats.bytes_held && !stats.bytes_cached;
}

static uint64_t free_pages(void)
{
	struct pagespan_info info = {.size = sizeof(info)};
	int fd = open("/dev/pagespan", O_RDWR);

	if (fd < 0 || ioctl(fd, PAGESPAN_INFO, &info))
		info.free_pages = 0;
	close(fd);
	return info.free_pages;
}

/* Killed at any moment, with children of its own that may be on their way. */
static bool kill_gives_everything_back(unsigned int seed)
{
	uint64_t before = free_pages();
	bool taken = false;

	for (int i = 0; i < 10; i++) {
		struct timespec wait = {.tv_nsec = 20000000 + rand_r(&seed) % 200000000};
		pid_t pid = fork();
		int patience = 100;

		if (!pid) {
			run_threads(60, seed);
			_exit(0);
		}
		nanosleep(&wait, NULL);
		taken |= free_pages() != before;
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		wait.tv_nsec = 50000000;
		while (free_pages() != before && patience--)
			nanosleep(&wait, NULL);
		if (free_pages() != before)
			return false;
	}
	return taken;
}

int main(int argc, char **argv)
{
	int seconds = argc > 1 ? atoi(argv[1]) : 5;
	unsigned int seed = argc > 2 ? (unsigned int)atoi(argv[2]) : 1;

	setenv("PAGESPAN_MEMORY_MB", "256", 0);
	tap_begin();
	if (getenv("PAGESPAN_BACKEND") && !strcmp(getenv("PAGESPAN_BACKEND"), "device"))
		tap_result(kill_gives_everything_back(seed), "kill_gives_everything_back");
	printf("# %s backend, %d s, seed %u\n", ps_backend(), seconds, seed);
	run_threads(seconds, seed);
	tap_result(!failures, "threads_never_find_what_another_wrote");
	tap_result(nothing_is_left(), "nothing_is_left_when_all_is_freed");
	return tap_end();
}
