// SPDX-License-Identifier: GPL-2.0-only
/*
 * Charging cgroups, as kmod/cgroup.c does it, against a model of the controller: limits
 * hold, what fits is charged, and each charge is taken back once, as it was made. No
 * kernel that this project runs on has the controller.
 *
 * A client here is an account with the number of pages it uses; what the pool itself
 * would refuse is not in question.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "cgroup_model.h"
#include "tap.h"

#include "../../kmod/cgroup.h"

#define NO_LIMIT	(1ULL << 40)
#define MEGABLOCK	512
#define BATCH		64

/* ---- the model ---- */

/* A cgroup in the region. Charges are told apart by their size, in pages up to a megablock. */
struct dmem_cgroup_pool_state {
	struct dmem_cgroup_pool_state *parent;
	u64 pages;
	u64 limit;
	u64 nr_charges[MEGABLOCK + 1];
};

struct dmem_cgroup_region {
	bool registered;
	u64 bytes;
	char name[32];
};

static struct dmem_cgroup_region the_region;
static pthread_mutex_t model_lock = PTHREAD_MUTEX_INITIALIZER;
static const char *complaint;
static u64 nr_tried;
static long nr_allocated;
static u64 nr_all_charged;
static int fail_in;		/* the call that fails, of those that can for want of memory; 0 for none */
static int move_in;		/* the charge before which the task is moved to the other cgroup */
static struct dmem_cgroup_pool_state *move_to;
static _Thread_local struct dmem_cgroup_pool_state *task_group;

void model_complain(const char *what)
{
	if (!complaint)
		printf("# %s\n", what);
	complaint = what;
}

/* Whether it is the turn of this call to fail, or to be preceded by something. */
static bool is_turn(int *countdown)
{
	return *countdown && !--*countdown;
}

void *model_zalloc(size_t bytes)
{
	void *memory = NULL;

	pthread_mutex_lock(&model_lock);
	if (!is_turn(&fail_in)) {
		memory = calloc(1, bytes);
		nr_allocated++;
	}
	pthread_mutex_unlock(&model_lock);
	return memory;
}

void model_free(void *memory)
{
	pthread_mutex_lock(&model_lock);
	nr_allocated -= !!memory;
	pthread_mutex_unlock(&model_lock);
	free(memory);
}

struct dmem_cgroup_region *dmem_cgroup_register_region(u64 bytes, const char *format, ...)
{
	va_list arguments;

	if (is_turn(&fail_in))
		return ERR_PTR(-ENOMEM);
	va_start(arguments, format);
	vsnprintf(the_region.name, sizeof(the_region.name), format, arguments);
	va_end(arguments);
	the_region.bytes = bytes;
	the_region.registered = true;
	return &the_region;
}

void dmem_cgroup_unregister_region(struct dmem_cgroup_region *region)
{
	WARN_ON(!region->registered);
	WARN_ON(nr_all_charged);
	region->registered = false;
}

static int charge_all(struct dmem_cgroup_pool_state *group, u64 pages)
{
	struct dmem_cgroup_pool_state *up;

	for (up = group; up; up = up->parent)
		if (up->pages + pages > up->limit)
			return -EAGAIN;
	for (up = group; up; up = up->parent)
		up->pages += pages;
	group->nr_charges[pages]++;
	nr_all_charged += pages;
	return 0;
}

int dmem_cgroup_try_charge(struct dmem_cgroup_region *region, u64 bytes,
			   struct dmem_cgroup_pool_state **charged,
			   struct dmem_cgroup_pool_state **limiting)
{
	int ret = -ENOMEM;

	pthread_mutex_lock(&model_lock);
	nr_tried++;
	WARN_ON(!region->registered);
	WARN_ON(!bytes || bytes % 4096 || bytes / 4096 > MEGABLOCK);
	WARN_ON(limiting);
	if (is_turn(&move_in))
		task_group = move_to;
	if (!is_turn(&fail_in))
		ret = charge_all(task_group, bytes / 4096);
	*charged = ret ? NULL : task_group;
	pthread_mutex_unlock(&model_lock);
	return ret;
}

