/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Accounts: who pays for pages, and how many they may be.
 *
 * An account is charged under pool->lock, together with the allocation itself: to
 * look, to find a run and to charge are one step. So no account ever holds a
 * charge for a request that is refused in the end, which would refuse others
 * meanwhile. Refunds take no lock, for they only make more requests fit.
 */
#ifndef PAGESPAN_ACCOUNT_H
#define PAGESPAN_ACCOUNT_H

#include <linux/atomic.h>
#include <linux/minmax.h>
#include <linux/types.h>

/* More than any pool: what runs out is the pool. */
#define ACCOUNT_NO_LIMIT	((u64)S64_MAX)

/**
 * struct account - what somebody is charged for
 * @nr_charged: pages; raised under pool->lock
 * @limit: what @nr_charged may reach, or ACCOUNT_NO_LIMIT
 * @payer: who is charged for the same pages too, or NULL; has no payer itself
 */
struct account {
	atomic64_t nr_charged;
	u64 limit;
	struct account *payer;
};

/**
 * account_room() - how many more pages may be charged
 * @account: the account, or NULL
 *
 * Context: hold pool->lock if the answer shall stay true.
 * Return: their number, by the least of the limits.
 */
static inline u64 account_room(const struct account *account)
{
	const struct account *payer;
	u64 room;

	if (!account)
		return ACCOUNT_NO_LIMIT;
	room = account->limit - atomic64_read(&account->nr_charged);
	payer = account->payer;
	return payer ? min(room, payer->limit - atomic64_read(&payer->nr_charged)) : room;
}

/**
 * account_charge() - charge an account and who pays for it
 * @account: the account, or NULL
 * @nr_pages: at most account_room()
 *
 * Context: pool->lock held.
 */
static inline void account_charge(struct account *account, u64 nr_pages)
{
	if (!account)
		return;
	atomic64_add(nr_pages, &account->nr_charged);
	if (account->payer)
		atomic64_add(nr_pages, &account->payer->nr_charged);
}

/**
 * account_refund() - undo account_charge()
 * @account: the account
 * @nr_pages: of those that were charged
 */
static inline void account_refund(struct account *account, u64 nr_pages)
{
	atomic64_sub(nr_pages, &account->nr_charged);
	if (account->payer)
		atomic64_sub(nr_pages, &account->payer->nr_charged);
}

#endif
