// SPDX-License-Identifier: MIT
/*
 * bench-vm, the part that runs in the guest: what it costs to get pages, touch them and give them
 * back, on pagespan and on what Linux has for it.
 *
 * The guest counts instructions (tools/vm/run --icount), one tick of the TSC each: a figure is the
 * length of the path through user space and kernel, and the same in every run. It says nothing of
 * caches, TLBs and memory. An operation is repeated, for a timer interrupt, or a table that was not
 * there yet, may fall into any single one; minimum and median are what it costs.
 *
 * An operation has three phases, each with a figure of its own: allocate, touch (a byte is written
 * to every page), free. What the clock and the calls of the phases cost by themselves is measured
 * first and subtracted.
 *
 * Prints one line for each figure, its fields separated by tabs:
 *
 *	workload  subject  metric  unit  runs  minimum  p10  median  p90
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/pagespan.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>
#include <x86intrin.h>

#define PAGE              ((size_t)PAGESPAN_PAGE_SIZE)
#define MEGABLOCK         512
#define MEGABLOCK_BYTES   (MEGABLOCK * PAGE)
#define SINGLES           64
#define PART              100 /* which page of a megablock goes alone */
#define NR_GAPS           8

#define ARRAY_SIZE(array) (sizeof(array) / sizeof(*(array)))

#define WARM_UP           3
#define MAX_RUNS          500

/* A command that the device does not know. */
#define PAGESPAN_NO_COMMAND _IO(PAGESPAN_TYPE, 0x7f)

enum phase { ALLOCATE, TOUCH, FREE, PHASES };

static const char *const phase_names[PHASES] = {"allocate", "touch", "free"};

/* What is allocated. */
struct shape {
	unsigned int count;    /* spans of one operation; figures are per span */
	unsigned int nr_pages; /* of each span */
	unsigned int align_pages;
	unsigned int runs;
};

struct bench;

/* How it is allocated, and by whom. */
struct method {
	const char *subject; /* NULL: pagespan, on the source that it runs on */
	unsigned int flags;  /* PAGESPAN_ALLOC_*, or MAP_* */
	const uint8_t *gaps; /* pages of others between the spans: NR_GAPS lengths, repeated */
	void (*prepare)(struct bench *bench);
	void (*phases[PHASES])(struct bench *bench);
	void (*finish)(struct bench *bench);
};

struct workload {
	const char *name;
	const struct shape *shape;
	const struct method *method;
};

/* What the phases work on. */
struct bench {
	const struct shape *shape;
	const struct method *method;
	unsigned int flags; /* the method's, and what else is asked for */
	size_t bytes;       /* of all pages of one operation */
	char *address;      /* of the first page, where they are adjacent */
	void *hint;         /* where mmap() is to put them, or NULL */
	int fd;             /* the client, or the memfd; else -1 */
	int other_fd;       /* the client that owns the gaps, or -1 */
	char *window;       /* of the client */
	size_t window_bytes;
	uint64_t huge_faults; /* of the whole system, before the first operation */
	uint64_t firsts[SINGLES];
	struct pagespan_alloc alloc;
	struct pagespan_alloc_at alloc_at;
	struct pagespan_info info;
};

static _Noreturn __attribute__((format(printf, 1, 2))) void die(const char *format, ...)
{
	va_list arguments;

	fputs("bench-vm: ", stderr);
	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fputc('\n', stderr);
	exit(1);
}

/* Every call of an operation has to succeed, or its figure means nothing. */
static inline long checked(long result, const char *call)
{
	if (__builtin_expect(result < 0, 0))
		die("%s: %s", call, strerror(errno));
	return result;
}

static inline void *checked_mmap(void *hint, size_t bytes, int flags, int fd)
{
	void *address = mmap(hint, bytes, PROT_READ | PROT_WRITE, flags, fd, 0);

	if (__builtin_expect(address == MAP_FAILED, 0))
		die("mmap of %zu bytes with flags 0x%x: %s", bytes, flags, strerror(errno));
	return address;
}

/* ---- phases on pagespan ---- */

