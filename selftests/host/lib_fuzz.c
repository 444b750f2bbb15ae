// SPDX-License-Identifier: MIT
/*
 * The public interface, at random, against a model of who owns which pages; while
 * signals interrupt whatever they can, and children of forks look at what they got.
 * Then every call with every request to the kernel under it failing in its turn,
 * which the linker makes possible (--wrap).
 *
 * A round is a process, and all that is random in it follows from its seed.
 *
 * usage: lib_fuzz [SECONDS [SEED]] | lib_fuzz replay SEED
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/pagespan.h>
#include <pagespan.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../random.h"
#include "tap.h"

#define PAGE       PS_PAGE_SIZE
#define MEGABLOCK  (512 * PAGE)
#define OPERATIONS 1500
#define MOST_HELD  200

/* Ranges that a free of the device takes without asking for memory. */
#define FEW_RANGES 4

/* ---- requests that fail ------------------------------------------------------------- */

static long until_failure; /* requests; 0 for never */
static bool failed;

static bool fails(void)
{
	if (!until_failure || --until_failure)
		return false;
	failed = true;
	errno = ENOMEM;
	return true;
}

void *__real_mmap(void *at, size_t bytes, int protection, int flags, int fd, off_t offset);
int __real_mprotect(void *at, size_t bytes, int protection);
int __real_madvise(void *at, size_t bytes, int advice);
int __real_ioctl(int fd, unsigned long command, void *argument);
void *__wrap_mmap(void *at, size_t bytes, int protection, int flags, int fd, off_t offset);
int __wrap_mprotect(void *at, size_t bytes, int protection);
void *__real_mremap(void *at, size_t bytes, size_t new_bytes, int flags, ...);
void *__wrap_mremap(void *at, size_t bytes, size_t new_bytes, int flags, ...);
int __wrap_madvise(void *at, size_t bytes, int advice);
int __wrap_ioctl(int fd, unsigned long command, void *argument);

void *__wrap_mmap(void *at, size_t bytes, int protection, int flags, int fd, off_t offset)
{
	return fails() ? MAP_FAILED : __real_mmap(at, bytes, protection, flags, fd, offset);
}

int __wrap_mprotect(void *at, size_t bytes, int protection)
{
	return fails() ? -1 : __real_mprotect(at, bytes, protection);
}

/* Of a place of its own choice, as all that the library asks for. */
void *__wrap_mremap(void *at, size_t bytes, size_t new_bytes, int flags, ...)
{
	va_list arguments;
	void *place;

	va_start(arguments, flags);
	place = va_arg(arguments, void *);
	va_end(arguments);
	return fails() ? MAP_FAILED : __real_mremap(at, bytes, new_bytes, flags, place);
}

int __wrap_madvise(void *at, size_t bytes, int advice)
{
	return fails() ? -1 : __real_madvise(at, bytes, advice);
}

/* Those that ask for memory in the kernel. */
int __wrap_ioctl(int fd, unsigned long command, void *argument)
{
	const struct pagespan_free *request = argument;

	if ((command == PAGESPAN_ALLOC || command == PAGESPAN_ALLOC_AT ||
	     command == PAGESPAN_EXPORT ||
	     (command == PAGESPAN_FREE && request->count > FEW_RANGES)) &&
	    fails())
		return -1;
	return __real_ioctl(fd, command, argument);
}

/* ---- the model ---------------------------------------------------------------------- */

struct held {
	char *start;
	size_t pages;
	bool exportable;
};

static struct held held[MOST_HELD];
static int nr_held;
static uint64_t bytes_lost; /* in the child of a copy: exportable spans, which it does not have */
static uint64_t state;      /* of what is random */
static uint64_t owner;

static uint64_t below(uint64_t limit)
{
	return random_below(&state, limit);
}

static void wrong(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	printf("# ");
	vprintf(format, arguments);
	va_end(arguments);
	printf(", errno %d\n", errno);
	fflush(stdout);
	_exit(2);
}

static uint64_t *words_of(const char *page)
{
	return (uint64_t *)page;
}

/* What the first and the last word of a page hold. */
static void tag(char *page)
{
	words_of(page)[0] = words_of(page)[511] = owner ^ (uintptr_t)page;
}

static void verify(const struct held *span)
{
	for (size_t i = 0; i < span->pages; i++) {
		char *page = span->start + i * PAGE;
		uint64_t expected = owner ^ (uintptr_t)page;

		if (words_of(page)[0] != expected || words_of(page)[511] != expected)
			wrong("page %p holds %llx", (void *)page,
			      (unsigned long long)words_of(page)[0]);
	}
}

