// SPDX-License-Identifier: GPL-2.0-only
/*
 * Exporting owned pages as a dma-buf: other processes map it, drivers import it.
 *
 * The dma-buf holds a reference to each of its pages, so they are quarantined
 * like any pinned page if they are freed before it is released, and never
 * reassigned before. How many dma-bufs a page is in is counted, for PAGESPAN_QUERY
 * to tell.
 *
 * Whether it may be written is what its file says. A process can map the file no
 * other way then, but a driver that imports a dma-buf may map it for those who
 * have the driver's own file or write to it by its device: so both look at the file
 * too. The address, by which a driver could write itself, is for no read-only one.
 */
#include <linux/dma-buf.h>
#include <linux/dma-mapping.h>
#include <linux/iosys-map.h>
#include <linux/module.h>
#include <linux/scatterlist.h>
#include <linux/slab.h>

#include "client.h"
#include "compat.h"
#include "era.h"
#include "export.h"
#include "mapping.h"

/* Pages handled between two looks at the scheduler, and in one hold of client->lock. */
#define EXPORT_PIECE	512U

/**
 * struct export - the pages of one dma-buf
 * @registry: whose pages they are
 * @first: index of the first page
 * @nr_pages: number of pages
 * @lock: protects @imports
 * @imports: the pages as importers have them
 * @inode: of the dma-buf's file, whose address space its mappings are of
 * @siblings: in exports
 */
struct export {
	struct registry *registry;
	u64 first;
	u32 nr_pages;
	struct mutex lock;	/* innermost; held while caches are written back */
	struct list_head imports;

	struct inode *inode;
	struct list_head siblings;
};

/**
 * struct import - the pages as one importer has them
 * @siblings: in export->imports
 * @table: its scatter list, mapped
 * @device: the importer's
 * @direction: how it is mapped
 */
struct import {
	struct list_head siblings;
	struct sg_table table;
	struct device *device;
	enum dma_data_direction direction;
};

static LIST_HEAD(exports);
static DEFINE_MUTEX(exports_lock);	/* protects exports; held while mappings are zapped */

static struct page *export_page(const struct export *export, u32 i)
{
	return pool_page(export->registry->pool, export->first + i);
}

static atomic_t *export_count(const struct export *export, u32 i)
{
	return &export->registry->pool->exports[export->first + i];
}

static bool is_writable(const struct dma_buf *dmabuf)
{
	return dmabuf->file->f_mode & FMODE_WRITE;
}

/* Drops the references to the first pages. What was freed meanwhile can leave the quarantine. */
static void put_pages(struct export *export, u32 nr_pages)
{
	u32 i;

	for (i = 0; i < nr_pages; i++) {
		atomic_dec(export_count(export, i));
		put_page(export_page(export, i));
		if (!(i % EXPORT_PIECE))
			cond_resched();
	}
	quarantine_released(export->registry, export->first, nr_pages);
}

/* ---- for importers -------------------------------------------------------- */

/* Pages that a device takes in one segment from a page on; 0 if not even one. */
static u32 segment_pages(const struct export *export, struct device *device, u32 i)
{
	size_t most = min_t(size_t, dma_get_max_seg_size(device), dma_max_mapping_size(device));
	unsigned long boundary = dma_get_seg_boundary_nr_pages(device, PAGE_SHIFT);
	unsigned long pfn = page_to_pfn(export_page(export, i));

	return min3((u64)most >> PAGE_SHIFT, (u64)boundary - pfn % boundary,
		    (u64)export->nr_pages - i);
}

static int make_list(struct sg_table *table, const struct export *export, struct device *device)
{
	struct scatterlist *segment;
	u32 nr = 0, i, pages;
	unsigned int n;
	int ret;

	for (i = 0; i < export->nr_pages; i += pages) {
		pages = segment_pages(export, device, i);
		if (!pages)
			return -EINVAL;
		if (!(nr++ % EXPORT_PIECE))
			cond_resched();
	}
	ret = sg_alloc_table(table, nr, GFP_KERNEL_ACCOUNT);
	if (ret)
		return ret;
	i = 0;
	for_each_sgtable_sg(table, segment, n) {
		pages = segment_pages(export, device, i);
		sg_set_page(segment, export_page(export, i), pages << PAGE_SHIFT, 0);
		i += pages;
		if (!(n % EXPORT_PIECE))
			cond_resched();
	}
	return 0;
}

