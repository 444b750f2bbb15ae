// SPDX-License-Identifier: MIT
/*
 * A job's process: forked with the texts in its memory, it writes its result into a pipe and ends.
 * The parent believes nothing but a whole result and a clean end.
 */
#define _GNU_SOURCE
#include "codeindex_process.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* A result is written at once and arrives whole or not at all. */
_Static_assert(sizeof(struct job_result) <= 4096, "larger than PIPE_BUF");

uint64_t cpu_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

uint64_t page_faults(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return (uint64_t)(usage.ru_minflt + usage.ru_majflt);
}

/* A field of /proc/self/status in bytes, read without the heap; 0 if it is not there. */
static uint64_t status_bytes(const char *field)
{
	char status[4096];
	ssize_t size = -1;
	int fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
	const char *at;

	if (fd >= 0) {
		size = read(fd, status, sizeof(status) - 1);
		close(fd);
	}
	if (size < 0)
		return 0;
	status[size] = '\0';
	at = strstr(status, field);
	return at ? strtoull(at + strlen(field), NULL, 10) * 1024 : 0;
}

uint64_t reset_peak_resident(void)
{
	int fd = open("/proc/self/clear_refs", O_WRONLY | O_CLOEXEC);

	if (fd >= 0) {
		/* 5 sets VmHWM to VmRSS; where that is refused VmHWM is what it was. */
		if (write(fd, "5", 1) < 0)
			errno = 0;
		close(fd);
	}
	return status_bytes("VmHWM:");
}

uint64_t peak_resident(void)
{
	return status_bytes("VmHWM:");
}

__attribute__((noreturn)) static void run_child(job_function *job,
						const struct job_request *request, int fd)
{
	struct job_result result = {.status = JOB_DONE};
	ssize_t done;

	job(request, &result);
	do
		done = write(fd, &result, sizeof(result));
	while (done < 0 && errno == EINTR);
	_exit(done == sizeof(result) ? EXIT_SUCCESS : EXIT_FAILURE);
}

static bool read_result(int fd, struct job_result *result)
{
	ssize_t done;

	do
		done = read(fd, result, sizeof(*result));
	while (done < 0 && errno == EINTR);
	return done == sizeof(*result);
}

static void fail(struct job_result *result, enum job_status status, int error)
{
	*result = (struct job_result){.status = status, .error = error};
}

void run_job(job_function *job, const struct job_request *request, struct job_result *result)
{
	bool complete;
	int status = 0;
	int fds[2];
	pid_t child;

	fflush(NULL);
	if (pipe2(fds, O_CLOEXEC)) {
		fail(result, JOB_FAILED, errno);
		return;
	}
	child = fork();
	if (child == 0) {
		close(fds[0]);
		run_child(job, request, fds[1]);
	}
	close(fds[1]);
	if (child < 0) {
		fail(result, JOB_FAILED, errno);
		close(fds[0]);
		return;
	}
	complete = read_result(fds[0], result);
	close(fds[0]);
	while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
	}
	if (WIFSIGNALED(status))
		fail(result, JOB_KILLED, WTERMSIG(status));
	else if (!complete || status)
		fail(result, JOB_FAILED, EPIPE);
}