static void verify_all(void)
{
	for (int i = 0; i < nr_held; i++)
		verify(&held[i]);
}

static void own(char *start, size_t pages, bool exportable, bool zeroed)
{
	for (int i = 0; i < nr_held; i++)
		if (start < held[i].start + held[i].pages * PAGE &&
		    held[i].start < start + pages * PAGE)
			wrong("%zu pages at %p are owned already", pages, (void *)start);
	for (size_t i = 0; i < pages; i++) {
		for (int word = 0; zeroed && word < 512; word++)
			if (words_of(start + i * PAGE)[word])
				wrong("page %p is not zero", (void *)(start + i * PAGE));
		tag(start + i * PAGE);
	}
	held[nr_held++] = (struct held){start, pages, exportable};
}

static uint64_t bytes_held(void)
{
	uint64_t bytes = bytes_lost;

	for (int i = 0; i < nr_held; i++)
		bytes += held[i].pages * PAGE;
	return bytes;
}

static struct ps_stats stats(void)
{
	struct ps_stats stats;

	if (ps_stats(&stats, sizeof(stats)))
		wrong("no statistics");
	return stats;
}

/* Frees pages of a span; what is left of it stays, as one or two. */
static void release(int number, size_t first, size_t pages)
{
	struct held span = held[number];
	size_t behind = span.pages - first - pages;

	if (ps_span_free(span.start + first * PAGE, pages * PAGE))
		wrong("%zu pages at %p cannot be freed", pages,
		      (void *)(span.start + first * PAGE));
	held[number] = held[--nr_held];
	if (first)
		held[nr_held++] = (struct held){span.start, first, span.exportable};
	if (behind)
		held[nr_held++] =
			(struct held){span.start + (first + pages) * PAGE, behind, span.exportable};
}

static void release_all(void)
{
	while (nr_held) {
		verify(&held[0]);
		release(0, 0, held[0].pages);
	}
}

/* Nothing is held, or kept from being used again. */
static void end_with_nothing(void)
{
	char *span;

	release_all();
	if (ps_trim(0) || stats().bytes_held || stats().bytes_cached)
		wrong("%llu bytes are left", (unsigned long long)stats().bytes_held);
	ps_limit_set(PAGE);
	span = ps_span_alloc_ex(PAGE, 0, PS_HUGE);
	if (!span)
		wrong("what was freed still counts");
	ps_span_free(span, PAGE);
}

/* ---- operations --------------------------------------------------------------------- */

static bool on_device(void)
{
	return !strcmp(ps_backend(), "device");
}

static size_t some_pages(void)
{
	switch (below(16)) {
	case 0:
		return 1 + below(1200);
	case 1:
		return 512;
	case 2:
	case 3:
		return 1 + below(70);
	default:
		return 1 + below(9);
	}
}

static void op_alloc(void)
{
	size_t pages = some_pages();
	char *span = ps_span_alloc(pages * PAGE);

	if (!span && errno != ENOMEM)
		wrong("ps_span_alloc of %zu pages", pages);
	if (span && (uintptr_t)span % PAGE)
		wrong("%zu pages at %p are not aligned", pages, (void *)span);
	if (span)
		own(span, pages, false, false);
}

static void op_alloc_ex(void)
{
	size_t pages = some_pages();
	size_t align = below(2) ? 0 : PAGE << below(12);
	unsigned int flags = below(8);
	char *span;

	if (!below(16))
		flags |= PS_EXPORT;
	if (!below(4))
		flags |= PS_GROWS;
	span = ps_span_alloc_ex(pages * PAGE, align, flags);
	if (!span && errno != (flags & PS_EXPORT && !on_device() ? EOPNOTSUPP : ENOMEM))
		wrong("ps_span_alloc_ex of %zu pages, flags %x", pages, flags);
	if (span && align && (uintptr_t)span % align)
		wrong("%zu pages at %p are not aligned to %zu", pages, (void *)span, align);
	if (span && flags & PS_HUGE && (uintptr_t)span % MEGABLOCK)
		wrong("PS_HUGE gives %p", (void *)span);
	if (span)
		own(span, pages, flags & PS_EXPORT, flags & PS_ZERO);
}

