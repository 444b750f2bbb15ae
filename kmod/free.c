// SPDX-License-Identifier: GPL-2.0-only
/*
 * How a client's pages are given back: by a free or because it is closed.
 *
 * Pages leave in this order. Under client->lock their owner words say that they are
 * free, so that no fault maps them any more. They are zapped: no page table maps
 * them any more. TLBs forget them. They settle: what something still pins is
 * quarantined, what is poisoned is retired, the rest goes to the pool and can be
 * anybody's. A poisoned page has a reference more, so at first it looks like a pinned one.
 */
#include <linux/mm.h>
#include <linux/page_ref.h>
#include <linux/sched.h>

#include "client.h"
#include "compat.h"
#include "era.h"
#include "stats.h"

/* Pages handled between two looks at the scheduler: a megablock. */
#define FREE_PIECE		((u64)SPAN_MAP_MEGABLOCK_PAGES)

/*
 * Ranges zapped and given back at once: with at most so many pages between two
 * of them, so many ranges once those that lie side by side are one, and so many
 * pages from the first to the last. Below the first, a zap of what lies between
 * costs less than a zap of its own.
 */
#define GROUP_GAP		8
#define GROUP_RANGES		64
#define GROUP_PAGES		(4 * FREE_PIECE)

/* So few mapped pages are zapped in one go, whatever they are. */
#define ZAP_PAGES		86

static inline bool pinned(const struct client *client, u64 first, u64 nr_pages)
{
	const struct pool *pool = client->registry->pool;

	if (nr_pages == 1)
		return page_ref_count(pool_page(pool, first)) != 1 || pool_is_folio(pool, first);
	return pool_pinned(pool, first, nr_pages);
}

/* Gives pages that nobody can reach to the pool. */
static void give_back(struct registry *registry, u64 first, u64 nr_pages)
{
	if (registry->limits.zero_on_free) {
		pool_zero(registry->pool, first, nr_pages);
		owner_write(&registry->owners, first, nr_pages,
			    owner_word(OWNER_NOBODY_CLEAN, OWNER_FREE));
	}
	pool_free(registry->pool, first, nr_pages);
}

static void settle_free(struct client *client, u64 first, u64 nr_pages)
{
	give_back(client->registry, first, nr_pages);
	client_refund(client, nr_pages);
}

/* Of a page that nothing pins. */
static void settle_unpinned(struct client *client, u64 index)
{
	struct registry *registry = client->registry;

	if (!pool_page_is_poisoned(registry->pool, index)) {
		settle_free(client, index, 1);
		return;
	}
	owner_write(&registry->owners, index, 1, owner_word(0, OWNER_RETIRED));
	client_refund(client, 1);
}

static void settle_page(struct client *client, u64 index)
{
	if (!pool_page_pinned(client->registry->pool, index)) {
		settle_unpinned(client, index);
		return;
	}
	owner_write(&client->registry->owners, index, 1,
		    owner_word(client->id, OWNER_QUARANTINED));
	atomic64_inc(&client->nr_quarantined);
	refcount_inc(&client->refs);
	quarantine_add(client, index);
}

/**
 * client_settle_quarantined() - give back a page that has left the quarantine
 * @client: who is charged for it; may be gone afterwards
 * @index: of the page, which nothing holds any more
 */
void client_settle_quarantined(struct client *client, u64 index)
{
	owner_write(&client->registry->owners, index, 1, owner_word(client->id, OWNER_FREE));
	atomic64_dec(&client->nr_quarantined);
	settle_unpinned(client, index);
	client_put(client);
}

/* Of pages that include pinned or poisoned ones. */
static noinline void settle_each(struct client *client, u64 first, u64 nr_pages)
{
	u64 end = first + nr_pages;
	u64 piece;

	for (; first < end; first += piece) {
		piece = min(end - first, FREE_PIECE - first % FREE_PIECE);
		if (pinned(client, first, piece)) {
			u64 index;

			for (index = first; index < first + piece; index++)
				settle_page(client, index);
		} else {
			settle_free(client, first, piece);
		}
		cond_resched();
	}
}

/*
 * The second half: no mapping is left, but something may pin a page. References
 * that come and go at this moment are harmless either way: whoever takes one
 * without holding one looks again whether the page is still mapped.
 */
static __always_inline void settle(struct client *client, u64 first, u64 nr_pages)
{
	struct holding_batch batch = { .holding = &client->holding, .sign = -1 };

	if (nr_pages <= FREE_PIECE && !pinned(client, first, nr_pages))
		settle_free(client, first, nr_pages);
	else
		settle_each(client, first, nr_pages);
	atomic64_sub(nr_pages, &client->nr_owned);
	holding_count(&batch, first, nr_pages);
	holding_end(&batch);
	stats_count(STATS_FREE, free, client->id, first, nr_pages);
}

