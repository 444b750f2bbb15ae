// SPDX-License-Identifier: GPL-2.0-only
/*
 * Checks a pool of several pieces, or one that grows and shrinks. Run by resize.sh,
 * which says what to check: absent, contiguous, foreign, churn.
 */
#include <pthread.h>
#include <stdio.h>

#include "pagespan_test.h"

#define THREADS		3
#define CHURN_ROUNDS	60

/* Asks for a size of the pool; the size it has then. */
static uint64_t resize(uint64_t nr_pages)
{
	FILE *file = fopen("/sys/class/misc/pagespan/pool_pages", "r+");

	if (!file)
		abort();
	fprintf(file, "%llu\n", (unsigned long long)nr_pages);
	fclose(file);
	file = fopen("/sys/class/misc/pagespan/pool_pages", "r");
	if (!file || fscanf(file, "%llu", (unsigned long long *)&nr_pages) != 1)
		abort();
	fclose(file);
	return nr_pages;
}

/* Takes every free page in spans as long as can be had; how many spans. */
static int take_all(int fd, uint64_t *firsts, uint32_t *lengths, int most)
{
	int nr = 0;

	while (nr < most) {
		uint64_t run = client_info(fd).longest_run;

		lengths[nr] = run < PAGESPAN_MAX_PAGES ? run : PAGESPAN_MAX_PAGES;
		if (!run || client_alloc_bulk(fd, lengths[nr], 1, &firsts[nr], 0) != 1)
			break;
		nr++;
	}
	return nr;
}

static bool owns(int fd, uint64_t page)
{
	struct pagespan_query query = { .size = sizeof(query), .first = page, .nr_pages = 1 };

	return !client_ioctl(fd, PAGESPAN_QUERY, &query) && query.state & PAGESPAN_QUERY_OWNED;
}

/* What is not there is refused everywhere, and is not counted. */
static int absent(int fd)
{
	struct pagespan_info info = client_info(fd);
	char *window = client_window(fd);
	uint64_t firsts[64], absent = 0, page;
	uint32_t lengths[64];
	int failed = 0;

	failed |= expect(info.source == PAGESPAN_SOURCE_CONTIG &&
			 info.sources == 1 << PAGESPAN_SOURCE_CONTIG, "the source is told");
	failed |= expect(info.pool_pages < info.nr_pages, "pages are missing");
	failed |= expect(info.free_pages == info.pool_pages, "only what is there is free");
	take_all(fd, firsts, lengths, 64);
	info = client_info(fd);
	failed |= expect(info.owned_pages == info.pool_pages, "all that is there can be had");
	for (page = 0; page < info.nr_pages; page++) {
		struct pagespan_phys phys = { .size = sizeof(phys), .index = page };
		struct pagespan_export export = {
			.size = sizeof(export), .first = page, .nr_pages = 1,
		};

		if (owns(fd, page))
			continue;
		absent++;
		if (touch(window + page * PAGE, 1) != SIGBUS ||
		    client_alloc_at(fd, page, 1) != -EBUSY ||
		    client_free(fd, page, 1) != -EINVAL ||
		    client_ioctl(fd, PAGESPAN_PHYS, &phys) != -EINVAL ||
		    client_ioctl(fd, PAGESPAN_EXPORT, &export) != -EINVAL) {
			printf("# page %llu\n", (unsigned long long)page);
			return expect(false, "a page that is not there is refused everywhere");
		}
	}
	failed |= expect(absent == info.nr_pages - info.pool_pages, "the rest is not there");
	return failed;
}

/* Every span is physically contiguous, and two of them never meet where pieces do. */
static int contiguous(int fd)
{
	uint64_t firsts[64], base = 0;
	uint32_t lengths[64];
	int nr = take_all(fd, firsts, lengths, 64);
	int failed = expect(nr > 1, "there are pieces");

	for (int i = 0; i < nr && !failed; i++) {
		for (uint32_t page = 0; page < lengths[i]; page++) {
			struct pagespan_phys phys = {
				.size = sizeof(phys), .index = firsts[i] + page,
			};

			if (client_ioctl(fd, PAGESPAN_PHYS, &phys))
				return expect(false, "an owned page has an address");
			if (!page)
				base = phys.address;
			failed |= phys.address != base + page * PAGE;
		}
		failed |= (base / PAGE) % 512 != firsts[i] % 512;
		expect(!failed, "a span is in one place, aligned as its index");
	}
	return failed;
}

