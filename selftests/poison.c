// SPDX-License-Identifier: GPL-2.0-only
/*
 * Broken memory: its owner gets SIGBUS for the one page, and nobody ever gets the page again.
 * What breaks here stays broken until reboot, so it runs on a machine of its own, see poison.sh.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <sys/uio.h>

#include "harness.h"
#include "poison.h"
#include "random.h"

FIXTURE(poison)
{
	int fd, other;
	uint64_t nr_pages;
	char *base;
	long poisoned;		/* pages, before the test */
	long events;
};

/* How the page breaks. */
FIXTURE_VARIANT(poison)
{
	bool by_address;
};

FIXTURE_VARIANT_ADD(poison, madvise)
{
	.by_address = false,
};

FIXTURE_VARIANT_ADD(poison, hard_offline)
{
	.by_address = true,
};

FIXTURE_SETUP(poison)
{
	self->fd = client_open();
	self->other = client_open();
	ASSERT_LE(0, self->fd);
	ASSERT_LE(0, self->other);
	self->nr_pages = client_info(self->fd).nr_pages;
	self->base = client_window(self->fd);
	ASSERT_NE(MAP_FAILED, self->base);
	self->poisoned = pool_figure("poisoned_pages");
	self->events = pool_figure("events/poison");
}

static bool nothing_is_lost(int fd)
{
	struct pagespan_info info = client_info(fd);

	return info.free_pages + pool_figure("poisoned_pages") == info.pool_pages;
}

FIXTURE_TEARDOWN(poison)
{
	munmap(self->base, self->nr_pages * PAGE);
	close(self->fd);
	close(self->other);
	self->fd = client_open();
	EXPECT_TRUE(EVENTUALLY(nothing_is_lost(self->fd)));
	EXPECT_EQ(0, pool_figure("quarantined_pages"));
	close(self->fd);
}

/* Breaks an owned page. What the kernel answers depends on the source: most it cannot help. */
static void break_page(int fd, char *base, uint64_t index, bool by_address)
{
	if (by_address)
		offline_page("hard", phys_of(fd, index));
	else
		madvise(base + index * PAGE, PAGE, MADV_HWPOISON);
}

#define breaks(index)	break_page(self->fd, self->base, index, variant->by_address)

/* ---- what its owner sees ------------------------------------------------- */

static sigjmp_buf poison_jump;
static siginfo_t poison_info;

static void poison_handler(int signal, siginfo_t *info, void *context)
{
	poison_info = *info;
	siglongjmp(poison_jump, 1);
}

/* Reads a byte, or writes it; whether that raised a SIGBUS that tells of this page alone. */
static bool raises_poison(volatile char *byte, bool write)
{
	struct sigaction action = { .sa_sigaction = poison_handler, .sa_flags = SA_SIGINFO };
	struct sigaction old;
	bool raised = true;

	sigaction(SIGBUS, &action, &old);
	if (!sigsetjmp(poison_jump, 1)) {
		if (write)
			*byte = 1;
		else
			(void)*byte;
		raised = false;
	}
	sigaction(SIGBUS, &old, NULL);
	return raised && poison_info.si_code == BUS_MCEERR_AR && poison_info.si_addr_lsb == 12 &&
	       ((uintptr_t)poison_info.si_addr & -PAGE) == ((uintptr_t)byte & -PAGE);
}

TEST_F(poison, owner_gets_sigbus_for_that_page_alone)
{
	long span = client_alloc(self->fd, 8);
	char *page = self->base + span * PAGE;
	uint64_t nr_pages = 1;

	ASSERT_LE(0, span);
	memset(page, 0x31, 8 * PAGE);
	breaks(span + 3);
	EXPECT_EQ(PAGESPAN_QUERY_OWNED | PAGESPAN_QUERY_POISONED,
		  client_query(self->fd, span + 3, &nr_pages));
	EXPECT_TRUE(EVENTUALLY(raises_poison(page + 3 * PAGE + 5, false)));
	EXPECT_TRUE(raises_poison(page + 3 * PAGE + 5, true));
	EXPECT_TRUE(pages_hold(page, 3, 0x31));
	EXPECT_TRUE(pages_hold(page + 4 * PAGE, 4, 0x31));
	memset(page + 4 * PAGE, 0x32, PAGE);
	EXPECT_TRUE(pages_hold(page + 4 * PAGE, 1, 0x32));
	EXPECT_EQ(self->poisoned + 1, pool_figure("poisoned_pages"));
	EXPECT_TRUE(EVENTUALLY(pool_figure("events/poison") == self->events + 1));
}

