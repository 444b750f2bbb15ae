// SPDX-License-Identifier: GPL-2.0-only
/*
 * The quarantine: freed pages that something in the kernel still holds, for direct
 * I/O in flight, in a pipe, or in a dma-buf. They are nobody's to touch and given
 * to nobody, but charged to the client that freed them, which lives on for that.
 *
 * Nothing tells when the last reference to a page goes, but for a dma-buf, whose
 * release does. So all others are looked at: at first soon, then ever more seldom;
 * before a request is refused, for it might fit with them; and when a client asks
 * for figures. A look costs what is quarantined, whatever the size of the pool: the
 * megablocks with quarantined pages are in a list.
 */
#include <linux/jiffies.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/page_ref.h>
#include <linux/sched.h>
#include <linux/vmalloc.h>

#include "client.h"
#include "compat.h"
#include "quarantine.h"
#include "stats.h"

#define BLOCK_PAGES	((u64)SPAN_MAP_MEGABLOCK_PAGES)

/* First and longest wait before quarantined pages are looked at again. */
#define DELAY_SHORTEST	1UL
#define DELAY_LONGEST	(8UL * HZ)

/* Looks that clients ask for are at least so far apart. */
#define LOOK_INTERVAL	max(HZ / 50UL, 1UL)

/*
 * Takes a page that nobody holds any more out of the quarantine. Its bit goes
 * first: once the page is in the pool it may be allocated, freed and quarantined
 * anew. Without its reference the module still waits for whoever is here: the
 * worker, an open client, or the owner of a dma-buf.
 */
static void leave(struct registry *registry, u64 index)
{
	struct quarantine *quarantine = &registry->quarantine;
	struct quarantine_block *block = &quarantine->blocks[index / BLOCK_PAGES];
	u64 id = owner_id(owner_read(&registry->owners, index));
	struct client *client = xa_load(&registry->clients, id);
	bool last;

	spin_lock(&quarantine->lock);
	__clear_bit(index, quarantine->pages);
	if (!--block->nr_pages) {
		list_del(&block->siblings);
		quarantine->nr_used--;
	}
	last = !--quarantine->nr_pages;
	spin_unlock(&quarantine->lock);

	client_settle_quarantined(client, index);
	if (last)
		module_put(THIS_MODULE);
}

/* Of one megablock; whether a page stays of which nothing will tell when it can leave. */
static bool walk_block(struct registry *registry, u64 first)
{
	unsigned long *pages = registry->quarantine.pages;
	u64 end = min(first + BLOCK_PAGES, registry->pool->nr_pages);
	bool untold = false;
	u64 index = find_next_bit(pages, end, first);

	if (index < end && !client_take_apart(registry, index))
		return true;
	for (; index < end; index = find_next_bit(pages, end, index + 1)) {
		if (!pool_page_pinned(registry->pool, index))
			leave(registry, index);
		else if (!atomic_read(&registry->pool->exports[index]))
			untold = true;
	}
	return untold;
}

/* The megablock whose turn it is, moved to the end of the list; NULL if there is none. */
static struct quarantine_block *next_block(struct quarantine *quarantine)
{
	struct quarantine_block *block;

	spin_lock(&quarantine->lock);
	block = list_first_entry_or_null(&quarantine->used, struct quarantine_block, siblings);
	if (block)
		list_move_tail(&block->siblings, &quarantine->used);
	spin_unlock(&quarantine->lock);
	return block;
}

/* Looks at every page; at one that comes meanwhile perhaps not. The answer is walk_block()'s. */
static bool walk(struct registry *registry)
{
	struct quarantine *quarantine = &registry->quarantine;
	struct quarantine_block *block;
	bool untold = false;
	u64 nr_used;

	lockdep_assert_held(&quarantine->walk_lock);
	WRITE_ONCE(quarantine->last_look, jiffies);
	spin_lock(&quarantine->lock);
	nr_used = quarantine->nr_used;
	spin_unlock(&quarantine->lock);
	while (nr_used-- && (block = next_block(quarantine))) {
		untold |= walk_block(registry, (block - quarantine->blocks) * BLOCK_PAGES);
		cond_resched();
	}
	return untold;
}

static void look_again(struct work_struct *work)
{
	struct quarantine *quarantine = container_of(work, struct quarantine, work.work);
	struct registry *registry = container_of(quarantine, struct registry, quarantine);
	unsigned long delay;
	bool untold;

	mutex_lock(&quarantine->walk_lock);
	untold = walk(registry);
	mutex_unlock(&quarantine->walk_lock);
	if (!untold)
		return;
	spin_lock(&quarantine->lock);
	delay = quarantine->delay;
	quarantine->delay = min(2 * delay, DELAY_LONGEST);
	spin_unlock(&quarantine->lock);
	queue_delayed_work(compat_unbound_wq, &quarantine->work, delay);
}

