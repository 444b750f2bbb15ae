// SPDX-License-Identifier: GPL-2.0-only
/* The window: what may be mapped, what may be touched, and that a free reaches every mapping. */
#define _GNU_SOURCE
#include <sys/uio.h>

#include "harness.h"
#include "pagespan_test.h"

FIXTURE(window)
{
	int fd;
	uint64_t nr_pages;
	char *base;
	long span;
	char *page;
};

FIXTURE_SETUP(window)
{
	self->fd = client_open();
	ASSERT_LE(0, self->fd);
	self->nr_pages = client_info(self->fd).nr_pages;
	self->base = client_window(self->fd);
	ASSERT_NE(MAP_FAILED, self->base);
	self->span = client_alloc(self->fd, 8);
	ASSERT_LE(0, self->span);
	self->page = self->base + self->span * PAGE;
}

FIXTURE_TEARDOWN(window)
{
	munmap(self->base, self->nr_pages * PAGE);
	close(self->fd);
}

static void *map(int fd, uint64_t nr_pages, int prot, int flags, uint64_t index)
{
	return mmap(NULL, nr_pages * PAGE, prot, flags, fd, index * PAGE);
}

TEST_F(window, private_mapping_is_einval)
{
	EXPECT_EQ(MAP_FAILED, map(self->fd, 1, PROT_READ | PROT_WRITE, MAP_PRIVATE, 0));
	EXPECT_EQ(EINVAL, errno);
}

TEST_F(window, executable_mapping_is_eacces)
{
	EXPECT_EQ(MAP_FAILED, map(self->fd, 1, PROT_READ | PROT_EXEC, MAP_SHARED, 0));
	EXPECT_EQ(EACCES, errno);
	EXPECT_EQ(-1, mprotect(self->page, PAGE, PROT_READ | PROT_EXEC));
	EXPECT_EQ(EACCES, errno);
}

TEST_F(window, mapping_that_leaves_the_pool_is_einval)
{
	static const uint64_t far[] = { 1ULL << 28, 1ULL << 40, (1ULL << 51) - 1 };

	EXPECT_EQ(MAP_FAILED, map(self->fd, self->nr_pages + 1, PROT_READ, MAP_SHARED, 0));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(MAP_FAILED, map(self->fd, 2, PROT_READ, MAP_SHARED, self->nr_pages - 1));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(MAP_FAILED, map(self->fd, 1, PROT_READ, MAP_SHARED, self->nr_pages));
	EXPECT_EQ(EINVAL, errno);
	for (size_t i = 0; i < ARRAY_SIZE(far); i++)
		EXPECT_EQ(MAP_FAILED, map(self->fd, 1, PROT_READ, MAP_SHARED, far[i]));
}

TEST_F(window, offset_is_page_index)
{
	char *other = map(self->fd, 2, PROT_READ | PROT_WRITE, MAP_SHARED, self->span + 3);

	ASSERT_NE(MAP_FAILED, other);
	self->page[3 * PAGE + 7] = 0x42;
	EXPECT_EQ(0x42, other[7]);
	other[PAGE] = 0x43;
	EXPECT_EQ(0x43, self->page[4 * PAGE]);
	munmap(other, 2 * PAGE);
}

TEST_F(window, page_not_owned_raises_sigbus)
{
	long gap = client_alloc(self->fd, 1);

	ASSERT_LE(0, gap);
	ASSERT_EQ(0, client_free(self->fd, gap, 1));
	EXPECT_EQ(SIGBUS, touch(self->base + gap * PAGE, -1));
	EXPECT_EQ(SIGBUS, touch(self->base + gap * PAGE, 1));
	EXPECT_EQ(SIGBUS, touch(self->base + (self->nr_pages - 1) * PAGE, -1));
}

TEST_F(window, freed_page_is_unmapped_before_free_returns)
{
	memset(self->page, 0x21, 8 * PAGE);
	ASSERT_EQ(0, client_free(self->fd, self->span + 2, 1));
	EXPECT_EQ(SIGBUS, touch(self->page + 2 * PAGE, -1));
	EXPECT_TRUE(pages_hold(self->page, 2, 0x21));
	EXPECT_TRUE(pages_hold(self->page + 3 * PAGE, 5, 0x21));
}

TEST_F(window, free_reaches_every_mapping_of_the_client)
{
	char *second = map(self->fd, 8, PROT_READ, MAP_SHARED, self->span);

	ASSERT_NE(MAP_FAILED, second);
	ASSERT_EQ(0, touch(self->page, 1));
	ASSERT_EQ(0, touch(second, -1));
	ASSERT_EQ(0, client_free(self->fd, self->span, 1));
	EXPECT_EQ(SIGBUS, touch(self->page, -1));
	EXPECT_EQ(SIGBUS, touch(second, -1));
	EXPECT_EQ(0, touch(second + PAGE, -1));
}

/* Another client owns the page next: the stale mapping must not show it. */
TEST_F(window, freed_page_does_not_show_its_next_owner)
{
	int other = client_open();
	char *window = client_window(other);
	static uint64_t firsts[PAGESPAN_MAX_COUNT];

	ASSERT_EQ(0, touch(self->page, 1));
	ASSERT_EQ(0, client_free(self->fd, self->span, 8));
	while (client_alloc_bulk(other, 1, PAGESPAN_MAX_COUNT, firsts, 0) > 0)
		;
	EXPECT_EQ(0, touch(window + self->span * PAGE, 0x55));
	EXPECT_EQ(SIGBUS, touch(self->page, -1));
	close(other);
	munmap(window, self->nr_pages * PAGE);
}

