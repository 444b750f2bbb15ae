// SPDX-License-Identifier: MIT
/*
 * bench-vm, the latency row: for how long each operation keeps interrupts or preemption off.
 *
 * Runs in a guest whose kernel has the preemptirqsoff tracer (selftests/debug/latency.config) and
 * which counts instructions, a nanosecond each: the tracer's microseconds are thousands of
 * instructions, its own included. The timer's interrupts are traced like everything else, so the
 * first operation, which does nothing for a while, tells what the kernel does by itself.
 *
 * Prints one line for each operation in the format of vm.c.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/pagespan.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE      ((size_t)PAGESPAN_PAGE_SIZE)
#define MAX_PAGES PAGESPAN_MAX_PAGES
#define MAX_COUNT PAGESPAN_MAX_COUNT
#define TRACING   "/sys/kernel/debug/tracing/"
#define METRIC    "longest stretch with interrupts or preemption off"
#define REPEATS   3

static int fd;
static char *window;
static uint64_t pool_pages;
static uint64_t firsts[MAX_COUNT];
static struct pagespan_range ranges[MAX_COUNT];

static _Noreturn __attribute__((format(printf, 1, 2))) void die(const char *format, ...)
{
	va_list arguments;

	fputs("latency: ", stderr);
	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fprintf(stderr, ": %s\n", strerror(errno));
	exit(1);
}

static void write_file(const char *path, const char *text)
{
	int file = open(path, O_WRONLY);

	if (file < 0 || write(file, text, strlen(text)) < 0)
		die("%s", path);
	close(file);
}

/* ---- what is measured; each leaves the client as it found it ---- */

static uint32_t allocate(uint32_t nr_pages, uint32_t align_pages, uint32_t count, uint32_t flags)
{
	struct pagespan_alloc alloc = {
		.size = sizeof(alloc),
		.flags = flags,
		.nr_pages = nr_pages,
		.align_pages = align_pages,
		.count = count,
		.spans = (uintptr_t)firsts,
		.window = flags & PAGESPAN_ALLOC_POPULATE ? (uintptr_t)window : 0,
	};
	int nr = ioctl(fd, PAGESPAN_ALLOC, &alloc);

	return nr < 0 ? 0 : (uint32_t)nr;
}

static void allocate_all(uint32_t nr_pages, uint32_t align_pages, uint32_t count, uint32_t flags)
{
	if (allocate(nr_pages, align_pages, count, flags) != count)
		die("cannot allocate %u spans of %u pages", count, nr_pages);
}

static void release(const struct pagespan_range *from, uint32_t count)
{
	struct pagespan_free request = {
		.size = sizeof(request),
		.count = count,
		.ranges = (uintptr_t)from,
	};

	if (ioctl(fd, PAGESPAN_FREE, &request) != (int)count)
		die("cannot free");
}

static void release_span(uint64_t first, uint64_t nr_pages)
{
	release(&(struct pagespan_range){.first = first, .nr_pages = nr_pages}, 1);
}

static void release_firsts(uint32_t nr_pages, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		ranges[i] = (struct pagespan_range){.first = firsts[i], .nr_pages = nr_pages};
	release(ranges, count);
}

static void nothing(void)
{
	for (volatile int i = 0; i < 30000000; i++)
		;
}

static void one_page(void)
{
	for (int i = 0; i < 100; i++) {
		allocate_all(1, 1, 1, PAGESPAN_ALLOC_POPULATE);
		release_span(firsts[0], 1);
	}
}

static void longest_span(void)
{
	allocate_all(MAX_PAGES, 1, 1, 0);
	release_span(firsts[0], MAX_PAGES);
}

static void longest_span_populated(void)
{
	allocate_all(MAX_PAGES, 512, 1, PAGESPAN_ALLOC_POPULATE);
	release_span(firsts[0], MAX_PAGES);
}

/* One page off the alignment, so that no 2 MiB entry covers it. */
static void longest_span_in_small_pages(void)
{
	allocate_all(1, 1, 1, 0);
	uint64_t page = firsts[0];

	allocate_all(MAX_PAGES - 512, 1, 1, PAGESPAN_ALLOC_POPULATE);
	for (uint64_t i = 0; i < MAX_PAGES - 512; i++)
		((volatile char *)window)[(firsts[0] + i) * PAGE] = 1;
	release_span(firsts[0], MAX_PAGES - 512);
	release_span(page, 1);
}

static void longest_span_zeroed(void)
{
	allocate_all(MAX_PAGES, 1, 1, PAGESPAN_ALLOC_ZERO);
	release_span(firsts[0], MAX_PAGES);
}

static void bulk_of_single_pages(void)
{
	allocate_all(1, 1, MAX_COUNT, PAGESPAN_ALLOC_POPULATE);
	release_firsts(1, MAX_COUNT);
}

static void bulk_of_longer_spans(void)
{
	uint32_t count = allocate(129, 1, MAX_COUNT, PAGESPAN_ALLOC_POPULATE);

	release_firsts(129, count);
}

