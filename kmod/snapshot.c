// SPDX-License-Identifier: GPL-2.0-only
/*
 * Snapshots, and with them fork().
 *
 *	page i of the pool:   owned by one client, and seen by any number of relatives
 *	a copy of page i:     of ordinary memory; seen by relatives, owned by none
 *
 *	a client sees at i:   its copy; or else the pool's page, if it owns it or may see it
 *	a client may write:   a copy that nobody else sees; a page that it owns and nobody
 *	                      else sees
 *
 * Whoever writes first makes it so: a relative that only sees a page gets a copy; the
 * owner gives those that see its page one copy together, and so keeps its pages where
 * they are, in one piece. If something holds the page, which at that time is a
 * reader's pin, the owner gets the copy and the page goes to a relative, for what is
 * pinned must not change. A page that its owner frees goes to a relative that sees it,
 * if there is one.
 *
 * fork(): a window has VM_WIPEONFORK, so that the kernel copies no entry, and calls
 * snapshot_open() for the child's window. mmap_lock is held for writing there, so that
 * no fault comes between. The child's window stays in the address space of the
 * parent's, for that is where dup_mmap() links it, but is of a file of the child's
 * own. Windows of a client in other processes keep operations without
 * page_mkwrite(), with which the kernel makes an entry writable by itself; so they are
 * never given one that is not.
 *
 * Read in Linux 6.1.192, 6.12 and 7.3: dup_mmap() calls open() before it takes a reference
 * to vm_file and links the window. Before 6.1.90 and in 6.2 to 6.8 it was after.
 */
#include <linux/anon_inodes.h>
#include <linux/file.h>
#include <linux/highmem.h>
#include <linux/memcontrol.h>
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>

#include "address_space.h"
#include "chardev.h"
#include "client.h"
#include "compat.h"
#include "era.h"
#include "mapping.h"
#include "snapshot.h"
#include "stats.h"

#define BLOCK_PAGES	SPAN_MAP_MEGABLOCK_PAGES

static struct client *client_of(struct view *view)
{
	return container_of(view, struct client, view);
}

static struct view *view_of(const struct vm_area_struct *vma)
{
	struct client *client = vma->vm_private_data;

	return &client->view;
}

/* ---- what a client sees ---------------------------------------------------- */

static bool sees(struct view *view, u64 index)
{
	const unsigned long *bits = xa_load(&view->seen, index / BLOCK_PAGES);

	return bits && test_bit(index % BLOCK_PAGES, bits);
}

/* The first relative that sees a page which somebody else owns; NULL if none does. */
static struct view *find_viewer(struct family *family, u64 index)
{
	struct view *view;

	list_for_each_entry(view, &family->relatives, siblings)
		if (sees(view, index))
			return view;
	return NULL;
}

static void see_no_more(struct view *view, u64 index)
{
	unsigned long *bits = xa_load(&view->seen, index / BLOCK_PAGES);

	clear_bit(index % BLOCK_PAGES, bits);
	view->nr_pages--;
}

/* How many relatives see a copy. */
static unsigned long copy_viewers(struct page *copy)
{
	return page_private(copy);
}

static void copy_put(struct page *copy)
{
	unsigned long viewers = page_private(copy) - 1;

	set_page_private(copy, viewers);
	if (viewers)
		return;
	copy->mapping = NULL;
	put_page(copy);
}

/*
 * What the client sees at an index, and whether it may be written as it is; NULL if
 * nothing. family->lock is held.
 */
static struct page *find_page(struct client *client, u64 index, bool *writable)
{
	struct view *view = &client->view;
	struct pool *pool = client->registry->pool;
	struct page *copy = xa_load(&view->copies, index);

	if (copy) {
		*writable = copy_viewers(copy) == 1;
		return copy;
	}
	if (sees(view, index)) {
		*writable = false;
		return pool_page(pool, index);
	}
	if (!client_owns(client, index, 1))
		return NULL;
	*writable = !find_viewer(view->family, index);
	return pool_page(pool, index);
}

/**
 * snapshot_sees() - whether a client sees a page that it does not own
 * @client: the client
 * @index: of the page
 *
 * Context: process context; no lock of the family held.
 * Return: true if it does, be it a copy.
 */
bool snapshot_sees(struct client *client, u64 index)
{
	struct view *view = &client->view;
	bool found;

	if (!view->family)
		return false;
	down_read(&view->family->lock);
	found = sees(view, index) || xa_load(&view->copies, index);
	up_read(&view->family->lock);
	return found;
}

/* Takes pages out of the windows of a client. */
static void zap_windows(struct view *view, u64 first, u64 nr_pages)
{
	struct client *client = container_of(view, struct client, view);

	if (client->window)
		unmap_mapping_pages(client->window, first, nr_pages, true);
	if (view->home && view->home != client->window)
		unmap_mapping_pages(view->home, first, nr_pages, true);
}

