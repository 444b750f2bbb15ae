// SPDX-License-Identifier: GPL-2.0-only
/*
 * A fuzzer of /dev/pagespan. Processes call it at random, with and without sense,
 * while a thread of each touches its window now and then. What a process owns
 * stands in a model, and in a tag in each page: every result must be what the model
 * says, every page must hold its tag, and no page may hold a tag of somebody else.
 *
 * An operation is a number: all that is random about it follows from it. So a
 * sequence that fails is repeated without others about, shortened as long as it
 * still fails, and printed; it can be given again. Where the module tells what code
 * runs (KCOV), numbers that reached new code are tried again and again.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/kcov.h>
#include <linux/pagespan.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <stdnoreturn.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../random.h"

#define PAGE        4096UL
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

/* One process and its client. */
struct state {
	uint64_t random;
	uint64_t nr_pages;
	uint64_t nr_owned;
	uint64_t owner; /* the upper half of each tag */
	uint64_t *tags; /* of each page that is owned, else 0 */
	char *window;
	int fd;
	int raw; /* a client that no model follows */
};

static struct shared *shared;
static struct state state;
static bool quiet;
static uint64_t *cover;
static __thread sigjmp_buf touch_failed;

static noreturn void wrong(const char *format, ...)
{
	va_list arguments;

	if (!quiet) {
		va_start(arguments, format);
		vprintf(format, arguments);
		va_end(arguments);
		printf("\n");
		fflush(stdout);
	}
	_exit(1);
}

static uint64_t below(uint64_t limit)
{
	return random_below(&state.random, limit);
}

static void touch_handler(int signal)
{
	siglongjmp(touch_failed, signal);
}

/* Reads a word, or writes it; 0, or the signal that it raised. */
static int read_word(volatile uint64_t *word, uint64_t *value)
{
	int raised = sigsetjmp(touch_failed, 0);

	if (!raised)
		*value = *word;
	return raised;
}

static int write_word(volatile uint64_t *word, uint64_t value)
{
	int raised = sigsetjmp(touch_failed, 0);

	if (!raised)
		*word = value;
	return raised;
}

static uint64_t *page_at(uint64_t index)
{
	return (uint64_t *)(state.window + index * PAGE);
}

/* Result of an ioctl, or -errno. */
static long call(int fd, unsigned long command, void *argument)
{
	long ret = ioctl(fd, command, argument);

	return ret < 0 ? -errno : ret;
}

/* ---- the model -------------------------------------------------------------------------- */

static void own(uint64_t index, bool zeroed)
{
	uint64_t *page = page_at(index);
	uint64_t held[2];

	if (index >= state.nr_pages || state.tags[index])
		wrong("page %llu given twice", (unsigned long long)index);
	if (read_word(page, &held[0]) || read_word(page + 511, &held[1]))
		wrong("owned page %llu cannot be read", (unsigned long long)index);
	for (int i = 0; i < 2; i++)
		if (held[i] && (zeroed || held[i] >> 32 != state.owner))
			wrong("page %llu shows %llx", (unsigned long long)index,
			      (unsigned long long)held[i]);
	state.tags[index] = state.owner << 32 | (uint32_t)(below(UINT32_MAX) + 1);
	if (write_word(page, state.tags[index]) || write_word(page + 511, state.tags[index]))
		wrong("owned page %llu cannot be written", (unsigned long long)index);
	state.nr_owned++;
}

/* Whether the client owns all of a range, and gives it back in the model if so. */
static bool disown(uint64_t first, uint64_t nr_pages)
{
	if (!nr_pages || first >= state.nr_pages || nr_pages > state.nr_pages - first)
		return false;
	for (uint64_t i = first; i < first + nr_pages; i++)
		if (!state.tags[i])
			return false;
	memset(&state.tags[first], 0, nr_pages * sizeof(*state.tags));
	state.nr_owned -= nr_pages;
	return true;
}

