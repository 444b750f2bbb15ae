// SPDX-License-Identifier: MIT
/*
 * codeindex: an index of every identifier in a source tree, built in memory.
 *
 * The same job runs on pagespan and on malloc, each in a process of its own, over the same texts,
 * which are in memory before either begins.  Both must come to the same index, byte for byte; what
 * it cost them is printed side by side.
 */
#define _GNU_SOURCE
#include "codeindex_corpus.h"
#include "codeindex_job.h"
#include "codeindex_process.h"
#include "codeindex_report.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <malloc.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define EXIT_USAGE 2

enum memory { PAGESPAN, MALLOC, NR_MEMORIES };

static const struct {
	const char *name;
	job_function *job;
} memories[NR_MEMORIES] = {
	[PAGESPAN] = {"pagespan", pagespan_job},
	[MALLOC] = {"malloc", malloc_job},
};

struct options {
	bool use[NR_MEMORIES];
	bool quiet;
	const char *output;
	const char **queries;
	size_t nr_queries;
	const char *directory;
};

/* What one job has written. */
struct text {
	const char *data;
	size_t size;
};

struct outcome {
	struct job_result result;
	struct text answers;
	struct text index;
};

static const char usage_text[] =
	"usage: codeindex [options] DIR\n"
	"\n"
	"Indexes every identifier in the text files below DIR, in memory, on pagespan\n"
	"and on malloc, compares the two indexes and prints what each cost.\n"
	"\n"
	"  -m, --memory=MEMORY  pagespan, malloc or both (default: both)\n"
	"  -o, --output=FILE    write the index to FILE; - is standard output\n"
	"      --query=NAME     print the lines NAME stands on, as path:line; repeatable\n"
	"                       (default: the five identifiers on the most lines)\n"
	"  -q, --quiet          print nothing but the lines found\n"
	"  -h, --help           print this text\n"
	"\n"
	"Files with a NUL byte in their first 8 KiB, symbolic links, .git, .hg and .svn\n"
	"are skipped.  The texts may be 4 GiB together.\n"
	"\n"
	"Exit status: 0 done, 1 failed or the indexes differ, 2 wrong usage.\n";

static bool is_identifier(const char *name)
{
	static const char digits[] = "0123456789";
	static const char others[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_";
	const char *at = name;

	while (*at && (strchr(others, *at) || (at > name && strchr(digits, *at))))
		at++;
	return *name && !*at;
}

__attribute__((noreturn, format(printf, 1, 2))) static void wrong_usage(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	fputs("codeindex: ", stderr);
	vfprintf(stderr, format, arguments);
	fputs("\nTry 'codeindex --help'.\n", stderr);
	va_end(arguments);
	exit(EXIT_USAGE);
}

static void add_query(struct options *options, const char *name)
{
	size_t length = strlen(name);
	char *padded = calloc(1, length + CORPUS_PADDING);

	if (!is_identifier(name))
		wrong_usage("not an identifier: '%s'", name);
	options->queries =
		reallocarray(options->queries, options->nr_queries + 1, sizeof(*options->queries));
	if (!padded || !options->queries) {
		perror("codeindex");
		exit(EXIT_FAILURE);
	}
	options->queries[options->nr_queries++] = memcpy(padded, name, length + 1);
}

static void choose_memory(struct options *options, const char *name)
{
	bool both = !strcmp(name, "both");
	bool known = both;

	for (int i = 0; i < NR_MEMORIES; i++) {
		options->use[i] = both || !strcmp(name, memories[i].name);
		known |= options->use[i];
	}
	if (!known)
		wrong_usage("unknown memory '%s': pagespan, malloc or both", name);
}

static void parse_options(struct options *options, int argc, char **argv)
{
	enum { QUERY = 256 };
	static const struct option names[] = {
		{"memory", required_argument, NULL, 'm'},  {"output", required_argument, NULL, 'o'},
		{"query", required_argument, NULL, QUERY}, {"quiet", no_argument, NULL, 'q'},
		{"help", no_argument, NULL, 'h'},          {NULL, 0, NULL, 0},
	};
	int option;

	*options = (struct options){.use = {true, true}};
	while ((option = getopt_long(argc, argv, "m:o:qh", names, NULL)) != -1) {
		switch (option) {
		case 'm':
			choose_memory(options, optarg);
			break;
		case 'o':
			options->output = optarg;
			break;
		case QUERY:
			add_query(options, optarg);
			break;
		case 'q':
			options->quiet = true;
			break;
		case 'h':
			fputs(usage_text, stdout);
			exit(EXIT_SUCCESS);
		default:
			fputs("Try 'codeindex --help'.\n", stderr);
			exit(EXIT_USAGE);
		}
	}
	if (optind + 1 != argc)
		wrong_usage(optind == argc ? "which directory?" : "one directory at a time");
	options->directory = argv[optind];
}

static int map_text(int fd, struct text *text)
{
	struct stat status;
	void *data;

	if (fd < 0)
		return 0;
	if (fstat(fd, &status))
		return -errno;
	if (!status.st_size)
		return 0;
	data = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_SHARED, fd, 0);
	if (data == MAP_FAILED)
		return -errno;
	*text = (struct text){data, (size_t)status.st_size};
	return 0;
}