/* ---- writing what others see ----------------------------------------------- */

/* Of ordinary memory, charged to the cgroup of whom it is for. */
static struct page *copy_alloc(struct view *view)
{
	struct mem_cgroup *old = set_active_memcg(view->memcg);
	struct page *copy = alloc_page(GFP_HIGHUSER | __GFP_ACCOUNT);

	set_active_memcg(old);
	if (copy)
		set_page_private(copy, 0);
	return copy;
}

/* A futex in it has a name of this client's. */
static void copy_place(struct page *copy, struct client *client, u64 index)
{
	copy->mapping = client->registry->pool->mapping;
	address_space_place(copy, index, client->id);
}

/* Room for a copy; what follows cannot fail then. */
static int copy_prepare(struct view *view, u64 index)
{
	return xa_reserve(&view->copies, index, GFP_KERNEL_ACCOUNT);
}

static void copy_give(struct view *view, u64 index, struct page *copy)
{
	set_page_private(copy, page_private(copy) + 1);
	xa_store(&view->copies, index, copy, GFP_NOWAIT);
	view->nr_pages++;
}

/* Whether something holds a page of the pool besides its entries and @nr_held of the caller's. */
static bool is_pinned(const struct pool *pool, u64 index, int nr_held)
{
	struct page *page = pool_page(pool, index);

	if (pool_is_folio(pool, index))
		return pool_folio_is_pinned(pool, round_down(index, BLOCK_PAGES));
	return page_ref_count(page) - nr_held >
	       1 + atomic_read(&page->_mapcount) - ERA_UNMAPPED;
}

static bool block_is_seen(struct family *family, u64 first)
{
	const unsigned long *bits;
	struct view *view;

	list_for_each_entry(view, &family->relatives, siblings) {
		bits = xa_load(&view->seen, first / BLOCK_PAGES);
		if (bits && !bitmap_empty(bits, BLOCK_PAGES))
			return true;
	}
	return false;
}

/*
 * Makes the pages of a megablock pages of order 0, if they are a folio: those of one go to
 * one client or none. False if something holds it; then its pages go to nobody.
 */
static bool take_apart(struct family *family, struct pool *pool, u64 index)
{
	u64 first = round_down(index, BLOCK_PAGES);
	struct view *view;

	if (!pool_is_folio(pool, first))
		return true;
	list_for_each_entry(view, &family->relatives, siblings)
		zap_windows(view, first, BLOCK_PAGES);
	return era_take_apart(pool, first);
}

/* Makes a page that one client owns another's, who sees it. */
static void pass_on(struct client *owner, struct view *heir, u64 index)
{
	struct client *client = client_of(heir);
	struct registry *registry = owner->registry;

	see_no_more(heir, index);
	account_charge(&client->account, 1);
	holding_add(&client->holding, index, 1);
	atomic64_inc(&client->nr_owned);
	owner_write(&registry->owners, index, 1, owner_word(client->id, OWNER_OWNED));
	holding_add(&owner->holding, index, -1);
	atomic64_dec(&owner->nr_owned);
	account_refund(&owner->account, 1);
	address_space_place(pool_page(registry->pool, index), index, client->id);
}

/* What relatives see of a broken page is lost to them. */
static void lose(struct family *family, u64 index)
{
	struct view *view;

	while ((view = find_viewer(family, index)))
		see_no_more(view, index);
}

/* The owner's part of unshare(). */
static int unshare_owned(struct client *client, u64 index, struct page *copy, int nr_held)
{
	struct family *family = client->view.family;
	struct pool *pool = client->registry->pool;
	struct view *view, *heir = find_viewer(family, index);
	struct page *page = pool_page(pool, index);
	bool apart;
	int ret;

	if (!heir)
		return 0;
	if (PageHWPoison(page)) {
		lose(family, index);
		return 0;
	}
	apart = take_apart(family, pool, index);
	list_for_each_entry(view, &family->relatives, siblings) {
		if (!sees(view, index))
			continue;
		ret = copy_prepare(view, index);
		if (ret)
			return ret;
		zap_windows(view, index, 1);
	}
	if (apart && is_pinned(pool, index, nr_held)) {
		ret = copy_prepare(&client->view, index) ?:
		      holding_prepare(&client_of(heir)->holding, index, 1);
		if (ret)
			return ret;
		copy_highpage(copy, page);
		copy_place(copy, client, index);
		pass_on(client, heir, index);
		copy_give(&client->view, index, copy);
		zap_windows(&client->view, index, 1);
		return 0;
	}
	copy_highpage(copy, page);
	copy_place(copy, client_of(heir), index);
	list_for_each_entry(view, &family->relatives, siblings) {
		if (!sees(view, index))
			continue;
		see_no_more(view, index);
		copy_give(view, index, copy);
	}
	return 0;
}

