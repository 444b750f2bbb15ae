// SPDX-License-Identifier: GPL-2.0-only
/*
 * Clients: who owns which pages. free.c is the other half, of how they are given
 * back, and quarantine.c of what is pinned then.
 *
 *	      client_publish        a free           poisoned
 *	 FREE ---------------> OWNED -----------> FREE -------> RETIRED
 *	  ^                                        | pinned        ^
 *	  |               unpinned                 v               |
 *	  +---------------------------------- QUARANTINED ---------+
 *
 * FREE also covers pages that the span map counts as in use: those which
 * client_reserve() has taken and not published, and those which a free is about
 * to zap and give back. Nobody but that thread can get them. Ids are never
 * reused, so a page whose word carries the id of the client that gets it holds
 * nothing but that client's own data; every other page is cleared before it is
 * published, unless it was cleared when it was freed. Id 0, no client's, marks pages
 * that are new from the system. A reservation that is undone leaves the words as
 * they were. Where the page is in the pool's address space, and so which futexes are
 * in it, follows the word: it changes with the id.
 *
 * A fault holds client->lock for reading from the check that a page is owned
 * until it is mapped, and a free holds it for writing while pages leave,
 * so the zap that follows finds every mapping there will ever be.
 *
 * A client is charged for what it owns, is about to own, or has freed while it was
 * pinned, and with it its user and a cgroup. It is in the registry, closed or not, until the
 * last of those pages is free.
 *
 * Lock order, here and in the whole module:
 *
 *	pool->resize_lock > pool->lock
 *	mmap_lock > client->lock > pool->lock
 *	registry->clients_lock > client->lock
 *	mmap_lock > client->lock > registry->owners.split_lock
 *	pool->resize_lock > registry->owners.split_lock
 *	quarantine->walk_lock > registry->clients_lock
 *	quarantine->walk_lock > pool->lock
 *	quarantine->walk_lock > quarantine->lock
 *	quarantine->walk_lock > registry->cgroup.lock
 *	quarantine->lock, pressure->lock, registry->clients.xa_lock,
 *		registry->users.users.xa_lock, the lock of an export: innermost, alone
 *
 * No lock but quarantine->walk_lock is held while pages are cleared, none but
 * registry->clients_lock while mappings are zapped, and none while user memory is copied
 * or others are waited for.
 */
#include <linux/cred.h>
#include <linux/mm.h>
#include <linux/page_ref.h>
#include <linux/sched.h>
#include <linux/slab.h>

#include "client.h"
#include "stats.h"

/* Single pages reserved at once. */
#define CLIENT_BATCH		64

/**
 * registry_init() - start with no client and every page new from the system
 * @registry: the registry, zeroed
 * @pool: the pool; stays the caller's
 * @limits: what clients and users may be charged, and whether freed pages are cleared
 *
 * Return: 0 or -ENOMEM.
 */
int registry_init(struct registry *registry, struct pool *pool,
		  const struct registry_limits *limits)
{
	int ret;

	ret = owner_table_init(&registry->owners, pool->nr_pages);
	if (ret)
		return ret;
	ret = quarantine_init(registry, pool->nr_pages);
	if (ret)
		goto exit_owners;
	ret = cgroup_region_init(&registry->cgroup, pool->max_pages);
	if (ret)
		goto exit_quarantine;
	registry->limits = *limits;
	registry->pool = pool;
	xa_init(&registry->clients);
	mutex_init(&registry->clients_lock);
	pressure_init(&registry->pressure);
	user_table_init(&registry->users, limits->user_pages);
	return 0;

exit_quarantine:
	quarantine_exit(registry);
exit_owners:
	owner_table_exit(&registry->owners);
	return ret;
}

/**
 * registry_exit() - end a registry that has no client and nothing quarantined
 * @registry: the registry
 */
void registry_exit(struct registry *registry)
{
	quarantine_exit(registry);
	cgroup_region_exit(&registry->cgroup);
	WARN_ON(!xa_empty(&registry->clients));
	xa_destroy(&registry->clients);
	user_table_exit(&registry->users);
	owner_table_exit(&registry->owners);
}