static void pagespan_alloc_one(struct bench *bench)
{
	unsigned long argument = bench->alloc.window | bench->alloc.flags;

	bench->firsts[0] = checked(ioctl(bench->fd, PAGESPAN_ALLOC_ONE, argument), "ALLOC_ONE");
	bench->address = bench->window + bench->firsts[0] * PAGE;
}

static void pagespan_free_one(struct bench *bench)
{
	checked(ioctl(bench->fd, PAGESPAN_FREE_ONE, bench->firsts[0]), "FREE_ONE");
}

static void pagespan_alloc(struct bench *bench)
{
	if (checked(ioctl(bench->fd, PAGESPAN_ALLOC, &bench->alloc), "ALLOC") != bench->alloc.count)
		die("the pool ran out");
	bench->address = bench->window + bench->firsts[0] * PAGE;
}

static void pagespan_alloc_at(struct bench *bench)
{
	checked(ioctl(bench->fd, PAGESPAN_ALLOC_AT, &bench->alloc_at), "ALLOC_AT");
}

static void pagespan_free(struct bench *bench)
{
	const struct shape *shape = bench->shape;
	struct pagespan_range ranges[SINGLES];
	struct pagespan_free request = {
		.size = sizeof(request),
		.count = shape->count,
		.ranges = (uintptr_t)ranges,
	};

	for (unsigned int i = 0; i < shape->count; i++)
		ranges[i] = (struct pagespan_range){bench->firsts[i], shape->nr_pages};
	if (checked(ioctl(bench->fd, PAGESPAN_FREE, &request), "FREE") != shape->count)
		die("a range was not freed");
}

static void pagespan_info(struct bench *bench)
{
	bench->info = (struct pagespan_info){.size = sizeof(bench->info)};
	checked(ioctl(bench->fd, PAGESPAN_INFO, &bench->info), "INFO");
}

static void pagespan_no_command(struct bench *bench)
{
	if (ioctl(bench->fd, PAGESPAN_NO_COMMAND, 0) != -1 || errno != ENOTTY)
		die("the device knows a command that it should not");
}

/* ---- phases on what Linux has ---- */

static void linux_mmap(struct bench *bench)
{
	bench->address = checked_mmap(bench->hint, bench->bytes, bench->flags, bench->fd);
}

static void linux_mmap_huge(struct bench *bench)
{
	linux_mmap(bench);
	checked(madvise(bench->address, bench->bytes, MADV_HUGEPAGE), "madvise");
}

static void linux_munmap(struct bench *bench)
{
	checked(munmap(bench->address, bench->bytes), "munmap");
}

static void linux_dontneed(struct bench *bench)
{
	checked(madvise(bench->address, bench->bytes, MADV_DONTNEED), "madvise");
}

static void linux_punch_and_munmap(struct bench *bench)
{
	checked(fallocate(bench->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
			  (off_t)bench->bytes),
		"fallocate");
	linux_munmap(bench);
}

static void linux_getppid(struct bench *bench)
{
	(void)bench;
	getppid();
}

/* ---- phases on both ---- */

static void touch_span(struct bench *bench)
{
	volatile char *end = bench->address + bench->bytes;

	for (volatile char *page = bench->address; page < end; page += PAGE)
		*page = 1;
}

static void touch_singles(struct bench *bench)
{
	volatile char *window = bench->window;

	for (unsigned int i = 0; i < SINGLES; i++)
		window[bench->firsts[i] * PAGE] = 1;
}

static void nothing(struct bench *bench)
{
	(void)bench;
}

static int open_client(void)
{
	return (int)checked(open("/dev/pagespan", O_RDWR | O_CLOEXEC), "/dev/pagespan");
}

/* A client that owns one page, where alloc_at says. */
static void pagespan_open_and_own(struct bench *bench)
{
	bench->other_fd = open_client();
	checked(ioctl(bench->other_fd, PAGESPAN_ALLOC_AT, &bench->alloc_at), "ALLOC_AT");
}

static void pagespan_close(struct bench *bench)
{
	checked(close(bench->other_fd), "close");
	bench->other_fd = -1;
}

/* ---- preparing pagespan ---- */

