// SPDX-License-Identifier: GPL-2.0-only
/*
 * Fault injection: in every call each allocation, and each copy from and to user
 * memory, fails in its turn, until the call has none left. A call that gives an
 * error has changed nothing and succeeds when repeated; one that succeeds all the
 * same has done all of its work. Needs CONFIG_FAILSLAB, CONFIG_FAIL_PAGE_ALLOC
 * and CONFIG_FAULT_INJECTION_USERCOPY; a splat is for the kernel log to show.
 */
#define _GNU_SOURCE
#include <poll.h>
#include <stdio.h>
#include <sys/uio.h>

#include "harness.h"
#include "fault_injection.h"
#include "importer.h"
#include "pagespan_test.h"

#define MEGABLOCK	512
#define MANY		100

/* More than any call here has. */
#define MOST_SITES	400

/* References to the module, or -1. */
static int module_users(void)
{
	char text[16] = "";
	int fd = open("/sys/module/pagespan/refcnt", O_RDONLY);
	bool known = fd >= 0 && read(fd, text, sizeof(text) - 1) > 0;

	close(fd);
	return known ? atoi(text) : -1;
}

/* What calls work on. A call puts what it makes here, and its undoing takes it away. */
struct subject {
	int fd;		/* the client */
	int made;	/* a descriptor, or -1 */
	int vgem;	/* what imports it, or -1 */
	int pipe[2];
	char *window;	/* over the whole pool, without a page table yet */
	char *mapped;	/* a second mapping, or MAP_FAILED */
	uint64_t nr_pages;
	uint64_t firsts[MANY];
	uint64_t span_pages;	/* of each of them */
};

/* The result of a call: 0 or more, or -errno. */
static long result_of(long ret)
{
	return ret < 0 ? -errno : ret;
}

static char *map(int fd, uint64_t first, uint64_t nr_pages, int flags)
{
	return mmap(NULL, nr_pages * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | flags, fd,
		    first * PAGE);
}

/* ---- what is there before a call, without faults --------------------------------------- */

static bool prepare_nothing(struct subject *subject)
{
	return true;
}

static bool prepare_spans(struct subject *subject, uint32_t nr_pages, uint32_t count)
{
	struct pagespan_alloc alloc = {
		.size = sizeof(alloc),
		.nr_pages = nr_pages,
		.align_pages = nr_pages == MEGABLOCK ? MEGABLOCK : 1,
		.count = count,
		.spans = (uintptr_t)subject->firsts,
	};

	subject->span_pages = nr_pages;
	return client_ioctl(subject->fd, PAGESPAN_ALLOC, &alloc) == count;
}

/* Each page of what was allocated can be written through the window. */
static bool touch_spans(struct subject *subject, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		for (uint64_t page = 0; page < subject->span_pages; page++)
			if (touch(subject->window + (subject->firsts[i] + page) * PAGE, 0x3c))
				return false;
	return true;
}

static bool prepare_page(struct subject *subject)
{
	return prepare_spans(subject, 1, 1);
}

static bool prepare_touched_page(struct subject *subject)
{
	return prepare_page(subject) && touch_spans(subject, 1);
}

static bool prepare_many(struct subject *subject)
{
	return prepare_spans(subject, 2, MANY) && touch_spans(subject, MANY);
}

static bool prepare_megablock(struct subject *subject)
{
	return prepare_spans(subject, MEGABLOCK, 1);
}

static bool prepare_touched_megablock(struct subject *subject)
{
	return prepare_megablock(subject) && touch_spans(subject, 1);
}

/* A page that a pipe holds. */
static bool prepare_pinned_page(struct subject *subject)
{
	struct iovec iov = { .iov_len = PAGE };

	if (!prepare_touched_page(subject) || pipe(subject->pipe))
		return false;
	iov.iov_base = subject->window + subject->firsts[0] * PAGE;
	return vmsplice(subject->pipe[1], &iov, 1, 0) == PAGE;
}

/* Another client, with a megablock in use. */
static bool prepare_other_client(struct subject *subject)
{
	long first;

	subject->made = client_open();
	first = client_alloc_ex(subject->made, MEGABLOCK, 1, 0, NULL);
	if (first < 0)
		return false;
	subject->mapped = map(subject->made, first, MEGABLOCK, 0);
	return !touch(subject->mapped + PAGE, 1) && !touch(subject->mapped + 300 * PAGE, 1);
}

