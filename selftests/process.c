// SPDX-License-Identifier: GPL-2.0-only
/*
 * The window as memory of a process: what locks it, moves it, looks into it from
 * outside, replaces it or dumps it. Windows themselves are tested by window.c.
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include "harness.h"
#include "pagespan_test.h"

#define SPAN		8
#define MEGABLOCK	512

/* A span in small mappings, and a whole megablock, in a large one where the pool has them. */
FIXTURE(process)
{
	int fd;
	uint64_t nr_pages, nr_free;
	char *base;
	long span, block;
	char *page, *huge;
};

FIXTURE_SETUP(process)
{
	self->fd = client_open();
	ASSERT_LE(0, self->fd);
	self->nr_pages = client_info(self->fd).nr_pages;
	self->nr_free = client_info(self->fd).free_pages;
	self->base = client_window(self->fd);
	ASSERT_NE(MAP_FAILED, self->base);
	self->span = client_alloc(self->fd, SPAN);
	self->block = client_alloc_ex(self->fd, MEGABLOCK, MEGABLOCK, PAGESPAN_ALLOC_POPULATE,
				      self->base);
	ASSERT_LE(0, self->span);
	ASSERT_LE(0, self->block);
	self->page = self->base + self->span * PAGE;
	self->huge = self->base + self->block * PAGE;
	memset(self->page, 0x61, SPAN * PAGE);
	memset(self->huge, 0x62, MEGABLOCK * PAGE);
}

/* Whatever was done to the mappings, a free gets every page back. */
FIXTURE_TEARDOWN(process)
{
	if (client_info(self->fd).owned_pages == SPAN + MEGABLOCK) {
		EXPECT_EQ(0, client_free(self->fd, self->span, SPAN));
		EXPECT_EQ(0, client_free(self->fd, self->block, MEGABLOCK));
		EXPECT_TRUE(EVENTUALLY(!client_info(self->fd).quarantined_pages));
		EXPECT_EQ(self->nr_free, client_info(self->fd).free_pages);
	}
	munmap(self->base, self->nr_pages * PAGE);
	close(self->fd);
}

static long faults(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return usage.ru_minflt + usage.ru_majflt;
}

/* A child that runs the statements, then waits until it is killed; its id. */
#define START_CHILD(...)						\
	({								\
		int ready_[2];						\
		char byte_;						\
		pid_t pid_;						\
									\
		if (pipe(ready_))					\
			abort();					\
		pid_ = fork();						\
		if (!pid_) {						\
			__VA_ARGS__;					\
			(void)!write(ready_[1], "", 1);			\
			for (;;)					\
				pause();				\
		}							\
		close(ready_[1]);					\
		if (read(ready_[0], &byte_, 1) != 1)			\
			pid_ = -1;					\
		close(ready_[0]);					\
		pid_;							\
	})

static int end_child(pid_t pid)
{
	int status;

	kill(pid, SIGKILL);
	return waitpid(pid, &status, 0) == pid ? 0 : -1;
}

/* The window of this client at the same place as in the parent, from which none is inherited. */
static void map_again(char *base, uint64_t nr_pages, int fd)
{
	if (mmap(base, nr_pages * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED_NOREPLACE,
		 fd, 0) != base)
		_exit(1);
}

/* ---- other processes look in --------------------------------------------- */

static ssize_t process_vm(pid_t pid, char *local, char *remote, size_t bytes, bool out)
{
	struct iovec here = { .iov_base = local, .iov_len = bytes };
	struct iovec there = { .iov_base = remote, .iov_len = bytes };

	return out ? process_vm_writev(pid, &here, 1, &there, 1, 0) :
		     process_vm_readv(pid, &here, 1, &there, 1, 0);
}

