// SPDX-License-Identifier: GPL-2.0-only
/*
 * A fuzzer of /dev/pagespan. Processes call it at random, with and without sense,
 * and do to their windows whatever can be done, while a thread of each uses its
 * window. What a process owns stands in a model, and in a tag in each page: every
 * result must be what the model says, every page must hold its tag, and no page may
 * hold a tag of somebody else.
 *
 * An operation is a number: all that is random about it follows from it. So a
 * sequence that fails is repeated without others about, shortened as long as it
 * still fails, and printed; it can be given again. Where the module tells what code
 * runs (KCOV), numbers that reached new code are tried again and again.
 */
#include <fcntl.h>
#include <linux/kcov.h>
#include <linux/pagespan.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../random.h"
#include "model.h"
#include "operations.h"
#include "user.h"

#define WORKERS     3
#define SEQUENCE    400 /* operations of one process */
#define COVER_WORDS (64 << 10)
#define COVER_BITS  65536
#define CORPUS      1024

/* What the processes tell each other. */
struct shared {
	uint64_t nr_done;
	uint64_t nr_covered;
	uint64_t nr_kept;
	uint64_t kept[CORPUS];
	uint8_t covered[COVER_BITS];
	uint64_t sequences[WORKERS][SEQUENCE];
};

static struct shared *shared;
static uint64_t *cover;

/* ---- sequences -------------------------------------------------------------------------- */

