// SPDX-License-Identifier: GPL-2.0-only
/*
 * Clients: who owns which pages, and the quarantine of pinned ones.
 *
 *	      client_publish        a free
 *	 FREE ---------------> OWNED -----------> FREE
 *	  ^                                        | pinned
 *	  |               unpinned                 v
 *	  +---------------------------------- QUARANTINED
 *
 * FREE also covers pages that the span map counts as in use: those which
 * client_reserve() has taken and not published, and those which a free is about
 * to zap and give back. Nobody but that thread can get them. Ids are never
 * reused, so a page whose word carries the id of the client that gets it holds
 * nothing but that client's own data; every other page is cleared before it is
 * published. Id 0, no client's, marks pages that are new from the system. A
 * reservation that is undone leaves the words as they were.
 *
 * A fault holds client->lock for reading from the check that a page is owned
 * until it is mapped, and a free holds it for writing while pages leave,
 * so the zap that follows finds every mapping there will ever be.
 *
 * Lock order, here and in the whole module:
 *
 *	pool->resize_lock > pool->lock
 *	mmap_lock > client->lock > pool->lock
 *	mmap_lock > client->lock > registry->owners.split_lock
 *	pool->resize_lock > registry->owners.split_lock
 *	registry->quarantine_lock, registry->clients.xa_lock: innermost, alone
 *
 * No lock is held while pages are cleared, while mappings are zapped, or while
 * user memory is copied.
 */
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/page_ref.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>

#include "client.h"
#include "stats.h"

/* Pages handled between two looks at the scheduler. */
#define CLIENT_PIECE		512

/* Pages of the quarantine's bitmap looked through between two looks at the scheduler. */
#define QUARANTINE_PIECE	(64UL * CLIENT_PIECE)

/* Single pages reserved at once. */
#define CLIENT_BATCH		64

/*
 * Ranges zapped and given back at once: with at most so many pages between two
 * of them, so many ranges once those that lie side by side are one, and so many
 * pages from the first to the last. Below the first, a zap of what lies between
 * costs less than a zap of its own.
 */
#define GROUP_GAP		8
#define GROUP_RANGES		64
#define GROUP_PAGES		(4 * CLIENT_PIECE)

/*
 * Pages zapped in one go, of the running system's and of ZONE_DEVICE. The kernel
 * holds the lock of their page table meanwhile, for 40,000 and 25,000 instructions
 * if all of them are mapped and written.
 */
#define ZAP_PAGES		86
#define ZAP_DEVICE_PAGES	256

/* First and longest wait before quarantined pages are looked at again. */
#define RETRY_SHORTEST		1UL
#define RETRY_LONGEST		max(HZ / 4UL, 1UL)

/* Uncharges a client that may be gone by now. */
static void uncharge_quarantined(struct registry *registry, u64 id)
{
	struct client *client;

	xa_lock(&registry->clients);
	client = xa_load(&registry->clients, id);
	if (client) {
		atomic64_dec(&client->nr_quarantined);
		atomic64_dec(&client->nr_charged);
	}
	xa_unlock(&registry->clients);
}

static void quarantine_add(struct registry *registry, u64 index)
{
	spin_lock(&registry->quarantine_lock);
	__set_bit(index, registry->quarantine);
	if (!registry->nr_quarantined++)
		__module_get(THIS_MODULE);
	registry->retry_delay = RETRY_SHORTEST;
	spin_unlock(&registry->quarantine_lock);
	mod_delayed_work(system_unbound_wq, &registry->retry, RETRY_SHORTEST);
	stats_count(STATS_QUARANTINE, quarantine, owner_id(owner_read(&registry->owners, index)),
		    index, 1);
}

/*
 * Takes one page that nobody pins any more out of the quarantine. Its bit goes
 * first: once the page is in the pool it may be allocated, freed and quarantined
 * anew. Without its reference the module still waits for this work to end.
 */
static void quarantine_remove(struct registry *registry, u64 index)
{
	u64 id = owner_id(owner_read(&registry->owners, index));

	spin_lock(&registry->quarantine_lock);
	__clear_bit(index, registry->quarantine);
	if (!--registry->nr_quarantined)
		module_put(THIS_MODULE);
	spin_unlock(&registry->quarantine_lock);

	owner_write(&registry->owners, index, 1, owner_word(id, OWNER_FREE));
	pool_free(registry->pool, index, 1);
	uncharge_quarantined(registry, id);
}

