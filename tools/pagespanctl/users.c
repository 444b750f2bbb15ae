// SPDX-License-Identifier: MIT
/* Users, by their clients and by the module's list, and pagespanctl users. */
#include <errno.h>
#include <inttypes.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "files.h"
#include "pagespanctl.h"
#include "terminal.h"
#include "users.h"

static struct user *find(struct users *users, uint64_t id)
{
	struct user *more;

	for (size_t i = 0; i < users->count; i++)
		if (users->list[i].id == id)
			return &users->list[i];
	more = realloc(users->list, (users->count + 1) * sizeof(*more));
	if (!more)
		abort();
	users->list = more;
	more[users->count] = (struct user){.id = id, .quota = NOT_KNOWN};
	return &more[users->count++];
}

static void add_of_clients(struct users *users, const struct clients *clients)
{
	for (size_t i = 0; i < clients->count; i++) {
		const struct client *client = &clients->list[i];
		struct user *user;

		if (client->user == NOT_KNOWN)
			continue;
		user = find(users, client->user);
		user->clients++;
		user->charged = client->user_charged;
		user->quota = client->user_quota;
	}
}

static uint64_t quota_of_pool(const struct pool *pool)
{
	uint64_t pages = pool->pool_pages;

	if (pool->user_max_pages && pool->user_max_pages < pages)
		pages = pool->user_max_pages;
	return pages * POOL_PAGE_BYTES;
}

/* Also those of whose clients none is open. */
static void add_of_module(struct users *users, const struct pool *pool)
{
	FILE *file = file_open(POOL_SYSFS "/users");
	uint64_t id, pages;

	if (!file) {
		users->hidden = errno == EACCES;
		return;
	}
	while (fscanf(file, "%" SCNu64 " %" SCNu64, &id, &pages) == 2) {
		struct user *user = find(users, id);

		user->charged = pages * POOL_PAGE_BYTES;
		if (user->quota == NOT_KNOWN)
			user->quota = quota_of_pool(pool);
	}
	fclose(file);
}

static int by_charged(const void *a, const void *b)
{
	const struct user *one = a, *other = b;

	if (one->charged != other->charged)
		return one->charged < other->charged ? 1 : -1;
	return one->id < other->id ? -1 : 1;
}

static void find_users(struct users *users, const struct clients *clients, const struct pool *pool)
{
	*users = (struct users){.told = pool->user_max_pages != NOT_KNOWN};
	if (!users->told)
		return;
	add_of_clients(users, clients);
	add_of_module(users, pool);
	if (users->count)
		qsort(users->list, users->count, sizeof(*users->list), by_charged);
}

int users_read(struct users *users, struct clients *clients, struct pool *pool)
{
	int status = pool_read(pool);

	if (!status)
		status = clients_find(clients);
	if (!status)
		find_users(users, clients, pool);
	return status;
}

void users_free(struct users *users)
{
	free(users->list);
	*users = (struct users){0};
}

const char *user_name(char *name, uint64_t id)
{
	const struct passwd *user = NULL;

	if (id != NOT_KNOWN && !*files_root)
		user = getpwuid((uid_t)id);
	if (id == NOT_KNOWN)
		snprintf(name, USER_BYTES, "-");
	else if (user)
		snprintf(name, USER_BYTES, "%s", user->pw_name);
	else
		snprintf(name, USER_BYTES, "%" PRIu64, id);
	return name;
}

static json_t *user_json(const struct user *user)
{
	return json_pack("{s:I, s:I, s:I, s:i}", "uid", (json_int_t)user->id, "charged_bytes",
			 (json_int_t)user->charged, "quota_bytes", (json_int_t)user->quota,
			 "clients", (int)user->clients);
}

json_t *users_json(const struct users *users)
{
	json_t *array = json_array();

	for (size_t i = 0; i < users->count; i++)
		json_array_append_new(array, user_json(&users->list[i]));
	return array;
}

void users_print(const struct users *users)
{
	char name[USER_BYTES], charged[QUANTITY_BYTES], quota[QUANTITY_BYTES];

	if (users->count)
		printf("%s%-16s %10s %10s %7s%s\n", paint("1"), "USER", "CHARGED", "QUOTA",
		       "CLIENTS", paint("0"));
	for (size_t i = 0; i < users->count; i++) {
		const struct user *user = &users->list[i];

		printf("%-16s %10s %10s %7u\n", user_name(name, user->id),
		       quantity(charged, user->charged), quantity(quota, user->quota),
		       user->clients);
	}
	if (users->hidden)
		printf("root sees what other users are charged\n");
}

int command_users(int argc, char **argv)
{
	struct clients clients;
	struct users users;
	struct pool pool;
	bool json = false;
	int status;

	if (!no_arguments(argc, argv, &json))
		return misused("users");
	status = users_read(&users, &clients, &pool);
	if (status)
		return status;
	if (json)
		json_print(users_json(&users));
	else if (!users.told)
		printf("this module does not charge users\n");
	else if (!users.count && !users.hidden)
		printf("no user is charged for anything\n");
	else
		users_print(&users);
	users_free(&users);
	clients_free(&clients);
	return DONE;
}