/* In whatever way the megablock is mapped, before and afterwards. */
TEST_F(poison, rest_of_a_megablock_stays_usable)
{
	char *base = self->base;
	uint64_t nr_pages = 512;
	char *megablock;
	long span;

	span = client_alloc_ex(self->fd, 512, 512, PAGESPAN_ALLOC_POPULATE, base);
	ASSERT_LE(0, span);
	megablock = base + span * PAGE;
	memset(megablock, 0x33, 512 * PAGE);
	breaks(span + 100);
	EXPECT_TRUE(EVENTUALLY(raises_poison(megablock + 100 * PAGE, false)));
	EXPECT_TRUE(pages_hold(megablock, 100, 0x33));
	EXPECT_TRUE(pages_hold(megablock + 101 * PAGE, 411, 0x33));
	memset(megablock + 101 * PAGE, 0x34, 411 * PAGE);

	EXPECT_EQ(PAGESPAN_QUERY_OWNED, client_query(self->fd, span, &nr_pages));
	EXPECT_EQ(100, nr_pages);
	EXPECT_EQ(PAGESPAN_QUERY_OWNED | PAGESPAN_QUERY_POISONED,
		  client_query(self->fd, span + 100, &nr_pages));
	EXPECT_EQ(1, nr_pages);

	/* A mapping that is new finds it all as it was. */
	ASSERT_EQ(base, mmap(base, self->nr_pages * PAGE, PROT_READ | PROT_WRITE,
			     MAP_SHARED | MAP_FIXED, self->fd, 0));
	EXPECT_TRUE(pages_hold(megablock, 100, 0x33));
	EXPECT_TRUE(raises_poison(megablock + 100 * PAGE, true));
	EXPECT_TRUE(pages_hold(megablock + 101 * PAGE, 411, 0x34));
	ASSERT_EQ(0, client_free(self->fd, span, 512));
	EXPECT_EQ(-EBUSY, client_alloc_at(self->other, span + 100, 1));
	EXPECT_EQ(0, client_alloc_at(self->other, span, 100));
	EXPECT_EQ(0, client_alloc_at(self->other, span + 101, 411));
}

/* What is allocated later around a broken page is populated, but for that page's megablock. */
TEST_F(poison, populating_around_it_leaves_it_to_faults)
{
	const struct pagespan_range around[] = { { 0, 7 }, { 8, 504 }, { 512, 512 } };
	long span = client_alloc_ex(self->fd, 1024, 512, PAGESPAN_ALLOC_ZERO, NULL);
	char *page = self->base + span * PAGE;
	struct pagespan_alloc_at at = {
		.size = sizeof(at),
		.flags = PAGESPAN_ALLOC_POPULATE,
		.window = (uintptr_t)self->base,
	};

	ASSERT_LE(0, span);
	breaks(span + 7);
	EXPECT_TRUE(EVENTUALLY(raises_poison(page + 7 * PAGE, false)));
	ASSERT_EQ(0, client_free(self->fd, span, 1024));
	for (int i = 0; i < 3; i++) {
		at.first = span + around[i].first;
		at.nr_pages = around[i].nr_pages;
		ASSERT_EQ(0, client_ioctl(self->fd, PAGESPAN_ALLOC_AT, &at));
	}
	memset(page, 0x35, 7 * PAGE);
	memset(page + 8 * PAGE, 0x35, 1016 * PAGE);
	EXPECT_EQ(SIGBUS, touch(page + 7 * PAGE, 1));
}

TEST_F(poison, process_that_asked_is_told_before_it_touches_the_page)
{
	long span = client_alloc(self->fd, 4);
	siginfo_t info = {};
	struct timespec patience = { .tv_sec = 5 };
	sigset_t bus;

	ASSERT_LE(0, span);
	memset(self->base + span * PAGE, 0x36, 4 * PAGE);
	ASSERT_EQ(0, prctl(PR_MCE_KILL, PR_MCE_KILL_SET, PR_MCE_KILL_EARLY, 0, 0));
	sigemptyset(&bus);
	sigaddset(&bus, SIGBUS);
	ASSERT_EQ(0, sigprocmask(SIG_BLOCK, &bus, NULL));
	breaks(span + 2);
	EXPECT_EQ(SIGBUS, sigtimedwait(&bus, &info, &patience));
	EXPECT_EQ(BUS_MCEERR_AO, info.si_code);
	EXPECT_EQ(self->base + (span + 2) * PAGE, info.si_addr);
	EXPECT_EQ(12, info.si_addr_lsb);
}

