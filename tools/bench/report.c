// SPDX-License-Identifier: MIT
/* The results of a benchmark: kept, looked up and written as JSON. */
#include <jansson.h>
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "report.h"

#define MAX_RESULTS 512
#define MAX_GOALS   64
#define MAX_MAPS    32

struct goal {
	const char *text;
	double limit;
	double value;
	enum comparison comparison;
	bool met;
};

static struct result results[MAX_RESULTS];
static size_t nr_results;
static struct goal goals[MAX_GOALS];
static size_t nr_goals;
static struct map {
	const char *subject;
	const char *moment;
	char *used;
	double whole;
} maps[MAX_MAPS];
static size_t nr_maps;

static void add(struct result result)
{
	if (nr_results == MAX_RESULTS)
		abort();
	results[nr_results++] = result;
}

void report_value(const char *workload, const char *subject, const char *metric, const char *unit,
		  double value)
{
	add((struct result){
		.workload = workload,
		.subject = subject,
		.metric = metric,
		.unit = unit,
		.median = value,
		.p10 = value,
		.p90 = value,
		.lowest = value,
		.highest = value,
		.runs = 1,
	});
}

static int compare_doubles(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* The median of one field of the runs. */
static double middle(const struct times *runs, uint64_t nr_runs, size_t offset)
{
	double values[64];
	uint64_t i;

	for (i = 0; i < nr_runs; i++)
		values[i] = *(const double *)((const char *)&runs[i] + offset);
	qsort(values, nr_runs, sizeof(*values), compare_doubles);
	return values[nr_runs / 2];
}

void report_times(const char *workload, const char *subject, const char *metric,
		  const struct times *runs, uint64_t nr_runs)
{
	struct result result = {
		.workload = workload,
		.subject = subject,
		.metric = metric,
		.unit = "ns",
		.median = middle(runs, nr_runs, offsetof(struct times, median)),
		.p10 = middle(runs, nr_runs, offsetof(struct times, p10)),
		.p90 = middle(runs, nr_runs, offsetof(struct times, p90)),
		.p999 = middle(runs, nr_runs, offsetof(struct times, p999)),
		.tail = {0},
		.lowest = runs[0].median,
		.highest = runs[0].median,
		.runs = nr_runs,
	};
	uint64_t i;

	for (i = 0; i < TAIL_POINTS; i++)
		result.tail[i] = middle(runs, nr_runs, offsetof(struct times, tail[i]));
	for (i = 0; i < nr_runs; i++) {
		result.lowest = fmin(result.lowest, runs[i].median);
		result.highest = fmax(result.highest, runs[i].median);
	}
	add(result);
}

double tail_share(size_t point)
{
	return pow(10, -(double)point / TAIL_A_DECADE);
}

void report_map(const char *subject, const char *moment, const uint16_t *used, uint64_t nr,
		double whole)
{
	char *text = malloc(nr + 1);
	uint64_t i;

	if (!text || nr_maps == MAX_MAPS)
		abort();
	for (i = 0; i < nr; i++)
		text[i] = (char)('0' + used[i] * 32 / 512);
	text[nr] = 0;
	maps[nr_maps++] =
		(struct map){.subject = subject, .moment = moment, .used = text, .whole = whole};
}

static const struct result *find(const char *workload, const char *subject, const char *metric)
{
	size_t i;

	for (i = 0; i < nr_results; i++)
		if (!strcmp(results[i].workload, workload) &&
		    !strcmp(results[i].subject, subject) && !strcmp(results[i].metric, metric))
			return &results[i];
	return NULL;
}

double report_median(const char *workload, const char *subject, const char *metric)
{
	const struct result *result = find(workload, subject, metric);

	return result ? result->median : NAN;
}

double report_p999(const char *workload, const char *subject, const char *metric)
{
	const struct result *result = find(workload, subject, metric);

	return result ? result->p999 : NAN;
}

void report_goal(const char *text, enum comparison comparison, double limit, double value)
{
	bool met = comparison == AT_MOST ? value <= limit : value >= limit;

	if (nr_goals == MAX_GOALS)
		abort();
	goals[nr_goals++] = (struct goal){
		.text = text,
		.limit = limit,
		.value = value,
		.comparison = comparison,
		.met = met,
	};
}

/* NaN has no JSON. */
static json_t *number(double value)
{
	return isfinite(value) ? json_real(value) : json_null();
}

/* Pairs: a share of the operations, and what those took at least. */
static json_t *tail_json(const double *tail)
{
	json_t *array = json_array();
	size_t i;

	for (i = 0; i < TAIL_POINTS && tail[i] > 0; i++)
		json_array_append_new(array, json_pack("[f f]", tail_share(i), tail[i]));
	return array;
}

static json_t *maps_json(void)
{
	json_t *array = json_array();
	size_t i;

	for (i = 0; i < nr_maps; i++)
		json_array_append_new(array, json_pack("{ss ss sf ss}", "subject", maps[i].subject,
						       "moment", maps[i].moment, "whole",
						       maps[i].whole, "used", maps[i].used));
	return array;
}

static json_t *results_json(const char *build)
{
	json_t *array = json_array();
	size_t i;

	for (i = 0; i < nr_results; i++) {
		const struct result *r = &results[i];
		json_t *entry =
			json_pack("{ss ss ss ss so so so sI}", "workload", r->workload, "subject",
				  r->subject, "metric", r->metric, "unit", r->unit, "median",
				  number(r->median), "p10", number(r->p10), "p90", number(r->p90),
				  "runs", (json_int_t)r->runs);

		if (build)
			json_object_set_new(entry, "build", json_string(build));
		if (r->p999 > 0)
			json_object_set_new(entry, "p999", number(r->p999));
		if (r->tail[0] > 0)
			json_object_set_new(entry, "tail", tail_json(r->tail));
		if (r->runs > 1) {
			json_object_set_new(entry, "lowest_median", number(r->lowest));
			json_object_set_new(entry, "highest_median", number(r->highest));
		}
		json_array_append_new(array, entry);
	}
	return array;
}

static json_t *goals_json(const char *build)
{
	json_t *array = json_array();
	size_t i;

	for (i = 0; i < nr_goals; i++) {
		const struct goal *g = &goals[i];

		json_t *entry =
			json_pack("{ss ss so so sb}", "goal", g->text, "comparison",
				  g->comparison == AT_MOST ? "at most" : "at least", "limit",
				  number(g->limit), "value", number(g->value), "met", g->met);

		if (build)
			json_object_set_new(entry, "build", json_string(build));
		json_array_append_new(array, entry);
	}
	return array;
}

/* Where and when, in the words that all benchmarks have in common. */
static json_t *header_json(void)
{
	FILE *stream = popen("tools/bench/environment", "r");
	json_t *header = stream ? json_loadf(stream, 0, NULL) : NULL;

	if (stream)
		pclose(stream);
	return header;
}

void report_write(const char *benchmark, const char *path, const char *build, const char *beside)
{
	json_t *other = beside ? json_load_file(beside, 0, NULL) : NULL;
	json_t *all_results = results_json(build), *all_goals = goals_json(build);
	json_t *root = json_pack("{ss}", "benchmark", benchmark), *header = header_json();

	json_array_extend(all_results, json_object_get(other, "results"));
	json_array_extend(all_goals, json_object_get(other, "goals"));
	json_object_set_new(root, "results", all_results);
	json_object_set_new(root, "goals", all_goals);
	if (nr_maps)
		json_object_set_new(root, "maps", maps_json());
	if (!header || json_object_update(root, header) ||
	    json_dump_file(root, path, JSON_INDENT(1) | JSON_REAL_PRECISION(6))) {
		fprintf(stderr, "bench-%s: cannot write %s\n", benchmark, path);
		exit(1);
	}
	json_decref(header);
	json_decref(root);
	json_decref(other);
}
