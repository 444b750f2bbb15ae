// SPDX-License-Identifier: MIT
/* The writer's slower half; bytes and numbers are inlined from the header. */
#include "codeindex_writer.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

void writer_open(struct writer *writer, int fd)
{
	writer->fd = fd;
	writer->error = 0;
	writer->used = 0;
}

int writer_flush(struct writer *writer)
{
	const char *at = writer->buffer;

	while (writer->used && !writer->error) {
		ssize_t done = write(writer->fd, at, writer->used);

		if (done >= 0) {
			at += done;
			writer->used -= (size_t)done;
		} else if (errno != EINTR) {
			writer->error = -errno;
		}
	}
	writer->used = 0;
	return writer->error;
}

void write_bytes(struct writer *writer, const char *bytes, size_t size)
{
	while (size) {
		size_t part = WRITER_BYTES - writer->used;

		if (part > size)
			part = size;
		memcpy(writer->buffer + writer->used, bytes, part);
		writer->used += part;
		bytes += part;
		size -= part;
		if (writer->used == WRITER_BYTES)
			writer_flush(writer);
	}
}

void write_string(struct writer *writer, const char *string)
{
	write_bytes(writer, string, strlen(string));
}

void write_path(struct writer *writer, const char *path)
{
	for (; *path; path++) {
		unsigned char byte = (unsigned char)*path;

		if (byte >= ' ' && byte != '\\' && byte != 0x7f) {
			write_byte(writer, *path);
			continue;
		}
		write_byte(writer, '\\');
		write_byte(writer, (char)('0' + (byte >> 6)));
		write_byte(writer, (char)('0' + (byte >> 3 & 7)));
		write_byte(writer, (char)('0' + (byte & 7)));
	}
}
