// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the kernel counts of mapped pages: in the process, in the system and for each
 * page. Whatever is mapped and unmapped, in whatever way, the counts come back to what
 * they were; what is only a little off would be found after a long time as memory that
 * is missing, or by a page that is given away while it is used. What each page
 * has when nobody owns it the module looks at itself, see pagespan_test.h.
 */
#define _GNU_SOURCE
#include <sys/ioctl.h>
#include <sys/uio.h>

#include "harness.h"
#include "pagespan_test.h"

#define MEGABLOCK	512
#define ROUNDS		16

/* Pages that others in the system may map meanwhile, and what is less than a round leaves. */
#define NOISE		256

FIXTURE(accounts)
{
	int fd;
	uint64_t nr_pages;
	char *window;
};

FIXTURE_SETUP(accounts)
{
	self->fd = client_open();
	ASSERT_LE(0, self->fd);
	self->nr_pages = client_info(self->fd).nr_pages;
	self->window = client_window(self->fd);
	ASSERT_NE(MAP_FAILED, self->window);
}

FIXTURE_TEARDOWN(accounts)
{
	munmap(self->window, self->nr_pages * PAGE);
	close(self->fd);
}

/* A number that stands behind a name in a file; -1 if it is not there. */
static long count_in(const char *path, const char *name)
{
	FILE *file = fopen(path, "r");
	char line[128];
	long count = -1;

	while (file && count < 0 && fgets(line, sizeof(line), file))
		if (!strncmp(line, name, strlen(name)))
			count = strtol(line + strlen(name), NULL, 10);
	if (file)
		fclose(file);
	return count;
}

/* Pages of files that this process has mapped. */
static long resident(void)
{
	return count_in("/proc/self/status", "RssFile:") * 1024 / PAGE;
}

static const char *const system_counts[] = {
	"nr_mapped ", "nr_file_pmdmapped ", "nr_shmem_pmdmapped ", "nr_dirty ", "nr_writeback ",
	"nr_mlock ", "nr_unevictable ",
};

static void read_system_counts(long *counts)
{
	FILE *refresh = fopen("/proc/sys/vm/stat_refresh", "w");

	/* What each CPU still has for itself is counted too. */
	if (refresh) {
		fputs("1", refresh);
		fclose(refresh);
	}
	for (size_t i = 0; i < ARRAY_SIZE(system_counts); i++)
		counts[i] = count_in("/proc/vmstat", system_counts[i]);
}

TEST_F(accounts, resident_pages_are_those_that_are_mapped)
{
	long before, huge, few;

	if (!pages_share_a_count())
		SKIP(return, "devmap entries are not counted before Linux 6.17");
	before = resident();
	huge = client_alloc_ex(self->fd, MEGABLOCK, MEGABLOCK, PAGESPAN_ALLOC_POPULATE,
			       self->window);
	ASSERT_LE(0, huge);
	EXPECT_EQ(before + MEGABLOCK, resident());
	few = client_alloc_ex(self->fd, 7, 1, PAGESPAN_ALLOC_POPULATE, self->window);
	ASSERT_LE(0, few);
	EXPECT_EQ(before + MEGABLOCK + 7, resident());
	ASSERT_EQ(0, client_free(self->fd, huge + 9, 1));
	EXPECT_EQ(before + 7, resident());
	EXPECT_EQ(0, touch(self->window + (huge + 8) * PAGE, 1));
	EXPECT_EQ(before + 8, resident());
	ASSERT_EQ(0, client_free(self->fd, huge, 9));
	ASSERT_EQ(0, client_free(self->fd, few, 7));
	EXPECT_EQ(before, resident());
}