/* A window of its own for each workload: its page tables are then as that workload makes them. */
static void prepare_client(struct bench *bench)
{
	bench->fd = open_client();
	pagespan_info(bench);
	bench->window_bytes = bench->info.nr_pages * PAGE;
	bench->window = checked_mmap(NULL, bench->window_bytes, MAP_SHARED, bench->fd);
	bench->alloc = (struct pagespan_alloc){
		.size = sizeof(bench->alloc),
		.flags = bench->flags,
		.nr_pages = bench->shape->nr_pages,
		.align_pages = bench->shape->align_pages,
		.count = bench->shape->count,
		.spans = (uintptr_t)bench->firsts,
	};
	if (bench->flags & PAGESPAN_ALLOC_POPULATE)
		bench->alloc.window = (uintptr_t)bench->window;
}

/*
 * A whole megablock in a window that has no page tables yet, so that it gets a 2 MiB entry.
 * What the last operation has left goes before.
 */
static void pagespan_alloc_afresh(struct bench *bench)
{
	struct pagespan_range rest[] = {
		{bench->firsts[0], PART},
		{bench->firsts[0] + PART + 1, MEGABLOCK - PART - 1},
	};
	struct pagespan_free free = {
		.size = sizeof(free),
		.count = 2,
		.ranges = (uintptr_t)rest,
	};

	if (bench->address) {
		checked(ioctl(bench->fd, PAGESPAN_FREE, &free), "FREE");
		checked(munmap(bench->window, bench->window_bytes), "munmap");
		bench->window = checked_mmap(NULL, bench->window_bytes, MAP_SHARED, bench->fd);
		bench->alloc.window = (uintptr_t)bench->window;
	}
	pagespan_alloc(bench);
}

static void pagespan_free_part(struct bench *bench)
{
	checked(ioctl(bench->fd, PAGESPAN_FREE_ONE, bench->firsts[0] + PART), "FREE_ONE");
}

/* A span that begins in the middle of a megablock, so that it covers none. */
static void prepare_unaligned(struct bench *bench)
{
	prepare_client(bench);
	bench->firsts[0] = MEGABLOCK + MEGABLOCK / 2;
	bench->address = bench->window + bench->firsts[0] * PAGE;
	bench->alloc_at = (struct pagespan_alloc_at){
		.size = sizeof(bench->alloc_at),
		.flags = bench->alloc.flags,
		.first = bench->firsts[0],
		.window = bench->alloc.window,
		.nr_pages = bench->shape->nr_pages,
	};
}

static void prepare_first_page(struct bench *bench)
{
	prepare_client(bench);
	bench->alloc_at = (struct pagespan_alloc_at){
		.size = sizeof(bench->alloc_at),
		.nr_pages = 1,
	};
}

static void prepare_last_page(struct bench *bench)
{
	prepare_first_page(bench);
	bench->alloc_at.first = bench->info.nr_pages - 1;
}

/* The other client takes every page there is; the answer is the first page of the longest span. */
static uint64_t fill_pool(struct bench *bench)
{
	uint64_t longest = UINT64_MAX;

	for (pagespan_info(bench); bench->info.free_pages; pagespan_info(bench)) {
		uint64_t run = bench->info.longest_run, first;
		struct pagespan_alloc alloc = {
			.size = sizeof(alloc),
			.nr_pages = run < PAGESPAN_MAX_PAGES ? run : PAGESPAN_MAX_PAGES,
			.align_pages = 1,
			.count = 1,
			.spans = (uintptr_t)&first,
		};

		checked(ioctl(bench->other_fd, PAGESPAN_ALLOC, &alloc), "ALLOC of the whole pool");
		if (longest == UINT64_MAX)
			longest = first;
	}
	return longest;
}

/* Leaves free only as many pages as the workload takes, with gaps between them. */
static void prepare_gaps(struct bench *bench)
{
	struct pagespan_range ranges[SINGLES];
	struct pagespan_free request = {
		.size = sizeof(request),
		.count = SINGLES,
		.ranges = (uintptr_t)ranges,
	};
	uint64_t index;

	prepare_client(bench);
	bench->other_fd = open_client();
	index = fill_pool(bench);
	for (unsigned int i = 0; i < SINGLES; i++) {
		ranges[i] = (struct pagespan_range){index, 1};
		index += 1 + bench->method->gaps[i % NR_GAPS];
	}
	checked(ioctl(bench->other_fd, PAGESPAN_FREE, &request), "FREE of single pages");
	pagespan_info(bench);
	if (bench->info.free_pages != SINGLES || bench->info.longest_run != 1)
		die("the pool is not in the state that the workload needs");
}

