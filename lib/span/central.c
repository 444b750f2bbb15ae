// SPDX-License-Identifier: MIT
/* The central cache. */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "central.h"
#include "../counters.h"
#include "pages.h"
#include "../process.h"

#define MB ((uint64_t)1 << 20)

/*
 * What the central cache may hold: of spans below 2 MiB a part of what the process
 * holds, so that it is no waste beside it; of larger ones, for which the backend
 * has the most work, a part of the pool.
 */
#define SMALL_SHARE 20
#define SMALL_LEAST (1 * MB)
#define HUGE_SHARE  16
#define HUGE_MOST   (64 * MB)

enum kind { SMALL, HUGE };

/*
 * struct shelf - the batches of a bin
 * @batches: linked by next_batch, the last one that came in first
 * @nr: how many
 * @least: the smallest @nr since the last decay: so many were not needed
 */
struct shelf {
	struct link *batches;
	uint32_t nr;
	uint32_t least;
};

/* All protected by lock; bytes may be read without. */
static struct {
	struct shelf shelves[NR_BINS];
	bin_set filled;
	_Atomic uint64_t bytes[CENTRAL_KINDS];
	int64_t decayed_at;
} central;

static pthread_mutex_t lock = PTHREAD_ADAPTIVE_MUTEX_INITIALIZER_NP;

static enum kind kind_of(uint32_t bin)
{
	return bin < MEGABLOCK_PAGES ? SMALL : HUGE;
}

static uint64_t most_bytes(enum kind kind)
{
	uint64_t share;

	if (kind == HUGE) {
		share = process.window.nr_pages * PS_PAGE_SIZE / HUGE_SHARE;
		return share < HUGE_MOST ? share : HUGE_MOST;
	}
	share = atomic_load_explicit(&counters.bytes_taken, memory_order_relaxed) / SMALL_SHARE;
	return share > SMALL_LEAST ? share : SMALL_LEAST;
}

static void add_bytes(uint32_t bin, int64_t nr_spans)
{
	_Atomic uint64_t *bytes = &central.bytes[kind_of(bin)];

	atomic_store_explicit(bytes,
			      atomic_load_explicit(bytes, memory_order_relaxed) +
				      (uint64_t)nr_spans * bin_pages(bin) * PS_PAGE_SIZE,
			      memory_order_relaxed);
}

uint64_t central_bytes(void)
{
	return atomic_load_explicit(&central.bytes[SMALL], memory_order_relaxed) +
	       atomic_load_explicit(&central.bytes[HUGE], memory_order_relaxed);
}

const _Atomic uint64_t *central_bytes_by_kind(void)
{
	return central.bytes;
}

void central_lock(void)
{
	pthread_mutex_lock(&lock);
}

void central_unlock(void)
{
	pthread_mutex_unlock(&lock);
}

/* A list of spans becomes a batch before others. */
static struct link *chain(struct link *batches, struct link *list, uint32_t count)
{
	annotate_link_opened(list);
	list->next_batch = batches;
	list->count = count;
	annotate_link_closed(list);
	return list;
}

/* The batches behind one. */
static struct link *unchain(struct link *list, uint32_t *count)
{
	struct link *batches;

	annotate_link_opened(list);
	batches = list->next_batch;
	*count = (uint32_t)list->count;
	annotate_link_closed(list);
	return batches;
}

/* With the lock held. */
static void put(uint32_t bin, struct link *list, uint32_t count)
{
	struct shelf *shelf = &central.shelves[bin];

	shelf->batches = chain(shelf->batches, list, count);
	shelf->nr++;
	central.filled[bin / 64] |= (uint64_t)1 << bin % 64;
	add_bytes(bin, count);
}

/* With the lock held; NULL if there is none. */
static struct link *take(uint32_t bin, uint32_t *count)
{
	struct shelf *shelf = &central.shelves[bin];
	struct link *list = shelf->batches;

	if (!list)
		return NULL;
	shelf->batches = unchain(list, count);
	if (!--shelf->nr)
		central.filled[bin / 64] &= ~((uint64_t)1 << bin % 64);
	if (shelf->nr < shelf->least)
		shelf->least = shelf->nr;
	add_bytes(bin, -(int64_t)*count);
	return list;
}

