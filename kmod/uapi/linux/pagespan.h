/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * The kernel interface of pagespan: /dev/pagespan.
 *
 * The module reserves physical memory once, the pool, and gives it out in
 * spans: contiguous ranges of 4 KiB pages.  Pages are named by their index in
 * the pool, 0 to nr_pages - 1 (PAGESPAN_INFO).
 *
 * One open of the device is a client.  It owns the pages it allocates until it
 * frees them or the last file descriptor of the open is closed, whoever
 * allocated through it: a descriptor that is inherited, duplicated or passed on
 * is the same client. What it owns, and what it has freed while the kernel still
 * held it, is charged to it and to the user who opened it, by the real uid; both may
 * have a limit. A closed client, and so its user, stays charged for pages that are
 * still held, exported ones among them, until they are released.
 *
 * Where the kernel has the dmem cgroup controller, the pool is its region "pagespan", of
 * the largest size that the pool may have. The cgroup that the allocating task
 * is in is charged too, whoever opened the device, and stays so if the task leaves it.
 *
 * A request that does not find its pages free is not refused before other clients were
 * asked what they can spare, as far as they answer: see PAGESPAN_PRESSURE.
 *
 * mmap() of the device gives the client its window:
 *
 *	mmap(addr, length, PROT_READ | PROT_WRITE, MAP_SHARED, fd, index * 4096)
 *
 * Offset is page index times page size; the window may cover pages that the
 * client does not own, and usually covers the whole pool.  Touching a page that
 * the client does not own at that moment, or that is not there, raises SIGBUS.  A window must be
 * MAP_SHARED (else EINVAL), is never executable (EACCES), cannot leave the pool
 * (EINVAL), and is not inherited over fork.
 *
 * The window is memory like any other to the rest of the kernel, which pins its
 * pages one by one; or, of a 2 MiB mapping since Linux 6.17, all 512 of them:
 *
 *	O_DIRECT, vmsplice(), process_vm_readv(), process_vm_writev(), ptrace()
 *		work on owned pages, EFAULT (ptrace: EIO) on others.  A page freed
 *		while one of them holds it is quarantined, see PAGESPAN_FREE.
 *	io_uring's registered buffers
 *		work since Linux 6.5; before, registering is EOPNOTSUPP.  Pages
 *		freed while registered are quarantined until unregistered.
 *	futexes
 *		work in spans, shared ones too: mutexes, conditions and barriers of
 *		several processes, robust or with inherited priority, and stacks of
 *		threads. They are the same through every window of the client and
 *		every mapping of an export of the page. Who waits on a page that is
 *		freed is woken by nobody else's futexes, but by this client's own if it
 *		gets the page again, as always when memory is used again.
 *	mlock(), mlockall(), MAP_POPULATE
 *		map what the client owns; mlock() gives ENOMEM for other pages.
 *		The pages never leave memory anyway.
 *	mprotect(), munmap(), mremap() of the same length
 *		work on any part.  Unmapping frees nothing, and what is mapped again
 *		holds what it held.  A mapping does not grow and is not doubled by
 *		mremap(): EFAULT, or EINVAL for MREMAP_DONTUNMAP.
 *	MADV_DONTNEED	keeps the contents; MADV_REMOVE is refused.
 *	msync()	succeeds and does nothing.
 *	fork()	leaves the window to the parent.  The child has the descriptor, and so
 *		the client; its exit returns nothing that the parent's descriptor keeps.
 *	exec	ends the window.  The client ends with it if the descriptor is
 *		close-on-exec and was the last.
 *	core dumps	leave the window out, and MADV_DODUMP is EINVAL.
 *	memory that breaks, as memory_failure() finds it
 *		raises SIGBUS with BUS_MCEERR_AR in who touches it; si_addr_lsb is 12:
 *		the pages around it are as they were, those of a 2 MiB page too.  Who
 *		asked for it by prctl(PR_MCE_KILL) gets BUS_MCEERR_AO at once.  The page
 *		is freed as any other, but given to nobody any more, nor to the system,
 *		until reboot.
 *
 * Every structure begins with its own size, set by the caller to the sizeof it
 * was compiled with, and grows only at its end:
 *
 *	EINVAL	size is less than the first released size of the structure
 *	E2BIG	size is more than this kernel knows, and a byte beyond is not 0;
 *		or size is above 4096
 *	EFAULT	the structure, or memory it points to, is not accessible
 *	EINVAL	an unknown flag, or a reserved member that is not 0
 *	ENOTTY	an unknown command
 *
 * A call that gives an error has changed nothing.
 */
