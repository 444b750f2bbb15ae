/* SPDX-License-Identifier: MIT */
/* What codeindex says about its jobs: costs side by side on stdout, failures on stderr. */
#ifndef CODEINDEX_REPORT_H
#define CODEINDEX_REPORT_H

#include "codeindex_corpus.h"
#include "codeindex_job.h"

/* Says on stdout what was read and indexed. */
void report_corpus(const char *directory, const struct corpus *corpus,
		   const struct job_result *result);

/* Prints the jobs' costs side by side on stdout; either may be NULL. */
void report_costs(const struct job_result *pagespan, const struct job_result *plain_malloc);

/* Says on stderr why a job did not succeed. */
void report_failure(const char *directory, const char *memory, const struct job_result *result);

#endif
