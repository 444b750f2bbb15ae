// SPDX-License-Identifier: GPL-2.0-only
/*
 * No entry outlives ownership, whatever is done to a mapping. An attacker owns a
 * span, and a thread of it reads and writes two words there without pause, on
 * another CPU, so that whatever entry that CPU has for them is in use. Something is
 * done to the mapping; then the pages are given up, and the test owns them next:
 * from then on the thread sees nothing of them but signals, and changes nothing.
 *
 * What is done, what it gives, and what the thread sees afterwards is in the tables
 * below. The attacker is root, so that nothing is refused for want of a right.
 */
#define _GNU_SOURCE
#include <sys/utsname.h>
#include <time.h>

#include "harness.h"
#include "pagespan_test.h"
#include "stale.h"
#include "stale_actions.h"
#include "stale_system.h"

#define SMALL		8	/* pages of a span that is mapped by 4 KiB entries */
#define SECRET		0x5ec7e75ec7e75ec7ULL
#define POOL_PAGES	"/sys/class/misc/pagespan/pool_pages"

/* ---- the tables ---------------------------------------------------------------------------- */

/* How a span is given up; the first is not yet. */
enum end {
	ACTED,
	PART_FREED,
	FREED,
	CLOSED,
	SEEN,
	KILLED = SEEN,	/* with the thread, which sees nothing then */
	SHRUNK,		/* freed, and the pool is shrunk and grown again */
	ENDS
};

static const char *const end_names[ENDS] = {
	"before", "free of part", "free of whole", "close", "SIGKILL", "shrink",
};

/* What an action makes of a mapping. */
enum state {
	MAPPED,
	PAGE_UNMAPPED,
	UNMAPPED,
	PAGE_MOVED,
	MOVED,
	PAGE_COVERED,	/* by other memory */
	PAGE_REPLACED,	/* by the other page of the span */
	LOCKED_OUT,
	READ_ONLY,
	STATES
};

#define WRITE_SEGV	(SIGSEGV | ON_WRITE)

/*
 * What the thread sees then: of the page that leaves if only one does, of one that
 * stays then, and of the first in the place that it moved to.
 */
static const struct {
	int leaving, staying, elsewhere;
} sights[STATES][SEEN] = {
	[MAPPED] = {
		[ACTED] = { 0, 0, NOWHERE },
		[PART_FREED] = { SIGBUS, 0, NOWHERE },
		[FREED] = { SIGBUS, SIGBUS, NOWHERE },
		[CLOSED] = { SIGSEGV, SIGSEGV, NOWHERE },
	},
	[PAGE_UNMAPPED] = {
		[ACTED] = { SIGSEGV, 0, NOWHERE },
		[PART_FREED] = { SIGSEGV, 0, NOWHERE },
		[FREED] = { SIGSEGV, SIGBUS, NOWHERE },
		[CLOSED] = { SIGSEGV, SIGSEGV, NOWHERE },
	},
	[UNMAPPED] = {
		[ACTED] = { SIGSEGV, SIGSEGV, NOWHERE },
		[PART_FREED] = { SIGSEGV, SIGSEGV, NOWHERE },
		[FREED] = { SIGSEGV, SIGSEGV, NOWHERE },
		[CLOSED] = { SIGSEGV, SIGSEGV, NOWHERE },
	},
	[PAGE_MOVED] = {
		[ACTED] = { SIGSEGV, 0, 0 },
		[PART_FREED] = { SIGSEGV, 0, SIGBUS },
		[FREED] = { SIGSEGV, SIGBUS, SIGBUS },
		[CLOSED] = { SIGSEGV, SIGSEGV, SIGSEGV },
	},
	[MOVED] = {
		[ACTED] = { SIGSEGV, SIGSEGV, 0 },
		[PART_FREED] = { SIGSEGV, SIGSEGV, SIGBUS },
		[FREED] = { SIGSEGV, SIGSEGV, SIGBUS },
		[CLOSED] = { SIGSEGV, SIGSEGV, SIGSEGV },
	},
	[PAGE_COVERED] = {
		[ACTED] = { 0, 0, NOWHERE },
		[PART_FREED] = { 0, 0, NOWHERE },
		[FREED] = { 0, SIGBUS, NOWHERE },
		[CLOSED] = { SIGSEGV, SIGSEGV, NOWHERE },
	},
	[PAGE_REPLACED] = {
		[ACTED] = { 0, 0, NOWHERE },
		[PART_FREED] = { 0, 0, NOWHERE },
		[FREED] = { SIGBUS, SIGBUS, NOWHERE },
		[CLOSED] = { SIGSEGV, SIGSEGV, NOWHERE },
	},
	[LOCKED_OUT] = {
		[ACTED] = { SIGSEGV, SIGSEGV, NOWHERE },
		[PART_FREED] = { SIGSEGV, SIGSEGV, NOWHERE },
		[FREED] = { SIGSEGV, SIGSEGV, NOWHERE },
		[CLOSED] = { SIGSEGV, SIGSEGV, NOWHERE },
	},
	[READ_ONLY] = {
		[ACTED] = { WRITE_SEGV, WRITE_SEGV, NOWHERE },
		[PART_FREED] = { SIGBUS, WRITE_SEGV, NOWHERE },
		[FREED] = { SIGBUS, SIGBUS, NOWHERE },
		[CLOSED] = { SIGSEGV, SIGSEGV, NOWHERE },
	},
};

