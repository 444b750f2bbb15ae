/* SPDX-License-Identifier: MIT */
/*
 * One job: build the index of a corpus, ask it, write it.  Its results are a struct and two texts,
 * so that it can run in a process of its own.
 */
#ifndef CODEINDEX_JOB_H
#define CODEINDEX_JOB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "codeindex_corpus.h"

struct job_request {
	const struct corpus *corpus;
	const char *const *queries; /* each readable up to 8 bytes behind its end */
	size_t nr_queries;          /* 0: the identifiers with the most postings */
	bool headings;              /* in the answers */
	int answers_fd;
	int index_fd; /* -1: not wanted */
};

enum job_status {
	JOB_DONE,
	JOB_NO_BACKEND,
	JOB_OUT_OF_MEMORY,
	JOB_LEAKED,
	JOB_FAILED,
	JOB_KILLED,
};

struct job_result {
	enum job_status status;
	int error;        /* errno; a signal for JOB_KILLED */
	char backend[16]; /* empty for malloc */

	uint32_t nr_files;
	uint32_t nr_identifiers;
	uint64_t nr_lines;
	uint64_t nr_postings;

	uint64_t build_ns;
	uint64_t sort_ns;
	uint64_t lookup_ns;
	uint64_t release_ns;
	uint64_t nr_lookups;
	uint64_t lookup_checksum;

	/* From before the build until after the lookups. */
	uint64_t faults;
	uint64_t peak_bytes; /* growth of the resident set */

	uint64_t pool_bytes;
	uint64_t held_bytes; /* after the lookups; for JOB_LEAKED after the release */
	uint64_t held_peak_bytes;
	uint64_t spans_allocated;
	uint64_t spans_freed;
	uint64_t tail_pages;
};

typedef void job_function(const struct job_request *request, struct job_result *result);

/* The same job on either memory. */
job_function pagespan_job;
job_function malloc_job;

#endif
