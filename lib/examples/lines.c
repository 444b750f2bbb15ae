// SPDX-License-Identifier: MIT
/*
 * Text in lines. Where its memory is from is nobody's business but its own: no allocator is handed
 * in, and none is set up. What it took too much of, it gives back at once.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pagespan.h>
#include <string.h>
#include <unistd.h>

#include "lines.h"

#define FIRST_BYTES (16 * PS_PAGE_SIZE)

static size_t whole_pages(size_t bytes)
{
	return (bytes + PS_PAGE_SIZE - 1) & ~(PS_PAGE_SIZE - 1);
}

/* Twice as much, in place if it can be had there. NULL with errno; what was is gone then. */
static char *grow(char *span, size_t *bytes)
{
	char *larger;

	if (!ps_span_extend(span, *bytes, 2 * *bytes)) {
		*bytes *= 2;
		return span;
	}
	larger = ps_span_alloc(2 * *bytes);
	if (larger)
		memcpy(larger, span, *bytes);
	ps_span_free(span, *bytes);
	*bytes *= 2;
	return larger;
}

/* Only the pages that are used, and one byte more than was asked for. */
static void shrink(char *span, size_t used, size_t *bytes)
{
	size_t kept = whole_pages(used + 1);

	if (kept < *bytes)
		ps_span_free(span + kept, *bytes - kept);
	*bytes = kept;
}

/* The text, a span of whole pages; -errno, or its length. */
static ssize_t read_text(int fd, struct lines *lines)
{
	size_t length = 0;
	ssize_t got;

	lines->text_bytes = FIRST_BYTES;
	lines->text = ps_span_alloc(lines->text_bytes);
	while (lines->text) {
		got = read(fd, lines->text + length, lines->text_bytes - 1 - length);
		if (got <= 0) {
			int error = errno;

			if (got)
				ps_span_free(lines->text, lines->text_bytes);
			else
				shrink(lines->text, length, &lines->text_bytes);
			return got ? -error : (ssize_t)length;
		}
		length += (size_t)got;
		if (length + 1 == lines->text_bytes)
			lines->text = grow(lines->text, &lines->text_bytes);
	}
	return -ENOMEM;
}

static size_t count_lines(const char *text, size_t length)
{
	size_t count = 0;

	for (size_t i = 0; i < length; i++)
		count += text[i] == '\n' || i + 1 == length;
	return count;
}

int lines_read(int fd, struct lines *lines)
{
	ssize_t length = read_text(fd, lines);
	char *at, *end;

	if (length < 0)
		return (int)length;
	lines->count = count_lines(lines->text, (size_t)length);
	lines->bytes = whole_pages((lines->count + 1) * sizeof(*lines->line));
	lines->line = ps_span_alloc(lines->bytes);
	if (!lines->line) {
		ps_span_free(lines->text, lines->text_bytes);
		return -ENOMEM;
	}
	at = lines->text;
	lines->text[length] = '\0';
	for (size_t i = 0; i < lines->count; i++) {
		lines->line[i] = at;
		end = strchrnul(at, '\n');
		*end = '\0';
		at = end + 1;
	}
	return 0;
}

void lines_free(struct lines *lines)
{
	ps_span_free(lines->line, lines->bytes);
	ps_span_free(lines->text, lines->text_bytes);
}
