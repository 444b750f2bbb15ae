// SPDX-License-Identifier: GPL-2.0-only
/*
 * What is counted, and where it is shown: /sys/class/misc/pagespan and
 * /sys/kernel/debug/pagespan.
 */
#include <linux/debugfs.h>
#include <linux/device.h>
#include <linux/module.h>
#include <linux/sched.h>
#include <linux/seq_file.h>

#include "client.h"
#include "resize.h"

#define CREATE_TRACE_POINTS
#include "stats.h"

DEFINE_PER_CPU(struct stats_counters, stats_counters);

static struct registry *stats_registry;
static struct dentry *stats_directory;

static ssize_t emit_count(char *buf, enum stats_event event)
{
	u64 sum = 0;
	int cpu;

	for_each_possible_cpu(cpu)
		sum += per_cpu(stats_counters, cpu).events[event];
	return sysfs_emit(buf, "%llu\n", sum);
}

#define STATS_ATTRIBUTE(name, expression)						\
static ssize_t name##_show(struct device *dev, struct device_attribute *attr, char *buf)	\
{											\
	return expression;								\
}											\
static DEVICE_ATTR_RO(name)

static u64 count_free_pages(void)
{
	u64 pages, longest;

	pool_recent_figures(stats_registry->pool, &pages, &longest);
	return pages;
}

static u64 find_longest_run(void)
{
	u64 pages, longest;

	pool_recent_figures(stats_registry->pool, &pages, &longest);
	return longest;
}

static ssize_t emit_sources(char *buf)
{
	int length = pool_tell_sources(stats_registry->pool, buf, PAGE_SIZE - 1);

	return length + sysfs_emit_at(buf, length, "\n");
}

static ssize_t emit_why_not(char *buf)
{
	struct pool *pool = stats_registry->pool;
	int length;

	if (mutex_lock_interruptible(&pool->resize_lock))
		return -EINTR;
	length = pool_tell_why_not(pool, buf, PAGE_SIZE - 1, "\n");
	mutex_unlock(&pool->resize_lock);
	return length + sysfs_emit_at(buf, length, "\n");
}

static u64 count_quarantined_pages(void)
{
	quarantine_look_soon(stats_registry);
	return READ_ONCE(stats_registry->quarantine.nr_pages);
}

/* 0 if there is none, as user_max_mb= has it. */
static ssize_t emit_user_limit(char *buf)
{
	u64 limit = stats_registry->limits.user_pages;

	return sysfs_emit(buf, "%llu\n", limit == ACCOUNT_NO_LIMIT ? 0 : limit);
}

/* As nr_hugepages: what can be had is had, and reading it back tells. */
static ssize_t pool_pages_store(struct device *dev, struct device_attribute *attr,
				const char *buf, size_t bytes)
{
	u64 nr_pages;
	int ret;

	ret = kstrtou64(buf, 0, &nr_pages);
	return ret ?: resize_pool(stats_registry, nr_pages) ?: bytes;
}

static ssize_t pool_pages_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%llu\n", READ_ONCE(stats_registry->pool->present));
}
static DEVICE_ATTR_RW(pool_pages);

STATS_ATTRIBUTE(source, emit_sources(buf));
STATS_ATTRIBUTE(why_not, emit_why_not(buf));
STATS_ATTRIBUTE(huge, sysfs_emit(buf, "%d\n", !pool_why_not_huge(stats_registry->pool)));
STATS_ATTRIBUTE(nr_pages, sysfs_emit(buf, "%llu\n", stats_registry->pool->nr_pages));
STATS_ATTRIBUTE(max_pages, sysfs_emit(buf, "%llu\n", stats_registry->pool->max_pages));
STATS_ATTRIBUTE(free_pages, sysfs_emit(buf, "%llu\n", count_free_pages()));
STATS_ATTRIBUTE(longest_run, sysfs_emit(buf, "%llu\n", find_longest_run()));
STATS_ATTRIBUTE(quarantined_pages, sysfs_emit(buf, "%llu\n", count_quarantined_pages()));
STATS_ATTRIBUTE(poisoned_pages,
		sysfs_emit(buf, "%llu\n", pool_poisoned_pages(stats_registry->pool)));
STATS_ATTRIBUTE(clients, sysfs_emit(buf, "%d\n", atomic_read(&stats_registry->nr_open)));

STATS_ATTRIBUTE(user_max_pages, emit_user_limit(buf));

