// SPDX-License-Identifier: MIT
/* Colours and quantities. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "terminal.h"

static enum { AUTO, ALWAYS, NEVER } chosen;

bool terminal_choose(const char *when)
{
	static const char *const choices[] = {"auto", "always", "never"};

	for (int i = AUTO; i <= NEVER; i++)
		if (!strcmp(when, choices[i])) {
			chosen = i;
			return true;
		}
	return false;
}

bool terminal_colours(void)
{
	const char *refused = getenv("NO_COLOR");
	const char *type = getenv("TERM");

	if (chosen != AUTO)
		return chosen == ALWAYS;
	return isatty(STDOUT_FILENO) && !(refused && *refused) && type && strcmp(type, "dumb") != 0;
}

const char *paint(const char *sequence)
{
	static char sequences[8][24];
	static unsigned int next;
	char *painted = sequences[next++ % 8];

	if (!terminal_colours())
		return "";
	snprintf(painted, sizeof(sequences[0]), "\033[%sm", sequence);
	return painted;
}

const char *quantity(char *text, uint64_t bytes)
{
	static const char *const units[] = {"KiB", "MiB", "GiB", "TiB"};
	double value = (double)bytes / 1024;
	unsigned int unit = 0;

	if (bytes == NOT_KNOWN) {
		snprintf(text, QUANTITY_BYTES, "-");
		return text;
	}
	for (; value >= 1024 && unit < 3; unit++)
		value /= 1024;
	if (value == (double)(uint64_t)value)
		snprintf(text, QUANTITY_BYTES, "%.0f %s", value, units[unit]);
	else
		snprintf(text, QUANTITY_BYTES, "%.1f %s", value, units[unit]);
	return text;
}

double percent(uint64_t part, uint64_t whole)
{
	return whole ? 100 * (double)part / (double)whole : 0;
}
