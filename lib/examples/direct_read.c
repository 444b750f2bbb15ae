// SPDX-License-Identifier: MIT
/*
 * Reads a file into spans by direct I/O, past the page cache, and prints its CRC-32 as cksum's
 * cousin.
 *
 * What O_DIRECT asks of memory, spans have by nature: they begin at a page and are whole pages. On
 * the device they stay where they are besides, so that nothing has to be moved or copied first.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pagespan.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "crc32.h"

#define SPAN_BYTES (64 * PS_PAGE_SIZE)

/* Reads the whole file through one span; 0 or -errno. */
static int sum_file(int fd, char *span, uint32_t *crc, uint64_t *bytes)
{
	ssize_t length;

	*crc = 0;
	*bytes = 0;
	while ((length = pread(fd, span, SPAN_BYTES, (off_t)*bytes)) > 0) {
		*crc = crc32(*crc, span, (size_t)length);
		*bytes += (uint64_t)length;
	}
	return length < 0 ? -errno : 0;
}

int main(int argc, char **argv)
{
	uint32_t crc;
	uint64_t bytes;
	int fd, error;
	char *span;

	if (argc != 2) {
		fprintf(stderr, "usage: direct_read FILE\n");
		return 2;
	}
	fd = open(argv[1], O_RDONLY | O_DIRECT | O_CLOEXEC);
	if (fd < 0) {
		fprintf(stderr, "direct_read: %s: %s\n", argv[1],
			errno == EINVAL ? "this file system has no O_DIRECT" : strerror(errno));
		return 1;
	}
	span = ps_span_alloc(SPAN_BYTES);
	if (!span) {
		fprintf(stderr, "direct_read: no span: %s\n", strerror(errno));
		close(fd);
		return 1;
	}
	error = sum_file(fd, span, &crc, &bytes);
	if (error)
		fprintf(stderr, "direct_read: %s: %s\n", argv[1], strerror(-error));
	else
		printf("%08" PRIx32 " %" PRIu64 " %s\n", crc, bytes, ps_backend());
	ps_span_free(span, SPAN_BYTES);
	close(fd);
	return error != 0;
}