/* ---- calls -------------------------------------------------------------------------------- */

static long run_open(struct subject *subject)
{
	subject->made = open("/dev/pagespan", O_RDWR);
	return result_of(subject->made);
}

static long run_release(struct subject *subject)
{
	if (subject->mapped != MAP_FAILED && munmap(subject->mapped, MEGABLOCK * PAGE))
		return -errno;
	subject->mapped = MAP_FAILED;
	close(subject->made);
	subject->made = -1;
	return 0;
}

static long run_mmap(struct subject *subject)
{
	subject->mapped = map(subject->fd, 0, MEGABLOCK, 0);
	return subject->mapped == MAP_FAILED ? -errno : 0;
}

static long run_mmap_populate(struct subject *subject)
{
	subject->mapped = map(subject->fd, subject->firsts[0], MEGABLOCK, MAP_POPULATE);
	return subject->mapped == MAP_FAILED ? -errno : 0;
}

static long alloc_page(struct subject *subject, uint32_t flags)
{
	char *window = flags & PAGESPAN_ALLOC_POPULATE ? subject->window : NULL;
	long page = client_alloc_one(subject->fd, window, flags);

	subject->span_pages = page >= 0;
	subject->firsts[0] = page;
	return page < 0 ? page : 0;
}

static long run_alloc_one(struct subject *subject)
{
	return alloc_page(subject, 0);
}

static long run_alloc_one_populate(struct subject *subject)
{
	return alloc_page(subject, PAGESPAN_ALLOC_ZERO | PAGESPAN_ALLOC_POPULATE);
}

static long alloc_spans(struct subject *subject, uint32_t nr_pages, uint32_t count)
{
	struct pagespan_alloc alloc = {
		.size = sizeof(alloc),
		.flags = PAGESPAN_ALLOC_ZERO | PAGESPAN_ALLOC_POPULATE,
		.nr_pages = nr_pages,
		.align_pages = nr_pages == MEGABLOCK ? MEGABLOCK : 1,
		.count = count,
		.spans = (uintptr_t)subject->firsts,
		.window = (uintptr_t)subject->window,
	};
	long ret = client_ioctl(subject->fd, PAGESPAN_ALLOC, &alloc);

	subject->span_pages = ret < 0 ? 0 : nr_pages;
	return ret < 0 ? ret : ret == count ? 0 : -ENOMEM;
}

static long run_alloc(struct subject *subject)
{
	return alloc_spans(subject, 3, 1);
}

static long run_alloc_many(struct subject *subject)
{
	return alloc_spans(subject, 2, MANY);
}

static long run_alloc_pages(struct subject *subject)
{
	return alloc_spans(subject, 1, MANY);
}

static long run_alloc_megablock(struct subject *subject)
{
	return alloc_spans(subject, MEGABLOCK, 1);
}

static long run_alloc_at(struct subject *subject)
{
	struct pagespan_alloc_at at = {
		.size = sizeof(at),
		.flags = PAGESPAN_ALLOC_POPULATE,
		.first = subject->nr_pages / 2,
		.nr_pages = 700,
		.window = (uintptr_t)subject->window,
	};
	long ret = client_ioctl(subject->fd, PAGESPAN_ALLOC_AT, &at);

	subject->firsts[0] = at.first;
	subject->span_pages = ret < 0 ? 0 : at.nr_pages;
	return ret;
}

/* Frees the spans that were prepared, or of each of them its first pages. */
static long free_spans(struct subject *subject, uint32_t count, uint64_t nr_pages)
{
	struct pagespan_range ranges[MANY];
	long ret;

	for (uint32_t i = 0; i < count; i++)
		ranges[i] = (struct pagespan_range){ subject->firsts[i], nr_pages };
	ret = client_free_ranges(subject->fd, ranges, count);
	if (ret < 0)
		return ret;
	for (uint32_t i = 0; i < count; i++)
		subject->firsts[i] += nr_pages;
	subject->span_pages -= nr_pages;
	return ret == count ? 0 : -EIO;
}

static long run_free_one(struct subject *subject)
{
	long ret = client_free_one(subject->fd, subject->firsts[0]);

	subject->span_pages = ret < 0;
	return ret;
}

static long run_free(struct subject *subject)
{
	return free_spans(subject, 1, 1);
}

static long run_free_many(struct subject *subject)
{
	return free_spans(subject, MANY, 2);
}

