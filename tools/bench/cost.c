// SPDX-License-Identifier: MIT
/*
 * What a program costs from its start to its end: processor time, page faults, and the most memory
 * that was resident. Small itself, for a program is charged with what was resident before it began.
 *
 * Usage: cost FILE PROGRAM [ARGUMENT]...
 *
 * Appends a line to FILE: nanoseconds, page faults, KiB, separated by tabs. Its status is the
 * program's.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static long long ns_of(struct timeval time)
{
	return (time.tv_sec * 1000000LL + time.tv_usec) * 1000;
}

int main(int argc, char **argv)
{
	struct rusage usage;
	FILE *file;
	pid_t child;
	int status;

	if (argc < 3) {
		fputs("usage: cost FILE PROGRAM [ARGUMENT]...\n", stderr);
		return 2;
	}
	child = fork();
	if (child == 0) {
		execvp(argv[2], &argv[2]);
		perror(argv[2]);
		_exit(127);
	}
	if (child < 0 || wait4(child, &status, 0, &usage) < 0) {
		perror("cost");
		return 1;
	}
	file = fopen(argv[1], "a");
	if (!file ||
	    fprintf(file, "%lld\t%ld\t%ld\n", ns_of(usage.ru_utime) + ns_of(usage.ru_stime),
		    usage.ru_minflt + usage.ru_majflt, usage.ru_maxrss) < 0 ||
	    fclose(file)) {
		perror(argv[1]);
		return 1;
	}
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
