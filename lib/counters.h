/* SPDX-License-Identifier: MIT */
/* What the whole process counts; the cache of each CPU counts its own hits. */
#ifndef PAGESPAN_COUNTERS_H
#define PAGESPAN_COUNTERS_H

#include <stdatomic.h>
#include <stdint.h>

/*
 * struct counters - off the fast path, hence atomic
 * @allocated, @freed: spans that took the long way
 * @bytes_taken: from the backend and not given back: held and cached
 *
 * The others are those of struct ps_stats.
 */
struct counters {
	_Atomic uint64_t allocated;
	_Atomic uint64_t freed;
	_Atomic uint64_t bytes_taken;
	_Atomic uint64_t bytes_peak;
	_Atomic uint64_t refills;
	_Atomic uint64_t spans_refilled;
	_Atomic uint64_t flushes;
	_Atomic uint64_t spans_flushed;
	_Atomic uint64_t handovers;
	_Atomic uint64_t purges;
	_Atomic uint64_t slot_remaps;
	_Atomic uint64_t unprotected;
};

extern struct counters counters;

static inline void counters_add(_Atomic uint64_t *counter, uint64_t value)
{
	atomic_fetch_add_explicit(counter, value, memory_order_relaxed);
}

/* In the child of a fork. */
void counters_reset(void);

#endif