/* All that can happen to the mapping of a megablock, one thing after the other. */
static bool go_through(int fd, char *window, long block)
{
	char *pages = window + block * PAGE;
	struct iovec one = { .iov_base = pages + 100 * PAGE, .iov_len = PAGE };
	struct pagespan_alloc_at at = {
		.size = sizeof(at),
		.flags = PAGESPAN_ALLOC_POPULATE,
		.first = block,
		.nr_pages = MEGABLOCK,
		.window = (uintptr_t)window,
	};
	static char data[PAGE];
	int ends[2];
	bool good;

	if (ioctl(fd, PAGESPAN_ALLOC_AT, &at) || pipe(ends))
		return false;
	memset(pages, 1, MEGABLOCK * PAGE);
	good = vmsplice(ends[1], &one, 1, 0) == PAGE && read(ends[0], data, PAGE) == PAGE;
	close(ends[0]);
	close(ends[1]);
	/* The entry is split, its page written through entries of 4 KiB, and a page goes. */
	good &= !mprotect(pages + 50 * PAGE, PAGE, PROT_READ) &&
		!mprotect(pages + 50 * PAGE, PAGE, PROT_READ | PROT_WRITE);
	memset(pages, 2, MEGABLOCK * PAGE);
	good &= !client_free(fd, block + 200, 3);
	memset(pages, 3, 200 * PAGE);
	good &= !madvise(pages, 100 * PAGE, MADV_DONTNEED) && !touch(pages, 4);
	return good && !client_free(fd, block, 200) &&
	       !client_free(fd, block + 203, MEGABLOCK - 203);
}

TEST_F(accounts, counts_of_the_system_come_back)
{
	long before[ARRAY_SIZE(system_counts)], after[ARRAY_SIZE(system_counts)];
	long block = client_alloc_ex(self->fd, MEGABLOCK, MEGABLOCK, 0, NULL);

	ASSERT_LE(0, block);
	ASSERT_EQ(0, client_free(self->fd, block, MEGABLOCK));
	read_system_counts(before);
	for (int round = 0; round < ROUNDS; round++)
		ASSERT_TRUE(go_through(self->fd, self->window, block));
	read_system_counts(after);
	for (size_t i = 0; i < ARRAY_SIZE(system_counts); i++) {
		EXPECT_GE(before[i] + NOISE, after[i])
			TH_LOG("%s", system_counts[i]);
		EXPECT_LE(before[i] - NOISE, after[i])
			TH_LOG("%s", system_counts[i]);
	}
}

/* Takes every free page, one by one; how many. */
static long take_all(int fd)
{
	static uint64_t pages[PAGESPAN_MAX_COUNT];
	long taken = 0, given;

	while ((given = client_alloc_bulk(fd, 1, PAGESPAN_MAX_COUNT, pages, 0)) > 0)
		taken += given;
	return taken;
}

/* To two clients, though its pages had one entry: what one frees does not wait for the other. */
TEST_F(accounts, free_megablock_that_was_mapped_whole_is_given_out_in_pages)
{
	static uint64_t pages[100];
	long block = client_alloc_ex(self->fd, MEGABLOCK, MEGABLOCK, PAGESPAN_ALLOC_POPULATE,
				     self->window);
	int other = client_open();
	char *theirs = client_window(other);

	ASSERT_LE(0, block);
	ASSERT_NE(MAP_FAILED, theirs);
	memset(self->window + block * PAGE, 5, MEGABLOCK * PAGE);
	ASSERT_LT(0, take_all(other));
	ASSERT_EQ(0, client_free(self->fd, block, MEGABLOCK));
	ASSERT_EQ(ARRAY_SIZE(pages), client_alloc_bulk(self->fd, 1, ARRAY_SIZE(pages), pages, 0));
	EXPECT_EQ(MEGABLOCK - ARRAY_SIZE(pages), take_all(other));
	for (int i = 0; i < ARRAY_SIZE(pages); i++) {
		ASSERT_GT(MEGABLOCK, pages[i] - block);
		EXPECT_EQ(0, touch(self->window + pages[i] * PAGE, 6));
	}
	for (long index = block; index < block + MEGABLOCK; index++)
		touch(theirs + index * PAGE, 7);
	for (int i = 0; i < ARRAY_SIZE(pages); i++)
		EXPECT_EQ(0, client_free_one(self->fd, pages[i]));
	EXPECT_EQ(0, client_info(self->fd).quarantined_pages);
	munmap(theirs, self->nr_pages * PAGE);
	close(other);
}

/* What a page has that somebody owned, when nobody does. */
TEST_F(accounts, free_pages_are_as_they_came)
{
	long block = client_alloc_ex(self->fd, MEGABLOCK, MEGABLOCK, 0, NULL);

	ASSERT_LE(0, block);
	ASSERT_EQ(0, client_free(self->fd, block, MEGABLOCK));
	ASSERT_TRUE(go_through(self->fd, self->window, block));
	EXPECT_TRUE(free_pages_are_as_they_came());
}

TEST_HARNESS_MAIN