TEST_F(window, fork_does_not_inherit_the_window)
{
	ASSERT_EQ(0, touch(self->page, 1));
	EXPECT_EQ(SIGSEGV, IN_CHILD(_exit(touch(self->page, -1))));
	EXPECT_EQ(0, touch(self->page, 2));
}

TEST_F(window, free_reaches_a_child_that_inherited_the_window_after_all)
{
	int to_child[2], to_parent[2];
	char byte = 0;
	int status;
	pid_t pid;

	ASSERT_EQ(0, pipe(to_child));
	ASSERT_EQ(0, pipe(to_parent));
	ASSERT_EQ(0, leave_to_children(self->page, 8 * PAGE));
	ASSERT_EQ(0, touch(self->page, 9));
	pid = fork();
	if (!pid) {
		int first = inherit(self->fd, self->page, 8 * PAGE, self->span) ?
			    touch(self->page, -1) : -1;

		(void)!write(to_parent[1], &byte, 1);
		(void)!read(to_child[0], &byte, 1);
		_exit(!first && touch(self->page, -1) == SIGBUS ? 0 : 1);
	}
	ASSERT_EQ(1, read(to_parent[0], &byte, 1));
	ASSERT_EQ(0, client_free(self->fd, self->span, 8));
	ASSERT_EQ(1, write(to_child[1], &byte, 1));
	waitpid(pid, &status, 0);
	EXPECT_EQ(0, status);
}

TEST_F(window, partial_munmap_leaves_the_rest)
{
	memset(self->page, 0x31, 8 * PAGE);
	ASSERT_EQ(0, munmap(self->page + 2 * PAGE, 2 * PAGE));
	EXPECT_EQ(SIGSEGV, touch(self->page + 2 * PAGE, -1));
	EXPECT_TRUE(pages_hold(self->page, 2, 0x31));
	EXPECT_TRUE(pages_hold(self->page + 4 * PAGE, 4, 0x31));
	ASSERT_EQ(self->page + 2 * PAGE,
		  mmap(self->page + 2 * PAGE, 2 * PAGE, PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_FIXED, self->fd, (self->span + 2) * PAGE));
	EXPECT_TRUE(pages_hold(self->page, 8, 0x31));
}

TEST_F(window, mremap_moves_but_does_not_grow)
{
	char *small = map(self->fd, 2, PROT_READ | PROT_WRITE, MAP_SHARED, self->span);
	char *target = mmap(NULL, 2 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	ASSERT_NE(MAP_FAILED, small);
	small[PAGE] = 0x66;
	EXPECT_EQ(MAP_FAILED, mremap(small, 2 * PAGE, 4 * PAGE, MREMAP_MAYMOVE));
	EXPECT_EQ(EFAULT, errno);
	ASSERT_EQ(target, mremap(small, 2 * PAGE, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, target));
	EXPECT_EQ(0x66, target[PAGE]);
	ASSERT_EQ(0, client_free(self->fd, self->span + 1, 1));
	EXPECT_EQ(SIGBUS, touch(target + PAGE, -1));
}

TEST_F(window, mprotect_is_obeyed)
{
	ASSERT_EQ(0, touch(self->page, 1));
	ASSERT_EQ(0, mprotect(self->page, PAGE, PROT_READ));
	EXPECT_EQ(0, touch(self->page, -1));
	EXPECT_EQ(SIGSEGV, touch(self->page, 1));
	ASSERT_EQ(0, mprotect(self->page, PAGE, PROT_NONE));
	EXPECT_EQ(SIGSEGV, touch(self->page, -1));
	ASSERT_EQ(0, mprotect(self->page, PAGE, PROT_READ | PROT_WRITE));
	EXPECT_EQ(0, touch(self->page, 1));
}

TEST_F(window, read_only_descriptor_gives_no_writable_window)
{
	int fd = open("/dev/pagespan", O_RDONLY | O_CLOEXEC);

	ASSERT_LE(0, fd);
	EXPECT_EQ(MAP_FAILED, map(fd, 1, PROT_READ | PROT_WRITE, MAP_SHARED, 0));
	EXPECT_EQ(EACCES, errno);
	close(fd);
}

TEST_F(window, discarding_advice_keeps_the_data)
{
	memset(self->page, 0x19, 8 * PAGE);
	EXPECT_EQ(0, madvise(self->page, 8 * PAGE, MADV_DONTNEED));
	EXPECT_TRUE(pages_hold(self->page, 8, 0x19));
	EXPECT_EQ(-1, madvise(self->page, 8 * PAGE, MADV_REMOVE));
}

/* The kernel pins the pages as it pins any memory of a process. */
TEST_F(window, another_process_reads_pages_through_process_vm_readv)
{
	pid_t parent = getpid();

	memset(self->page, 0x47, 2 * PAGE);
	EXPECT_EQ(0, IN_CHILD({
		static char copy[2 * PAGE];
		struct iovec local = { .iov_base = copy, .iov_len = sizeof(copy) };
		struct iovec remote = { .iov_base = self->page, .iov_len = sizeof(copy) };

		if (process_vm_readv(parent, &local, 1, &remote, 1, 0) != sizeof(copy))
			_exit(1);
		_exit(pages_hold(copy, 2, 0x47) ? 0 : 2);
	}));
}

TEST_HARNESS_MAIN
