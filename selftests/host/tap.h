/* SPDX-License-Identifier: MIT */
/* KTAP result lines, one per promise. */
#ifndef PAGESPAN_TAP_H
#define PAGESPAN_TAP_H

#include <stdbool.h>
#include <stdio.h>

static int tap_count, tap_failed;

static inline void tap_begin(void)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	puts("KTAP version 1");
}

/* Reports whether a promise is kept. */
static inline void tap_result(bool kept, const char *promise)
{
	tap_count++;
	tap_failed += !kept;
	printf("%s %d %s\n", kept ? "ok" : "not ok", tap_count, promise);
}

/* Prints the plan and returns the exit status. */
static inline int tap_end(void)
{
	printf("1..%d\n", tap_count);
	return tap_failed || !tap_count;
}

#endif