static void verify(uint64_t index)
{
	uint64_t value;
	int raised = read_word(page_at(index) + (below(2) ? 511 : 0), &value);

	if (state.tags[index] && (raised || value != state.tags[index]))
		wrong("page %llu holds %llx instead of %llx, signal %d", (unsigned long long)index,
		      (unsigned long long)value, (unsigned long long)state.tags[index], raised);
	if (!state.tags[index] && raised != SIGBUS)
		wrong("page %llu, not owned, shows %llx", (unsigned long long)index,
		      (unsigned long long)value);
}

/* An index, of an owned page if there is one near a random place. */
static uint64_t owned_index(void)
{
	uint64_t index = below(state.nr_pages);

	for (int tries = 0; tries < 4096 && !state.tags[index]; tries++)
		index = (index + 1) % state.nr_pages;
	return index;
}

/* Less than a limit, and mostly little: what takes long is tried seldom. */
static uint64_t some_length(uint64_t limit)
{
	uint64_t little = below(16) ? 8 : limit;

	return below(little < limit ? little : limit);
}

static struct pagespan_range some_range(void)
{
	struct pagespan_range range = {.first = owned_index(), .nr_pages = 1 + below(8)};

	switch (below(16)) {
	case 0:
		range.first = random_next(&state.random);
		break;
	case 1:
		range.nr_pages = random_next(&state.random);
		break;
	case 2:
		range.nr_pages = below(1024);
		break;
	}
	return range;
}

/* ---- operations ------------------------------------------------------------------------- */

static void open_client(void)
{
	static uint64_t nr_opened;
	struct pagespan_info info = {.size = sizeof(info)};

	state.fd = open("/dev/pagespan", O_RDWR | O_CLOEXEC);
	if (state.fd < 0 || call(state.fd, PAGESPAN_INFO, &info))
		wrong("the device cannot be opened: %d", errno);
	state.nr_pages = info.nr_pages;
	state.owner = ((uint64_t)getpid() << 12 | (++nr_opened & 0xfff)) & UINT32_MAX;
	state.nr_owned = 0;
	state.tags = calloc(state.nr_pages, sizeof(*state.tags));
	state.window = mmap(state.window, state.nr_pages * PAGE, PROT_READ | PROT_WRITE,
			    MAP_SHARED | (state.window ? MAP_FIXED : 0), state.fd, 0);
	if (!state.tags || state.window == MAP_FAILED)
		wrong("no window: %d", errno);
}

static void op_reopen(void)
{
	close(state.fd);
	free(state.tags);
	open_client();
}

static void op_alloc_one(void)
{
	uint32_t flags = below(4);
	unsigned long window = flags & PAGESPAN_ALLOC_POPULATE ? (uintptr_t)state.window : 0;
	long page = call(state.fd, PAGESPAN_ALLOC_ONE, (void *)(window | flags));

	if (page >= 0)
		own(page, flags & PAGESPAN_ALLOC_ZERO);
	else if (page != -ENOMEM)
		wrong("ALLOC_ONE: %ld", page);
}

static void op_alloc(void)
{
	static uint64_t firsts[64];
	struct pagespan_alloc alloc = {
		.size = sizeof(alloc),
		.flags = below(4),
		.nr_pages = 1 + below(below(32) ? 8 : 700),
		.align_pages = 1U << below(10),
		.count = 1 + below(below(16) ? 4 : 64),
		.spans = (uintptr_t)firsts,
	};
	long ret;

	if (alloc.flags & PAGESPAN_ALLOC_POPULATE)
		alloc.window = (uintptr_t)state.window;
	if ((uint64_t)alloc.nr_pages * alloc.count > 2000)
		alloc.count = 1;
	ret = call(state.fd, PAGESPAN_ALLOC, &alloc);
	if (ret < 0 ? ret != -ENOMEM : !ret || ret > alloc.count)
		wrong("ALLOC: %ld", ret);
	for (long i = 0; i < ret; i++) {
		if (firsts[i] % alloc.align_pages)
			wrong("span at %llu is not aligned", (unsigned long long)firsts[i]);
		for (uint32_t page = 0; page < alloc.nr_pages; page++)
			own(firsts[i] + page, alloc.flags & PAGESPAN_ALLOC_ZERO);
	}
}