static void quarantine_retry(struct work_struct *work)
{
	struct registry *registry = container_of(work, struct registry, retry.work);
	u64 nr_pages = registry->pool->nr_pages;
	unsigned long delay = 0;
	u64 index = 0, end;

	while (index < nr_pages) {
		end = min_t(u64, round_down(index, QUARANTINE_PIECE) + QUARANTINE_PIECE, nr_pages);
		index = find_next_bit(registry->quarantine, end, index);
		if (index < end) {
			if (!pool_pinned(registry->pool, index, 1))
				quarantine_remove(registry, index);
			index++;
		}
		cond_resched();
	}

	spin_lock(&registry->quarantine_lock);
	if (registry->nr_quarantined) {
		delay = registry->retry_delay;
		registry->retry_delay = min(2 * delay, RETRY_LONGEST);
	}
	spin_unlock(&registry->quarantine_lock);
	if (delay)
		queue_delayed_work(system_unbound_wq, &registry->retry, delay);
}

/**
 * registry_init() - start with no client and every page new from the system
 * @registry: the registry, zeroed
 * @pool: the pool; stays the caller's
 * @quota_pages: what each client may be charged, or CLIENT_NO_QUOTA
 *
 * Return: 0 or -ENOMEM.
 */
int registry_init(struct registry *registry, struct pool *pool, u64 quota_pages)
{
	int ret;

	ret = owner_table_init(&registry->owners, pool->nr_pages);
	if (ret)
		return ret;
	registry->quarantine = vzalloc(BITS_TO_LONGS(pool->nr_pages) * sizeof(long));
	if (!registry->quarantine) {
		owner_table_exit(&registry->owners);
		return -ENOMEM;
	}
	registry->quota_pages = quota_pages;
	registry->pool = pool;
	spin_lock_init(&registry->quarantine_lock);
	INIT_DELAYED_WORK(&registry->retry, quarantine_retry);
	xa_init(&registry->clients);
	return 0;
}

/**
 * registry_exit() - end a registry that has no client and nothing quarantined
 * @registry: the registry
 */
void registry_exit(struct registry *registry)
{
	cancel_delayed_work_sync(&registry->retry);
	WARN_ON(registry->nr_quarantined);
	WARN_ON(!xa_empty(&registry->clients));
	xa_destroy(&registry->clients);
	vfree(registry->quarantine);
	owner_table_exit(&registry->owners);
}

/**
 * client_create() - register a client that owns nothing
 * @registry: where
 * @window: the address space its windows will map
 *
 * Return: the client, ended by client_destroy(), or ERR_PTR(-ENOMEM).
 */
struct client *client_create(struct registry *registry, struct address_space *window)
{
	struct client *client;
	int ret;

	client = kzalloc(sizeof(*client), GFP_KERNEL_ACCOUNT);
	if (!client)
		return ERR_PTR(-ENOMEM);
	client->registry = registry;
	client->id = atomic64_inc_return(&registry->last_id);
	client->window = window;
	init_rwsem(&client->lock);
	ret = xa_err(xa_store(&registry->clients, client->id, client, GFP_KERNEL_ACCOUNT));
	if (ret) {
		kfree(client);
		return ERR_PTR(ret);
	}
	return client;
}

static inline int charge(struct client *client, u32 nr_pages)
{
	if (atomic64_add_return(nr_pages, &client->nr_charged) <= client->registry->quota_pages)
		return 0;
	atomic64_sub(nr_pages, &client->nr_charged);
	return -EDQUOT;
}

/* Charges as many pages as the quota allows, up to nr. Returns how many, or -EDQUOT. */
static s64 charge_upto(struct client *client, u32 nr)
{
	s64 over = atomic64_add_return(nr, &client->nr_charged) - client->registry->quota_pages;

	if (over <= 0)
		return nr;
	over = min_t(s64, over, nr);
	atomic64_sub(over, &client->nr_charged);
	return over < nr ? nr - over : -EDQUOT;
}

/* Clears the pages that another client owned last, or all. */
static int clear_span(struct client *client, u64 first, u32 nr_pages, bool zero)
{
	struct registry *registry = client->registry;
	u64 end = first + nr_pages;
	u64 index, run;
	int ret;

	if (zero)
		return pool_zero(registry->pool, first, nr_pages);
	for (index = first; index < end; index += run) {
		index += owner_run_of(&registry->owners, index, end - index, client->id);
		run = owner_run_of_others(&registry->owners, index, end - index, client->id);
		ret = pool_zero(registry->pool, index, run);
		if (ret)
			return ret;
	}
	return 0;
}