#ifndef _UAPI_LINUX_PAGESPAN_H
#define _UAPI_LINUX_PAGESPAN_H

#include <linux/ioctl.h>
#include <linux/types.h>

#define PAGESPAN_PAGE_SIZE	4096

/* The longest span, in pages. */
#define PAGESPAN_MAX_PAGES	65536

/* The largest alignment of a span, in pages. */
#define PAGESPAN_MAX_ALIGN	512

/* The most spans one PAGESPAN_ALLOC, or ranges one PAGESPAN_FREE, handles. */
#define PAGESPAN_MAX_COUNT	1024

#define PAGESPAN_TYPE		0xBF

/*
 * ioctl(fd, PAGESPAN_ALLOC_ONE, window | flags) - allocate one page
 *
 * The hot path: argument and result are values, nothing is copied and nothing
 * can get lost. The window is a multiple of 4096, used with
 * PAGESPAN_ALLOC_POPULATE as in struct pagespan_alloc and else 0; the flags are
 * PAGESPAN_ALLOC_*.
 *
 * Return: the page's index, or an error as PAGESPAN_ALLOC.
 */
#define PAGESPAN_ALLOC_ONE	_IO(PAGESPAN_TYPE, 0x00)

/*
 * ioctl(fd, PAGESPAN_FREE_ONE, index) - free one page
 *
 * Return: 0, or EINVAL if the client does not own the page.
 */
#define PAGESPAN_FREE_ONE	_IO(PAGESPAN_TYPE, 0x01)

/* Every byte of the span is 0. */
#define PAGESPAN_ALLOC_ZERO	0x1

/* Map the span in the caller's window now, so that touching it never faults. */
#define PAGESPAN_ALLOC_POPULATE	0x2

/**
 * struct pagespan_alloc - ioctl(PAGESPAN_ALLOC)
 * @size: sizeof(struct pagespan_alloc)
 * @flags: PAGESPAN_ALLOC_*
 * @nr_pages: pages of each span, 1 to PAGESPAN_MAX_PAGES
 * @align_pages: alignment of each span's first index, a power of two up to
 *	PAGESPAN_MAX_ALIGN; 1 for none
 * @count: number of spans, 1 to PAGESPAN_MAX_COUNT
 * @__reserved: must be 0
 * @spans: user pointer to an array of @count __u64, filled with the index of
 *	each span's first page
 * @window: with PAGESPAN_ALLOC_POPULATE, the address at which the caller has
 *	mapped index 0, or would have; else 0
 *
 * A page that another client owned last, or that is new from the system, reads
 * as zeros; a page that this client owned last keeps what it holds, unless
 * PAGESPAN_ALLOC_ZERO asks for zeros, or the module clears what is freed
 * (zero_on_free=).
 *
 * PAGESPAN_ALLOC_POPULATE maps what it can: a page whose address in @window is
 * not a writable window of this client stays for a fault to map, without an
 * error. A span that covers whole aligned megablocks of a pool that allows it
 * is mapped with 2 MiB pages, by this flag and by faults alike.
 *
 * Return: the number of spans allocated. It is less than @count if the pool or
 * the client's quota ran out, and only that many entries of @spans mean
 * anything. An error only if not even one was allocated:
 *
 *	ENOMEM	no run of free pages is long enough (exact: nothing that fits
 *		is ever refused), nor did other clients free one when asked
 *	EDQUOT	the client, its user, or the cgroup of the task would be charged for
 *		more than allowed
 *	EINVAL	@nr_pages, @align_pages, @count or @window is out of range
 *	EINTR	a fatal signal arrived
 */
struct pagespan_alloc {
	__u32 size;
	__u32 flags;
	__u32 nr_pages;
	__u32 align_pages;
	__u32 count;
	__u32 __reserved;
	__aligned_u64 spans;
	__aligned_u64 window;
};

#define PAGESPAN_ALLOC		_IO(PAGESPAN_TYPE, 0x02)

