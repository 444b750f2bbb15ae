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
 * is the same client.
 *
 * mmap() of the device gives the client its window:
 *
 *	mmap(addr, length, PROT_READ | PROT_WRITE, MAP_SHARED, fd, index * 4096)
 *
 * Offset is page index times page size; the window may cover pages that the
 * client does not own, and usually covers the whole pool.  Touching a page that
 * the client does not own at that moment raises SIGBUS.  A window must be
 * MAP_SHARED (else EINVAL), is never executable (EACCES), cannot leave the pool
 * (EINVAL), and is not inherited over fork.
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
 *
 * A page that another client owned last, or that is new from the system, reads
 * as zeros; a page that this client owned last keeps what it holds, unless
 * PAGESPAN_ALLOC_ZERO asks for zeros.
 *
 * Return: the number of spans allocated.  It is less than @count if the pool
 * ran out or a signal arrived between spans, and only that many entries of
 * @spans mean anything.  An error only if not even one was allocated:
 *
 *	ENOMEM	no run of free pages is long enough (exact: nothing that fits
 *		is ever refused)
 *	EINVAL	@nr_pages, @align_pages or @count is out of range
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
};

#define PAGESPAN_ALLOC		_IO(PAGESPAN_TYPE, 0x00)

/* Every byte of the spans is 0. */
#define PAGESPAN_ALLOC_ZERO	0x1

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
 * page.  A page that the kernel itself still holds, for direct I/O in flight
 * say, is quarantined: no longer the client's to touch, but charged to it, and
 * given to nobody until it is released.
 *
 * Ranges are freed in order, each wholly or not at all.
 *
 * Return: the number of ranges freed; if it is less than @count, the range at
 * that place was refused and the later ones are untouched.  An error only if
 * the first range is refused:
 *
 *	EINVAL	a page of it is not owned by this client, or it is empty, or
 *		@count is out of range
 */
struct pagespan_free {
	__u32 size;
	__u32 flags;
	__u32 count;
	__u32 __reserved;
	__aligned_u64 ranges;
};

#define PAGESPAN_FREE		_IO(PAGESPAN_TYPE, 0x01)

/**
 * struct pagespan_info - ioctl(PAGESPAN_INFO)
 * @size: sizeof(struct pagespan_info)
 * @source: where the pool's memory is from, enum pagespan_source
 * @nr_pages: pages in the pool: indices are below this
 * @free_pages: pages that nobody owns
 * @longest_run: length of the longest run of free pages
 * @owned_pages: pages that this client owns
 * @quarantined_pages: pages charged to this client but still held by the kernel
 *
 * All members but @size must be 0 in the call and are filled in by it; a
 * caller that passes a smaller size gets the members it knows.  The figures
 * are those of one moment each, and of the past by the time they are read.
 *
 * Return: 0.
 */
struct pagespan_info {
	__u32 size;
	__u32 source;
	__aligned_u64 nr_pages;
	__aligned_u64 free_pages;
	__aligned_u64 longest_run;
	__aligned_u64 owned_pages;
	__aligned_u64 quarantined_pages;
};

#define PAGESPAN_INFO		_IO(PAGESPAN_TYPE, 0x02)

enum pagespan_source {
	PAGESPAN_SOURCE_CONTIG = 1,	/* alloc_contig_range() at insmod */
};

#endif /* _UAPI_LINUX_PAGESPAN_H */