static long run_free_half(struct subject *subject)
{
	return free_spans(subject, 1, MEGABLOCK / 2);
}

static long run_info(struct subject *subject)
{
	struct pagespan_info info = { .size = sizeof(info) };

	return client_ioctl(subject->fd, PAGESPAN_INFO, &info);
}

static long run_query(struct subject *subject)
{
	uint64_t nr_pages = 1;
	long state = client_query(subject->fd, subject->firsts[0], &nr_pages);

	return state == PAGESPAN_QUERY_OWNED ? 0 : state < 0 ? state : -EIO;
}

static long run_phys(struct subject *subject)
{
	struct pagespan_phys phys = { .size = sizeof(phys), .index = subject->firsts[0] };

	return client_ioctl(subject->fd, PAGESPAN_PHYS, &phys);
}

/* If it fails, nothing holds the page any more. */
static long run_export(struct subject *subject)
{
	struct pagespan_export export = {
		.size = sizeof(export),
		.flags = O_CLOEXEC,
		.first = subject->firsts[0],
		.nr_pages = 1,
	};

	subject->made = client_ioctl(subject->fd, PAGESPAN_EXPORT, &export);
	return subject->made < 0 ? subject->made : 0;
}

static bool prepare_export(struct subject *subject)
{
	return prepare_page(subject) && !run_export(subject);
}

static bool prepare_import(struct subject *subject)
{
	subject->vgem = vgem_open();
	return prepare_export(subject);
}

static long run_import(struct subject *subject)
{
	uint32_t handle;

	return vgem_import(subject->vgem, subject->made, &handle);
}

static long run_map_export(struct subject *subject)
{
	subject->mapped = map(subject->made, 0, 1, 0);
	if (subject->mapped == MAP_FAILED)
		return -errno;
	return touch(subject->mapped, 1) ? -EFAULT : 0;
}

static long run_pressure(struct subject *subject)
{
	struct pagespan_pressure told;

	return client_pressure(subject->fd, 0, &told);
}

/* A client that answers, and has nothing to answer yet. */
static bool prepare_answerer(struct subject *subject)
{
	struct pagespan_pressure none = { .size = sizeof(none) };

	return prepare_page(subject) && !client_ioctl(subject->fd, PAGESPAN_PRESSURE, &none) &&
	       !run_pressure(subject);
}

/* Another client asks for all of the pool, and is refused once its time is over. */
static long run_ask(struct subject *subject)
{
	int fd = open("/dev/pagespan", O_RDWR);
	long ret;

	if (fd < 0)
		return -errno;
	ret = client_alloc(fd, subject->nr_pages);
	close(fd);
	return ret == -ENOMEM ? 0 : ret < 0 ? ret : -EIO;
}

static long run_poll(struct subject *subject)
{
	struct pollfd it = { .fd = subject->fd, .events = POLLPRI };

	return result_of(poll(&it, 1, 0));
}

static long run_fault(struct subject *subject)
{
	return touch(subject->window + subject->firsts[0] * PAGE, 1) ? -EFAULT : 0;
}

static long run_vmsplice(struct subject *subject)
{
	struct iovec iov = {
		.iov_base = subject->window + subject->firsts[0] * PAGE,
		.iov_len = PAGE,
	};

	if (subject->pipe[0] < 0 && pipe(subject->pipe))
		return -errno;
	return result_of(vmsplice(subject->pipe[1], &iov, 1, 0));
}

static long run_write_from_outside(struct subject *subject)
{
	char bytes[64] = { 0 };
	struct iovec here = { .iov_base = bytes, .iov_len = sizeof(bytes) };
	struct iovec there = {
		.iov_base = subject->window + subject->firsts[0] * PAGE,
		.iov_len = sizeof(bytes),
	};

	return result_of(process_vm_writev(getpid(), &here, 1, &there, 1, 0));
}

/* Cuts the window in two, and makes it whole again. */
static long run_unmap_and_map(struct subject *subject)
{
	char *middle = subject->window + (subject->firsts[0] + 3) * PAGE;

	if (munmap(middle, 5 * PAGE))
		return -errno;
	if (mmap(middle, 5 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, subject->fd,
		 (subject->firsts[0] + 3) * PAGE) == MAP_FAILED)
		return -errno;
	return touch(middle, 1) ? -EFAULT : 0;
}