TEST_F(poison, process_that_did_not_ask_is_not_told)
{
	long span = client_alloc(self->fd, 4);
	struct timespec patience = { .tv_nsec = 300000000 };
	sigset_t bus;

	ASSERT_LE(0, span);
	memset(self->base + span * PAGE, 0x36, 4 * PAGE);
	sigemptyset(&bus);
	sigaddset(&bus, SIGBUS);
	ASSERT_EQ(0, sigprocmask(SIG_BLOCK, &bus, NULL));
	breaks(span + 2);
	EXPECT_TRUE(EVENTUALLY(pool_figure("poisoned_pages") == self->poisoned + 1));
	EXPECT_EQ(-1, sigtimedwait(&bus, NULL, &patience));
}

/* ---- who gets it --------------------------------------------------------- */

TEST_F(poison, freed_page_is_given_to_nobody)
{
	uint64_t free_pages = client_info(self->fd).free_pages;
	long span = client_alloc(self->fd, 4);

	ASSERT_LE(0, span);
	memset(self->base + span * PAGE, 0x37, 4 * PAGE);
	breaks(span + 1);
	ASSERT_EQ(0, client_free(self->fd, span, 4));
	EXPECT_TRUE(EVENTUALLY(client_info(self->fd).free_pages == free_pages - 1));
	EXPECT_EQ(0, client_info(self->fd).owned_pages);
	EXPECT_TRUE(EVENTUALLY(!client_info(self->fd).quarantined_pages));
	EXPECT_EQ(-EBUSY, client_alloc_at(self->other, span + 1, 1));
	EXPECT_EQ(-EBUSY, client_alloc_at(self->fd, span + 1, 1));
	EXPECT_EQ(-EINVAL, client_free_one(self->fd, span + 1));
	EXPECT_EQ(free_pages - 1, take_all(self->other, NULL));
	EXPECT_EQ(-ENOMEM, client_alloc(self->fd, 1));
}

TEST_F(poison, one_freed_by_value_or_among_many_is_given_to_nobody)
{
	long span = client_alloc(self->fd, 64);
	struct pagespan_range ranges[] = {
		{ span + 1, 10 }, { span + 12, 10 }, { span + 23, 41 },
	};

	ASSERT_LE(0, span);
	memset(self->base + span * PAGE, 0x38, 64 * PAGE);
	breaks(span);
	breaks(span + 15);
	EXPECT_TRUE(EVENTUALLY(pool_figure("poisoned_pages") == self->poisoned + 2));
	ASSERT_EQ(0, client_free_one(self->fd, span));
	ASSERT_EQ(3, client_free_ranges(self->fd, ranges, 3));
	EXPECT_TRUE(EVENTUALLY(!client_info(self->fd).quarantined_pages));
	EXPECT_EQ(2, client_info(self->fd).owned_pages);
	EXPECT_EQ(-EBUSY, client_alloc_at(self->other, span, 1));
	EXPECT_EQ(-EBUSY, client_alloc_at(self->other, span + 15, 1));
	EXPECT_EQ(0, client_alloc_at(self->other, span + 12, 3));
	EXPECT_EQ(0, client_alloc_at(self->other, span + 16, 6));
}

TEST_F(poison, page_of_a_client_that_closes_is_given_to_nobody)
{
	long span = client_alloc(self->fd, 4);

	ASSERT_LE(0, span);
	memset(self->base + span * PAGE, 0x39, 4 * PAGE);
	breaks(span + 1);
	munmap(self->base, self->nr_pages * PAGE);
	close(self->fd);
	EXPECT_TRUE(EVENTUALLY(nothing_is_lost(self->other)));
	EXPECT_EQ(-EBUSY, client_alloc_at(self->other, span + 1, 1));
	EXPECT_EQ(0, client_alloc_at(self->other, span, 1));
}

TEST_F(poison, free_page_is_given_to_nobody)
{
	uint64_t free_pages = client_info(self->fd).free_pages;
	long page = client_alloc(self->fd, 1);
	uint64_t address = phys_of(self->fd, page);

	ASSERT_LE(0, page);
	ASSERT_EQ(0, client_free_one(self->fd, page));
	offline_page("hard", address);
	EXPECT_TRUE(EVENTUALLY(client_info(self->fd).free_pages == free_pages - 1));
	EXPECT_EQ(-EBUSY, client_alloc_at(self->fd, page, 1));
	EXPECT_EQ(self->poisoned + 1, pool_figure("poisoned_pages"));
	EXPECT_EQ(free_pages - 1, take_all(self->other, NULL));
}

/* ---- references ---------------------------------------------------------- */

/* Pins a page in a pipe, which holds the page itself. */
static bool pin(int ends[2], char *page)
{
	struct iovec one = { .iov_base = page, .iov_len = PAGE };

	return !pipe(ends) && vmsplice(ends[1], &one, 1, 0) == PAGE;
}