/* What an action leaves behind that keeps pages from the next owner. */
enum hold {
	NOTHING,
	PIN,
	CLIENT,		/* in a child, with a mapping */
};

/* What a span is mapped by. */
enum kind {
	DEVICE,		/* 4 KiB entries for pages of ZONE_DEVICE */
	HUGE,		/* a 2 MiB entry for such pages */
	PLAIN,		/* 4 KiB entries for pages of the running system */
	PLAIN_HUGE,	/* a 2 MiB entry for such pages */
	KINDS
};

static const char *const kind_names[KINDS] = {
	"4 KiB entries of a device", "a 2 MiB entry of a device", "4 KiB entries", "a 2 MiB entry",
};

static bool is_huge(enum kind kind)
{
	return kind == HUGE || kind == PLAIN_HUGE;
}

struct span {
	uint64_t first, nr_pages;
	enum kind kind;
};

/* One attack: a span, what is done to its mapping, and a way to give it up. */
struct trial {
	struct attack *attack;	/* NULL if there is none */
	int line;		/* to the attacker */
	const struct span *span;
	enum end end;
	enum state state;	/* of the mapping, after the action */
	bool held;		/* what is given up is held after all */
	uint64_t first, nr_pages;	/* of what is given up */
};

#define ERAS		2

FIXTURE(action)
{
	struct trial trials[2];
	struct span small, large;
	uint64_t pool_pages;
	uint64_t *window;	/* of the next owner */
	int fd;
};

FIXTURE_VARIANT(action)
{
	act_t act;
	long argument;
	enum { INSIDE, OUTSIDE } where;	/* it is done: by the attacker, or by the test */
	const char *needs;	/* a file that tells that the kernel can do it */
	enum state state;
	enum hold hold;
	struct {
		int since;	/* a kernel; at first any */
		long all, of[KINDS];	/* results, of which only one is not 0 */
	} gives[ERAS];
};

#define THESE		FIXTURE_DATA(action)
#define THIS_ACTION	FIXTURE_VARIANT(action)

/* What it gives, if that is not 0: of some kinds; and before a kernel. */
#define KERNEL(major, minor)	((major) * 1000 + (minor))
#define GIVES(...)		.gives = { { __VA_ARGS__ } }
#define GIVES_BEFORE(major, minor, ...) \
	.gives = { { __VA_ARGS__ }, { .since = KERNEL(major, minor) } }

/* What is not where it is to be; a 2 MiB entry of a folio is not looked at. */
#define REFUSES_TO_STAY \
	.gives = { { .of[HUGE ... PLAIN] = -EIO }, { KERNEL(6, 17), .of[PLAIN] = -EIO } }

#define NEEDS_KSM		.needs = "/sys/kernel/mm/ksm"
#define NEEDS_THP		.needs = "/sys/kernel/mm/transparent_hugepage"

#define ACTION(name)		FIXTURE_VARIANT_ADD(action, name)