/* Another client's window here, this client's there; both ways. */
TEST_F(process, process_vm_readv_and_writev_move_between_two_windows)
{
	int other = client_open();
	char *window = client_window(other);
	long span = client_alloc(other, 3);
	char *local = window + span * PAGE;
	pid_t child;

	ASSERT_LE(0, span);
	ASSERT_NE(MAP_FAILED, window);
	child = START_CHILD(map_again(self->base, self->nr_pages, self->fd));
	ASSERT_LT(0, child);
	ASSERT_EQ(3 * PAGE, process_vm(child, local, self->page, 3 * PAGE, false));
	EXPECT_TRUE(pages_hold(local, 3, 0x61));
	memset(local, 0x63, 3 * PAGE);
	ASSERT_EQ(3 * PAGE, process_vm(child, local, self->huge + 5 * PAGE, 3 * PAGE, true));
	EXPECT_TRUE(pages_hold(self->huge, 5, 0x62));
	EXPECT_TRUE(pages_hold(self->huge + 5 * PAGE, 3, 0x63));
	EXPECT_TRUE(pages_hold(self->huge + 8 * PAGE, MEGABLOCK - 8, 0x62));
	EXPECT_EQ(0, end_child(child));
	munmap(window, self->nr_pages * PAGE);
	close(other);
}

TEST_F(process, process_vm_readv_of_pages_not_owned_is_efault)
{
	char *unowned = self->base + (self->nr_pages - 1) * PAGE;
	static char copy[PAGE];
	pid_t child = START_CHILD(map_again(self->base, self->nr_pages, self->fd));

	ASSERT_LT(0, child);
	EXPECT_EQ(-1, process_vm(child, copy, unowned, PAGE, false));
	EXPECT_EQ(EFAULT, errno);
	EXPECT_EQ(0, end_child(child));
}

TEST_F(process, debugger_peeks_and_pokes)
{
	char *unowned = self->base + (self->nr_pages - 1) * PAGE;
	pid_t child = START_CHILD(map_again(self->base, self->nr_pages, self->fd));
	int status;

	ASSERT_LT(0, child);
	ASSERT_EQ(0, ptrace(PTRACE_ATTACH, child, NULL, NULL));
	ASSERT_EQ(child, waitpid(child, &status, 0));
	errno = 0;
	EXPECT_EQ(0x6161616161616161, ptrace(PTRACE_PEEKDATA, child, self->page + 16, NULL));
	EXPECT_EQ(0x6262626262626262, ptrace(PTRACE_PEEKDATA, child, self->huge + 16, NULL));
	EXPECT_EQ(0, errno);
	EXPECT_EQ(0, ptrace(PTRACE_POKEDATA, child, self->page + 16, 0x1234));
	EXPECT_EQ(0x1234, *(uint64_t *)(self->page + 16));
	EXPECT_EQ(-1, ptrace(PTRACE_PEEKDATA, child, unowned, NULL));
	EXPECT_EQ(EIO, errno);
	EXPECT_EQ(-1, ptrace(PTRACE_POKEDATA, child, unowned, 1));
	EXPECT_EQ(EIO, errno);
	EXPECT_EQ(0, end_child(child));
}

TEST_F(process, vmsplice_shares_pages_with_a_pipe)
{
	struct iovec pages[2] = {
		{ .iov_base = self->page, .iov_len = 2 * PAGE },
		{ .iov_base = self->huge + 100 * PAGE + 10, .iov_len = PAGE },
	};
	static char data[3 * PAGE];
	int ends[2];

	ASSERT_EQ(0, pipe(ends));
	ASSERT_EQ(3 * PAGE, vmsplice(ends[1], pages, 2, 0));
	/* By reference, not by value. */
	self->page[7] = 0x64;
	ASSERT_EQ(3 * PAGE, read(ends[0], data, sizeof(data)));
	EXPECT_EQ(0x64, data[7]);
	EXPECT_EQ(0x61, data[8]);
	EXPECT_TRUE(pages_hold(data + 2 * PAGE, 1, 0x62));

	/* And the other way: what the pipe holds is copied in. */
	ASSERT_EQ(PAGE, write(ends[1], data + 2 * PAGE, PAGE));
	pages[0].iov_len = PAGE;
	ASSERT_EQ(PAGE, vmsplice(ends[0], pages, 1, 0));
	EXPECT_TRUE(pages_hold(self->page, 1, 0x62));
	close(ends[0]);
	close(ends[1]);
}

/* ---- locking and moving -------------------------------------------------- */