struct link *central_take(uint32_t bin, uint32_t *count)
{
	struct link *list;

	central_lock();
	list = take(bin, count);
	central_unlock();
	if (list)
		counters_add(&counters.handovers, 1);
	return list;
}

bool central_give(uint32_t bin, struct link *list, uint32_t count)
{
	enum kind kind = kind_of(bin);
	uint64_t bytes = count * bin_pages(bin) * PS_PAGE_SIZE;
	bool accepted;

	central_lock();
	accepted = atomic_load_explicit(&central.bytes[kind], memory_order_relaxed) + bytes <=
		   most_bytes(kind);
	if (accepted)
		put(bin, list, count);
	central_unlock();
	return accepted;
}

/* Takes a batch of any bin if there is more than so much; its bin in @bin. */
static struct link *take_any(uint64_t keep_bytes, uint32_t *bin)
{
	struct link *list = NULL;
	uint32_t count;

	central_lock();
	*bin = bin_set_next(central.filled, 1);
	if (*bin < NR_BINS && central_bytes() > keep_bytes)
		list = take(*bin, &count);
	central_unlock();
	return list;
}

void central_trim(uint64_t keep_bytes)
{
	struct pages_batch out;
	struct link *list;
	uint32_t bin;

	pages_batch_begin(&out);
	while ((list = take_any(keep_bytes, &bin)))
		pages_batch_add(&out, list, bin_pages(bin));
	pages_batch_flush(&out);
}

/* With the lock held; the batches keep their order, and how many of them were not needed. */
static uint32_t uncover_shelf(uint32_t bin, const struct range *range, struct pages_batch *out)
{
	uint32_t least = central.shelves[bin].least;
	struct link *kept = NULL, *list;
	uint32_t count, nr_out, sum = 0;

	while ((list = take(bin, &count))) {
		list = links_uncover(list, bin_pages(bin), range, out, &nr_out);
		if (list)
			kept = chain(kept, list, count - nr_out);
		sum += nr_out;
	}
	while ((list = kept)) {
		kept = unchain(list, &count);
		put(bin, list, count);
	}
	if (least > central.shelves[bin].nr)
		least = central.shelves[bin].nr;
	central.shelves[bin].least = least;
	return sum;
}

bool central_uncover(const struct range *range)
{
	struct pages_batch out;
	uint32_t nr_out = 0;
	uint32_t bin;

	pages_batch_begin(&out);
	central_lock();
	for_each_bin(bin, central.filled)
		nr_out += uncover_shelf(bin, range, &out);
	central_unlock();
	pages_batch_flush(&out);
	return nr_out;
}

/* Takes a batch that its bin could have done without; a new count of those starts with NULL. */
static struct link *take_idle(uint32_t bin)
{
	struct shelf *shelf = &central.shelves[bin];
	struct link *list = NULL;
	uint32_t count, left;

	central_lock();
	if (shelf->least) {
		left = shelf->least - 1;
		list = take(bin, &count);
		shelf->least = left;
	} else {
		shelf->least = shelf->nr;
	}
	central_unlock();
	return list;
}

/* Whether this is the first time in this second; what is filled is told in @filled. */
static bool is_due(int64_t now, bin_set filled)
{
	bool due;

	central_lock();
	due = now != central.decayed_at;
	central.decayed_at = now;
	memcpy(filled, central.filled, sizeof(bin_set));
	central_unlock();
	return due;
}

void central_decay(int64_t now)
{
	struct pages_batch out;
	bin_set filled;
	struct link *list;
	uint32_t bin;

	if (!is_due(now, filled))
		return;
	pages_batch_begin(&out);
	for_each_bin(bin, filled)
		while ((list = take_idle(bin)))
			pages_batch_add(&out, list, bin_pages(bin));
	pages_batch_flush(&out);
}

void central_reset(void)
{
	memset(&central, 0, sizeof(central));
	central_reset_lock();
}

void central_reset_lock(void)
{
	lock = (pthread_mutex_t)PTHREAD_ADAPTIVE_MUTEX_INITIALIZER_NP;
}
