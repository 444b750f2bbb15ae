// SPDX-License-Identifier: GPL-2.0-only
/*
 * The pool: which of the reserved pages are free. pieces.c says where they are.
 *
 * Every page has order 0 and a reference count of its own, but for those of a
 * megablock that is a folio, see pool.h, which have one together. The baseline is 1, the
 * pool's. A higher count means that somebody maps or pins the page, or the folio.
 *
 * What is freed is mostly asked for again at once and in the same size, so the
 * last few short spans freed are parked, outside the span map. An allocation of
 * the same size takes the last of them, one of single pages takes them all; for any
 * other call they are given to the map first, so that its answers stay exact.
 */
#include <linux/highmem.h>
#include <linux/page_ref.h>
#include <linux/sched/signal.h>

#include "address_space.h"
#include "era.h"
#include "pool.h"

/* Pages cleared between two looks at the scheduler and at signals. */
#define POOL_PIECE	512UL

/* Megablocks or runs from which single pages are taken in one hold of the lock. */
#define POOL_DRAINS	8

/* Gives the parked spans to the map. */
static noinline void unpark(struct pool *pool)
{
	lockdep_assert_held(&pool->lock);
	while (pool->nr_parked) {
		const struct pool_span *span = &pool->parked[--pool->nr_parked];

		WARN_ON_ONCE(span_map_free(&pool->map, span->first, span->nr_pages));
	}
}

/* Takes the span parked last if it is what is wanted, else -ENOENT. */
static s64 take_parked(struct pool *pool, u32 nr_pages, u32 align_pages)
{
	const struct pool_span *span;

	if (!pool->nr_parked)
		return -ENOENT;
	span = &pool->parked[pool->nr_parked - 1];
	if (span->nr_pages != nr_pages || !IS_ALIGNED(span->first, align_pages))
		return -ENOENT;
	pool->nr_parked--;
	return span->first;
}

/* Takes parked spans as single pages, as long as one is wanted whole; how many pages. */
static u32 take_parked_pages(struct pool *pool, u64 *pages, u32 nr)
{
	u32 taken = 0;

	while (pool->nr_parked) {
		const struct pool_span *span = &pool->parked[pool->nr_parked - 1];
		u32 i;

		if (span->nr_pages > nr - taken)
			break;
		for (i = 0; i < span->nr_pages; i++)
			pages[taken++] = span->first + i;
		pool->nr_parked--;
	}
	return taken;
}

static void park(struct pool *pool, u64 first, u32 nr_pages)
{
	if (pool->nr_parked == POOL_PARKED)
		unpark(pool);
	pool->parked[pool->nr_parked++] = (struct pool_span){ first, nr_pages };
}

/*
 * Charges for pages that were just taken, under the same hold of the lock under
 * which there was room for them.
 */
static inline s64 charged(struct account *account, s64 first, u32 nr_pages)
{
	if (first >= 0)
		account_charge(account, nr_pages);
	return first;
}

/*
 * Takes the folios apart of which only a part was just allocated. Nobody pins them, for
 * they were free; but the kernel holds a page now and then that it comes across.
 */
static inline void split_folios(struct pool *pool, u64 first, u64 nr_pages)
{
	u64 end = first + nr_pages;
	u64 block = pool_next_split(pool, first, first, end);

	while (block < end) {
		if (!era_take_apart(pool, block))
			cond_resched();
		block = pool_next_split(pool, block, first, end);
	}
}

static s64 search_step(struct pool *pool, struct account *account, struct span_map_search *search)
{
	if (account_room(account) < search->nr_pages)
		return -EDQUOT;
	unpark(pool);
	return charged(account, span_map_alloc_step(&pool->map, search), search->nr_pages);
}

/* The lock is dropped between the steps of an aligned search. */
static noinline s64 search(struct pool *pool, struct account *account, u32 nr_pages,
			   u32 align_pages)
{
	struct span_map_search search = { .nr_pages = nr_pages, .align_pages = align_pages };
	s64 first;

	for (;;) {
		spin_lock(&pool->lock);
		first = search_step(pool, account, &search);
		spin_unlock(&pool->lock);
		if (first != -EAGAIN)
			return first;
		cond_resched();
	}
}

/**
 * pool_alloc() - take a run of free pages
 * @pool: the pool
 * @account: who is charged, or NULL
 * @nr_pages: 1 to PAGESPAN_MAX_PAGES
 * @align_pages: a power of two up to PAGESPAN_MAX_ALIGN
 *
 * Return: index of the first page, -EDQUOT if the account has no room for them, or
 * -ENOMEM if no run is long enough.
 */