static struct sg_table *export_map(struct dma_buf_attachment *attachment,
				   enum dma_data_direction direction)
{
	struct export *export = attachment->dmabuf->priv;
	struct import *import;
	int ret;

	if (direction != DMA_TO_DEVICE && !is_writable(attachment->dmabuf))
		return ERR_PTR(-EACCES);
	import = kmalloc(sizeof(*import), GFP_KERNEL_ACCOUNT);
	if (!import)
		return ERR_PTR(-ENOMEM);
	import->device = attachment->dev;
	import->direction = direction;
	ret = make_list(&import->table, export, import->device);
	if (ret)
		goto free_import;
	ret = dma_map_sgtable(import->device, &import->table, direction, 0);
	if (ret)
		goto free_list;
	mutex_lock(&export->lock);
	list_add(&import->siblings, &export->imports);
	mutex_unlock(&export->lock);
	return &import->table;

free_list:
	sg_free_table(&import->table);
free_import:
	kfree(import);
	return ERR_PTR(ret);
}

static void export_unmap(struct dma_buf_attachment *attachment, struct sg_table *table,
			 enum dma_data_direction direction)
{
	struct export *export = attachment->dmabuf->priv;
	struct import *import = container_of(table, struct import, table);

	mutex_lock(&export->lock);
	list_del(&import->siblings);
	mutex_unlock(&export->lock);
	dma_unmap_sgtable(import->device, table, import->direction, 0);
	sg_free_table(table);
	kfree(import);
}

/* What devices have written is seen by the CPUs; each list is in the direction it was mapped in. */
static int export_begin_cpu_access(struct dma_buf *dmabuf, enum dma_data_direction direction)
{
	struct export *export = dmabuf->priv;
	struct import *import;

	mutex_lock(&export->lock);
	list_for_each_entry(import, &export->imports, siblings)
		dma_sync_sgtable_for_cpu(import->device, &import->table, import->direction);
	mutex_unlock(&export->lock);
	return 0;
}

/* ... and what CPUs have written by the devices. */
static int export_end_cpu_access(struct dma_buf *dmabuf, enum dma_data_direction direction)
{
	struct export *export = dmabuf->priv;
	struct import *import;

	mutex_lock(&export->lock);
	list_for_each_entry(import, &export->imports, siblings)
		dma_sync_sgtable_for_device(import->device, &import->table, import->direction);
	mutex_unlock(&export->lock);
	return 0;
}

static int export_vmap(struct dma_buf *dmabuf, struct iosys_map *map)
{
	struct export *export = dmabuf->priv;

	iosys_map_set_vaddr(map, page_address(export_page(export, 0)));
	return 0;
}

/* ---- for processes -------------------------------------------------------- */

/* The mapping holds the dma-buf's file, and so the dma-buf, and that the pages. */
static vm_fault_t export_fault(struct vm_fault *vmf)
{
	struct dma_buf *dmabuf = vmf->vma->vm_private_data;
	struct export *export = dmabuf->priv;
	struct page *page;
	vm_fault_t ret;

	if (vmf->pgoff >= export->nr_pages)
		return VM_FAULT_SIGBUS;
	page = export_page(export, vmf->pgoff);
	if (PageHWPoison(page))
		return VM_FAULT_HWPOISON;
	ret = era_insert(vmf, export->registry->pool, export->first + vmf->pgoff);
	if (!PageHWPoison(page))
		return ret;
	/* It became poisoned just now, and may have been taken out of mappings before. */
	unmap_mapping_pages(export->inode->i_mapping, vmf->pgoff, 1, true);
	return VM_FAULT_HWPOISON;
}

static const struct vm_operations_struct export_vm_ops = {
	.fault = export_fault,
};

static int export_mmap(struct dma_buf *dmabuf, struct vm_area_struct *vma)
{
	bool writable = is_writable(dmabuf);
	int ret;

	if (!writable && vma->vm_flags & VM_WRITE)
		return -EACCES;
	ret = mapping_init_vma(vma, 0, writable ? 0 : VM_MAYWRITE);
	if (ret)
		return ret;
	vma->vm_ops = &export_vm_ops;
	vma->vm_private_data = dmabuf;
	return 0;
}

static void export_release(struct dma_buf *dmabuf)
{
	struct export *export = dmabuf->priv;

	mutex_lock(&exports_lock);
	list_del(&export->siblings);
	mutex_unlock(&exports_lock);
	iput(export->inode);
	put_pages(export, export->nr_pages);
	kfree(export);
}

