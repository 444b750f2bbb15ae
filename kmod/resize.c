// SPDX-License-Identifier: GPL-2.0-only
/*
 * Growing and shrinking a pool in use, and closing it.
 *
 * In the manner of nr_hugepages: it becomes what can be had of what was asked
 * for, and reading it back tells how much that is. Only pieces that are wholly
 * free leave, and so none with a poisoned page; what comes back at the same
 * indices is new from the system.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/kernel.h>

#include "client.h"
#include "resize.h"

/* Nobody owned the pages last. The caller has them withdrawn, so nobody else writes their words. */
static void forget(struct registry *registry, const struct pool_piece *piece)
{
	owner_write_range(&registry->owners, piece->first, piece->nr_pages,
			  owner_word(0, OWNER_FREE));
}

static void shrink(struct registry *registry, u64 nr_pages)
{
	struct pool *pool = registry->pool;
	struct pool_piece *piece;

	while (pool->present > nr_pages) {
		piece = pool_withdraw(pool, pool->present - nr_pages);
		if (!piece)
			break;
		forget(registry, piece);
		pool_remove(pool, piece);
	}
}

/**
 * resize_pool() - make the pool larger or smaller, as far as it goes
 * @registry: whose pool
 * @nr_pages: the pages it shall have; it does not become smaller than that
 *
 * Context: process context; no lock held; sleeps, and may take long.
 * Return: 0, even if the pool is of another size then; -EINVAL if it is more than
 * pool->max_pages; -EBUSY while the pool is closed; -EINTR if a signal arrived.
 */
int resize_pool(struct registry *registry, u64 nr_pages)
{
	struct pool *pool = registry->pool;
	u64 before;
	int ret = 0;

	if (nr_pages > pool->max_pages)
		return -EINVAL;
	if (mutex_lock_interruptible(&pool->resize_lock))
		return -EINTR;
	before = pool->present;
	if (registry->closed)
		ret = -EBUSY;
	else if (nr_pages > before)
		ret = pool_grow(pool, nr_pages - before);
	else
		shrink(registry, nr_pages);
	pr_info("pool of %llu pages, %llu before, %llu asked for\n", pool->present, before,
		nr_pages);
	mutex_unlock(&pool->resize_lock);
	return ret;
}

static void reopen(struct registry *registry)
{
	struct pool_piece *piece;

	list_for_each_entry(piece, &registry->pool->pieces, siblings)
		if (piece->withdrawn)
			pool_readmit(registry->pool, piece);
	registry->closed = false;
}

/**
 * resize_close() - keep every page from being allocated, if none is owned
 * @registry: whose pool
 *
 * The pages are new from the system then, whatever happens to their contents.
 *
 * Context: process context; no lock held; sleeps.
 * Return: 0, undone by resize_reopen(); -EBUSY if a page is owned, quarantined or
 * poisoned.
 */
int resize_close(struct registry *registry)
{
	struct pool *pool = registry->pool;
	struct pool_piece *piece;
	u64 closed = 0;
	int ret = 0;

	mutex_lock(&pool->resize_lock);
	while ((piece = pool_withdraw(pool, U64_MAX))) {
		forget(registry, piece);
		closed += piece->nr_pages;
	}
	registry->closed = closed == pool->present;
	if (!registry->closed) {
		reopen(registry);
		ret = -EBUSY;
	}
	mutex_unlock(&pool->resize_lock);
	return ret;
}

/**
 * resize_reopen() - let pages be allocated again
 * @registry: whose pool; closed or not
 */
void resize_reopen(struct registry *registry)
{
	mutex_lock(&registry->pool->resize_lock);
	if (registry->closed)
		reopen(registry);
	mutex_unlock(&registry->pool->resize_lock);
}
