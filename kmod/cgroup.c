// SPDX-License-Identifier: GPL-2.0-only
/*
 * Charging cgroups for what clients own, by the dmem controller.
 *
 * The controller counts bytes, and wants each charge taken back as it was made: as
 * many bytes, from the cgroup that it was made to. But of what a client allocates
 * any pages may be freed, by whoever has its descriptor. So a client is not charged
 * span by span. It has charges of three sizes, as one has notes and coins:
 *
 *	a megablock	what large requests are charged in
 *	a batch		what is left of them, and small requests, rounded up
 *	a page		instead of a batch that a limit does not leave room for
 *
 * and uses as many pages of them as it owns. The rest is its room:
 *
 *	pages of all charges = pages used + room, and room >= 0
 *
 * Most requests take from the room, and most frees add to it, by one atomic
 * operation. A request that the room is too small for charges the cgroup of the task that
 * makes it, and no other, whoever opened the device. What a free leaves no use for is
 * given back, to the cgroup that was charged last, but for a spare, so that who allocates
 * and frees in turn does not charge each time. Charges of one size to one cgroup are
 * all alike, so they are a number.
 *
 * A request is refused only after every client has given up its spare. What cannot be
 * given up is the part of a charge of which another part is used: less than a
 * megablock of each client, and less than a batch while it has any small charge.
 * So a cgroup's limit is never exceeded, and may be reached by that much too early.
 *
 * All charges are made and taken back under one lock, so no request meets
 * those of another that is refused in the end; but one that the pool refuses
 * has been charged, for as long as that takes. client.c looks before whether it can
 * be had at all.
 */
#include <linux/atomic.h>
#include <linux/bug.h>
#include <linux/err.h>
#include <linux/errno.h>
#include <linux/limits.h>
#include <linux/list.h>
#include <linux/lockdep.h>
#include <linux/minmax.h>
#include <linux/mutex.h>
#include <linux/slab.h>

#include "cgroup.h"
#include "compat_dmem.h"

#define PAGE_BYTES	4096ULL

enum charge_size {
	CHARGE_PAGE,
	CHARGE_BATCH,
	CHARGE_MEGABLOCK,
	NR_CHARGE_SIZES
};

static const u32 charge_pages[NR_CHARGE_SIZES] = { 1, 64, 512 };

/**
 * struct cgroup_share - what a cgroup is charged for a client
 * @siblings: in the account
 * @dmem: the cgroup, as the controller has it; good as long as there is a charge
 * @nr: charges of each size
 */
struct cgroup_share {
	struct list_head siblings;
	struct dmem_cgroup_pool_state *dmem;
	u64 nr[NR_CHARGE_SIZES];
};

/**
 * cgroup_region_init() - let cgroups have limits for a pool
 * @region: the region, zeroed
 * @nr_pages: what the pool may grow to; it stays what the controller calls the
 *	capacity, for that cannot change, but is no limit there
 *
 * Return: 0 or -ENOMEM.
 */
int cgroup_region_init(struct cgroup_region *region, u64 nr_pages)
{
	mutex_init(&region->lock);
	INIT_LIST_HEAD(&region->spares);
	region->dmem = compat_dmem_register(nr_pages * PAGE_BYTES, "pagespan");
	return PTR_ERR_OR_ZERO(region->dmem);
}

/**
 * cgroup_region_exit() - end a region without accounts
 * @region: the region
 *
 * Before 6.19 the controller frees what charges refer to when a region ends, so none
 * may be left.
 */
void cgroup_region_exit(struct cgroup_region *region)
{
	WARN_ON(!list_empty(&region->spares));
	dmem_cgroup_unregister_region(region->dmem);
}

/**
 * cgroup_account_init() - start with no charge
 * @account: the account
 * @region: the pool
 */
void cgroup_account_init(struct cgroup_account *account, struct cgroup_region *region)
{
	account->region = region;
	atomic64_set(&account->room, 0);
	account->least = S64_MAX;
	account->is_spare = false;
	INIT_LIST_HEAD(&account->siblings);
	INIT_LIST_HEAD(&account->shares);
}