/* A relative's part of it: it sees a page or a copy that is not its alone. */
static int unshare_seen(struct client *client, u64 index, struct page *copy)
{
	struct view *view = &client->view;
	struct page *from = xa_load(&view->copies, index);
	int ret;

	if (from && copy_viewers(from) == 1) {
		copy_place(from, client, index);
		return 0;
	}
	ret = copy_prepare(view, index);
	if (ret)
		return ret;
	copy_highpage(copy, from ?: pool_page(client->registry->pool, index));
	copy_place(copy, client, index);
	zap_windows(view, index, 1);
	if (from) {
		view->nr_pages--;
		copy_put(from);
	} else {
		see_no_more(view, index);
	}
	copy_give(view, index, copy);
	return 0;
}

/*
 * Makes what a client sees at an index its own to write. Whatever changes meanwhile, who
 * called looks again.
 */
static int unshare(struct client *client, u64 index, int nr_held)
{
	struct view *view = &client->view, *payer = view;
	struct family *family = view->family;
	struct page *copy;
	int ret = 0;

	down_read(&family->lock);
	if (!sees(view, index) && !xa_load(&view->copies, index))
		payer = find_viewer(family, index) ?: view;
	copy = copy_alloc(payer);
	up_read(&family->lock);
	if (!copy)
		return -ENOMEM;
	down_write(&family->lock);
	if (sees(view, index) || xa_load(&view->copies, index))
		ret = unshare_seen(client, index, copy);
	else if (client_owns(client, index, 1))
		ret = unshare_owned(client, index, copy, nr_held);
	up_write(&family->lock);
	if (!copy_viewers(copy))
		put_page(copy);
	return ret;
}

/**
 * snapshot_unshare() - make pages that a client owns its own to write
 * @client: the client
 * @first: index of the first page
 * @nr_pages: how many
 *
 * A fork may make them shared again at once.
 *
 * Context: process context; no lock held.
 * Return: 0 or -ENOMEM.
 */
int snapshot_unshare(struct client *client, u64 first, u64 nr_pages)
{
	u64 index;
	int ret = 0;

	if (!READ_ONCE(client->view.family))
		return 0;
	for (index = first; index < first + nr_pages && !ret; index++) {
		if (snapshot_is_shared(client, index, 1))
			ret = unshare(client, index, 0);
		if (!(index % BLOCK_PAGES))
			cond_resched();
	}
	return ret;
}

/**
 * snapshot_is_shared() - whether a relative sees a page
 * @client: who owns the pages
 * @first: index of the first page
 * @nr_pages: how many
 *
 * Context: hold client->lock if the answer must stay false.
 * Return: true if one is seen.
 */
bool snapshot_is_shared(struct client *client, u64 first, u64 nr_pages)
{
	struct family *family = READ_ONCE(client->view.family);
	bool shared = false;
	u64 index;

	if (!family)
		return false;
	down_read(&family->lock);
	for (index = first; index < first + nr_pages && !shared; index++)
		shared = find_viewer(family, index);
	up_read(&family->lock);
	return shared;
}

/* Moves what a client sees as a copy to the page of the pool at that place, which it has reserved. */
static void settle_copy(struct client *client, u64 index, struct page *copy)
{
	struct registry *registry = client->registry;
	struct view *view = &client->view;

	copy_highpage(pool_page(registry->pool, index), copy);
	pool_place(registry->pool, index, 1, client->id);
	zap_windows(view, index, 1);
	xa_erase(&view->copies, index);
	view->nr_pages--;
	copy_put(copy);
	atomic64_inc(&client->nr_owned);
	holding_add(&client->holding, index, 1);
	owner_write(&registry->owners, index, 1, owner_word(client->id, OWNER_OWNED));
}

/**
 * snapshot_make_room() - see to it that pages which a client has reserved are at free places
 * @client: the client
 * @first: index of the first page; holding_prepare() was called for them
 * @nr_pages: how many
 *
 * A page at a place where the client sees a copy becomes that copy, and its own; what is
 * left is given back then. So there are less of these places each time.
 *
 * Context: process context; no lock held.
 * Return: 0 if all of them are at free places; how many are not, and then none is
 * reserved any more.
 */
int snapshot_make_room(struct client *client, u64 first, u64 nr_pages)
{
	struct view *view = &client->view;
	struct pool *pool = client->registry->pool;
	u64 index, run = first, nr_settled = 0;
	struct page *copy;

	down_write(&view->family->lock);
	for (index = first; index < first + nr_pages; index++) {
		copy = xa_load(&view->copies, index);
		if (!copy)
			continue;
		settle_copy(client, index, copy);
		if (index > run)
			pool_free(pool, run, index - run);
		run = index + 1;
		nr_settled++;
	}
	if (nr_settled && index > run)
		pool_free(pool, run, index - run);
	up_write(&view->family->lock);
	if (nr_settled)
		client_refund(client, nr_pages - nr_settled);
	return nr_settled;
}

