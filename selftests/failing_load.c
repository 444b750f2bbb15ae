// SPDX-License-Identifier: GPL-2.0-only
/*
 * Loads a module again and again, so that every allocation and every copy on the
 * way to a loaded module fails in its turn: "failing_load FILE PARAMETERS".
 * After each load that fails nothing of the module may be there. Needs what
 * fail_nth.c needs; whether memory is lost is for others to see.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "fault_injection.h"

/* More than any load has. */
#define MOST_SITES	20000

/* Status for what cannot be tested here, as kselftest has it. */
#define SKIPPED		4

struct subject {
	const char *file, *parameters;
};

static int load(const struct subject *subject)
{
	int fd = open(subject->file, O_RDONLY | O_CLOEXEC);
	int ret = fd < 0 ? -1 : syscall(SYS_finit_module, fd, subject->parameters, 0);

	ret = ret ? -errno : 0;
	close(fd);
	return ret;
}

/* Whether a symbol of the module is left; reading all there are takes a while. */
static bool has_symbols(void)
{
	FILE *symbols = fopen("/proc/kallsyms", "r");
	char line[512];
	bool found = false;

	while (symbols && !found && fgets(line, sizeof(line), symbols))
		found = strstr(line, "[pagespan]");
	if (symbols)
		fclose(symbols);
	return found;
}

static bool is_there(unsigned int nth)
{
	return !access("/sys/module/pagespan", F_OK) || !access("/dev/pagespan", F_OK) ||
	       (nth % 64 == 0 && has_symbols());
}

/* Sweeps all sites; how many there are, or -1 with a line that says what went wrong. */
static int sweep(const struct subject *subject, int control, unsigned int *errors)
{
	unsigned int nth = 0;
	bool hit = true;

	while (hit && ++nth < MOST_SITES) {
		int ret;

		fault_inject(control, nth);
		ret = load(subject);
		hit = fault_injected(control);
		if (ret && !hit) {
			printf("# load %u fails with %d, without a failing site\n", nth, -ret);
			return -1;
		}
		if (ret)
			++*errors;
		else if (syscall(SYS_delete_module, "pagespan", 0)) {
			printf("# load %u cannot be undone: %d\n", nth, errno);
			return -1;
		}
		if (is_there(nth)) {
			printf("# load %u leaves something of the module behind\n", nth);
			return -1;
		}
	}
	return hit ? -1 : (int)nth - 1;
}

int main(int argc, char **argv)
{
	struct subject subject = { argv[1], argv[2] };
	int control = open("/proc/thread-self/fail-nth", O_RDWR);
	const char *missing = fault_injection_missing(control);
	unsigned int errors = 0;
	int sites;

	if (argc != 3) {
		fprintf(stderr, "usage: %s FILE PARAMETERS\n", argv[0]);
		return 2;
	}
	if (missing) {
		printf("# %s\n", missing);
		return SKIPPED;
	}
	sites = sweep(&subject, control, &errors);
	printf("# %d sites, %u of them errors\n", sites, errors);
	return sites <= 0 || !errors;
}
