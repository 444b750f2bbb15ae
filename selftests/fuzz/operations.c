// SPDX-License-Identifier: GPL-2.0-only
/* Operations: calls of the device, whose results are what the model says, and a list of all. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "mapping.h"
#include "model.h"
#include "operations.h"
#include "user.h"

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
	struct pagespan_range part = some_part();
	struct pagespan_query query = {
		.size = sizeof(query),
		.first = part.first,
		.nr_pages = part.nr_pages,
	};

	if (call(state.fd, PAGESPAN_QUERY, &query))
		wrong("QUERY: %d", errno);
	for (uint64_t i = query.first; i < query.first + query.nr_pages; i++)
		if (!state.tags[i] != !(query.state & PAGESPAN_QUERY_OWNED))
			wrong("QUERY: state %x of page %llu", query.state, (unsigned long long)i);
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
	static const uint32_t flags[] = {0, O_CLOEXEC, PAGESPAN_EXPORT_RDONLY,
					 PAGESPAN_EXPORT_RDONLY | O_CLOEXEC, 2};
	struct pagespan_range range = some_range();
	struct pagespan_export export = {
		.size = sizeof(export),
		.flags = flags[below(sizeof(flags) / sizeof(*flags))],
		.first = range.first,
		.nr_pages = range.nr_pages,
	};
	bool writable = !(export.flags & PAGESPAN_EXPORT_RDONLY);
	long fd = call(state.fd, PAGESPAN_EXPORT, &export);
	uint64_t *page, value;

	if (fd < 0 ? export.flags != 2 && owns_all(range) : export.flags == 2 || !owns_all(range))
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

/* Wants the whole pool, so that others are asked for what they own. */
static void op_ask(void)
{
	uint64_t first;
	struct pagespan_alloc alloc = {
		.size = sizeof(alloc),
		.nr_pages = state.nr_pages < PAGESPAN_MAX_PAGES ? state.nr_pages :
								  PAGESPAN_MAX_PAGES,
		.align_pages = 1,
		.count = 1,
		.spans = (uintptr_t)&first,
	};
	struct pagespan_range range = {.nr_pages = alloc.nr_pages};
	struct pagespan_free request = {
		.size = sizeof(request),
		.count = 1,
		.ranges = (uintptr_t)&range,
	};
	long ret = call(state.fd, PAGESPAN_ALLOC, &alloc);

	if (ret < 0 ? ret != -ENOMEM : state.nr_owned > state.nr_pages - alloc.nr_pages)
		wrong("ALLOC of the pool: %ld", ret);
	range.first = first;
	if (ret == 1 && call(state.fd, PAGESPAN_FREE, &request) != 1)
		wrong("FREE of the pool");
}

static bool is_asked(void)
{
	struct pollfd it = {.fd = state.fd, .events = POLLIN | POLLOUT | POLLPRI};
	int ready = poll(&it, 1, 0);

	if (ready < 0 || (ready && it.revents != POLLPRI))
		wrong("poll(): %d, %x", ready, it.revents);
	return ready;
}

/* A client is asked only while it says that it answers, and not again until it has. */
static void op_pressure(void)
{
	struct pagespan_pressure it = {
		.size = sizeof(it),
		.flags = below(8) ? below(4) > 0 : 2,
		.answered = below(4) ? state.asked : below(state.asked + 4),
	};
	uint64_t answered = it.answered > state.answered ? it.answered : state.answered;
	bool asked = is_asked();
	long ret = call(state.fd, PAGESPAN_PRESSURE, &it);

	if (asked && !state.may_be_asked && state.asked == state.answered)
		wrong("asked, though it does not answer");
	if (it.flags == 2 || it.answered > state.asked + state.may_be_asked) {
		if (ret != -EINVAL)
			wrong("PRESSURE: %ld", ret);
		return;
	}
	if (ret == -EINVAL && it.answered > state.asked)
		return;
	if (ret || it.asked < state.asked || it.asked > state.asked + state.may_be_asked)
		wrong("PRESSURE: %ld, asked %llu times", ret, (unsigned long long)it.asked);
	if (!state.answers)
		answered = it.asked;
	if (it.nr_pages ? answered >= it.asked : answered < it.asked)
		wrong("PRESSURE: %u pages wanted", it.nr_pages);
	if (it.flags)
		state.may_be_asked = answered == it.asked;
	else
		state.may_be_asked &= it.asked == state.asked;
	state.answers = it.flags;
	state.asked = it.asked;
	if (!state.answers || answered == it.asked)
		state.answered = it.asked;
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

/* The thread looks at pages that came or went. */
static void op_let_look(void)
{
	user_operation_ends();
	user_let_look();
	user_operation_begins();
}

/* How often each is tried, of all the weights. */
static const struct {
	void (*run)(void);
	unsigned int weight;
} operations[] = {
	{op_alloc_one, 8},  {op_alloc, 6},  {op_alloc_at, 4},           {op_free, 8},
	{op_free_one, 6},   {op_verify, 2}, {op_info, 2},               {op_query, 4},
	{op_unmap, 3},      {op_move, 1},   {op_protect, 2},            {op_act, 12},
	{op_pass, 2},       {op_export, 4}, {op_raw, 12},               {op_write_from_outside, 4},
	{op_fork, 1},       {op_trace, 1},  {op_read_from_outside, 2},  {op_hold, 4},
	{op_use, 6},        {op_let_look, 3}, {op_pressure, 6}, {op_ask, 2}, {reopen_client, 1},
};

void run_operation(uint64_t operation)
{
	unsigned int all = 0, at = 0;
	uint64_t chosen;

	state.random = operation;
	for (size_t i = 0; i < sizeof(operations) / sizeof(*operations); i++)
		all += operations[i].weight;
	for (chosen = below(all); chosen >= operations[at].weight; at++)
		chosen -= operations[at].weight;
	user_operation_begins();
	operations[at].run();
	user_operation_ends();
}
