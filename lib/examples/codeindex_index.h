/* SPDX-License-Identifier: MIT */
/*
 * An inverted index in memory: for every identifier the lines it stands on.
 *
 * An identifier is a longest run of [A-Za-z0-9_] that does not begin with a digit.  Files are
 * numbered from 1 in the order in which they are added, lines from 1 in their file.
 *
 * An identifier's postings are differences to the posting before, 7 bits a byte, the low bits
 * first, bit 7 set in all bytes of a number but its last:
 *
 *   lines * 2                in the same file
 *   files * 2 + 1, line      in another file
 *
 * The first few bytes stand in the identifier itself, which is all that most identifiers need, and
 * its name stands behind them: the three are one object, with one check of the arena.
 *
 * Files must be added sorted by path; the index then depends on nothing but their contents.
 * Compiled once on pagespan and once on malloc; see codeindex_memory.h.
 */
#ifndef CODEINDEX_INDEX_H
#define CODEINDEX_INDEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "codeindex_memory.h"

#define index_open     CODEINDEX_NAME(index_open)
#define index_add_file CODEINDEX_NAME(index_add_file)
#define index_finish   CODEINDEX_NAME(index_finish)
#define index_sort     CODEINDEX_NAME(index_sort)
#define index_find     CODEINDEX_NAME(index_find)
#define index_close    CODEINDEX_NAME(index_close)

/* Bytes of postings in the identifier itself. */
#define POSTINGS_INLINE 8

struct identifier {
	uint32_t last_file; /* its last posting, zeros before the first */
	uint32_t last_line;
	uint32_t used;     /* bytes of postings */
	uint32_t capacity; /* POSTINGS_INLINE, or the size of the block */
	union {
		uint8_t postings[POSTINGS_INLINE];
		uint8_t *block;
	};
	char name[]; /* one zero or more up to a multiple of 8 bytes */
};

/* A block that is an array; what it holds is counted beside it. */
struct table {
	void *block;
	size_t bytes;
};

struct index {
	struct memory memory;
	struct table slots;  /* uint64_t: an identifier's address and 16 bits of its hash, or 0 */
	struct table paths;  /* char * */
	struct table large;  /* struct identifier *: those whose postings fill pages */
	struct table sorted; /* struct identifier *: all, bytewise by name, after index_sort() */
	uint64_t slots_mask; /* the number of slots, a power of two, less 1 */
	unsigned int slots_shift; /* of a hash, to a slot */
	uint32_t nr_identifiers;
	uint32_t nr_files;
	uint32_t nr_large;
	uint64_t nr_lines;
	uint64_t nr_postings;
};

struct posting {
	uint32_t file;
	uint32_t line;
};

struct posting_walk {
	const uint8_t *at;
	const uint8_t *end;
	struct posting last;
};

/* All return 0 or -errno; after an error the index can only be closed. */
int index_open(struct index *index);

/* @text: zeros stand behind it, CORPUS_PADDING of them; needed during the call only. */
int index_add_file(struct index *index, const char *path, const char *text, size_t size);

/* Ends the building: the pages that tables and postings do not use are given back. */
void index_finish(struct index *index);

/* Fills index->sorted, once. */
int index_sort(struct index *index);

/* @name: readable up to 8 bytes behind its end.  NULL if it stands nowhere. */
const struct identifier *index_find(const struct index *index, const char *name);

void index_close(struct index *index);

static inline const char *index_path(const struct index *index, uint32_t file)
{
	char *const *paths = index->paths.block;

	return paths[file - 1];
}

static inline struct identifier *const *index_sorted(const struct index *index)
{
	return index->sorted.block;
}

static inline struct posting_walk postings_of(const struct identifier *identifier)
{
	const uint8_t *at =
		identifier->capacity == POSTINGS_INLINE ? identifier->postings : identifier->block;

	return (struct posting_walk){.at = at, .end = at + identifier->used};
}

static inline uint64_t posting_number(struct posting_walk *walk)
{
	uint64_t number = *walk->at++;

	if (number & 0x80) {
		unsigned int shift = 7;
		uint64_t byte;

		number &= 0x7f;
		do {
			byte = *walk->at++;
			number |= (byte & 0x7f) << shift;
			shift += 7;
		} while (byte & 0x80);
	}
	return number;
}

/* Goes on to the next posting, walk->last, in the order of files and lines; false at the end. */
static inline bool next_posting(struct posting_walk *walk)
{
	uint64_t number;

	if (walk->at == walk->end)
		return false;
	number = posting_number(walk);
	if (number & 1) {
		walk->last.file += (uint32_t)(number >> 1);
		walk->last.line = (uint32_t)posting_number(walk);
	} else {
		walk->last.line += (uint32_t)(number >> 1);
	}
	return true;
}

#endif
