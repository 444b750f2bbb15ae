// SPDX-License-Identifier: MIT
/*
 * Reads a file into spans by io_uring, several reads in flight, into buffers that are registered:
 * the kernel takes hold of their pages once, and not for each read. Prints the file's CRC-32.
 *
 * Memory of a device file can be registered since Linux 6.5; before, and where io_uring is not
 * allowed, this says so and ends with 3.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <liburing.h>
#include <pagespan.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "crc32.h"

#define BUFFERS    4
#define SPAN_BYTES (16 * PS_PAGE_SIZE)
#define MISSING    3

struct reader {
	struct io_uring ring;
	struct iovec buffers[BUFFERS];
	int fd;
	uint64_t next; /* what is to be read next */
};

static void begin_read(struct reader *reader, int buffer)
{
	struct io_uring_sqe *entry = io_uring_get_sqe(&reader->ring);

	io_uring_prep_read_fixed(entry, reader->fd, reader->buffers[buffer].iov_base, SPAN_BYTES,
				 reader->next, buffer);
	/* One read after the other in the file, whichever ends first. */
	entry->flags |= IOSQE_IO_LINK;
	io_uring_sqe_set_data64(entry, (uint64_t)buffer);
	reader->next += SPAN_BYTES;
}

/* Reads BUFFERS spans; adds them up in order. Returns how many bytes, or -errno. */
static int64_t read_some(struct reader *reader, uint32_t *crc)
{
	int lengths[BUFFERS] = {0};
	int64_t bytes = 0;
	int submitted;

	for (int i = 0; i < BUFFERS; i++)
		begin_read(reader, i);
	submitted = io_uring_submit_and_wait(&reader->ring, BUFFERS);
	if (submitted < 0)
		return submitted;
	for (int i = 0; i < BUFFERS; i++) {
		struct io_uring_cqe *result;
		int error = io_uring_wait_cqe(&reader->ring, &result);

		if (error)
			return error;
		lengths[io_uring_cqe_get_data64(result)] = result->res;
		io_uring_cqe_seen(&reader->ring, result);
	}
	/* A read that ended short, at the end of the file, has cancelled those linked behind it. */
	for (int i = 0; i < BUFFERS && lengths[i]; i++) {
		if (lengths[i] == -ECANCELED && i)
			break;
		if (lengths[i] < 0)
			return lengths[i];
		*crc = crc32(*crc, reader->buffers[i].iov_base, (size_t)lengths[i]);
		bytes += lengths[i];
	}
	return bytes;
}

static int64_t sum_file(struct reader *reader, uint32_t *crc)
{
	int64_t sum = 0, bytes;

	*crc = 0;
	do {
		bytes = read_some(reader, crc);
		sum += bytes;
	} while (bytes == (int64_t)(BUFFERS * SPAN_BYTES));
	return bytes < 0 ? bytes : sum;
}

/* 0, or -errno. */
static int open_ring(struct reader *reader)
{
	int error = io_uring_queue_init(BUFFERS, &reader->ring, 0);

	if (error)
		return error;
	for (int i = 0; i < BUFFERS; i++) {
		void *span = ps_span_alloc(SPAN_BYTES);

		if (!span)
			return -errno;
		reader->buffers[i] = (struct iovec){span, SPAN_BYTES};
	}
	return io_uring_register_buffers(&reader->ring, reader->buffers, BUFFERS);
}

int main(int argc, char **argv)
{
	struct reader reader = {0};
	int64_t bytes;
	uint32_t crc;
	int error;

	if (argc != 2) {
		fprintf(stderr, "usage: uring_read FILE\n");
		return 2;
	}
	reader.fd = open(argv[1], O_RDONLY | O_CLOEXEC);
	if (reader.fd < 0) {
		fprintf(stderr, "uring_read: %s: %s\n", argv[1], strerror(errno));
		return 1;
	}
	error = open_ring(&reader);
	if (error) {
		fprintf(stderr, "uring_read: no registered buffers: %s\n", strerror(-error));
		return error == -EOPNOTSUPP || error == -ENOSYS || error == -EPERM ? MISSING : 1;
	}
	bytes = sum_file(&reader, &crc);
	io_uring_queue_exit(&reader.ring);
	for (int i = 0; i < BUFFERS; i++)
		ps_span_free(reader.buffers[i].iov_base, SPAN_BYTES);
	close(reader.fd);
	if (bytes < 0) {
		fprintf(stderr, "uring_read: %s: %s\n", argv[1], strerror((int)-bytes));
		return 1;
	}
	printf("%08" PRIx32 " %" PRId64 " %s\n", crc, bytes, ps_backend());
	return 0;
}
