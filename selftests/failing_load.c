// SPDX-License-Identifier: GPL-2.0-only
/*
 * Loads the module again and again, so that every allocation that its init makes, or
 * the kernel for it, fails in its turn: "failing_load FILE PARAMETERS". After each
 * load that fails nothing of the module may be there. Needs what fail_nth.c needs;
 * whether memory is lost is for others to see.
 *
 * What comes before init is the kernel's own, and some of it warns when it fails: it
 * is what a load passes that is refused for its parameters.
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
#define MOST_SITES	100000

/* What init looks at first, and refuses. */
#define REFUSED		"source=none"

/* What comes before init is not always the same. */
#define COUNTS		16

/* Status for what cannot be tested here, as kselftest has it. */
#define SKIPPED		4

static int load(const char *file, const char *parameters)
{
	int fd = open(file, O_RDONLY | O_CLOEXEC);
	int ret = fd < 0 ? -1 : syscall(SYS_finit_module, fd, parameters, 0);

	ret = ret ? -errno : 0;
	close(fd);
	return ret;
}

static int unload(void)
{
	return syscall(SYS_delete_module, "pagespan", 0) ? -errno : 0;
}

/* How many sites a load passes at most that is refused at once, once the file has been read. */
static unsigned int sites_before_init(int control, const char *file)
{
	unsigned int most = 0;

	load(file, REFUSED);
	for (int i = 0; i < COUNTS; i++) {
		unsigned int passed;
		int ret;

		fault_inject(control, MOST_SITES);
		ret = load(file, REFUSED);
		passed = MOST_SITES - fault_injection_left(control);
		if (ret != -EINVAL)
			return 0;
		if (passed > most)
			most = passed;
	}
	return most;
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

/* Sweeps all sites from one on; how many there are, or -1 with a line that says what went wrong. */
static int sweep(int control, const char *file, const char *parameters, unsigned int first)
{
	unsigned int nth = first, errors = 0;
	bool hit = true;

	for (; hit && nth < MOST_SITES; nth++) {
		int ret;

		fault_inject(control, nth);
		ret = load(file, parameters);
		hit = fault_injected(control);
		if (ret && !hit) {
			printf("# a load fails with %d, without a failing site\n", -ret);
			return -1;
		}
		errors += ret != 0;
		ret = ret ? 0 : unload();
		if (ret || is_there(nth)) {
			printf("# site %u leaves something of the module behind: %d\n",
			       nth - first, -ret);
			return -1;
		}
	}
	printf("# %u sites, %u of them errors\n", nth - first - 1, errors);
	return errors ? (int)(nth - first - 1) : -1;
}

int main(int argc, char **argv)
{
	int control = open("/proc/thread-self/fail-nth", O_RDWR);
	const char *missing = fault_injection_missing(control);
	unsigned int before;

	if (argc != 3) {
		fprintf(stderr, "usage: %s FILE PARAMETERS\n", argv[0]);
		return 2;
	}
	if (missing) {
		printf("# %s\n", missing);
		return SKIPPED;
	}
	before = sites_before_init(control, argv[1]);
	if (!before) {
		printf("# " REFUSED " is not refused\n");
		return 1;
	}
	return sweep(control, argv[1], argv[2], before + 1) <= 0;
}
