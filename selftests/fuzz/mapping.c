// SPDX-License-Identifier: GPL-2.0-only
/*
 * Operations on the window as a mapping. Whatever is done to it, by the process or
 * to the process, the model stays what it was, and nothing has an entry for a page
 * that is not owned.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/mempolicy.h>
#include <linux/userfaultfd.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "mapping.h"
#include "model.h"
#include "user.h"

#define HOLDS 4

/* Advice that a C library may not know yet. */
#define COLLAPSE      25
#define GUARD_INSTALL 102
#define GUARD_REMOVE  103

static size_t bytes_of(struct pagespan_range part)
{
	return part.nr_pages * PAGE;
}

/* ---- what leaves a mapping as it was ---------------------------------------------------- */

static int some_advice(void)
{
	static const int advice[] = {
		MADV_NORMAL,   MADV_RANDOM,        MADV_SEQUENTIAL,     MADV_WILLNEED,
		MADV_DONTNEED, MADV_REMOVE,        MADV_FREE,           MADV_HUGEPAGE,
		MADV_COLD,     MADV_NOHUGEPAGE,    MADV_MERGEABLE,      MADV_UNMERGEABLE,
		MADV_PAGEOUT,  MADV_DODUMP,        MADV_DONTDUMP,       MADV_DOFORK,
		MADV_DONTFORK, MADV_POPULATE_READ, MADV_POPULATE_WRITE, MADV_WIPEONFORK,
		COLLAPSE,      MADV_KEEPONFORK,    GUARD_INSTALL,       MADV_DONTNEED_LOCKED,
		GUARD_REMOVE,
	};

	return advice[below(sizeof(advice) / sizeof(*advice))];
}

static void advise(struct pagespan_range part)
{
	madvise(page_at(part.first), bytes_of(part), some_advice());
}

static void advise_as_another_would(struct pagespan_range part)
{
	struct iovec range = {page_at(part.first), bytes_of(part)};
	int fd = syscall(SYS_pidfd_open, getpid(), 0);

	syscall(SYS_process_madvise, fd, &range, 1, some_advice(), 0);
	close(fd);
}

static void lock(struct pagespan_range part)
{
	mlock2(page_at(part.first), bytes_of(part), below(2) ? MLOCK_ONFAULT : 0);
	if (below(2))
		munlock(page_at(part.first), bytes_of(part));
}

static void protect(struct pagespan_range part)
{
	static const int protections[] = {PROT_NONE, PROT_READ, PROT_READ | PROT_EXEC};

	mprotect(page_at(part.first), bytes_of(part), protections[below(3)]);
	mprotect(page_at(part.first), bytes_of(part), PROT_READ | PROT_WRITE);
}

static void bind_to_node(struct pagespan_range part)
{
	static const int policies[] = {MPOL_DEFAULT, MPOL_PREFERRED, MPOL_BIND, MPOL_INTERLEAVE};
	int policy = policies[below(4)];
	unsigned long nodes = policy != MPOL_DEFAULT;

	syscall(SYS_mbind, page_at(part.first), bytes_of(part), policy, &nodes, 64UL, below(8));
}

static void move_to_node(struct pagespan_range part)
{
	unsigned long from = ~1UL, to = 1;
	void *pages[8];
	int nodes[8] = {0}, status[8];
	unsigned long nr = part.nr_pages < 8 ? part.nr_pages : 8;

	for (unsigned long i = 0; i < nr; i++)
		pages[i] = page_at(part.first + i);
	if (below(2))
		syscall(SYS_move_pages, 0, nr, pages, below(2) ? nodes : NULL, status,
			MPOL_MF_MOVE_ALL);
	else
		syscall(SYS_migrate_pages, 0, 64UL, &from, &to);
}

static void forget_references(struct pagespan_range part)
{
	int fd = open("/proc/self/clear_refs", O_WRONLY | O_CLOEXEC);
	char what = '1' + below(5);

	(void)part;
	(void)!write(fd, &what, 1);
	close(fd);
}

/* A page that is there is an owned one. */
static void look_at_pagemap(struct pagespan_range part)
{
	static uint64_t entries[1024];
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	ssize_t bytes = part.nr_pages * sizeof(*entries);

	if (bytes > (ssize_t)sizeof(entries))
		bytes = sizeof(entries);
	bytes = pread(fd, entries, bytes, (uintptr_t)page_at(part.first) / PAGE * sizeof(*entries));
	close(fd);
	for (ssize_t i = 0; i < bytes / (ssize_t)sizeof(*entries); i++)
		if (entries[i] >> 63 && !state.tags[part.first + i])
			wrong("page %llu, not owned, has an entry",
			      (unsigned long long)part.first + i);
}

