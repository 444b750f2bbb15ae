// SPDX-License-Identifier: GPL-2.0-only
/*
 * The window: mmap of the device, faults in it, and populating it ahead of them.
 *
 * Offset is page index, in every mapping of every client.  Each client has an
 * address space of its own, so that a free zaps that client's mappings and
 * nobody else's; unmap_mapping_range() finds them in every process, children
 * that undid VM_DONTCOPY included.  An address space needs an inode, and the
 * inode a file system: an internal one, pinned while a client is open.
 *
 * Pages of the running system are mapped by reference, ZONE_DEVICE pages by
 * devmap entries that hold none; a megablock of those that the client owns whole
 * gets one 2 MiB entry.
 */
#include <linux/mount.h>
#include <linux/pfn.h>
#include <linux/pfn_t.h>
#include <linux/pseudo_fs.h>

#include "client.h"
#include "compat.h"
#include "mapping.h"
#include "stats.h"

#define PAGESPAN_MAGIC	0x70737061	/* "pspa" */

/* Pages mapped by reference in one call. */
#define POPULATE_BATCH	64

static const struct vm_operations_struct mapping_vm_ops;

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
 * S_DAX is what makes Linux 6.1 offer huge faults to a driver.
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
	inode->i_flags |= S_DAX;
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

static pfn_t devmap_pfn(struct page *page)
{
	return phys_to_pfn_t(PFN_PHYS(page_to_pfn(page)), PFN_DEV | PFN_MAP);
}

static vm_fault_t mapping_fault(struct vm_fault *vmf)
{
	struct client *client = vmf->vma->vm_private_data;
	struct pool *pool = client->registry->pool;
	struct page *page;
	vm_fault_t ret;

	if (vmf->pgoff >= pool->nr_pages)
		return VM_FAULT_SIGBUS;
	page = pool_page(pool, vmf->pgoff);
	down_read(&client->lock);
	if (!client_owns(client, vmf->pgoff, 1))
		ret = VM_FAULT_SIGBUS;
	else if (pool->source->zone_device)
		ret = vmf_insert_mixed(vmf->vma, vmf->address, devmap_pfn(page));
	else
		ret = vmf_insert_page(vmf->vma, vmf->address, page);
	up_read(&client->lock);
	if (ret == VM_FAULT_NOPAGE)
		stats_count(STATS_FAULT, fault, client->id, vmf->pgoff, 1);
	return ret;
}

/* The entry for an address in the table of 2 MiB entries, NULL if there is no such table. */
static pmd_t *find_pmd(struct mm_struct *mm, unsigned long address)
{
	pgd_t *pgd = pgd_offset(mm, address);
	p4d_t *p4d;
	pud_t *pud;

	if (pgd_none(*pgd) || pgd_bad(*pgd))
		return NULL;
	p4d = p4d_offset(pgd, address);
	if (p4d_none(*p4d) || p4d_bad(*p4d))
		return NULL;
	pud = pud_offset(p4d, address);
	if (pud_none(*pud) || pud_bad(*pud))
		return NULL;
	return pmd_offset(pud, address);
}

#ifdef CONFIG_TRANSPARENT_HUGEPAGE
/*
 * Whether a 2 MiB entry can be made at an address, and for which page. The
 * answer does not depend on who owns the pages.
 */
static bool huge_slot(struct client *client, struct vm_area_struct *vma, unsigned long address,
		      u64 *first)
{
	struct pool *pool = client->registry->pool;

	if (!pool->huge || address < vma->vm_start || vma->vm_end - address < PMD_SIZE)
		return false;
	*first = vma->vm_pgoff + ((address - vma->vm_start) >> PAGE_SHIFT);
	return IS_ALIGNED(*first, HPAGE_PMD_NR) && pool_contains(pool, *first, HPAGE_PMD_NR);
}