static void op_alloc_bulk(void)
{
	void *spans[32];
	size_t pages = 1 + below(below(4) ? 4 : 64), count = 1 + below(32);
	int ret = ps_span_alloc_bulk(pages * PAGE, count, spans);

	if (ret && ret != -ENOMEM)
		wrong("ps_span_alloc_bulk: %d", ret);
	for (size_t i = 0; !ret && i < count; i++)
		own(spans[i], pages, false, false);
}

static void op_free_part(void)
{
	int number = nr_held ? below(nr_held) : -1;
	size_t first;

	if (number < 0)
		return;
	verify(&held[number]);
	first = below(held[number].pages);
	release(number, first, 1 + below(held[number].pages - first));
}

static void op_free_span(void)
{
	int number = nr_held ? below(nr_held) : -1;

	if (number < 0)
		return;
	verify(&held[number]);
	release(number, 0, held[number].pages);
}

/* The end of a span and the start of the one behind it, in one call. */
static void op_free_across(void)
{
	for (int i = 0; i < nr_held; i++)
		for (int j = 0; j < nr_held; j++) {
			char *border = held[j].start;

			if (held[i].start + held[i].pages * PAGE != border ||
			    held[i].exportable != held[j].exportable)
				continue;
			if (ps_span_free(border - PAGE, 2 * PAGE))
				wrong("a free across %p", (void *)border);
			held[i].pages--;
			held[j].start += PAGE;
			held[j].pages--;
			for (int k = nr_held - 1; k >= 0; k--)
				if (!held[k].pages)
					held[k] = held[--nr_held];
			return;
		}
}

static void op_extend(void)
{
	struct held *span = &held[nr_held ? below(nr_held) : 0];
	size_t more = 1 + below(9);
	int ret;

	if (!nr_held || span->exportable)
		return;
	ret = ps_span_extend(span->start, span->pages * PAGE, (span->pages + more) * PAGE);
	if (ret && ret != -ENOMEM)
		wrong("ps_span_extend: %d", ret);
	if (!ret)
		own(span->start + span->pages * PAGE, more, false, false);
}

/* Pages are tagged with where they are. */
static void retag(struct held *span, const char *before)
{
	for (size_t i = 0; i < span->pages; i++) {
		uint64_t expected = owner ^ (uintptr_t)(before + i * PAGE);
		char *page = span->start + i * PAGE;

		if (words_of(page)[0] != expected || words_of(page)[511] != expected)
			wrong("page %p was moved and holds %llx", (void *)page,
			      (unsigned long long)words_of(page)[0]);
		tag(page);
	}
}

static void op_resize(void)
{
	int number = nr_held ? below(nr_held) : -1;
	size_t pages = some_pages();
	struct held span;
	char *moved;

	if (number < 0 || held[number].exportable)
		return;
	span = held[number];
	verify(&span);
	moved = ps_span_resize(span.start, span.pages * PAGE, pages * PAGE);
	if (!moved && errno != ENOMEM)
		wrong("ps_span_resize of %zu pages to %zu", span.pages, pages);
	if (!moved) {
		verify(&span);
		return;
	}
	held[number] = held[--nr_held];
	if (pages > span.pages)
		own(moved + span.pages * PAGE, pages - span.pages, false, false);
	held[nr_held++] = (struct held){moved, pages < span.pages ? pages : span.pages, false};
	retag(&held[nr_held - 1], span.start);
}

static void op_export(void)
{
	struct held *span = &held[nr_held ? below(nr_held) : 0];
	int fd;

	if (!nr_held)
		return;
	fd = ps_span_export(span->start, span->pages * PAGE);
	if (fd < 0 ? fd != (on_device() ? -EINVAL : -EOPNOTSUPP) || span->exportable :
		     !span->exportable)
		wrong("ps_span_export: %d", fd);
	if (fd >= 0)
		close(fd);
}