void dmem_cgroup_uncharge(struct dmem_cgroup_pool_state *group, u64 bytes)
{
	u64 pages = bytes / 4096;

	pthread_mutex_lock(&model_lock);
	if (!the_region.registered || pages > MEGABLOCK || !group->nr_charges[pages]) {
		model_complain("a charge is taken back that was not made");
	} else {
		group->nr_charges[pages]--;
		nr_all_charged -= pages;
		for (; group; group = group->parent)
			group->pages -= pages;
	}
	pthread_mutex_unlock(&model_lock);
}

/* ---- clients ---- */

static struct cgroup_region region;

struct client {
	struct cgroup_account account;
	u64 used;
};

static struct dmem_cgroup_pool_state group_with(u64 limit, struct dmem_cgroup_pool_state *parent)
{
	return (struct dmem_cgroup_pool_state){ .parent = parent, .limit = limit };
}

static void begin(void)
{
	complaint = NULL;
	nr_tried = 0;
	fail_in = 0;
	move_in = 0;
	if (cgroup_region_init(&region, 1000))
		model_complain("no region");
}

static void open_client(struct client *client)
{
	client->used = 0;
	cgroup_account_init(&client->account, &region);
}

/* There is no going on if more is used than is charged: what comes then need not end. */
static void look(const struct client *client)
{
	if (atomic64_read(&client->account.room) >= 0)
		return;
	tap_result(false, "cgroup.no_page_is_used_that_is_not_charged");
	exit(1);
}

/* As client.c does: how many pages were charged, or an error. */
static int charge(struct client *client, struct dmem_cgroup_pool_state *group, u32 least, u32 most)
{
	int ret = most;

	task_group = group;
	if (!cgroup_account_use(&client->account, most))
		ret = cgroup_account_charge(&client->account, least, most);
	if (ret > 0)
		client->used += ret;
	look(client);
	return ret;
}

static bool take(struct client *client, struct dmem_cgroup_pool_state *group, u32 nr_pages)
{
	return charge(client, group, nr_pages, nr_pages) == (int)nr_pages;
}

static void give(struct client *client, u64 nr_pages)
{
	client->used -= nr_pages;
	cgroup_account_refund(&client->account, nr_pages);
	look(client);
}

static void close_client(struct client *client)
{
	if (client->used)
		give(client, client->used);
	cgroup_account_exit(&client->account);
}

static u64 charged_to(const struct client *client)
{
	return client->used + atomic64_read(&client->account.room);
}

/* Ends a test, with every client closed; whether there was nothing to complain of. */
static bool ends_well(void)
{
	cgroup_region_exit(&region);
	WARN_ON(nr_allocated);
	return !complaint;
}

static unsigned int random_number(unsigned int *seed)
{
	*seed = *seed * 1664525 + 1013904223;
	return *seed >> 8;
}

/* ---- promises ---- */

static bool the_pool_is_a_region(void)
{
	bool kept;

	begin();
	kept = !strcmp(the_region.name, "pagespan") && the_region.bytes == 1000 * 4096;
	kept &= ends_well();
	complaint = NULL;
	fail_in = 1;
	return kept && cgroup_region_init(&region, 1000) == -ENOMEM;
}

/* Whatever sizes it is asked for in. */
static bool a_limit_is_reached_exactly(void)
{
	static const u32 sizes[] = { 1, 3, 63, 64, 65, 511, 512, 513, 3000 };
	bool kept = true;
	size_t i;

	for (i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		struct dmem_cgroup_pool_state group = group_with(2 * 3000 + 77, NULL);
		struct client client;

		begin();
		open_client(&client);
		while (take(&client, &group, sizes[i]))
			;
		kept &= client.used == group.limit / sizes[i] * sizes[i];
		while (take(&client, &group, 1))
			;
		kept &= client.used == group.limit && group.pages == group.limit;
		close_client(&client);
		kept &= ends_well();
	}
	return kept;
}

