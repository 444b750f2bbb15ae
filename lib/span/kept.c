// SPDX-License-Identifier: MIT
/* The map of the pages that a process keeps. */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../../kmod/span_map.h"
#include "../backend/ranges.h"
#include "kept.h"
#include "kept_place.h"

/*
 * Whole megablocks come and go apart as long as nobody needs to see them beside the rest: they are
 * not cut up then, and cost less.
 */
#define WHOLE_MOST 8

static struct {
	pthread_mutex_t lock;
	struct span_map map; /* what is kept is free in it, but what is in @whole */
	struct range whole[WHOLE_MOST];
	uint32_t nr_whole;
	_Atomic uint64_t pages; /* may be read without the lock */
	void *metadata;
	size_t metadata_bytes;
} kept = {.lock = PTHREAD_ADAPTIVE_MUTEX_INITIALIZER_NP};

void kept_lock(void)
{
	pthread_mutex_lock(&kept.lock);
}

void kept_unlock(void)
{
	pthread_mutex_unlock(&kept.lock);
}

void kept_reset_lock(void)
{
	kept.lock = (pthread_mutex_t)PTHREAD_ADAPTIVE_MUTEX_INITIALIZER_NP;
}

uint64_t kept_pages(void)
{
	return atomic_load_explicit(&kept.pages, memory_order_relaxed);
}

const _Atomic uint64_t *kept_pages_counter(void)
{
	return &kept.pages;
}

/* ---- with the lock held --------------------------------------------------------------------- */

static void note(void)
{
	uint64_t pages = span_map_free_pages(&kept.map) + (uint64_t)kept.nr_whole * MEGABLOCK_PAGES;

	atomic_store_explicit(&kept.pages, pages, memory_order_relaxed);
}

/* Puts the whole megablocks that are apart where they belong, for what needs to see them all. */
static void put_whole_back(void)
{
	if (!kept.nr_whole)
		return;
	kept.nr_whole = ranges_merge(kept.whole, kept.nr_whole);
	if (span_map_free_ranges(&kept.map, (const struct span_map_range *)kept.whole,
				 kept.nr_whole))
		kept_stop();
	kept.nr_whole = 0;
}

static bool is_whole(const struct range *range)
{
	return range->nr_pages == MEGABLOCK_PAGES && range->first % MEGABLOCK_PAGES == 0;
}

/* False if it has to be looked at more closely. */
static bool give_whole(const struct range *range)
{
	uint32_t i;

	if (kept.nr_whole == WHOLE_MOST)
		put_whole_back();
	for (i = 0; i < kept.nr_whole; i++)
		if (kept.whole[i].first == range->first)
			return false;
	kept.whole[kept.nr_whole++] = *range;
	return true;
}

/* ---- everything else ------------------------------------------------------------------------ */

uint32_t kept_take(const struct request *request, uint64_t *firsts)
{
	uint32_t nr;

	if (!kept_pages())
		return 0;
	kept_lock();
	if (request->nr_pages == MEGABLOCK_PAGES && request->count == 1 && kept.nr_whole) {
		*firsts = kept.whole[--kept.nr_whole].first;
		nr = 1;
	} else {
		nr = place_spans(&kept.map, request, firsts);
		if (!nr && kept.nr_whole) {
			put_whole_back();
			nr = place_spans(&kept.map, request, firsts);
		}
	}
	if (nr)
		note();
	kept_unlock();
	return nr;
}

int kept_take_at(const struct range *range)
{
	int ret;

	if (!kept_pages())
		return -EBUSY;
	kept_lock();
	put_whole_back();
	ret = span_map_alloc_at(&kept.map, range->first, range->nr_pages);
	if (!ret)
		note();
	kept_unlock();
	return ret;
}

/* With the lock held. */
static bool take_page(uint64_t page)
{
	return !span_map_alloc_at(&kept.map, page, 1);
}

/* With the lock held. */
static bool has_page(uint64_t page)
{
	if (!take_page(page))
		return false;
	span_map_free(&kept.map, page, 1);
	return true;
}

bool kept_has_end_of(const struct range *range)
{
	bool has;

	if (!kept_pages())
		return false;
	kept_lock();
	put_whole_back();
	has = has_page(range->first) || has_page(range->first + range->nr_pages - 1);
	kept_unlock();
	return has;
}

uint64_t kept_take_alike(const struct range *range, bool *is_kept)
{
	uint64_t nr_pages = 1;

	kept_lock();
	put_whole_back();
	*is_kept = take_page(range->first);
	for (; nr_pages < range->nr_pages; nr_pages++) {
		bool taken = take_page(range->first + nr_pages);

		if (taken == *is_kept)
			continue;
		if (taken)
			span_map_free(&kept.map, range->first + nr_pages, 1);
		break;
	}
	note();
	kept_unlock();
	return nr_pages;
}

uint32_t kept_take_longest(uint64_t nr_pages, struct range *ranges, uint32_t most)
{
	uint64_t taken = 0;
	uint32_t count;

	if (!kept_pages())
		return 0;
	kept_lock();
	put_whole_back();
	for (count = 0; count < most && taken < nr_pages; count++) {
		ranges[count] = place_longest(&kept.map, nr_pages - taken);
		if (!ranges[count].nr_pages)
			break;
		taken += ranges[count].nr_pages;
	}
	note();
	kept_unlock();
	return count;
}

struct range kept_take_run(uint64_t least, uint64_t most)
{
	struct range run = {0};
	uint64_t longest;

	if (kept_pages() < least)
		return run;
	kept_lock();
	put_whole_back();
	longest = span_map_longest_run(&kept.map);
	if (longest >= least && longest <= most) {
		run.nr_pages = longest;
		run.first = (uint64_t)span_map_alloc(&kept.map, (uint32_t)longest, 1);
		note();
	}
	kept_unlock();
	return run;
}

int kept_give(const struct range *ranges, uint32_t count)
{
	int ret = -EINVAL;

	_Static_assert(sizeof(*ranges) == sizeof(struct span_map_range), "handed on as they are");
	kept_lock();
	if (count != 1 || !is_whole(ranges))
		ret = span_map_free_ranges(&kept.map, (const struct span_map_range *)ranges, count);
	else if (give_whole(ranges))
		ret = 0;
	if (!ret)
		note();
	kept_unlock();
	return ret;
}

_Noreturn void kept_stop(void)
{
	static const char message[] = "pagespan: pages were freed that are free already\n";

	(void)!write(STDERR_FILENO, message, sizeof(message) - 1);
	abort();
}

int kept_open(uint64_t nr_pages)
{
	kept.metadata_bytes = span_map_metadata_bytes(nr_pages);
	kept.metadata = mmap(NULL, kept.metadata_bytes, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (kept.metadata == MAP_FAILED)
		return -ENOMEM;
	span_map_init(&kept.map, nr_pages, kept.metadata);
	kept.nr_whole = 0;
	kept.pages = 0;
	return 0;
}

void kept_forget(void)
{
	munmap(kept.metadata, kept.metadata_bytes);
	kept.pages = 0;
	kept_reset_lock();
}
