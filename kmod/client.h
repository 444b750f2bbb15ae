/* SPDX-License-Identifier: GPL-2.0-only */
/* Clients: who owns which pages, and the quarantine of pinned ones. */
#ifndef PAGESPAN_CLIENT_H
#define PAGESPAN_CLIENT_H

#include <linux/fs.h>
#include <linux/rwsem.h>
#include <linux/workqueue.h>
#include <linux/xarray.h>

#include "pool.h"

/**
 * struct registry - the clients of a pool and the owner of each of its pages
 * @pool: the pool
 * @owner: one word a page: client id and state, see client.c
 * @quarantine: a bit a page, set while the page is quarantined
 * @quarantine_lock: protects @quarantine, @nr_quarantined and @retry_delay
 * @nr_quarantined: bits set in @quarantine; the module is held while not 0
 * @retry_delay: jiffies until the next look at the quarantine
 * @retry: looks at the quarantine
 * @clients: open clients by id; its lock protects their charge for quarantine
 * @last_id: the id given out last; ids start at 1 and are never used again
 */
struct registry {
	struct pool *pool;
	u64 *owner;
	unsigned long *quarantine;
	spinlock_t quarantine_lock;	/* innermost */
	u64 nr_quarantined;
	unsigned long retry_delay;
	struct delayed_work retry;
	struct xarray clients;
	atomic64_t last_id;
};

/**
 * struct client - one open of the device
 * @registry: where it is registered
 * @id: never used for another client
 * @window: the address space that every window of this client is a mapping of
 * @lock: held for reading from the check that a page is owned until it is
 *	mapped, for writing while pages stop being owned
 * @nr_owned: pages this client may touch
 * @nr_quarantined: pages charged to it that the kernel still holds
 */
struct client {
	struct registry *registry;
	u64 id;
	struct address_space *window;
	struct rw_semaphore lock;
	atomic64_t nr_owned;
	atomic64_t nr_quarantined;
};

int registry_init(struct registry *registry, struct pool *pool);
void registry_exit(struct registry *registry);

struct client *client_create(struct registry *registry, struct address_space *window);
void client_destroy(struct client *client);

s64 client_reserve(struct client *client, u32 nr_pages, u32 align_pages, bool zero);
void client_unreserve(struct client *client, u64 first, u32 nr_pages);
void client_publish(struct client *client, u64 first, u32 nr_pages);
bool client_owns(const struct client *client, u64 index);
int client_free(struct client *client, u64 first, u64 nr_pages);

#endif
