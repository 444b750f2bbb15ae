// SPDX-License-Identifier: MIT
/* pagespanctl stat: the pool in figures. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "clients.h"
#include "pagespanctl.h"
#include "pool.h"
#include "terminal.h"
#include "users.h"

static void print_pages(const char *label, uint64_t pages, const struct pool *pool)
{
	char size[QUANTITY_BYTES];

	printf("  %-12s %10s  %5.1f %%\n", label, quantity(size, pages * POOL_PAGE_BYTES),
	       percent(pages, pool->pool_pages));
}

static void print_pool(const struct pool *pool, uint64_t cached)
{
	char size[QUANTITY_BYTES], most[QUANTITY_BYTES];

	printf("%spool%s           %10s  source %s, %s mappings\n", paint("1"), paint("0"),
	       quantity(size, pool->pool_pages * POOL_PAGE_BYTES), pool->source,
	       pool->huge ? "2 MiB" : "4 KiB");
	print_pages("owned", pool_used(pool), pool);
	if (cached != NOT_KNOWN)
		print_pages("  cached", cached / POOL_PAGE_BYTES, pool);
	print_pages("quarantined", pool->quarantined_pages, pool);
	if (pool->poisoned_pages != NOT_KNOWN)
		print_pages("poisoned", pool->poisoned_pages, pool);
	print_pages("free", pool->free_pages, pool);
	print_pages("longest run", pool->longest_run, pool);
	if (pool->max_pages > pool->pool_pages)
		printf("  may grow to  %10s\n", quantity(most, pool->max_pages * POOL_PAGE_BYTES));
	if (pool->user_max_pages && pool->user_max_pages != NOT_KNOWN)
		printf("  user limit   %10s\n",
		       quantity(most, pool->user_max_pages * POOL_PAGE_BYTES));
	printf("%sevents%s         %10" PRIu64 "  spans allocated\n", paint("1"), paint("0"),
	       pool->allocs);
	printf("               %10" PRIu64 "  ranges freed\n", pool->frees);
	printf("               %10" PRIu64 "  faults\n", pool->faults);
	printf("               %10" PRIu64 "  pages pinned when freed\n", pool->quarantines);
	if (pool->waits != NOT_KNOWN)
		printf("               %10" PRIu64 "  requests that waited for other clients\n",
		       pool->waits);
	printf("%sclients%s        %10" PRIu64 "\n", paint("1"), paint("0"), pool->clients);
}

static json_t *pool_json(const struct pool *pool)
{
	return json_pack("{s:s, s:s, s:b, s:I, s:I, s:I, s:I, s:I, s:o, s:I, s:I, s:o, s:{s:I, "
			 "s:I, s:I, s:I, s:o, s:o, s:o}}",
			 "source", pool->source, "why_not", pool->why_not, "huge", pool->huge,
			 "nr_pages", (json_int_t)pool->nr_pages, "max_pages",
			 (json_int_t)pool->max_pages, "pool_pages", (json_int_t)pool->pool_pages,
			 "owned_pages", (json_int_t)pool_used(pool), "quarantined_pages",
			 (json_int_t)pool->quarantined_pages, "poisoned_pages",
			 size_json(pool->poisoned_pages), "free_pages",
			 (json_int_t)pool->free_pages, "longest_run", (json_int_t)pool->longest_run,
			 "user_max_pages", size_json(pool->user_max_pages), "events", "alloc",
			 (json_int_t)pool->allocs, "free", (json_int_t)pool->frees, "fault",
			 (json_int_t)pool->faults, "quarantine", (json_int_t)pool->quarantines,
			 "ask", size_json(pool->asks), "wait", size_json(pool->waits), "served",
			 size_json(pool->served));
}

int command_stat(int argc, char **argv)
{
	struct clients clients;
	struct users users;
	struct pool pool;
	bool json = false;
	int status;

	if (!no_arguments(argc, argv, &json))
		return misused("stat");
	status = users_read(&users, &clients, &pool);
	if (status)
		return status;
	if (json) {
		json_t *all = pool_json(&pool);

		json_object_set_new(all, "cached_bytes", size_json(clients_cached(&clients)));
		json_object_set_new(all, "nr_clients", json_integer((json_int_t)pool.clients));
		json_object_set_new(all, "clients", clients_json(&clients));
		json_object_set_new(all, "users", users_json(&users));
		json_print(all);
	} else {
		print_pool(&pool, clients_cached(&clients));
		clients_print(&clients, pool.clients);
		users_print(&users);
	}
	users_free(&users);
	clients_free(&clients);
	return DONE;
}