ACTION(nothing) { advise, MADV_NORMAL };
ACTION(madvise_random) { advise, MADV_RANDOM };
ACTION(madvise_sequential) { advise, MADV_SEQUENTIAL };
ACTION(madvise_willneed) { advise, MADV_WILLNEED };
ACTION(madvise_dontneed) { advise, MADV_DONTNEED };
ACTION(madvise_dontneed_of_a_page) { advise_page, MADV_DONTNEED };
ACTION(madvise_dontneed_locked) { advise, MADV_DONTNEED_LOCKED };
ACTION(madvise_free) { advise, MADV_FREE, GIVES(.all = -EINVAL) };
ACTION(madvise_remove) { advise, MADV_REMOVE, GIVES(.all = -ENODEV) };
ACTION(madvise_dontfork) { advise, MADV_DONTFORK };
ACTION(madvise_dofork) { let_inherit };
ACTION(madvise_mergeable) { advise, MADV_MERGEABLE, NEEDS_KSM };
ACTION(madvise_unmergeable) { advise, MADV_UNMERGEABLE, NEEDS_KSM };
ACTION(madvise_hugepage) { advise, MADV_HUGEPAGE, NEEDS_THP };
ACTION(madvise_nohugepage) { advise, MADV_NOHUGEPAGE, NEEDS_THP };
ACTION(madvise_nohugepage_of_a_page) { advise_page, MADV_NOHUGEPAGE, NEEDS_THP };
ACTION(madvise_dontdump) { advise, MADV_DONTDUMP };
ACTION(madvise_dodump) { advise, MADV_DODUMP, GIVES(.all = -EINVAL) };
ACTION(madvise_wipeonfork) { advise, MADV_WIPEONFORK, GIVES(.all = -EINVAL) };
ACTION(madvise_keeponfork) { advise, MADV_KEEPONFORK };
ACTION(madvise_cold) { advise, MADV_COLD };
ACTION(madvise_cold_of_a_page) { advise_page, MADV_COLD };
ACTION(madvise_pageout) { advise, MADV_PAGEOUT };
ACTION(madvise_pageout_of_a_page) { advise_page, MADV_PAGEOUT };
ACTION(madvise_populate_read) { advise, MADV_POPULATE_READ };
ACTION(madvise_populate_write) { advise, MADV_POPULATE_WRITE };
ACTION(madvise_collapse) { advise, MADV_COLLAPSE, GIVES(.all = -EINVAL) };
ACTION(madvise_guard_install) { advise, MADV_GUARD_INSTALL, GIVES(.all = -EINVAL) };
ACTION(madvise_guard_remove) { advise, MADV_GUARD_REMOVE, GIVES(.all = -EINVAL) };
ACTION(madvise_soft_offline) { advise_page, MADV_SOFT_OFFLINE, GIVES(.all = -EIO) };
ACTION(process_madvise_willneed) { advise_by_pid, MADV_WILLNEED, OUTSIDE };
ACTION(process_madvise_cold) { advise_by_pid, MADV_COLD, OUTSIDE };
ACTION(process_madvise_pageout) { advise_by_pid, MADV_PAGEOUT, OUTSIDE };
ACTION(process_madvise_collapse) { advise_by_pid, MADV_COLLAPSE, OUTSIDE, GIVES(.all = -EINVAL) };
ACTION(process_madvise_dontneed) { advise_by_pid, MADV_DONTNEED, OUTSIDE, GIVES(.all = -EINVAL) };
ACTION(mprotect_none) { protect, PROT_NONE, .state = LOCKED_OUT };
ACTION(mprotect_read) { protect, PROT_READ, .state = READ_ONLY };
ACTION(mprotect_exec) { protect, PROT_READ | PROT_EXEC, GIVES(.all = -EACCES) };
ACTION(mprotect_none_and_back) { protect_and_back, PROT_NONE };
ACTION(mprotect_read_and_back) { protect_and_back, PROT_READ };
ACTION(mprotect_of_a_page) { protect_page_and_back, PROT_NONE };
ACTION(pkey_mprotect) { protect_by_key };
ACTION(mlock) { lock };
ACTION(mlock_onfault) { lock, MLOCK_ONFAULT };
ACTION(munlock) { lock_and_unlock };
ACTION(mlockall) { lock_all, MCL_CURRENT | MCL_FUTURE };
ACTION(munmap) { unmap, .state = UNMAPPED };
ACTION(munmap_of_a_page) { unmap_page, .state = PAGE_UNMAPPED };
ACTION(mmap_over_a_page) { map_over_page, .state = PAGE_COVERED };
ACTION(mremap) { move, .state = MOVED };
ACTION(mremap_unaligned) { move, PAGE, .state = MOVED };
ACTION(mremap_of_a_page) { move_page, .state = PAGE_MOVED };
ACTION(mremap_to_grow) { grow, GIVES(.all = -EFAULT) };
ACTION(mremap_of_nothing) { double_it, GIVES(.all = -EFAULT) };
ACTION(mremap_dontunmap) { move_and_keep, GIVES(.all = -EINVAL) };
ACTION(remap_file_pages) { remap_page, .state = PAGE_REPLACED };
ACTION(mbind) { bind_to };
ACTION(mbind_to_another_node) { bind_to, 1 };
ACTION(mbind_strictly) { bind_strictly };
ACTION(mbind_strictly_to_another_node) { bind_strictly, 1, REFUSES_TO_STAY };
ACTION(migrate_pages) { migrate, 0, OUTSIDE };
ACTION(migrate_pages_to_another_node) { migrate, 1, OUTSIDE };
ACTION(move_pages) { move_to, 0, OUTSIDE, GIVES(.all = -EFAULT) };
ACTION(move_pages_to_another_node) { move_to, 1, OUTSIDE, GIVES(.all = -EFAULT) };
ACTION(move_pages_as_question) { ask_for_node, 0, OUTSIDE, GIVES(.of[DEVICE ... HUGE] = -ENOENT) };
ACTION(numa_balancing) { balance, 0, OUTSIDE };
ACTION(khugepaged) { collapse, NEEDS_THP };
ACTION(ksm) { merge, NEEDS_KSM };
ACTION(compaction) { compact, 0, OUTSIDE };
ACTION(drop_caches) { drop, 0, OUTSIDE };
ACTION(aging) { age, 0, OUTSIDE };
ACTION(other_block_unplugged) { unplug_another, 0, OUTSIDE };
ACTION(own_block_unplugged) { unplug_own, 0, OUTSIDE };
ACTION(userfaultfd_missing) { handle_faults, UFFDIO_REGISTER_MODE_MISSING, GIVES(.all = -EINVAL) };
ACTION(userfaultfd_wp) { handle_faults, UFFDIO_REGISTER_MODE_WP, GIVES(.all = -EINVAL) };
ACTION(clear_refs) { clear_refs, 1, OUTSIDE };
ACTION(clear_refs_of_files) { clear_refs, 3, OUTSIDE };
ACTION(soft_dirty) { clear_refs, 4, OUTSIDE };
ACTION(pagemap) { read_pagemap, 0, OUTSIDE };
ACTION(pagemap_scan) { scan_pagemap, 0, OUTSIDE, GIVES(.all = 1) };
ACTION(pagemap_scan_wp) { scan_pagemap, SCAN_WP, OUTSIDE };
ACTION(smaps) { read_maps, 0, OUTSIDE };
ACTION(mincore) { is_resident };
ACTION(msync) { sync_it, MS_SYNC };
ACTION(ptrace) { trace, 0, OUTSIDE };
ACTION(process_vm) { read_and_write_from_outside, 0, OUTSIDE };
ACTION(proc_mem) { read_and_write_by_file, 0, OUTSIDE };
ACTION(vmsplice) { pin_by_pipe, .hold = PIN };
ACTION(io_uring_buffers) { pin_buffer, .hold = PIN, GIVES_BEFORE(6, 5, .all = -EOPNOTSUPP) };
ACTION(fork) { bear, .hold = CLIENT };
ACTION(exec_of_another) { exec_of_another };
ACTION(exit_of_another) { exit_of_another };