static int compare(const void *left, const void *right)
{
	uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;

	return (a > b) - (a < b);
}

static void finish_adjacent(struct bench *bench)
{
	qsort(bench->firsts, SINGLES, sizeof(*bench->firsts), compare);
	if (bench->firsts[SINGLES - 1] - bench->firsts[0] != SINGLES - 1)
		die("an empty pool gave pages that are not adjacent");
}

/* ---- preparing what Linux has ---- */

static void write_setting(const char *path, const char *value)
{
	int fd = (int)checked(open(path, O_WRONLY), path);

	checked(write(fd, value, strlen(value)), path);
	close(fd);
}

static uint64_t huge_faults(void)
{
	unsigned long long value;
	FILE *file = fopen("/proc/vmstat", "r");
	char line[128];

	if (!file)
		die("/proc/vmstat: %s", strerror(errno));
	while (fgets(line, sizeof(line), file)) {
		if (sscanf(line, "thp_fault_alloc %llu", &value) == 1) {
			fclose(file);
			return value;
		}
	}
	die("the kernel has no transparent huge pages");
}

/* An address that stays free between two operations, where 2 MiB pages fit. */
static void prepare_huge(struct bench *bench)
{
	size_t bytes = bench->bytes + MEGABLOCK_BYTES;
	char *space = checked_mmap(NULL, bytes, MAP_PRIVATE | MAP_ANONYMOUS, -1);

	bench->hint = space + -(uintptr_t)space % MEGABLOCK_BYTES;
	checked(munmap(space, bytes), "munmap");
	bench->huge_faults = huge_faults();
}

static void finish_huge(struct bench *bench)
{
	if (huge_faults() - bench->huge_faults <
	    bench->shape->runs * (bench->bytes / MEGABLOCK_BYTES))
		die("huge pages were asked for and not given");
}

static void prepare_hugetlb(struct bench *bench)
{
	char count[24];

	snprintf(count, sizeof(count), "%zu", bench->bytes / MEGABLOCK_BYTES + 3);
	write_setting("/proc/sys/vm/nr_hugepages", count);
}

static void finish_hugetlb(struct bench *bench)
{
	(void)bench;
	write_setting("/proc/sys/vm/nr_hugepages", "0");
}

static void prepare_memfd(struct bench *bench)
{
	bench->fd = (int)checked(memfd_create("bench", MFD_CLOEXEC), "memfd_create");
	checked(ftruncate(bench->fd, (off_t)bench->bytes), "ftruncate");
}

/* ---- workloads ---- */

#define POPULATE PAGESPAN_ALLOC_POPULATE

static const struct shape one_page = {1, 1, 1, .runs = 500};
static const struct shape one_client = {1, 1, 1, .runs = 50};
static const struct shape single_pages = {SINGLES, 1, 1, .runs = 200};
static const struct shape megablock = {1, MEGABLOCK, MEGABLOCK, .runs = 21};

/* What a call costs by itself. */
static const struct workload call_workloads[] = {
	{"empty system call: unknown ioctl, getppid", &one_page,
	 &(const struct method){.prepare = prepare_client,
				.phases = {pagespan_no_command, nothing, nothing}}},
	{"PAGESPAN_INFO", &one_page,
	 &(const struct method){.prepare = prepare_client,
				.phases = {pagespan_info, nothing, nothing}}},
	{"client of the first page", &one_client,
	 &(const struct method){.prepare = prepare_first_page,
				.phases = {pagespan_open_and_own, nothing, pagespan_close}}},
	{"client of the last page", &one_client,
	 &(const struct method){.prepare = prepare_last_page,
				.phases = {pagespan_open_and_own, nothing, pagespan_close}}},
};

