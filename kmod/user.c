// SPDX-License-Identifier: GPL-2.0-only
/*
 * Users: what all clients of one user are charged for together.
 *
 * A client's user is whoever opened the device, by the real uid, whatever
 * happens to the descriptor afterwards. A client that is closed lives on while a
 * page of it is quarantined or exported, and so does its user: closing and opening
 * again does not make pages that are still held cheaper.
 */
#include <linux/cred.h>
#include <linux/kernel.h>
#include <linux/slab.h>

#include "user.h"

/**
 * user_table_init() - start with no user
 * @table: the table
 * @limit_pages: what each user may be charged, or ACCOUNT_NO_LIMIT
 */
void user_table_init(struct user_table *table, u64 limit_pages)
{
	xa_init(&table->users);
	table->limit_pages = limit_pages;
}

/**
 * user_table_exit() - end a table without users
 * @table: the table
 */
void user_table_exit(struct user_table *table)
{
	WARN_ON(!xa_empty(&table->users));
	xa_destroy(&table->users);
}

static struct user_account *find(struct user_table *table, kuid_t uid)
{
	struct user_account *user;

	xa_lock(&table->users);
	user = xa_load(&table->users, __kuid_val(uid));
	if (user)
		user->nr_clients++;
	xa_unlock(&table->users);
	return user;
}

/* Adds a user; if somebody else was faster, that one counts. */
static struct user_account *add(struct user_table *table, struct user_account *user)
{
	struct user_account *other;

	xa_lock(&table->users);
	other = __xa_cmpxchg(&table->users, __kuid_val(user->uid), NULL, user, GFP_KERNEL_ACCOUNT);
	if (other && !xa_is_err(other))
		other->nr_clients++;
	xa_unlock(&table->users);
	if (!other)
		return user;
	kfree(user);
	return xa_is_err(other) ? ERR_PTR(xa_err(other)) : other;
}

/**
 * user_get() - a user of the table, for one more client
 * @table: the table
 * @uid: who
 *
 * Context: process context; sleeps.
 * Return: the user, given back by user_put(), or ERR_PTR(-ENOMEM).
 */
struct user_account *user_get(struct user_table *table, kuid_t uid)
{
	struct user_account *user = find(table, uid);

	if (user)
		return user;
	user = kzalloc(sizeof(*user), GFP_KERNEL_ACCOUNT);
	if (!user)
		return ERR_PTR(-ENOMEM);
	user->table = table;
	user->uid = uid;
	user->account.limit = table->limit_pages;
	user->nr_clients = 1;
	return add(table, user);
}

/**
 * user_put() - end what user_get() began
 * @user: the user, charged for nothing of that client
 */
void user_put(struct user_account *user)
{
	struct user_table *table = user->table;
	bool last;

	xa_lock(&table->users);
	last = !--user->nr_clients;
	if (last)
		__xa_erase(&table->users, __kuid_val(user->uid));
	xa_unlock(&table->users);
	if (!last)
		return;
	WARN_ON(atomic64_read(&user->account.nr_charged));
	kfree(user);
}

/**
 * user_table_tell() - say what users are charged for
 * @table: the table
 * @buf: where to
 * @bytes: its size; what does not fit is left out
 *
 * Return: the number of characters: a line for each user that is charged.
 */
int user_table_tell(struct user_table *table, char *buf, size_t bytes)
{
	struct user_account *user;
	unsigned long uid;
	int length = 0;

	xa_lock(&table->users);
	xa_for_each(&table->users, uid, user) {
		s64 pages = atomic64_read(&user->account.nr_charged);

		if (pages)
			length += scnprintf(buf + length, bytes - length, "%u %lld\n",
					    from_kuid_munged(current_user_ns(), user->uid), pages);
	}
	xa_unlock(&table->users);
	return length;
}