static struct cgroup_share *find(struct cgroup_account *account,
				 const struct dmem_cgroup_pool_state *dmem)
{
	struct cgroup_share *share;

	list_for_each_entry(share, &account->shares, siblings)
		if (share->dmem == dmem)
			return share;
	return NULL;
}

/*
 * Makes one charge to the cgroup of this task. The unused share becomes that of the
 * cgroup if there is none; if it has become another's already, because the
 * task was moved meanwhile, -ESTALE.
 */
static int charge_one(struct cgroup_account *account, enum charge_size size,
		      struct cgroup_share **unused)
{
	u64 bytes = charge_pages[size] * PAGE_BYTES;
	struct dmem_cgroup_pool_state *dmem;
	struct cgroup_share *share;
	int ret;

	ret = dmem_cgroup_try_charge(account->region->dmem, bytes, &dmem, NULL);
	if (ret)
		return ret;
	share = find(account, dmem);
	if (!share) {
		share = *unused;
		if (!share) {
			dmem_cgroup_uncharge(dmem, bytes);
			return -ESTALE;
		}
		*unused = NULL;
		share->dmem = dmem;
		list_add(&share->siblings, &account->shares);
	}
	list_move(&share->siblings, &account->shares);
	share->nr[size]++;
	return 0;
}

/* The size to charge in for some pages, and not larger than before. */
static enum charge_size size_for(u64 nr_pages, enum charge_size most)
{
	enum charge_size size = CHARGE_BATCH;

	if (nr_pages >= charge_pages[CHARGE_MEGABLOCK])
		size = CHARGE_MEGABLOCK;
	return min(size, most);
}

/* Uses what there is of the room, up to some pages; how many. */
static u64 use_room(struct cgroup_account *account, u64 most)
{
	s64 room = atomic64_read(&account->room);
	s64 used;

	do {
		used = min_t(s64, room, most);
	} while (!atomic64_try_cmpxchg(&account->room, &room, room - used));
	return used;
}

/* Takes a charge out of the room if that is larger than a spare; whether it did. */
static bool leave_room(struct cgroup_account *account, s64 nr_pages, s64 spare)
{
	s64 room = atomic64_read(&account->room);

	do {
		if (room <= spare || room < nr_pages)
			return false;
	} while (!atomic64_try_cmpxchg(&account->room, &room, room - nr_pages));
	return true;
}

/* The largest charges first; whether there was one. */
static bool give_back_share(struct cgroup_account *account, struct cgroup_share *share, s64 spare)
{
	bool given = false;
	u64 left = 0;
	int size;

	for (size = NR_CHARGE_SIZES - 1; size >= 0; size--) {
		while (share->nr[size] && leave_room(account, charge_pages[size], spare)) {
			share->nr[size]--;
			dmem_cgroup_uncharge(share->dmem, charge_pages[size] * PAGE_BYTES);
			given = true;
		}
		left += share->nr[size];
	}
	if (!left) {
		list_del(&share->siblings);
		kfree(share);
	}
	return given;
}

/* Gives back charges as long as the room is larger than a spare; whether there was one. */
static bool give_back(struct cgroup_account *account, s64 spare)
{
	struct cgroup_share *share, *next;
	bool given = false;

	lockdep_assert_held(&account->region->lock);
	list_for_each_entry_safe(share, next, &account->shares, siblings)
		given |= give_back_share(account, share, spare);
	return given;
}

static s64 least_charge(const struct cgroup_account *account)
{
	const struct cgroup_share *share;
	s64 least = S64_MAX;
	int size;

	list_for_each_entry(share, &account->shares, siblings)
		for (size = 0; size < NR_CHARGE_SIZES; size++)
			if (share->nr[size])
				least = min_t(s64, least, charge_pages[size]);
	return least;
}