static void op_alloc_at(void)
{
	struct pagespan_alloc_at at = {
		.size = sizeof(at),
		.first = owned_index() + below(3),
		.nr_pages = 1 + below(16),
	};
	long ret = call(state.fd, PAGESPAN_ALLOC_AT, &at);

	if (ret && ret != -EBUSY && ret != -EINVAL)
		wrong("ALLOC_AT: %ld", ret);
	for (uint32_t page = 0; !ret && page < at.nr_pages; page++)
		own(at.first + page, false);
}

static void op_free(void)
{
	struct pagespan_range ranges[32];
	struct pagespan_free request = {
		.size = sizeof(request),
		.count = 1 + below(below(2) ? 1 : 32),
		.ranges = (uintptr_t)ranges,
	};
	uint32_t nr = 0;
	long ret;

	for (uint32_t i = 0; i < request.count; i++)
		ranges[i] = some_range();
	ret = call(state.fd, PAGESPAN_FREE, &request);
	while (nr < request.count && disown(ranges[nr].first, ranges[nr].nr_pages))
		nr++;
	if (ret != (nr ? (long)nr : -EINVAL))
		wrong("FREE: %ld instead of %u", ret, nr);
}

static void op_free_one(void)
{
	uint64_t index = below(8) ? owned_index() : random_next(&state.random);
	long ret = call(state.fd, PAGESPAN_FREE_ONE, (void *)index);

	if (ret != (disown(index, 1) ? 0 : -EINVAL))
		wrong("FREE_ONE of %llu: %ld", (unsigned long long)index, ret);
}

static void op_verify(void)
{
	for (int i = 0; i < 4; i++)
		verify(below(2) ? owned_index() : below(state.nr_pages));
}

static void op_info(void)
{
	struct pagespan_info info = {.size = sizeof(info)};

	if (call(state.fd, PAGESPAN_INFO, &info) || info.owned_pages != state.nr_owned)
		wrong("INFO: owned %llu instead of %llu", (unsigned long long)info.owned_pages,
		      (unsigned long long)state.nr_owned);
}

static void op_query(void)
{
	struct pagespan_query query = {
		.size = sizeof(query),
		.first = owned_index(),
	};

	query.nr_pages = 1 + some_length(state.nr_pages - query.first);
	if (call(state.fd, PAGESPAN_QUERY, &query))
		wrong("QUERY: %d", errno);
	for (uint64_t i = query.first; i < query.first + query.nr_pages; i++)
		if (!state.tags[i] != !(query.state & PAGESPAN_QUERY_OWNED))
			wrong("QUERY: state %x of page %llu", query.state, (unsigned long long)i);
}

/* A part of the window, in pages. */
static struct pagespan_range some_part(void)
{
	uint64_t first = owned_index();

	return (struct pagespan_range){first, 1 + some_length(state.nr_pages - first)};
}

static void map_again(struct pagespan_range part)
{
	if (mmap(page_at(part.first), part.nr_pages * PAGE, PROT_READ | PROT_WRITE,
		 MAP_SHARED | MAP_FIXED, state.fd, part.first * PAGE) == MAP_FAILED)
		wrong("a part of the window cannot be mapped again: %d", errno);
}

static void op_unmap(void)
{
	struct pagespan_range part = some_part();

	if (below(2))
		munmap(page_at(part.first), part.nr_pages * PAGE);
	map_again(part);
	verify(part.first);
}

static void op_move(void)
{
	struct pagespan_range part = some_part();
	uint64_t *moved = mremap(page_at(part.first), part.nr_pages * PAGE, part.nr_pages * PAGE,
				 MREMAP_MAYMOVE | MREMAP_FIXED, state.window - (1UL << 40));
	uint64_t value;

	if (moved != MAP_FAILED) {
		if (state.tags[part.first] &&
		    (read_word(moved, &value) || value != state.tags[part.first]))
			wrong("page %llu moved does not hold its tag",
			      (unsigned long long)part.first);
		munmap(moved, part.nr_pages * PAGE);
	}
	map_again(part);
	verify(part.first);
}

