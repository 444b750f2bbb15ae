/* SPDX-License-Identifier: GPL-2.0-only */
/* Clients: who owns which pages, and the quarantine of pinned ones. */
#ifndef PAGESPAN_CLIENT_H
#define PAGESPAN_CLIENT_H

#include <linux/fs.h>
#include <linux/mutex.h>
#include <linux/refcount.h>
#include <linux/rwsem.h>
#include <linux/xarray.h>

#include "account.h"
#include "cgroup.h"
#include "holding.h"
#include "owner.h"
#include "pool.h"
#include "pressure.h"
#include "quarantine.h"
#include "snapshot.h"
#include "user.h"

/**
 * struct registry_limits - what is chosen when the module is loaded
 * @client_pages: what each client may be charged, or ACCOUNT_NO_LIMIT
 * @user_pages: what each user may be charged, or ACCOUNT_NO_LIMIT
 * @zero_on_free: clear pages when they are freed, not when they are given on
 */
struct registry_limits {
	u64 client_pages;
	u64 user_pages;
	bool zero_on_free;
};

/**
 * struct registry - the clients of a pool and the owner of each of its pages
 * @pool: the pool
 * @limits: what was chosen
 * @owners: who owns each page
 * @quarantine: the freed pages that something holds
 * @pressure: the clients that can be asked for pages
 * @clients: clients by id, those that are closed and still charged included
 * @clients_lock: held while one of them is closed, or while another's is used
 * @nr_open: clients that are open
 * @users: the users of the clients
 * @cgroup: the pool as cgroups see it
 * @last_id: the id given out last; ids start at 1 and are never used again
 * @closed: every page is withdrawn; under pool->resize_lock
 */
struct registry {
	struct pool *pool;
	struct registry_limits limits;
	struct owner_table owners;
	struct quarantine quarantine;
	struct pressure pressure;
	struct xarray clients;
	struct mutex clients_lock;	/* see client.c for the order of locks */
	atomic_t nr_open;
	struct user_table users;
	struct cgroup_region cgroup;
	atomic64_t last_id;
	bool closed;
};

/**
 * struct client - one open of the device
 * @registry: where it is registered
 * @id: never used for another client
 * @refs: one while it is open, one for each quarantined page
 * @user: who opened it
 * @file: what was opened; good while it is open
 * @window: the address space that every window of this client is a mapping of; NULL
 *	from the beginning of its end on, written under registry->clients_lock
 * @lock: held for reading from the check that a page is owned until it is
 *	mapped, for writing while pages stop being owned and while a 2 MiB entry
 *	is made
 * @account: pages it owns, is about to own, or that are quarantined for it
 * @cgroup: what cgroups are charged for the same pages
 * @nr_owned: pages this client may touch
 * @holding: where those are
 * @nr_quarantined: pages charged to it that the kernel still holds
 * @pressure: whether it is asked for pages, and is now
 * @had_huge: a 2 MiB entry was made in a window of it
 * @had_export: PAGESPAN_EXPORT made a dma-buf of pages of it
 * @nr_files: open files of it
 * @view: what it sees beside the pages that it owns
 */
struct client {
	struct registry *registry;
	u64 id;
	refcount_t refs;
	struct user_account *user;
	const struct file *file;
	struct address_space *window;
	struct rw_semaphore lock;
	struct account account;
	struct cgroup_account cgroup;
	atomic64_t nr_owned;
	struct holding holding;
	atomic64_t nr_quarantined;
	struct pressure_client pressure;
	bool had_huge;
	bool had_export;
	atomic_t nr_files;
	struct view view;
};

int registry_init(struct registry *registry, struct pool *pool,
		  const struct registry_limits *limits);
void registry_exit(struct registry *registry);

struct client *client_create(struct registry *registry, const struct file *file,
			     struct address_space *window);
void client_destroy(struct client *client);
void client_put(struct client *client);
void client_settle_quarantined(struct client *client, u64 index);

/* How client_reserve() goes about it. */
#define CLIENT_ZERO	0x1	/* clear every page, not only those that others owned last */
#define CLIENT_ASK	0x2	/* ask other clients for pages before it refuses */

s64 client_reserve(struct client *client, u32 nr_pages, u32 align_pages, u32 how);
s64 client_reserve_page(struct client *client, bool zero);
int client_reserve_at(struct client *client, u64 first, u32 nr_pages, bool zero);
int client_reserve_pages(struct client *client, u64 *pages, u32 nr, u32 how);
void client_unreserve(struct client *client, const u64 *firsts, u32 nr, u32 nr_pages);
void client_publish_page(struct client *client, u64 index);
void client_publish(struct client *client, const u64 *firsts, u32 nr, u32 nr_pages);
u32 client_query(struct client *client, u64 first, u64 *nr_pages);
long client_free_page(struct client *client, u64 index);
int client_free_ranges(struct client *client, struct span_map_range *ranges, u32 nr);
bool client_unmap(struct registry *registry, u64 id, u64 index);
bool client_take_apart(struct registry *registry, u64 index);

/**
 * client_owns() - whether a client may touch pages
 * @client: the client
 * @first: index of the first page, in the pool
 * @nr_pages: number of pages
 *
 * Context: hold client->lock if the answer must stay true.
 * Return: true if it owns them all.
 */
static inline bool client_owns(const struct client *client, u64 first, u64 nr_pages)
{
	const struct owner_table *owners = &client->registry->owners;
	u64 owned = owner_word(client->id, OWNER_OWNED);

	if (nr_pages == 1)
		return owner_read(owners, first) == owned;
	return owner_run(owners, first, nr_pages, owned) == nr_pages;
}

/**
 * client_refund() - take back what is charged for pages
 * @client: the client, which is kept
 * @nr_pages: how many, that are nobody's any more
 *
 * Context: process context; sleeps.
 */
static inline void client_refund(struct client *client, u64 nr_pages)
{
	account_refund(&client->account, nr_pages);
	cgroup_account_refund(&client->cgroup, nr_pages);
}

/**
 * spans_side_by_side() - how many spans, from the first on, follow each other
 * @firsts: the first page of each span
 * @nr: number of spans, at least 1
 * @nr_pages: of each span
 *
 * Return: their number, at least 1.
 */
static inline u32 spans_side_by_side(const u64 *firsts, u32 nr, u32 nr_pages)
{
	u32 i;

	for (i = 1; i < nr && firsts[i] == firsts[i - 1] + nr_pages; i++)
		;
	return i;
}

#endif