/* Run twice: as they are, and with PAGESPAN_ALLOC_ZERO. */
static const struct workload pagespan_workloads[] = {
	{"1 page", &one_page,
	 &(const struct method){.flags = POPULATE,
				.prepare = prepare_client,
				.phases = {pagespan_alloc_one, touch_span, pagespan_free_one}}},
	{"1 page, through structures", &one_page,
	 &(const struct method){.flags = POPULATE,
				.prepare = prepare_client,
				.phases = {pagespan_alloc, touch_span, pagespan_free}}},
	{"1 page, by fault", &one_page,
	 &(const struct method){.prepare = prepare_client,
				.phases = {pagespan_alloc_one, touch_span, pagespan_free_one}}},
	{"64 single pages, adjacent", &single_pages,
	 &(const struct method){.flags = POPULATE,
				.prepare = prepare_client,
				.phases = {pagespan_alloc, touch_singles, pagespan_free},
				.finish = finish_adjacent}},
	{"64 single pages, gaps of 1 to 8", &single_pages,
	 &(const struct method){.flags = POPULATE,
				.gaps = (const uint8_t[NR_GAPS]){3, 8, 1, 6, 4, 7, 2, 5},
				.prepare = prepare_gaps,
				.phases = {pagespan_alloc, touch_singles, pagespan_free}}},
	{"64 single pages, gaps of 8", &single_pages,
	 &(const struct method){.flags = POPULATE,
				.gaps = (const uint8_t[NR_GAPS]){8, 8, 8, 8, 8, 8, 8, 8},
				.prepare = prepare_gaps,
				.phases = {pagespan_alloc, touch_singles, pagespan_free}}},
	{"512 pages, aligned", &megablock,
	 &(const struct method){.flags = POPULATE,
				.prepare = prepare_client,
				.phases = {pagespan_alloc, touch_span, pagespan_free}}},
	{"512 pages, aligned, by fault", &megablock,
	 &(const struct method){.prepare = prepare_client,
				.phases = {pagespan_alloc, touch_span, pagespan_free}}},
	{"1 of 512 pages, aligned", &megablock,
	 &(const struct method){.flags = POPULATE,
				.prepare = prepare_client,
				.phases = {pagespan_alloc_afresh, touch_span, pagespan_free_part}}},
	{"512 pages, unaligned, untouched", &megablock,
	 &(const struct method){.flags = POPULATE,
				.prepare = prepare_unaligned,
				.phases = {pagespan_alloc_at, nothing, pagespan_free}}},
	{"512 pages, unaligned", &megablock,
	 &(const struct method){.flags = POPULATE,
				.prepare = prepare_unaligned,
				.phases = {pagespan_alloc_at, touch_span, pagespan_free}}},
};

#define ANONYMOUS (MAP_PRIVATE | MAP_ANONYMOUS)

static const struct method method_mmap = {
	.subject = "mmap",
	.flags = ANONYMOUS,
	.phases = {linux_mmap, touch_span, linux_munmap},
};

static const struct method method_populate = {
	.subject = "mmap, MAP_POPULATE",
	.flags = ANONYMOUS | MAP_POPULATE,
	.phases = {linux_mmap, touch_span, linux_munmap},
};

static const struct method method_dontneed = {
	.subject = "mmap once, MADV_DONTNEED",
	.flags = ANONYMOUS,
	.prepare = linux_mmap,
	.phases = {nothing, touch_span, linux_dontneed},
	.finish = linux_munmap,
};

static const struct method method_memfd = {
	.subject = "memfd",
	.flags = MAP_SHARED,
	.prepare = prepare_memfd,
	.phases = {linux_mmap, touch_span, linux_punch_and_munmap},
};

static const struct method method_huge = {
	.subject = "transparent huge page",
	.flags = ANONYMOUS | MAP_FIXED_NOREPLACE,
	.prepare = prepare_huge,
	.phases = {linux_mmap_huge, touch_span, linux_munmap},
	.finish = finish_huge,
};

static const struct method method_hugetlb = {
	.subject = "hugetlbfs",
	.flags = ANONYMOUS | MAP_HUGETLB,
	.prepare = prepare_hugetlb,
	.phases = {linux_mmap, touch_span, linux_munmap},
	.finish = finish_hugetlb,
};

