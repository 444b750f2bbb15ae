/* SPDX-License-Identifier: MIT */
/*
 * How many pages nobody needs.
 *
 * The time for which pages are kept is four quarters, of each of which the least is known that
 * was kept in it: so many were there all the time and not needed.  What was not needed in the last
 * three, and in what there is of the fourth, is old.  (The watermark is that of gperftools' and
 * jemalloc's thread caches; there it counts what a thread has.)
 */
#ifndef PAGESPAN_DECAY_H
#define PAGESPAN_DECAY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#define DECAY_QUARTERS 4

/*
 * struct decay - all of it under its owner's lock, but that @due may be read without
 * @quarter_ms: 0 if nothing ever gets old
 * @due: when this quarter ends
 * @least: pages
 * @now: the quarter that it is
 * @old: pages that are to go and have not yet
 */
struct decay {
	uint64_t quarter_ms;
	_Atomic uint64_t due;
	uint64_t least[DECAY_QUARTERS];
	uint32_t now;
	_Atomic uint64_t old;
};

/* Milliseconds, as exact as costs nothing. */
static inline uint64_t decay_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static inline void decay_start(struct decay *decay, uint32_t decay_ms)
{
	*decay = (struct decay){.quarter_ms = (decay_ms + DECAY_QUARTERS - 1) / DECAY_QUARTERS};
	decay->due = decay_now() + decay->quarter_ms;
}

static inline void decay_note(struct decay *decay, uint64_t pages)
{
	if (pages < decay->least[decay->now])
		decay->least[decay->now] = pages;
	if (pages < atomic_load_explicit(&decay->old, memory_order_relaxed))
		atomic_store_explicit(&decay->old, pages, memory_order_relaxed);
}

static inline bool decay_is_due(const struct decay *decay, uint64_t now)
{
	return decay->quarter_ms &&
	       (atomic_load_explicit(&decay->old, memory_order_relaxed) ||
		now >= atomic_load_explicit(&decay->due, memory_order_relaxed));
}

/* Begins the quarter that it is now, with so many pages; false if it has begun already. */
static inline bool decay_advance(struct decay *decay, uint64_t now, uint64_t pages)
{
	uint64_t due = atomic_load_explicit(&decay->due, memory_order_relaxed);
	uint64_t quarters, least = pages;
	uint32_t i;

	if (now < due)
		return false;
	quarters = (now - due) / decay->quarter_ms + 1;
	atomic_store_explicit(&decay->due, due + quarters * decay->quarter_ms,
			      memory_order_relaxed);
	/* In those that passed without a call nothing changed. */
	for (i = 0; i < DECAY_QUARTERS && i < quarters; i++) {
		decay->now = (decay->now + 1) % DECAY_QUARTERS;
		decay->least[decay->now] = pages;
	}
	for (i = 0; i < DECAY_QUARTERS; i++)
		if (decay->least[i] < least)
			least = decay->least[i];
	atomic_store_explicit(&decay->old, least, memory_order_relaxed);
	return true;
}

/* So many of what is old go now. */
static inline uint64_t decay_take(struct decay *decay, uint64_t most)
{
	uint64_t old = atomic_load_explicit(&decay->old, memory_order_relaxed);
	uint64_t pages = old < most ? old : most;
	uint32_t i;

	atomic_store_explicit(&decay->old, old - pages, memory_order_relaxed);
	for (i = 0; i < DECAY_QUARTERS; i++)
		decay->least[i] -= decay->least[i] < pages ? decay->least[i] : pages;
	return pages;
}

/* Milliseconds until there may be something to do. */
static inline uint32_t decay_next(const struct decay *decay, uint64_t now)
{
	uint64_t due = atomic_load_explicit(&decay->due, memory_order_relaxed);

	if (atomic_load_explicit(&decay->old, memory_order_relaxed) || now >= due)
		return 0;
	return (uint32_t)(due - now);
}

#endif