static long run_protect(struct subject *subject)
{
	char *middle = subject->window + (subject->firsts[0] + 3) * PAGE;

	if (mprotect(middle, 5 * PAGE, PROT_READ) ||
	    mprotect(middle, 5 * PAGE, PROT_READ | PROT_WRITE))
		return -errno;
	return touch(middle, 1) ? -EFAULT : 0;
}

static bool prepare_second_mapping(struct subject *subject)
{
	if (!prepare_megablock(subject))
		return false;
	subject->mapped = map(subject->fd, subject->firsts[0], MEGABLOCK, 0);
	return subject->mapped != MAP_FAILED && !touch(subject->mapped, 0x3c);
}

static long run_move(struct subject *subject)
{
	char *to = mremap(subject->mapped, MEGABLOCK * PAGE, MEGABLOCK * PAGE,
			  MREMAP_MAYMOVE | MREMAP_FIXED,
			  subject->mapped + (1UL << 32) + 3 * PAGE);

	if (to == MAP_FAILED)
		return -errno;
	/* Short of memory, the kernel leaves the old mapping where it was. */
	munmap(subject->mapped, MEGABLOCK * PAGE);
	subject->mapped = to;
	return *to == 0x3c ? 0 : -EIO;
}

static long run_fdinfo(struct subject *subject)
{
	char path[64], text[512];
	long ret;
	int fd;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", subject->fd);
	fd = open(path, O_RDONLY);
	if (fd < 0)
		return -errno;
	ret = result_of(read(fd, text, sizeof(text)));
	close(fd);
	return ret;
}

/* ---- the sweep ---------------------------------------------------------------------------- */

/* Takes away whatever a call, or what went before it, has made. */
static bool undo(struct subject *subject)
{
	bool done = true;

	for (int i = 0; i < 2; i++)
		if (subject->pipe[i] >= 0)
			close(subject->pipe[i]);
	if (subject->mapped != MAP_FAILED)
		munmap(subject->mapped, MEGABLOCK * PAGE);
	if (subject->made >= 0)
		close(subject->made);
	if (subject->vgem >= 0)
		close(subject->vgem);
	for (int i = 0; i < MANY && subject->span_pages; i++) {
		if (subject->firsts[i] == UINT64_MAX)
			break;
		done &= !touch(subject->window + subject->firsts[i] * PAGE, 1) &&
			!client_free(subject->fd, subject->firsts[i], subject->span_pages);
	}
	done &= EVENTUALLY(client_info(subject->fd).free_pages == subject->nr_pages);
	munmap(subject->window, subject->nr_pages * PAGE);
	return done;
}

static bool begin(struct subject *subject)
{
	subject->made = -1;
	subject->vgem = -1;
	subject->pipe[0] = -1;
	subject->pipe[1] = -1;
	subject->mapped = MAP_FAILED;
	subject->span_pages = 0;
	memset(subject->firsts, 0xff, sizeof(subject->firsts));
	subject->window = client_window(subject->fd);
	return subject->window != MAP_FAILED;
}

FIXTURE(call)
{
	struct subject subject;
	struct pagespan_info before;
	int users;	/* of the module, before the client */
	int control;
	const char *missing;
};

FIXTURE_VARIANT(call)
{
	bool (*prepare)(struct subject *subject);
	long (*run)(struct subject *subject);
};