/**
 * client_create() - register a client that owns nothing
 * @registry: where
 * @file: what was opened
 * @window: the address space its windows will map
 *
 * Its user is the caller's.
 *
 * Return: the client, ended by client_destroy(), or ERR_PTR(-ENOMEM).
 */
struct client *client_create(struct registry *registry, const struct file *file,
			     struct address_space *window)
{
	struct client *client;
	int ret = -ENOMEM;

	client = kzalloc(sizeof(*client), GFP_KERNEL_ACCOUNT);
	if (!client)
		return ERR_PTR(-ENOMEM);
	client->registry = registry;
	client->id = atomic64_inc_return(&registry->last_id);
	client->file = file;
	client->window = window;
	pressure_client_init(client);
	init_rwsem(&client->lock);
	refcount_set(&client->refs, 1);
	snapshot_view_init(&client->view);
	ret = holding_init(&client->holding, registry->pool->nr_pages);
	if (ret)
		goto free_client;
	client->user = user_get(&registry->users, current_uid());
	if (IS_ERR(client->user)) {
		ret = PTR_ERR(client->user);
		goto free_holding;
	}
	client->account.limit = registry->limits.client_pages;
	client->account.payer = &client->user->account;
	cgroup_account_init(&client->cgroup, &registry->cgroup);
	ret = xa_err(xa_store(&registry->clients, client->id, client, GFP_KERNEL_ACCOUNT));
	if (ret)
		goto put_user;
	atomic_inc(&registry->nr_open);
	return client;

put_user:
	user_put(client->user);
free_holding:
	holding_exit(&client->holding);
free_client:
	kfree(client);
	return ERR_PTR(ret);
}

/**
 * client_put() - drop a reference to a client
 * @client: the client; ends with the last
 */
void client_put(struct client *client)
{
	if (!refcount_dec_and_test(&client->refs))
		return;
	xa_erase(&client->registry->clients, client->id);
	WARN_ON(atomic64_read(&client->account.nr_charged));
	cgroup_account_exit(&client->cgroup);
	user_put(client->user);
	holding_exit(&client->holding);
	kfree(client);
}

/* How many of some pages were cleared when they were freed. */
static u64 run_of_clean(const struct registry *registry, u64 first, u64 nr_pages)
{
	if (!registry->limits.zero_on_free)
		return 0;
	return owner_run_of(&registry->owners, first, nr_pages, OWNER_NOBODY_CLEAN);
}

/* How many of some pages neither were, nor were the client's. */
static u64 run_to_clear(const struct client *client, u64 first, u64 nr_pages)
{
	const struct registry *registry = client->registry;

	nr_pages = owner_run_of_others(&registry->owners, first, nr_pages, client->id);
	if (registry->limits.zero_on_free)
		nr_pages = owner_run_of_others(&registry->owners, first, nr_pages,
					       OWNER_NOBODY_CLEAN);
	return nr_pages;
}

/* Clears the pages that another client owned last, or all, and makes them places of the client. */
static int clear_span(struct client *client, u64 first, u32 nr_pages, bool zero)
{
	struct registry *registry = client->registry;
	u64 end = first + nr_pages;
	int ret = 0;
	u64 run;

	for (; first < end && !ret; first += run) {
		run = owner_run_of(&registry->owners, first, end - first, client->id);
		if (run) {
			if (zero)
				ret = pool_zero_killable(registry->pool, first, run);
			continue;
		}
		run = run_of_clean(registry, first, end - first);
		if (run) {
			pool_place(registry->pool, first, run, client->id);
			continue;
		}
		run = run_to_clear(client, first, end - first);
		pool_place(registry->pool, first, run, client->id);
		ret = pool_zero_killable(registry->pool, first, run);
	}
	return ret;
}