static void op_protect(void)
{
	struct pagespan_range part = some_part();

	mprotect(page_at(part.first), part.nr_pages * PAGE, PROT_READ);
	if (!write_word(page_at(part.first) + 1, 1))
		wrong("page %llu can be written", (unsigned long long)part.first);
	verify(part.first);
	mprotect(page_at(part.first), part.nr_pages * PAGE, PROT_READ | PROT_WRITE);
}

static void op_advise(void)
{
	static const int advice[] = {
		MADV_NORMAL, MADV_RANDOM,  MADV_SEQUENTIAL, MADV_WILLNEED,      MADV_DONTNEED,
		MADV_REMOVE, MADV_FREE,    MADV_HUGEPAGE,   MADV_NOHUGEPAGE,    MADV_MERGEABLE,
		MADV_COLD,   MADV_PAGEOUT, MADV_DODUMP,     MADV_POPULATE_READ, MADV_POPULATE_WRITE,
	};
	struct pagespan_range part = some_part();

	madvise(page_at(part.first), part.nr_pages * PAGE,
		advice[below(sizeof(advice) / sizeof(*advice))]);
	verify(part.first);
}

/* A child that has the window too, and dies in the middle of it. */
static void op_fork(void)
{
	int status;
	pid_t pid;

	madvise(state.window, state.nr_pages * PAGE, MADV_DOFORK);
	pid = fork();
	if (!pid) {
		for (int i = 0; i < 8; i++)
			verify(owned_index());
		kill(getpid(), SIGKILL);
	}
	madvise(state.window, state.nr_pages * PAGE, MADV_DONTFORK);
	if (pid > 0 && (waitpid(pid, &status, 0) != pid || WIFEXITED(status)))
		wrong("a child saw something else");
}

static void op_write_from_outside(void)
{
	uint64_t index = below(2) ? owned_index() : below(state.nr_pages);
	uint64_t tag = state.owner << 32 | (uint32_t)(below(UINT32_MAX) + 1);
	struct iovec here = {.iov_base = &tag, .iov_len = sizeof(tag)};
	struct iovec there[2] = {
		{.iov_base = page_at(index), .iov_len = sizeof(tag)},
	};
	ssize_t ret = process_vm_writev(getpid(), &here, 1, there, 1, 0);

	if (ret != (state.tags[index] ? (ssize_t)sizeof(tag) : -1))
		wrong("writing page %llu from outside: %zd", (unsigned long long)index, ret);
	if (ret > 0) {
		write_word(page_at(index) + 511, tag);
		state.tags[index] = tag;
	}
}

/* The descriptor goes through a socket; what comes out is the same client. */
static void op_pass(void)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr header;
	} control = {.header = {CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS}};
	char byte = 0;
	struct iovec iov = {&byte, 1};
	struct msghdr message = {.msg_iov = &iov,
				 .msg_iovlen = 1,
				 .msg_control = &control,
				 .msg_controllen = sizeof(control)};
	int ends[2], fd;

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends))
		return;
	memcpy(CMSG_DATA(&control.header), &state.fd, sizeof(int));
	if (sendmsg(ends[0], &message, 0) == 1 && below(4) && recvmsg(ends[1], &message, 0) == 1) {
		memcpy(&fd, CMSG_DATA(&control.header), sizeof(int));
		close(state.fd);
		state.fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
		close(fd);
	}
	close(ends[0]);
	close(ends[1]);
	op_info();
}