static bool same_text(const struct text *a, const struct text *b)
{
	return a->size == b->size && (!a->size || !memcmp(a->data, b->data, a->size));
}

/* Runs one job; what it wrote stays mapped. */
static bool run_memory(const struct options *options, const struct corpus *corpus,
		       enum memory memory, struct outcome *outcome)
{
	bool want_index = options->output || (options->use[PAGESPAN] && options->use[MALLOC]);
	struct job_request request = {
		.corpus = corpus,
		.queries = options->queries,
		.nr_queries = options->nr_queries,
		.headings = !options->quiet,
		.answers_fd = memfd_create("answers", MFD_CLOEXEC),
		.index_fd = want_index ? memfd_create("index", MFD_CLOEXEC) : -1,
	};
	int err = 0;

	if (request.answers_fd < 0 || (want_index && request.index_fd < 0)) {
		perror("codeindex: memfd_create");
		return false;
	}
	run_job(memories[memory].job, &request, &outcome->result);
	if (outcome->result.status == JOB_DONE) {
		err = map_text(request.answers_fd, &outcome->answers);
		if (!err)
			err = map_text(request.index_fd, &outcome->index);
		if (err)
			outcome->result = (struct job_result){
				.status = JOB_FAILED,
				.error = -err,
			};
	}
	close(request.answers_fd);
	if (want_index)
		close(request.index_fd);
	if (outcome->result.status != JOB_DONE)
		report_failure(options->directory, memories[memory].name, &outcome->result);
	return outcome->result.status == JOB_DONE;
}

static bool same_outcome(const struct outcome *pagespan, const struct outcome *plain_malloc)
{
	const char *difference = NULL;

	if (!same_text(&pagespan->index, &plain_malloc->index))
		difference = "indexes";
	else if (!same_text(&pagespan->answers, &plain_malloc->answers) ||
		 pagespan->result.lookup_checksum != plain_malloc->result.lookup_checksum)
		difference = "answers";
	if (difference)
		fprintf(stderr, "codeindex: the %s on pagespan and on malloc differ\n", difference);
	return !difference;
}

static bool write_text(int fd, const struct text *text)
{
	size_t done = 0;

	while (done < text->size) {
		ssize_t part = write(fd, text->data + done, text->size - done);

		if (part < 0 && errno != EINTR)
			return false;
		if (part > 0)
			done += (size_t)part;
	}
	return true;
}

static bool write_output(const char *path, const struct text *index)
{
	bool is_stdout = !strcmp(path, "-");
	int fd = STDOUT_FILENO;
	bool written;

	if (!is_stdout)
		fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	written = fd >= 0 && write_text(fd, index);
	if (fd >= 0 && !is_stdout && close(fd))
		written = false;
	if (!written)
		fprintf(stderr, "codeindex: %s: %s\n", path, strerror(errno));
	return written;
}

static void print_report(const struct options *options, const struct corpus *corpus,
			 const struct outcome *outcomes)
{
	const struct job_result *results[NR_MEMORIES];

	for (int i = 0; i < NR_MEMORIES; i++)
		results[i] = options->use[i] ? &outcomes[i].result : NULL;
	report_corpus(options->directory, corpus, results[PAGESPAN] ?: results[MALLOC]);
	report_costs(results[PAGESPAN], results[MALLOC]);
	if (results[PAGESPAN] && results[MALLOC])
		printf("The two indexes are identical: %zu bytes as text.\n\n",
		       outcomes[PAGESPAN].index.size);
}

static bool run(const struct options *options, const struct corpus *corpus)
{
	struct outcome outcomes[NR_MEMORIES] = {0};
	const struct outcome *first = &outcomes[options->use[PAGESPAN] ? PAGESPAN : MALLOC];

	for (int i = 0; i < NR_MEMORIES; i++) {
		if (options->use[i] && !run_memory(options, corpus, (enum memory)i, &outcomes[i]))
			return false;
	}
	if (options->use[PAGESPAN] && options->use[MALLOC] &&
	    !same_outcome(&outcomes[PAGESPAN], &outcomes[MALLOC]))
		return false;
	if (!options->quiet)
		print_report(options, corpus, outcomes);
	if (fflush(stdout) || !write_text(STDOUT_FILENO, &first->answers)) {
		perror("codeindex: standard output");
		return false;
	}
	return !options->output || write_output(options->output, &first->index);
}

int main(int argc, char **argv)
{
	struct options options;
	struct corpus corpus;
	bool done;
	int err;

	parse_options(&options, argc, argv);
	err = corpus_read(&corpus, options.directory);
	if (err) {
		fprintf(stderr, "codeindex: %s: %s\n", options.directory,
			err == -EFBIG ? "more than 4 GiB of text" : strerror(-err));
		return EXIT_FAILURE;
	}
	/* What the walk has freed is not there for the malloc job to start with. */
	malloc_trim(0);
	done = run(&options, &corpus);
	corpus_free(&corpus);
	for (size_t i = 0; i < options.nr_queries; i++)
		free((char *)options.queries[i]);
	free(options.queries);
	return done ? EXIT_SUCCESS : EXIT_FAILURE;
}