/* Takes pages out of every mapping; at most nr_mapped of them are in one. */
static void zap(struct client *client, u64 first, u64 nr_pages, u64 nr_mapped)
{
	u64 end = first + nr_pages;
	u64 piece;

	for (; first < end; first += piece) {
		piece = end - first;
		if (nr_mapped > ZAP_PAGES)
			piece = era_zap_pages(client->registry->pool, first, piece);
		unmap_mapping_pages(client->window, first, piece, true);
	}
}

static void clear_mapped(struct pool *pool, u64 first, u64 nr_pages)
{
	u64 index;

	for (index = round_down(first, FREE_PIECE); index < first + nr_pages; index += FREE_PIECE)
		pool_clear_mapped(pool, index);
}

/*
 * Before Linux 6.5 MADV_COLD and MADV_PAGEOUT take the 2 MiB entry of ZONE_DEVICE pages
 * for a broken one, and clear it without flushing a TLB; then the zap of it
 * finds nothing and flushes nothing. So every TLB is flushed once before pages of a
 * megablock that had such an entry settle.
 *
 * The note of it goes after that, and before the pages settle: whoever finds it gone
 * needs no flush, and nobody can make an entry as long as one page of the megablock
 * has not settled.
 */
static void flush_translations(struct client *client, u64 first, u64 nr_pages)
{
	struct pool *pool = client->registry->pool;
	u64 index = round_down(first, FREE_PIECE);

	while (index < first + nr_pages && !pool_is_mapped(pool, index))
		index += FREE_PIECE;
	if (index >= first + nr_pages)
		return;
	compat_flush_lost_translations();
	clear_mapped(pool, index, first + nr_pages - index);
}

/* Unmaps a folio and takes it apart; false if something holds it. */
static bool unmap_and_take_apart(struct client *client, u64 first)
{
	lockdep_assert_held_write(&client->lock);
	unmap_mapping_pages(client->window, first, FREE_PIECE, true);
	return era_take_apart(client->registry->pool, first);
}

/*
 * Takes the folios apart that pages do not leave with as a whole. Under the lock, so that
 * no fault maps what stays meanwhile; where something holds one anyway, its pages are
 * quarantined.
 */
static inline void split_folios(struct client *client, u64 first, u64 nr_pages)
{
	const struct pool *pool = client->registry->pool;
	u64 end = first + nr_pages;
	u64 block = pool_next_split(pool, first, first, end);

	for (; block < end; block = pool_next_split(pool, block + FREE_PIECE, first, end))
		unmap_and_take_apart(client, block);
}

/* Of a client that has relatives, by the megablock: not the hot path. */
static int free_in_family(struct client *client, u64 first, u64 nr_pages)
{
	DECLARE_BITMAP(left, SPAN_MAP_MEGABLOCK_PAGES);
	u64 end = first + nr_pages;
	unsigned int from, to;
	u64 piece;

	if (!snapshot_sees_all(client, first, nr_pages))
		return -EINVAL;
	for (; first < end; first += piece) {
		piece = min(end - first, FREE_PIECE - first % FREE_PIECE);
		snapshot_give_up(client, first, piece, left);
		flush_translations(client, first, piece);
		for_each_set_bitrange(from, to, left, SPAN_MAP_MEGABLOCK_PAGES)
			settle(client, round_down(first, FREE_PIECE) + from, to - from);
		cond_resched();
	}
	return 0;
}

/**
 * client_free_page() - free a page of a client
 * @client: the client
 * @index: any value
 *
 * When it returns neither a mapping nor a TLB reaches the page.
 *
 * Context: process context; no lock held.
 * Return: 0, or -EINVAL if the client does not own the page; then nothing has
 * changed.
 */
long client_free_page(struct client *client, u64 index)
{
	struct registry *registry = client->registry;
	bool owned;

	if (index >= registry->pool->nr_pages)
		return -EINVAL;
	index = pool_clamp(registry->pool, index);
	if (unlikely(READ_ONCE(client->view.family)))
		return free_in_family(client, index, 1);
	down_write(&client->lock);
	owned = owner_change(&registry->owners, index, owner_word(client->id, OWNER_OWNED),
			     owner_word(client->id, OWNER_FREE));
	if (owned)
		split_folios(client, index, 1);
	up_write(&client->lock);
	if (!owned)
		return -EINVAL;
	unmap_mapping_pages(client->window, index, 1, true);
	flush_translations(client, index, 1);
	settle(client, index, 1);
	return 0;
}

/*
 * Whether a range may join a group that ends before page end: near enough, and
 * with nothing of the client's in between, which would lose its mapping.
 */
