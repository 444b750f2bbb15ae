/* SPDX-License-Identifier: MIT */
/* The system's files, all of them below one root, which tests and images have elsewhere. */
#ifndef PAGESPANCTL_FILES_H
#define PAGESPANCTL_FILES_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* "" is this machine. */
extern const char *files_root;

/**
 * file_path() - where a file is
 * @format: its absolute path, as printf()
 *
 * Return: the path below the root, to be freed.
 */
char *file_path(const char *format, ...) __attribute__((format(printf, 1, 2)));

/**
 * file_open() - open a file to be read
 * @path: absolute
 *
 * Return: the file, or NULL with errno.
 */
FILE *file_open(const char *path);

/**
 * file_text() - read a small file
 * @path: absolute
 *
 * Return: what it holds, without white space at its end, to be freed; or NULL with errno.
 */
char *file_text(const char *path);

/**
 * file_number() - read a file that holds a number
 * @path: absolute
 * @value: where to
 *
 * Return: whether it does; if not, errno.
 */
bool file_number(const char *path, uint64_t *value);

/**
 * file_exists() - whether there is a file
 * @path: absolute
 *
 * Return: true if there is.
 */
bool file_exists(const char *path);

/**
 * file_write() - make or replace a small file, wholly or not at all
 * @path: absolute; its directory is made if need be
 * @text: what it shall hold
 *
 * Return: whether that is done; if not, it has been said.
 */
bool file_write(const char *path, const char *text);

#endif