static ssize_t users_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	return user_table_tell(&stats_registry->users, buf, PAGE_SIZE);
}
static DEVICE_ATTR_ADMIN_RO(users);

static struct attribute *pool_attributes[] = {
	&dev_attr_source.attr,
	&dev_attr_why_not.attr,
	&dev_attr_huge.attr,
	&dev_attr_nr_pages.attr,
	&dev_attr_max_pages.attr,
	&dev_attr_pool_pages.attr,
	&dev_attr_free_pages.attr,
	&dev_attr_longest_run.attr,
	&dev_attr_quarantined_pages.attr,
	&dev_attr_poisoned_pages.attr,
	&dev_attr_clients.attr,
	&dev_attr_user_max_pages.attr,
	&dev_attr_users.attr,
	NULL
};

static const struct attribute_group pool_group = {
	.attrs = pool_attributes,
};

STATS_ATTRIBUTE(alloc, emit_count(buf, STATS_ALLOC));
STATS_ATTRIBUTE(free, emit_count(buf, STATS_FREE));
STATS_ATTRIBUTE(fault, emit_count(buf, STATS_FAULT));
STATS_ATTRIBUTE(quarantine, emit_count(buf, STATS_QUARANTINE));
STATS_ATTRIBUTE(poison, emit_count(buf, STATS_POISON));
STATS_ATTRIBUTE(ask, emit_count(buf, STATS_ASK));
STATS_ATTRIBUTE(wait, emit_count(buf, STATS_WAIT));
STATS_ATTRIBUTE(served, emit_count(buf, STATS_SERVED));

static struct attribute *event_attributes[] = {
	&dev_attr_alloc.attr,
	&dev_attr_free.attr,
	&dev_attr_fault.attr,
	&dev_attr_quarantine.attr,
	&dev_attr_poison.attr,
	&dev_attr_ask.attr,
	&dev_attr_wait.attr,
	&dev_attr_served.attr,
	NULL
};

static const struct attribute_group event_group = {
	.name = "events",
	.attrs = event_attributes,
};

const struct attribute_group *stats_groups[] = {
	&pool_group,
	&event_group,
	NULL
};

/* How many pages of a range clients own or have in quarantine. */
static u64 pages_in_use(u64 first, u64 nr_pages)
{
	u64 end = first + nr_pages;
	u64 used = 0;

	for (; first < end; first++)
		used += owner_state(owner_read(&stats_registry->owners, first)) != OWNER_FREE;
	return used;
}

/*
 * The occupancy map: a line per 64 megablocks, a character for each: '.' free,
 * '#' in use, '0' to '9' the tenths of it that are in use, 'x' with a poisoned page,
 * '-' not there.
 */
static int map_show(struct seq_file *file, void *unused)
{
	u64 nr_pages = stats_registry->pool->nr_pages;
	u64 first, pages, used;

	for (first = 0; first < nr_pages; first += pages) {
		pages = min_t(u64, nr_pages - first, SPAN_MAP_MEGABLOCK_PAGES);
		used = pages_in_use(first, pages);
		if (!(first % (64 * SPAN_MAP_MEGABLOCK_PAGES)))
			seq_printf(file, "%s%10llu ", first ? "\n" : "", first);
		if (!pool_block(stats_registry->pool, first))
			seq_putc(file, '-');
		else if (pool_block_is_poisoned(stats_registry->pool, first))
			seq_putc(file, 'x');
		else if (!used || used == pages)
			seq_putc(file, used ? '#' : '.');
		else
			seq_putc(file, '0' + (int)used * 10 / (int)pages);
		cond_resched();
	}
	seq_putc(file, '\n');
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(map);

/* For tests: looks at free pages, which cannot be had meanwhile. */
static int check_show(struct seq_file *file, void *unused)
{
	u64 checked;
	u64 faults = pool_check(stats_registry->pool, &checked);

	seq_printf(file, "%llu of %llu free pages are not as they came\n", faults, checked);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(check);

/**
 * stats_init() - show the debugfs files and let the sysfs ones be read
 * @registry: what they tell of
 */
void stats_init(struct registry *registry)
{
	stats_registry = registry;
	stats_directory = debugfs_create_dir(KBUILD_MODNAME, NULL);
	debugfs_create_file("map", 0400, stats_directory, NULL, &map_fops);
	debugfs_create_file("check", 0400, stats_directory, NULL, &check_fops);
}

/** stats_exit() - remove the debugfs files. */
void stats_exit(void)
{
	debugfs_remove(stats_directory);
}