static bool joins(const struct client *client, u64 end, const struct span_map_range *range)
{
	const struct owner_table *owners = &client->registry->owners;

	if (range->first == end)
		return true;
	return range->first > end && range->first - end <= GROUP_GAP &&
	       !owner_any(owners, end, range->first, owner_word(client->id, OWNER_OWNED));
}

/**
 * struct group - ranges freed together
 * @ranges: in ascending order, those that lie side by side made one
 * @nr: how many there are now
 * @nr_asked: how many there were
 * @nr_pages: of all of them
 */
struct group {
	struct span_map_range *ranges;
	u32 nr;
	u32 nr_asked;
	u64 nr_pages;
};

/*
 * The first half of a bulk free, after which no fault can map the pages: of the
 * ranges from the first on, as many as can be freed together.
 */
static void leave_together(struct client *client, struct group *group, u32 nr)
{
	const struct pool *pool = client->registry->pool;
	struct owner_table *owners = &client->registry->owners;
	const struct span_map_range *range = group->ranges;
	struct span_map_range *last = NULL;
	u64 start = range->first, end = start;

	down_write(&client->lock);
	for (; group->nr_asked < nr; group->nr_asked++, range++) {
		u64 first = range->first, nr_pages = range->nr_pages;

		if (!pool_contains(pool, first, nr_pages))
			break;
		first = pool_clamp(pool, first);
		if (last && (first + nr_pages - start > GROUP_PAGES || !joins(client, end, range) ||
			     (first != end && group->nr == GROUP_RANGES)))
			break;
		if (!client_owns(client, first, nr_pages))
			break;
		owner_write(owners, first, nr_pages, owner_word(client->id, OWNER_FREE));
		if (last && first == end) {
			last->nr_pages += nr_pages;
		} else {
			last = &group->ranges[group->nr++];
			*last = *range;
		}
		group->nr_pages += nr_pages;
		end = first + nr_pages;
	}
	for (range = group->ranges; range < group->ranges + group->nr; range++)
		split_folios(client, range->first, range->nr_pages);
	up_write(&client->lock);
}

static bool group_pinned(const struct client *client, const struct group *group)
{
	const struct span_map_range *range = group->ranges;
	const struct span_map_range *end = range + group->nr;

	for (; range < end; range++)
		if (pinned(client, range->first, range->nr_pages))
			return true;
	return false;
}

/* The second half, as settle(). */
static void settle_together(struct client *client, const struct group *group)
{
	struct holding_batch batch = { .holding = &client->holding, .sign = -1 };
	const struct span_map_range *range = group->ranges;
	u32 i;

	if (group->nr == 1 || client->registry->limits.zero_on_free ||
	    group_pinned(client, group)) {
		for (i = 0; i < group->nr; i++, range++)
			settle(client, range->first, range->nr_pages);
		return;
	}
	pool_free_ranges(client->registry->pool, range, group->nr);
	client_refund(client, group->nr_pages);
	atomic64_sub(group->nr_pages, &client->nr_owned);
	for (i = 0; i < group->nr; i++, range++) {
		holding_count(&batch, range->first, range->nr_pages);
		stats_count(STATS_FREE, free, client->id, range->first, range->nr_pages);
	}
	holding_end(&batch);
}

/**
 * client_free_ranges() - free several ranges of pages of a client together
 * @client: the client
 * @ranges: any values; those that are freed may have changed afterwards
 * @nr: how many there are, at least 1
 *
 * Frees the first range, and with it those behind it that lie near enough for
 * one zap. When it returns neither a mapping nor a TLB reaches their pages. A page between them
 * that the client gets meanwhile may lose its mapping, but not what it holds.
 *
 * Context: process context; no lock held.
 * Return: how many were freed, at least 1, or -EINVAL if the first is empty or the
 * client does not own all of it; then nothing has changed.
 */
int client_free_ranges(struct client *client, struct span_map_range *ranges, u32 nr)
{
	struct group group = { .ranges = ranges };
	const struct span_map_range *last;
	u64 nr_pages;

	if (unlikely(READ_ONCE(client->view.family))) {
		if (!pool_contains(client->registry->pool, ranges->first, ranges->nr_pages))
			return -EINVAL;
		return free_in_family(client, pool_clamp(client->registry->pool, ranges->first),
				      ranges->nr_pages) ?: 1;
	}
	leave_together(client, &group, nr);
	if (!group.nr)
		return -EINVAL;
	last = &ranges[group.nr - 1];
	nr_pages = last->first + last->nr_pages - ranges->first;
	zap(client, ranges->first, nr_pages, group.nr_pages);
	flush_translations(client, ranges->first, nr_pages);
	settle_together(client, &group);
	return group.nr_asked;
}

