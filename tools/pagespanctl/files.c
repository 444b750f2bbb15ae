// SPDX-License-Identifier: MIT
/* The system's files below one root. */
#define _GNU_SOURCE
#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "files.h"
#include "pagespanctl.h"

const char *files_root = "";

char *file_path(const char *format, ...)
{
	va_list arguments;
	char *path = NULL, *whole = NULL;

	va_start(arguments, format);
	if (vasprintf(&path, format, arguments) < 0 ||
	    asprintf(&whole, "%s%s", files_root, path) < 0)
		abort();
	va_end(arguments);
	free(path);
	return whole;
}

FILE *file_open(const char *path)
{
	char *whole = file_path("%s", path);
	FILE *file = fopen(whole, "re");

	free(whole);
	return file;
}

char *file_text(const char *path)
{
	FILE *file = file_open(path);
	char *text = NULL;
	size_t room = 0;
	ssize_t length;

	if (!file)
		return NULL;
	errno = 0;
	length = getdelim(&text, &room, '\0', file);
	if (length < 0 && errno) {
		int error = errno;

		free(text);
		fclose(file);
		errno = error;
		return NULL;
	}
	fclose(file);
	if (length < 0)
		length = 0;
	while (length && isspace((unsigned char)text[length - 1]))
		length--;
	text[length] = '\0';
	return text;
}

bool file_number(const char *path, uint64_t *value)
{
	char *text = file_text(path), *end;

	if (!text)
		return false;
	errno = 0;
	*value = strtoull(text, &end, 0);
	if (!errno && (end == text || *end))
		errno = EINVAL;
	free(text);
	return !errno;
}

bool file_exists(const char *path)
{
	char *whole = file_path("%s", path);
	bool exists = !access(whole, F_OK);

	free(whole);
	return exists;
}

static bool write_and_move(const char *path, const char *temporary, const char *text)
{
	FILE *file = fopen(temporary, "we");
	bool written;

	if (!file)
		return false;
	written = fputs(text, file) >= 0;
	written = !fclose(file) && written;
	if (written && !rename(temporary, path))
		return true;
	unlink(temporary);
	return false;
}

bool file_write(const char *path, const char *text)
{
	char *whole = file_path("%s", path);
	char *temporary = file_path("%s.new", path);
	char *directory = strdup(whole);
	bool written;

	*strrchr(directory, '/') = '\0';
	mkdir(directory, 0755);
	written = write_and_move(whole, temporary, text);
	if (!written)
		complain("cannot write %s: %m", whole);
	free(directory);
	free(temporary);
	free(whole);
	return written;
}
