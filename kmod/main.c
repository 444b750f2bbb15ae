// SPDX-License-Identifier: GPL-2.0-only
/* pagespan.ko: init, exit, parameters. */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/mm.h>
#include <linux/module.h>

#include "address_space.h"
#include "chardev.h"
#include "client.h"
#include "hibernation.h"
#include "poison.h"
#include "pool.h"
#include "stats.h"

#define PAGES_PER_MB	(SZ_1M / PAGE_SIZE)

#define NOT_GIVEN	LONG_MIN

static long size_mb = NOT_GIVEN;
module_param(size_mb, long, 0444);
MODULE_PARM_DESC(size_mb, "Memory to reserve from the running system, in MiB (default: a memory block, or 64)");

static long max_mb;
module_param(max_mb, long, 0444);
MODULE_PARM_DESC(max_mb, "What the pool may grow to, in MiB (default: what it starts with)");

static char *source;
module_param(source, charp, 0444);
MODULE_PARM_DESC(source, "Where from: phys, reserve_mem, hotplug, contig (default: the best there is)");

static long client_max_mb;
module_param(client_max_mb, long, 0444);
MODULE_PARM_DESC(client_max_mb, "What one client may own, in MiB (default: the pool)");

static long user_max_mb;
module_param(user_max_mb, long, 0444);
MODULE_PARM_DESC(user_max_mb, "What the clients of one user may own together, in MiB (default: the pool)");

static bool zero_on_free;
module_param(zero_on_free, bool, 0444);
MODULE_PARM_DESC(zero_on_free, "Clear pages when they are freed (default: as init_on_free= of the kernel)");

static struct pool pool;
static struct registry registry;

static const long most_mb = SPAN_MAP_MAX_PAGES / PAGES_PER_MB;

/* A limit of which 0 means none. */
static bool limit_is_valid(const char *name, long mb)
{
	if (mb >= 0 && mb <= most_mb)
		return true;
	pr_err("%s=%ld is not from 0 to %ld\n", name, mb, most_mb);
	return false;
}

static u64 limit_pages(long mb)
{
	return mb ? mb * PAGES_PER_MB : ACCOUNT_NO_LIMIT;
}

static int check_parameters(void)
{
	unsigned long ram_mb = totalram_pages() / PAGES_PER_MB;

	if (size_mb != NOT_GIVEN && (size_mb < 1 || size_mb > most_mb)) {
		pr_err("size_mb=%ld is not from 1 to %ld\n", size_mb, most_mb);
		return -EINVAL;
	}
	if (size_mb > (long)ram_mb) {
		pr_err("size_mb=%ld is more than the memory of this machine, %lu MiB\n",
		       size_mb, ram_mb);
		return -ENOMEM;
	}
	if (!limit_is_valid("max_mb", max_mb) || !limit_is_valid("client_max_mb", client_max_mb) ||
	    !limit_is_valid("user_max_mb", user_max_mb))
		return -EINVAL;
	if (max_mb && max_mb < size_mb) {
		pr_err("max_mb=%ld is less than size_mb=%ld\n", max_mb, size_mb);
		return -EINVAL;
	}
	if (source && !pool_find_source(source)) {
		pr_err("source=%s is not one of phys, reserve_mem, hotplug, contig\n", source);
		return -EINVAL;
	}
	return 0;
}

/* Which memory it is, and why it is no better; one line. */
static void tell_pool(void)
{
	char sources[64], why_not[512];

	pool_tell_sources(&pool, sources, sizeof(sources));
	pool_tell_why_not(&pool, why_not, sizeof(why_not), "; ");
	pr_info("pool of %llu MiB, source %s, %s mappings%s%s\n", pool.present / PAGES_PER_MB,
		sources, pool_why_not_huge(&pool) ? "4 KiB" : "2 MiB", *why_not ? "; " : "",
		why_not);
}

static int __init pagespan_init(void)
{
	struct registry_limits limits;
	int ret;

	BUILD_BUG_ON(PAGE_SHIFT != 12 || BITS_PER_LONG != 64);
	ret = check_parameters();
	if (ret)
		return ret;
	ret = address_space_init();
	if (ret)
		return ret;
	ret = pool_init(&pool, source ? pool_find_source(source) : NULL,
			size_mb == NOT_GIVEN ? 0 : size_mb * PAGES_PER_MB, max_mb * PAGES_PER_MB);
	if (ret)
		goto exit_address_space;
	size_mb = pool.present / PAGES_PER_MB;	/* as sysfs shows it */
	zero_on_free |= want_init_on_free();
	limits = (struct registry_limits){
		.client_pages = limit_pages(client_max_mb),
		.user_pages = limit_pages(user_max_mb),
		.zero_on_free = zero_on_free,
	};
	ret = registry_init(&registry, &pool, &limits);
	if (ret)
		goto exit_pool;
	ret = hibernation_init(&registry);
	if (ret)
		goto exit_registry;
	poison_init(&registry);
	stats_init(&registry);
	ret = chardev_init(&registry);
	if (ret)
		goto exit_stats;
	tell_pool();
	return 0;

exit_stats:
	stats_exit();
	poison_exit();
	hibernation_exit();
exit_registry:
	registry_exit(&registry);
exit_pool:
	pool_exit(&pool);
exit_address_space:
	address_space_exit();
	return ret;
}
module_init(pagespan_init);

static void __exit pagespan_exit(void)
{
	chardev_exit();
	stats_exit();
	poison_exit();
	hibernation_exit();
	registry_exit(&registry);
	pool_exit(&pool);
	address_space_exit();
}
module_exit(pagespan_exit);

MODULE_DESCRIPTION("Spans of pages on memory reserved once");
MODULE_AUTHOR("The pagespan developers");
MODULE_LICENSE("GPL");
MODULE_VERSION("0.2.0");
