// SPDX-License-Identifier: GPL-2.0-only
/*
 * Refusing to hibernate while pages are owned: the image holds what the kernel
 * counts as memory, and neither pages reserved at boot nor unplugged ones are
 * any, so their contents would be lost. For the same reason what a free page
 * holds afterwards is anybody's; so the pool is closed meanwhile, and its pages
 * are new from the system when it opens again. A pool with a poisoned page cannot be
 * closed, so the system does not hibernate until reboot or until the module is gone.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/notifier.h>
#include <linux/printk.h>
#include <linux/suspend.h>

#include "client.h"
#include "hibernation.h"
#include "resize.h"

static struct registry *hibernation_registry;

static int hibernation_prepare(struct registry *registry)
{
	u64 free_pages, longest_run, owned, poisoned;

	if (!resize_close(registry))
		return NOTIFY_OK;
	pool_figures(registry->pool, &free_pages, &longest_run);
	poisoned = pool_poisoned_pages(registry->pool);
	owned = registry->pool->present - free_pages - poisoned;
	if (owned)
		pr_err("hibernation refused: %llu pages are owned and would be lost\n", owned);
	else
		pr_err("hibernation refused: %llu pages are broken\n", poisoned);
	return notifier_from_errno(-EBUSY);
}

static int hibernation_notify(struct notifier_block *block, unsigned long event, void *unused)
{
	switch (event) {
	case PM_HIBERNATION_PREPARE:
		return hibernation_prepare(hibernation_registry);
	case PM_POST_HIBERNATION:
		resize_reopen(hibernation_registry);
		return NOTIFY_OK;
	}
	return NOTIFY_DONE;
}

static struct notifier_block hibernation_block = {
	.notifier_call = hibernation_notify,
};

/**
 * hibernation_init() - start to refuse
 * @registry: whose pages are meant
 *
 * Return: 0 or -errno.
 */
int hibernation_init(struct registry *registry)
{
	hibernation_registry = registry;
	return register_pm_notifier(&hibernation_block);
}

/** hibernation_exit() - stop refusing. */
void hibernation_exit(void)
{
	unregister_pm_notifier(&hibernation_block);
}
