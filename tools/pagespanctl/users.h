/* SPDX-License-Identifier: MIT */
/* Who pays: the users that own, or keep from others, pages of the pool. */
#ifndef PAGESPANCTL_USERS_H
#define PAGESPANCTL_USERS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "clients.h"
#include "pool.h"

/* Room for a user's name. */
#define USER_BYTES 33

/**
 * struct user - a user that the module charges
 * @id: its number
 * @charged: bytes it pays for: those of its clients, and those that closed ones left in quarantine
 * or exported
 * @quota: bytes that may reach
 * @clients: of it that could be found
 */
struct user {
	uint64_t id;
	uint64_t charged;
	uint64_t quota;
	unsigned int clients;
};

/**
 * struct users - those that could be found
 * @list: by what they are charged, the most first
 * @count: how many
 * @told: whether the module charges users at all
 * @hidden: whether there may be others, that the caller may not see
 */
struct users {
	struct user *list;
	size_t count;
	bool told;
	bool hidden;
};

/**
 * users_read() - the pool, its clients, and from what these say of their users, and for root from
 * the module's list of all, its users
 * @users: where to; users_free() frees it
 * @clients: where to
 * @pool: where to
 *
 * Return: 0, or the exit status after a message.
 */
int users_read(struct users *users, struct clients *clients, struct pool *pool);

/** users_free() - forget what was found. @users: found */
void users_free(struct users *users);

/**
 * user_name() - what to call a user
 * @name: where to, USER_BYTES
 * @id: of the user, or NOT_KNOWN
 *
 * Return: @name, which is a number where names are another machine's.
 */
const char *user_name(char *name, uint64_t id);

/** users_json() - as an array. @users: found. Return: the array. */
json_t *users_json(const struct users *users);

/** users_print() - as a table; nothing if the module does not charge users. @users: found */
void users_print(const struct users *users);

#endif