/* Arguments that are off, each of which has one answer. */
static void op_nonsense(void)
{
	size_t odd = 1 + below(PAGE - 1), many = PS_SPAN_MAX + PAGE * (1 + below(100));
	char *mine = nr_held ? held[below(nr_held)].start : NULL;
	struct ps_config config = {0};
	void *spans[1];

	if (ps_span_alloc(0) || errno != EINVAL || ps_span_alloc(odd) || errno != EINVAL ||
	    ps_span_alloc(many) || errno != EINVAL || ps_span_alloc(-PAGE) || errno != EINVAL)
		wrong("ps_span_alloc of a size that is off");
	if (ps_span_alloc_ex(PAGE, odd | 1, 0) || errno != EINVAL ||
	    ps_span_alloc_ex(PAGE, 2 * PS_ALIGN_MAX, 0) || errno != EINVAL ||
	    ps_span_alloc_ex(PAGE, 0, 0x20u << below(27)) || errno != EINVAL)
		wrong("ps_span_alloc_ex of what is off");
	if (ps_span_alloc_bulk(odd, 1, spans) != -EINVAL ||
	    ps_span_alloc_bulk(PAGE, 0, spans) != -EINVAL)
		wrong("ps_span_alloc_bulk of what is off");
	if (ps_span_free(spans, PAGE) != -EINVAL || ps_span_free(NULL, PAGE) != -EINVAL ||
	    ps_trim(odd) != -EINVAL || ps_limit_set(odd) != -EINVAL ||
	    ps_init(&config, sizeof(config)) != -EALREADY)
		wrong("a call whose arguments are off is taken");
	if (mine &&
	    (ps_span_free(mine + odd, PAGE) != -EINVAL || ps_span_free(mine, odd) != -EINVAL ||
	     ps_span_free(mine, 0) != -EINVAL || ps_span_extend(mine, PAGE, odd) != -EINVAL ||
	     ps_span_extend(mine, PAGE, many) != -EINVAL ||
	     ps_span_resize(mine, PAGE, odd) || errno != EINVAL ||
	     ps_span_resize(mine, PAGE, many) || errno != EINVAL))
		wrong("a free or an extension that is off is taken");
}

static void op_trim(void)
{
	if (ps_trim(below(2) ? 0 : below(100) * PAGE))
		wrong("ps_trim");
	if (!below(4))
		ps_reclaim();
}

static void op_limit(void)
{
	uint64_t limit = below(2) ? UINT64_MAX : (1 + below(4096)) * PAGE;
	char *span;

	if (ps_limit_set(limit))
		wrong("ps_limit_set");
	span = ps_span_alloc_ex(PAGE, 0, PS_HUGE);
	if (span && bytes_held() + PAGE > limit)
		wrong("the limit is not obeyed");
	if (span)
		ps_span_free(span, PAGE);
}

static void op_count(void)
{
	if (stats().bytes_held != bytes_held())
		wrong("%llu bytes are held instead of %llu", (unsigned long long)stats().bytes_held,
		      (unsigned long long)bytes_held());
}

static void look_as_child(void)
{
	bool copy = !strcmp(getenv("PAGESPAN_FORK"), "copy");
	int kept = 0;
	char *span;

	for (int i = 0; i < nr_held; i++)
		if (held[i].exportable)
			bytes_lost += copy ? held[i].pages * PAGE : 0;
		else
			held[kept++] = held[i];
	nr_held = kept;
	if (copy) {
		verify_all();
	} else {
		for (int i = 0; i < nr_held; i++)
			if (ps_span_free(held[i].start, PAGE) != -EINVAL)
				wrong("a child frees a span of its parent");
		nr_held = 0;
	}
	span = ps_span_alloc(3 * PAGE);
	if (span)
		own(span, 3, false, false);
	op_count();
	release_all();
	_exit(0);
}

static void op_fork(void)
{
	int status;
	pid_t pid = fork();

	if (!pid)
		look_as_child();
	while (pid > 0 && waitpid(pid, &status, 0) != pid)
		;
	if (pid < 0 || status)
		wrong("a child of a fork ends with %x", status);
	verify_all();
}

static void (*const operations[])(void) = {
	op_alloc,     op_alloc,     op_alloc,     op_alloc_ex,  op_alloc_bulk,  op_free_part,
	op_free_part, op_free_span, op_free_span, op_free_span, op_free_across, op_extend,
	op_extend,    op_resize,    op_resize,    op_export,    op_nonsense,    op_trim,
	op_limit,     op_count,
};

/* ---- rounds ------------------------------------------------------------------------- */

static void interrupted(int number)
{
	(void)number;
}

/* A signal at every moment; in half of the rounds what it interrupts is not restarted. */
static void start_signals(void)
{
	struct sigaction action = {.sa_handler = interrupted,
				   .sa_flags = below(2) ? SA_RESTART : 0};
	struct itimerval often = {{0, 1000}, {0, 1000}};

	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &often, NULL);
}

