/* SPDX-License-Identifier: MIT */
/*
 * What bench-span and bench-sizes measure: the cheapest call of each subject that gives
 * page-aligned blocks of whole pages. With tcmalloc and mimalloc that is malloc(), which does not
 * promise it; the benchmark looks at every block.
 */
#ifndef PAGESPAN_BENCH_SPAN_SUBJECT_H
#define PAGESPAN_BENCH_SPAN_SUBJECT_H

#include <stddef.h>
#include <stdlib.h>
#include <sys/mman.h>

#include <pagespan.h>

/* The smallest block that there is. */
enum {
	subject_least_pages =
#ifdef SUBJECT_LEAST_PAGES
		SUBJECT_LEAST_PAGES
#else
		1
#endif
};

#if defined(SUBJECT_MALLOC) || defined(SUBJECT_ALIGNED_ALLOC) /* glibc, or the library linked */

static inline void *subject_alloc(size_t bytes)
{
#ifdef SUBJECT_MALLOC
	return malloc(bytes);
#else
	return aligned_alloc(PS_PAGE_SIZE, bytes);
#endif
}

static inline void subject_free(void *start, size_t bytes)
{
	(void)bytes;
	free(start);
}

#elif defined(SUBJECT_MMAP)

/* hugetlbfs is -DSUBJECT_MMAP=MAP_HUGETLB. */
static inline void *subject_alloc(size_t bytes)
{
	void *start = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | SUBJECT_MMAP, -1, 0);

	return start == MAP_FAILED ? NULL : start;
}

static inline void subject_free(void *start, size_t bytes)
{
	munmap(start, bytes);
}

#else

#define SUBJECT_PAGESPAN

static inline void *subject_alloc(size_t bytes)
{
	return ps_span_alloc(bytes);
}

static inline void subject_free(void *start, size_t bytes)
{
	ps_span_free(start, bytes);
}

#endif

#endif
