// SPDX-License-Identifier: MIT
/*
 * The work of a job, compiled once on pagespan and once on malloc.
 *
 * Nothing here or below allocates but the index itself, until the measured part is over.
 */
#include "codeindex_job.h"
#include "codeindex_index.h"
#include "codeindex_process.h"
#include "codeindex_writer.h"

#include <errno.h>
#include <string.h>

/* Every so many identifiers, in the order of their names, are looked up. */
#define LOOKUP_STRIDE 4

/* How many identifiers answer when nothing is asked. */
#define NR_MOST_USED 5

/* Large, and needed by one job at a time. */
static struct writer writer;

#ifndef CODEINDEX_MALLOC

static int open_backend(struct job_result *result)
{
	const char *backend = ps_backend();

	if (!backend)
		return -errno;
	strncpy(result->backend, backend, sizeof(result->backend) - 1);
	return 0;
}

static void read_span_counters(const struct index *index, struct job_result *result)
{
	struct ps_stats stats;

	if (ps_stats(&stats, sizeof(stats)))
		return;
	result->pool_bytes = stats.bytes_pool;
	result->held_bytes = stats.bytes_held;
	result->held_peak_bytes = stats.bytes_peak;
	result->spans_allocated = stats.spans_allocated;
	result->spans_freed = stats.spans_freed;
	result->tail_pages = index->memory.tail_pages;
}

static uint64_t held_bytes(void)
{
	struct ps_stats stats;

	return ps_stats(&stats, sizeof(stats)) ? 0 : stats.bytes_held;
}

#else

static int open_backend(struct job_result *result)
{
	(void)result;
	return 0;
}

static void read_span_counters(const struct index *index, struct job_result *result)
{
	(void)index;
	(void)result;
}

static uint64_t held_bytes(void)
{
	return 0;
}

#endif

static int build(struct index *index, const struct corpus *corpus)
{
	for (size_t i = 0; i < corpus->nr_files; i++) {
		const struct corpus_file *file = &corpus->files[i];
		int err = index_add_file(index, file->path, file->text, file->size);

		if (err)
			return err;
	}
	index_finish(index);
	return 0;
}

/* Looks names up by their text and reads all their postings. */
static void look_up(const struct index *index, struct job_result *result)
{
	struct identifier *const *names = index_sorted(index);
	uint64_t checksum = 0;

	for (uint32_t i = 0; i < index->nr_identifiers; i += LOOKUP_STRIDE) {
		struct posting_walk walk = postings_of(index_find(index, names[i]->name));

		while (next_posting(&walk)) {
			checksum = checksum * 31 + walk.last.file;
			checksum = checksum * 31 + walk.last.line;
		}
		result->nr_lookups++;
	}
	result->lookup_checksum = checksum;
}

struct tally {
	uint64_t lines;
	uint64_t files;
};

static struct tally count_postings(const struct identifier *identifier)
{
	struct posting_walk walk = postings_of(identifier);
	struct tally tally = {0};
	uint32_t last_file = 0;

	while (next_posting(&walk)) {
		tally.lines++;
		tally.files += walk.last.file != last_file;
		last_file = walk.last.file;
	}
	return tally;
}

static void write_tally(const char *name, struct tally tally)
{
	write_string(&writer, name);
	write_string(&writer, ": ");
	write_number(&writer, tally.lines);
	write_string(&writer, tally.lines == 1 ? " line in " : " lines in ");
	write_number(&writer, tally.files);
	write_string(&writer, tally.files == 1 ? " file\n" : " files\n");
}

/* Among equals the names come in their order. */
static void write_most_used(const struct index *index)
{
	const char *names[NR_MOST_USED];
	struct tally tallies[NR_MOST_USED];
	size_t count = 0;

	for (uint32_t i = 0; i < index->nr_identifiers; i++) {
		const struct identifier *identifier = index_sorted(index)[i];
		struct tally tally = count_postings(identifier);
		size_t at;

		if (count == NR_MOST_USED && tallies[count - 1].lines >= tally.lines)
			continue;
		at = count < NR_MOST_USED ? count++ : count - 1;
		for (; at > 0 && tallies[at - 1].lines < tally.lines; at--) {
			names[at] = names[at - 1];
			tallies[at] = tallies[at - 1];
		}
		names[at] = identifier->name;
		tallies[at] = tally;
	}
	for (size_t i = 0; i < count; i++)
		write_tally(names[i], tallies[i]);
}