s64 pool_alloc(struct pool *pool, struct account *account, u32 nr_pages, u32 align_pages)
{
	s64 first = -EDQUOT;

	spin_lock(&pool->lock);
	if (account_room(account) >= nr_pages)
		first = charged(account, take_parked(pool, nr_pages, align_pages), nr_pages);
	spin_unlock(&pool->lock);
	if (first == -ENOENT)
		first = search(pool, account, nr_pages, align_pages);
	if (first >= 0)
		split_folios(pool, first, nr_pages);
	return first;
}

/**
 * pool_alloc_at() - take exactly these pages
 * @pool: the pool
 * @account: who is charged, or NULL
 * @first: index of the first page
 * @nr_pages: 1 to PAGESPAN_MAX_PAGES
 *
 * An account without room learns nothing of the pages.
 *
 * Return: 0, -EDQUOT if the account has no room for them, -EBUSY if one of them
 * is not free or not there, -EINVAL if they leave the index space.
 */
int pool_alloc_at(struct pool *pool, struct account *account, u64 first, u32 nr_pages)
{
	int ret = -EDQUOT;

	spin_lock(&pool->lock);
	if (account_room(account) >= nr_pages) {
		unpark(pool);
		ret = charged(account, span_map_alloc_at(&pool->map, first, nr_pages), nr_pages);
	}
	spin_unlock(&pool->lock);
	if (!ret)
		split_folios(pool, first, nr_pages);
	return ret;
}

static u32 take_pages(struct pool *pool, u64 *pages, u32 nr)
{
	u32 taken = take_parked_pages(pool, pages, nr);
	u32 drains, got = 1;

	if (taken < nr)
		unpark(pool);
	for (drains = 0; taken < nr && got && drains < POOL_DRAINS; drains++) {
		got = span_map_alloc_pages(&pool->map, pages + taken, nr - taken);
		taken += got;
	}
	return taken;
}

/**
 * pool_alloc_pages() - take single free pages, several at once
 * @pool: the pool
 * @account: who is charged
 * @pages: where to put their indices
 * @nr: how many are wanted, at least 1
 *
 * Where free pages lie far apart a call gives fewer than there are.
 *
 * Return: how many were taken, at least 1 and at most @nr; -EDQUOT if the account
 * has no room for one, -ENOMEM if no page is free.
 */
int pool_alloc_pages(struct pool *pool, struct account *account, u64 *pages, u32 nr)
{
	u32 taken = 0;
	u32 i;

	spin_lock(&pool->lock);
	nr = min_t(u64, nr, account_room(account));
	if (nr) {
		taken = take_pages(pool, pages, nr);
		account_charge(account, taken);
	}
	spin_unlock(&pool->lock);
	if (!nr)
		return -EDQUOT;
	for (i = 0; PAGESPAN_FOLIOS && i < taken; i++)
		if (pool_is_folio(pool, pages[i]))
			split_folios(pool, pages[i], 1);
	return taken ?: -ENOMEM;
}

/* The lock is held for at most PAGESPAN_MAX_PAGES pages at a time. */
static noinline void free_in_pieces(struct pool *pool, u64 first, u64 nr_pages)
{
	while (nr_pages) {
		u64 piece = min_t(u64, nr_pages, PAGESPAN_MAX_PAGES);
		int ret;

		spin_lock(&pool->lock);
		ret = span_map_free(&pool->map, first, piece);
		spin_unlock(&pool->lock);
		WARN_ON_ONCE(ret);
		first += piece;
		nr_pages -= piece;
	}
}

/**
 * pool_free() - make pages free
 * @pool: the pool
 * @first: index of the first page
 * @nr_pages: number of pages, at least 1, none of them free
 */
void pool_free(struct pool *pool, u64 first, u64 nr_pages)
{
	if (nr_pages > POOL_PARKED_MAX_PAGES) {
		free_in_pieces(pool, first, nr_pages);
		return;
	}
	spin_lock(&pool->lock);
	park(pool, first, nr_pages);
	spin_unlock(&pool->lock);
}

/**
 * pool_free_ranges() - make several ranges of pages free
 * @pool: the pool
 * @ranges: in ascending order, none of their pages free
 * @nr: how many
 *
 * The lock is held throughout, so the caller bounds their number and pages.
 */
void pool_free_ranges(struct pool *pool, const struct span_map_range *ranges, u32 nr)
{
	int ret;

	spin_lock(&pool->lock);
	ret = span_map_free_ranges(&pool->map, ranges, nr);
	spin_unlock(&pool->lock);
	WARN_ON_ONCE(ret);
}

/**
 * pool_figures() - how much is free, at one moment
 * @pool: the pool
 * @free_pages: where to put the number of free pages
 * @longest_run: where to put the length of the longest run
 */
void pool_figures(struct pool *pool, u64 *free_pages, u64 *longest_run)
{
	spin_lock(&pool->lock);
	unpark(pool);
	*free_pages = span_map_free_pages(&pool->map);
	*longest_run = span_map_longest_run(&pool->map);
	spin_unlock(&pool->lock);
}