/* 64 pages come as one mapping, the cheapest way there is. */
static const struct workload linux_workloads[] = {
	{"empty system call: unknown ioctl, getppid", &one_page,
	 &(const struct method){.subject = "getppid", .phases = {linux_getppid, nothing, nothing}}},
	{"1 page", &one_page, &method_mmap},
	{"1 page", &one_page, &method_populate},
	{"1 page", &one_page, &method_dontneed},
	{"1 page", &one_page, &method_memfd},
	{"64 single pages, adjacent", &single_pages, &method_mmap},
	{"64 single pages, adjacent", &single_pages, &method_populate},
	{"64 single pages, adjacent", &single_pages, &method_dontneed},
	{"64 single pages, adjacent", &single_pages, &method_memfd},
	{"512 pages, aligned", &megablock, &method_huge},
	{"512 pages, aligned", &megablock, &method_hugetlb},
	{"512 pages, unaligned", &megablock, &method_mmap},
	{"512 pages, unaligned", &megablock, &method_populate},
	{"512 pages, unaligned", &megablock, &method_dontneed},
	{"512 pages, unaligned", &megablock, &method_memfd},
};

/* From one page to 64 MiB: what it costs as mappings grow. */
static const struct method *const linux_sweep[] = {&method_mmap, &method_populate, &method_huge,
						   &method_hugetlb, NULL};
static const struct method pagespan_sweep[] = {
	{.flags = POPULATE,
	 .prepare = prepare_client,
	 .phases = {pagespan_alloc, touch_span, pagespan_free}},
	{.prepare = prepare_client, .phases = {pagespan_alloc, touch_span, pagespan_free}},
};
#define SWEEP_MAX  16384
#define SWEEP_RUNS 5

/* ---- measuring ---- */

/* Ticks of each phase of each run, and of all phases together. */
struct samples {
	uint64_t phases[PHASES][MAX_RUNS];
	uint64_t whole[MAX_RUNS];
};

/* What the phases of an empty operation take. */
static uint64_t overhead[PHASES];

static __attribute__((noinline)) void operate(struct bench *bench, uint64_t ticks[PHASES + 1])
{
	const struct method *method = bench->method;

	ticks[0] = __rdtsc();
	method->phases[ALLOCATE](bench);
	ticks[1] = __rdtsc();
	method->phases[TOUCH](bench);
	ticks[2] = __rdtsc();
	method->phases[FREE](bench);
	ticks[3] = __rdtsc();
}

static void sample(struct bench *bench, struct samples *samples)
{
	uint64_t ticks[PHASES + 1];

	for (unsigned int run = 0; run < WARM_UP; run++)
		operate(bench, ticks);
	for (unsigned int run = 0; run < bench->shape->runs; run++) {
		operate(bench, ticks);
		samples->whole[run] = 0;
		for (int phase = 0; phase < PHASES; phase++) {
			uint64_t cost = ticks[phase + 1] - ticks[phase] - overhead[phase];

			samples->phases[phase][run] = cost;
			samples->whole[run] += cost;
		}
	}
	for (int phase = 0; phase < PHASES; phase++)
		qsort(samples->phases[phase], bench->shape->runs, sizeof(uint64_t), compare);
	qsort(samples->whole, bench->shape->runs, sizeof(uint64_t), compare);
}

/* Leaves the samples of an operation sorted. */
static void measure(const struct shape *shape, const struct method *method, unsigned int flags,
		    struct samples *samples)
{
	struct bench bench = {
		.shape = shape,
		.method = method,
		.flags = method->flags | flags,
		.bytes = (size_t)shape->count * shape->nr_pages * PAGE,
		.fd = -1,
		.other_fd = -1,
	};

	if (method->prepare)
		method->prepare(&bench);
	sample(&bench, samples);
	if (method->finish)
		method->finish(&bench);
	if (bench.window)
		checked(munmap(bench.window, bench.window_bytes), "munmap");
	if (bench.fd >= 0)
		close(bench.fd);
	if (bench.other_fd >= 0)
		close(bench.other_fd);
}

static void measure_overhead(struct samples *samples)
{
	static const struct method empty = {.phases = {nothing, nothing, nothing}};

	measure(&one_page, &empty, 0, samples);
	for (int phase = 0; phase < PHASES; phase++)
		overhead[phase] = samples->phases[phase][0];
}

