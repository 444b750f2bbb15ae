// SPDX-License-Identifier: MIT
/*
 * jsontree: JSON documents with their members in order.
 *
 * Reads the documents of a file, one after the other, each as a tree, sorts the members of its
 * objects by name and writes it on a line. A tree lives as long as its document: with an arena it
 * ends at once, however many nodes it has.
 *
 * Usage: jsontree FILE
 */
#include "jsontree_tree.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* The whole file; empty with errno 0 if it is empty. */
static struct json_text map_file(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct json_text text = {NULL, 0};
	struct stat status;

	if (fd < 0 || fstat(fd, &status))
		return text;
	errno = 0;
	if (status.st_size)
		text.bytes = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (text.bytes == MAP_FAILED)
		text.bytes = NULL;
	else
		text.size = (size_t)status.st_size;
	close(fd);
	return text;
}

static size_t line_of(const char *at, const char *text)
{
	size_t line = 1;

	while (at-- > text)
		line += *at == '\n';
	return line;
}

static bool convert(struct json_reader *reader)
{
	struct json *json;

	while ((json = json_read(reader))) {
		json_sort(json);
		json_write(json, stdout);
		putchar('\n');
		json_free(reader->memory, json);
		memory_end_document(reader->memory);
	}
	return !reader->error;
}

int main(int argc, char **argv)
{
	struct json_reader reader = {0};
	struct memory memory;
	struct json_text text;
	bool good;

	if (argc != 2) {
		fputs("usage: jsontree FILE\n", stderr);
		return 2;
	}
	text = map_file(argv[1]);
	if (!text.bytes && errno) {
		fprintf(stderr, "jsontree: %s: %s\n", argv[1], strerror(errno));
		return EXIT_FAILURE;
	}
	if (!memory_open(&memory)) {
		perror("jsontree: cannot have an arena");
		return EXIT_FAILURE;
	}
	reader = (struct json_reader){&memory, text.bytes, text.bytes + text.size, NULL};
	good = convert(&reader);
	if (!good)
		fprintf(stderr, "jsontree: %s:%zu: %s\n", argv[1], line_of(reader.at, text.bytes),
			reader.error);
	memory_close(&memory);
	if (fflush(stdout)) {
		perror("jsontree: standard output");
		good = false;
	}
	return good ? EXIT_SUCCESS : EXIT_FAILURE;
}
