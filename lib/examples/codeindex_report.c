// SPDX-License-Identifier: MIT
/* Formatting what the jobs report: a table whose rows name members of struct job_result. */
#include "codeindex_report.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LABEL_WIDTH 32
#define CELL_WIDTH  16
#define CELL_BYTES  32

enum unit { MILLISECONDS, MEBIBYTES, COUNT };

struct row {
	const char *label;
	size_t offset; /* of a uint64_t in struct job_result */
	enum unit unit;
	bool pagespan_only;
};

#define ROW(label, member, ...)                                         \
	{                                                               \
		label, offsetof(struct job_result, member), __VA_ARGS__ \
	}

static const struct row rows[] = {
	ROW("time to build", build_ns, MILLISECONDS, false),
	ROW("time to sort the identifiers", sort_ns, MILLISECONDS, false),
	ROW("time for the queries", lookup_ns, MILLISECONDS, false),
	ROW("time to release", release_ns, MILLISECONDS, false),
	ROW("page faults", faults, COUNT, false),
	ROW("peak memory", peak_bytes, MEBIBYTES, false),
	ROW("held in spans, peak", held_peak_bytes, MEBIBYTES, true),
	ROW("spans allocated", spans_allocated, COUNT, true),
	ROW("spans freed", spans_freed, COUNT, true),
	ROW("tail pages returned", tail_pages, COUNT, true),
};

static const char *format_count(char *text, uint64_t count)
{
	char digits[CELL_BYTES];
	int length = snprintf(digits, sizeof(digits), "%" PRIu64, count);
	char *at = text;

	for (int i = 0; i < length; i++) {
		if (i && (length - i) % 3 == 0)
			*at++ = ',';
		*at++ = digits[i];
	}
	*at = '\0';
	return text;
}

static const char *format_mebibytes(char *text, uint64_t bytes)
{
	double mebibytes = (double)bytes / (1 << 20);
	int decimals = bytes % (1 << 20) ? 1 : 0;

	snprintf(text, CELL_BYTES, "%.*f MiB", decimals, mebibytes);
	return text;
}

static const char *format_cell(char *text, const struct row *row, const struct job_result *result)
{
	uint64_t value;

	memcpy(&value, (const char *)result + row->offset, sizeof(value));
	switch (row->unit) {
	case MILLISECONDS:
		snprintf(text, CELL_BYTES, "%.1f ms", (double)value / 1e6);
		return text;
	case MEBIBYTES:
		snprintf(text, CELL_BYTES, "%.1f MiB", (double)value / (1 << 20));
		return text;
	default:
		return format_count(text, value);
	}
}

static void print_cell(const char *text)
{
	printf("%*s", CELL_WIDTH, text);
}

void report_corpus(const char *directory, const struct corpus *corpus,
		   const struct job_result *result)
{
	char files[CELL_BYTES];
	char lines[CELL_BYTES];
	char bytes[CELL_BYTES];
	char binary[CELL_BYTES];
	char unreadable[CELL_BYTES];
	char identifiers[CELL_BYTES];
	char postings[CELL_BYTES];

	printf("%s\n", directory);
	printf("  %s files, %s lines, %s; skipped: %s binary, %s unreadable\n",
	       format_count(files, result->nr_files), format_count(lines, result->nr_lines),
	       format_mebibytes(bytes, corpus->bytes), format_count(binary, corpus->nr_binary),
	       format_count(unreadable, corpus->nr_unreadable));
	printf("  %s identifiers, %s postings\n\n",
	       format_count(identifiers, result->nr_identifiers),
	       format_count(postings, result->nr_postings));
}

void report_costs(const struct job_result *pagespan, const struct job_result *plain_malloc)
{
	char cell[CELL_BYTES];

	printf("%-*s", LABEL_WIDTH, "");
	if (pagespan)
		print_cell("pagespan");
	if (plain_malloc)
		print_cell("malloc");
	printf("\n");
	if (pagespan) {
		printf("%-*s", LABEL_WIDTH, "backend");
		print_cell(pagespan->backend);
		printf("\n");
	}
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct row *row = &rows[i];

		if (row->pagespan_only && !pagespan)
			continue;
		printf("%-*s", LABEL_WIDTH, row->label);
		if (pagespan)
			print_cell(format_cell(cell, row, pagespan));
		if (plain_malloc && !row->pagespan_only)
			print_cell(format_cell(cell, row, plain_malloc));
		printf("\n");
	}
	printf("\nQueries: every fourth identifier is looked up and its postings are read; %s of "
	       "them.\n",
	       format_count(cell, pagespan ? pagespan->nr_lookups : plain_malloc->nr_lookups));
	printf("Each job runs in a process of its own; times are CPU time.  Faults and peak memory "
	       "are those\n"
	       "of build, sort and queries; peak memory is how far VmHWM rose above VmRSS at the "
	       "start.\n\n");
}

static void report_out_of_memory(const char *directory, const struct job_result *result)
{
	char pool[CELL_BYTES];
	char held[CELL_BYTES];

	if (result->backend[0])
		fprintf(stderr,
			"codeindex: out of memory: the index of %s does not fit the pool (%s; %s "
			"held)\n",
			directory, format_mebibytes(pool, result->pool_bytes),
			format_mebibytes(held, result->held_bytes));
	else
		fprintf(stderr,
			"codeindex: out of memory: malloc cannot hold the index of %s (%s "
			"resident)\n",
			directory, format_mebibytes(held, result->peak_bytes));
}

static void report_no_backend(const struct job_result *result)
{
	const char *backend = getenv("PAGESPAN_BACKEND");

	if (backend)
		fprintf(stderr, "codeindex: cannot open the pagespan backend \"%s\": %s\n", backend,
			strerror(result->error));
	else
		fprintf(stderr, "codeindex: cannot open a pagespan backend: %s\n",
			strerror(result->error));
}

void report_failure(const char *directory, const char *memory, const struct job_result *result)
{
	char bytes[CELL_BYTES];

	switch (result->status) {
	case JOB_OUT_OF_MEMORY:
		report_out_of_memory(directory, result);
		break;
	case JOB_NO_BACKEND:
		report_no_backend(result);
		break;
	case JOB_LEAKED:
		fprintf(stderr, "codeindex: the %s job has left %s in spans\n", memory,
			format_mebibytes(bytes, result->held_bytes));
		break;
	case JOB_KILLED:
		fprintf(stderr, "codeindex: the %s job was ended by signal %d (%s)\n", memory,
			result->error, strsignal(result->error));
		break;
	default:
		fprintf(stderr, "codeindex: the %s job failed: %s\n", memory,
			strerror(result->error));
	}
}