static void print_figure(const struct workload *workload, const char *subject, const char *metric,
			 const uint64_t *costs)
{
	const char *unit = workload->shape->count > 1 ? "instructions/page" : "instructions";
	unsigned int last = workload->shape->runs - 1;
	unsigned int ranks[] = {0, last / 10, last / 2, last - last / 10};

	printf("%s\t%s\t%s\t%s\t%u", workload->name, subject, metric, unit, last + 1);
	for (size_t i = 0; i < ARRAY_SIZE(ranks); i++)
		printf("\t%.10g", (double)costs[ranks[i]] / workload->shape->count);
	putchar('\n');
}

static void report(const struct workload *workload, unsigned int flags, const char *subject,
		   struct samples *samples)
{
	const struct method *method = workload->method;

	if (method->subject)
		subject = method->subject;
	measure(workload->shape, method, flags, samples);
	print_figure(workload, subject, "whole", samples->whole);
	if (method->phases[FREE] == nothing)
		return;
	for (int phase = 0; phase < PHASES; phase++) {
		if (method->phases[phase] != nothing)
			print_figure(workload, subject, phase_names[phase], samples->phases[phase]);
	}
}

static void report_pagespan(const char *source, struct samples *samples)
{
	char subject[64], zeroed[64];

	snprintf(subject, sizeof(subject), "pagespan %s", source);
	snprintf(zeroed, sizeof(zeroed), "pagespan %s, ZERO", source);
	for (size_t i = 0; i < ARRAY_SIZE(call_workloads); i++)
		report(&call_workloads[i], 0, subject, samples);
	for (size_t i = 0; i < ARRAY_SIZE(pagespan_workloads); i++) {
		report(&pagespan_workloads[i], 0, subject, samples);
		report(&pagespan_workloads[i], PAGESPAN_ALLOC_ZERO, zeroed, samples);
	}
}

static void report_linux(struct samples *samples)
{
	write_setting("/sys/kernel/mm/transparent_hugepage/enabled", "madvise");
	for (size_t i = 0; i < ARRAY_SIZE(linux_workloads); i++)
		report(&linux_workloads[i], 0, NULL, samples);
}

static void sweep(const struct method *method, const char *subject, struct samples *samples)
{
	bool huge = method == &method_huge || method == &method_hugetlb;
	struct shape shape = {.count = 1, .runs = SWEEP_RUNS};
	char name[64];

	for (shape.nr_pages = huge ? MEGABLOCK : 1; shape.nr_pages <= SWEEP_MAX;
	     shape.nr_pages *= 2) {
		shape.align_pages = shape.nr_pages < MEGABLOCK ? 1 : MEGABLOCK;
		snprintf(name, sizeof(name), "sweep: %u pages", shape.nr_pages);
		report(&(const struct workload){name, &shape, method}, 0, subject, samples);
	}
}

static void sweep_pagespan(const char *source, struct samples *samples)
{
	char subject[64];

	snprintf(subject, sizeof(subject), "pagespan %s, populated", source);
	sweep(&pagespan_sweep[0], subject, samples);
	snprintf(subject, sizeof(subject), "pagespan %s, by fault", source);
	sweep(&pagespan_sweep[1], subject, samples);
}

int main(int argc, char **argv)
{
	bool sweeps = argc > 2 && !strcmp(argv[argc - 1], "sweep");
	static struct samples samples;
	static char output[1 << 16];

	/* Printed at the end: a console in between would be measured too. */
	setvbuf(stdout, output, _IOFBF, sizeof(output));
	measure_overhead(&samples);
	argc -= sweeps;
	if (argc == 3 && !strcmp(argv[1], "pagespan")) {
		report_pagespan(argv[2], &samples);
		if (sweeps)
			sweep_pagespan(argv[2], &samples);
	} else if (argc == 2 && !strcmp(argv[1], "linux")) {
		report_linux(&samples);
		for (const struct method *const *method = linux_sweep; *method && sweeps; method++)
			sweep(*method, NULL, &samples);
	} else {
		die("usage: vm pagespan SOURCE [sweep] | vm linux [sweep]");
	}
	return 0;
}
