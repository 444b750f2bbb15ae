/* SPDX-License-Identifier: MIT */
/* One library of two that know nothing of each other: text in lines. */
#ifndef EXAMPLES_LINES_H
#define EXAMPLES_LINES_H

#include <stddef.h>

/* Lines of a text; each ends with a zero byte. */
struct lines {
	char **line;
	size_t count;
	size_t bytes; /* of line[], a multiple of a page */
	char *text;
	size_t text_bytes; /* a multiple of a page */
};

/**
 * lines_read() - read all lines of a file
 * @fd: an open file
 * @lines: where to
 *
 * Return: 0 or -errno.
 */
int lines_read(int fd, struct lines *lines);

/** lines_free() - forget them. @lines: from lines_read() */
void lines_free(struct lines *lines);

#endif
