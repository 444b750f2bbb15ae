/* SPDX-License-Identifier: MIT */
/* What the commands of pagespanctl share. */
#ifndef PAGESPANCTL_H
#define PAGESPANCTL_H

#include <stdbool.h>

/* What the program exits with; the man page promises these numbers. */
enum status {
	DONE = 0,
	FAILED = 1,
	MISUSED = 2,
	NO_MODULE = 3,
	NOT_PERMITTED = 4,
};

/**
 * complain() - say on standard error what is wrong
 * @format: a sentence without its end, as printf()
 */
void complain(const char *format, ...) __attribute__((format(printf, 1, 2)));

/**
 * no_arguments() - take a command's options, of which it has none but --json and --help
 * @argc: of the command
 * @argv: of the command, its name first
 * @json: set if --json was given; NULL if the command has no such option
 *
 * Return: whether there was nothing else; if not, it has been said.
 */
bool no_arguments(int argc, char **argv, bool *json);

/**
 * misused() - say how a command is called
 * @command: its name
 *
 * Return: MISUSED.
 */
int misused(const char *command);

int command_stat(int argc, char **argv);
int command_map(int argc, char **argv);
int command_top(int argc, char **argv);
int command_clients(int argc, char **argv);
int command_users(int argc, char **argv);
int command_reserve(int argc, char **argv);
int command_bench(int argc, char **argv);
int command_doctor(int argc, char **argv);

#endif