/* The pages never leave memory anyway; what is left of locking is that they get mapped. */
TEST_F(process, mlock_maps_what_is_owned_and_keeps_nothing_from_being_freed)
{
	long span = client_alloc(self->fd, 64);
	char *pages = self->base + span * PAGE;
	long before;

	ASSERT_LE(0, span);
	ASSERT_EQ(0, mlock(pages, 64 * PAGE));
	before = faults();
	for (int i = 0; i < 64; i++)
		pages[i * PAGE] = 1;
	EXPECT_EQ(before, faults());
	ASSERT_EQ(0, client_free(self->fd, span, 64));
	EXPECT_EQ(0, client_info(self->fd).quarantined_pages);
	EXPECT_EQ(SIGBUS, touch(pages, -1));
	EXPECT_EQ(-1, mlock(pages, 64 * PAGE));
	EXPECT_EQ(ENOMEM, errno);
	EXPECT_EQ(0, munlock(pages, 64 * PAGE));
}

TEST_F(process, mlockall_takes_a_window_as_it_is)
{
	EXPECT_EQ(0, IN_CHILD({
		char *window;

		map_again(self->base, self->nr_pages, self->fd);
		if (mlockall(MCL_CURRENT | MCL_FUTURE))
			_exit(2);
		window = client_window(self->fd);
		if (window == MAP_FAILED || !pages_hold(window + self->span * PAGE, SPAN, 0x61))
			_exit(3);
		if (touch(window + (self->nr_pages - 1) * PAGE, -1) != SIGBUS)
			_exit(4);
	}));
}