/**
 * quarantine_init() - start with no page quarantined
 * @registry: whose quarantine
 * @nr_pages: page indices of the pool
 *
 * Return: 0 or -ENOMEM.
 */
int quarantine_init(struct registry *registry, u64 nr_pages)
{
	struct quarantine *quarantine = &registry->quarantine;

	spin_lock_init(&quarantine->lock);
	mutex_init(&quarantine->walk_lock);
	INIT_LIST_HEAD(&quarantine->used);
	INIT_DELAYED_WORK(&quarantine->work, look_again);
	quarantine->last_look = jiffies;
	quarantine->pages = vzalloc(array_size(BITS_TO_LONGS(nr_pages), sizeof(long)));
	quarantine->blocks = vzalloc(array_size(DIV_ROUND_UP(nr_pages, BLOCK_PAGES),
						sizeof(*quarantine->blocks)));
	if (quarantine->pages && quarantine->blocks)
		return 0;
	vfree(quarantine->blocks);
	vfree(quarantine->pages);
	return -ENOMEM;
}

/**
 * quarantine_exit() - end a quarantine without pages
 * @registry: whose quarantine
 */
void quarantine_exit(struct registry *registry)
{
	struct quarantine *quarantine = &registry->quarantine;

	cancel_delayed_work_sync(&quarantine->work);
	WARN_ON(quarantine->nr_pages);
	vfree(quarantine->blocks);
	vfree(quarantine->pages);
}

/**
 * quarantine_add() - quarantine a page
 * @client: who freed it, and stays charged for it
 * @index: of the page, whose owner word says so
 *
 * The client is kept until client_settle_quarantined().
 */
void quarantine_add(struct client *client, u64 index)
{
	struct quarantine *quarantine = &client->registry->quarantine;
	struct quarantine_block *block = &quarantine->blocks[index / BLOCK_PAGES];

	spin_lock(&quarantine->lock);
	__set_bit(index, quarantine->pages);
	if (!block->nr_pages++) {
		list_add_tail(&block->siblings, &quarantine->used);
		quarantine->nr_used++;
	}
	if (!quarantine->nr_pages++)
		__module_get(THIS_MODULE);
	quarantine->delay = DELAY_SHORTEST;
	spin_unlock(&quarantine->lock);
	mod_delayed_work(compat_unbound_wq, &quarantine->work, DELAY_SHORTEST);
	stats_count(STATS_QUARANTINE, quarantine, client->id, index, 1);
}

/**
 * quarantine_has() - whether a page is quarantined
 * @registry: whose quarantine
 * @index: of the page
 *
 * Return: true if it is; then whoever takes it out sees what the caller did before.
 */
bool quarantine_has(struct registry *registry, u64 index)
{
	struct quarantine *quarantine = &registry->quarantine;
	bool has;

	spin_lock(&quarantine->lock);
	has = test_bit(index, quarantine->pages);
	spin_unlock(&quarantine->lock);
	return has;
}

/* Whether there is something to look at and the last look is long enough ago. */
static bool look_is_due(const struct quarantine *quarantine)
{
	return READ_ONCE(quarantine->nr_pages) &&
	       time_after(jiffies, READ_ONCE(quarantine->last_look) + LOOK_INTERVAL);
}

/**
 * quarantine_look() - let go at once what nothing holds any more
 * @registry: whose quarantine
 *
 * Does nothing if somebody else is at it, or was a moment ago.
 *
 * Context: process context; no lock held.
 * Return: whether it looked.
 */
bool quarantine_look(struct registry *registry)
{
	struct quarantine *quarantine = &registry->quarantine;

	if (!look_is_due(quarantine) || !mutex_trylock(&quarantine->walk_lock))
		return false;
	walk(registry);
	mutex_unlock(&quarantine->walk_lock);
	return true;
}

/**
 * quarantine_look_soon() - quarantine_look() by the worker
 * @registry: whose quarantine
 */
void quarantine_look_soon(struct registry *registry)
{
	struct quarantine *quarantine = &registry->quarantine;

	if (look_is_due(quarantine))
		mod_delayed_work(compat_unbound_wq, &quarantine->work, 0);
}

/**
 * quarantine_released() - note that a dma-buf has let go of pages
 * @registry: whose quarantine
 * @first: index of the first page
 * @nr_pages: how many
 *
 * Those of them that are quarantined leave soon.
 */
void quarantine_released(struct registry *registry, u64 first, u64 nr_pages)
{
	struct quarantine *quarantine = &registry->quarantine;
	u64 end = first + nr_pages;

	if (find_next_bit(quarantine->pages, end, first) < end)
		mod_delayed_work(compat_unbound_wq, &quarantine->work, 0);
}