/* Makes a reserved span safe to show to the client. */
static inline int clear_for(struct client *client, u64 first, u32 nr_pages, bool zero)
{
	if (nr_pages == 1 && !zero &&
	    owner_id(owner_read(&client->registry->owners, first)) == client->id)
		return 0;
	return clear_span(client, first, nr_pages, zero);
}

/* Compiled twice: for one page, the hot path, and for any number. */
static __always_inline s64 reserve(struct client *client, u32 nr_pages, u32 align_pages, bool zero)
{
	s64 first;
	int ret;

	ret = charge(client, nr_pages);
	if (ret)
		return ret;
	first = pool_alloc(client->registry->pool, nr_pages, align_pages);
	if (first < 0) {
		atomic64_sub(nr_pages, &client->nr_charged);
		return first;
	}
	ret = clear_for(client, first, nr_pages, zero);
	if (ret) {
		client_unreserve(client, &(u64){ first }, 1, nr_pages);
		return ret;
	}
	return first;
}

/**
 * client_reserve() - take a span for a client, safe to show to it
 * @client: the client
 * @nr_pages: 1 to PAGESPAN_MAX_PAGES
 * @align_pages: a power of two up to PAGESPAN_MAX_ALIGN
 * @zero: clear every page, not only those that another client owned last
 *
 * The span is reachable by nobody until client_publish(); client_unreserve()
 * undoes the call.
 *
 * Context: process context; no lock held.
 * Return: index of the first page, -ENOMEM if no run is long enough, -EDQUOT if
 * the client may not own that many, or -EINTR if a fatal signal arrived.
 */
s64 client_reserve(struct client *client, u32 nr_pages, u32 align_pages, bool zero)
{
	return reserve(client, nr_pages, align_pages, zero);
}

/**
 * client_reserve_page() - client_reserve() of one page
 * @client: the client
 * @zero: clear it, though the client may have owned it last
 *
 * Return: as client_reserve().
 */
s64 client_reserve_page(struct client *client, bool zero)
{
	return reserve(client, 1, 1, zero);
}

/**
 * client_reserve_pages() - client_reserve() of single pages, several at once
 * @client: the client
 * @pages: where to put their indices
 * @nr: how many are wanted, at least 1
 * @zero: clear every page
 *
 * There may be more to be had by another call. Each page is a span to publish or
 * to undo.
 *
 * Context: process context; no lock held.
 * Return: how many were taken, at least 1 and at most @nr, or as client_reserve().
 */
int client_reserve_pages(struct client *client, u64 *pages, u32 nr, bool zero)
{
	s64 charged = charge_upto(client, min_t(u32, nr, CLIENT_BATCH));
	u32 taken, i;
	int ret;

	if (charged < 0)
		return charged;
	taken = pool_alloc_pages(client->registry->pool, pages, charged);
	if (taken < charged)
		atomic64_sub(charged - taken, &client->nr_charged);
	for (i = 0; i < taken; i++) {
		ret = clear_for(client, pages[i], 1, zero);
		if (ret)
			goto unreserve;
	}
	return taken ?: -ENOMEM;

unreserve:
	client_unreserve(client, pages, taken, 1);
	return ret;
}

/**
 * client_reserve_at() - client_reserve() of exactly these pages
 * @client: the client
 * @first: index of the first page
 * @nr_pages: 1 to PAGESPAN_MAX_PAGES
 * @zero: clear every page
 *
 * Return: 0, -EBUSY if a page is not free, -EINVAL if one is not in the pool,
 * or as client_reserve().
 */
int client_reserve_at(struct client *client, u64 first, u32 nr_pages, bool zero)
{
	int ret;

	ret = charge(client, nr_pages);
	if (ret)
		return ret;
	ret = pool_alloc_at(client->registry->pool, first, nr_pages);
	if (ret) {
		atomic64_sub(nr_pages, &client->nr_charged);
		return ret;
	}
	ret = clear_for(client, first, nr_pages, zero);
	if (ret)
		client_unreserve(client, &first, 1, nr_pages);
	return ret;
}

