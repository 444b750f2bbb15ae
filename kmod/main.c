// SPDX-License-Identifier: GPL-2.0-only
/* pagespan.ko: init, exit, parameters. */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/mm.h>
#include <linux/module.h>

#include "chardev.h"
#include "client.h"
#include "pool.h"

#define PAGES_PER_MB	(SZ_1M / PAGE_SIZE)

static long size_mb = 64;
module_param(size_mb, long, 0444);
MODULE_PARM_DESC(size_mb, "Memory to reserve, in MiB (default 64)");

static struct pool pool;
static struct registry registry;

static int check_size(void)
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
	return 0;
}

static int __init pagespan_init(void)
{
	int ret;

	BUILD_BUG_ON(PAGE_SHIFT != 12 || BITS_PER_LONG != 64);
	ret = check_size();
	if (ret)
		return ret;
	ret = pool_init(&pool, size_mb * PAGES_PER_MB);
	if (ret) {
		pr_err("cannot reserve %ld MiB of contiguous memory: error %d\n", size_mb, ret);
		return ret;
	}
	ret = registry_init(&registry, &pool);
	if (ret)
		goto exit_pool;
	ret = chardev_init(&registry);
	if (ret)
		goto exit_registry;
	pr_info("pool of %ld MiB at %pa\n", size_mb, &(phys_addr_t){PFN_PHYS(pool.base_pfn)});
	return 0;

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
	registry_exit(&registry);
	pool_exit(&pool);
}
module_exit(pagespan_exit);

MODULE_DESCRIPTION("Spans of pages on memory reserved once");
MODULE_AUTHOR("The pagespan developers");
MODULE_LICENSE("GPL");