/* Whether a pinned page is quarantined though it is poisoned: if its struct is the pool's own. */
static bool waits_for_pins(int fd)
{
	uint32_t own = 1 << PAGESPAN_SOURCE_PHYS | 1 << PAGESPAN_SOURCE_HOTPLUG;

	return client_info(fd).sources & own;
}

TEST_F(poison, pinned_page_is_nobodys_before_and_after_the_pin_goes)
{
	long span = client_alloc(self->fd, 4);
	int ends[2];

	ASSERT_LE(0, span);
	memset(self->base + span * PAGE, 0x3a, 4 * PAGE);
	ASSERT_TRUE(pin(ends, self->base + (span + 1) * PAGE));
	breaks(span + 1);
	ASSERT_EQ(0, client_free(self->fd, span, 4));
	EXPECT_TRUE(EVENTUALLY(pool_figure("poisoned_pages") == self->poisoned + 1));
	usleep(300000);
	EXPECT_EQ(waits_for_pins(self->fd), client_info(self->fd).quarantined_pages);
	EXPECT_EQ(-EBUSY, client_alloc_at(self->other, span + 1, 1));
	close(ends[0]);
	close(ends[1]);
	EXPECT_TRUE(EVENTUALLY(!client_info(self->fd).quarantined_pages));
	EXPECT_EQ(-EBUSY, client_alloc_at(self->other, span + 1, 1));
}

TEST_F(poison, quarantined_page_is_nobodys_once_the_pin_goes)
{
	long span = client_alloc(self->fd, 4);
	uint64_t address = phys_of(self->fd, span + 1);
	int ends[2];

	ASSERT_LE(0, span);
	memset(self->base + span * PAGE, 0x3b, 4 * PAGE);
	ASSERT_TRUE(pin(ends, self->base + (span + 1) * PAGE));
	ASSERT_EQ(0, client_free(self->fd, span, 4));
	ASSERT_EQ(1, client_info(self->fd).quarantined_pages);
	offline_page("hard", address);
	EXPECT_TRUE(EVENTUALLY(pool_figure("poisoned_pages") == self->poisoned + 1));
	usleep(300000);
	EXPECT_EQ(waits_for_pins(self->fd), client_info(self->fd).quarantined_pages);
	EXPECT_EQ(-EBUSY, client_alloc_at(self->other, span + 1, 1));
	close(ends[0]);
	close(ends[1]);
	EXPECT_TRUE(EVENTUALLY(!client_info(self->fd).quarantined_pages));
	EXPECT_EQ(-EBUSY, client_alloc_at(self->other, span + 1, 1));
}

/* A reference too many would keep the page quarantined, and the module in the kernel. */
TEST_F(poison, further_attempts_leave_no_reference_and_are_not_counted)
{
	long span = client_alloc(self->fd, 4);
	char *page = self->base + (span + 1) * PAGE;
	uint64_t address = phys_of(self->fd, span + 1);

	ASSERT_LE(0, span);
	memset(self->base + span * PAGE, 0x3c, 4 * PAGE);
	breaks(span + 1);
	/* As long as it is mapped, the kernel signals who breaks it again. */
	ASSERT_TRUE(EVENTUALLY(raises_poison(page, false)));
	for (int i = 0; i < 3; i++) {
		madvise(page, PAGE, MADV_HWPOISON);
		madvise(page, PAGE, MADV_SOFT_OFFLINE);
		offline_page("hard", address);
		offline_page("soft", address);
	}
	EXPECT_TRUE(EVENTUALLY(pool_figure("events/poison") == self->events + 1));
	ASSERT_EQ(0, client_free(self->fd, span, 4));
	EXPECT_TRUE(EVENTUALLY(!client_info(self->fd).quarantined_pages));
	EXPECT_EQ(self->poisoned + 1, pool_figure("poisoned_pages"));
	EXPECT_EQ(self->events + 1, pool_figure("events/poison"));
}

TEST_F(poison, refused_soft_offline_changes_nothing)
{
	long span = client_alloc(self->fd, 4);
	char *page = self->base + (span + 1) * PAGE;
	uint64_t address = phys_of(self->fd, span + 1);

	ASSERT_LE(0, span);
	memset(self->base + span * PAGE, 0x3d, 4 * PAGE);
	for (int i = 0; i < 3; i++)
		EXPECT_GT(0, variant->by_address ? offline_page("soft", address) :
			     madvise(page, PAGE, MADV_SOFT_OFFLINE));
	EXPECT_TRUE(pages_hold(self->base + span * PAGE, 4, 0x3d));
	ASSERT_EQ(0, client_free(self->fd, span, 4));
	EXPECT_EQ(0, client_info(self->fd).quarantined_pages);
	EXPECT_EQ(0, client_alloc_at(self->other, span, 4));
	EXPECT_EQ(self->poisoned, pool_figure("poisoned_pages"));
}