/**
 * snapshot_zap() - take a page out of the windows of all relatives
 * @client: who owns it; hold no lock of the family
 * @index: of the page
 */
void snapshot_zap(struct client *client, u64 index)
{
	struct family *family = READ_ONCE(client->view.family);
	struct view *view;

	if (!family)
		return;
	down_write(&family->lock);
	list_for_each_entry(view, &family->relatives, siblings)
		zap_windows(view, index, 1);
	up_write(&family->lock);
}

/* ---- faults ------------------------------------------------------------------ */

/* Where an entry that is not writable stays so until snapshot_mkwrite() is asked. */
static bool may_protect(const struct vm_area_struct *vma)
{
	return vma->vm_ops == &snapshot_vm_ops;
}

/*
 * Maps what the client sees at the place of a fault.  An entry maps @mapped, not writable,
 * if that is not NULL, and the caller holds it @nr_held times; 0 is returned if it may
 * become writable as it is.
 */
static vm_fault_t serve(struct vm_fault *vmf, bool write, struct page *mapped, int nr_held)
{
	struct client *client = vmf->vma->vm_private_data;
	struct family *family = client->view.family;
	struct pool *pool = client->registry->pool;
	bool shared, writable;
	struct page *page;
	vm_fault_t ret;
	u64 index;

	if (vmf->pgoff >= pool->nr_pages)
		return VM_FAULT_SIGBUS;
	index = pool_clamp(pool, vmf->pgoff);
	write |= !may_protect(vmf->vma);
	for (;;) {
		down_read(&family->lock);
		page = find_page(client, index, &writable);
		shared = page && write && !writable && !PageHWPoison(page);
		if (shared)
			ret = 0;
		else if (!page)
			ret = VM_FAULT_SIGBUS;
		else if (PageHWPoison(page))
			ret = VM_FAULT_HWPOISON;
		else if (page == mapped)
			ret = 0;
		else if (pmd_leaf(READ_ONCE(*vmf->pmd)))
			ret = VM_FAULT_NOPAGE;
		else
			ret = era_insert_page(vmf, page, !page_private(page) &&
					      pool_is_device(pool, index), writable);
		up_read(&family->lock);
		if (!shared)
			return ret;
		if (unshare(client, index, nr_held))
			return VM_FAULT_OOM;
	}
}

/**
 * snapshot_fault() - a fault in a window of a client that has a family
 * @vmf: the fault
 *
 * Return: as a fault handler.
 */
vm_fault_t snapshot_fault(struct vm_fault *vmf)
{
	return serve(vmf, vmf->flags & FAULT_FLAG_WRITE, NULL, 0);
}

/* The kernel holds the page meanwhile if the entry does. */
static vm_fault_t snapshot_page_mkwrite(struct vm_fault *vmf)
{
	return serve(vmf, true, vmf->page, 1);
}

static vm_fault_t snapshot_pfn_mkwrite(struct vm_fault *vmf)
{
	return serve(vmf, true, pfn_to_page(pte_pfn(vmf->orig_pte)), 0);
}

#ifdef CONFIG_TRANSPARENT_HUGEPAGE
static bool sees_block(struct view *view, u64 first)
{
	const unsigned long *bits = xa_load(&view->seen, first / BLOCK_PAGES);

	return bits && bitmap_full(bits, BLOCK_PAGES);
}

/**
 * snapshot_huge_fault() - the same for an entry of 2 MiB
 * @vmf: the fault
 * @first: index of the first page of a megablock that can have one
 *
 * Return: as a fault handler.
 */
vm_fault_t snapshot_huge_fault(struct vm_fault *vmf, u64 first)
{
	struct client *client = vmf->vma->vm_private_data;
	struct family *family = client->view.family;
	struct pool *pool = client->registry->pool;
	bool write = vmf->flags & FAULT_FLAG_WRITE, writable = false, whole;
	vm_fault_t ret = VM_FAULT_FALLBACK;
	pmd_t slot;

	down_write(&family->lock);
	slot = READ_ONCE(*vmf->pmd);
	whole = sees_block(&client->view, first);
	if (client_owns(client, first, HPAGE_PMD_NR)) {
		whole = true;
		writable = !block_is_seen(family, first);
	}
	if (whole && (writable || (!write && may_protect(vmf->vma))) && pool_is_huge(pool, first) &&
	    (pmd_none(slot) || pmd_leaf(slot))) {
		WRITE_ONCE(client->had_huge, true);
		ret = era_insert_huge_page(vmf, pool, first, write, writable);
	}
	up_write(&family->lock);
	return ret;
}
#endif

/* ---- taking one ---------------------------------------------------------------- */