/* ---- the attacker, from outside ------------------------------------------------------------ */

static long give_order(const struct trial *trial, enum order order)
{
	long result;

	if (write(trial->line, &order, sizeof(order)) != sizeof(order) ||
	    read(trial->line, &result, sizeof(result)) != sizeof(result))
		return -EPIPE;
	return result;
}

static struct attack *attack_new(const struct span *span)
{
	struct attack *attack = mmap(NULL, sizeof(*attack), PROT_READ | PROT_WRITE,
				     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct io_uring_params parameters = { 0 };

	if (attack == MAP_FAILED || pipe2(attack->pipe, O_NONBLOCK))
		abort();
	attack->ring = syscall(SYS_io_uring_setup, 1, &parameters);
	attack->first = span->first;
	attack->nr_pages = span->nr_pages;
	attack->leaving = span->nr_pages / 3;
	attack->staying = span->nr_pages / 2;
	return attack;
}

/* 0 once the attacker has its span and its thread is at work, or -errno. */
static long trial_start(struct trial *trial, const THIS_ACTION *action)
{
	struct attack *attack = attack_new(trial->span);
	int ends[2];
	long result;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends))
		abort();
	trial->attack = attack;
	trial->line = ends[0];
	attack->pid = fork();
	if (!attack->pid) {
		attack->pid = getpid();
		close(ends[0]);
		attack_as_told(attack, action->act, action->argument, ends[1]);
	}
	close(ends[1]);
	return read(trial->line, &result, sizeof(result)) == sizeof(result) ? result : -EPIPE;
}