static COMPAT_HUGE_FAULT(mapping_huge_fault)
{
	struct client *client = vmf->vma->vm_private_data;
	vm_fault_t ret = VM_FAULT_FALLBACK;
	u64 first;

	if (!compat_is_pmd(size) || !huge_slot(client, vmf->vma, vmf->address & PMD_MASK, &first))
		return VM_FAULT_FALLBACK;
	down_read(&client->lock);
	if (client_owns(client, first, HPAGE_PMD_NR))
		ret = vmf_insert_pfn_pmd(vmf, devmap_pfn(pool_page(client->registry->pool, first)),
					 vmf->flags & FAULT_FLAG_WRITE);
	up_read(&client->lock);
	if (ret == VM_FAULT_NOPAGE)
		stats_count(STATS_FAULT, fault, client->id, first, HPAGE_PMD_NR);
	return ret;
}

/*
 * Maps one megablock by a 2 MiB entry, if its slot takes one. What makes upper
 * tables is not exported; where they are missing a fault makes them on its way
 * to being refused, for the pages are not published yet.
 */
static bool populate_huge(struct client *client, struct vm_area_struct *vma, unsigned long address,
			  u64 nr_pages)
{
	struct vm_fault vmf = {
		.vma = vma,
		.address = address,
		.flags = FAULT_FLAG_WRITE,
	};
	u64 first;

	if (nr_pages < HPAGE_PMD_NR || !IS_ALIGNED(address, PMD_SIZE) ||
	    !huge_slot(client, vma, address, &first))
		return false;
	vmf.pmd = find_pmd(vma->vm_mm, address);
	if (!vmf.pmd) {
		handle_mm_fault(vma, address, FAULT_FLAG_WRITE, NULL);
		vmf.pmd = find_pmd(vma->vm_mm, address);
	}
	if (!vmf.pmd || !pmd_none(*vmf.pmd))
		return false;
	return vmf_insert_pfn_pmd(&vmf, devmap_pfn(pool_page(client->registry->pool, first)),
				  true) == VM_FAULT_NOPAGE;
}
#else
static bool populate_huge(struct client *client, struct vm_area_struct *vma, unsigned long address,
			  u64 nr_pages)
{
	return false;
}
#endif

/**
 * struct devmap_range - where populate_devmap_entry() is
 * @vma: the mapping
 * @pfn: page frame that belongs to the start of @vma
 */
struct devmap_range {
	struct vm_area_struct *vma;
	unsigned long pfn;
};

/* Maps one page, unless a racing fault has. */
static int populate_devmap_entry(pte_t *entry, unsigned long address, void *data)
{
	const struct devmap_range *range = data;
	struct vm_area_struct *vma = range->vma;
	unsigned long pfn = range->pfn + ((address - vma->vm_start) >> PAGE_SHIFT);

	if (pte_none(*entry))
		set_pte_at(vma->vm_mm, address, entry,
			   pte_mkyoung(pte_mkdirty(pte_mkdevmap(pfn_pte(pfn, vma->vm_page_prot)))));
	return 0;
}

/* For pages below one entry of the table of 2 MiB entries. */
static int populate_devmap(struct client *client, struct vm_area_struct *vma,
			   unsigned long address, u64 nr_pages)
{
	struct devmap_range range = {
		.vma = vma,
		.pfn = client->registry->pool->base_pfn + vma->vm_pgoff,
	};
	unsigned long end = address + (nr_pages << PAGE_SHIFT);
	struct mm_struct *mm = vma->vm_mm;

	if (compat_apply_to_ptes(mm, find_pmd(mm, address), address, end, populate_devmap_entry,
				 &range))
		return 0;
	return apply_to_page_range(mm, address, end - address, populate_devmap_entry, &range);
}

