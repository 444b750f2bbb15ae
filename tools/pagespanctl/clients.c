// SPDX-License-Identifier: MIT
/* Clients, by the descriptors that processes hold. */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "caches.h"
#include "clients.h"
#include "files.h"
#include "pagespanctl.h"
#include "pool.h"
#include "terminal.h"
#include "users.h"

/* Only one of the processes that share a client caches what it owns. */
static void merge(struct client *known, const struct client *client)
{
	known->processes += known->pid != client->pid;
	if (known->cached == NOT_KNOWN)
		known->cached = client->cached;
	if (client->pid < known->pid) {
		known->pid = client->pid;
		memcpy(known->command, client->command, sizeof(known->command));
	}
}

/* Adds a client, or a process to one that is known. */
static void add(struct clients *clients, const struct client *client)
{
	struct client *more;

	for (size_t i = 0; i < clients->count; i++)
		if (clients->list[i].id == client->id) {
			merge(&clients->list[i], client);
			return;
		}
	more = realloc(clients->list, (clients->count + 1) * sizeof(*more));
	if (!more)
		abort();
	clients->list = more;
	more[clients->count++] = *client;
}

/* Fills in a client from what one descriptor's fdinfo says; false if it is of another device. */
static bool read_fdinfo(const char *path, struct client *client)
{
	FILE *file = file_open(path);
	char line[256];
	uint64_t value;

	if (!file)
		return false;
	while (fgets(line, sizeof(line), file)) {
		if (sscanf(line, "pagespan-client-id: %" SCNu64, &value) == 1)
			client->id = value;
		else if (sscanf(line, "pagespan-memory-owned: %" SCNu64 " KiB", &value) == 1)
			client->owned = value << 10;
		else if (sscanf(line, "pagespan-memory-quarantined: %" SCNu64 " KiB", &value) == 1)
			client->quarantined = value << 10;
		else if (sscanf(line, "pagespan-memory-quota: %" SCNu64 " KiB", &value) == 1)
			client->quota = value << 10;
		else if (sscanf(line, "pagespan-user-id: %" SCNu64, &value) == 1)
			client->user = value;
		else if (sscanf(line, "pagespan-user-memory: %" SCNu64 " KiB", &value) == 1)
			client->user_charged = value << 10;
		else if (sscanf(line, "pagespan-user-quota: %" SCNu64 " KiB", &value) == 1)
			client->user_quota = value << 10;
	}
	fclose(file);
	return client->id;
}

/* Names are of any bytes; what is not printable would be for the terminal to obey. */
static void read_command(int pid, struct client *client)
{
	char path[64];
	char *text;

	snprintf(path, sizeof(path), "/proc/%d/comm", pid);
	text = file_text(path);
	snprintf(client->command, sizeof(client->command), "%s", text ? text : "?");
	free(text);
	for (char *c = client->command; *c; c++)
		if (!isprint((unsigned char)*c))
			*c = '?';
}

/* Whether a descriptor may be of a device: pipes and sockets are no paths. */
static bool is_file(const char *descriptor)
{
	char target[2];

	return readlink(descriptor, target, sizeof(target)) > 0 && target[0] == '/';
}

/* What is cached is owned, though it may have been something else by the time it was read. */
static uint64_t cached_of(const struct client *client, const struct caches_found *caches,
			  const char *descriptor)
{
	uint64_t bytes = caches_of(caches, (int)strtol(descriptor, NULL, 10));

	return bytes != NOT_KNOWN && bytes > client->owned ? client->owned : bytes;
}

/* Looks at every descriptor of a process. */
static void look_into(struct clients *clients, int pid)
{
	char *path = file_path("/proc/%d/fd", pid);
	DIR *directory = opendir(path);
	struct dirent *entry;
	char fdinfo[320], *descriptor;
	struct caches_found caches = {0};

	if (!directory) {
		clients->hidden += errno == EACCES;
		free(path);
		return;
	}
	while ((entry = readdir(directory))) {
		struct client client = {.pid = pid,
					.processes = 1,
					.cached = NOT_KNOWN,
					.user = NOT_KNOWN,
					.user_charged = NOT_KNOWN,
					.user_quota = NOT_KNOWN};

		if (!isdigit((unsigned char)entry->d_name[0]))
			continue;
		descriptor = file_path("/proc/%d/fd/%s", pid, entry->d_name);
		snprintf(fdinfo, sizeof(fdinfo), "/proc/%d/fdinfo/%s", pid, entry->d_name);
		if (is_file(descriptor) && read_fdinfo(fdinfo, &client)) {
			read_command(pid, &client);
			caches_find(&caches, pid);
			client.cached = cached_of(&client, &caches, entry->d_name);
			add(clients, &client);
		}
		free(descriptor);
	}
	closedir(directory);
	free(path);
}

