/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Cgroups: the pool as a region of the dmem controller, whose limits hold for it.
 *
 * Where the kernel has no such controller all of this is nothing.
 */
#ifndef PAGESPAN_CGROUP_H
#define PAGESPAN_CGROUP_H

#include <linux/atomic.h>
#include <linux/kconfig.h>
#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/types.h>

#if IS_ENABLED(CONFIG_CGROUP_DMEM)

/* What a client keeps at most that it has charged and does not need: a megablock. */
#define CGROUP_SPARE_PAGES	512

/**
 * struct cgroup_region - a pool as cgroups see it
 * @dmem: the controller's region, named pagespan
 * @lock: held while charges are made and taken back
 * @spares: accounts that may have a charge which they do not need
 */
struct cgroup_region {
	struct dmem_cgroup_region *dmem;
	struct mutex lock;	/* see client.c for the order of locks */
	struct list_head spares;
};

/**
 * struct cgroup_account - what cgroups are charged for a client
 * @region: the pool
 * @room: pages that are charged and not used
 * @least: pages of the smallest charge there is; S64_MAX if there is none
 * @is_spare: it is in the list of spares
 * @siblings: in that list
 * @shares: what each cgroup is charged, the one that was charged last being first
 *
 * All but @room are protected by the lock of the region; @least and @is_spare are
 * looked at without it.
 */
struct cgroup_account {
	struct cgroup_region *region;
	atomic64_t room;
	s64 least;
	bool is_spare;
	struct list_head siblings;
	struct list_head shares;
};

int cgroup_region_init(struct cgroup_region *region, u64 nr_pages);
void cgroup_region_exit(struct cgroup_region *region);
void cgroup_account_init(struct cgroup_account *account, struct cgroup_region *region);
void cgroup_account_exit(struct cgroup_account *account);
int cgroup_account_charge(struct cgroup_account *account, u32 least, u32 most);
void cgroup_account_give_back(struct cgroup_account *account);

/**
 * cgroup_account_use() - use pages that are charged already
 * @account: the account
 * @nr_pages: how many
 *
 * Return: true if they were, false if cgroup_account_charge() must charge for some.
 */
static inline bool cgroup_account_use(struct cgroup_account *account, u32 nr_pages)
{
	s64 room = atomic64_read(&account->room);

	do {
		if (room < nr_pages)
			return false;
	} while (!atomic64_try_cmpxchg(&account->room, &room, room - nr_pages));
	return true;
}

/**
 * cgroup_account_refund() - undo the charge for pages
 * @account: the account
 * @nr_pages: of those that were charged or used
 *
 * Context: process context; sleeps.
 */
static inline void cgroup_account_refund(struct cgroup_account *account, u64 nr_pages)
{
	s64 room = atomic64_add_return(nr_pages, &account->room);

	if (room > CGROUP_SPARE_PAGES ||
	    (room >= READ_ONCE(account->least) && !READ_ONCE(account->is_spare)))
		cgroup_account_give_back(account);
}

#else

struct cgroup_region {
};

struct cgroup_account {
};

static inline int cgroup_region_init(struct cgroup_region *region, u64 nr_pages)
{
	return 0;
}

static inline void cgroup_region_exit(struct cgroup_region *region)
{
}

static inline void cgroup_account_init(struct cgroup_account *account,
				       struct cgroup_region *region)
{
}

static inline void cgroup_account_exit(struct cgroup_account *account)
{
}

static inline int cgroup_account_charge(struct cgroup_account *account, u32 least, u32 most)
{
	return most;
}

static inline bool cgroup_account_use(struct cgroup_account *account, u32 nr_pages)
{
	return true;
}

static inline void cgroup_account_refund(struct cgroup_account *account, u64 nr_pages)
{
}

#endif

#endif