static void op_export(void)
{
	struct pagespan_range range = some_range();
	static const uint32_t flags[] = {0, O_CLOEXEC, PAGESPAN_EXPORT_RDONLY,
					 PAGESPAN_EXPORT_RDONLY | O_CLOEXEC, 2};
	struct pagespan_export export = {
		.size = sizeof(export),
		.flags = flags[below(sizeof(flags) / sizeof(*flags))],
		.first = range.first,
		.nr_pages = range.nr_pages,
	};
	bool owned = export.flags != 2 && range.nr_pages && range.first < state.nr_pages &&
		     range.nr_pages <= state.nr_pages - range.first;
	bool writable = !(export.flags & PAGESPAN_EXPORT_RDONLY);
	long fd = call(state.fd, PAGESPAN_EXPORT, &export);
	uint64_t *page, value;

	for (uint64_t i = 0; owned && i < range.nr_pages; i++)
		owned = state.tags[range.first + i];
	if (fd < 0 ? owned : !owned)
		wrong("EXPORT: %ld", fd);
	if (fd < 0)
		return;
	page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (writable ? page == MAP_FAILED : page != MAP_FAILED)
		wrong("an export with flags %#x can be written: %d", export.flags, !writable);
	if (page == MAP_FAILED)
		page = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0);
	if (page == MAP_FAILED || read_word(page, &value) || value != state.tags[range.first])
		wrong("exported page %llu does not hold its tag", (unsigned long long)range.first);
	munmap(page, PAGE);
	close(fd);
}

/* Bytes without sense, but for some that get past the first checks, to a client of its own. */
static void op_raw(void)
{
	static const uint32_t sizes[] = {0, 16, 24, 32, 40, 48, 56, 72, 80, 4096};
	uint64_t words[512];
	uint32_t halves[2];

	for (size_t i = 0; i < 16; i++)
		words[i] = below(3) ? below(8) :
			   below(3) ? below(state.nr_pages) :
				      random_next(&state.random);
	memset(words + 16, 0, sizeof(words) - 16 * sizeof(*words));
	halves[0] = sizes[below(sizeof(sizes) / sizeof(*sizes))];
	halves[1] = below(2) ? 0 : below(8);
	memcpy(words, halves, sizeof(halves));
	if (below(2))
		words[3] = (uintptr_t)(words + 256);
	ioctl(state.raw, _IO(PAGESPAN_TYPE, below(10)),
	      below(8) ? (uint64_t)words : random_next(&state.random));
	if (!below(4)) {
		close(state.raw);
		state.raw = open("/dev/pagespan", O_RDWR | O_CLOEXEC);
	}
}

/* How often each is tried, of all the weights. */
static const struct {
	void (*run)(void);
	unsigned int weight;
} operations[] = {
	{op_alloc_one, 8}, {op_alloc, 6},  {op_alloc_at, 4}, {op_free, 8},
	{op_free_one, 6},  {op_verify, 2}, {op_info, 2},     {op_query, 4},
	{op_unmap, 3},     {op_move, 1},   {op_protect, 2},  {op_advise, 4},
	{op_pass, 2},      {op_export, 4}, {op_raw, 12},     {op_write_from_outside, 4},
	{op_fork, 1},      {op_reopen, 1},
};

static void run_some_operation(void)
{
	unsigned int all = 0, at = 0;
	uint64_t chosen;

	for (size_t i = 0; i < sizeof(operations) / sizeof(*operations); i++)
		all += operations[i].weight;
	for (chosen = below(all); chosen >= operations[at].weight; at++)
		chosen -= operations[at].weight;
	operations[at].run();
}

/* ---- sequences -------------------------------------------------------------------------- */

/* Touches the window now and then; what it sees is for the others to judge. */
static void *disturb(void *unused)
{
	uint64_t random = getpid(), value;

	(void)unused;
	for (;;) {
		read_word((uint64_t *)(state.window + random_next(&random) % state.nr_pages * PAGE),
			  &value);
		usleep(random_next(&random) % 16384);
	}
	return NULL;
}

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
	state.random = operation;
	if (cover)
		__atomic_store_n(&cover[0], 0, __ATOMIC_RELAXED);
	run_some_operation();
	if (cover)
		look_at_cover(operation);
	__atomic_add_fetch(&shared->nr_done, 1, __ATOMIC_RELAXED);
}

static void begin(void)
{
	struct sigaction action = {.sa_handler = touch_handler, .sa_flags = SA_NODEFER};
	pthread_t thread;

	sigaction(SIGBUS, &action, NULL);
	sigaction(SIGSEGV, &action, NULL);
	open_client();
	state.raw = open("/dev/pagespan", O_RDWR | O_CLOEXEC);
	pthread_create(&thread, NULL, disturb, NULL);
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
		op_verify();
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