/* The first run, from an index on, of pages that a client owns; U64_MAX if there is none. */
static u64 next_owned(struct client *client, u64 index, u64 *run)
{
	const struct owner_table *owners = &client->registry->owners;
	u64 nr_pages = client->registry->pool->nr_pages;
	u64 owned = owner_word(client->id, OWNER_OWNED);
	u64 end;

	do {
		index = holding_next(&client->holding, index);
		if (index == U64_MAX)
			return index;
		end = min(round_down(index, FREE_PIECE) + FREE_PIECE, nr_pages);
		index += owner_run_not(owners, index, end - index, owned);
	} while (index == end);
	*run = owner_run(owners, index, nr_pages - index, owned);
	return index;
}

/* split_folios() of a client whose windows are gone. */
static void split_unmapped_folios(struct pool *pool, u64 first, u64 nr_pages)
{
	u64 end = first + nr_pages;
	u64 block = pool_next_split(pool, first, first, end);

	for (; block < end; block = pool_next_split(pool, block + FREE_PIECE, first, end))
		era_take_apart(pool, block);
}

/**
 * client_destroy() - free everything a client owns, and close it
 * @client: a client that no file descriptor and no mapping refers to
 */
void client_destroy(struct client *client)
{
	struct registry *registry = client->registry;
	u64 index = 0;
	u64 run;

	mutex_lock(&registry->clients_lock);
	client->window = NULL;
	mutex_unlock(&registry->clients_lock);
	snapshot_view_exit(client);
	if (client->had_huge)
		compat_flush_lost_translations();
	while (atomic64_read(&client->nr_owned)) {
		index = next_owned(client, index, &run);
		if (WARN_ON(index == U64_MAX))
			break;
		owner_write(&registry->owners, index, run, owner_word(client->id, OWNER_FREE));
		split_unmapped_folios(registry->pool, index, run);
		clear_mapped(registry->pool, index, run);
		settle(client, index, run);
		index += run;
		cond_resched();
	}
	pressure_client_exit(client);
	atomic_dec(&registry->nr_open);
	client_put(client);
}

/* A client that is open, and stays so as long as clients_lock is held; NULL if it is not. */
static struct client *find_open(struct registry *registry, u64 id)
{
	struct client *client;

	lockdep_assert_held(&registry->clients_lock);
	xa_lock(&registry->clients);	/* a closed one may end, which takes this */
	client = xa_load(&registry->clients, id);
	if (client && !client->window)
		client = NULL;
	xa_unlock(&registry->clients);
	return client;
}

/**
 * client_unmap() - take a page out of every mapping of the client that owns it
 * @registry: where the client is registered
 * @id: of a client, which may be gone by now
 * @index: of the page
 *
 * What the caller did before, to keep faults from mapping it again, is seen by every
 * later fault and by whoever frees the page, if this returns true.
 *
 * Context: process context; no lock held.
 * Return: false if the client does not own the page, or is being closed.
 */
bool client_unmap(struct registry *registry, u64 id, u64 index)
{
	struct client *client;
	bool owned = false;

	mutex_lock(&registry->clients_lock);
	client = find_open(registry, id);
	if (client) {
		/* Faults and frees that began before end, or do not begin before this ends. */
		down_write(&client->lock);
		owned = client_owns(client, index, 1);
		if (owned && pool_is_folio(registry->pool, index))
			unmap_and_take_apart(client, round_down(index, FREE_PIECE));
		up_write(&client->lock);
	}
	if (owned) {
		unmap_mapping_pages(client->window, index, 1, true);
		snapshot_zap(client, index);
	}
	mutex_unlock(&registry->clients_lock);
	return owned;
}

/**
 * client_take_apart() - take the folio of a quarantined page apart, if it is in one
 * @registry: where its client is registered
 * @index: of the page, which stays quarantined meanwhile
 *
 * The client may own other pages of the folio, and have them mapped: they are
 * unmapped.
 *
 * Context: process context.
 * Return: false if something holds the folio.
 */
bool client_take_apart(struct registry *registry, u64 index)
{
	u64 first = round_down(index, FREE_PIECE);
	struct client *client;
	bool apart;

	if (!pool_is_folio(registry->pool, index))
		return true;
	if (pool_folio_is_pinned(registry->pool, first))
		return false;
	mutex_lock(&registry->clients_lock);
	client = find_open(registry, owner_id(owner_read(&registry->owners, index)));
	if (client) {
		down_write(&client->lock);
		apart = unmap_and_take_apart(client, first);
		up_write(&client->lock);
	} else {
		apart = era_take_apart(registry->pool, first);
	}
	mutex_unlock(&registry->clients_lock);
	return apart;
}