static struct family *family_create(void)
{
	struct family *family = kzalloc(sizeof(*family), GFP_KERNEL_ACCOUNT);

	if (!family)
		return NULL;
	init_rwsem(&family->lock);
	INIT_LIST_HEAD(&family->relatives);
	return family;
}

static void join(struct client *client, struct family *family)
{
	client->view.family = family;
	list_add_tail(&client->view.siblings, &family->relatives);
	refcount_inc(&family->refs);
}

/* The family of a client, which it gets if it has none. */
static struct family *family_of(struct client *client)
{
	struct family *family;

	if (READ_ONCE(client->view.family))
		return client->view.family;
	family = family_create();
	if (!family)
		return NULL;
	down_write(&client->lock);
	if (client->view.family) {
		kfree(family);
	} else {
		refcount_set(&family->refs, 1);
		INIT_LIST_HEAD(&family->relatives);
		list_add_tail(&client->view.siblings, &family->relatives);
		client->view.family = family;
	}
	up_write(&client->lock);
	return client->view.family;
}

/* The bits of a megablock, which are made if there are none. */
static unsigned long *bits_of(struct view *view, u64 block)
{
	unsigned long *bits = xa_load(&view->seen, block);

	if (bits)
		return bits;
	bits = bitmap_zalloc(BLOCK_PAGES, GFP_KERNEL_ACCOUNT);
	if (bits && xa_is_err(xa_store(&view->seen, block, bits, GFP_KERNEL_ACCOUNT))) {
		bitmap_free(bits);
		return NULL;
	}
	return bits;
}

static int see_owned(struct view *view, struct client *parent)
{
	const struct owner_table *owners = &parent->registry->owners;
	u64 nr_pages = parent->registry->pool->nr_pages;
	u64 owned = owner_word(parent->id, OWNER_OWNED);
	unsigned long *bits;
	u64 index, end, run;

	for (index = holding_next(&parent->holding, 0); index != U64_MAX;
	     index = holding_next(&parent->holding, end)) {
		end = min(round_down(index, BLOCK_PAGES) + BLOCK_PAGES, nr_pages);
		bits = bits_of(view, index / BLOCK_PAGES);
		if (!bits)
			return -ENOMEM;
		for (; index < end; index += run) {
			index += owner_run_not(owners, index, end - index, owned);
			run = index < end ? owner_run(owners, index, end - index, owned) : 0;
			bitmap_set(bits, index % BLOCK_PAGES, run);
			view->nr_pages += run;
		}
		if (end >= nr_pages)
			break;
	}
	return 0;
}

static int see_seen(struct view *view, struct view *parent)
{
	unsigned long *from, *bits;
	struct page *copy;
	unsigned long i;
	int ret;

	xa_for_each(&parent->seen, i, from) {
		bits = bits_of(view, i);
		if (!bits)
			return -ENOMEM;
		bitmap_or(bits, bits, from, BLOCK_PAGES);
		view->nr_pages += bitmap_weight(from, BLOCK_PAGES);
	}
	xa_for_each(&parent->copies, i, copy) {
		ret = copy_prepare(view, i);
		if (ret)
			return ret;
		copy_give(view, i, copy);
	}
	return 0;
}

/* Copies at once what is pinned: what a device writes shows in no entry. */
static int copy_pinned(struct view *view, struct client *parent)
{
	struct pool *pool = parent->registry->pool;
	unsigned long *bits, block, i;
	struct page *copy;
	u64 index;
	int ret;

	xa_for_each(&view->seen, block, bits)
		for_each_set_bit(i, bits, BLOCK_PAGES) {
			index = block * BLOCK_PAGES + i;
			if (!is_pinned(pool, index, 0))
				continue;
			ret = copy_prepare(view, index);
			if (ret)
				return ret;
			copy = copy_alloc(view);
			if (!copy)
				return -ENOMEM;
			copy_highpage(copy, pool_page(pool, index));
			copy_place(copy, client_of(view), index);
			see_no_more(view, index);
			copy_give(view, index, copy);
		}
	return 0;
}

static void protect(struct vm_area_struct *vma)
{
	vma->vm_ops = &snapshot_vm_ops;
	WRITE_ONCE(vma->vm_page_prot, vm_get_page_prot(vma->vm_flags & ~VM_SHARED));
}

/*
 * Makes every fault that writes come here, in this process; true if all windows of the
 * client are in it. mmap_lock is held for writing.
 */
static bool protect_windows(const struct client *client)
{
	VMA_ITERATOR(vmas, current->mm, 0);
	struct vm_area_struct *vma;
	int nr_windows = 0;

	for_each_vma(vmas, vma) {
		if (mapping_client(vma) != client)
			continue;
		compat_vma_start_write(vma);
		protect(vma);
		nr_windows++;
	}
	return nr_windows == atomic_read(&client->view.nr_windows);
}

