// SPDX-License-Identifier: GPL-2.0-only
/*
 * The window: mmap of the device, and faults in it.
 *
 * Offset is page index, in every mapping of every client.  Each client has an
 * address space of its own, so that a free zaps that client's mappings and
 * nobody else's; unmap_mapping_range() finds them in every process, children
 * that undid VM_DONTCOPY included.  An address space needs an inode, and the
 * inode a file system: an internal one, pinned while a client is open.
 */
#include <linux/mount.h>
#include <linux/pseudo_fs.h>

#include "client.h"
#include "compat.h"
#include "mapping.h"

#define PAGESPAN_MAGIC	0x70737061	/* "pspa" */

static struct vfsmount *mapping_mount;
static int mapping_mount_users;

static int mapping_init_fs_context(struct fs_context *fc)
{
	return init_pseudo(fc, PAGESPAN_MAGIC) ? 0 : -ENOMEM;
}

static struct file_system_type mapping_fs_type = {
	.name = "pagespan",
	.owner = THIS_MODULE,
	.init_fs_context = mapping_init_fs_context,
	.kill_sb = kill_anon_super,
};

/**
 * mapping_create() - make the address space of a client
 * @nr_pages: pages in the pool
 *
 * Return: the address space, ended by mapping_destroy(), or an ERR_PTR().
 */
struct address_space *mapping_create(u64 nr_pages)
{
	struct inode *inode;
	int ret;

	ret = simple_pin_fs(&mapping_fs_type, &mapping_mount, &mapping_mount_users);
	if (ret)
		return ERR_PTR(ret);
	inode = alloc_anon_inode(mapping_mount->mnt_sb);
	if (IS_ERR(inode)) {
		simple_release_fs(&mapping_mount, &mapping_mount_users);
		return ERR_CAST(inode);
	}
	i_size_write(inode, nr_pages << PAGE_SHIFT);
	return inode->i_mapping;
}

/**
 * mapping_destroy() - end an address space
 * @mapping: the address space, mapped by nobody
 */
void mapping_destroy(struct address_space *mapping)
{
	iput(mapping->host);
	simple_release_fs(&mapping_mount, &mapping_mount_users);
}

static vm_fault_t mapping_fault(struct vm_fault *vmf)
{
	struct client *client = vmf->vma->vm_private_data;
	vm_fault_t ret = VM_FAULT_SIGBUS;

	down_read(&client->lock);
	if (client_owns(client, vmf->pgoff))
		ret = vmf_insert_page(vmf->vma, vmf->address,
				      pool_page(client->registry->pool, vmf->pgoff));
	up_read(&client->lock);
	return ret;
}

static const struct vm_operations_struct mapping_vm_ops = {
	.fault = mapping_fault,
};

/**
 * mapping_mmap() - map a window
 * @client: the client, alive as long as the mapping's file
 * @vma: the mapping to be
 *
 * Return: 0; -EINVAL if the mapping is private or leaves the pool; -EACCES if
 * it is executable.
 */
int mapping_mmap(struct client *client, struct vm_area_struct *vma)
{
	u64 nr_pages = client->registry->pool->nr_pages;

	if (!(vma->vm_flags & VM_MAYSHARE))
		return -EINVAL;
	if (vma->vm_flags & VM_EXEC)
		return -EACCES;
	if (vma->vm_pgoff >= nr_pages || vma_pages(vma) > nr_pages - vma->vm_pgoff)
		return -EINVAL;
	/* Set here, not in a fault: inserting pages needs it and may not set it. */
	compat_vm_flags_mod(vma, VM_MIXEDMAP | VM_DONTEXPAND | VM_DONTDUMP | VM_DONTCOPY,
			    VM_MAYEXEC);
	vma->vm_private_data = client;
	vma->vm_ops = &mapping_vm_ops;
	return 0;
}
