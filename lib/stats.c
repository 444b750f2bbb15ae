// SPDX-License-Identifier: MIT
/* Counters: added up, and printed at exit. */
#define _GNU_SOURCE
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "backend/pages.h"
#include "counters.h"
#include "open.h"
#include "report.h"
#include "span/budget.h"
#include "span/cpu_caches.h"

/* Threads go on while they are asked, so sums may be a little off, but not below 0. */
static uint64_t difference(uint64_t larger, uint64_t smaller)
{
	return larger > smaller ? larger - smaller : 0;
}

static struct ps_stats collect(const struct backend *backend)
{
	struct cache_totals totals = {0};
	uint64_t kept, cached;

	cpu_caches_total(&totals);
	kept = budget_kept_bytes();
	cached = totals.bytes + kept;
	return (struct ps_stats){
		.spans_allocated = totals.allocated + counters.allocated,
		.spans_freed = totals.freed + counters.freed,
		.bytes_held = difference(counters.bytes_taken, cached),
		.bytes_peak = counters.bytes_peak,
		.bytes_pool = backend->pool_pages() * PS_PAGE_SIZE,
		.bytes_cached = cached,
		.bytes_limit = pages_limit(),
		.cache_hits = totals.allocated,
		.refills = counters.refills,
		.spans_refilled = counters.spans_refilled,
		.flushes = counters.flushes,
		.spans_flushed = counters.spans_flushed,
		.handovers = counters.handovers,
		.purges = counters.purges,
		.slot_remaps = counters.slot_remaps,
		.caches = totals.caches,
		.unprotected = counters.unprotected,
		.bytes_kept = kept,
	};
}

int ps_stats(struct ps_stats *stats, size_t size)
{
	const struct backend *backend;
	struct ps_stats current;

	if (!size)
		return -EINVAL;
	backend = process_backend();
	if (!backend)
		return -errno;
	current = collect(backend);
	memset(stats, 0, size);
	memcpy(stats, &current, size < sizeof(current) ? size : sizeof(current));
	return 0;
}

static void report(void)
{
	const struct backend *backend = process_opened();
	struct ps_stats stats;

	if (!backend)
		return;
	stats = collect(backend);
	dprintf(STDERR_FILENO,
		"pagespan: %s backend, %" PRIu64 " KiB\n"
		"pagespan: spans allocated %" PRIu64 ", freed %" PRIu64 ", from the cache %" PRIu64
		"\n"
		"pagespan: KiB held %" PRIu64 ", cached %" PRIu64 ", most of both %" PRIu64 "\n"
		"pagespan: refills %" PRIu64 " of %" PRIu64 " spans, flushes %" PRIu64
		" of %" PRIu64 "\n"
		"pagespan: handovers %" PRIu64 ", KiB purged %" PRIu64 ", slots remapped %" PRIu64
		"\n",
		backend->name, stats.bytes_pool >> 10, stats.spans_allocated, stats.spans_freed,
		stats.cache_hits, stats.bytes_held >> 10, stats.bytes_cached >> 10,
		stats.bytes_peak >> 10, stats.refills, stats.spans_refilled, stats.flushes,
		stats.spans_flushed, stats.handovers, stats.purges >> 10, stats.slot_remaps);
}

void report_at_exit(void)
{
	static bool registered;

	if (!registered)
		registered = !atexit(report);
}