/* clear_span() of one page, the hot path. */
static inline int clear_page_for(struct client *client, u64 index, bool zero)
{
	struct registry *registry = client->registry;
	u64 id = owner_id(owner_read(&registry->owners, index));

	if (id != client->id)
		pool_place(registry->pool, index, 1, client->id);
	else if (!zero)
		return 0;
	return id == OWNER_NOBODY_CLEAN ? 0 : pool_zero_killable(registry->pool, index, 1);
}

/* Makes a reserved span safe to show to the client. */
static inline int clear_for(struct client *client, u64 first, u32 nr_pages, bool zero)
{
	return nr_pages == 1 ? clear_page_for(client, first, zero) :
			       clear_span(client, first, nr_pages, zero);
}

/*
 * Makes a reserved span ready to be published; it is undone if that fails, with -EAGAIN if
 * other pages do.
 */
static inline int prepare(struct client *client, u64 first, u32 nr_pages, bool zero)
{
	int ret;

	ret = holding_prepare(&client->holding, first, nr_pages);
	if (!ret && unlikely(READ_ONCE(client->view.family)) &&
	    snapshot_make_room(client, first, nr_pages))
		return -EAGAIN;
	if (!ret)
		ret = clear_for(client, first, nr_pages, zero);
	if (ret)
		client_unreserve(client, &first, 1, nr_pages);
	return ret;
}

/*
 * What is charged to a cgroup for a request that the pool then refuses, may keep
 * another from being charged meanwhile. So one that does not fit is refused before.
 */
static noinline int charge_more(struct client *client, u32 least, u32 most, int no_run)
{
	u64 room = account_room(&client->account);
	u64 free_pages, longest_run;

	if (room < least)
		return -EDQUOT;
	pool_figures(client->registry->pool, &free_pages, &longest_run);
	if (longest_run < least)
		return no_run;
	most = min3((u64)most, room, max_t(u64, free_pages, least));
	return cgroup_account_charge(&client->cgroup, least, most);
}

/*
 * Charges a cgroup for pages that are about to be taken: 0, or an error, which is
 * no_run if no run is that long.
 */
static __always_inline int charge(struct client *client, u32 nr_pages, int no_run)
{
	if (cgroup_account_use(&client->cgroup, nr_pages))
		return 0;
	return min(charge_more(client, nr_pages, nr_pages, no_run), 0);
}

static __always_inline s64 alloc(struct client *client, u32 nr_pages, u32 align_pages)
{
	s64 first = charge(client, nr_pages, -ENOMEM);

	if (first)
		return first;
	first = pool_alloc(client->registry->pool, &client->account, nr_pages, align_pages);
	if (first < 0)
		cgroup_account_refund(&client->cgroup, nr_pages);
	return first;
}

static __always_inline int alloc_pages_charged(struct client *client, u64 *pages, u32 nr)
{
	int nr_charged = nr;
	int taken;

	if (!cgroup_account_use(&client->cgroup, nr))
		nr_charged = charge_more(client, 1, nr, -ENOMEM);
	if (nr_charged < 0)
		return nr_charged;
	taken = pool_alloc_pages(client->registry->pool, &client->account, pages, nr_charged);
	if (taken < nr_charged)
		cgroup_account_refund(&client->cgroup, nr_charged - max(taken, 0));
	return taken;
}

/**
 * struct want - a request that was refused at first
 * @nr_pages: of a span
 * @align_pages: its alignment
 * @pages: of a request for single pages, where to put them; else NULL
 * @nr: how many of those at most
 */
struct want {
	u32 nr_pages;
	u32 align_pages;
	u64 *pages;
	u32 nr;
};

static s64 alloc_wanted(struct client *client, const struct want *want)
{
	if (want->pages)
		return alloc_pages_charged(client, want->pages, want->nr);
	return alloc(client, want->nr_pages, want->align_pages);
}

/* A request is not refused for pages that others can spare. */
static s64 alloc_by_asking(struct client *client, const struct want *want)
{
	struct pressure_request request;
	s64 ret;

	pressure_begin(&request, client, want->nr_pages);
	do {
		ret = pressure_wait(&request);
		if (ret)
			return ret;
		ret = alloc_wanted(client, want);
	} while (ret == -ENOMEM);
	pressure_end(&request, ret >= 0);
	return ret;
}