/*
 * Makes no entry of a client writable. Entries of 4 KiB stay where they are, if all its
 * windows keep them as they are; it is not done for those of 2 MiB.
 */
static void write_protect(struct client *client, const struct view *seen, bool keep)
{
	struct pool *pool = client->registry->pool;
	unsigned long block;
	void *bits;
	u64 first;

	if (!keep || !IS_ENABLED(CONFIG_MAPPING_DIRTY_HELPERS)) {
		zap_windows(&client->view, 0, 0);
		return;
	}
	xa_for_each((struct xarray *)&seen->seen, block, bits) {
		first = block * BLOCK_PAGES;
		if (pool_is_folio(pool, first) || pool_is_mapped(pool, first))
			zap_windows(&client->view, first, BLOCK_PAGES);
		else
			compat_wp_mapping(client->window, first, BLOCK_PAGES);
	}
	xa_for_each(&client->view.copies, block, bits)
		zap_windows(&client->view, block, 1);
}

/* What the parent sees, the child does from now on; and no entry of either is writable. */
static int share(struct client *parent, struct client *child)
{
	struct family *family = parent->view.family;
	bool keep = protect_windows(parent);
	int ret;

	down_write(&family->lock);
	down_write(&parent->lock);
	ret = see_owned(&child->view, parent) ?: see_seen(&child->view, &parent->view);
	up_write(&parent->lock);
	join(child, family);
	write_protect(parent, &child->view, keep && !ret && parent->window != parent->view.home);
	if (!ret && (compat_mm_has_pinned(current->mm) || READ_ONCE(parent->had_export)))
		ret = copy_pinned(&child->view, parent);
	up_write(&family->lock);
	return ret;
}

/* A client that sees what another does, with a file that maps an address space. */
static struct file *create_relative(struct client *parent, struct address_space *mapping)
{
	struct client *child;
	struct file *file;

	if (!family_of(parent))
		return ERR_PTR(-ENOMEM);
	child = client_create(parent->registry, NULL, mapping);
	if (IS_ERR(child))
		return ERR_CAST(child);
	child->view.memcg = get_mem_cgroup_from_mm(current->mm);
	file = chardev_create_file(child, mapping);
	if (IS_ERR(file)) {
		client_destroy(child);
		return file;
	}
	child->file = file;
	return file;
}

/* The child of a client in a process, if it has been made already for another window. */
static struct client *find_child(const struct client *parent, const struct mm_struct *mm)
{
	struct family *family = READ_ONCE(parent->view.family);
	struct client *found = NULL;
	struct view *view;

	if (!family)
		return NULL;
	down_read(&family->lock);
	list_for_each_entry(view, &family->relatives, siblings)
		if (view->mm == mm && view->parent == parent->id)
			found = client_of(view);
	up_read(&family->lock);
	return found;
}

static struct client *fork_client(struct client *parent, struct mm_struct *mm)
{
	struct client *child = find_child(parent, mm);
	struct file *file;
	int ret;

	if (child)
		return child;
	file = create_relative(parent, parent->window);
	if (IS_ERR(file))
		return ERR_CAST(file);
	address_space_hold(parent->window);
	child = file->private_data;
	child->view.home = parent->window;
	child->view.home_file = file;
	child->view.mm = mm;
	child->view.parent = parent->id;
	ret = share(parent, child);
	if (ret) {
		fput(file);
		return ERR_PTR(ret);
	}
	return child;
}

/* A window that could not be inherited: whatever is touched there raises SIGBUS. */
static const struct vm_operations_struct lost_vm_ops = { };

/**
 * snapshot_open() - a window comes to be besides another: split, moved, or inherited
 * @vma: the new one
 */
void snapshot_open(struct vm_area_struct *vma)
{
	struct client *parent = vma->vm_private_data;
	struct vm_area_struct *old;
	struct client *child;

	if (vma->vm_mm == current->mm) {
		atomic_inc(&parent->view.nr_windows);
		if (vma->vm_file == parent->view.home_file)
			atomic_inc(&parent->view.nr_home);
		return;
	}
	vma->vm_ops = &lost_vm_ops;
	vma->vm_private_data = NULL;
	old = vma_lookup(current->mm, vma->vm_start);
	if (!old || old->vm_private_data != parent || old->vm_file->f_mapping != parent->window)
		return;
	child = fork_client(parent, vma->vm_mm);
	if (IS_ERR(child))
		return;
	protect(vma);
	vma->vm_private_data = child;
	vma->vm_file = child->view.home_file;
	atomic_inc(&child->view.nr_home);
	atomic_inc(&child->view.nr_windows);
}

/**
 * snapshot_close() - a window goes
 * @vma: the window
 */
