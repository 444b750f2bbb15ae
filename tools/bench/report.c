// SPDX-License-Identifier: MIT
/* The results of a benchmark: kept, looked up, printed and written as JSON. */
#include <jansson.h>
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "report.h"

#define MAX_RESULTS 512
#define MAX_GOALS   64

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
		.lowest = runs[0].median,
		.highest = runs[0].median,
		.runs = nr_runs,
	};
	uint64_t i;

	for (i = 0; i < nr_runs; i++) {
		result.lowest = fmin(result.lowest, runs[i].median);
		result.highest = fmax(result.highest, runs[i].median);
	}
	add(result);
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

static json_t *results_json(const char *build)
{
	json_t *array = json_array();
	size_t i;

	for (i = 0; i < nr_results; i++) {
		const struct result *r = &results[i];
		json_t *entry = json_pack("{ss ss ss ss ss so so so sI}", "workload", r->workload,
					  "subject", r->subject, "build", build, "metric",
					  r->metric, "unit", r->unit, "median", number(r->median),
					  "p10", number(r->p10), "p90", number(r->p90), "runs",
					  (json_int_t)r->runs);

		if (r->p999 > 0)
			json_object_set_new(entry, "p999", number(r->p999));
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

		json_array_append_new(array,
				      json_pack("{ss ss ss so so sb}", "goal", g->text, "build",
						build, "comparison",
						g->comparison == AT_MOST ? "at most" : "at least",
						"limit", number(g->limit), "value",
						number(g->value), "met", g->met));
	}
	return array;
}

/* The first line of what a command prints, or of what a file says after a colon. */
static void first_line(FILE *stream, const char *after, char *line, size_t size)
{
	char buffer[256];

	snprintf(line, size, "unknown");
	while (stream && fgets(buffer, sizeof(buffer), stream)) {
		char *text = buffer;

		buffer[strcspn(buffer, "\n")] = 0;
		if (after && strncmp(buffer, after, strlen(after)) != 0)
			continue;
		if (after)
			text = strchr(buffer, ':') ? strchr(buffer, ':') + 2 : buffer;
		snprintf(line, size, "%s", text);
		break;
	}
}

static json_t *environment_json(void)
{
	FILE *file = fopen("/proc/cpuinfo", "r");
	struct utsname system = {0};
	char cpu[256];

	first_line(file, "model name", cpu, sizeof(cpu));
	if (file)
		fclose(file);
	uname(&system);
	return json_pack("{ss ss ss sI}", "cpu", cpu, "kernel", system.release, "compiler",
			 "gcc " __VERSION__, "cores", (json_int_t)sysconf(_SC_NPROCESSORS_ONLN));
}

static void print_results(void)
{
	size_t i;

	printf("%-14s %-21s %-26s %12s %12s %12s %12s\n", "", "subject", "metric", "median", "p10",
	       "p90", "p99.9");
	for (i = 0; i < nr_results; i++) {
		const struct result *r = &results[i];

		printf("%-14s %-21s %-26s %12.5g %12.5g %12.5g", r->workload, r->subject, r->metric,
		       r->median, r->p10, r->p90);
		if (r->p999 > 0)
			printf(" %12.5g", r->p999);
		printf(" %s\n", r->unit);
	}
}

static void print_goals(const json_t *beside)
{
	size_t i;

	printf("\n%-66s %10s %10s %-5s %10s\n", "goal", "limit", "value", "",
	       beside ? "kernel flags" : "");
	for (i = 0; i < nr_goals; i++) {
		const struct goal *g = &goals[i];
		const json_t *other = json_array_get(beside, i);

		printf("%-66s %s%8.4g %10.4g %-5s", g->text,
		       g->comparison == AT_MOST ? "<=" : ">=", g->limit, g->value,
		       g->met ? "ok" : "MISS");
		if (other)
			printf(" %10.4g %s", json_number_value(json_object_get(other, "value")),
			       json_is_true(json_object_get(other, "met")) ? "ok" : "MISS");
		putchar('\n');
	}
}

void report_write(const char *benchmark, const char *path, const char *build, const char *beside)
{
	FILE *git = popen("git describe --always --dirty 2>/dev/null", "r");
	json_t *other = beside ? json_load_file(beside, 0, NULL) : NULL;
	json_t *all_results = results_json(build), *all_goals = goals_json(build), *root;
	char revision[128];

	first_line(git, NULL, revision, sizeof(revision));
	if (git)
		pclose(git);
	if (!path || beside)
		print_results();
	if (!path || beside)
		print_goals(json_object_get(other, "goals"));
	if (!path)
		return;

	json_array_extend(all_results, json_object_get(other, "results"));
	json_array_extend(all_goals, json_object_get(other, "goals"));
	root = json_pack("{ss ss so so so}", "benchmark", benchmark, "revision", revision,
			 "environment", environment_json(), "results", all_results, "goals",
			 all_goals);
	if (!root || json_dump_file(root, path, JSON_INDENT(1) | JSON_REAL_PRECISION(6))) {
		fprintf(stderr, "bench-%s: cannot write %s\n", benchmark, path);
		exit(1);
	}
	json_decref(root);
	json_decref(other);
}