/**
 * client_unreserve() - undo client_reserve()
 * @client: the client
 * @firsts: the first page of each span
 * @nr: number of spans
 * @nr_pages: of each span
 */
void client_unreserve(struct client *client, const u64 *firsts, u32 nr, u32 nr_pages)
{
	u32 i;

	for (i = 0; i < nr; i++) {
		pool_free(client->registry->pool, firsts[i], nr_pages);
		cond_resched();
	}
	atomic64_sub((u64)nr * nr_pages, &client->nr_charged);
}

/**
 * client_publish() - make reserved spans the client's
 * @client: the client
 * @first: index of the first page of spans from client_reserve()
 * @nr_pages: number of pages
 *
 * Other threads of the client may touch and free pages of it at once.
 */
void client_publish(struct client *client, u64 first, u64 nr_pages)
{
	atomic64_add(nr_pages, &client->nr_owned);
	owner_write(&client->registry->owners, first, nr_pages,
		    owner_word(client->id, OWNER_OWNED));
	stats_count(STATS_ALLOC, alloc, client->id, first, nr_pages);
}

/* PAGESPAN_QUERY_* of a page, as far as it concerns the client. */
static u32 query_page(const struct client *client, u64 index)
{
	const struct registry *registry = client->registry;
	u32 state = 0;
	u64 word;

	rcu_read_lock();	/* a page that is just freed does not leave before this ends */
	word = owner_read(&registry->owners, index);
	if (word == owner_word(client->id, OWNER_OWNED))
		state = PAGESPAN_QUERY_OWNED;
	else if (word == owner_word(client->id, OWNER_QUARANTINED))
		state = PAGESPAN_QUERY_QUARANTINED;
	if (state && page_private(pool_page(registry->pool, index)))
		state |= PAGESPAN_QUERY_EXPORTED;
	rcu_read_unlock();
	return state;
}

static bool block_can_be_huge(const struct client *client, u64 index)
{
	const struct pool *pool = client->registry->pool;
	u64 first = round_down(index, SPAN_MAP_MEGABLOCK_PAGES);

	return pool_is_huge(pool, index) && client_owns(client, first, SPAN_MAP_MEGABLOCK_PAGES);
}

/**
 * client_query() - tell the state of pages
 * @client: the client
 * @first: index of the first page
 * @nr_pages: in: how many to look at, in the pool; out: how many are in the same
 *	state as the first
 *
 * Return: PAGESPAN_QUERY_* of the first page.
 */
u32 client_query(const struct client *client, u64 first, u64 *nr_pages)
{
	u64 end = first + *nr_pages;
	u32 state = 0, huge = 0;
	u64 index;

	for (index = first; index < end; index++) {
		bool new_block = !(index % SPAN_MAP_MEGABLOCK_PAGES);
		u32 now = query_page(client, index);

		if (index == first || new_block) {
			huge = block_can_be_huge(client, index) ? PAGESPAN_QUERY_HUGE : 0;
			cond_resched();
		}
		now |= huge;
		if (index == first)
			state = now;
		else if (now != state)
			break;
	}
	*nr_pages = index - first;
	return state;
}

static inline bool pinned(const struct client *client, u64 first, u64 nr_pages)
{
	const struct pool *pool = client->registry->pool;

	if (nr_pages == 1)
		return page_ref_count(pool_page(pool, first)) != 1;
	return pool_pinned(pool, first, nr_pages);
}

static void settle_free(struct client *client, u64 first, u64 nr_pages)
{
	struct registry *registry = client->registry;

	pool_free(registry->pool, first, nr_pages);
	atomic64_sub(nr_pages, &client->nr_charged);
}

static void settle_page(struct client *client, u64 index)
{
	if (pinned(client, index, 1)) {
		owner_write(&client->registry->owners, index, 1,
			    owner_word(client->id, OWNER_QUARANTINED));
		atomic64_inc(&client->nr_quarantined);
		quarantine_add(client->registry, index);
	} else {
		settle_free(client, index, 1);
	}
}

