/* SPDX-License-Identifier: MIT */
/*
 * Text to a file descriptor, through a buffer that allocates nothing.  The first error is kept and
 * nothing is written after it.
 */
#ifndef CODEINDEX_WRITER_H
#define CODEINDEX_WRITER_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define WRITER_BYTES 65536

/* Of the largest number. */
#define WRITER_DIGITS 20

struct writer {
	int fd;
	int error; /* 0 or -errno */
	size_t used;
	char buffer[WRITER_BYTES];
};

void writer_open(struct writer *writer, int fd);

/* Writes the buffer out; 0, or the first error as -errno. */
int writer_flush(struct writer *writer);

void write_bytes(struct writer *writer, const char *bytes, size_t size);
void write_string(struct writer *writer, const char *string);
/* A path on one line: control bytes and backslashes as \ and three octal digits. */
void write_path(struct writer *writer, const char *path);

static inline void write_byte(struct writer *writer, char byte)
{
	if (writer->used == WRITER_BYTES)
		writer_flush(writer);
	writer->buffer[writer->used++] = byte;
}

/* In decimal. */
static inline void write_number(struct writer *writer, uint64_t number)
{
	char digits[2 * WRITER_DIGITS];
	char *at = digits + WRITER_DIGITS;

	do {
		*--at = (char)('0' + number % 10);
		number /= 10;
	} while (number);
	if (WRITER_BYTES - writer->used < WRITER_DIGITS)
		writer_flush(writer);
	/* Always as many bytes: what is behind the digits is overwritten by what comes next. */
	memcpy(writer->buffer + writer->used, at, WRITER_DIGITS);
	writer->used += (size_t)(digits + WRITER_DIGITS - at);
}

#endif
