// SPDX-License-Identifier: MIT
/*
 * Reading a source tree: walk it, sort the paths, then read the files in that order into one
 * mapping.  The mapping is as long as the files were during the walk; what a file gains until it
 * is read is ignored.
 */
#include "codeindex_corpus.h"

#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* A NUL byte this early makes a file binary. */
#define BINARY_PROBE 8192

static void report_unreadable(struct corpus *corpus, const char *directory, const char *path,
			      int error)
{
	fprintf(stderr, "codeindex: %s/%s: %s\n", directory, path, strerror(error));
	corpus->nr_unreadable++;
}

static bool is_version_control(const char *name)
{
	return !strcmp(name, ".git") || !strcmp(name, ".hg") || !strcmp(name, ".svn");
}

static int add_path(struct corpus *corpus, size_t *capacity, const char *path, size_t size)
{
	struct corpus_file *files = corpus->files;

	if (corpus->nr_files == *capacity) {
		*capacity = *capacity ? *capacity * 2 : 1024;
		files = reallocarray(files, *capacity, sizeof(*files));
		if (!files)
			return -ENOMEM;
		corpus->files = files;
	}
	files += corpus->nr_files;
	files->path = strdup(path);
	if (!files->path)
		return -ENOMEM;
	files->size = size;
	corpus->nr_files++;
	corpus->bytes += size;
	return corpus->bytes > CORPUS_MAX ? -EFBIG : 0;
}

static int walk_entry(struct corpus *corpus, size_t *capacity, const char *directory, FTS *walk,
		      FTSENT *entry)
{
	const char *path = entry->fts_path + strlen(directory);

	while (*path == '/')
		path++;

	switch (entry->fts_info) {
	case FTS_D:
		if (entry->fts_level > 0 && is_version_control(entry->fts_name))
			fts_set(walk, entry, FTS_SKIP);
		return 0;
	case FTS_F:
		return add_path(corpus, capacity, path, (size_t)entry->fts_statp->st_size);
	case FTS_DNR:
	case FTS_NS:
	case FTS_ERR:
		report_unreadable(corpus, directory, path, entry->fts_errno);
		return 0;
	default:
		return 0;
	}
}

static int find_files(struct corpus *corpus, const char *directory)
{
	char *const roots[] = {(char *)directory, NULL};
	size_t capacity = 0;
	FTSENT *entry;
	int err = 0;
	FTS *walk;

	walk = fts_open(roots, FTS_PHYSICAL | FTS_COMFOLLOW | FTS_NOCHDIR, NULL);
	if (!walk)
		return -errno;
	while (!err) {
		errno = 0;
		entry = fts_read(walk);
		if (!entry) {
			err = -errno;
			break;
		}
		err = walk_entry(corpus, &capacity, directory, walk, entry);
	}
	fts_close(walk);
	return err;
}

static int compare_paths(const void *left, const void *right)
{
	const struct corpus_file *a = left;
	const struct corpus_file *b = right;

	return strcmp(a->path, b->path);
}

/* Reads up to @size bytes; the number read, or -errno. */
static ssize_t read_text(int root, const char *path, char *text, size_t size)
{
	int fd = openat(root, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	ssize_t done = 0;
	ssize_t got = 1;

	if (fd < 0)
		return -errno;
	while (got > 0 && (size_t)done < size) {
		got = read(fd, text + done, size - (size_t)done);
		if (got < 0 && errno == EINTR)
			got = 1;
		else if (got < 0)
			done = -errno;
		else
			done += got;
	}
	close(fd);
	return done;
}

static int map_buffer(struct corpus *corpus)
{
	size_t bytes = corpus->bytes + (corpus->nr_files + 1) * CORPUS_PADDING;
	char *buffer;

	buffer = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (buffer == MAP_FAILED)
		return -errno;
	corpus->buffer = buffer;
	corpus->buffer_bytes = bytes;
	return 0;
}

/* Reads the files in order and drops from the list what is binary or cannot be read. */
static void read_files(struct corpus *corpus, const char *directory, int root)
{
	size_t nr_found = corpus->nr_files;
	char *text = corpus->buffer;

	corpus->nr_files = 0;
	corpus->bytes = 0;
	for (size_t i = 0; i < nr_found; i++) {
		struct corpus_file file = corpus->files[i];
		ssize_t size = read_text(root, file.path, text, file.size);

		if (size < 0) {
			report_unreadable(corpus, directory, file.path, (int)-size);
			free(file.path);
			continue;
		}
		file.text = text;
		file.size = (size_t)size;
		if (memchr(text, 0, file.size < BINARY_PROBE ? file.size : BINARY_PROBE)) {
			corpus->nr_binary++;
			free(file.path);
			continue;
		}
		corpus->files[corpus->nr_files++] = file;
		corpus->bytes += file.size;
		text += file.size;
		memset(text, 0, CORPUS_PADDING);
		text += CORPUS_PADDING;
	}
}

int corpus_read(struct corpus *corpus, const char *directory)
{
	int root = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int err;

	if (root < 0)
		return -errno;
	*corpus = (struct corpus){0};
	err = find_files(corpus, directory);
	if (err)
		goto out_free;
	if (corpus->nr_files)
		qsort(corpus->files, corpus->nr_files, sizeof(*corpus->files), compare_paths);
	err = map_buffer(corpus);
	if (err)
		goto out_free;
	read_files(corpus, directory, root);
	close(root);
	return 0;

out_free:
	corpus_free(corpus);
	close(root);
	return err;
}

void corpus_free(struct corpus *corpus)
{
	for (size_t i = 0; i < corpus->nr_files; i++)
		free(corpus->files[i].path);
	free(corpus->files);
	if (corpus->buffer)
		munmap(corpus->buffer, corpus->buffer_bytes);
	*corpus = (struct corpus){0};
}
