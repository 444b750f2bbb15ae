/* SPDX-License-Identifier: MIT */
/* Whether others on the machine, or in this process's cgroup, are short of memory. */
#ifndef PAGESPAN_MEMORY_PRESSURE_H
#define PAGESPAN_MEMORY_PRESSURE_H

#include <stdbool.h>

/* By one thread, before all others. */
void memory_pressure_open(void);

/*
 * True if tasks waited for memory for a tenth of the time since the last call, or if a limit of the
 * cgroup is near.  errno stays as it is.
 */
bool memory_pressure(void);

void memory_pressure_close(void);

#endif
