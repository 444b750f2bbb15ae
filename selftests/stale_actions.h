/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What processes do to a mapping: a function each, of which, with those of
 * stale_system.h, the table of stale.c is made. One is called by the process whose
 * mapping it is, or by the test, and returns 0, another result or -errno; SKIPPED,
 * and why, if this kernel or this machine does not have it. None touches the pages,
 * but for what it is to do: a touch would make an entry anew.
 */
#ifndef PAGESPAN_STALE_ACTIONS_H
#define PAGESPAN_STALE_ACTIONS_H

#include <limits.h>
#include <linux/io_uring.h>
#include <linux/userfaultfd.h>
#include <stdio.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include "pagespan_test.h"
#include "stale.h"

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE		25
#endif
#ifndef MADV_SOFT_OFFLINE
#define MADV_SOFT_OFFLINE	101
#endif
#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL	102
#define MADV_GUARD_REMOVE	103
#endif

/* What no call returns. */
#define SKIPPED		LONG_MIN

static inline long skip(struct attack *attack, const char *missing)
{
	attack->missing = missing;
	return SKIPPED;
}

static inline long or_errno(long ret)
{
	return ret < 0 ? -errno : ret;
}

static inline int file_of(pid_t pid, const char *name, int flags)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
	return open(path, flags | O_CLOEXEC);
}

/* ---- advice ------------------------------------------------------------------------------ */

static long advise(struct attack *attack, long advice)
{
	return or_errno(madvise(attack->base, bytes_of(attack), advice));
}

static long advise_page(struct attack *attack, long advice)
{
	long ret = or_errno(madvise(page_leaving(attack), PAGE, advice));

	/* What Linux 7.3 says to MADV_SOFT_OFFLINE of memory that was reserved at boot. */
	return ret == -ENOTRECOVERABLE ? -EIO : ret;
}

/* By another process: 0 if all of it was advised. */
static long advise_by_pid(struct attack *attack, long advice)
{
	struct iovec range = { .iov_base = attack->base, .iov_len = bytes_of(attack) };
	int pidfd = syscall(SYS_pidfd_open, attack->pid, 0);
	long ret = or_errno(syscall(SYS_process_madvise, pidfd, &range, 1, advice, 0));

	close(pidfd);
	return ret == bytes_of(attack) ? 0 : ret;
}

/* ---- protection, locking ----------------------------------------------------------------- */

static long protect(struct attack *attack, long protection)
{
	return or_errno(mprotect(attack->base, bytes_of(attack), protection));
}

static long protect_and_back(struct attack *attack, long protection)
{
	return protect(attack, protection) ?: protect(attack, PROT_READ | PROT_WRITE);
}

static long protect_page_and_back(struct attack *attack, long protection)
{
	char *page = page_leaving(attack);

	return or_errno(mprotect(page, PAGE, protection)) ?:
	       or_errno(mprotect(page, PAGE, PROT_READ | PROT_WRITE));
}

static long protect_by_key(struct attack *attack, long unused)
{
	int key = pkey_alloc(0, 0);
	long ret;

	if (key < 0)
		return skip(attack, "no protection keys");
	ret = or_errno(pkey_mprotect(attack->base, bytes_of(attack), PROT_READ | PROT_WRITE, key));
	return ret ?: or_errno(pkey_mprotect(attack->base, bytes_of(attack),
					     PROT_READ | PROT_WRITE, 0));
}

static long lock(struct attack *attack, long flags)
{
	return or_errno(mlock2(attack->base, bytes_of(attack), flags));
}

static long lock_and_unlock(struct attack *attack, long flags)
{
	return lock(attack, flags) ?: or_errno(munlock(attack->base, bytes_of(attack)));
}

static long lock_all(struct attack *attack, long flags)
{
	return or_errno(mlockall(flags));
}

/* ---- unmapping, moving ------------------------------------------------------------------- */

static long unmap_page(struct attack *attack, long unused)
{
	return or_errno(munmap(page_leaving(attack), PAGE));
}

