/* SPDX-License-Identifier: MIT */
/*
 * A process for each job, so that its page faults and its peak memory are its own, and what can be
 * read about a process.
 */
#ifndef CODEINDEX_PROCESS_H
#define CODEINDEX_PROCESS_H

#include <stdint.h>

#include "codeindex_job.h"

/* Runs a job in a child process and waits for it. */
void run_job(job_function *job, const struct job_request *request, struct job_result *result);

/* What this process has used of a processor: unlike the time of day, not what others did. */
uint64_t cpu_ns(void);

/* Minor and major, of this process so far. */
uint64_t page_faults(void);

/* Forgets how large the resident set has been; the bytes it has now, 0 if unknown. */
uint64_t reset_peak_resident(void);

/* The largest the resident set has been, in bytes, 0 if unknown. */
uint64_t peak_resident(void);

#endif