static bool a_refused_request_changes_nothing(void)
{
	struct dmem_cgroup_pool_state group = group_with(5000, NULL);
	struct client client;
	bool kept;

	begin();
	open_client(&client);
	kept = take(&client, &group, 1000);
	kept &= charge(&client, &group, 65536, 65536) == -EDQUOT;
	kept &= charge(&client, &group, 4001, 4001) == -EDQUOT;
	kept &= client.used == 1000 && group.pages == charged_to(&client) && group.pages < 1000 + BATCH;
	kept &= take(&client, &group, 4000);
	close_client(&client);
	return ends_well() && kept;
}

static bool the_limit_of_an_ancestor_holds(void)
{
	struct dmem_cgroup_pool_state parent = group_with(1000, NULL);
	struct dmem_cgroup_pool_state one = group_with(NO_LIMIT, &parent);
	struct dmem_cgroup_pool_state other = group_with(600, &parent);
	struct client first, second;
	bool kept;

	begin();
	open_client(&first);
	open_client(&second);
	kept = take(&first, &one, 900) && !take(&second, &other, 101);
	kept &= !take(&first, &one, 101);
	give(&first, 900);
	kept &= !take(&second, &other, 601) && take(&second, &other, 600) && take(&first, &one, 400);
	kept &= parent.pages <= 1000;
	close_client(&first);
	close_client(&second);
	return ends_well() && kept;
}

/* Of single pages as many as there is room for. */
static bool a_bulk_gets_what_there_is(void)
{
	struct dmem_cgroup_pool_state group = group_with(10, NULL);
	struct client client;
	bool kept;

	begin();
	open_client(&client);
	kept = charge(&client, &group, 1, 64) == 10 && charge(&client, &group, 1, 64) == -EDQUOT;
	give(&client, 3);
	kept &= charge(&client, &group, 1, 64) == 3 && client.used == 10;
	group.limit = 100;
	kept &= charge(&client, &group, 1, 64) == 64;
	close_client(&client);
	return ends_well() && kept;
}

/* What one client frees is another's at once, though a limit is reached. */
static bool what_is_freed_can_be_charged_elsewhere(void)
{
	struct dmem_cgroup_pool_state group = group_with(100, NULL);
	struct client one, other;
	bool kept;
	int i;

	begin();
	open_client(&one);
	open_client(&other);
	kept = take(&one, &group, 64) && take(&one, &group, 36) && !take(&other, &group, 1);
	for (i = 0; i < 36; i++) {
		give(&one, 1);
		kept &= take(&other, &group, 1) && !take(&other, &group, 1);
	}
	give(&one, 64);
	kept &= take(&other, &group, 64);
	close_client(&one);
	close_client(&other);
	return ends_well() && kept;
}

/* Also those of clients that were asked before, and of one that is closed but still charged. */
static bool spares_are_given_up_before_a_refusal(void)
{
	struct dmem_cgroup_pool_state group = group_with(4 * MEGABLOCK, NULL);
	struct client idle[3], client;
	bool kept = true;
	int round, i;

	begin();
	open_client(&client);
	for (i = 0; i < 3; i++)
		open_client(&idle[i]);
	for (round = 0; round < 3; round++) {
		for (i = 0; i < 3; i++) {
			kept &= take(&idle[i], &group, MEGABLOCK);
			give(&idle[i], MEGABLOCK);
		}
		kept &= take(&client, &group, 4 * MEGABLOCK);
		give(&client, 4 * MEGABLOCK);
	}
	for (i = 0; i < 3; i++)
		close_client(&idle[i]);
	close_client(&client);
	return ends_well() && kept;
}

/* Charges per 1,000 times that some pages are allocated and freed, with others in use. */
static u64 tried_to_and_fro(u32 used, u32 nr_pages)
{
	struct dmem_cgroup_pool_state group = group_with(NO_LIMIT, NULL);
	struct client client;
	bool kept = true;
	int i;

	begin();
	open_client(&client);
	kept = !used || take(&client, &group, used);
	for (i = 0; i < 1000; i++) {
		kept &= take(&client, &group, nr_pages);
		give(&client, nr_pages);
	}
	close_client(&client);
	return ends_well() && kept ? nr_tried : UINT64_MAX;
}

static bool to_and_fro_at_a_boundary_charges_once(void)
{
	u32 used;

	for (used = 0; used < 3 * MEGABLOCK; used++)
		if (tried_to_and_fro(used, 1) > used / BATCH + 2)
			return false;
	return tried_to_and_fro(0, MEGABLOCK) == 1 && tried_to_and_fro(64, MEGABLOCK) == 2;
}

