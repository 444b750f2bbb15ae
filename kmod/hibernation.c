// SPDX-License-Identifier: GPL-2.0-only
/*
 * Refusing to hibernate while pages are owned: the image holds what the kernel
 * counts as memory, and pages reserved at boot are none, so their contents would
 * be lost.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/notifier.h>
#include <linux/printk.h>
#include <linux/suspend.h>

#include "hibernation.h"
#include "pool.h"

static struct pool *hibernation_pool;

static int hibernation_notify(struct notifier_block *block, unsigned long event, void *unused)
{
	u64 free_pages, longest_run;

	if (event != PM_HIBERNATION_PREPARE)
		return NOTIFY_DONE;
	pool_figures(hibernation_pool, &free_pages, &longest_run);
	if (free_pages == hibernation_pool->nr_pages)
		return NOTIFY_DONE;
	pr_err("hibernation refused: %llu pages are owned and would be lost\n",
	       hibernation_pool->nr_pages - free_pages);
	return notifier_from_errno(-EBUSY);
}

static struct notifier_block hibernation_block = {
	.notifier_call = hibernation_notify,
};

/**
 * hibernation_init() - start to refuse
 * @pool: whose pages are meant
 *
 * Return: 0 or -errno.
 */
int hibernation_init(struct pool *pool)
{
	hibernation_pool = pool;
	return register_pm_notifier(&hibernation_block);
}

/** hibernation_exit() - stop refusing. */
void hibernation_exit(void)
{
	unregister_pm_notifier(&hibernation_block);
}
