// SPDX-License-Identifier: GPL-2.0-only
/*
 * Address spaces, each with an inode on a file system of the module's own.
 *
 * Every client has one that its windows map, see mapping.c. The pool has one that
 * all its pages belong to, page->mapping, though nothing maps it: for the
 * kernel a shared futex is a word of an inode, and names it by the inode, the
 * place of the page there, page->index, and the offset in the page
 * (get_futex_key() in kernel/futex/core.c, 6.1 to 7.3). It cannot be a client's
 * address space, for a page may be pinned for longer than its client lives. What
 * else the kernel does by page->mapping comes to nothing: no page is in the page
 * cache, nothing maps this address space, and the operations of an anonymous
 * inode make a page dirty without a word to anybody.
 *
 * The file system is mounted while the module is loaded and would keep it from
 * being unloaded if it had an owner. It needs none: whoever has an inode here has
 * the device open.
 */
#include <linux/mount.h>
#include <linux/pseudo_fs.h>
#include <linux/sched.h>

#include "address_space.h"
#include "era.h"

#define PAGESPAN_MAGIC	0x70737061	/* "pspa" */

static struct vfsmount *address_space_mount;
static atomic_t nr_address_spaces;

static int address_space_init_fs_context(struct fs_context *fc)
{
	return init_pseudo(fc, PAGESPAN_MAGIC) ? 0 : -ENOMEM;
}

static struct file_system_type address_space_fs_type = {
	.name = "pagespan",
	.init_fs_context = address_space_init_fs_context,
	.kill_sb = kill_anon_super,
};

/**
 * address_space_init() - let address spaces be made
 *
 * Return: 0 or -errno.
 */
int address_space_init(void)
{
	address_space_mount = kern_mount(&address_space_fs_type);
	return PTR_ERR_OR_ZERO(address_space_mount);
}

/** address_space_exit() - undo address_space_init(), once there is none any more */
void address_space_exit(void)
{
	WARN_ON(atomic_read(&nr_address_spaces));
	kern_unmount(address_space_mount);
}

/**
 * address_space_create() - make one that nothing is in
 *
 * Return: the address space, ended by address_space_destroy(), or an ERR_PTR().
 */
struct address_space *address_space_create(void)
{
	struct inode *inode = alloc_anon_inode(address_space_mount->mnt_sb);

	if (IS_ERR(inode))
		return ERR_CAST(inode);
	atomic_inc(&nr_address_spaces);
	return inode->i_mapping;
}

/**
 * address_space_hold() - somebody else needs an address space
 * @mapping: the address space; each calls address_space_destroy()
 */
void address_space_hold(struct address_space *mapping)
{
	ihold(mapping->host);
	atomic_inc(&nr_address_spaces);
}

/**
 * address_space_destroy() - end an address space
 * @mapping: the address space, mapped by nobody and without pages
 */
void address_space_destroy(struct address_space *mapping)
{
	iput(mapping->host);
	atomic_dec(&nr_address_spaces);
}

static void write_mapping(unsigned long pfn, u64 nr_pages, struct address_space *mapping,
			  int mapcount)
{
	unsigned long end = pfn + nr_pages;

	for (; pfn < end; pfn++) {
		struct folio *folio = page_folio(pfn_to_page(pfn));

		folio->mapping = mapping;
		folio->index = 0;
		atomic_set(&folio->_mapcount, mapcount);
		if (!(pfn % SPAN_MAP_MEGABLOCK_PAGES))
			cond_resched();
	}
}

/**
 * address_space_add() - make pages belong to an address space
 * @mapping: the address space
 * @pfn: page frame of the first of them; they are of order 0, and nobody else's
 * @nr_pages: how many
 *
 * address_space_place() gives each its place.
 *
 * Context: process context; sleeps.
 */
void address_space_add(struct address_space *mapping, unsigned long pfn, u64 nr_pages)
{
	write_mapping(pfn, nr_pages, mapping, ERA_UNMAPPED);
}

/**
 * address_space_remove() - undo address_space_add()
 * @pfn: page frame of the first page; nobody maps or pins one
 * @nr_pages: how many
 *
 * The kernel takes no ordinary page back that belongs to an address space, or that
 * counts as mapped.
 *
 * Context: process context; sleeps.
 */
void address_space_remove(unsigned long pfn, u64 nr_pages)
{
	write_mapping(pfn, nr_pages, NULL, -1);
}