TEST_F(process, huge_mapping_can_be_moved)
{
	size_t bytes = MEGABLOCK * PAGE;
	char *room = mmap(NULL, 2 * bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *targets[2] = { (char *)(((uintptr_t)room + bytes - 1) & -bytes), NULL };
	char *from = self->huge;

	/* To a place as well aligned, and to one that is not. */
	ASSERT_NE(MAP_FAILED, room);
	targets[1] = mmap(NULL, bytes + PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, targets[1]);
	targets[1] += (uintptr_t)targets[1] % bytes ? 0 : PAGE;
	for (int i = 0; i < 2; i++) {
		ASSERT_EQ(targets[i], mremap(from, bytes, bytes, MREMAP_MAYMOVE | MREMAP_FIXED,
					     targets[i]));
		EXPECT_EQ(SIGSEGV, touch(from, -1));
		EXPECT_TRUE(pages_hold(targets[i], MEGABLOCK, 0x62));
		from = targets[i];
	}
	ASSERT_EQ(0, client_free(self->fd, self->block, MEGABLOCK));
	EXPECT_EQ(SIGBUS, touch(from, -1));
	EXPECT_EQ(SIGBUS, touch(from + bytes - 1, -1));
	munmap(from, bytes);
}

TEST_F(process, mapping_that_mremap_shrinks_keeps_the_rest)
{
	char *tail = self->huge + 100 * PAGE;

	ASSERT_EQ(self->huge, mremap(self->huge, MEGABLOCK * PAGE, 100 * PAGE, 0));
	EXPECT_TRUE(pages_hold(self->huge, 100, 0x62));
	EXPECT_EQ(SIGSEGV, touch(tail, -1));
	/* Nor has anything been freed. */
	EXPECT_EQ(SPAN + MEGABLOCK, client_info(self->fd).owned_pages);
	ASSERT_EQ(tail, mmap(tail, (MEGABLOCK - 100) * PAGE, PROT_READ | PROT_WRITE,
			     MAP_SHARED | MAP_FIXED_NOREPLACE, self->fd,
			     (self->block + 100) * PAGE));
	EXPECT_TRUE(pages_hold(self->huge, MEGABLOCK, 0x62));
}

TEST_F(process, window_is_not_doubled_by_mremap)
{
	EXPECT_EQ(MAP_FAILED, mremap(self->page, 0, PAGE, MREMAP_MAYMOVE));
	EXPECT_EQ(EFAULT, errno);
	EXPECT_EQ(MAP_FAILED, mremap(self->page, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_DONTUNMAP,
				     NULL));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_TRUE(pages_hold(self->page, SPAN, 0x61));
}

/* Moves a part of a mapping to other pages; it must not move out of the pool. */
TEST_F(process, remap_file_pages_stays_in_the_pool)
{
	ASSERT_EQ(0, remap_file_pages(self->page + PAGE, PAGE, 0, self->block, 0));
	EXPECT_TRUE(pages_hold(self->page + PAGE, 1, 0x62));
	ASSERT_EQ(0, client_free(self->fd, self->block, MEGABLOCK));
	EXPECT_EQ(SIGBUS, touch(self->page + PAGE, -1));
	EXPECT_EQ(-1, remap_file_pages(self->page, PAGE, 0, self->nr_pages, 0));
	EXPECT_EQ(-1, remap_file_pages(self->page + 2 * PAGE, 2 * PAGE, 0, self->nr_pages - 1, 0));
	EXPECT_EQ(-1, remap_file_pages(self->page + 4 * PAGE, PAGE, 0, (1UL << 51) - 1, 0));
}

TEST_F(process, partial_munmap_of_a_huge_mapping_leaves_the_rest)
{
	char *hole = self->huge + 17 * PAGE;

	ASSERT_EQ(0, munmap(hole, 3 * PAGE));
	EXPECT_EQ(SIGSEGV, touch(hole, -1));
	EXPECT_TRUE(pages_hold(self->huge, 17, 0x62));
	EXPECT_TRUE(pages_hold(hole + 3 * PAGE, MEGABLOCK - 20, 0x62));
	ASSERT_EQ(hole, mmap(hole, 3 * PAGE, PROT_READ | PROT_WRITE,
			     MAP_SHARED | MAP_FIXED_NOREPLACE, self->fd,
			     (self->block + 17) * PAGE));
	EXPECT_TRUE(pages_hold(self->huge, MEGABLOCK, 0x62));
}

/* There is no file behind that could lag behind. */
TEST_F(process, msync_succeeds)
{
	EXPECT_EQ(0, msync(self->page, SPAN * PAGE, MS_SYNC));
	EXPECT_EQ(0, msync(self->huge, MEGABLOCK * PAGE, MS_SYNC | MS_INVALIDATE));
	EXPECT_TRUE(pages_hold(self->huge, MEGABLOCK, 0x62));
}

/* ---- fork, exec, death --------------------------------------------------- */

TEST_F(process, death_of_a_child_returns_nothing_of_its_parents)
{
	pid_t child = START_CHILD({
		map_again(self->base, self->nr_pages, self->fd);
		self->page[0] = 0x65;
	});

	ASSERT_LT(0, child);
	EXPECT_EQ(0, end_child(child));
	EXPECT_EQ(SPAN + MEGABLOCK, client_info(self->fd).owned_pages);
	EXPECT_EQ(0x65, self->page[0]);
	EXPECT_TRUE(pages_hold(self->huge, MEGABLOCK, 0x62));
}

/* Pages are shared, never copied on write: also by what a process has pinned and no longer maps. */
TEST_F(process, window_that_a_child_inherits_is_shared_with_it_and_its_pins)
{
	struct iovec pinned = { .iov_base = self->huge + 7 * PAGE, .iov_len = PAGE };
	static char data[PAGE];
	int ends[2];
	pid_t child;

	ASSERT_EQ(0, pipe(ends));
	ASSERT_EQ(0, madvise(self->page, SPAN * PAGE, MADV_DOFORK));
	ASSERT_EQ(0, madvise(self->huge, MEGABLOCK * PAGE, MADV_DOFORK));
	child = START_CHILD({
		if (!pages_hold(self->page, SPAN, 0x61) || !pages_hold(self->huge, MEGABLOCK, 0x62))
			_exit(1);
		if (vmsplice(ends[1], &pinned, 1, 0) != PAGE || munmap(pinned.iov_base, PAGE))
			_exit(2);
		self->page[0] = 0x68;
	});
	ASSERT_LT(0, child);
	EXPECT_EQ(0x68, self->page[0]);
	memset(pinned.iov_base, 0x69, PAGE);
	ASSERT_EQ(PAGE, read(ends[0], data, PAGE));
	EXPECT_TRUE(pages_hold(data, 1, 0x69));
	EXPECT_EQ(0, end_child(child));
	EXPECT_TRUE(pages_hold(pinned.iov_base, 1, 0x69));
	close(ends[0]);
	close(ends[1]);
}

static bool is_called(pid_t pid, const char *name)
{
	char path[64], line[64] = "";
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/comm", pid);
	file = fopen(path, "r");
	if (!file)
		return false;
	(void)!fgets(line, sizeof(line), file);
	fclose(file);
	line[strcspn(line, "\n")] = 0;
	return !strcmp(line, name);
}

/* Whether a process that owns 100 pages and becomes a shell then owns as many as expected. */
static bool exec_keeps(uint64_t expected, int observer, int flags)
{
	uint64_t nr_free = client_info(observer).free_pages;
	int input[2];
	bool kept;
	pid_t pid;

	if (pipe2(input, O_CLOEXEC))
		abort();
	pid = fork();
	if (!pid) {
		int fd = open("/dev/pagespan", O_RDWR | flags);
		char *window = client_window(fd);
		long span = client_alloc(fd, 100);

		memset(window + span * PAGE, 0x66, 100 * PAGE);
		dup2(input[0], STDIN_FILENO);
		execl("/bin/sh", "sh", "-c", "read line", NULL);
		_exit(1);
	}
	close(input[0]);
	kept = EVENTUALLY(is_called(pid, "sh")) &&
	       EVENTUALLY(client_info(observer).free_pages == nr_free - expected);
	close(input[1]);
	waitpid(pid, NULL, 0);
	return kept;
}

TEST_F(process, exec_returns_what_a_close_on_exec_descriptor_owned)
{
	EXPECT_TRUE(exec_keeps(0, self->fd, O_CLOEXEC));
}

TEST_F(process, exec_keeps_what_an_inherited_descriptor_owns)
{
	EXPECT_TRUE(exec_keeps(100, self->fd, 0));
	EXPECT_EQ(SPAN + MEGABLOCK, client_info(self->fd).owned_pages);
}

/* ---- core dumps ---------------------------------------------------------- */

#define CORE_PATTERN	"/proc/sys/kernel/core_pattern"

static bool file_set(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);
	bool done = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

	close(fd);
	return done;
}