/* ---- exported ------------------------------------------------------------ */

TEST_F(poison, exported_page_raises_sigbus_through_the_dmabuf_too)
{
	struct pagespan_export export = { .size = sizeof(export), .nr_pages = 4 };
	long span = client_alloc(self->fd, 4);
	char *pages;
	int dmabuf;

	ASSERT_LE(0, span);
	memset(self->base + span * PAGE, 0x3e, 4 * PAGE);
	export.first = span;
	dmabuf = client_ioctl(self->fd, PAGESPAN_EXPORT, &export);
	ASSERT_LE(0, dmabuf);
	pages = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, dmabuf, 0);
	ASSERT_NE(MAP_FAILED, pages);
	EXPECT_TRUE(pages_hold(pages, 4, 0x3e));
	breaks(span + 2);
	EXPECT_TRUE(EVENTUALLY(raises_poison(pages + 2 * PAGE, false)));
	EXPECT_TRUE(pages_hold(pages, 2, 0x3e));
	EXPECT_TRUE(pages_hold(pages + 3 * PAGE, 1, 0x3e));
	ASSERT_EQ(0, client_free(self->fd, span, 4));
	EXPECT_EQ(3 + waits_for_pins(self->fd), client_info(self->fd).quarantined_pages);
	munmap(pages, 4 * PAGE);
	close(dmabuf);
	EXPECT_TRUE(EVENTUALLY(!client_info(self->fd).quarantined_pages));
	EXPECT_EQ(-EBUSY, client_alloc_at(self->other, span + 2, 1));
	EXPECT_EQ(0, client_alloc_at(self->other, span, 2));
}

/* ---- while pages come and go --------------------------------------------- */

#define RACERS	3

struct racer {
	pthread_t thread;
	uint64_t random;
	const volatile bool *stop;
};

static void *race(void *data)
{
	struct racer *racer = data;

	while (!*racer->stop) {
		int fd = client_open();
		char *window = client_window(fd);

		for (int i = 0; i < 200 && !*racer->stop; i++) {
			uint32_t nr_pages = 1 + random_below(&racer->random, 6);
			uint32_t flags = i % 2 ? PAGESPAN_ALLOC_POPULATE : 0;
			long span = client_alloc_ex(fd, nr_pages, 1, flags, flags ? window : NULL);

			if (span < 0)
				continue;
			/* A broken page may refuse. */
			if (random_below(&racer->random, 2))
				madvise(window + span * PAGE, nr_pages * PAGE, MADV_POPULATE_WRITE);
			client_free(fd, span, nr_pages);
		}
		munmap(window, client_info(fd).nr_pages * PAGE);
		close(fd);
	}
	return NULL;
}

TEST_F(poison, pages_that_break_while_they_come_and_go_are_given_to_nobody)
{
	uint64_t addresses[12];
	bool stop = false;
	struct racer racers[RACERS];
	long pages[12];

	/* Those given out again and again, for they are freed last. */
	for (int i = 0; i < 12; i++) {
		pages[i] = client_alloc(self->fd, 1);
		ASSERT_LE(0, pages[i]);
		addresses[i] = phys_of(self->fd, pages[i]);
	}
	for (int i = 0; i < 12; i++)
		ASSERT_EQ(0, client_free_one(self->fd, pages[i]));
	for (int i = 0; i < RACERS; i++) {
		racers[i] = (struct racer){ .random = i + 1, .stop = &stop };
		ASSERT_EQ(0, pthread_create(&racers[i].thread, NULL, race, &racers[i]));
	}
	for (int i = 0; i < 12; i++) {
		usleep(100000);
		offline_page("hard", addresses[i]);
	}
	usleep(300000);
	stop = true;
	for (int i = 0; i < RACERS; i++)
		pthread_join(racers[i].thread, NULL);
	EXPECT_TRUE(EVENTUALLY(nothing_is_lost(self->fd)));
	EXPECT_EQ(self->poisoned + 12, pool_figure("poisoned_pages"));
	EXPECT_EQ(self->events + 12, pool_figure("events/poison"));
	for (int i = 0; i < 12; i++)
		EXPECT_EQ(-EBUSY, client_alloc_at(self->other, pages[i], 1));
}

TEST_HARNESS_MAIN