/* Single pages are charged by the batch, large requests by the megablock. */
static bool charges_are_few(void)
{
	struct dmem_cgroup_pool_state group = group_with(NO_LIMIT, NULL);
	struct client client;
	bool kept = true;
	int i;

	begin();
	open_client(&client);
	for (i = 0; i < 100 * BATCH; i++)
		kept &= take(&client, &group, 1);
	kept &= nr_tried == 100;
	kept &= take(&client, &group, 128 * MEGABLOCK) && nr_tried == 228;
	close_client(&client);
	return ends_well() && kept;
}

/* Whatever part of what was allocated is freed, little more stays charged than is used. */
static bool what_is_freed_in_parts_is_given_back(void)
{
	struct dmem_cgroup_pool_state group = group_with(NO_LIMIT, NULL);
	unsigned int seed = 1;
	struct client client;
	bool kept = true;
	int i;

	begin();
	open_client(&client);
	for (i = 0; i < 200000; i++) {
		u32 nr_pages = 1 + random_number(&seed) % (i % 3 ? 20 : 3000);

		if (random_number(&seed) % 2)
			kept &= take(&client, &group, nr_pages);
		else
			give(&client, nr_pages < client.used ? nr_pages : client.used);
		kept &= group.pages == charged_to(&client);
		kept &= group.pages >= client.used && group.pages <= client.used + MEGABLOCK;
	}
	close_client(&client);
	return ends_well() && kept && !group.pages;
}

/* A descriptor may be used by tasks of several cgroups. */
static bool the_cgroup_of_the_task_pays(void)
{
	struct dmem_cgroup_pool_state one = group_with(MEGABLOCK, NULL);
	struct dmem_cgroup_pool_state other = group_with(MEGABLOCK, NULL);
	struct client client;
	bool kept;

	begin();
	open_client(&client);
	kept = take(&client, &one, MEGABLOCK) && one.pages == MEGABLOCK && !other.pages;
	kept &= !take(&client, &one, 1);
	kept &= take(&client, &other, MEGABLOCK) && other.pages == MEGABLOCK;
	kept &= !take(&client, &other, 1);
	give(&client, MEGABLOCK);
	give(&client, 1);
	kept &= one.pages == MEGABLOCK && !other.pages;
	kept &= take(&client, &one, 1);
	close_client(&client);
	return ends_well() && kept;
}

static bool who_was_charged_last_is_repaid_first(void)
{
	struct dmem_cgroup_pool_state one = group_with(NO_LIMIT, NULL);
	struct dmem_cgroup_pool_state other = group_with(NO_LIMIT, NULL);
	struct client client;
	bool kept;

	begin();
	open_client(&client);
	kept = take(&client, &one, MEGABLOCK) && take(&client, &other, MEGABLOCK);
	kept &= take(&client, &one, 2 * MEGABLOCK);
	give(&client, 4 * MEGABLOCK);
	kept &= !one.pages && other.pages == CGROUP_SPARE_PAGES;
	close_client(&client);
	return ends_well() && kept;
}

/* Before each charge of a request in turn, and though no more memory may be had under the lock. */
static bool a_task_may_be_moved_meanwhile(void)
{
	bool kept = true;
	int n;

	for (n = 1; n <= 8; n++) {
		struct dmem_cgroup_pool_state one = group_with(NO_LIMIT, NULL);
		struct dmem_cgroup_pool_state other = group_with(NO_LIMIT, NULL);
		struct client client;

		begin();
		open_client(&client);
		move_in = n;
		move_to = &other;
		kept &= take(&client, &one, 3 * MEGABLOCK + 2 * BATCH);
		kept &= one.pages + other.pages == charged_to(&client);
		close_client(&client);
		kept &= ends_well() && !one.pages && !other.pages;
	}
	return kept;
}