/* Whether a file holds a page or more of nothing but a byte. */
static bool file_holds_page_of(const char *path, char byte)
{
	FILE *file = fopen(path, "r");
	size_t length = 0;
	int next;

	if (!file)
		return false;
	while (length < PAGE && (next = getc_unlocked(file)) != EOF)
		length = (char)next == byte ? length + 1 : 0;
	fclose(file);
	return length == PAGE;
}

TEST_F(process, core_dump_leaves_the_window_out)
{
	const char *directory = getenv("TMPDIR") ?: "/tmp";
	char pattern[4096], core[64], old[256] = "";
	struct stat status;
	int fd, how;
	pid_t pid;

	fd = open(CORE_PATTERN, O_RDONLY | O_CLOEXEC);
	(void)!read(fd, old, sizeof(old) - 1);
	close(fd);
	snprintf(pattern, sizeof(pattern), "%s/pagespan-core-%d", directory, getpid());
	if (strlen(pattern) >= 128 || !file_set(CORE_PATTERN, pattern))
		SKIP(return, "cannot say where cores go");
	/* The kernel appends the process if core_uses_pid says so. */
	pid = fork();
	if (!pid) {
		struct rlimit unlimited = { RLIM_INFINITY, RLIM_INFINITY };
		char *heap;

		map_again(self->base, self->nr_pages, self->fd);
		heap = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			    -1, 0);
		memset(heap, 0x67, 4 * PAGE);
		if (!pages_hold(self->page, SPAN, 0x61) || !pages_hold(self->huge, MEGABLOCK, 0x62))
			_exit(1);
		/* Not even if asked for: by an advice, or with all that is mapped of files. */
		if (!madvise(self->page, PAGE, MADV_DODUMP) || errno != EINVAL)
			_exit(2);
		if (!file_set("/proc/self/coredump_filter", "0x1ff"))
			_exit(3);
		setrlimit(RLIMIT_CORE, &unlimited);
		signal(SIGABRT, SIG_DFL);
		abort();
	}
	waitpid(pid, &how, 0);
	file_set(CORE_PATTERN, old);
	snprintf(core, sizeof(core), ".%d", pid);
	if (stat(pattern, &status))
		strncat(pattern, core, sizeof(pattern) - strlen(pattern) - 1);
	ASSERT_TRUE(WIFSIGNALED(how)) TH_LOG("exit status %d", WEXITSTATUS(how));
	EXPECT_TRUE(WCOREDUMP(how));
	EXPECT_TRUE(file_holds_page_of(pattern, 0x67));
	EXPECT_FALSE(file_holds_page_of(pattern, 0x61));
	EXPECT_FALSE(file_holds_page_of(pattern, 0x62));
	unlink(pattern);
}

TEST_HARNESS_MAIN