void snapshot_close(struct vm_area_struct *vma)
{
	struct client *client = vma->vm_private_data;
	struct view *view = &client->view;

	atomic_dec(&view->nr_windows);
	if (vma->vm_file != view->home_file || !atomic_dec_and_test(&view->nr_home))
		return;
	WRITE_ONCE(view->mm, NULL);
	fput(view->home_file);
}

const struct vm_operations_struct snapshot_vm_ops = {
	.open = snapshot_open,
	.close = snapshot_close,
	.fault = mapping_fault,
#ifdef CONFIG_TRANSPARENT_HUGEPAGE
	.huge_fault = mapping_huge_fault,
#endif
	.page_mkwrite = snapshot_page_mkwrite,
	.pfn_mkwrite = snapshot_pfn_mkwrite,
};

/* ---- giving pages up ----------------------------------------------------------- */

static bool sees_all(struct client *client, u64 first, u64 nr_pages)
{
	bool writable;
	u64 index;

	for (index = first; index < first + nr_pages; index++)
		if (!find_page(client, index, &writable))
			return false;
	return true;
}

/*
 * A page that its owner gives up goes to a relative that sees it. What is pinned stays,
 * for a device may write to it, and those who see it get a copy.
 */
static bool give_to_relative(struct client *client, u64 index)
{
	struct view *heir = find_viewer(client->view.family, index);
	struct pool *pool = client->registry->pool;
	struct page *copy;

	if (!heir)
		return false;
	if (PageHWPoison(pool_page(client->registry->pool, index))) {
		lose(client->view.family, index);
		return false;
	}
	if (!pool_is_folio(pool, index) && !is_pinned(pool, index, 0) &&
	    !holding_prepare(&client_of(heir)->holding, index, 1)) {
		pass_on(client, heir, index);
		return true;
	}
	copy = copy_alloc(heir);
	if (copy && !unshare_owned(client, index, copy, 0) && copy_viewers(copy))
		return false;
	if (copy)
		put_page(copy);
	/* Without memory they have lost it, as they would for any page. */
	lose(client->view.family, index);
	return false;
}

static void forget_page(struct client *client, u64 index)
{
	struct view *view = &client->view;
	struct page *copy = xa_erase(&view->copies, index);

	if (copy) {
		copy_put(copy);
		view->nr_pages--;
	} else {
		see_no_more(view, index);
	}
}

/**
 * snapshot_give_up() - what a client sees of some pages it does no more
 * @client: the client
 * @first: index of the first page
 * @nr_pages: how many, of one megablock
 * @left: a bit for each page of the megablock that it owned and nobody else sees; those
 *	have left it, as for settle()
 *
 * Context: process context; no lock held.
 */
void snapshot_give_up(struct client *client, u64 first, u64 nr_pages, unsigned long *left)
{
	struct family *family = client->view.family;
	struct owner_table *owners = &client->registry->owners;
	u64 owned = owner_word(client->id, OWNER_OWNED);
	u64 index;

	bitmap_zero(left, BLOCK_PAGES);
	down_write(&family->lock);
	down_write(&client->lock);
	zap_windows(&client->view, first, nr_pages);
	if (nr_pages < BLOCK_PAGES || block_is_seen(family, first))
		take_apart(family, client->registry->pool, first);
	for (index = first; index < first + nr_pages; index++) {
		if (owner_read(owners, index) != owned) {
			if (sees(&client->view, index) || xa_load(&client->view.copies, index))
				forget_page(client, index);
			continue;
		}
		if (give_to_relative(client, index))
			continue;
		owner_write(owners, index, 1, owner_word(client->id, OWNER_FREE));
		set_bit(index % BLOCK_PAGES, left);
	}
	up_write(&client->lock);
	up_write(&family->lock);
}

/**
 * snapshot_sees_all() - whether a client sees all of some pages
 * @client: a client that has a family
 * @first: index of the first page
 * @nr_pages: how many
 *
 * Return: true if it owns each, or sees a relative's or a copy.
 */
bool snapshot_sees_all(struct client *client, u64 first, u64 nr_pages)
{
	struct family *family = client->view.family;
	bool all;

	down_read(&family->lock);
	all = sees_all(client, first, nr_pages);
	up_read(&family->lock);
	return all;
}

/**
 * snapshot_view_init() - of a client that is alone
 * @view: its view, zeroed
 */
void snapshot_view_init(struct view *view)
{
	xa_init(&view->seen);
	xa_init(&view->copies);
	INIT_LIST_HEAD(&view->siblings);
}