/* Whatever fails for want of memory: the caller is told, nothing has changed, and it works again. */
static bool want_of_memory_changes_nothing(void)
{
	bool kept = true, failed = true;
	int n;

	for (n = 1; failed; n++) {
		struct dmem_cgroup_pool_state group = group_with(NO_LIMIT, NULL);
		struct client client;

		begin();
		open_client(&client);
		kept &= take(&client, &group, 70);
		fail_in = n;
		failed = charge(&client, &group, 1000, 1000) == -ENOMEM;
		kept &= failed == !fail_in;
		fail_in = 0;
		if (failed) {
			kept &= client.used == 70 && group.pages == charged_to(&client);
			kept &= group.pages < 70 + BATCH && take(&client, &group, 1000);
		}
		close_client(&client);
		kept &= ends_well();
	}
	return kept && n > 5;
}

/* Pages that are quarantined or exported stay charged until they are free, and the end is clean. */
static bool a_closed_client_stays_charged(void)
{
	struct dmem_cgroup_pool_state group = group_with(1000, NULL);
	struct client closed, client;
	bool kept;

	begin();
	open_client(&closed);
	open_client(&client);
	kept = take(&closed, &group, 900);
	give(&closed, 600);
	kept &= !take(&client, &group, 701);
	give(&closed, 299);
	kept &= group.pages >= 1;
	close_client(&closed);
	kept &= !group.pages && take(&client, &group, 1000);
	close_client(&client);
	return ends_well() && kept;
}

/* A limit that is set below what is charged takes nothing back, but lets nothing more be charged. */
static bool a_limit_may_become_less(void)
{
	struct dmem_cgroup_pool_state group = group_with(NO_LIMIT, NULL);
	struct client client;
	bool kept;
	u64 before;

	begin();
	open_client(&client);
	kept = take(&client, &group, 1000);
	before = group.pages;
	group.limit = 100;
	kept &= !take(&client, &group, 100) && client.used == 1000 && group.pages <= before;
	give(&client, 1000);
	kept &= group.pages <= CGROUP_SPARE_PAGES && !take(&client, &group, 1000) && group.pages <= 100;
	kept &= take(&client, &group, 100) && !take(&client, &group, 1);
	close_client(&client);
	return ends_well() && kept;
}

#define NR_CLIENTS	6
#define NR_GROUPS	3

/* Charges are those of the clients; a refusal is right, for each client has given up what it can. */
static bool is_consistent(struct client *clients, const struct dmem_cgroup_pool_state *groups,
			  const struct dmem_cgroup_pool_state *refused, u64 lacking)
{
	u64 charged = 0;
	int i;

	for (i = 0; i < NR_CLIENTS; i++) {
		s64 room = atomic64_read(&clients[i].account.room);

		charged += charged_to(&clients[i]);
		if (room < 0 || room > CGROUP_SPARE_PAGES)
			return false;
		if (refused && room >= clients[i].account.least)
			return false;
	}
	for (i = 0; i < NR_GROUPS; i++)
		if (groups[i].pages > groups[i].limit)
			return false;
	if (refused && refused->pages + lacking <= refused->limit &&
	    refused->parent->pages + lacking <= refused->parent->limit)
		return false;
	return charged == groups[0].pages;
}

static bool random_calls_agree_with_the_model(void)
{
	struct dmem_cgroup_pool_state groups[NR_GROUPS] = { group_with(3000, NULL) };
	struct client clients[NR_CLIENTS];
	unsigned int seed = 7;
	bool kept = true;
	int i;

	groups[1] = group_with(1500, &groups[0]);
	groups[2] = group_with(2500, &groups[0]);
	begin();
	for (i = 0; i < NR_CLIENTS; i++)
		open_client(&clients[i]);
	for (i = 0; i < 300000 && kept; i++) {
		struct client *client = &clients[random_number(&seed) % NR_CLIENTS];
		struct dmem_cgroup_pool_state *group = &groups[1 + random_number(&seed) % 2];
		u32 nr_pages = 1 + random_number(&seed) % (random_number(&seed) % 4 ? 40 : 1100);
		struct dmem_cgroup_pool_state *refused = NULL;
		u64 lacking = 0;

		if (random_number(&seed) % 2) {
			if (!take(client, group, nr_pages)) {
				refused = group;
				lacking = nr_pages - atomic64_read(&client->account.room);
			}
		} else {
			give(client, nr_pages < client->used ? nr_pages : client->used);
		}
		kept &= is_consistent(clients, groups, refused, lacking);
		if (!(random_number(&seed) % 1000)) {
			close_client(client);
			open_client(client);
		}
	}
	for (i = 0; i < NR_CLIENTS; i++)
		close_client(&clients[i]);
	return ends_well() && kept;
}