static int by_owned(const void *a, const void *b)
{
	const struct client *one = a, *other = b;

	if (one->owned != other->owned)
		return one->owned < other->owned ? 1 : -1;
	return one->id < other->id ? -1 : 1;
}

int clients_find(struct clients *clients)
{
	char *path = file_path("/proc");
	DIR *directory = opendir(path);
	struct dirent *entry;

	*clients = (struct clients){0};
	if (!directory) {
		complain("cannot read %s: %m", path);
		free(path);
		return FAILED;
	}
	while ((entry = readdir(directory)))
		if (isdigit((unsigned char)entry->d_name[0]))
			look_into(clients, (int)strtol(entry->d_name, NULL, 10));
	closedir(directory);
	free(path);
	if (clients->count)
		qsort(clients->list, clients->count, sizeof(*clients->list), by_owned);
	return DONE;
}

void clients_free(struct clients *clients)
{
	free(clients->list);
	*clients = (struct clients){0};
}

uint64_t clients_cached(const struct clients *clients)
{
	uint64_t sum = NOT_KNOWN;

	for (size_t i = 0; i < clients->count; i++)
		if (clients->list[i].cached != NOT_KNOWN)
			sum = (sum == NOT_KNOWN ? 0 : sum) + clients->list[i].cached;
	return sum;
}

bool clients_have_users(const struct clients *clients)
{
	return clients->count && clients->list[0].user != NOT_KNOWN;
}

json_t *size_json(uint64_t bytes)
{
	return bytes == NOT_KNOWN ? json_null() : json_integer((json_int_t)bytes);
}

static json_t *client_json(const struct client *client)
{
	return json_pack("{s:I, s:i, s:s, s:i, s:I, s:o, s:I, s:I, s:o, s:o, s:o}", "id",
			 (json_int_t)client->id, "pid", client->pid, "command", client->command,
			 "processes", (int)client->processes, "owned_bytes",
			 (json_int_t)client->owned, "cached_bytes", size_json(client->cached),
			 "quarantined_bytes", (json_int_t)client->quarantined, "quota_bytes",
			 (json_int_t)client->quota, "uid", size_json(client->user),
			 "user_charged_bytes", size_json(client->user_charged), "user_quota_bytes",
			 size_json(client->user_quota));
}

json_t *clients_json(const struct clients *clients)
{
	json_t *array = json_array();

	for (size_t i = 0; i < clients->count; i++)
		json_array_append_new(array, client_json(&clients->list[i]));
	return array;
}

int json_print(json_t *value)
{
	json_dumpf(value, stdout, JSON_INDENT(2));
	putchar('\n');
	json_decref(value);
	return DONE;
}

static void print_table(const struct clients *clients)
{
	bool users = clients_have_users(clients);
	char owned[QUANTITY_BYTES], cached[QUANTITY_BYTES];
	char quarantined[QUANTITY_BYTES], quota[QUANTITY_BYTES];
	char name[USER_BYTES];

	printf("%s%8s %8s %5s %10s %10s %11s %10s  %s%s%s\n", paint("1"), "CLIENT", "PID", "PROCS",
	       "OWNED", "CACHED", "QUARANTINED", "QUOTA", users ? "USER     " : "", "COMMAND",
	       paint("0"));
	for (size_t i = 0; i < clients->count; i++) {
		const struct client *client = &clients->list[i];

		printf("%8" PRIu64 " %8d %5u %10s %10s %11s %10s  ", client->id, client->pid,
		       client->processes, quantity(owned, client->owned),
		       quantity(cached, client->cached), quantity(quarantined, client->quarantined),
		       quantity(quota, client->quota));
		if (users)
			printf("%-8s ", user_name(name, client->user));
		printf("%s\n", client->command);
	}
}

void clients_print(const struct clients *clients, uint64_t known)
{
	if (clients->count)
		print_table(clients);
	if (!known)
		printf("nobody has the device open\n");
	if (known > clients->count)
		printf("%" PRIu64 " more: %s\n", known - clients->count,
		       clients->hidden ?
			       "of other users; root sees them" :
			       "with a mapping but no descriptor, or passed on and not received");
}

int command_clients(int argc, char **argv)
{
	struct clients clients;
	struct users users;
	struct pool pool;
	bool json = false;
	int status;

	if (!no_arguments(argc, argv, &json))
		return misused("clients");
	status = users_read(&users, &clients, &pool);
	if (status)
		return status;
	if (json) {
		json_print(clients_json(&clients));
	} else {
		clients_print(&clients, pool.clients);
		users_print(&users);
	}
	users_free(&users);
	clients_free(&clients);
	return DONE;
}
