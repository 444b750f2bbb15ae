// SPDX-License-Identifier: GPL-2.0-only
/* pagespan.ko: init, exit, parameters. */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/mm.h>
#include <linux/module.h>

#include "chardev.h"
#include "client.h"
#include "hibernation.h"
#include "pool.h"
#include "stats.h"

#define PAGES_PER_MB	(SZ_1M / PAGE_SIZE)

static long size_mb = 64;
module_param(size_mb, long, 0444);
MODULE_PARM_DESC(size_mb, "Memory to reserve from the running system, in MiB (default 64)");

static char *source;
module_param(source, charp, 0444);
MODULE_PARM_DESC(source, "Where from: phys, contig (default: phys if phys= is given, else contig)");

static long client_max_mb;
module_param(client_max_mb, long, 0444);
MODULE_PARM_DESC(client_max_mb, "What one client may own, in MiB (default: the pool)");

static struct pool pool;
static struct registry registry;

/* The best first. */
static const struct pool_source *const sources[] = {
	&pool_source_phys,
	&pool_source_contig,
};

static const struct pool_source *choose_source(void)
{
	int i;

	if (!source)
		return pool_source_phys_is_wanted() ? &pool_source_phys : &pool_source_contig;
	for (i = 0; i < ARRAY_SIZE(sources); i++)
		if (sysfs_streq(source, sources[i]->name))
			return sources[i];
	pr_err("source=%s is not one of phys, contig\n", source);
	return NULL;
}

static int check_parameters(void)
{
	const long max_mb = SPAN_MAP_MAX_PAGES / PAGES_PER_MB;
	unsigned long ram_mb = totalram_pages() / PAGES_PER_MB;

	if (size_mb < 1 || size_mb > max_mb) {
		pr_err("size_mb=%ld is not from 1 to %ld\n", size_mb, max_mb);
		return -EINVAL;
	}
	if (size_mb > ram_mb) {
		pr_err("size_mb=%ld is more than the memory of this machine, %lu MiB\n",
		       size_mb, ram_mb);
		return -ENOMEM;
	}
	if (client_max_mb < 0 || client_max_mb > max_mb) {
		pr_err("client_max_mb=%ld is not from 0 to %ld\n", client_max_mb, max_mb);
		return -EINVAL;
	}
	return 0;
}

static int __init pagespan_init(void)
{
	const struct pool_source *chosen = choose_source();
	int ret;

	BUILD_BUG_ON(PAGE_SHIFT != 12 || BITS_PER_LONG != 64);
	ret = chosen ? check_parameters() : -EINVAL;
	if (ret)
		return ret;
	ret = pool_init(&pool, chosen, size_mb * PAGES_PER_MB);
	if (ret)
		return ret;
	ret = registry_init(&registry, &pool,
			    client_max_mb ? client_max_mb * PAGES_PER_MB : CLIENT_NO_QUOTA);
	if (ret)
		goto exit_pool;
	ret = hibernation_init(&pool);
	if (ret)
		goto exit_registry;
	stats_init(&registry);
	ret = chardev_init(&registry);
	if (ret)
		goto exit_stats;
	pr_info("pool of %llu MiB at %pa, source %s, %s mappings\n",
		pool.nr_pages / PAGES_PER_MB, &(phys_addr_t){ PFN_PHYS(pool.base_pfn) },
		chosen->name, pool.huge ? "2 MiB" : "4 KiB");
	return 0;

exit_stats:
	stats_exit();
	hibernation_exit();
exit_registry:
	registry_exit(&registry);
exit_pool:
	pool_exit(&pool);
	return ret;
}
module_init(pagespan_init);

static void __exit pagespan_exit(void)
{
	chardev_exit();
	stats_exit();
	hibernation_exit();
	registry_exit(&registry);
	pool_exit(&pool);
}
module_exit(pagespan_exit);

MODULE_DESCRIPTION("Spans of pages on memory reserved once");
MODULE_AUTHOR("The pagespan developers");
MODULE_LICENSE("GPL");