static long unmap(struct attack *attack, long unused)
{
	return or_errno(munmap(attack->base, bytes_of(attack)));
}

/* Other memory takes the place of a page, at once with what the attacker's words are like. */
static long map_over_page(struct attack *attack, long unused)
{
	uint64_t *other = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			       -1, 0);

	if (other == MAP_FAILED)
		return -errno;
	*other = OWN << 32;
	return mremap(other, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, page_leaving(attack)) ==
	       MAP_FAILED ? -errno : 0;
}

/* To a place as well aligned, but for so many bytes. */
static long move(struct attack *attack, long bytes)
{
	char *to = attack->aside + bytes;

	if (mremap(attack->base, bytes_of(attack), bytes_of(attack),
		   MREMAP_MAYMOVE | MREMAP_FIXED, to) == MAP_FAILED)
		return -errno;
	attack->word[ELSEWHERE] = (uint64_t *)(to + attack->leaving * PAGE);
	return 0;
}

static long move_page(struct attack *attack, long unused)
{
	if (mremap(page_leaving(attack), PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED,
		   attack->aside) == MAP_FAILED)
		return -errno;
	attack->word[ELSEWHERE] = (uint64_t *)attack->aside;
	return 0;
}

static long grow(struct attack *attack, long unused)
{
	return mremap(attack->base, bytes_of(attack), bytes_of(attack) + PAGE, MREMAP_MAYMOVE) ==
	       MAP_FAILED ? -errno : 0;
}

static long double_it(struct attack *attack, long unused)
{
	return mremap(attack->base, 0, bytes_of(attack), MREMAP_MAYMOVE) == MAP_FAILED ? -errno : 0;
}

static long move_and_keep(struct attack *attack, long unused)
{
	return mremap(attack->base, bytes_of(attack), bytes_of(attack),
		      MREMAP_MAYMOVE | MREMAP_DONTUNMAP, NULL) == MAP_FAILED ? -errno : 0;
}

/* The staying page takes the place of the other. */
static long remap_page(struct attack *attack, long unused)
{
	return or_errno(remap_file_pages(page_leaving(attack), PAGE, 0,
					 attack->first + attack->staying, 0));
}

/* ---- memory reached in other ways ---------------------------------------------------------- */

static long trace(struct attack *attack, long unused)
{
	char *word = page_leaving(attack) + FOR_OTHERS;
	long wrote, ret;

	if (ptrace(PTRACE_SEIZE, attack->pid, NULL, NULL) ||
	    ptrace(PTRACE_INTERRUPT, attack->pid, NULL, NULL) ||
	    waitpid(attack->pid, NULL, 0) != attack->pid)
		return -errno;
	errno = 0;
	wrote = ptrace(PTRACE_PEEKDATA, attack->pid, word, NULL) + 1;
	ret = or_errno(ptrace(PTRACE_POKEDATA, attack->pid, word, wrote));
	if (!ret && (errno || ptrace(PTRACE_PEEKDATA, attack->pid, word, NULL) != wrote))
		ret = -EIO;
	return or_errno(ptrace(PTRACE_DETACH, attack->pid, NULL, NULL)) ?: ret;
}

static long read_and_write_from_outside(struct attack *attack, long unused)
{
	uint64_t word = 0;
	struct iovec here = { .iov_base = &word, .iov_len = sizeof(word) };
	struct iovec there = {
		.iov_base = page_leaving(attack) + FOR_OTHERS, .iov_len = sizeof(word),
	};

	if (process_vm_readv(attack->pid, &here, 1, &there, 1, 0) != sizeof(word))
		return -errno;
	word++;
	return process_vm_writev(attack->pid, &here, 1, &there, 1, 0) == sizeof(word) ? 0 : -errno;
}