/* Lets go of what holds pages that were given up; whether what was pinned is the attacker's. */
static bool trial_release(const struct trial *trial)
{
	struct attack *attack = trial->attack;
	uint64_t page[PAGE / sizeof(uint64_t)] = { OWN << 32 };

	if (attack->child > 0)
		kill(attack->child, SIGKILL);
	attack->child = 0;
	syscall(SYS_io_uring_register, attack->ring, IORING_UNREGISTER_BUFFERS, NULL, 0);
	(void)!read(attack->pipe[0], page, sizeof(page));
	return page[0] >> 32 == OWN;
}

/* Whatever state it is in. */
static void trial_stop(struct trial *trial)
{
	struct attack *attack = trial->attack;

	if (!attack)
		return;
	trial_release(trial);
	kill(attack->pid, SIGKILL);
	waitpid(attack->pid, NULL, 0);
	close(trial->line);
	close(attack->ring);
	close(attack->pipe[0]);
	close(attack->pipe[1]);
	munmap(attack, sizeof(*attack));
	trial->attack = NULL;
}

/* Whether everything has been looked at anew, from beginning to end. */
static bool goes_round(const uint64_t *rounds)
{
	uint64_t goal = __atomic_load_n(rounds, __ATOMIC_ACQUIRE) + 2;
	time_t until = time(NULL) + 30;

	while (__atomic_load_n(rounds, __ATOMIC_ACQUIRE) < goal) {
		if (time(NULL) > until)
			return false;
		sched_yield();
	}
	return true;
}

/* ---- the test, which owns next ------------------------------------------------------------- */

/* Asks for a size of the pool; the size it has then. */
static uint64_t resize(uint64_t nr_pages)
{
	char text[32];

	snprintf(text, sizeof(text), "%llu", (unsigned long long)nr_pages);
	file_write(POOL_PAGES, text);
	return file_number(POOL_PAGES, "");
}

/* A megablock as this pool maps it; whether it is there. */
static bool try_megablock(const THESE *self, uint64_t first, bool plain, struct span *span)
{
	enum kind kind = plain ? PLAIN : DEVICE;
	uint64_t nr_pages = 1;
	long state;

	if (client_alloc_at(self->fd, first, MEGABLOCK))
		return false;
	state = client_query(self->fd, first, &nr_pages);
	client_free(self->fd, first, MEGABLOCK);
	if (state & PAGESPAN_QUERY_HUGE)
		kind = plain ? PLAIN_HUGE : HUGE;
	*span = (struct span){ first, MEGABLOCK, kind };
	return true;
}

/*
 * A megablock, with a 2 MiB entry if the pool has those, and pages in the middle of
 * another, which are not of a device if the pool has others. Those have the higher indices,
 * behind a gap.
 */
