/* SPDX-License-Identifier: GPL-2.0-only */
/* What is counted, and where it is shown: sysfs, debugfs, tracepoints. */
#ifndef PAGESPAN_STATS_H
#define PAGESPAN_STATS_H

#include <linux/percpu.h>
#include <linux/sysfs.h>

#include "trace.h"

struct registry;

/**
 * enum stats_event - what is counted, each with a tracepoint
 * @STATS_ALLOC: spans allocated
 * @STATS_FREE: ranges freed, by request or because a client ended
 * @STATS_FAULT: faults that mapped a page or a megablock
 * @STATS_QUARANTINE: pages that were pinned when freed
 * @STATS_POISON: pages that became poisoned
 * @STATS_ASK: times that a client was asked for pages
 * @STATS_WAIT: requests that waited for what others can spare
 * @STATS_SERVED: those of them that were not refused
 * @STATS_EVENTS: number of events
 */
enum stats_event {
	STATS_ALLOC,
	STATS_FREE,
	STATS_FAULT,
	STATS_QUARANTINE,
	STATS_POISON,
	STATS_ASK,
	STATS_WAIT,
	STATS_SERVED,
	STATS_EVENTS,
};

struct stats_counters {
	u64 events[STATS_EVENTS];
};

DECLARE_PER_CPU(struct stats_counters, stats_counters);

/* Counts an event of enum stats_event and feeds its tracepoint. */
#define stats_count(event, name, ...)					\
	do {								\
		this_cpu_inc(stats_counters.events[event]);		\
		trace_##name(__VA_ARGS__);				\
	} while (0)

extern const struct attribute_group *stats_groups[];

void stats_init(struct registry *registry);
void stats_exit(void);

#endif