static void look_at_what_is_resident(struct pagespan_range part)
{
	static unsigned char resident[1024];

	if (part.nr_pages > sizeof(resident))
		part.nr_pages = sizeof(resident);
	if (mincore(page_at(part.first), bytes_of(part), resident))
		return;
	for (uint64_t i = 0; i < part.nr_pages; i++)
		if (resident[i] & 1 && !state.tags[part.first + i])
			wrong("page %llu, not owned, is resident",
			      (unsigned long long)part.first + i);
}

static void look_at_maps(struct pagespan_range part)
{
	static const char *const files[] = {"smaps", "smaps_rollup", "numa_maps", "maps"};
	char path[32], text[4096];
	int fd;

	(void)part;
	snprintf(path, sizeof(path), "/proc/self/%s", files[below(4)]);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	while (read(fd, text, sizeof(text)) > 0)
		;
	close(fd);
}

static void synchronise(struct pagespan_range part)
{
	msync(page_at(part.first), bytes_of(part), 1U << below(3));
}

static void resize(struct pagespan_range part)
{
	uint64_t bytes = bytes_of(part);

	if (mremap(page_at(part.first), below(2) ? bytes : 0, bytes + PAGE, MREMAP_MAYMOVE) !=
	    MAP_FAILED)
		wrong("the window grows at page %llu", (unsigned long long)part.first);
}

static void handle_faults(struct pagespan_range part)
{
	struct uffdio_api api = {.api = UFFD_API};
	struct uffdio_register range = {
		.range = {(uintptr_t)page_at(part.first), bytes_of(part)},
		.mode = 1 + below(7),
	};
	int fd = syscall(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY);

	if (fd < 0)
		return;
	if (!ioctl(fd, UFFDIO_API, &api) && !ioctl(fd, UFFDIO_REGISTER, &range))
		wrong("faults at page %llu are not the module's", (unsigned long long)part.first);
	close(fd);
}

static void map_in_place(struct pagespan_range part)
{
	map_again(part);
}

/* What is done to a part of the window, advice as often as all the rest. */
static void act_on(struct pagespan_range part)
{
	static void (*const acts[])(struct pagespan_range part) = {
		lock,          protect,         bind_to_node,             move_to_node,
		synchronise,   look_at_pagemap, look_at_what_is_resident, look_at_maps,
		map_in_place,  resize,          handle_faults,            forget_references,
	};
	const uint64_t nr = sizeof(acts) / sizeof(*acts);
	uint64_t chosen = below(2 * nr);

	if (chosen < nr)
		acts[chosen](part);
	else if (chosen % 2)
		advise(part);
	else
		advise_as_another_would(part);
}

void op_act(void)
{
	struct pagespan_range part = some_part();

	act_on(part);
	verify(part.first);
}

/* ---- while they are in use --------------------------------------------------------------- */

/* A megablock of its own, or a few pages that are owned. False if there are none. */
static bool some_span(struct pagespan_range *span)
{
	uint64_t first;
	struct pagespan_alloc alloc = {
		.size = sizeof(alloc),
		.nr_pages = MEGABLOCK,
		.align_pages = MEGABLOCK,
		.count = 1,
		.spans = (uintptr_t)&first,
	};

	if (below(4) && call(state.fd, PAGESPAN_ALLOC, &alloc) == 1) {
		*span = (struct pagespan_range){first, MEGABLOCK};
		for (uint64_t i = 0; i < MEGABLOCK; i++)
			own(first + i, false);
		return true;
	}
	*span = (struct pagespan_range){owned_index(), 8};
	while (span->nr_pages && !owns_all(*span))
		span->nr_pages--;
	return span->nr_pages;
}

/*
 * The thread uses pages while something is done to them, and they are freed, all or
 * the first, or the client ends. Nothing else touches them, for that would make an
 * entry anew.
 */
void op_use(void)
{
	struct pagespan_range span, range;
	struct pagespan_free request = {
		.size = sizeof(request), .count = 1, .ranges = (uintptr_t)&range,
	};

	if (!some_span(&span))
		return;
	user_begin(span);
	for (uint64_t i = below(3); i < 3; i++)
		act_on(span);
	range = span;
	if (below(2))
		range.nr_pages = 1;
	switch (below(8)) {
	case 0:
		break;
	case 1:
		user_will_lose(span);
		reopen_client();
		user_has_lost();
		break;
	default:
		user_will_lose(range);
		if (call(state.fd, PAGESPAN_FREE, &request) != 1)
			wrong("FREE of %llu pages from %llu on", (unsigned long long)range.nr_pages,
			      (unsigned long long)range.first);
		user_has_lost();
		disown(range.first, range.nr_pages);
	}
	user_goes_round();
	user_end();
}

/* ---- the mapping itself ------------------------------------------------------------------ */