static const struct dma_buf_ops export_ops = {
	.map_dma_buf = export_map,
	.unmap_dma_buf = export_unmap,
	.begin_cpu_access = export_begin_cpu_access,
	.end_cpu_access = export_end_cpu_access,
	.mmap = export_mmap,
	.vmap = export_vmap,
	.release = export_release,
};

/* One that fails in .vmap is warned of, one that has none is not asked. */
static const struct dma_buf_ops export_rdonly_ops = {
	.map_dma_buf = export_map,
	.unmap_dma_buf = export_unmap,
	.begin_cpu_access = export_begin_cpu_access,
	.end_cpu_access = export_end_cpu_access,
	.mmap = export_mmap,
	.release = export_release,
};

/* ---- making one ----------------------------------------------------------- */

/**
 * export_zap() - take a page out of the mappings of all dma-bufs that have it
 * @index: of the page, which is poisoned
 *
 * Context: process context; no lock held.
 */
void export_zap(u64 index)
{
	struct export *export;

	mutex_lock(&exports_lock);
	list_for_each_entry(export, &exports, siblings)
		if (index >= export->first && index - export->first < export->nr_pages)
			unmap_mapping_pages(export->inode->i_mapping, index - export->first, 1,
					    true);
	mutex_unlock(&exports_lock);
}

/*
 * Takes the references to some pages while they cannot leave, nor a relative begins to see
 * them; who shows them to one afterwards finds that they are held.
 */
static bool get_piece(struct client *client, const struct export *export, u32 first, u32 nr_pages)
{
	bool owned;
	u32 i;

	down_read(&client->lock);
	owned = client_owns(client, export->first + first, nr_pages);
	for (i = first; owned && i < first + nr_pages; i++) {
		get_page(export_page(export, i));
		atomic_inc(export_count(export, i));
	}
	up_read(&client->lock);
	return owned;
}

/* Of all of them, in pieces, so that a free never waits for long. */
static int get_pages(struct client *client, struct export *export)
{
	u32 done, piece;

	for (done = 0; done < export->nr_pages; done += piece) {
		piece = min(export->nr_pages - done, EXPORT_PIECE);
		if (!get_piece(client, export, done, piece)) {
			put_pages(export, done);
			return -EINVAL;
		}
		cond_resched();
	}
	return 0;
}

/**
 * export_pages() - make a dma-buf of pages that a client owns
 * @client: the client
 * @first: index of the first page
 * @nr_pages: number of pages, in the pool
 * @flags: O_CLOEXEC, PAGESPAN_EXPORT_RDONLY
 *
 * Context: process context; no lock held.
 * Return: a file descriptor of the caller, -EINVAL if the client does not own
 * all of the pages, or what making a dma-buf gave.
 */
int export_pages(struct client *client, u64 first, u32 nr_pages, u32 flags)
{
	DEFINE_DMA_BUF_EXPORT_INFO(info);
	struct dma_buf *dmabuf;
	struct export *export;
	int ret;

	export = kmalloc(sizeof(*export), GFP_KERNEL_ACCOUNT);
	if (!export)
		return -ENOMEM;
	*export = (struct export){
		.registry = client->registry,
		.first = first,
		.nr_pages = nr_pages,
	};
	WRITE_ONCE(client->had_export, true);
	mutex_init(&export->lock);
	INIT_LIST_HEAD(&export->imports);
	ret = get_pages(client, export);
	if (ret)
		goto free_export;

	info.ops = flags & PAGESPAN_EXPORT_RDONLY ? &export_rdonly_ops : &export_ops;
	info.size = (size_t)nr_pages << PAGE_SHIFT;
	info.flags = flags & PAGESPAN_EXPORT_RDONLY ? O_RDONLY : O_RDWR;
	info.priv = export;
	dmabuf = dma_buf_export(&info);
	if (IS_ERR(dmabuf)) {
		ret = PTR_ERR(dmabuf);
		goto put;
	}
	export->inode = file_inode(dmabuf->file);
	ihold(export->inode);
	mutex_lock(&exports_lock);
	list_add(&export->siblings, &exports);
	mutex_unlock(&exports_lock);
	ret = dma_buf_fd(dmabuf, flags & O_CLOEXEC);
	if (ret < 0)
		dma_buf_put(dmabuf);
	return ret;

put:
	put_pages(export, nr_pages);
free_export:
	kfree(export);
	return ret;
}

COMPAT_IMPORT_NS(DMA_BUF);
