/* SPDX-License-Identifier: GPL-2.0-only */
/* Snapshots: what a client owned at a moment, as a fork or PAGESPAN_SNAPSHOT takes it. */
#ifndef PAGESPAN_SNAPSHOT_H
#define PAGESPAN_SNAPSHOT_H

#include <linux/fs.h>
#include <linux/list.h>
#include <linux/mm.h>
#include <linux/rwsem.h>
#include <linux/xarray.h>

#include "span_map.h"

struct client;
struct mem_cgroup;

/**
 * struct family - the clients of which one is a snapshot of another
 * @refs: one for each
 * @lock: held for reading from the look at what a client sees to the making of an entry
 *	for it, for writing while that changes; see client.c for the order of locks
 * @relatives: the clients' views
 */
struct family {
	refcount_t refs;
	struct rw_semaphore lock;
	struct list_head relatives;
};

/**
 * struct view - what a client sees beside the pages that it owns
 * @family: its family; NULL, which is the rule, until it forks; then the same for ever.
 *	Written under client->lock for writing
 * @siblings: in family->relatives
 * @seen: by megablock, a bit for each page that it sees and another owns
 * @copies: by index, a page of ordinary memory that it sees instead of the pool's
 * @nr_pages: pages of both kinds
 * @memcg: who is charged for copies
 * @home: the address space of the windows that it inherited; NULL if it has none
 * @home_file: their file
 * @mm: the process that inherited them; NULL once they are gone
 * @parent: the id of the client that forked
 * @nr_home: how many of them there are
 * @nr_windows: how many windows it has, in whatever process
 *
 * All but the first under family->lock, and the last two, which are atomic.
 */
struct view {
	struct family *family;
	struct list_head siblings;
	struct xarray seen;
	struct xarray copies;
	u64 nr_pages;
	struct mem_cgroup *memcg;
	struct address_space *home;
	struct file *home_file;
	struct mm_struct *mm;
	u64 parent;
	atomic_t nr_home;
	atomic_t nr_windows;
};

void snapshot_view_init(struct view *view);
void snapshot_view_exit(struct client *client);

void snapshot_open(struct vm_area_struct *vma);
void snapshot_close(struct vm_area_struct *vma);
vm_fault_t snapshot_fault(struct vm_fault *vmf);
vm_fault_t snapshot_huge_fault(struct vm_fault *vmf, u64 first);

void snapshot_give_up(struct client *client, u64 first, u64 nr_pages, unsigned long *left);
bool snapshot_sees(struct client *client, u64 index);
int snapshot_make_room(struct client *client, u64 first, u64 nr_pages);
int snapshot_unshare(struct client *client, u64 first, u64 nr_pages);
bool snapshot_is_shared(struct client *client, u64 first, u64 nr_pages);
void snapshot_zap(struct client *client, u64 index);
bool snapshot_sees_all(struct client *client, u64 first, u64 nr_pages);
long snapshot_adopt(unsigned long address);
long snapshot_take(struct client *client);
void snapshot_file_gone(struct client *client, struct file *file);

extern const struct vm_operations_struct snapshot_vm_ops;

#endif
