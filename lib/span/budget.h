/* SPDX-License-Identifier: MIT */
/*
 * The budget: what a process keeps of what it has freed, behind the caches of its CPUs.
 *
 * The pages that are kept are the free pages of a span map of their own over the window: to the
 * backend they are in use, and to the caller they cost nothing to take again, for the memory
 * backend has not dropped them and the device's are still this client's.  Any size and alignment
 * is cut from them, and they merge as they come back.
 *
 *	in use, or in a cache ──budget_give()──► kept ──purge──► free, the backend's
 *	          ▲                               │                        │
 *	          └──────────budget_take()────────┴────────────────────────┘
 *
 * What is kept fits the rules, and before it is added to, for its pieces do not fit, some of it
 * goes: what is held and kept together is no more than the most that was held in the last
 * decay_ms and a sixteenth of what is held.  What was kept all that time was not needed, and
 * goes: a part at a time, on the long ways of whoever comes, or of the library's own thread.
 * The longest runs go first, in whole megablocks as far as there are any, for huge pages to stay.
 */
#ifndef PAGESPAN_BUDGET_H
#define PAGESPAN_BUDGET_H

#include <stdbool.h>
#include <stdint.h>

#include "../backend/backend.h"

/*
 * struct budget_rules - how much may be cached, by CPUs and behind them together
 * @fixed_bytes: if nothing is held
 * @share: and of what is held one part in so many, 0 for none
 * @most_bytes: in all; 0 if nothing is kept
 * @cpus_share: CPUs may have one part in so many of it
 * @decay_ms: how long pages are kept that are not needed
 */
struct budget_rules {
	uint64_t fixed_bytes;
	uint32_t share;
	uint64_t most_bytes;
	uint32_t cpus_share;
	uint32_t decay_ms;
};

/* Makes the budget of a window; 0 or -errno. */
int budget_open(const struct window *window, const struct budget_rules *rules);

/* In the child of a fork, drops it all; or only that somebody is at work. */
void budget_forget(void);
void budget_reset_lock(void);

/* Before a fork of which the child continues: nobody is at work until the other. */
void budget_lock(void);
void budget_unlock(void);

/*
 * Takes spans as backend->alloc() does, those that are kept first: how many, or -errno.  They
 * may be fewer than asked, and are where they cut up the least.
 */
int budget_take(const struct request *request, uint64_t *firsts);

/* Only of what is kept; how many, 0 for none. */
uint32_t budget_take_kept(const struct request *request, uint64_t *firsts);

/* Only of what is not.  Between pages_begin() and pages_end(). */
int budget_take_fresh(const struct request *request, uint64_t *firsts);

/*
 * A span of which the longest run that is kept makes more than a half, if the rest lies
 * beside it.  Between pages_begin() and pages_end().
 */
bool budget_take_joined(const struct request *request, uint64_t *first);

/* Takes exactly these pages; 0, -EBUSY or -ENOMEM. */
int budget_take_at(const struct range *range);

/* Takes ranges in, which it sorts and merges; -EINVAL if a page of them was free already. */
int budget_give(struct range *ranges, uint32_t count);

/* Gives back what is more than may be kept, now that the caches of CPUs were granted more. */
void budget_fit(void);

/* Gives back what is kept beyond so much; how many bytes that is. */
uint64_t budget_trim(uint64_t keep_bytes);

/* Gives back as much of it as a request for so many pages may need; false if nothing is kept. */
bool budget_reclaim(uint32_t nr_pages);

/* Bytes that the caches of CPUs may come to hold: more or less of them, all, and the most. */
void budget_granted(int64_t bytes);
uint64_t budget_granted_bytes(void);
uint64_t budget_for_cpus(void);

uint64_t budget_kept_bytes(void);

/* What callers hold, and what is in the caches of CPUs. */
uint64_t budget_held_bytes(void);

/*
 * Lets what is old go back, a part at a time.  True once in a quarter of the time that pages are
 * kept: what else is due from time to time is due then.
 */
bool budget_tick(void);

/* What is kept now beyond so many bytes was as idle in the caches of CPUs that gave it up. */
void budget_was_idle(uint64_t kept_bytes);

/* How many milliseconds from now there may be something to do; UINT32_MAX for never. */
uint32_t budget_next_tick(void);

/* Whom to call once when pages come to be kept; NULL for nobody. */
void budget_call_when_kept(void (*call)(void));

#endif
