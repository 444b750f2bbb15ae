// SPDX-License-Identifier: GPL-2.0-only
/*
 * fork() and PAGESPAN_SNAPSHOT: a child has what its parent had at that moment, and neither
 * sees what the other does afterwards.
 */
#define _GNU_SOURCE
#include <poll.h>

#include "harness.h"
#include "pagespan_test.h"

#define SPAN	40	/* pages */
#define BLOCK	512

/* Tells one process from the other: each step of a test is taken when it is its turn. */
struct turn {
	int to_child[2];
	int to_parent[2];
};

static void turn_init(struct turn *turn)
{
	if (pipe(turn->to_child) || pipe(turn->to_parent))
		abort();
}

static void give(int fd)
{
	if (write(fd, "", 1) != 1)
		_exit(99);
}

static void await(int fd)
{
	char byte;

	if (read(fd, &byte, 1) != 1)
		_exit(98);
}

static void fill(char *base, long first, long nr_pages, int byte)
{
	for (long i = first; i < first + nr_pages; i++)
		memset(base + i * PAGE, byte, PAGE);
}

static bool has(const char *base, long first, long nr_pages, int byte)
{
	for (long i = first; i < first + nr_pages; i++)
		for (unsigned int k = 0; k < PAGE; k += 64)
			if (base[i * PAGE + k] != (char)byte)
				return false;
	return true;
}

static int adopt(int fd, const char *base)
{
	long ret = ioctl(fd, PAGESPAN_ADOPT, (uintptr_t)base);

	return ret < 0 ? -errno : ret;
}

FIXTURE(snapshot)
{
	int fd;
	uint64_t nr_pages;
	char *base;
	long small;	/* SPAN pages that follow others */
	long block;	/* a megablock */
	struct turn turn;
};

FIXTURE_SETUP(snapshot)
{
	self->fd = client_open();
	ASSERT_LE(0, self->fd);
	self->nr_pages = client_info(self->fd).nr_pages;
	self->base = client_window(self->fd);
	ASSERT_NE(MAP_FAILED, self->base);
	self->block = client_alloc_ex(self->fd, BLOCK, BLOCK, 0, NULL);
	self->small = client_alloc(self->fd, SPAN);
	ASSERT_LE(0, self->block);
	ASSERT_LE(0, self->small);
	fill(self->base, self->block, BLOCK, 0x11);
	fill(self->base, self->small, SPAN, 0x22);
	turn_init(&self->turn);
}

FIXTURE_TEARDOWN(snapshot)
{
	close(self->fd);
	munmap(self->base, self->nr_pages * PAGE);
}

TEST_F(snapshot, child_has_what_the_parent_had)
{
	EXPECT_EQ(0, IN_CHILD({
		if (!has(self->base, self->block, BLOCK, 0x11) || !has(self->base, self->small, SPAN, 0x22))
			_exit(1);
	}));
	EXPECT_TRUE(has(self->base, self->block, BLOCK, 0x11));
}

TEST_F(snapshot, neither_sees_what_the_other_writes)
{
	struct turn *turn = &self->turn;
	pid_t pid = fork();
	int status;

	if (!pid) {
		if (self->base[self->block * PAGE] != 0x11)
			_exit(1);
		give(turn->to_parent[1]);
		await(turn->to_child[0]);
		if (!has(self->base, self->block, BLOCK, 0x11) ||
		    !has(self->base, self->small, SPAN, 0x22))
			_exit(2);
		fill(self->base, self->block, BLOCK, 0x33);
		fill(self->base, self->small, SPAN, 0x33);
		give(turn->to_parent[1]);
		await(turn->to_child[0]);
		if (!has(self->base, self->block, BLOCK, 0x33) ||
		    !has(self->base, self->small, SPAN, 0x33))
			_exit(3);
		_exit(0);
	}
	await(turn->to_parent[0]);
	fill(self->base, self->block, BLOCK, 0x44);
	fill(self->base, self->small, SPAN / 2, 0x44);
	give(turn->to_child[1]);
	await(turn->to_parent[0]);
	EXPECT_TRUE(has(self->base, self->block, BLOCK, 0x44));
	EXPECT_TRUE(has(self->base, self->small, SPAN / 2, 0x44));
	EXPECT_TRUE(has(self->base, self->small + SPAN / 2, SPAN / 2, 0x22));
	give(turn->to_child[1]);
	waitpid(pid, &status, 0);
	EXPECT_EQ(0, status);
}

TEST_F(snapshot, what_the_parent_frees_is_the_childs)
{
	struct turn *turn = &self->turn;
	pid_t pid = fork();
	int status;
	long again;

	if (!pid) {
		await(turn->to_child[0]);
		if (!has(self->base, self->block, BLOCK, 0x11) ||
		    !has(self->base, self->small, SPAN, 0x22))
			_exit(1);
		fill(self->base, self->block, BLOCK, 0x55);
		_exit(!has(self->base, self->block, BLOCK, 0x55));
	}
	EXPECT_EQ(0, client_free(self->fd, self->block, BLOCK));
	EXPECT_EQ(0, client_free(self->fd, self->small, 10));
	EXPECT_EQ(SIGBUS, touch(self->base + self->block * PAGE, -1));
	again = client_alloc_ex(self->fd, BLOCK, BLOCK, 0, NULL);
	if (again >= 0) {
		EXPECT_NE(self->block, again);
		fill(self->base, again, BLOCK, 0x66);
	}
	give(turn->to_child[1]);
	waitpid(pid, &status, 0);
	EXPECT_EQ(0, status);
	/* And with the child it is nobody's. */
	EXPECT_EQ(0, client_alloc_at(self->fd, self->block, BLOCK));
	EXPECT_TRUE(has(self->base, self->block, BLOCK, 0));
}