FIXTURE_VARIANT_ADD(call, open) { prepare_nothing, run_open };
FIXTURE_VARIANT_ADD(call, release) { prepare_other_client, run_release };
FIXTURE_VARIANT_ADD(call, mmap) { prepare_nothing, run_mmap };
FIXTURE_VARIANT_ADD(call, mmap_populate) { prepare_megablock, run_mmap_populate };
FIXTURE_VARIANT_ADD(call, alloc_one) { prepare_nothing, run_alloc_one };
FIXTURE_VARIANT_ADD(call, alloc_one_populate) { prepare_nothing, run_alloc_one_populate };
FIXTURE_VARIANT_ADD(call, alloc) { prepare_nothing, run_alloc };
FIXTURE_VARIANT_ADD(call, alloc_many) { prepare_nothing, run_alloc_many };
FIXTURE_VARIANT_ADD(call, alloc_pages) { prepare_nothing, run_alloc_pages };
FIXTURE_VARIANT_ADD(call, alloc_megablock) { prepare_nothing, run_alloc_megablock };
FIXTURE_VARIANT_ADD(call, alloc_at) { prepare_nothing, run_alloc_at };
FIXTURE_VARIANT_ADD(call, free_one) { prepare_touched_page, run_free_one };
FIXTURE_VARIANT_ADD(call, free) { prepare_pinned_page, run_free };
FIXTURE_VARIANT_ADD(call, free_many) { prepare_many, run_free_many };
FIXTURE_VARIANT_ADD(call, free_half) { prepare_touched_megablock, run_free_half };
FIXTURE_VARIANT_ADD(call, info) { prepare_nothing, run_info };
FIXTURE_VARIANT_ADD(call, query) { prepare_page, run_query };
FIXTURE_VARIANT_ADD(call, phys) { prepare_page, run_phys };
FIXTURE_VARIANT_ADD(call, export) { prepare_page, run_export };
FIXTURE_VARIANT_ADD(call, map_export) { prepare_export, run_map_export };
FIXTURE_VARIANT_ADD(call, import) { prepare_import, run_import };
FIXTURE_VARIANT_ADD(call, pressure) { prepare_nothing, run_pressure };
FIXTURE_VARIANT_ADD(call, ask) { prepare_answerer, run_ask };
FIXTURE_VARIANT_ADD(call, poll) { prepare_nothing, run_poll };
FIXTURE_VARIANT_ADD(call, fault) { prepare_megablock, run_fault };
FIXTURE_VARIANT_ADD(call, vmsplice) { prepare_page, run_vmsplice };
FIXTURE_VARIANT_ADD(call, write_from_outside) { prepare_page, run_write_from_outside };
FIXTURE_VARIANT_ADD(call, unmap_and_map) { prepare_touched_megablock, run_unmap_and_map };
FIXTURE_VARIANT_ADD(call, protect) { prepare_touched_megablock, run_protect };
FIXTURE_VARIANT_ADD(call, move) { prepare_second_mapping, run_move };
FIXTURE_VARIANT_ADD(call, fdinfo) { prepare_nothing, run_fdinfo };

FIXTURE_SETUP(call)
{
	self->control = open("/proc/thread-self/fail-nth", O_RDWR);
	/* The test skips itself, for SKIP() in a fixture does not stop it. */
	self->missing = fault_injection_missing(self->control);
	if (variant->prepare == prepare_import) {
		int vgem = vgem_open();

		if (vgem < 0)
			self->missing = VGEM_MISSING;
		close(vgem);
	}
	self->users = module_users();
	self->subject.fd = client_open();
	ASSERT_LE(0, self->subject.fd);
	self->before = client_info(self->subject.fd);
	self->subject.nr_pages = self->before.free_pages;
}

FIXTURE_TEARDOWN(call)
{
	close(self->control);
	close(self->subject.fd);
	EXPECT_TRUE(EVENTUALLY(module_users() == self->users));
}

static bool unchanged(int fd, const struct pagespan_info *before)
{
	struct pagespan_info now = client_info(fd);

	return !memcmp(&now, before, sizeof(now));
}

TEST_F_TIMEOUT(call, survives_every_failing_site, 200)
{
	struct subject *subject = &self->subject;
	struct pagespan_info prepared;
	unsigned int nth = 0, errors = 0;
	bool hit = true;
	long ret;

	if (self->missing)
		SKIP(return, "%s", self->missing);
	while (hit) {
		ASSERT_GT(MOST_SITES, ++nth);
		ASSERT_TRUE(begin(subject));
		ASSERT_TRUE(variant->prepare(subject));
		prepared = client_info(subject->fd);

		fault_inject(self->control, nth);
		ret = variant->run(subject);
		hit = fault_injected(self->control);
		if (ret < 0) {
			ASSERT_TRUE(hit) TH_LOG("%ld without a failing site", ret);
			errors++;
			EXPECT_TRUE(unchanged(subject->fd, &prepared)) TH_LOG("site %u", nth);
			ret = variant->run(subject);
		}
		ASSERT_LE(0, ret) TH_LOG("site %u", nth);
		ASSERT_TRUE(undo(subject)) TH_LOG("site %u", nth);
		ASSERT_TRUE(unchanged(subject->fd, &self->before)) TH_LOG("site %u", nth);
	}
	TH_LOG("%u sites, %u of them errors", nth - 1, errors);
}

TEST_HARNESS_MAIN
