// SPDX-License-Identifier: MIT
/* The central cache. */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "central.h"
#include "counters.h"
#include "pages.h"
#include "process.h"

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

enum kind { SMALL, HUGE, NR_KINDS };

/*
 * struct shelf - the batches of a class
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
	struct shelf shelves[NR_CLASSES];
	_Atomic uint64_t bytes[NR_KINDS];
	int64_t decayed_at;
} central;

static pthread_mutex_t lock = PTHREAD_ADAPTIVE_MUTEX_INITIALIZER_NP;

static enum kind kind_of(uint32_t class)
{
	return class < MEGABLOCK_PAGES ? SMALL : HUGE;
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

static void add_bytes(uint32_t class, int64_t nr_spans)
{
	_Atomic uint64_t *bytes = &central.bytes[kind_of(class)];

	atomic_store_explicit(bytes,
			      atomic_load_explicit(bytes, memory_order_relaxed) +
				      (uint64_t)nr_spans * class_pages(class) * PS_PAGE_SIZE,
			      memory_order_relaxed);
}

uint64_t central_bytes(void)
{
	return atomic_load_explicit(&central.bytes[SMALL], memory_order_relaxed) +
	       atomic_load_explicit(&central.bytes[HUGE], memory_order_relaxed);
}

void central_lock(void)
{
	pthread_mutex_lock(&lock);
}

void central_unlock(void)
{
	pthread_mutex_unlock(&lock);
}

/* With the lock held. */
static struct link *take(uint32_t class, uint32_t *count)
{
	struct shelf *shelf = &central.shelves[class];
	struct link *list = shelf->batches;

	if (!list)
		return NULL;
	annotate_link_opened(list);
	shelf->batches = list->next_batch;
	*count = (uint32_t)list->count;
	annotate_link_closed(list);
	if (--shelf->nr < shelf->least)
		shelf->least = shelf->nr;
	add_bytes(class, -(int64_t)*count);
	return list;
}

struct link *central_take(uint32_t class, uint32_t *count)
{
	struct link *list;

	central_lock();
	list = take(class, count);
	central_unlock();
	if (list)
		counters_add(&counters.handovers, 1);
	return list;
}

bool central_give(uint32_t class, struct link *list, uint32_t count)
{
	struct shelf *shelf = &central.shelves[class];
	enum kind kind = kind_of(class);
	uint64_t bytes = count * class_pages(class) * PS_PAGE_SIZE;
	bool accepted;

	central_lock();
	accepted = atomic_load_explicit(&central.bytes[kind], memory_order_relaxed) + bytes <=
		   most_bytes(kind);
	if (accepted) {
		annotate_link_opened(list);
		list->next_batch = shelf->batches;
		list->count = count;
		annotate_link_closed(list);
		shelf->batches = list;
		shelf->nr++;
		add_bytes(class, count);
	}
	central_unlock();
	return accepted;
}

void central_trim(uint64_t keep_bytes)
{
	struct pages_batch out = {0};
	uint32_t class = NR_CLASSES - 1;
	struct link *list;
	uint32_t count;

	while (class) {
		central_lock();
		list = central_bytes() > keep_bytes ? take(class, &count) : NULL;
		central_unlock();
		if (list)
			pages_batch_add(&out, list, class_pages(class));
		else
			class --;
	}
	pages_batch_flush(&out);
}

/* Takes a batch that its class could have done without; NULL when a new count of those starts. */
static struct link *take_idle(uint32_t class)
{
	struct shelf *shelf = &central.shelves[class];
	struct link *list = NULL;
	uint32_t count, left;

	central_lock();
	if (shelf->least) {
		left = shelf->least - 1;
		list = take(class, &count);
		shelf->least = left;
	} else {
		shelf->least = shelf->nr;
	}
	central_unlock();
	return list;
}

void central_decay(int64_t now)
{
	struct pages_batch out = {0};
	struct link *list;
	uint32_t class;
	bool due;

	central_lock();
	due = now != central.decayed_at;
	central.decayed_at = now;
	central_unlock();
	if (!due)
		return;
	for (class = 1; class < NR_CLASSES; class ++)
		while ((list = take_idle(class)))
			pages_batch_add(&out, list, class_pages(class));
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