/* An entry that a racing fault has made is as good as ours. */
static int populate_by_reference(struct client *client, struct vm_area_struct *vma,
				 unsigned long address, u64 nr_pages)
{
	u64 first = vma->vm_pgoff + ((address - vma->vm_start) >> PAGE_SHIFT);
	struct page *pages[POPULATE_BATCH];

	while (nr_pages) {
		unsigned long batch = min_t(u64, nr_pages, POPULATE_BATCH);
		unsigned long left = batch;
		unsigned long i;
		int ret;

		for (i = 0; i < batch; i++)
			pages[i] = pool_page(client->registry->pool, first + i);
		ret = vm_insert_pages(vma, address, pages, &left);
		if (ret == -EBUSY)
			left--;
		else if (ret)
			return ret;
		batch -= left;
		address += batch << PAGE_SHIFT;
		first += batch;
		nr_pages -= batch;
	}
	return 0;
}

/* Maps what of the range one VMA covers; how many pages that is, 0 to give up. */
static u64 populate_vma(struct client *client, unsigned long address, u64 first, u64 nr_pages)
{
	struct vm_area_struct *vma = vma_lookup(current->mm, address);
	u64 part;
	int ret;

	if (!vma || vma->vm_ops != &mapping_vm_ops || vma->vm_private_data != client ||
	    !(vma->vm_flags & VM_WRITE) ||
	    vma->vm_pgoff + ((address - vma->vm_start) >> PAGE_SHIFT) != first)
		return 0;
	nr_pages = min_t(u64, nr_pages, (vma->vm_end - address) >> PAGE_SHIFT);
	if (populate_huge(client, vma, address, nr_pages))
		return PMD_SIZE >> PAGE_SHIFT;
	part = min_t(u64, nr_pages, (PMD_SIZE - (address & ~PMD_MASK)) >> PAGE_SHIFT);
	if (client->registry->pool->source->zone_device)
		ret = populate_devmap(client, vma, address, part);
	else
		ret = populate_by_reference(client, vma, address, part);
	return ret ? 0 : part;
}

/**
 * mapping_populate() - map a reserved span ahead of faults
 * @client: the client
 * @window: the address of index 0, a multiple of the page size
 * @first: index of the first page of spans from client_reserve()
 * @nr_pages: number of pages
 *
 * Maps what it can; the rest is left for faults. The span must not be published
 * yet, so that nobody can free it meanwhile.
 *
 * Context: process context; no lock held; takes mmap_lock.
 */
void mapping_populate(struct client *client, unsigned long window, u64 first, u64 nr_pages)
{
	struct mm_struct *mm = current->mm;
	u64 end = first + nr_pages;
	u64 part;

	if (mmap_read_lock_killable(mm))
		return;
	for (;;) {
		part = populate_vma(client, window + (first << PAGE_SHIFT), first, end - first);
		first += part;
		if (!part || first == end)
			break;
		cond_resched();
	}
	mmap_read_unlock(mm);
}

static const struct vm_operations_struct mapping_vm_ops = {
	.fault = mapping_fault,
#ifdef CONFIG_TRANSPARENT_HUGEPAGE
	.huge_fault = mapping_huge_fault,
#endif
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
	const struct pool *pool = client->registry->pool;

	if (!(vma->vm_flags & VM_MAYSHARE))
		return -EINVAL;
	if (vma->vm_flags & VM_EXEC)
		return -EACCES;
	if (!pool_contains(pool, vma->vm_pgoff, vma_pages(vma)))
		return -EINVAL;
	/*
	 * VM_MIXEDMAP is set here, not in a fault: inserting pages needs it and may
	 * not set it. VM_SEQ_READ keeps a zap from marking pages as accessed, which
	 * no reclaim will ever ask for.
	 */
	compat_vm_flags_mod(vma, VM_MIXEDMAP | VM_SEQ_READ | VM_DONTEXPAND | VM_DONTDUMP |
			    VM_DONTCOPY, VM_MAYEXEC);
	vma->vm_private_data = client;
	vma->vm_ops = &mapping_vm_ops;
	return 0;
}