static bool find_spans(THESE *self)
{
	const uint32_t devices = 1 << PAGESPAN_SOURCE_PHYS | 1 << PAGESPAN_SOURCE_HOTPLUG;
	struct pagespan_info info = client_info(self->fd);
	bool plain = !(info.sources & devices);
	bool mixed = info.sources & devices && info.sources & ~devices;
	bool huge = info.flags & PAGESPAN_INFO_HUGE;
	struct span span, *large = &self->large, *small = &self->small;
	uint64_t first;

	for (first = 0; first + MEGABLOCK <= info.nr_pages; first += MEGABLOCK) {
		if (!try_megablock(self, first, plain, &span)) {
			plain |= mixed && large->nr_pages;
			continue;
		}
		if (!large->nr_pages && (!huge || is_huge(span.kind)))
			*large = span;
		else if (!small->nr_pages && (!mixed || plain))
			*small = (struct span){ first + MEGABLOCK / 2, SMALL,
						plain ? PLAIN : DEVICE };
		if (small->nr_pages && large->nr_pages)
			return true;
	}
	return false;
}

FIXTURE_SETUP(action)
{
	pin_to(0);
	self->fd = client_open();
	ASSERT_LE(0, self->fd);
	self->window = (uint64_t *)client_window(self->fd);
	ASSERT_NE(MAP_FAILED, self->window);
	self->pool_pages = client_info(self->fd).pool_pages;
	ASSERT_TRUE(find_spans(self));
}

FIXTURE_TEARDOWN(action)
{
	for (int i = 0; i < 2; i++)
		trial_stop(&self->trials[i]);
	munmap(self->window, client_info(self->fd).nr_pages * PAGE);
	close(self->fd);
	self->fd = client_open();
	EXPECT_TRUE(EVENTUALLY(client_info(self->fd).free_pages == self->pool_pages));
	close(self->fd);
}

/* What an action gives on this kernel. */
static long expected(const THIS_ACTION *action, enum kind kind)
{
	static struct utsname kernel;
	int major, minor, era = 0;

	uname(&kernel);
	if (sscanf(kernel.release, "%d.%d", &major, &minor) != 2)
		abort();
	while (era + 1 < ERAS && action->gives[era + 1].since &&
	       action->gives[era + 1].since <= KERNEL(major, minor))
		era++;
	return action->gives[era].all ?: action->gives[era].of[kind];
}

/* What the thread sees of each place, and a child that has the window. */
static void expect_sights(struct __test_metadata *_metadata, const struct trial *trial,
			  enum end end)
{
	const struct attack *attack = trial->attack;
	int seen[PLACES] = { 0 };

	if (end == SHRUNK)
		end = FREED;
	if (end < SEEN) {
		seen[LEAVING] = sights[trial->state][end].leaving;
		seen[STAYING] = sights[trial->state][end].staying;
		seen[ELSEWHERE] = sights[trial->state][end].elsewhere;
		ASSERT_TRUE(goes_round(&attack->rounds));
	}
	seen[CHILD_LEAVING] = end == PART_FREED || end == FREED ? SIGBUS : 0;
	seen[CHILD_STAYING] = end == FREED ? SIGBUS : 0;
	if (attack->child > 0)
		ASSERT_TRUE(goes_round(&attack->child_rounds));
	for (int i = 0; i < PLACES; i++) {
		if (i <= ELSEWHERE ? end < SEEN : attack->child > 0)
			EXPECT_EQ(seen[i], attack->sees[i])
				TH_LOG("%s, %s, place %d", kind_names[trial->span->kind],
				       end_names[trial->end], i);
	}
	EXPECT_EQ(0, attack->foreign)
		TH_LOG("%s, %s: words of the next owner were seen",
		       kind_names[trial->span->kind], end_names[trial->end]);
}

static void act(struct __test_metadata *_metadata, struct trial *trial, const THIS_ACTION *action)
{
	struct attack *attack = trial->attack;
	long result;

	ASSERT_TRUE(goes_round(&attack->rounds));
	if (action->where == OUTSIDE)
		result = action->act(attack, action->argument);
	else
		result = give_order(trial, ACT);
	if (result == SKIPPED)
		return;
	EXPECT_EQ(expected(action, trial->span->kind), result)
		TH_LOG("%s", kind_names[trial->span->kind]);
	if (result >= 0) {
		trial->state = action->state;
		trial->held = action->hold == PIN || (action->hold == CLIENT &&
			      (trial->end == CLOSED || trial->end == KILLED));
	}
	expect_sights(_metadata, trial, ACTED);
}

