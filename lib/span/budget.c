// SPDX-License-Identifier: MIT
/* What a process keeps of what it has freed: how much, and how it goes back. */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>

#include "../backend/pages.h"
#include "../backend/ranges.h"
#include "../counters.h"
#include "budget.h"
#include "decay.h"
#include "kept.h"

/* What goes back on one tick, so that whoever it falls to does not wait for long. */
#define TICK_BYTES (8 * MEGABLOCK_BYTES)

/* What goes besides where too much is kept: a part of what may be, but no more than this. */
#define SLACK_SHARE 8
#define SLACK_BYTES (256 * PS_PAGE_SIZE)

/* Of what is held one part in so many may be kept for what does not fit elsewhere. */
#define SPARE_SHARE 16

/* Of a range that is kept in part, the pages that are looked at one by one. */
#define MIXED_PAGES 1024

static struct {
	struct budget_rules rules;
	struct decay decay;
	_Atomic int64_t granted;
	_Atomic bool more_is_old;
	void (*_Atomic when_kept)(void);
} budget;

static bool keeps(void)
{
	return budget.rules.most_bytes && budget.rules.decay_ms;
}

uint64_t budget_kept_bytes(void)
{
	return kept_pages() * PS_PAGE_SIZE;
}

uint64_t budget_held_bytes(void)
{
	uint64_t taken = atomic_load_explicit(&counters.bytes_taken, memory_order_relaxed);
	uint64_t kept = budget_kept_bytes();

	return taken > kept ? taken - kept : 0;
}

void budget_granted(int64_t bytes)
{
	atomic_fetch_add_explicit(&budget.granted, bytes, memory_order_relaxed);
}

uint64_t budget_granted_bytes(void)
{
	return (uint64_t)atomic_load_explicit(&budget.granted, memory_order_relaxed);
}

/* All that may be cached anywhere. */
static uint64_t pot_bytes(void)
{
	const struct budget_rules *rules = &budget.rules;
	uint64_t bytes = rules->fixed_bytes;
	uint64_t held = budget_held_bytes(), granted = budget_granted_bytes();

	if (rules->share && held > granted)
		bytes += (held - granted) / rules->share;
	return bytes < rules->most_bytes ? bytes : rules->most_bytes;
}

uint64_t budget_for_cpus(void)
{
	return pot_bytes() / budget.rules.cpus_share;
}

/* The most that may be kept. */
static uint64_t most_bytes(void)
{
	uint64_t pot = pot_bytes();
	uint64_t granted = budget_granted_bytes();

	return pot > granted ? pot - granted : 0;
}

/* ---- pages that go back --------------------------------------------------------------------- */

/* Held while pages are nowhere on their way from the map of what is kept to the backend. */
static pthread_mutex_t purging = PTHREAD_MUTEX_INITIALIZER;

/* At least so many if they are kept, and a megablock more at most; how many. */
static uint64_t purge_locked(uint64_t want)
{
	struct range ranges[RANGES_MOST];
	uint64_t nr_pages = 0;
	uint32_t count;

	do {
		count = kept_take_longest(want - nr_pages, ranges, RANGES_MOST);
		nr_pages += ranges_pages(ranges, count);
		/* Not this process's, and yet freed. */
		if (count && pages_give(ranges, count))
			kept_stop();
	} while (count == RANGES_MOST && nr_pages < want);
	return nr_pages;
}

static uint64_t purge(uint64_t want)
{
	uint64_t nr_pages;

	pthread_mutex_lock(&purging);
	nr_pages = purge_locked(want);
	pthread_mutex_unlock(&purging);
	return nr_pages;
}

/* Unless somebody is at it. */
static uint64_t purge_some(uint64_t want)
{
	uint64_t nr_pages;

	if (!want || pthread_mutex_trylock(&purging))
		return 0;
	nr_pages = purge_locked(want);
	pthread_mutex_unlock(&purging);
	return nr_pages;
}