/* Nor for pages that nothing holds any more. */
static s64 want_again(struct client *client, const struct want *want, s64 refusal, u32 how)
{
	if (quarantine_look(client->registry))
		refusal = alloc_wanted(client, want);
	if (refusal != -ENOMEM || !(how & CLIENT_ASK))
		return refusal;
	return alloc_by_asking(client, want);
}

/* Out of line, to keep what it needs away from what is not refused. */
static noinline s64 alloc_again(struct client *client, u32 nr_pages, u32 align_pages, s64 refusal,
				u32 how)
{
	struct want want = { .nr_pages = nr_pages, .align_pages = align_pages };

	return want_again(client, &want, refusal, how);
}

static noinline int alloc_pages_again(struct client *client, u64 *pages, u32 nr, int refusal,
				      u32 how)
{
	struct want want = { .nr_pages = 1, .pages = pages, .nr = nr };

	return want_again(client, &want, refusal, how);
}

/* Compiled twice: for one page, the hot path, and for any number. */
static __always_inline s64 reserve(struct client *client, u32 nr_pages, u32 align_pages, u32 how)
{
	s64 first;
	int ret;

	do {
		first = alloc(client, nr_pages, align_pages);
		if (first < 0)
			first = alloc_again(client, nr_pages, align_pages, first, how);
		if (first < 0)
			return first;
		ret = prepare(client, first, nr_pages, how & CLIENT_ZERO);
	} while (unlikely(ret == -EAGAIN));
	return ret ?: first;
}

/**
 * client_reserve() - take a span for a client, safe to show to it
 * @client: the client
 * @nr_pages: 1 to PAGESPAN_MAX_PAGES
 * @align_pages: a power of two up to PAGESPAN_MAX_ALIGN
 * @how: CLIENT_*
 *
 * The span is reachable by nobody until client_publish(); client_unreserve()
 * undoes the call.
 *
 * Context: process context; no lock held.
 * Return: index of the first page, -ENOMEM if no run is long enough, -EDQUOT if
 * the client, its user or the cgroup of this task may not be charged for that many,
 * or -EINTR if a fatal signal arrived.
 */
s64 client_reserve(struct client *client, u32 nr_pages, u32 align_pages, u32 how)
{
	return reserve(client, nr_pages, align_pages, how);
}

/**
 * client_reserve_page() - client_reserve() of one page, by asking other clients
 * @client: the client
 * @zero: clear it, though the client may have owned it last
 *
 * Return: as client_reserve().
 */
s64 client_reserve_page(struct client *client, bool zero)
{
	return reserve(client, 1, 1, CLIENT_ASK | (zero ? CLIENT_ZERO : 0));
}

/**
 * client_reserve_pages() - client_reserve() of single pages, several at once
 * @client: the client
 * @pages: where to put their indices
 * @nr: how many are wanted, at least 1
 * @how: CLIENT_*
 *
 * There may be more to be had by another call. Each page is a span to publish or
 * to undo.
 *
 * Context: process context; no lock held.
 * Return: how many were taken, at least 1 and at most @nr, or as client_reserve().
 */
int client_reserve_pages(struct client *client, u64 *pages, u32 nr, u32 how)
{
	int taken, ret, i;

	/* Each may be at a place that is taken. */
	if (unlikely(READ_ONCE(client->view.family))) {
		s64 first = client_reserve(client, 1, 1, how);

		*pages = first;
		return first < 0 ? first : 1;
	}

	nr = min_t(u32, nr, CLIENT_BATCH);
	taken = alloc_pages_charged(client, pages, nr);
	if (taken < 0)
		taken = alloc_pages_again(client, pages, nr, taken, how);
	for (i = 0; i < taken; i++) {
		ret = 0;
		if (!i || !holding_is_same(pages[i], pages[i - 1]))
			ret = holding_prepare(&client->holding, pages[i], 1);
		if (!ret)
			ret = clear_for(client, pages[i], 1, how & CLIENT_ZERO);
		if (ret)
			goto unreserve;
	}
	return taken;

unreserve:
	client_unreserve(client, pages, taken, 1);
	return ret;
}