/**
 * struct pagespan_alloc_at - ioctl(PAGESPAN_ALLOC_AT)
 * @size: sizeof(struct pagespan_alloc_at)
 * @flags: PAGESPAN_ALLOC_*
 * @first: index of the first page wanted
 * @window: as in struct pagespan_alloc
 * @nr_pages: pages wanted, 1 to PAGESPAN_MAX_PAGES
 * @__reserved: must be 0
 *
 * Allocates exactly the pages from @first on: how a span grows in place.
 *
 * Return: 0, or
 *
 *	EDQUOT, EINTR	as PAGESPAN_ALLOC; EDQUOT whether or not the pages are free
 *	EBUSY	one of the pages is not free, or not there
 *	EINVAL	the range leaves the pool, or @nr_pages or @window is out of range
 */
struct pagespan_alloc_at {
	__u32 size;
	__u32 flags;
	__aligned_u64 first;
	__aligned_u64 window;
	__u32 nr_pages;
	__u32 __reserved;
};

#define PAGESPAN_ALLOC_AT	_IO(PAGESPAN_TYPE, 0x03)

/**
 * struct pagespan_range - pages [first, first + nr_pages)
 * @first: index of the first page
 * @nr_pages: number of pages, at least 1
 */
struct pagespan_range {
	__aligned_u64 first;
	__aligned_u64 nr_pages;
};

/**
 * struct pagespan_free - ioctl(PAGESPAN_FREE)
 * @size: sizeof(struct pagespan_free)
 * @flags: must be 0
 * @count: number of ranges, 1 to PAGESPAN_MAX_COUNT
 * @__reserved: must be 0
 * @ranges: user pointer to an array of @count struct pagespan_range
 *
 * A range is any set of consecutive pages that the client owns: all of a span,
 * a part of one, or several.  When the call returns no mapping reaches a freed
 * page, nor does what a CPU remembers of one.  A page near a freed one may lose
 * its mapping, never what it holds; the next touch maps it again.  A page that
 * the kernel itself still holds, for direct I/O in flight say, is quarantined: no
 * longer the client's to touch, but charged to it, and given to nobody until it
 * is released.  Since Linux 6.17 it holds a page of a 2 MiB mapping with the
 * 511 others: what is freed of those waits for each other's release.
 *
 * Ranges are freed in order, each wholly or not at all.
 *
 * Return: the number of ranges freed; if it is less than @count, the range at
 * that place was refused and the later ones are untouched.  An error only if
 * none was freed:
 *
 *	EINVAL	a page of the first is not owned by this client, or it is empty, or
 *		@count is out of range
 *	ENOMEM	no memory for a copy of @ranges, which a single range does not need
 */
struct pagespan_free {
	__u32 size;
	__u32 flags;
	__u32 count;
	__u32 __reserved;
	__aligned_u64 ranges;
};

#define PAGESPAN_FREE		_IO(PAGESPAN_TYPE, 0x04)

/**
 * struct pagespan_info - ioctl(PAGESPAN_INFO)
 * @size: sizeof(struct pagespan_info)
 * @flags: PAGESPAN_INFO_*
 * @nr_pages: page indices are below this; the length of a window over all of
 *	them; the same as long as the module is loaded
 * @pool_pages: pages that are there: the pool may grow and shrink. The rest of
 *	the index space is never free: it cannot be allocated, nor touched
 * @free_pages: pages that nobody owns and that are not broken
 * @longest_run: length of the longest run of free pages
 * @owned_pages: pages that this client owns
 * @quarantined_pages: pages charged to this client but still held by the kernel
 * @quota_pages: what @owned_pages and @quarantined_pages together may reach: the
 *	least of the limits of the client and of its user, and @pool_pages. Other
 *	clients of the user may leave less of it, and so may a cgroup
 * @source: where the pool's memory is from, enum pagespan_source; if from
 *	several, the best of them; 0 if the pool has no page
 * @sources: bit 1 << source for each source that some of it is from
 *
 * All members but @size must be 0 in the call and are filled in by it; a
 * caller that passes a smaller size gets the members it knows. The figures
 * are those of one moment each, and of the past by the time they are read.
 *
 * Return: 0.
 */
struct pagespan_info {
	__u32 size;
	__u32 flags;
	__aligned_u64 nr_pages;
	__aligned_u64 pool_pages;
	__aligned_u64 free_pages;
	__aligned_u64 longest_run;
	__aligned_u64 owned_pages;
	__aligned_u64 quarantined_pages;
	__aligned_u64 quota_pages;
	__u32 source;
	__u32 sources;
};