void op_unmap(void)
{
	struct pagespan_range part = some_part();

	if (below(2))
		munmap(page_at(part.first), bytes_of(part));
	else if (below(2))
		remap_file_pages(page_at(part.first), bytes_of(part), 0, below(state.nr_pages), 0);
	map_again(part);
	verify(part.first);
}

void op_move(void)
{
	struct pagespan_range part = some_part();
	uint64_t *moved = mremap(page_at(part.first), bytes_of(part), bytes_of(part),
				 MREMAP_MAYMOVE | MREMAP_FIXED, state.window - (1UL << 40));
	uint64_t value;

	if (moved != MAP_FAILED) {
		if (state.tags[part.first] &&
		    (read_word(moved, &value) || value != state.tags[part.first]))
			wrong("page %llu moved does not hold its tag",
			      (unsigned long long)part.first);
		munmap(moved, bytes_of(part));
	}
	map_again(part);
	verify(part.first);
}

void op_protect(void)
{
	struct pagespan_range part = some_part();

	mprotect(page_at(part.first), bytes_of(part), PROT_READ);
	if (!write_word(page_at(part.first) + 1, 1))
		wrong("page %llu can be written", (unsigned long long)part.first);
	verify(part.first);
	mprotect(page_at(part.first), bytes_of(part), PROT_READ | PROT_WRITE);
}

/* ---- other processes --------------------------------------------------------------------- */

/* A child that has the window too, and dies in the middle of it. */
void op_fork(void)
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

/* What a debugger sees of a page: whether it is what the model says. */
static bool is_traced_rightly(pid_t pid, uint64_t index)
{
	uint64_t word;

	if (ptrace(PTRACE_SEIZE, pid, NULL, NULL) || ptrace(PTRACE_INTERRUPT, pid, NULL, NULL) ||
	    waitpid(pid, NULL, __WALL) != pid)
		return true;
	errno = 0;
	word = ptrace(PTRACE_PEEKDATA, pid, page_at(index), NULL);
	return state.tags[index] ? !errno && word == state.tags[index] : errno == EIO;
}

/* By a child, whose death lets go of the process. */
void op_trace(void)
{
	uint64_t index = below(2) ? owned_index() : below(state.nr_pages);
	pid_t pid = fork();
	int status = 0;

	if (!pid)
		_exit(!is_traced_rightly(getppid(), index));
	while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (WIFEXITED(status) && WEXITSTATUS(status))
		wrong("a debugger sees something else in page %llu", (unsigned long long)index);
}

void op_read_from_outside(void)
{
	uint64_t index = below(2) ? owned_index() : below(state.nr_pages);
	uint64_t value = 0;
	struct iovec here = {&value, sizeof(value)};
	struct iovec there = {page_at(index), sizeof(value)};
	ssize_t ret;
	int fd;

	if (below(2)) {
		ret = process_vm_readv(getpid(), &here, 1, &there, 1, 0);
	} else {
		fd = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
		ret = pread(fd, &value, sizeof(value), (uintptr_t)page_at(index));
		close(fd);
	}
	if (state.tags[index] ? ret != sizeof(value) || value != state.tags[index] : ret != -1)
		wrong("reading page %llu from outside: %zd, %llx", (unsigned long long)index, ret,
		      (unsigned long long)value);
}

void op_write_from_outside(void)
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

/* ---- pages that are pinned ---------------------------------------------------------------- */

/* One page in a pipe, which stays its owner's until it is taken out. */
static struct hold {
	int ends[2];
	uint64_t owner;
	bool held;
} holds[HOLDS];

static void hold_page(struct hold *hold)
{
	uint64_t index = below(8) ? owned_index() : below(state.nr_pages);
	struct iovec page = {page_at(index), PAGE};
	ssize_t ret;

	if (pipe2(hold->ends, O_CLOEXEC | O_NONBLOCK))
		return;
	ret = vmsplice(hold->ends[1], &page, 1, 0);
	if (ret != (state.tags[index] ? (ssize_t)PAGE : -1))
		wrong("vmsplice of page %llu: %zd", (unsigned long long)index, ret);
	hold->held = ret > 0;
	hold->owner = state.owner;
	if (!hold->held) {
		close(hold->ends[0]);
		close(hold->ends[1]);
	}
}

static void release_page(struct hold *hold)
{
	uint64_t words[PAGE / sizeof(uint64_t)];

	if (read(hold->ends[0], words, sizeof(words)) != sizeof(words) ||
	    words[0] >> 32 != hold->owner || words[511] >> 32 != hold->owner)
		wrong("a page in a pipe shows %llx and %llx", (unsigned long long)words[0],
		      (unsigned long long)words[511]);
	close(hold->ends[0]);
	close(hold->ends[1]);
	hold->held = false;
}

void op_hold(void)
{
	struct hold *hold = &holds[below(HOLDS)];

	if (hold->held)
		release_page(hold);
	else
		hold_page(hold);
}