static void run_round(uint64_t seed)
{
	char megabytes[16];

	state = seed;
	owner = random_next(&state) << 48;
	snprintf(megabytes, sizeof(megabytes), "%d", (int)(4 + below(60)));
	setenv("PAGESPAN_MEMORY_MB", megabytes, 1);
	setenv("PAGESPAN_FORK", below(2) ? "copy" : "fresh", 1);
	setenv("PAGESPAN_DEBUG", below(4) ? "" : "1", 1);
	if (!ps_backend())
		wrong("no backend");
	start_signals();
	for (int i = 0; i < OPERATIONS; i++) {
		while (nr_held > MOST_HELD - 40)
			op_free_span();
		operations[below(sizeof(operations) / sizeof(*operations))]();
		if (i % 100 == 99)
			op_fork();
	}
	ps_limit_set(UINT64_MAX);
	end_with_nothing();
	_exit(0);
}

/* Whether a process that runs a round ends well. */
static bool round_is_well(uint64_t seed)
{
	int status;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (!pid)
		run_round(seed);
	waitpid(pid, &status, 0);
	if (status)
		printf("# a round ended with %x; again: lib_fuzz replay %llx\n", status,
		       (unsigned long long)seed);
	return !status;
}

static bool fuzz(long seconds, uint64_t seed)
{
	time_t until = time(NULL) + seconds;
	unsigned long rounds = 0;

	printf("# seed %llx\n", (unsigned long long)seed);
	do {
		if (!round_is_well(random_next(&seed)))
			return false;
		rounds++;
	} while (time(NULL) < until);
	printf("# %lu rounds of %d operations\n", rounds, OPERATIONS);
	return true;
}

/* ---- failing requests --------------------------------------------------------------- */

static void prepare_nothing(void)
{
}

static void prepare_spans(void)
{
	for (int i = 0; i < 8; i++)
		op_alloc();
	own(ps_span_alloc(3 * PAGE), 3, false, false);
}

/* Many that lie apart are cached. */
static void prepare_cached(void)
{
	void *spans[120];

	prepare_spans();
	if (ps_span_alloc_bulk(PAGE, 120, spans))
		wrong("no spans");
	for (int i = 0; i < 120; i += 2)
		own(spans[i], 1, false, false);
	for (int i = 1; i < 120; i += 2)
		ps_span_free(spans[i], PAGE);
}

/* 0, or -errno. */
static int take(char *span, size_t pages, bool zeroed)
{
	if (!span)
		return -errno;
	own(span, pages, false, zeroed);
	return 0;
}

static int call_alloc(void)
{
	return take(ps_span_alloc(PAGE), 1, false);
}

static int call_alloc_large(void)
{
	return take(ps_span_alloc(700 * PAGE), 700, false);
}

static int call_alloc_zeroed(void)
{
	return take(ps_span_alloc_ex(40 * PAGE, 0, PS_ZERO | PS_POPULATE), 40, true);
}

static int call_alloc_huge(void)
{
	return take(ps_span_alloc_ex(512 * PAGE, 0, PS_HUGE | PS_POPULATE), 512, false);
}

static int call_alloc_bulk(void)
{
	void *spans[100];
	int ret = ps_span_alloc_bulk(2 * PAGE, 100, spans);

	for (int i = 0; !ret && i < 100; i++)
		own(spans[i], 2, false, false);
	return ret;
}

static int call_extend(void)
{
	int ret = ps_span_extend(held[0].start, held[0].pages * PAGE, (held[0].pages + 1) * PAGE);

	if (!ret)
		own(held[0].start + held[0].pages * PAGE, 1, false, false);
	return ret;
}

static int call_resize(void)
{
	struct held *span = &held[nr_held - 1];
	size_t before = span->pages;
	char *start = span->start;
	char *moved = ps_span_resize(start, before * PAGE, (before + 900) * PAGE);

	if (!moved)
		return -errno;
	span->start = moved;
	retag(span, start);
	own(moved + before * PAGE, 900, false, false);
	return 0;
}

/* A large one, with somebody else's page behind. */
static void prepare_hemmed_in(void)
{
	char *span = ps_span_alloc(1301 * PAGE);

	own(span + 1300 * PAGE, 1, false, false);
	own(span, 1300, false, false);
}

/* Only its end can be extended, as long as nothing is behind it. */
static void prepare_room(void)
{
	own(ps_span_alloc(600 * PAGE), 600, false, false);
	release(0, 300, 300);
	ps_trim(0);
}

static int call_free(void)
{
	release(nr_held - 1, 1, 1);
	return 0;
}

static int call_trim(void)
{
	return ps_trim(0);
}