/**
 * pool_recent_figures() - pool_figures(), for whoever may read them
 * @pool: the pool
 * @free_pages: where to put the number of free pages
 * @longest_run: where to put the length of the longest run
 *
 * Looks once in a jiffy, so that readers, however many, do not keep those waiting who
 * want pages; in between it tells what it saw.
 */
void pool_recent_figures(struct pool *pool, u64 *free_pages, u64 *longest_run)
{
	unsigned long last = READ_ONCE(pool->looked_at);
	unsigned long now = jiffies;

	if (last != now && cmpxchg(&pool->looked_at, last, now) == last) {
		pool_figures(pool, free_pages, longest_run);
		WRITE_ONCE(pool->recent_free, *free_pages);
		WRITE_ONCE(pool->recent_longest, *longest_run);
		return;
	}
	*free_pages = READ_ONCE(pool->recent_free);
	*longest_run = READ_ONCE(pool->recent_longest);
}

static __always_inline int count(const struct page *page)
{
	/* A plain load: one that changes meanwhile is harmless either way. */
	return data_race(page->_refcount.counter);
}

static __always_inline int counts(const struct page *page)
{
	return count(page) | count(page + 1) | count(page + 2) | count(page + 3);
}

/*
 * Whether any of some pages, which are no folio, has a reference besides the pool's: the
 * counts or'ed together are 1 if and only if none has.
 */
static bool pages_pinned(const struct page *page, u64 nr_pages)
{
	const struct page *end = page + nr_pages;
	int bits = 0;

	for (; end - page >= 16; page += 16)
		bits |= counts(page) | counts(page + 4) | counts(page + 8) | counts(page + 12);
	for (; page < end; page++)
		bits |= count(page);
	return bits != 1;
}

/**
 * pool_pinned() - whether any of some pages is mapped or pinned by reference
 * @pool: the pool
 * @first: index of the first page
 * @nr_pages: number of pages, at least 1
 *
 * The pages are in one piece, for pieces are kept apart by a page that nobody
 * owns. Every page has the pool's own reference, or its folio has.
 *
 * Return: true if one has another, or is in a folio that is to be taken apart.
 */
bool pool_pinned(const struct pool *pool, u64 first, u64 nr_pages)
{
	u64 end = first + nr_pages;
	u64 part;

	if (!PAGESPAN_FOLIOS)
		return pages_pinned(pool_page(pool, first), nr_pages);
	if (pool_next_split(pool, first, first, end) < end)
		return true;
	for (; first < end; first += part) {
		part = min(end - first,
			   SPAN_MAP_MEGABLOCK_PAGES - first % SPAN_MAP_MEGABLOCK_PAGES);
		if (pages_pinned(pool_page(pool, first), pool_is_folio(pool, first) ? 1 : part))
			return true;
	}
	return false;
}

/*
 * Clears a page, but for broken memory, which nobody will see; whether the scheduler
 * and signals are to be looked at then.
 */
static inline bool zero_page(const struct pool *pool, u64 index)
{
	if (!pool_page_is_poisoned(pool, index))
		clear_highpage(pool_page(pool, index));
	return !(index % POOL_PIECE);
}

/**
 * pool_zero() - clear pages that nobody can reach
 * @pool: the pool
 * @first: index of the first page
 * @nr_pages: number of pages
 *
 * Context: process context, no lock held.
 */
void pool_zero(struct pool *pool, u64 first, u64 nr_pages)
{
	u64 index;

	for (index = first; index < first + nr_pages; index++)
		if (zero_page(pool, index))
			cond_resched();
}

/**
 * pool_zero_killable() - pool_zero() for a process that may be killed meanwhile
 * @pool: the pool
 * @first: index of the first page
 * @nr_pages: number of pages
 *
 * Context: process context, no lock held.
 * Return: 0, or -EINTR if a fatal signal arrived; then only some are cleared.
 */
int pool_zero_killable(struct pool *pool, u64 first, u64 nr_pages)
{
	u64 index;

	for (index = first; index < first + nr_pages; index++) {
		if (!zero_page(pool, index))
			continue;
		if (fatal_signal_pending(current))
			return -EINTR;
		cond_resched();
	}
	return 0;
}

/**
 * pool_place() - put pages that nobody can reach where a client's futexes are
 * @pool: the pool
 * @first: index of the first page
 * @nr_pages: number of pages
 * @id: of the client
 *
 * Context: process context, no lock held.
 */
void pool_place(struct pool *pool, u64 first, u64 nr_pages, u64 id)
{
	u64 index;

	for (index = first; index < first + nr_pages; index++) {
		address_space_place(pool_page(pool, index), index, id);
		if (!(index % POOL_PIECE))
			cond_resched();
	}
}
