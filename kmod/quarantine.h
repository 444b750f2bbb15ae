/* SPDX-License-Identifier: GPL-2.0-only */
/* The quarantine: freed pages that something in the kernel still holds. */
#ifndef PAGESPAN_QUARANTINE_H
#define PAGESPAN_QUARANTINE_H

#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/spinlock.h>
#include <linux/types.h>
#include <linux/workqueue.h>

struct client;
struct registry;

/**
 * struct quarantine_block - the quarantined pages of a megablock
 * @siblings: in the quarantine's list, while there are any
 * @nr_pages: how many
 */
struct quarantine_block {
	struct list_head siblings;
	u32 nr_pages;
};

/**
 * struct quarantine - the quarantined pages of a pool
 * @lock: protects all but @walk_lock, @last_look and @work
 * @pages: a bit for each page of the pool, set while it is quarantined
 * @blocks: for each megablock how many those are
 * @used: the megablocks with any
 * @nr_used: how many those are
 * @nr_pages: of all of them; the module is held while it is not 0
 * @walk_lock: held while the pages are looked at
 * @delay: jiffies until the next look
 * @last_look: when the last one began
 * @work: looks at them
 */
struct quarantine {
	spinlock_t lock;	/* see client.c for the order of locks */
	unsigned long *pages;
	struct quarantine_block *blocks;
	struct list_head used;
	u64 nr_used;
	u64 nr_pages;
	struct mutex walk_lock;	/* see client.c for the order of locks */
	unsigned long delay;
	unsigned long last_look;
	struct delayed_work work;
};

int quarantine_init(struct registry *registry, u64 nr_pages);
void quarantine_exit(struct registry *registry);
void quarantine_add(struct client *client, u64 index);
bool quarantine_has(struct registry *registry, u64 index);
bool quarantine_look(struct registry *registry);
void quarantine_look_soon(struct registry *registry);
void quarantine_released(struct registry *registry, u64 first, u64 nr_pages);

#endif
