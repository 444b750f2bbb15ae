// SPDX-License-Identifier: GPL-2.0-only
/*
 * Uses memory all over the machine, and keeps it from being moved: "pin MIB PINNED"
 * fills MIB MiB, gives back all but every fourth of them, and in PINNED of those
 * pins a page, by vmsplice into pipes that nobody reads. Says a line when it has,
 * and at the end of its input looks whether its memory is what it was.
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <sys/uio.h>

#include "pagespan_test.h"

#define MIB		(256 * PAGE)
#define PIPE_PAGES	256

/* One of so many MiB is kept. */
#define KEPT		4

static int pin(char *page)
{
	static int pinned, ends[2];
	struct iovec iov = { .iov_base = page, .iov_len = PAGE };

	if (!(pinned++ % PIPE_PAGES)) {
		if (pipe(ends) || fcntl(ends[1], F_SETPIPE_SZ, PIPE_PAGES * PAGE) < 0)
			return 1;
	}
	return vmsplice(ends[1], &iov, 1, SPLICE_F_NONBLOCK) != PAGE;
}

int main(int argc, char **argv)
{
	long mib = argc == 3 ? atol(argv[1]) : 0;
	long pinned = argc == 3 ? atol(argv[2]) : 0;
	char *memory = mmap(NULL, mib * MIB, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	long i, page;

	if (memory == MAP_FAILED || madvise(memory, mib * MIB, MADV_NOHUGEPAGE))
		return 1;
	for (page = 0; page < mib * 256; page++)
		*(long *)(memory + page * PAGE) = page;
	for (i = 0; i < mib; i++) {
		if (i % KEPT)
			madvise(memory + i * MIB, MIB, MADV_DONTNEED);
		else if (i / KEPT < pinned && pin(memory + i * MIB))
			return 1;
	}
	printf("%ld\n", mib);
	fflush(stdout);
	if (getchar() != EOF)
		return 1;
	for (i = 0; i < mib; i += KEPT)
		for (page = i * 256; page < (i + 1) * 256; page++)
			if (*(long *)(memory + page * PAGE) != page)
				return 1;
	return 0;
}