TEST_F(snapshot, grandchildren_have_it_too)
{
	EXPECT_EQ(0, IN_CHILD({
		fill(self->base, self->small, 5, 0x77);
		int status = IN_CHILD({
			if (!has(self->base, self->small, 5, 0x77) ||
			    !has(self->base, self->small + 5, SPAN - 5, 0x22) ||
			    !has(self->base, self->block, BLOCK, 0x11))
				_exit(1);
			fill(self->base, self->small, SPAN, 0x78);
			_exit(!has(self->base, self->small, SPAN, 0x78));
		});
		if (status)
			_exit(status);
		_exit(!has(self->base, self->small, 5, 0x77) + 4 * !has(self->base, self->small + 5, SPAN - 5, 0x22));
	}));
	EXPECT_TRUE(has(self->base, self->small, SPAN, 0x22));
}

TEST_F(snapshot, child_goes_on_by_itself)
{
	EXPECT_EQ(0, IN_CHILD({
		int fd = adopt(self->fd, self->base);
		long mine;

		if (fd < 0)
			_exit(1);
		if (adopt(self->fd, self->base) != -EBUSY)
			_exit(2);
		mine = client_alloc(fd, SPAN);
		if (mine < 0)
			_exit(3);
		if (mmap(self->base, self->nr_pages * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
			 fd, 0) != self->base)
			_exit(4);
		fill(self->base, mine, SPAN, 0x10);
		if (!has(self->base, mine, SPAN, 0x10) || !has(self->base, self->block, BLOCK, 0x11))
			_exit(5);
		if (client_free(fd, self->block, BLOCK) || client_free(fd, mine, SPAN))
			_exit(6);
		if (touch(self->base + self->block * PAGE, -1) != SIGBUS)
			_exit(7);
		fill(self->base, self->small, SPAN, 0x12);
		_exit(!has(self->base, self->small, SPAN, 0x12));
	}));
	EXPECT_TRUE(has(self->base, self->block, BLOCK, 0x11));
	EXPECT_TRUE(has(self->base, self->small, SPAN, 0x22));
}

TEST_F(snapshot, child_outlives_its_parent)
{
	struct turn *turn = &self->turn;
	char said = 0;

	EXPECT_EQ(0, IN_CHILD({
		int fd = client_open();
		char *base = client_window(fd);
		long span = client_alloc(fd, SPAN);

		fill(base, span, SPAN, 0x29);
		if (fork())
			_exit(0);
		usleep(200000);
		if (!has(base, span, SPAN, 0x29))
			_exit(1);
		fill(base, span, SPAN, 0x30);
		if (has(base, span, SPAN, 0x30))
			give(turn->to_parent[1]);
		_exit(0);
	}));
	close(turn->to_parent[1]);
	EXPECT_EQ(1, read(turn->to_parent[0], &said, 1));
}

/* The places of what the child has copied are free for everybody but the child. */
TEST_F(snapshot, childs_own_spans_never_lie_on_its_copies)
{
	struct turn *turn = &self->turn;
	pid_t pid = fork();
	int status;

	if (!pid) {
		int fd = adopt(self->fd, self->base);
		long span, some = 0;

		if (fd < 0)
			_exit(1);
		fill(self->base, self->small, SPAN, 0x51);
		for (int i = 0; i < BLOCK; i += 3)
			fill(self->base, self->block + i, 1, 0x52);
		give(turn->to_parent[1]);
		await(turn->to_child[0]);
		if (mmap(self->base, self->nr_pages * PAGE, PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_FIXED, fd, 0) != self->base)
			_exit(2);
		for (uint32_t nr = 64; nr; nr = nr > 1 ? nr / 8 : 0)
			while ((span = client_alloc(fd, nr)) >= 0) {
				fill(self->base, span, nr, 0x53);
				some++;
			}
		if (span != -ENOMEM || some < 100)
			_exit(3);
		if (!has(self->base, self->small, SPAN, 0x51))
			_exit(4);
		for (int i = 0; i < BLOCK; i++)
			if (!has(self->base, self->block + i, 1, i % 3 ? 0x11 : 0x52))
				_exit(5);
		if (client_info(fd).owned_pages != self->nr_pages)
			_exit(6);
		_exit(0);
	}
	await(turn->to_parent[0]);
	EXPECT_EQ(0, client_free(self->fd, self->small, SPAN));
	EXPECT_EQ(0, client_free(self->fd, self->block, BLOCK));
	give(turn->to_child[1]);
	waitpid(pid, &status, 0);
	EXPECT_EQ(0, status) TH_LOG("status %x", status);
}

TEST_F(snapshot, snapshot_shows_the_moment)
{
	int fd = ioctl(self->fd, PAGESPAN_SNAPSHOT, 0UL);
	char *then;

	ASSERT_LE(0, fd);
	then = mmap(NULL, self->nr_pages * PAGE, PROT_READ, MAP_SHARED, fd, 0);
	ASSERT_NE(MAP_FAILED, then);
	fill(self->base, self->block, BLOCK, 0x40);
	fill(self->base, self->small, SPAN, 0x41);
	EXPECT_TRUE(has(then, self->block, BLOCK, 0x11));
	EXPECT_TRUE(has(then, self->small, SPAN, 0x22));
	EXPECT_TRUE(has(self->base, self->block, BLOCK, 0x40));
	munmap(then, self->nr_pages * PAGE);
	close(fd);
	EXPECT_TRUE(has(self->base, self->small, SPAN, 0x41));
}

TEST_HARNESS_MAIN