#define PAGESPAN_INFO		_IO(PAGESPAN_TYPE, 0x05)

/*
 * Whole aligned megablocks are mapped with 2 MiB pages, at least those from
 * PAGESPAN_SOURCE_PHYS and PAGESPAN_SOURCE_HOTPLUG; PAGESPAN_QUERY tells which.
 */
#define PAGESPAN_INFO_HUGE	0x1

/* None is, whatever the source: the kernel has no transparent huge pages, as under PREEMPT_RT. */
#define PAGESPAN_INFO_NO_THP	0x2

/* why_not in /sys/class/misc/pagespan, and the kernel log, say why it is not a better one. */
enum pagespan_source {
	PAGESPAN_SOURCE_CONTIG = 1,	/* taken from the running system by alloc_contig_range() */
	PAGESPAN_SOURCE_PHYS = 2,	/* reserved at boot: phys= */
	PAGESPAN_SOURCE_HOTPLUG = 3,	/* memory blocks unplugged from the running system */
	PAGESPAN_SOURCE_RESERVE_MEM = 4,	/* reserved at boot by name: reserve_mem= */
};

/**
 * struct pagespan_query - ioctl(PAGESPAN_QUERY)
 * @size: sizeof(struct pagespan_query)
 * @state: out: PAGESPAN_QUERY_* of the page @first
 * @first: index of the first page
 * @nr_pages: in: how many pages to look at, 1 to PAGESPAN_MAX_PAGES;
 *	out: how many, from @first on, are in the same state
 *
 * Tells only what concerns this client: pages of others have state 0, as free
 * ones have.
 *
 * Return: 0, or EINVAL if the range is empty or leaves the pool.
 */
struct pagespan_query {
	__u32 size;
	__u32 state;
	__aligned_u64 first;
	__aligned_u64 nr_pages;
};

#define PAGESPAN_QUERY		_IO(PAGESPAN_TYPE, 0x06)

#define PAGESPAN_QUERY_OWNED		0x1
#define PAGESPAN_QUERY_QUARANTINED	0x2
#define PAGESPAN_QUERY_EXPORTED		0x4	/* by PAGESPAN_EXPORT, and not yet released */
#define PAGESPAN_QUERY_HUGE		0x8	/* may be mapped by a 2 MiB page */
#define PAGESPAN_QUERY_POISONED		0x10	/* broken memory: touching it raises SIGBUS */

/**
 * struct pagespan_phys - ioctl(PAGESPAN_PHYS)
 * @size: sizeof(struct pagespan_phys)
 * @__reserved: must be 0
 * @index: index of an owned page
 * @address: out: its physical address
 *
 * The pages of a span lie at consecutive addresses. The address is good until
 * the page is freed.
 *
 * Return: 0, EPERM without CAP_SYS_RAWIO, or EINVAL if the client does not own
 * the page.
 */
struct pagespan_phys {
	__u32 size;
	__u32 __reserved;
	__aligned_u64 index;
	__aligned_u64 address;
};

#define PAGESPAN_PHYS		_IO(PAGESPAN_TYPE, 0x07)

/* Nobody writes through the dma-buf. */
#define PAGESPAN_EXPORT_RDONLY	0x1

/**
 * struct pagespan_export - ioctl(PAGESPAN_EXPORT)
 * @size: sizeof(struct pagespan_export)
 * @flags: PAGESPAN_EXPORT_*, O_CLOEXEC
 * @first: index of the first page
 * @nr_pages: pages to export, 1 to PAGESPAN_MAX_PAGES
 *
 * Makes a dma-buf of pages that the client owns: other processes map it through
 * the descriptor, drivers import it. Pages that are freed while exported are
 * quarantined until the last reference to the dma-buf is gone.
 *
 * A mapping of it is MAP_SHARED (else EINVAL), is never executable (EACCES),
 * stays inside it (EINVAL), is inherited over fork, and is memory like the
 * window's to the rest of the kernel, with 4 KiB pages. Around what it does there
 * a process calls DMA_BUF_IOCTL_SYNC if a device takes part that the CPU's caches
 * do not follow.
 *
 * With PAGESPAN_EXPORT_RDONLY the descriptor is read-only. Then mapping the
 * dma-buf for writing is EACCES, whoever asks and through whichever driver, and so
 * is a later mprotect(); a driver may let its device read the pages, but is refused
 * if the device is to write to them (EACCES), which graphics drivers always want,
 * or if it asks for their address (EINVAL). Whoever has the client writes through
 * its window as before.
 *
 * Return: a file descriptor, or
 *
 *	EINVAL	the client does not own all of the pages, or an unknown flag
 *	EMFILE, ENFILE, ENOMEM	no descriptor or no memory to be had
 */