/* Pages that went to the system and came back hold nothing of what they held, for anybody. */
static int foreign(int fd)
{
	uint64_t nr_pages = client_info(fd).pool_pages;
	char *window = client_window(fd);
	uint64_t firsts[64];
	uint32_t lengths[64];
	int nr = take_all(fd, firsts, lengths, 64);
	int failed = 0;

	for (int i = 0; i < nr; i++) {
		memset(window + firsts[i] * PAGE, 0xa5, lengths[i] * PAGE);
		failed |= client_free(fd, firsts[i], lengths[i]);
	}
	failed |= expect(resize(0) == 0, "an unused pool can go");
	failed |= expect(client_alloc(fd, 1) == -ENOMEM, "then nothing can be had");
	failed |= expect(resize(nr_pages) == nr_pages, "and it can come back");
	nr = take_all(fd, firsts, lengths, 64);
	failed |= expect(nr > 0, "with pages");
	for (int i = 0; i < nr; i++)
		failed |= expect(pages_hold(window + firsts[i] * PAGE, lengths[i], 0),
				 "that are new from the system");
	return failed;
}

static volatile bool churning = true;

static void *churn_thread(void *data)
{
	unsigned int seed = (uintptr_t)data;
	int fd = client_open();
	char *window = client_window(fd);
	long failed = 0;

	while (churning && !failed) {
		uint32_t nr_pages = 1 + rand_r(&seed) % 700;
		long first = rand_r(&seed) % 2 ? client_alloc(fd, nr_pages) :
			     client_alloc_ex(fd, nr_pages, 1, PAGESPAN_ALLOC_POPULATE, window);
		struct pagespan_query query = {
			.size = sizeof(query),
			.first = rand_r(&seed) % client_info(fd).nr_pages,
			.nr_pages = 1,
		};

		failed |= client_ioctl(fd, PAGESPAN_QUERY, &query);
		if (first == -ENOMEM)
			continue;
		if (first < 0)
			failed = 1;
		for (uint32_t i = 0; i < nr_pages && !failed; i++)
			*(uint64_t *)(window + (first + i) * PAGE) = first + i + (uintptr_t)data;
		for (uint32_t i = 0; i < nr_pages && !failed; i++)
			failed |= *(uint64_t *)(window + (first + i) * PAGE) !=
				  first + i + (uintptr_t)data;
		if (!failed)
			failed |= client_free(fd, first, nr_pages);
	}
	close(fd);
	return (void *)failed;
}

/* Clients allocate, touch, look and free while pieces come and go. */
static int churn(int fd)
{
	uint64_t nr_pages = client_info(fd).pool_pages;
	pthread_t threads[THREADS];
	int failed = 0, resized = 0;

	for (uintptr_t i = 0; i < THREADS; i++)
		pthread_create(&threads[i], NULL, churn_thread, (void *)((i + 1) << 48));
	for (int i = 0; i < CHURN_ROUNDS; i++) {
		uint64_t before = client_info(fd).pool_pages;

		resized += resize(i % 2 ? nr_pages : nr_pages / 4) != before;
	}
	churning = false;
	for (int i = 0; i < THREADS; i++) {
		void *thread_failed;

		pthread_join(threads[i], &thread_failed);
		failed |= expect(!thread_failed, "nobody sees another's page, or none");
	}
	printf("# resized %d times\n", resized);
	failed |= expect(resized > CHURN_ROUNDS / 4, "pieces came and went");
	failed |= expect(resize(nr_pages) == nr_pages, "the pool can be what it was");
	failed |= expect(client_info(fd).free_pages == nr_pages, "and nothing is lost");
	return failed;
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		int (*check)(int fd);
	} checks[] = {
		{ "absent", absent },
		{ "contiguous", contiguous },
		{ "foreign", foreign },
		{ "churn", churn },
	};
	int fd = client_open();

	for (int i = 0; fd >= 0 && argc == 2 && i < (int)(sizeof(checks) / sizeof(*checks)); i++)
		if (!strcmp(argv[1], checks[i].name))
			return checks[i].check(fd);
	return 2;
}
