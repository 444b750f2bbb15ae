/* SPDX-License-Identifier: GPL-2.0-only */
/* Users: what all clients of one user are charged for together. */
#ifndef PAGESPAN_USER_H
#define PAGESPAN_USER_H

#include <linux/uidgid.h>
#include <linux/xarray.h>

#include "account.h"

/**
 * struct user_table - the users that have a client
 * @users: by uid; its lock protects their references
 * @limit_pages: what each of them may be charged, or ACCOUNT_NO_LIMIT
 */
struct user_table {
	struct xarray users;
	u64 limit_pages;
};

/**
 * struct user_account - a user, as long as a client of theirs is open or charged
 * @table: the table it is in
 * @uid: the user
 * @account: what their clients are charged for, those that are closed included
 * @nr_clients: references, one for each client
 */
struct user_account {
	struct user_table *table;
	kuid_t uid;
	struct account account;
	unsigned int nr_clients;
};

void user_table_init(struct user_table *table, u64 limit_pages);
void user_table_exit(struct user_table *table);
struct user_account *user_get(struct user_table *table, kuid_t uid);
void user_put(struct user_account *user);
int user_table_tell(struct user_table *table, char *buf, size_t bytes);

#endif