struct pagespan_export {
	__u32 size;
	__u32 flags;
	__aligned_u64 first;
	__aligned_u64 nr_pages;
};

#define PAGESPAN_EXPORT		_IO(PAGESPAN_TYPE, 0x08)

/* Ask this client from now on. Without it, the client is asked no more. */
#define PAGESPAN_PRESSURE_ANSWER	0x1

/**
 * struct pagespan_pressure - ioctl(PAGESPAN_PRESSURE)
 * @size: sizeof(struct pagespan_pressure)
 * @flags: PAGESPAN_PRESSURE_ANSWER, or 0
 * @answered: what @asked was when the caller began to free what it can spare, which it
 *	has done by now; 0 if it has not been asked yet
 * @asked: out: how often the client was asked
 * @nr_pages: out: the run that is wanted, by whoever asked; 0 if nothing is asked that
 *	is not answered. A hint, for others may want more meanwhile
 * @__reserved: must be 0
 *
 * A client that keeps pages which it does not need at the moment, as a cache does, gives
 * this call with PAGESPAN_PRESSURE_ANSWER once, and so promises to answer. Before
 * another client's PAGESPAN_ALLOC or PAGESPAN_ALLOC_ONE is refused with ENOMEM, those that
 * answer and own pages are asked: poll() of the descriptor gives POLLPRI, and this call
 * @nr_pages, until the client answers:
 *
 *	struct pagespan_pressure it = { sizeof(it), PAGESPAN_PRESSURE_ANSWER };
 *	struct pollfd poll_it = { fd, POLLPRI };
 *
 *	for (;;) {
 *		it.asked = it.nr_pages = 0;
 *		ioctl(fd, PAGESPAN_PRESSURE, &it);
 *		it.answered = it.asked;
 *		if (it.nr_pages)
 *			free_what_can_be_spared(fd);
 *		else
 *			poll(&poll_it, 1, -1);
 *	}
 *
 * The request is tried again and again meanwhile, for at most 10 ms. It is refused earlier
 * if all have answered. A client that lets the 10 ms pass is left alone: nobody waits for it
 * until it has answered after all. Between an answer and being asked again are at
 * least 5 ms, however many ask; a request that comes in between waits for that, too.
 *
 * A request is refused at once, as if nobody answered, if a limit is what refuses it; if no
 * other client that answers owns a page; if the pool has not as many pages; or if
 * the descriptor is O_NONBLOCK, but then others are asked and it may be repeated.
 * PAGESPAN_ALLOC that got some of its spans, and PAGESPAN_ALLOC_AT, ask nobody.
 * While a request waits only fatal signals interrupt it.
 *
 * @asked and @nr_pages must be 0 in the call.
 *
 * Return: 0, or EINVAL if @answered is more than @asked was.
 */
struct pagespan_pressure {
	__u32 size;
	__u32 flags;
	__aligned_u64 answered;
	__aligned_u64 asked;
	__u32 nr_pages;
	__u32 __reserved;
};

#define PAGESPAN_PRESSURE	_IO(PAGESPAN_TYPE, 0x09)

/*
 * ioctl(fd, PAGESPAN_ADOPT, address), in the child of a fork
 *
 * Whoever inherits a window over fork() is a client of its own, which sees what the
 * parent had at that moment.  This gives it a descriptor, of any descriptor of the
 * device; @address is in the window.  The window mapped anew by it costs less.
 *
 * Return: the descriptor, or
 *
 *	EINVAL	there is no such window at @address
 *	EBUSY	that client has a descriptor
 */
#define PAGESPAN_ADOPT		_IO(PAGESPAN_TYPE, 0x0a)

/*
 * ioctl(fd, PAGESPAN_SNAPSHOT, 0)
 *
 * Return: a descriptor of a new client, which sees what this one sees at this moment.
 */
#define PAGESPAN_SNAPSHOT	_IO(PAGESPAN_TYPE, 0x0b)

#endif /* _UAPI_LINUX_PAGESPAN_H */
