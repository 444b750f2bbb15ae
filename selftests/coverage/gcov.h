/* SPDX-License-Identifier: GPL-2.0-only */
/* What gcc 12 and 13 put into an object whose lines are counted, and what gcov reads. */
#ifndef PAGESPAN_GCOV_H
#define PAGESPAN_GCOV_H

#include <linux/types.h>

#if __GNUC__ < 12 || __GNUC__ > 13
#error the layout of counters is that of gcc 12 and 13
#endif

#define GCOV_KINDS		8
#define GCOV_MAGIC		0x67636461	/* "gcda" */
#define GCOV_TAG_FUNCTION	0x01000000
#define GCOV_TAG_COUNTS(kind)	(0x01a10000 + ((kind) << 17))

struct gcov_counts {
	u32 nr;
	u64 *values;
};

struct gcov_function {
	const struct gcov_object *object;
	u32 words[3]; /* that tell which it is */
	struct gcov_counts counts[]; /* of the kinds that the object has */
};

struct gcov_object {
	u32 version;
	void *unused;
	u32 stamp;
	u32 checksum;
	const char *filename;
	void *kinds[GCOV_KINDS]; /* a function for each kind that it has */
	u32 nr_functions;
	const struct gcov_function *const *functions;
};

/* What gcc calls in programs; here it is only pointed to. */
void __gcov_merge_add(u64 *values, u32 nr);

/**
 * struct gcov_table - the counted objects of a module
 * @nr: how many
 * @objects: where they begin
 */
struct gcov_table {
	u32 nr;
	const struct gcov_object **objects;
};

#endif
