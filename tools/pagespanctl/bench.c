// SPDX-License-Identifier: MIT
/*
 * pagespanctl bench: within a few seconds, that spans work on this machine and what they cost
 * beside mmap. Times of one run on a machine that does other things too: make bench-span is for
 * comparing.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include <pagespan.h>

#include "pagespanctl.h"
#include "terminal.h"

#define ROUNDS   9
#define KEPT     64
#define TEST_MAX 256

static void *span_alloc(size_t bytes)
{
	return ps_span_alloc(bytes);
}

static void span_free(void *memory, size_t bytes)
{
	ps_span_free(memory, bytes);
}

static void *mmap_alloc(size_t bytes)
{
	void *memory =
		mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return memory == MAP_FAILED ? NULL : memory;
}

static void mmap_free(void *memory, size_t bytes)
{
	munmap(memory, bytes);
}

static const struct subject {
	void *(*alloc)(size_t bytes);
	void (*free)(void *memory, size_t bytes);
} spans = {span_alloc, span_free}, mmaps = {mmap_alloc, mmap_free};

static double nanoseconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return 1e9 * (double)now.tv_sec + (double)now.tv_nsec;
}

static int by_value(const void *a, const void *b)
{
	const double *one = a, *other = b;

	return (*one > *other) - (*one < *other);
}

/* Allocates, writes to each page and frees, KEPT at a time; nanoseconds for one, or 0 without
 * memory. */
static double round_of(const struct subject *subject, size_t bytes, unsigned int times)
{
	double start = nanoseconds();

	for (unsigned int i = 0; i < times; i += KEPT) {
		char *kept[KEPT];

		for (int j = 0; j < KEPT; j++) {
			kept[j] = subject->alloc(bytes);
			for (size_t at = 0; kept[j] && at < bytes; at += PS_PAGE_SIZE)
				kept[j][at] = 1;
		}
		for (int j = 0; j < KEPT; j++) {
			if (!kept[j])
				times = 0;
			else
				subject->free(kept[j], bytes);
		}
	}
	return times ? (nanoseconds() - start) / times : 0;
}

static double median_of(double *rounds)
{
	qsort(rounds, ROUNDS, sizeof(*rounds), by_value);
	return rounds[0] > 0 ? rounds[ROUNDS / 2] : 0;
}

/* They take turns, so that what disturbs the machine disturbs both. */
static void compare(const char *what, size_t pages)
{
	unsigned int times = pages < KEPT ? KEPT * KEPT / (unsigned int)pages : KEPT;
	double span_rounds[ROUNDS], mmap_rounds[ROUNDS], span, mapped;

	round_of(&spans, pages * PS_PAGE_SIZE, times);
	for (int i = 0; i < ROUNDS; i++) {
		span_rounds[i] = round_of(&spans, pages * PS_PAGE_SIZE, times);
		mmap_rounds[i] = round_of(&mmaps, pages * PS_PAGE_SIZE, times);
	}
	span = median_of(span_rounds);
	mapped = median_of(mmap_rounds);
	if (span > 0 && mapped > 0)
		printf("%-28s %10.0f ns %10.0f ns %8.1f times\n", what, span, mapped,
		       mapped / span);
	else
		printf("%-28s not enough memory\n", what);
}

static void tag(char *span, size_t bytes, uint64_t value)
{
	for (size_t at = 0; at < bytes; at += PS_PAGE_SIZE)
		memcpy(span + at, &(uint64_t){value + at}, sizeof(value));
}

static bool tagged(const char *span, size_t bytes, uint64_t value)
{
	uint64_t found;

	for (size_t at = 0; at < bytes; at += PS_PAGE_SIZE) {
		memcpy(&found, span + at, sizeof(found));
		if (found != value + at)
			return false;
	}
	return true;
}

/* Spans of all sizes keep what they hold while pages in their middle come and go. */
static bool contents_are_kept(void)
{
	char *kept[TEST_MAX] = {0};
	bool good = true;

	for (size_t i = 2; i < TEST_MAX; i++) {
		kept[i] = ps_span_alloc(i * PS_PAGE_SIZE);
		if (!kept[i])
			continue;
		tag(kept[i], i * PS_PAGE_SIZE, i << 32);
		if (ps_span_free(kept[i] + PS_PAGE_SIZE, PS_PAGE_SIZE))
			good = false;
	}
	for (size_t i = 2; i < TEST_MAX; i++) {
		if (!kept[i])
			continue;
		good = good && tagged(kept[i], PS_PAGE_SIZE, i << 32) &&
		       tagged(kept[i] + 2 * PS_PAGE_SIZE, (i - 2) * PS_PAGE_SIZE,
			      (i << 32) + 2 * PS_PAGE_SIZE);
		good = !ps_span_free(kept[i], PS_PAGE_SIZE) && good;
		if (i > 2)
			good = !ps_span_free(kept[i] + 2 * PS_PAGE_SIZE, (i - 2) * PS_PAGE_SIZE) &&
			       good;
	}
	return good;
}

int command_bench(int argc, char **argv)
{
	const char *backend;
	bool good;

	if (!no_arguments(argc, argv, NULL))
		return misused("bench");
	backend = ps_backend();
	if (!backend) {
		complain("no backend can be had: %m");
		return FAILED;
	}
	printf("backend: %s%s\n", backend,
	       strcmp(backend, "device") ? ", without pagespan.ko (see pagespanctl doctor)" : "");
	good = contents_are_kept();
	printf("spans keep what they hold: %s%s%s\n\n", paint(good ? "32" : "1;31"),
	       good ? "yes" : "NO", paint("0"));
	printf("%d at a time are allocated, written to on every page and freed; each takes\n",
	       KEPT);
	printf("%s%-28s %13s %13s %14s%s\n", paint("1"), "", "span", "mmap", "mmap / span",
	       paint("0"));
	compare("1 page", 1);
	compare("4 pages, 16 KiB", 4);
	compare("16 pages, 64 KiB", 16);
	compare("64 pages, 256 KiB", 64);
	compare("256 pages, 1 MiB", 256);
	if (!good)
		complain("spans lost what they held");
	return good ? DONE : FAILED;
}