static long read_and_write_by_file(struct attack *attack, long unused)
{
	uintptr_t place = (uintptr_t)page_leaving(attack) + FOR_OTHERS;
	int fd = file_of(attack->pid, "mem", O_RDWR);
	uint64_t word = 0;
	long ret = or_errno(pread(fd, &word, sizeof(word), place));

	word++;
	if (ret == sizeof(word))
		ret = or_errno(pwrite(fd, &word, sizeof(word), place));
	close(fd);
	return ret == sizeof(word) ? 0 : ret;
}

/* The page stays pinned until the pipe is read. */
static long pin_by_pipe(struct attack *attack, long unused)
{
	struct iovec page = { .iov_base = page_leaving(attack), .iov_len = PAGE };
	long ret = or_errno(vmsplice(attack->pipe[1], &page, 1, 0));

	return ret == PAGE ? 0 : ret;
}

/* The page stays pinned until the buffer is unregistered. */
static long pin_buffer(struct attack *attack, long unused)
{
	struct iovec page = { .iov_base = page_leaving(attack), .iov_len = PAGE };

	if (attack->ring < 0)
		return skip(attack, "no io_uring");
	return or_errno(syscall(SYS_io_uring_register, attack->ring, IORING_REGISTER_BUFFERS,
				&page, 1));
}

static long handle_faults(struct attack *attack, long mode)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register range = {
		.range = { .start = (uintptr_t)attack->base, .len = bytes_of(attack) },
		.mode = mode,
	};
	int fd = syscall(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY);
	long ret;

	if (fd < 0)
		return skip(attack, "no userfaultfd");
	ret = or_errno(ioctl(fd, UFFDIO_API, &api)) ?: or_errno(ioctl(fd, UFFDIO_REGISTER, &range));
	close(fd);
	return ret;
}

/* ---- children ------------------------------------------------------------------------------ */

/* A child with a mapping of its own of the same client, which it uses. */
static pid_t start_child(struct attack *attack)
{
	pid_t pid = fork();
	char *window;

	if (pid)
		return pid;
	window = mmap(NULL, bytes_of(attack), PROT_READ | PROT_WRITE, MAP_SHARED, attack->fd,
		      attack->first * PAGE);
	if (window == MAP_FAILED)
		_exit(1);
	for (uint64_t i = 0; i < attack->nr_pages; i++)
		window[i * PAGE + FOR_OTHERS] = 1;
	return 0;
}

static long end_of(pid_t pid)
{
	int status;

	if (waitpid(pid, &status, 0) != pid)
		return -errno;
	return status ? -ECHILD : 0;
}

static long exit_of_another(struct attack *attack, long unused)
{
	pid_t pid = start_child(attack);

	if (!pid)
		_exit(0);
	return end_of(pid);
}

static long exec_of_another(struct attack *attack, long unused)
{
	pid_t pid = start_child(attack);

	if (!pid) {
		execl("/bin/true", "true", NULL);
		_exit(1);
	}
	return end_of(pid);
}

/* To have the window left to children, or not. */
static long let_inherit(struct attack *attack, long unused)
{
	return or_errno(leave_to_children(attack->base, bytes_of(attack)));
}

/* A child that has the window after all, and uses it now and then. */
static long bear(struct attack *attack, long unused)
{
	long ret = or_errno(leave_to_children(attack->base, bytes_of(attack)));
	pid_t pid;

	if (ret)
		return ret;
	attack->word[CHILD_LEAVING] = attack->word[LEAVING] + 1;
	attack->word[CHILD_STAYING] = attack->word[STAYING] + 1;
	*attack->word[CHILD_LEAVING] = OWN << 32;
	*attack->word[CHILD_STAYING] = OWN << 32;
	pid = fork();
	if (!pid && !inherit(attack->fd, attack->base, bytes_of(attack), attack->first))
		_exit(1);
	while (!pid) {
		look_round(attack, CHILD_LEAVING, CHILD_STAYING, &attack->child_rounds);
		usleep(100);
	}
	attack->child = pid;
	return pid < 0 ? -errno : 0;
}

#endif