/* Every other page of the longest span, then the rest at once. */
static void every_other_page(void)
{
	allocate_all(MAX_PAGES, 1, 1, PAGESPAN_ALLOC_POPULATE);
	uint64_t first = firsts[0];

	for (uint64_t i = 0; i < MAX_PAGES; i += (uint64_t)2 * MAX_COUNT) {
		for (uint64_t j = 0; j < MAX_COUNT; j++)
			ranges[j] =
				(struct pagespan_range){.first = first + i + 2 * j, .nr_pages = 1};
		release(ranges, MAX_COUNT);
	}
	for (uint64_t i = 0; i < MAX_PAGES; i += (uint64_t)2 * MAX_COUNT) {
		for (uint64_t j = 0; j < MAX_COUNT; j++)
			ranges[j] = (struct pagespan_range){.first = first + i + 2 * j + 1,
							    .nr_pages = 1};
		release(ranges, MAX_COUNT);
	}
}

/* Runs that are long enough but end short of an aligned span: the search that looks at them all. */
static void aligned_search(void)
{
	allocate_all(MAX_PAGES, 1, 1, 0);
	uint64_t span = firsts[0];

	for (uint64_t i = 256; i + 512 < MAX_PAGES; i += 512)
		release_span(span + i, 500);
	for (int i = 0; i < 4; i++) {
		if (allocate(400, 512, 1, 0))
			release_span(firsts[0], 400);
	}
	for (uint64_t i = 256; i + 512 < MAX_PAGES; i += 512) {
		struct pagespan_alloc_at at = {.size = sizeof(at),
					       .first = span + i,
					       .nr_pages = 500};

		if (ioctl(fd, PAGESPAN_ALLOC_AT, &at))
			die("cannot take back what was freed");
	}
	release_span(span, MAX_PAGES);
}

static void query(void)
{
	allocate_all(MAX_PAGES, 1, 1, 0);
	struct pagespan_query request = {.size = sizeof(request),
					 .first = firsts[0],
					 .nr_pages = MAX_PAGES};

	if (ioctl(fd, PAGESPAN_QUERY, &request))
		die("QUERY");
	release_span(firsts[0], MAX_PAGES);
}

static void export_and_free(void)
{
	allocate_all(MAX_PAGES, 1, 1, 0);
	struct pagespan_export request = {.size = sizeof(request),
					  .first = firsts[0],
					  .nr_pages = MAX_PAGES};
	int buffer = ioctl(fd, PAGESPAN_EXPORT, &request);

	if (buffer < 0)
		die("EXPORT");
	release_span(firsts[0], MAX_PAGES);
	close(buffer);
	usleep(600 * 1000); /* for the quarantine to be looked through */
}

static void client_that_ends(void)
{
	int other = open("/dev/pagespan", O_RDWR), mine = fd;

	if (other < 0)
		die("/dev/pagespan");
	fd = other;
	allocate_all(MAX_PAGES - 2048, 1, 1, 0);
	for (uint64_t i = 0; i < 1024; i++)
		release_span(firsts[0] + 60 * i, 1);
	fd = mine;
	close(other);
}

static const struct {
	const char *name;
	void (*run)(void);
} operations[] = {
	{"nothing", nothing},
	{"one page", one_page},
	{"65536 pages", longest_span},
	{"65536 pages, populated", longest_span_populated},
	{"65024 pages, populated and touched, unaligned", longest_span_in_small_pages},
	{"65536 pages, zeroed", longest_span_zeroed},
	{"1024 single pages", bulk_of_single_pages},
	{"spans of 129 pages in bulk", bulk_of_longer_spans},
	{"65536 pages freed as every other page", every_other_page},
	{"aligned search", aligned_search},
	{"query of 65536 pages", query},
	{"65536 exported pages freed", export_and_free},
	{"a client that ends", client_that_ends},
};

/* ---- measuring ---- */

static unsigned long read_latency(void)
{
	FILE *file = fopen(TRACING "tracing_max_latency", "r");
	unsigned long microseconds;

	if (!file || fscanf(file, "%lu", &microseconds) != 1)
		die("tracing_max_latency");
	fclose(file);
	return microseconds;
}

static void measure(const char *name, void (*run)(void), const char *subject)
{
	unsigned long instructions;

	run(); /* what is made once, tables and caches */
	write_file(TRACING "tracing_on", "0");
	write_file(TRACING "tracing_max_latency", "0");
	write_file(TRACING "tracing_on", "1");
	for (int i = 0; i < REPEATS; i++)
		run();
	write_file(TRACING "tracing_on", "0");
	instructions = read_latency() * 1000;
	printf("%s\tpagespan %s\t%s\tinstructions\t%d\t%lu\t%lu\t%lu\t%lu\n", name, subject, METRIC,
	       REPEATS, instructions, instructions, instructions, instructions);
}

int main(int argc, char **argv)
{
	struct pagespan_info info = {.size = sizeof(info)};

	if (argc != 2)
		die("usage: latency SOURCE");
	fd = open("/dev/pagespan", O_RDWR);
	if (fd < 0 || ioctl(fd, PAGESPAN_INFO, &info))
		die("/dev/pagespan");
	pool_pages = info.nr_pages;
	window = mmap(NULL, pool_pages * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (window == MAP_FAILED)
		die("mmap");
	write_file(TRACING "options/function-trace", "0");
	write_file(TRACING "current_tracer", "preemptirqsoff");
	for (size_t i = 0; i < sizeof(operations) / sizeof(*operations); i++)
		measure(operations[i].name, operations[i].run, argv[1]);
	return 0;
}
