// SPDX-License-Identifier: GPL-2.0-only
/*
 * Clients: who owns which pages, and the quarantine of pinned ones.
 *
 *	      client_publish        client_free
 *	 FREE ---------------> OWNED -----------> FREE
 *	  ^                                        | pinned
 *	  |               unpinned                 v
 *	  +---------------------------------- QUARANTINED
 *
 * FREE also covers pages that the span map counts as in use: those which
 * client_reserve() has taken and not published, and those which client_free() is
 * about to zap and give back. Nobody but that thread can get them. Ids are never
reused, so a page whose word carries the id of the client that gets it holds
 * nothing but that client's own data; every other page is cleared before it is
 * published. Id 0, no client's, marks pages that are new from the system. A
 * reservation that is undone leaves the words as they were.
 *
 * A fault holds client->lock for reading from the check that a page is owned
 * until it is mapped, and client_free() holds it for writing while pages leave,
 * so the zap that follows finds every mapping there will ever be.
 *
 * Lock order, here and in the whole module:
 *
 *	mmap_lock > client->lock > pool->lock
 *	mmap_lock > client->lock > registry->owners.split_lock
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
	u64 index;

	for_each_set_bit(index, registry->quarantine, nr_pages) {
		if (!pool_pinned(registry->pool, index, 1))
			quarantine_remove(registry, index);
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

static int charge(struct client *client, u32 nr_pages)
{
	if (atomic64_add_return(nr_pages, &client->nr_charged) <= client->registry->quota_pages)
		return 0;
	atomic64_sub(nr_pages, &client->nr_charged);
	return -EDQUOT;
}

/* Makes a reserved span safe to show to the client. */
static int clear_for(struct client *client, u64 first, u32 nr_pages, bool zero)
{
	struct registry *registry = client->registry;
	u64 end = first + nr_pages;
	u64 index, run;
	int ret;

	if (zero)
		return pool_zero(registry->pool, first, nr_pages);
	if (nr_pages == 1 && owner_id(owner_read(&registry->owners, first)) == client->id)
		return 0;
	for (index = first; index < end; index += run) {
		index += owner_run_of(&registry->owners, index, end - index, client->id);
		run = owner_run_of_others(&registry->owners, index, end - index, client->id);
		ret = pool_zero(registry->pool, index, run);
		if (ret)
			return ret;
	}
	return 0;
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
		client_unreserve(client, first, nr_pages);
		return ret;
	}
	return first;
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
		client_unreserve(client, first, nr_pages);
	return ret;
}

/**
 * client_unreserve() - undo client_reserve()
 * @client: the client
 * @first: what client_reserve() returned
 * @nr_pages: the same as there
 */
void client_unreserve(struct client *client, u64 first, u32 nr_pages)
{
	pool_free(client->registry->pool, first, nr_pages);
	atomic64_sub(nr_pages, &client->nr_charged);
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
	u64 word = owner_read(&registry->owners, index);
	u32 state = 0;

	if (word == owner_word(client->id, OWNER_OWNED))
		state = PAGESPAN_QUERY_OWNED;
	else if (word == owner_word(client->id, OWNER_QUARANTINED))
		state = PAGESPAN_QUERY_QUARANTINED;
	if (state && page_private(pool_page(registry->pool, index)))
		state |= PAGESPAN_QUERY_EXPORTED;
	return state;
}

static bool block_can_be_huge(const struct client *client, u64 index)
{
	const struct pool *pool = client->registry->pool;
	u64 first = round_down(index, SPAN_MAP_MEGABLOCK_PAGES);

	return pool->huge && pool_contains(pool, first, SPAN_MAP_MEGABLOCK_PAGES) &&
	       client_owns(client, first, SPAN_MAP_MEGABLOCK_PAGES);
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

/* The first half of a free: after it no fault can map these pages. */
static int leave(struct client *client, u64 first, u64 nr_pages)
{
	int ret = -EINVAL;

	down_write(&client->lock);
	if (client_owns(client, first, nr_pages)) {
		owner_write(&client->registry->owners, first, nr_pages,
			    owner_word(client->id, OWNER_FREE));
		ret = 0;
	}
	up_write(&client->lock);
	return ret;
}

static void settle_free(struct client *client, u64 first, u64 nr_pages)
{
	struct registry *registry = client->registry;

	pool_free(registry->pool, first, nr_pages);
	atomic64_sub(nr_pages, &client->nr_charged);
}

static void settle_page(struct client *client, u64 index)
{
	if (pool_pinned(client->registry->pool, index, 1)) {
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
		if (pool_pinned(client->registry->pool, first, piece)) {
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
static void settle(struct client *client, u64 first, u64 nr_pages)
{
	if (nr_pages <= CLIENT_PIECE && !pool_pinned(client->registry->pool, first, nr_pages))
		settle_free(client, first, nr_pages);
	else
		settle_each(client, first, nr_pages);
	atomic64_sub(nr_pages, &client->nr_owned);
	stats_count(STATS_FREE, free, client->id, first, nr_pages);
}

/**
 * client_free() - free pages of a client
 * @client: the client
 * @first: any value
 * @nr_pages: any value
 *
 * When it returns no mapping reaches the pages.
 *
 * Context: process context; no lock held.
 * Return: 0, or -EINVAL if the range is empty or the client does not own all
 * of it; then nothing has changed.
 */
int client_free(struct client *client, u64 first, u64 nr_pages)
{
	int ret;

	if (!pool_contains(client->registry->pool, first, nr_pages))
		return -EINVAL;
	ret = leave(client, first, nr_pages);
	if (ret)
		return ret;
	unmap_mapping_pages(client->window, first, nr_pages, true);
	settle(client, first, nr_pages);
	return 0;
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
