// SPDX-License-Identifier: GPL-2.0-only
/*
 * Clients: who owns which pages, and the quarantine of pinned ones.
 *
 * Each page has one word: the id of the client that owns it, or owned it last,
 * and a state.
 *
 *	       client_publish         client_free
 *	 FREE ----------------> OWNED ------------> LEAVING
 *	  ^                                          |   | pinned
 *	  |                 unpinned                 |   v
 *	  +------------------------------------------+-- quarantine
 *
 * FREE also covers pages that client_reserve() has taken from the span map and
 * not published: nobody but the reserving thread can reach those.  Ids are
 * never reused, so a page whose word carries the id of the client that gets it
 * holds nothing but that client's own data; every other page is cleared before
 * it is published.  Id 0, no client's, marks pages that are new from the system.
 *
 * Nothing reads the word of an owned page under a lock except to act on the
 * answer: a fault holds client->lock for reading from the check until the page
 * is mapped, and client_free() holds it for writing while pages leave, so the
 * zap that follows finds every mapping there will ever be.
 *
 * Lock order, here and in the whole module:
 *
 *	mmap_lock > client->lock > pool->lock
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

#define OWNER_STATE_BITS	2

enum owner_state {
	OWNER_FREE,
	OWNER_OWNED,
	OWNER_LEAVING,
};

/* Pages handled between two looks at the scheduler. */
#define CLIENT_PIECE		512

/* First and longest wait before quarantined pages are looked at again. */
#define RETRY_SHORTEST		1UL
#define RETRY_LONGEST		max(HZ / 4UL, 1UL)

static u64 owner_word(u64 id, enum owner_state state)
{
	return id << OWNER_STATE_BITS | state;
}

static u64 owner_id(u64 word)
{
	return word >> OWNER_STATE_BITS;
}

static u64 owner_read(const struct registry *registry, u64 index)
{
	/* Pairs with owner_write(): who sees OWNED sees the cleared page. */
	return smp_load_acquire(&registry->owner[index]);
}

static void owner_write(struct registry *registry, u64 index, u64 id, enum owner_state state)
{
	/* Pairs with owner_read(). */
	smp_store_release(&registry->owner[index], owner_word(id, state));
}

static void owner_write_range(struct registry *registry, u64 first, u64 nr_pages, u64 id,
			      enum owner_state state)
{
	u64 index;

	for (index = first; index < first + nr_pages; index++) {
		owner_write(registry, index, id, state);
		if (!(index % CLIENT_PIECE))
			cond_resched();
	}
}

/* Uncharges a client that may be gone by now. */
static void uncharge_quarantined(struct registry *registry, u64 id)
{
	struct client *client;

	xa_lock(&registry->clients);
	client = xa_load(&registry->clients, id);
	if (client)
		atomic64_dec(&client->nr_quarantined);
	xa_unlock(&registry->clients);
}

static bool page_is_pinned(struct registry *registry, u64 index)
{
	return page_ref_count(pool_page(registry->pool, index)) != 1;
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
}

/* Takes one page that nobody pins any more out of the quarantine. */
static void quarantine_remove(struct registry *registry, u64 index)
{
	u64 id = owner_id(owner_read(registry, index));

	owner_write(registry, index, id, OWNER_FREE);
	pool_free(registry->pool, index, 1);
	uncharge_quarantined(registry, id);

	spin_lock(&registry->quarantine_lock);
	__clear_bit(index, registry->quarantine);
	if (!--registry->nr_quarantined)
		module_put(THIS_MODULE);
	spin_unlock(&registry->quarantine_lock);
}

