/* SPDX-License-Identifier: MIT */
/*
 * The text files below a directory, read into memory before anything is measured.
 *
 * Which files and in which order does not depend on the machine: every regular file that is not
 * binary, sorted bytewise by its path relative to the directory.  Symbolic links and the
 * directories of version control (.git, .hg, .svn) are not entered.
 */
#ifndef CODEINDEX_CORPUS_H
#define CODEINDEX_CORPUS_H

#include <stddef.h>
#include <stdint.h>

/* Zero bytes behind every text, so that whole words may be read at its end. */
#define CORPUS_PADDING 8

/* Line numbers fit 32 bits because the bytes do. */
#define CORPUS_MAX ((uint64_t)UINT32_MAX)

struct corpus_file {
	char *path;       /* relative to the directory */
	const char *text; /* size bytes, then CORPUS_PADDING zero bytes */
	size_t size;
};

struct corpus {
	struct corpus_file *files;
	size_t nr_files;
	size_t nr_binary;     /* skipped: a NUL byte in the first kilobytes */
	size_t nr_unreadable; /* files and directories, each named on stderr */
	uint64_t bytes;       /* of all texts */
	char *buffer;         /* one mapping that holds the texts */
	size_t buffer_bytes;
};

/**
 * corpus_read() - read every text file below a directory
 * @corpus: filled in; corpus_free() it if this succeeds
 * @directory: a directory, or a symbolic link to one
 *
 * Return: 0, or -errno: what opening @directory gave, ENOMEM, or EFBIG above CORPUS_MAX bytes.
 */
int corpus_read(struct corpus *corpus, const char *directory);

void corpus_free(struct corpus *corpus);

#endif
