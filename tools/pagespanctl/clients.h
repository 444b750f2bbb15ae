/* SPDX-License-Identifier: MIT */
/* Who has the device open, found through the descriptors that processes hold. */
#ifndef PAGESPANCTL_CLIENTS_H
#define PAGESPANCTL_CLIENTS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/**
 * struct client - one open of the device
 * @id: never used again
 * @pid: the lowest of the processes that have a descriptor of it
 * @processes: how many have one
 * @owned: bytes it owns
 * @quarantined: bytes freed that the kernel still holds
 * @cached: of those it owns, bytes that its library has at hand for the next call, or NOT_KNOWN
 * @quota: bytes that owned and quarantined ones together may reach
 * @user: who opened it, and is charged; NOT_KNOWN, as what follows, with a module that charges no
 * user
 * @user_charged: bytes that this user is charged, for all its clients
 * @user_quota: bytes that may reach
 * @command: the name of that process
 */
struct client {
	uint64_t id;
	int pid;
	unsigned int processes;
	uint64_t owned;
	uint64_t quarantined;
	uint64_t cached;
	uint64_t quota;
	uint64_t user;
	uint64_t user_charged;
	uint64_t user_quota;
	char command[64];
};

/**
 * struct clients - those that could be found
 * @list: by what they own, the most first
 * @count: how many
 * @hidden: processes that the caller may not look into
 */
struct clients {
	struct client *list;
	size_t count;
	unsigned int hidden;
};

/**
 * clients_find() - look through /proc
 * @clients: where to; clients_free() frees it
 *
 * Return: DONE, or FAILED, which has been said.
 */
int clients_find(struct clients *clients);

/** clients_free() - forget what was found. @clients: found */
void clients_free(struct clients *clients);

/** clients_cached() - what all together have cached. @clients: found. Return: bytes, or NOT_KNOWN.
 */
uint64_t clients_cached(const struct clients *clients);

/** clients_have_users() - whether the module says whose they are. @clients: found. Return: true if
 * so. */
bool clients_have_users(const struct clients *clients);

/** size_json() - a size. @bytes: or NOT_KNOWN. Return: a number, or null. */
json_t *size_json(uint64_t bytes);

/** clients_json() - as an array. @clients: found. Return: the array. */
json_t *clients_json(const struct clients *clients);

/**
 * clients_print() - as a table, and what is not in it
 * @clients: found
 * @known: clients that the module knows
 */
void clients_print(const struct clients *clients, uint64_t known);

/** json_print() - print and release. @value: on standard output. Return: DONE. */
int json_print(json_t *value);

#endif
