// SPDX-License-Identifier: MIT
/*
 * pagespanctl: what an administrator wants of pagespan.ko. One command a file; all they know of the
 * module they read where anybody can: sysfs, debugfs, /proc.
 */
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "files.h"
#include "pagespanctl.h"
#include "terminal.h"

static const struct command {
	const char *name;
	const char *arguments;
	const char *does;
	int (*run)(int argc, char **argv);
} commands[] = {
	{"stat", "[--json]", "the pool, its clients, the quarantine", command_stat},
	{"map", "[--svg FILE]", "the pool as a picture, a cell for each megablock", command_map},
	{"top", "[-d SECONDS] [-n COUNT]", "pool and clients, live", command_top},
	{"clients", "[--json]", "who has the device open, and owns how much", command_clients},
	{"users", "[--json]", "who is charged how much, and may be", command_users},
	{"reserve", "SIZE [--address ADDR | --by-name] [--install] | --check | --remove",
	 "memory for the pool at boot", command_reserve},
	{"bench", "", "a short test of this machine, beside mmap", command_bench},
	{"doctor", "", "what is missing here, and what to do about it", command_doctor},
};

#define NR_COMMANDS (sizeof(commands) / sizeof(*commands))

static void print_usage(FILE *file)
{
	fputs("Usage: pagespanctl [--root DIR] [--color WHEN] COMMAND [ARGUMENT...]\n\n", file);
	for (size_t i = 0; i < NR_COMMANDS; i++)
		fprintf(file, "  %-8s  %s\n", commands[i].name, commands[i].does);
	fputs("\n"
	      "  --root DIR    look for /proc, /sys, /dev and /etc below DIR\n"
	      "  --color WHEN  auto (on a terminal), always or never\n"
	      "  --version, --help\n"
	      "\n"
	      "Exit status: 0 done; 1 failed, or something is to be done; 2 wrong usage; 3 the "
	      "module is\n"
	      "not loaded; 4 not permitted. pagespanctl(1) tells more.\n",
	      file);
}

void complain(const char *format, ...)
{
	va_list arguments;

	fflush(stdout);
	fputs("pagespanctl: ", stderr);
	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fputc('\n', stderr);
}

static const struct command *find_command(const char *name)
{
	for (size_t i = 0; i < NR_COMMANDS; i++)
		if (!strcmp(name, commands[i].name))
			return &commands[i];
	return NULL;
}

int misused(const char *command)
{
	fprintf(stderr, "Usage: pagespanctl %s %s\n", command, find_command(command)->arguments);
	return MISUSED;
}

bool no_arguments(int argc, char **argv, bool *json)
{
	static const struct option options[] = {{"json", no_argument, NULL, 'j'}, {0}};
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option != 'j')
			return false;
		if (!json) {
			complain("%s has no --json", argv[0]);
			return false;
		}
		*json = true;
	}
	if (optind < argc)
		complain("%s takes no '%s'", argv[0], argv[optind]);
	return optind == argc;
}

static int run(const struct command *command, int argc, char **argv)
{
	int status;

	optind = 0; /* glibc: start over */
	if (argc > 1 && !strcmp(argv[1], "--help")) {
		printf("Usage: pagespanctl %s %s\n%s\n", command->name, command->arguments,
		       command->does);
		return DONE;
	}
	status = command->run(argc, argv);
	if (fflush(stdout) || ferror(stdout)) {
		complain("cannot write: %m");
		return status ? status : FAILED;
	}
	return status;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{"root", required_argument, NULL, 'r'},
		{"color", required_argument, NULL, 'c'},
		{"help", no_argument, NULL, 'h'},
		{"version", no_argument, NULL, 'v'},
		{0},
	};
	const struct command *command;
	int option;

	while ((option = getopt_long(argc, argv, "+h", options, NULL)) != -1) {
		switch (option) {
		case 'r':
			files_root = optarg;
			break;
		case 'c':
			if (!terminal_choose(optarg)) {
				complain("--color is auto, always or never, not '%s'", optarg);
				return MISUSED;
			}
			break;
		case 'h':
			print_usage(stdout);
			return DONE;
		case 'v':
			puts("pagespanctl " VERSION);
			return DONE;
		default:
			print_usage(stderr);
			return MISUSED;
		}
	}
	if (optind == argc) {
		print_usage(stderr);
		return MISUSED;
	}
	command = find_command(argv[optind]);
	if (!command) {
		complain("unknown command '%s'; pagespanctl --help lists them", argv[optind]);
		return MISUSED;
	}
	return run(command, argc - optind, argv + optind);
}