static void give_up(struct __test_metadata *_metadata, struct trial *trial)
{
	struct attack *attack = trial->attack;
	siginfo_t dead;

	trial->first = attack->first;
	trial->nr_pages = attack->nr_pages;
	switch (trial->end) {
	case PART_FREED:
		trial->first += attack->leaving;
		trial->nr_pages = 1;
		EXPECT_EQ(0, give_order(trial, FREE_PART));
		break;
	case CLOSED:
		EXPECT_EQ(0, give_order(trial, CLOSE));
		break;
	case KILLED:
		EXPECT_EQ(0, kill(attack->pid, SIGKILL));
		if (trial->held)
			waitid(P_PID, attack->pid, &dead, WEXITED | WNOWAIT);
		break;
	default:
		EXPECT_EQ(0, give_order(trial, FREE_WHOLE));
	}
	expect_sights(_metadata, trial, trial->end);
}

/* While the attacker's thread is still at it. */
static void own_next(struct __test_metadata *_metadata, THESE *self, struct trial *trial)
{
	const struct attack *attack = trial->attack;
	const size_t words[] = { 0, 1, FOR_OTHERS / sizeof(uint64_t) };
	volatile uint64_t *page = self->window + (trial->first + (trial->nr_pages > 1) *
				  attack->leaving) * (PAGE / sizeof(uint64_t));

	ASSERT_TRUE(EVENTUALLY(!client_alloc_at(self->fd, trial->first, trial->nr_pages)));
	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		EXPECT_EQ(0, page[words[i]]);
		page[words[i]] = SECRET;
	}
	expect_sights(_metadata, trial, trial->end);
	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		EXPECT_EQ(SECRET, page[words[i]]);
	EXPECT_EQ(0, client_free(self->fd, trial->first, trial->nr_pages));
}

/* Until the pages are given up; false if the action is not to be had here. */
static bool attack_until(struct __test_metadata *_metadata, THESE *self, struct trial *trial,
			 const THIS_ACTION *action)
{
	ASSERT_EQ(0, trial_start(trial, action));
	EXPECT_EQ(is_huge(trial->span->kind) ? 1 : trial->span->nr_pages, trial->attack->faults);
	act(_metadata, trial, action);
	if (trial->attack->missing)
		return false;
	give_up(_metadata, trial);
	if (trial->held)
		EXPECT_EQ(-EBUSY, client_alloc_at(self->fd, trial->first, trial->nr_pages));
	return true;
}

/*
 * Both sizes at once, for that takes long. The first attacker is stopped while
 * the other uses its CPU.
 */
static void shrink(struct __test_metadata *_metadata, THESE *self, const THIS_ACTION *action)
{
	struct trial *trials = self->trials;

	for (int i = 0; i < 2; i++) {
		trials[i] = (struct trial){
			.span = i ? &self->large : &self->small, .end = SHRUNK,
		};
		attack_until(_metadata, self, &trials[i], action);
		if (!i)
			kill(trials[i].attack->pid, SIGSTOP);
	}
	if (trials[0].held)
		EXPECT_LT(0, resize(0));
	for (int i = 0; i < 2; i++)
		EXPECT_TRUE(trial_release(&trials[i]));
	EXPECT_TRUE(EVENTUALLY(!resize(0)));
	EXPECT_EQ(self->pool_pages, resize(self->pool_pages));
	kill(trials[0].attack->pid, SIGCONT);
	for (int i = 0; i < 2; i++) {
		own_next(_metadata, self, &trials[i]);
		trial_stop(&trials[i]);
	}
}

TEST_F_TIMEOUT(action, lets_no_entry_outlive_ownership, 300)
{
	struct trial *trial = &self->trials[0];
	const char *missing;

	if (variant->needs && access(variant->needs, F_OK))
		SKIP(return, "no %s", variant->needs);
	for (enum end end = PART_FREED; end < SHRUNK; end++) {
		for (int i = 0; i < 2; i++) {
			*trial = (struct trial){
				.span = i ? &self->large : &self->small, .end = end,
			};
			if (!attack_until(_metadata, self, trial, variant)) {
				missing = trial->attack->missing;
				trial_stop(trial);
				SKIP(return, "%s", missing);
			}
			EXPECT_TRUE(trial_release(trial));
			own_next(_metadata, self, trial);
			trial_stop(trial);
		}
	}
	shrink(_metadata, self, variant);
}

TEST_HARNESS_MAIN