/* Of pages that include pinned ones. */
static noinline void settle_each(struct client *client, u64 first, u64 nr_pages)
{
	u64 end = first + nr_pages;
	u64 piece;

	for (; first < end; first += piece) {
		piece = min_t(u64, end - first, CLIENT_PIECE - first % CLIENT_PIECE);
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
	if (nr_pages <= CLIENT_PIECE && !pinned(client, first, nr_pages))
		settle_free(client, first, nr_pages);
	else
		settle_each(client, first, nr_pages);
	atomic64_sub(nr_pages, &client->nr_owned);
	stats_count(STATS_FREE, free, client->id, first, nr_pages);
}

/* How many of the pages from one on are to be zapped in one go. */
static u64 zap_piece(struct pool *pool, u64 first, u64 nr_pages)
{
	if (!pool_is_device(pool, first))
		return min_t(u64, nr_pages, ZAP_PAGES);
	if (nr_pages >= SPAN_MAP_MEGABLOCK_PAGES && IS_ALIGNED(first, SPAN_MAP_MEGABLOCK_PAGES) &&
	    pool_clear_mapped(pool, first))
		return SPAN_MAP_MEGABLOCK_PAGES;
	return min_t(u64, nr_pages, ZAP_DEVICE_PAGES - first % ZAP_DEVICE_PAGES);
}

/* Takes pages out of every mapping; at most nr_mapped of them are in one. */
static void zap(struct client *client, u64 first, u64 nr_pages, u64 nr_mapped)
{
	u64 end = first + nr_pages;
	u64 piece;

	for (; first < end; first += piece) {
		piece = end - first;
		if (nr_mapped > ZAP_PAGES)
			piece = zap_piece(client->registry->pool, first, piece);
		unmap_mapping_pages(client->window, first, piece, true);
	}
}

/**
 * client_free_page() - free a page of a client
 * @client: the client
 * @index: any value
 *
 * When it returns no mapping reaches the page.
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
	down_write(&client->lock);
	owned = owner_change(&registry->owners, index, owner_word(client->id, OWNER_OWNED),
			     owner_word(client->id, OWNER_FREE));
	up_write(&client->lock);
	if (!owned)
		return -EINVAL;
	unmap_mapping_pages(client->window, index, 1, true);
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
	struct owner_table *owners = &client->registry->owners;
	const struct span_map_range *range = group->ranges;
	struct span_map_range *last = NULL;
	u64 start = range->first, end = start;

	down_write(&client->lock);
	for (; group->nr_asked < nr; group->nr_asked++, range++) {
		u64 first = range->first, nr_pages = range->nr_pages;

		if (!pool_contains(client->registry->pool, first, nr_pages))
			break;
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
	const struct span_map_range *range = group->ranges;
	u32 i;

	if (group->nr == 1 || group_pinned(client, group)) {
		for (i = 0; i < group->nr; i++, range++)
			settle(client, range->first, range->nr_pages);
		return;
	}
	pool_free_ranges(client->registry->pool, range, group->nr);
	atomic64_sub(group->nr_pages, &client->nr_charged);
	atomic64_sub(group->nr_pages, &client->nr_owned);
	for (i = 0; i < group->nr; i++, range++)
		stats_count(STATS_FREE, free, client->id, range->first, range->nr_pages);
}

/**
 * client_free_ranges() - free several ranges of pages of a client together
 * @client: the client
 * @ranges: any values; those that are freed may have changed afterwards
 * @nr: how many there are, at least 1
 *
 * Frees the first range, and with it those behind it that lie near enough for
 * one zap. When it returns no mapping reaches their pages. A page between them
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

	leave_together(client, &group, nr);
	if (!group.nr)
		return -EINVAL;
	last = &ranges[group.nr - 1];
	zap(client, ranges->first, last->first + last->nr_pages - ranges->first, group.nr_pages);
	settle_together(client, &group);
	return group.nr_asked;
}

/**
 * client_destroy() - free everything a client owns, and the client
 * @client: a client that no file descriptor and no mapping refers to
 */
void client_destroy(struct client *client)
{
	struct registry *registry = client->registry;
	u64 owned = owner_word(client->id, OWNER_OWNED);
	u64 nr_pages = registry->pool->nr_pages;
	u64 index = 0;
	u64 run;

	while (index < nr_pages && atomic64_read(&client->nr_owned)) {
		index += owner_run_not(&registry->owners, index, nr_pages - index, owned);
		run = owner_run(&registry->owners, index, nr_pages - index, owned);
		owner_write(&registry->owners, index, run, owner_word(client->id, OWNER_FREE));
		settle(client, index, run);
		index += run;
	}
	WARN_ON(atomic64_read(&client->nr_owned));
	xa_erase(&registry->clients, client->id);
	kfree(client);
}