/* And a little more, so that not every page goes by itself. */
static void purge_beyond(uint64_t most)
{
	uint64_t slack = most / SLACK_SHARE < SLACK_BYTES ? most / SLACK_SHARE : SLACK_BYTES;
	uint64_t kept = budget_kept_bytes();
	uint64_t bytes;

	if (kept <= most)
		return;
	bytes = purge_some((kept - most + slack) / PS_PAGE_SIZE) * PS_PAGE_SIZE;
	counters_add(&counters.purges, bytes);
}

void budget_fit(void)
{
	purge_beyond(most_bytes());
}

/*
 * Before more is taken although there is enough that is kept, in pieces: what is held and kept
 * together is to be no more than the most that was held lately, and a share besides, for not
 * everything fits where something else was.
 */
static void make_way(uint64_t bytes)
{
	uint64_t held = budget_held_bytes() + bytes;
	uint64_t peak = decay_peak(&budget.decay);

	purge_beyond(held / SPARE_SHARE + (peak > held ? peak - held : 0));
}

uint64_t budget_trim(uint64_t keep_bytes)
{
	uint64_t kept = budget_kept_bytes();

	return kept > keep_bytes ? purge((kept - keep_bytes) / PS_PAGE_SIZE) * PS_PAGE_SIZE : 0;
}

bool budget_reclaim(uint32_t nr_pages)
{
	return purge(nr_pages);
}

static void purge_old(void)
{
	uint64_t bytes = decay_least(&budget.decay);
	bool more = bytes > TICK_BYTES;

	bytes = purge_some((more ? TICK_BYTES : bytes) / PS_PAGE_SIZE) * PS_PAGE_SIZE;
	decay_gone(&budget.decay, bytes);
	counters_add(&counters.purges, bytes);
	atomic_store_explicit(&budget.more_is_old, more && bytes, memory_order_relaxed);
}

bool budget_tick(void)
{
	bool is_new = decay_advance(&budget.decay, budget_held_bytes(), budget_kept_bytes());

	if (is_new || atomic_load_explicit(&budget.more_is_old, memory_order_relaxed))
		purge_old();
	return is_new;
}

void budget_was_idle(uint64_t kept_bytes)
{
	uint64_t kept = budget_kept_bytes();

	if (kept > kept_bytes)
		decay_note_idle(&budget.decay, kept - kept_bytes);
}

uint32_t budget_next_tick(void)
{
	if (!kept_pages())
		return UINT32_MAX;
	return budget.more_is_old ? 0 : (uint32_t)decay_left(&budget.decay);
}

/* ---- taking and giving ---------------------------------------------------------------------- */

uint32_t budget_take_kept(const struct request *request, uint64_t *firsts)
{
	uint32_t nr = kept_take(request, firsts);

	if (!nr)
		return 0;
	decay_note_kept(&budget.decay, budget_kept_bytes());
	counters_add(&counters.handovers, 1);
	return nr;
}

/* Several in one run, for any pages of it can be freed; if there is none so long, what there is. */
int budget_take_fresh(const struct request *request, uint64_t *firsts)
{
	struct request run = *request;
	uint32_t i;

	run.nr_pages *= request->count;
	run.count = 1;
	make_way(run.nr_pages * PS_PAGE_SIZE);
	if (request->count == 1 || request->nr_pages % request->align_pages ||
	    pages_take(&run, firsts) != 1)
		return pages_take(request, firsts);
	for (i = 1; i < request->count; i++)
		firsts[i] = firsts[i - 1] + request->nr_pages;
	return (int)request->count;
}

/* Pages that are not kept, beside a run that is. */
static bool take_beside(const struct range *run, uint64_t nr_pages, uint32_t align, uint64_t *first)
{
	uint64_t more = nr_pages - run->nr_pages;
	struct range behind = {run->first + run->nr_pages, more};
	struct range before = {run->first - more, more};

	*first = before.first;
	if (run->first >= more && before.first % align == 0 && !pages_take_at(&before))
		return true;
	*first = run->first;
	return run->first % align == 0 && !pages_take_at(&behind);
}

