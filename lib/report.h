/* SPDX-License-Identifier: MIT */
#ifndef PAGESPAN_REPORT_H
#define PAGESPAN_REPORT_H

/* PAGESPAN_STATS=1: the counters go to standard error when the process exits. */
void report_at_exit(void);

#endif
