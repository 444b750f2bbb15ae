/* SPDX-License-Identifier: MIT */
/* The results and goals of a benchmark. */
#ifndef PAGESPAN_BENCH_REPORT_H
#define PAGESPAN_BENCH_REPORT_H

#include <stdbool.h>
#include <stdint.h>

/* Operation times of one run, in nanoseconds. */
struct times {
	double p10;
	double median;
	double p90;
	double p999;
	uint64_t operations;
};

/* One number of a workload and a subject; runs > 1 if it is the median of their medians. */
struct result {
	const char *workload;
	const char *subject;
	const char *metric;
	const char *unit;
	double median;
	double p10;
	double p90;
	double p999;
	double lowest; /* of the runs' medians */
	double highest;
	uint64_t runs;
};

void report_value(const char *workload, const char *subject, const char *metric, const char *unit,
		  double value);
void report_times(const char *workload, const char *subject, const char *metric,
		  const struct times *runs, uint64_t nr_runs);
/* NaN if there is no such result. */
double report_median(const char *workload, const char *subject, const char *metric);
double report_p999(const char *workload, const char *subject, const char *metric);

enum comparison { AT_MOST, AT_LEAST };
void report_goal(const char *text, enum comparison comparison, double limit, double value);

/*
 * Writes results and goals of a benchmark as JSON, and prints them; `build` says with which flags
 * the subjects were compiled. `beside` names what another build of this program wrote: its results
 * are added and its goals printed in a column of their own; "" if there is no such file.  With a
 * path and no `beside` nothing is printed.
 */
void report_write(const char *benchmark, const char *path, const char *build, const char *beside);

#endif