static void write_hits(const struct index *index, const char *name, bool heading)
{
	const struct identifier *identifier = index_find(index, name);
	struct posting_walk walk;

	if (heading)
		write_tally(name, identifier ? count_postings(identifier) : (struct tally){0});
	if (!identifier)
		return;
	walk = postings_of(identifier);
	while (next_posting(&walk)) {
		write_path(&writer, index_path(index, walk.last.file));
		write_byte(&writer, ':');
		write_number(&writer, walk.last.line);
		write_byte(&writer, '\n');
	}
}

static int write_answers(const struct index *index, const struct job_request *request)
{
	writer_open(&writer, request->answers_fd);
	for (size_t i = 0; i < request->nr_queries; i++)
		write_hits(index, request->queries[i], request->headings);
	if (!request->nr_queries && request->headings)
		write_most_used(index);
	return writer_flush(&writer);
}

static void write_postings(const struct identifier *identifier)
{
	struct posting_walk walk = postings_of(identifier);
	uint32_t last_file = 0;

	write_string(&writer, identifier->name);
	while (next_posting(&walk)) {
		if (walk.last.file == last_file) {
			write_byte(&writer, ',');
		} else {
			write_byte(&writer, ' ');
			write_number(&writer, walk.last.file);
			write_byte(&writer, ':');
			last_file = walk.last.file;
		}
		write_number(&writer, walk.last.line);
	}
	write_byte(&writer, '\n');
}

static int write_index(const struct index *index, int fd)
{
	writer_open(&writer, fd);
	write_string(&writer, "codeindex 1\nfiles ");
	write_number(&writer, index->nr_files);
	write_byte(&writer, '\n');
	for (uint32_t i = 1; i <= index->nr_files; i++) {
		write_number(&writer, i);
		write_byte(&writer, ' ');
		write_path(&writer, index_path(index, i));
		write_byte(&writer, '\n');
	}
	write_string(&writer, "identifiers ");
	write_number(&writer, index->nr_identifiers);
	write_byte(&writer, '\n');
	for (uint32_t i = 0; i < index->nr_identifiers; i++)
		write_postings(index_sorted(index)[i]);
	return writer_flush(&writer);
}

static int run_measured(struct index *index, const struct corpus *corpus, uint64_t started_ns,
			struct job_result *result)
{
	uint64_t built_ns;
	uint64_t sorted_ns;
	int err = build(index, corpus);

	built_ns = cpu_ns();
	if (!err)
		err = index_sort(index);
	sorted_ns = cpu_ns();
	if (!err)
		look_up(index, result);
	result->build_ns = built_ns - started_ns;
	result->sort_ns = sorted_ns - built_ns;
	result->lookup_ns = cpu_ns() - sorted_ns;
	result->nr_files = index->nr_files;
	result->nr_lines = index->nr_lines;
	result->nr_identifiers = index->nr_identifiers;
	result->nr_postings = index->nr_postings;
	return err;
}

static void fail(struct job_result *result, enum job_status status, int err)
{
	result->status = status;
	result->error = -err;
}

void CODEINDEX_NAME(job)(const struct job_request *request, struct job_result *result)
{
	uint64_t resident_before = reset_peak_resident();
	uint64_t faults_before = page_faults();
	uint64_t started_ns = cpu_ns();
	struct index index;
	int err;

	err = open_backend(result);
	if (err) {
		fail(result, JOB_NO_BACKEND, err);
		return;
	}
	err = index_open(&index);
	if (err) {
		read_span_counters(&index, result);
		fail(result, JOB_OUT_OF_MEMORY, err);
		return;
	}
	err = run_measured(&index, request->corpus, started_ns, result);
	result->faults = page_faults() - faults_before;
	result->peak_bytes = peak_resident() - resident_before;
	read_span_counters(&index, result);
	if (err) {
		fail(result, JOB_OUT_OF_MEMORY, err);
	} else {
		err = write_answers(&index, request);
		if (!err && request->index_fd >= 0)
			err = write_index(&index, request->index_fd);
		if (err)
			fail(result, JOB_FAILED, err);
	}
	started_ns = cpu_ns();
	index_close(&index);
	result->release_ns = cpu_ns() - started_ns;
	if (result->status == JOB_DONE && held_bytes()) {
		fail(result, JOB_LEAKED, 0);
		result->held_bytes = held_bytes();
	}
}
