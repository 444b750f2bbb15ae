/* SPDX-License-Identifier: GPL-2.0-only */
/* Making the nth allocation or copy of a thread fail, as /proc/thread-self/fail-nth does. */
#ifndef PAGESPAN_FAULT_INJECTION_H
#define PAGESPAN_FAULT_INJECTION_H

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Where allocations fail that may sleep, and nothing is said about it. */
static const char *const fault_injection_settings[][2] = {
	{ "/sys/kernel/debug/failslab/ignore-gfp-wait", "N" },
	{ "/sys/kernel/debug/failslab/verbose", "0" },
	{ "/sys/kernel/debug/fail_page_alloc/ignore-gfp-wait", "N" },
	{ "/sys/kernel/debug/fail_page_alloc/ignore-gfp-highmem", "N" },
	{ "/sys/kernel/debug/fail_page_alloc/min-order", "0" },
	{ "/sys/kernel/debug/fail_page_alloc/verbose", "0" },
	{ "/sys/kernel/debug/fail_usercopy/verbose", "0" },
};

static inline bool fault_injection_set(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY);
	bool written = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

	close(fd);
	return written;
}

/* Prepares for it, given what opening fail-nth gave: NULL, or what is missing. */
static inline const char *fault_injection_missing(int control)
{
	const size_t nr = sizeof(fault_injection_settings) / sizeof(*fault_injection_settings);

	if (control < 0)
		return "no fault injection in this kernel";
	for (size_t i = 0; i < nr; i++)
		if (!fault_injection_set(fault_injection_settings[i][0],
					 fault_injection_settings[i][1]))
			return fault_injection_settings[i][0];
	return NULL;
}

/* The nth site that this thread passes fails; 0 for none. */
static inline void fault_inject(int control, unsigned int nth)
{
	char text[16];
	int length = snprintf(text, sizeof(text), "%u", nth);

	while (pwrite(control, text, length, 0) != length)
		;	/* it may fail itself */
}

/* No more failing; how many sites short of the one that was to fail the thread has stopped. */
static inline unsigned int fault_injection_left(int control)
{
	char text[16] = "";
	unsigned int left = 1;

	if (pread(control, text, sizeof(text) - 1, 0) > 0)
		left = atoi(text);
	fault_inject(control, 0);
	return left;
}

/* No more failing; whether one did. */
static inline bool fault_injected(int control)
{
	return !fault_injection_left(control);
}

#endif
