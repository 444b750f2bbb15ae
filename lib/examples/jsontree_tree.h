/* SPDX-License-Identifier: MIT */
/* A JSON document as a tree: read from a text, put in order, written. */
#ifndef JSONTREE_TREE_H
#define JSONTREE_TREE_H

#include <stddef.h>
#include <stdio.h>

#include "jsontree_memory.h"

enum json_type {
	JSON_NULL,
	JSON_FALSE,
	JSON_TRUE,
	JSON_NUMBER,
	JSON_STRING,
	JSON_ARRAY,
	JSON_OBJECT
};

struct json_text {
	char *bytes; /* not terminated; may contain zeros */
	size_t size;
};

struct json {
	enum json_type type;
	struct json_text name; /* of a member of an object */
	struct json *next;     /* in the same array or object */
	union {
		struct json_text text; /* JSON_NUMBER as it was written, JSON_STRING decoded */
		struct json *first;    /* JSON_ARRAY, JSON_OBJECT */
	};
};

/* Where a text is being read. */
struct json_reader {
	struct memory *memory;
	const char *at;
	const char *end;
	const char *error; /* why nothing was read; at is where */
};

/* The next document, or NULL: at the end of the text, or with an error. */
struct json *json_read(struct json_reader *reader);

/* Puts the members of every object in the order of their names; equal names stay as they were. */
void json_sort(struct json *json);

/* On one line. */
void json_write(const struct json *json, FILE *stream);

/* Frees a tree node by node, where the memory wants that. */
void json_free(struct memory *memory, struct json *json);

#endif