static void *alloc_in_thread(void *result)
{
	*(int *)result = call_alloc();
	return NULL;
}

static int call_in_thread(void)
{
	long after = until_failure;
	pthread_t thread;
	int result;

	until_failure = 0;
	if (pthread_create(&thread, NULL, alloc_in_thread, &result))
		wrong("no thread");
	until_failure = after;
	pthread_join(thread, NULL);
	return result;
}

static int call_export(void)
{
	char *span = ps_span_alloc_ex(4 * PAGE, 0, PS_EXPORT);
	int fd = span ? ps_span_export(span, 4 * PAGE) : -errno;

	if (span)
		ps_span_free(span, 4 * PAGE);
	if (fd >= 0)
		close(fd);
	return fd < 0 && (fd != -EOPNOTSUPP || on_device()) ? fd : 0;
}

static const struct {
	const char *name;
	void (*prepare)(void);
	int (*call)(void);
} calls[] = {
	{"first_allocation", prepare_nothing, call_alloc},
	{"first_bulk_allocation", prepare_nothing, call_alloc_bulk},
	{"allocation", prepare_spans, call_alloc_large},
	{"allocation_from_caches", prepare_cached, call_alloc_zeroed},
	{"huge_allocation", prepare_spans, call_alloc_huge},
	{"bulk_allocation", prepare_cached, call_alloc_bulk},
	{"first_allocation_of_a_thread", prepare_spans, call_in_thread},
	{"extension", prepare_room, call_extend},
	{"resizing", prepare_spans, call_resize},
	{"resizing_of_a_large_span", prepare_hemmed_in, call_resize},
	{"free", prepare_spans, call_free},
	{"trim", prepare_cached, call_trim},
	{"export", prepare_spans, call_export},
};

enum { WELL, NO_SITE_LEFT };

/* One call, of which the nth request fails. */
static void run_failing(int number, int nth, const char *debug)
{
	uint64_t before;
	int ret;

	state = 7;
	owner = 0x7a67ULL << 48;
	setenv("PAGESPAN_MEMORY_MB", "64", 1);
	setenv("PAGESPAN_DEBUG", debug, 1);
	/* Where it says that it cannot protect pages any more. */
	if (*debug)
		dup2(open("/dev/null", O_WRONLY), STDERR_FILENO);
	calls[number].prepare();
	before = bytes_held();
	until_failure = nth;
	ret = calls[number].call();
	until_failure = 0;
	if (ret && !failed)
		wrong("%s fails by itself: %d", calls[number].name, ret);
	if (ret && bytes_held() != before)
		wrong("%s has failed and changed something", calls[number].name);
	verify_all();
	op_count();
	if (ret && calls[number].call())
		wrong("%s does not succeed when repeated", calls[number].name);
	verify_all();
	end_with_nothing();
	_exit(failed ? WELL : NO_SITE_LEFT);
}

/* How many requests of a call have failed in their turn; -1 if one was not taken well. */
static int sweep(int number, const char *debug)
{
	int nth = 0, status;
	pid_t pid;

	do {
		nth++;
		fflush(stdout);
		pid = fork();
		if (!pid)
			run_failing(number, nth, debug);
		waitpid(pid, &status, 0);
	} while (status == WELL);
	if (WIFEXITED(status) && WEXITSTATUS(status) == NO_SITE_LEFT)
		return nth - 1;
	printf("# %s: request %d, status %x\n", calls[number].name, nth, status);
	return -1;
}

static bool every_request_fails_in_its_turn(const char *debug)
{
	int total = 0;

	for (size_t i = 0; i < sizeof(calls) / sizeof(*calls); i++) {
		int sites = sweep(i, debug);

		if (sites < 0)
			return false;
		total += sites;
	}
	printf("# %d failing requests\n", total);
	return total > 0;
}

int main(int argc, char **argv)
{
	long seconds = argc > 1 ? atol(argv[1]) : 5;
	uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 16) : 1;

	if (argc == 3 && !strcmp(argv[1], "replay"))
		return !round_is_well(seed);
	tap_begin();
	tap_result(fuzz(seconds, seed), "results_and_pages_are_what_the_model_says");
	tap_result(every_request_fails_in_its_turn(""),
		   "failing_requests_are_told_and_change_nothing");
	tap_result(every_request_fails_in_its_turn("1"),
		   "failing_requests_are_told_and_change_nothing_in_debug_mode");
	return tap_end();
}
