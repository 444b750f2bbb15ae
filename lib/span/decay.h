/* SPDX-License-Identifier: MIT */
/*
 * The most that was held lately, and the least that was kept: in the quarter of the time that it
 * is, and in the three before.  What was kept all the time was not needed.  Threads count together
 * and without a lock: a moment that is missed is made up for by the next.
 */
#ifndef PAGESPAN_DECAY_H
#define PAGESPAN_DECAY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#define DECAY_QUARTERS 4

/*
 * struct decay - @peak: bytes, the most that was held in each quarter
 * @least: bytes, the least that was kept in each
 * @quarter_ms: 0 if nothing is kept at all
 * @due: when this quarter ends
 * @now: the quarter that it is
 */
struct decay {
	_Atomic uint64_t peak[DECAY_QUARTERS];
	_Atomic uint64_t least[DECAY_QUARTERS];
	uint64_t quarter_ms;
	_Atomic uint64_t due;
	_Atomic uint32_t now;
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

static inline void decay_note_held(struct decay *decay, uint64_t held)
{
	uint32_t now = atomic_load_explicit(&decay->now, memory_order_relaxed);

	if (held > atomic_load_explicit(&decay->peak[now], memory_order_relaxed))
		atomic_store_explicit(&decay->peak[now], held, memory_order_relaxed);
}

static inline void decay_note_kept(struct decay *decay, uint64_t kept)
{
	uint32_t now = atomic_load_explicit(&decay->now, memory_order_relaxed);

	if (kept < atomic_load_explicit(&decay->least[now], memory_order_relaxed))
		atomic_store_explicit(&decay->least[now], kept, memory_order_relaxed);
}

/* So much more was needed by no call in this quarter and in the one before, though not kept yet. */
static inline void decay_note_idle(struct decay *decay, uint64_t bytes)
{
	uint32_t now = atomic_load_explicit(&decay->now, memory_order_relaxed);
	uint32_t before = (now + DECAY_QUARTERS - 1) % DECAY_QUARTERS;

	atomic_fetch_add_explicit(&decay->least[now], bytes, memory_order_relaxed);
	atomic_fetch_add_explicit(&decay->least[before], bytes, memory_order_relaxed);
}

static inline uint64_t decay_peak(const struct decay *decay)
{
	uint64_t most = 0;
	int i;

	for (i = 0; i < DECAY_QUARTERS; i++) {
		uint64_t peak = atomic_load_explicit(&decay->peak[i], memory_order_relaxed);

		if (peak > most)
			most = peak;
	}
	return most;
}

static inline uint64_t decay_least(const struct decay *decay)
{
	uint64_t least = UINT64_MAX;
	int i;

	for (i = 0; i < DECAY_QUARTERS; i++) {
		uint64_t kept = atomic_load_explicit(&decay->least[i], memory_order_relaxed);

		if (kept < least)
			least = kept;
	}
	return least;
}

/* So much of what is kept is not any more. */
static inline void decay_gone(struct decay *decay, uint64_t bytes)
{
	int i;

	for (i = 0; i < DECAY_QUARTERS; i++) {
		uint64_t kept = atomic_load_explicit(&decay->least[i], memory_order_relaxed);

		atomic_store_explicit(&decay->least[i], kept > bytes ? kept - bytes : 0,
				      memory_order_relaxed);
	}
}

/* Milliseconds until this quarter is over. */
static inline uint64_t decay_left(const struct decay *decay)
{
	uint64_t due = atomic_load_explicit(&decay->due, memory_order_relaxed);
	uint64_t now = decay_now();

	return now < due ? due - now : 0;
}

/* Begins the quarter that it is now; false if it has begun already, or somebody else does it. */
static inline bool decay_advance(struct decay *decay, uint64_t held, uint64_t kept)
{
	uint64_t due = atomic_load_explicit(&decay->due, memory_order_relaxed);
	uint64_t now = decay_now();
	uint64_t quarters, i;
	uint32_t next = atomic_load_explicit(&decay->now, memory_order_relaxed);

	if (!decay->quarter_ms || now < due)
		return false;
	quarters = (now - due) / decay->quarter_ms + 1;
	if (!atomic_compare_exchange_strong(&decay->due, &due, due + quarters * decay->quarter_ms))
		return false;
	/* In those that passed without a call nothing changed. */
	for (i = 0; i < DECAY_QUARTERS && i < quarters; i++) {
		next = (next + 1) % DECAY_QUARTERS;
		atomic_store_explicit(&decay->peak[next], held, memory_order_relaxed);
		atomic_store_explicit(&decay->least[next], kept, memory_order_relaxed);
	}
	atomic_store_explicit(&decay->now, next, memory_order_relaxed);
	return true;
}

#endif