static void start_cover(void)
{
	int fd = open("/sys/kernel/debug/kcov", O_RDWR | O_CLOEXEC);

	if (fd < 0 || ioctl(fd, KCOV_INIT_TRACE, COVER_WORDS))
		return;
	cover = mmap(NULL, COVER_WORDS * sizeof(*cover), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (cover == MAP_FAILED || ioctl(fd, KCOV_ENABLE, KCOV_TRACE_PC))
		cover = NULL;
}

/* Notes the code that an operation reached, and keeps the operation if some of it is new. */
static void look_at_cover(uint64_t operation)
{
	bool found = false;

	for (uint64_t i = 1; i <= cover[0] && i < COVER_WORDS; i++) {
		uint8_t *seen = &shared->covered[(cover[i] * 0x9e3779b97f4a7c15) >> 48];

		if (!*seen) {
			*seen = 1;
			found = true;
			__atomic_add_fetch(&shared->nr_covered, 1, __ATOMIC_RELAXED);
		}
	}
	if (found)
		shared->kept[__atomic_fetch_add(&shared->nr_kept, 1, __ATOMIC_RELAXED) % CORPUS] =
			operation;
}

static void run_one(uint64_t operation)
{
	if (cover)
		__atomic_store_n(&cover[0], 0, __ATOMIC_RELAXED);
	run_operation(operation);
	if (cover)
		look_at_cover(operation);
	__atomic_add_fetch(&shared->nr_done, 1, __ATOMIC_RELAXED);
}

static void begin(void)
{
	catch_signals();
	open_client();
	state.raw = open("/dev/pagespan", O_RDWR | O_CLOEXEC);
	user_start();
}

/* Runs operations in a process of their own; its wait status. */
static int run_alone(const uint64_t *sequence, size_t length)
{
	int status;
	pid_t pid = fork();

	if (!pid) {
		begin();
		for (size_t i = 0; i < length; i++)
			run_one(sequence[i]);
		_exit(0);
	}
	waitpid(pid, &status, 0);
	return status;
}

/* What fails seldom is tried a few times. */
static bool still_fails(const uint64_t *sequence, size_t length)
{
	for (int tries = 0; tries < 3; tries++)
		if (run_alone(sequence, length))
			return true;
	return false;
}

/* Leaves out what it can, in ever smaller pieces, and prints the rest. */
static void shorten(uint64_t *sequence, size_t length)
{
	uint64_t shorter[SEQUENCE];

	quiet = true;
	if (!still_fails(sequence, length))
		printf("it needs others about; alone the sequence passes\n");
	else
		for (size_t piece = length / 2; piece; piece /= 2)
			for (size_t at = 0; at + piece <= length;) {
				memcpy(shorter, sequence, at * sizeof(*shorter));
				memcpy(shorter + at, sequence + at + piece,
				       (length - at - piece) * sizeof(*shorter));
				if (still_fails(shorter, length - piece)) {
					length -= piece;
					memcpy(sequence, shorter, length * sizeof(*shorter));
				} else {
					at += piece;
				}
			}
	printf("replay");
	for (size_t i = 0; i < length; i++)
		printf(" %llx", (unsigned long long)sequence[i]);
	printf("\n");
}

/* One process of the fuzzer: a sequence, noted before it is run. */
static void work(uint64_t *sequence, uint64_t seed)
{
	begin();
	start_cover();
	for (int i = 0; i < SEQUENCE; i++) {
		sequence[i] = random_next(&seed);
		if (shared->nr_kept && sequence[i] % 6 == 0)
			sequence[i] =
				shared->kept[(sequence[i] >> 8) %
					     (shared->nr_kept < CORPUS ? shared->nr_kept : CORPUS)];
		run_one(sequence[i]);
	}
	_exit(0);
}

/* Every page is free again, in a moment. */
static bool pool_is_whole(uint64_t free_pages)
{
	struct pagespan_info info = {0};
	int fd = open("/dev/pagespan", O_RDWR);

	for (int tries = 0; tries < 2000 && info.free_pages != free_pages; tries++) {
		usleep(1000);
		info = (struct pagespan_info){.size = sizeof(info)};
		call(fd, PAGESPAN_INFO, &info);
	}
	close(fd);
	return info.free_pages == free_pages;
}

static uint64_t free_pages_now(void)
{
	struct pagespan_info info = {.size = sizeof(info)};
	int fd = open("/dev/pagespan", O_RDWR);

	if (fd < 0 || call(fd, PAGESPAN_INFO, &info))
		wrong("the device cannot be opened");
	close(fd);
	return info.free_pages;
}

/* Rounds of processes, of which one in eight rounds is killed; whether nothing was wrong. */
static bool fuzz(long seconds, uint64_t seed)
{
	time_t until = time(NULL) + seconds, told = time(NULL);
	uint64_t free_pages = free_pages_now();
	pid_t pids[WORKERS];
	int status;

	printf("# seed %llx\n", (unsigned long long)seed);
	for (unsigned long round = 0; time(NULL) < until; round++) {
		fflush(stdout);
		for (int i = 0; i < WORKERS; i++) {
			uint64_t own_seed = random_next(&seed);

			memset(shared->sequences[i], 0, sizeof(shared->sequences[i]));
			pids[i] = fork();
			if (!pids[i])
				work(shared->sequences[i], own_seed);
		}
		if (round % 8 == 7) {
			usleep(random_next(&seed) % 300000);
			kill(pids[0], SIGKILL);
		}
		for (int i = 0; i < WORKERS; i++) {
			size_t length = 0;

			waitpid(pids[i], &status, 0);
			if (!status || (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL))
				continue;
			while (length < SEQUENCE && shared->sequences[i][length])
				length++;
			printf("# status %x after %zu operations\n", status, length);
			shorten(shared->sequences[i], length);
			return false;
		}
		if (!pool_is_whole(free_pages)) {
			printf("# pages are lost after round %lu\n", round);
			return false;
		}
		if (time(NULL) - told >= 60) {
			told = time(NULL);
			printf("# %llu operations so far\n", (unsigned long long)shared->nr_done);
		}
	}
	printf("# %llu operations, %llu places of the module reached\n",
	       (unsigned long long)shared->nr_done, (unsigned long long)shared->nr_covered);
	return true;
}

int main(int argc, char **argv)
{
	uint64_t sequence[SEQUENCE];
	int length = 0;

	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		      0);
	if (argc > 2 && !strcmp(argv[1], "replay")) {
		while (length < argc - 2 && length < SEQUENCE) {
			sequence[length] = strtoull(argv[length + 2], NULL, 16);
			length++;
		}
		return run_alone(sequence, length) != 0;
	}
	if (argc != 3 || shared == MAP_FAILED) {
		fprintf(stderr, "usage: %s SECONDS SEED | replay OPERATION...\n", argv[0]);
		return 2;
	}
	printf("1..1\n");
	if (!fuzz(atol(argv[1]), strtoull(argv[2], NULL, 16))) {
		printf("not ok 1 fuzz.results_and_pages_are_what_the_model_says\n");
		return 1;
	}
	printf("ok 1 fuzz.results_and_pages_are_what_the_model_says\n");
	return 0;
}
