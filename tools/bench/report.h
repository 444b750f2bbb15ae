/* SPDX-License-Identifier: MIT */
/* The results and goals of a benchmark. */
#ifndef PAGESPAN_BENCH_REPORT_H
#define PAGESPAN_BENCH_REPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Points of a tail: ten to each decade, from all operations to one of 100,000. */
#define TAIL_A_DECADE 10
#define TAIL_POINTS   (5 * TAIL_A_DECADE + 1)

/* The share of the operations that a point of a tail stands for. */
double tail_share(size_t point);

/* Operation times of one run, in nanoseconds. */
struct times {
	double p10;
	double median;
	double p90;
	double p999;
	double tail[TAIL_POINTS]; /* what that share took at least; 0 from where it is not known */
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
	double tail[TAIL_POINTS];
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
 * Of a pool, at a moment: how many of the 512 pages of each megablock are in use, and the share of
 * the free pages that is in megablocks with none.
 */
void report_map(const char *subject, const char *moment, const uint16_t *used, uint64_t nr,
		double whole);

/*
 * Writes all of it as JSON (see figures.py); tools/bench/table prints it. `build` says with which
 * flags the subjects were compiled, if there are several, and `beside` names what another build of
 * this program wrote, to be added; else they are NULL. Ends the program if it cannot.
 */
void report_write(const char *benchmark, const char *path, const char *build, const char *beside);

#endif