/* ---- threads ---- */

struct sharer {
	struct client *clients;
	struct dmem_cgroup_pool_state *groups;
	unsigned int seed;
	u64 used[2];
};

/* Two clients that every thread uses, each in its turn for a while. */
static void *share(void *argument)
{
	struct sharer *sharer = argument;
	int i;

	for (i = 0; i < 20000; i++) {
		int which = random_number(&sharer->seed) % 2;
		struct cgroup_account *account = &sharer->clients[which].account;
		u32 nr_pages = 1 + random_number(&sharer->seed) % (i % 16 ? 8 : 600);

		task_group = &sharer->groups[1 + random_number(&sharer->seed) % 2];
		if (random_number(&sharer->seed) % 2) {
			if (cgroup_account_use(account, nr_pages) ||
			    cgroup_account_charge(account, nr_pages, nr_pages) > 0)
				sharer->used[which] += nr_pages;
		} else if (sharer->used[which] >= nr_pages) {
			sharer->used[which] -= nr_pages;
			cgroup_account_refund(account, nr_pages);
		}
	}
	return NULL;
}

/* And once they rest, one client can have all that the others do not use. */
static bool threads_lose_no_charge(void)
{
	struct dmem_cgroup_pool_state groups[NR_GROUPS] = { group_with(4000, NULL) };
	struct sharer sharers[4];
	pthread_t threads[4];
	struct client clients[2], last;
	bool kept = true;
	int i, which;

	groups[1] = group_with(3000, &groups[0]);
	groups[2] = group_with(3000, &groups[0]);
	begin();
	for (i = 0; i < 2; i++)
		open_client(&clients[i]);
	for (i = 0; i < 4; i++) {
		sharers[i] = (struct sharer){ clients, groups, i + 1, { 0 } };
		kept &= !pthread_create(&threads[i], NULL, share, &sharers[i]);
	}
	for (i = 0; i < 4; i++) {
		pthread_join(threads[i], NULL);
		for (which = 0; which < 2; which++)
			clients[which].used += sharers[i].used[which];
	}
	kept &= groups[0].pages == charged_to(&clients[0]) + charged_to(&clients[1]);
	for (i = 0; i < 2; i++) {
		give(&clients[i], clients[i].used);
		kept &= atomic64_read(&clients[i].account.room) <= CGROUP_SPARE_PAGES;
	}
	open_client(&last);
	kept &= take(&last, &groups[1], 3000) && take(&last, &groups[2], 1000);
	close_client(&last);
	for (i = 0; i < 2; i++)
		close_client(&clients[i]);
	return ends_well() && kept;
}

#define PROMISE(name)	tap_result(name(), "cgroup." #name)

int main(void)
{
	tap_begin();
	PROMISE(the_pool_is_a_region);
	PROMISE(a_limit_is_reached_exactly);
	PROMISE(a_refused_request_changes_nothing);
	PROMISE(the_limit_of_an_ancestor_holds);
	PROMISE(a_bulk_gets_what_there_is);
	PROMISE(what_is_freed_can_be_charged_elsewhere);
	PROMISE(spares_are_given_up_before_a_refusal);
	PROMISE(to_and_fro_at_a_boundary_charges_once);
	PROMISE(charges_are_few);
	PROMISE(what_is_freed_in_parts_is_given_back);
	PROMISE(the_cgroup_of_the_task_pays);
	PROMISE(who_was_charged_last_is_repaid_first);
	PROMISE(a_task_may_be_moved_meanwhile);
	PROMISE(want_of_memory_changes_nothing);
	PROMISE(a_closed_client_stays_charged);
	PROMISE(a_limit_may_become_less);
	PROMISE(random_calls_agree_with_the_model);
	PROMISE(threads_lose_no_charge);
	return tap_end();
}