static __always_inline int alloc_at(struct client *client, u64 first, u32 nr_pages)
{
	int ret = charge(client, nr_pages, -EBUSY);

	if (ret)
		return ret;
	ret = pool_alloc_at(client->registry->pool, &client->account, first, nr_pages);
	if (ret)
		cgroup_account_refund(&client->cgroup, nr_pages);
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

	ret = alloc_at(client, first, nr_pages);
	if ((ret == -EBUSY || ret == -EDQUOT) && quarantine_look(client->registry))
		ret = alloc_at(client, first, nr_pages);
	ret = ret ?: prepare(client, first, nr_pages, zero);
	return ret == -EAGAIN ? -EBUSY : ret;
}

/* Undoes what clear_span() may have done to the places of pages. */
static void place_back(struct registry *registry, u64 first, u32 nr_pages)
{
	u64 end = first + nr_pages;
	u64 index, run, id;

	for (index = first; index < end; index += run) {
		id = owner_id(owner_read(&registry->owners, index));
		run = owner_run_of(&registry->owners, index, end - index, id);
		pool_place(registry->pool, index, run, id);
	}
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
		place_back(client->registry, firsts[i], nr_pages);
		pool_free(client->registry->pool, firsts[i], nr_pages);
		cond_resched();
	}
	client_refund(client, (u64)nr * nr_pages);
}

static inline void publish(struct client *client, u64 first, u64 nr_pages)
{
	owner_write(&client->registry->owners, first, nr_pages,
		    owner_word(client->id, OWNER_OWNED));
	stats_count(STATS_ALLOC, alloc, client->id, first, nr_pages);
}

/**
 * client_publish_page() - client_publish() of one page
 * @client: the client
 * @index: a page from client_reserve_page()
 */
void client_publish_page(struct client *client, u64 index)
{
	atomic64_inc(&client->nr_owned);
	holding_add(&client->holding, index, 1);
	publish(client, index, 1);
}

/**
 * client_publish() - make reserved spans the client's
 * @client: the client
 * @firsts: the first page of each span, from client_reserve()
 * @nr: number of spans
 * @nr_pages: of each span
 *
 * Other threads of the client may touch and free pages of them at once.
 */
void client_publish(struct client *client, const u64 *firsts, u32 nr, u32 nr_pages)
{
	struct holding_batch batch = { .holding = &client->holding, .sign = 1 };
	u32 spans;

	atomic64_add((u64)nr * nr_pages, &client->nr_owned);
	for (; nr; firsts += spans, nr -= spans) {
		spans = spans_side_by_side(firsts, nr, nr_pages);
		holding_count(&batch, *firsts, (u64)spans * nr_pages);
		publish(client, *firsts, (u64)spans * nr_pages);
	}
	holding_end(&batch);
}

/* PAGESPAN_QUERY_* of a page, as far as it concerns the client. */
static u32 query_page(struct client *client, u64 index)
{
	const struct registry *registry = client->registry;
	u32 state = 0;
	u64 word;

	if (unlikely(READ_ONCE(client->view.family)) && snapshot_sees(client, index))
		return PAGESPAN_QUERY_OWNED;
	rcu_read_lock();	/* a page that is just freed does not leave before this ends */
	word = owner_read(&registry->owners, index);
	if (word == owner_word(client->id, OWNER_OWNED))
		state = PAGESPAN_QUERY_OWNED;
	else if (word == owner_word(client->id, OWNER_QUARANTINED))
		state = PAGESPAN_QUERY_QUARANTINED;
	if (state && atomic_read(&registry->pool->exports[index]))
		state |= PAGESPAN_QUERY_EXPORTED;
	if (state && pool_page_is_poisoned(registry->pool, index))
		state |= PAGESPAN_QUERY_POISONED;
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
u32 client_query(struct client *client, u64 first, u64 *nr_pages)
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