bool budget_take_joined(const struct request *request, uint64_t *first)
{
	uint64_t nr_pages = request->nr_pages;
	struct range run;

	run = kept_take_run(nr_pages / 2, nr_pages - 1);
	make_way((nr_pages - run.nr_pages) * PS_PAGE_SIZE);
	if (run.nr_pages && take_beside(&run, nr_pages, request->align_pages, first)) {
		decay_note_kept(&budget.decay, budget_kept_bytes());
		return true;
	}
	if (run.nr_pages) {
		kept_give(&run, 1);
		make_way(nr_pages * PS_PAGE_SIZE);
	}
	return false;
}

int budget_take(const struct request *request, uint64_t *firsts)
{
	int nr = (int)budget_take_kept(request, firsts);

	if (nr)
		return nr;
	pages_begin(false);
	nr = budget_take_fresh(request, firsts);
	pages_end();
	return nr;
}

static void give_back(struct range range, bool kept)
{
	if (kept)
		budget_give(&range, 1);
	else
		pages_give(&range, 1);
}

/* Pages of which some are kept; none are taken if one cannot be. */
static int take_mixed(const struct range *range)
{
	uint64_t taken = 0, nr;
	uint64_t kept_bits[MIXED_PAGES / 64] = {0};
	bool kept;

	while (taken < range->nr_pages) {
		struct range rest = {range->first + taken, range->nr_pages - taken};

		nr = kept_take_alike(&rest, &kept);
		rest.nr_pages = nr;
		if (!kept && pages_take_at(&rest))
			break;
		for (; nr; nr--, taken++)
			kept_bits[taken / 64] |= (uint64_t)kept << taken % 64;
	}
	if (taken == range->nr_pages)
		return 0;
	while (taken--)
		give_back((struct range){range->first + taken, 1},
			  kept_bits[taken / 64] >> taken % 64 & 1);
	return -EBUSY;
}

int budget_take_at(const struct range *range)
{
	int ret = kept_take_at(range);

	if (ret) {
		pages_begin(false);
		ret = pages_take_at(range);
		if (ret == -EBUSY && kept_pages() && range->nr_pages <= MIXED_PAGES)
			ret = take_mixed(range);
		else if (ret && budget_trim(0))
			ret = pages_take_at(range);
		pages_end();
	}
	decay_note_kept(&budget.decay, budget_kept_bytes());
	return ret;
}

void budget_call_when_kept(void (*call)(void))
{
	atomic_store(&budget.when_kept, call);
}

static void tell_that_kept(void)
{
	void (*call)(void) = atomic_exchange(&budget.when_kept, NULL);

	if (call)
		call();
}

int budget_give(struct range *ranges, uint32_t count)
{
	if (!keeps())
		return pages_give(ranges, count);
	count = ranges_merge(ranges, count);
	/* What is held is never more than just before some of it is given back. */
	decay_note_held(&budget.decay, budget_held_bytes());
	if (kept_give(ranges, count))
		return -EINVAL;
	if (atomic_load_explicit(&budget.when_kept, memory_order_relaxed))
		tell_that_kept();
	budget_fit();
	return 0;
}

/* ---- the beginning and the end -------------------------------------------------------------- */

int budget_open(const struct window *window, const struct budget_rules *rules)
{
	budget.rules = *rules;
	budget.granted = 0;
	decay_start(&budget.decay, rules->decay_ms);
	return keeps() ? kept_open(window->nr_pages) : 0;
}

void budget_lock(void)
{
	pthread_mutex_lock(&purging);
	kept_lock();
}

void budget_unlock(void)
{
	kept_unlock();
	pthread_mutex_unlock(&purging);
}

void budget_reset_lock(void)
{
	kept_reset_lock();
	purging = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
}

void budget_forget(void)
{
	budget_reset_lock();
	if (keeps())
		kept_forget();
	budget.rules = (struct budget_rules){0};
}