/* What is left to relatives of what a client owned. */
static void bequeath(struct client *client)
{
	u64 nr_pages = client->registry->pool->nr_pages;
	u64 owned = owner_word(client->id, OWNER_OWNED);
	u64 index, end;

	if (list_empty(&client->view.family->relatives))
		return;
	for (index = holding_next(&client->holding, 0); index != U64_MAX;
	     index = holding_next(&client->holding, end)) {
		end = min(round_down(index, BLOCK_PAGES) + BLOCK_PAGES, nr_pages);
		if (block_is_seen(client->view.family, index))
			take_apart(client->view.family, client->registry->pool, index);
		for (; index < end; index++)
			if (owner_read(&client->registry->owners, index) == owned)
				give_to_relative(client, index);
		if (end >= nr_pages)
			break;
	}
}

/**
 * snapshot_view_exit() - a client sees nothing any more
 * @client: that no window and no descriptor refers to; what relatives see of its
 *	pages is theirs afterwards
 *
 * Context: process context; no lock held.
 */
void snapshot_view_exit(struct client *client)
{
	struct view *view = &client->view;
	struct family *family = view->family;
	unsigned long i, *bits;
	struct page *copy;

	if (family) {
		down_write(&family->lock);
		list_del(&view->siblings);
		xa_for_each(&view->copies, i, copy)
			copy_put(copy);
		bequeath(client);
		up_write(&family->lock);
		if (refcount_dec_and_test(&family->refs))
			kfree(family);
	}
	xa_for_each(&view->seen, i, bits)
		bitmap_free(bits);
	xa_destroy(&view->seen);
	xa_destroy(&view->copies);
	if (view->memcg)
		mem_cgroup_put(view->memcg);
}

/**
 * snapshot_file_gone() - the file of some windows of a client is released
 * @client: the client
 * @file: its file
 */
void snapshot_file_gone(struct client *client, struct file *file)
{
	struct view *view = &client->view;

	if (!view->family)
		return;
	down_write(&view->family->lock);
	if (file == view->home_file) {
		view->home = NULL;
		view->home_file = NULL;
	} else if (client->window == file->f_mapping && view->home) {
		client->window = view->home;
		client->file = view->home_file;
	}
	up_write(&view->family->lock);
}

/* ---- ioctls ---------------------------------------------------------------------- */

static int install(struct file *file)
{
	int fd = get_unused_fd_flags(O_CLOEXEC);

	if (fd < 0)
		fput(file);
	else
		fd_install(fd, file);
	return fd;
}

/* The client whose inherited window is at an address, and a reference to its file. */
static struct file *get_home_file(unsigned long address)
{
	struct vm_area_struct *vma;
	struct file *file = NULL;

	mmap_read_lock(current->mm);
	vma = vma_lookup(current->mm, address);
	if (vma && vma->vm_ops == &snapshot_vm_ops &&
	    vma->vm_file == view_of(vma)->home_file)
		file = get_file(vma->vm_file);
	mmap_read_unlock(current->mm);
	return file;
}

/**
 * snapshot_adopt() - a descriptor of a client that a child of fork() has got
 * @address: in a window that this process inherited
 *
 * What is mapped of it is in an address space of its own, so that the child
 * leaves that of its parent by mapping its window anew.
 *
 * Return: the descriptor; -EINVAL if there is no such window; -EBUSY if the client has a
 * descriptor already; -errno.
 */
long snapshot_adopt(unsigned long address)
{
	struct file *home_file = get_home_file(address), *file = NULL;
	struct address_space *mapping;
	struct client *client;
	long ret = -EBUSY;

	if (!home_file)
		return -EINVAL;
	client = home_file->private_data;
	mapping = mapping_create(client->registry->pool->nr_pages);
	if (IS_ERR(mapping)) {
		ret = PTR_ERR(mapping);
		goto put;
	}
	down_write(&client->view.family->lock);
	if (client->window == client->view.home)
		file = chardev_create_file(client, mapping);
	if (!IS_ERR_OR_NULL(file)) {
		client->window = mapping;
		client->file = file;
	}
	up_write(&client->view.family->lock);
	if (IS_ERR_OR_NULL(file)) {
		mapping_destroy(mapping);
		ret = file ? PTR_ERR(file) : -EBUSY;
	} else {
		ret = install(file);
	}
put:
	fput(home_file);
	return ret;
}

/**
 * snapshot_take() - a descriptor of what a client sees at this moment
 * @client: the client
 *
 * Return: the descriptor, or -errno.
 */
long snapshot_take(struct client *client)
{
	struct address_space *mapping;
	struct file *file;
	int ret;

	mapping = mapping_create(client->registry->pool->nr_pages);
	if (IS_ERR(mapping))
		return PTR_ERR(mapping);
	file = create_relative(client, mapping);
	if (IS_ERR(file)) {
		mapping_destroy(mapping);
		return PTR_ERR(file);
	}
	ret = mmap_write_lock_killable(current->mm);
	if (!ret) {
		ret = share(client, file->private_data);
		mmap_write_unlock(current->mm);
	}
	if (ret) {
		fput(file);
		return ret;
	}
	return install(file);
}