/*
 * Puts an account on the list of spares, or takes it off, after charges were made or
 * given back. No account that has something to give up is missed: between what a
 * refund adds and what it looks at is a barrier, as there is one here, so either
 * the refund is seen here, or what is written here is seen by the refund.
 */
static void list_spare(struct cgroup_account *account)
{
	WRITE_ONCE(account->least, least_charge(account));
	WRITE_ONCE(account->is_spare, false);
	smp_mb();	/* pairs with atomic64_add_return() in cgroup_account_refund() */
	if (atomic64_read(&account->room) >= account->least) {
		WRITE_ONCE(account->is_spare, true);
		list_move_tail(&account->siblings, &account->region->spares);
	} else {
		list_del_init(&account->siblings);
	}
}

/* What each account can give up; whether there was something. An account comes at most once. */
static bool give_back_spares(struct cgroup_region *region)
{
	struct cgroup_account *account;
	bool given = false;
	LIST_HEAD(spares);

	list_splice_init(&region->spares, &spares);
	while (!list_empty(&spares)) {
		account = list_first_entry(&spares, struct cgroup_account, siblings);
		given |= give_back(account, 0);
		list_spare(account);
	}
	return given;
}

/* As cgroup_account_charge(), but -EAGAIN at a limit, or -ESTALE as charge_one(). */
static int charge(struct cgroup_account *account, u64 least, u64 most,
		  struct cgroup_share **unused)
{
	enum charge_size size = CHARGE_MEGABLOCK;
	u64 got = use_room(account, most);
	int ret = 0;

	while (got < most) {
		size = size_for(most - got, size);
		ret = charge_one(account, size, unused);
		if (!ret)
			got += charge_pages[size];
		else if (ret == -EAGAIN && size && got + charge_pages[size] > least)
			size--;
		else
			break;
	}
	if (got < least) {
		atomic64_add(got, &account->room);
		give_back(account, 0);
		return ret;
	}
	if (got > most)
		atomic64_add(got - most, &account->room);
	return min(got, most);
}

/**
 * cgroup_account_charge() - charge the cgroup of this task for pages, and use them
 * @account: the account
 * @least: how many must be charged, at least 1
 * @most: how many are wanted
 *
 * Context: process context; sleeps.
 * Return: how many were; -EDQUOT if a limit of the cgroup, or of one that it is in,
 * has no room for @least, or -ENOMEM.
 */
int cgroup_account_charge(struct cgroup_account *account, u32 least, u32 most)
{
	struct cgroup_region *region = account->region;
	int ret;

	do {
		/* Not under the lock: a cgroup that is short of memory may wait for it long. */
		struct cgroup_share *unused = kzalloc(sizeof(*unused), GFP_KERNEL_ACCOUNT);

		if (!unused)
			return -ENOMEM;
		mutex_lock(&region->lock);
		ret = charge(account, least, most, &unused);
		if (ret == -EAGAIN && give_back_spares(region))
			ret = charge(account, least, most, &unused);
		list_spare(account);
		mutex_unlock(&region->lock);
		kfree(unused);
	} while (ret == -ESTALE);
	return ret == -EAGAIN ? -EDQUOT : ret;
}

/**
 * cgroup_account_give_back() - give back what there is no use for, but for a spare
 * @account: the account
 */
void cgroup_account_give_back(struct cgroup_account *account)
{
	struct cgroup_region *region = account->region;

	mutex_lock(&region->lock);
	give_back(account, CGROUP_SPARE_PAGES);
	list_spare(account);
	mutex_unlock(&region->lock);
}

/**
 * cgroup_account_exit() - end an account that uses nothing
 * @account: the account
 */
void cgroup_account_exit(struct cgroup_account *account)
{
	struct cgroup_region *region = account->region;

	mutex_lock(&region->lock);
	give_back(account, 0);
	list_del_init(&account->siblings);
	mutex_unlock(&region->lock);
	WARN_ON(!list_empty(&account->shares) || atomic64_read(&account->room));
}