static void quarantine_retry(struct work_struct *work)
{
	struct registry *registry = container_of(work, struct registry, retry.work);
	u64 nr_pages = registry->pool->nr_pages;
	unsigned long delay = 0;
	u64 index;

	for_each_set_bit(index, registry->quarantine, nr_pages) {
		if (!page_is_pinned(registry, index))
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
 *
 * Return: 0 or -ENOMEM.
 */
int registry_init(struct registry *registry, struct pool *pool)
{
	registry->owner = vzalloc(array_size(pool->nr_pages, sizeof(*registry->owner)));
	if (!registry->owner)
		return -ENOMEM;
	registry->quarantine = vzalloc(BITS_TO_LONGS(pool->nr_pages) * sizeof(long));
	if (!registry->quarantine) {
		vfree(registry->owner);
		return -ENOMEM;
	}
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
	vfree(registry->owner);
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
 * Return: index of the first page, -ENOMEM if no run is long enough, or -EINTR
 * if a fatal signal arrived.
 */
s64 client_reserve(struct client *client, u32 nr_pages, u32 align_pages, bool zero)
{
	struct registry *registry = client->registry;
	u64 index, end;
	s64 first;
	int ret;

	first = pool_alloc(registry->pool, nr_pages, align_pages);
	if (first < 0)
		return first;

	end = first + nr_pages;
	for (index = first; index < end; ) {
		u64 start = index;

		while (index < end && (zero || owner_id(registry->owner[index]) != client->id))
			index++;
		ret = pool_zero(registry->pool, start, index - start);
		if (ret) {
			client_unreserve(client, first, nr_pages);
			return ret;
		}
		while (index < end && !zero && owner_id(registry->owner[index]) == client->id)
			index++;
	}
	return first;
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
}

/**
 * client_publish() - make a reserved span the client's
 * @client: the client
 * @first: what client_reserve() returned
 * @nr_pages: the same as there
 *
 * Other threads of the client may touch and free pages of it at once.
 */
void client_publish(struct client *client, u64 first, u32 nr_pages)
{
	atomic64_add(nr_pages, &client->nr_owned);
	owner_write_range(client->registry, first, nr_pages, client->id, OWNER_OWNED);
}

/**
 * client_owns() - whether a client may touch a page
 * @client: the client
 * @index: any page index
 *
 * Context: hold client->lock if the answer must stay true.
 * Return: true if it may.
 */
bool client_owns(const struct client *client, u64 index)
{
	const struct registry *registry = client->registry;

	return index < registry->pool->nr_pages &&
	       owner_read(registry, index) == owner_word(client->id, OWNER_OWNED);
}

/* The first half of a free: after it no fault can map these pages. */
static int leave(struct client *client, u64 first, u64 nr_pages)
{
	struct registry *registry = client->registry;
	u64 index;
	int ret = 0;

	down_write(&client->lock);
	for (index = first; index < first + nr_pages; index++) {
		if (!client_owns(client, index)) {
			ret = -EINVAL;
			goto unlock;
		}
		if (!(index % CLIENT_PIECE))
			cond_resched();
	}
	owner_write_range(registry, first, nr_pages, client->id, OWNER_LEAVING);
unlock:
	up_write(&client->lock);
	return ret;
}

/* The second half: no mapping is left, but something may pin the page. */
static void settle(struct client *client, u64 first, u64 nr_pages)
{
	struct registry *registry = client->registry;
	u64 end = first + nr_pages;
	u64 index = first;

	while (index < end) {
		u64 start = index;

		while (index < end && index - start < CLIENT_PIECE &&
		       !page_is_pinned(registry, index)) {
			owner_write(registry, index, client->id, OWNER_FREE);
			index++;
		}
		if (index > start)
			pool_free(registry->pool, start, index - start);
		while (index < end && page_is_pinned(registry, index)) {
			owner_write(registry, index, client->id, OWNER_LEAVING);
			atomic64_inc(&client->nr_quarantined);
			quarantine_add(registry, index);
			index++;
		}
		cond_resched();
	}
	atomic64_sub(nr_pages, &client->nr_owned);
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
	u64 pool_pages = client->registry->pool->nr_pages;
	int ret;

	if (!nr_pages || first >= pool_pages || nr_pages > pool_pages - first)
		return -EINVAL;
	ret = leave(client, first, nr_pages);
	if (ret)
		return ret;
	unmap_mapping_range(client->window, first << PAGE_SHIFT, nr_pages << PAGE_SHIFT, 1);
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
	u64 nr_pages = registry->pool->nr_pages;
	u64 index = 0;

	while (atomic64_read(&client->nr_owned)) {
		u64 start;

		while (index < nr_pages && !client_owns(client, index)) {
			if (!(++index % CLIENT_PIECE))
				cond_resched();
		}
		start = index;
		while (index < nr_pages && index - start < CLIENT_PIECE &&
		       client_owns(client, index))
			index++;
		if (WARN_ON(index == start))
			break;
		settle(client, start, index - start);
	}
	xa_erase(&registry->clients, client->id);
	kfree(client);
}
