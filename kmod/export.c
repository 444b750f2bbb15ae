// SPDX-License-Identifier: GPL-2.0-only
/*
 * Exporting owned pages as a dma-buf: other processes map it, drivers import it.
 *
 * The dma-buf holds a reference to each of its pages, so they are quarantined
 * like any pinned page if they are freed before it is released, and never
 * reassigned before. How many dma-bufs a page is in is counted in its private
 * field, for PAGESPAN_QUERY to tell.
 */
#include <linux/dma-buf.h>
#include <linux/dma-mapping.h>
#include <linux/iosys-map.h>
#include <linux/module.h>
#include <linux/scatterlist.h>
#include <linux/slab.h>

#include "client.h"
#include "compat.h"
#include "export.h"

/**
 * struct export - the pages of one dma-buf
 * @registry: of the client that owned them
 * @first: index of the first page
 * @nr_pages: number of pages
 */
struct export {
	struct registry *registry;
	u64 first;
	u32 nr_pages;
};

static struct page *export_page(const struct export *export, u32 i)
{
	return pool_page(export->registry->pool, export->first + i);
}

static atomic_long_t *export_count(struct page *page)
{
	return (atomic_long_t *)&page->private;
}

static void put_pages(struct export *export)
{
	u32 i;

	for (i = 0; i < export->nr_pages; i++) {
		atomic_long_dec(export_count(export_page(export, i)));
		put_page(export_page(export, i));
	}
}

static struct sg_table *export_map(struct dma_buf_attachment *attachment,
				   enum dma_data_direction direction)
{
	struct export *export = attachment->dmabuf->priv;
	struct sg_table *table;
	int ret;

	table = kmalloc(sizeof(*table), GFP_KERNEL);
	if (!table)
		return ERR_PTR(-ENOMEM);
	ret = sg_alloc_table(table, 1, GFP_KERNEL);
	if (ret)
		goto free_table;
	sg_set_page(table->sgl, export_page(export, 0), export->nr_pages << PAGE_SHIFT, 0);
	ret = dma_map_sgtable(attachment->dev, table, direction, 0);
	if (ret)
		goto free_list;
	return table;

free_list:
	sg_free_table(table);
free_table:
	kfree(table);
	return ERR_PTR(ret);
}

static void export_unmap(struct dma_buf_attachment *attachment, struct sg_table *table,
			 enum dma_data_direction direction)
{
	dma_unmap_sgtable(attachment->dev, table, direction, 0);
	sg_free_table(table);
	kfree(table);
}

/*
 * Maps without references: the mapping holds the dma-buf's file, and so the
 * dma-buf, and that the pages.
 */
static vm_fault_t export_fault(struct vm_fault *vmf)
{
	struct dma_buf *dmabuf = vmf->vma->vm_private_data;
	struct export *export = dmabuf->priv;

	if (vmf->pgoff >= export->nr_pages)
		return VM_FAULT_SIGBUS;
	return vmf_insert_pfn(vmf->vma, vmf->address,
			      page_to_pfn(export_page(export, vmf->pgoff)));
}

static const struct vm_operations_struct export_vm_ops = {
	.fault = export_fault,
};

static int export_mmap(struct dma_buf *dmabuf, struct vm_area_struct *vma)
{
	if (!(vma->vm_flags & VM_MAYSHARE))
		return -EINVAL;
	compat_vm_flags_mod(vma, VM_PFNMAP | VM_DONTEXPAND | VM_DONTDUMP, VM_MAYEXEC);
	vma->vm_ops = &export_vm_ops;
	vma->vm_private_data = dmabuf;
	return 0;
}

static int export_vmap(struct dma_buf *dmabuf, struct iosys_map *map)
{
	struct export *export = dmabuf->priv;

	iosys_map_set_vaddr(map, page_address(export_page(export, 0)));
	return 0;
}

static void export_release(struct dma_buf *dmabuf)
{
	struct export *export = dmabuf->priv;

	put_pages(export);
	quarantine_released(export->registry);
	kfree(export);
}

static const struct dma_buf_ops export_ops = {
	.map_dma_buf = export_map,
	.unmap_dma_buf = export_unmap,
	.mmap = export_mmap,
	.vmap = export_vmap,
	.release = export_release,
};

/* Takes the references while the pages cannot leave. */
static int get_pages(struct client *client, struct export *export)
{
	int ret = -EINVAL;
	u32 i;

	down_read(&client->lock);
	if (client_owns(client, export->first, export->nr_pages)) {
		for (i = 0; i < export->nr_pages; i++) {
			get_page(export_page(export, i));
			atomic_long_inc(export_count(export_page(export, i)));
		}
		ret = 0;
	}
	up_read(&client->lock);
	return ret;
}

/**
 * export_pages() - make a dma-buf of pages that a client owns
 * @client: the client
 * @first: index of the first page
 * @nr_pages: number of pages, in the pool
 * @flags: O_CLOEXEC or 0
 *
 * Return: a file descriptor of the caller, -EINVAL if the client does not own
 * all of the pages, or what making a dma-buf gave.
 */
int export_pages(struct client *client, u64 first, u32 nr_pages, int flags)
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
	ret = get_pages(client, export);
	if (ret)
		goto free_export;

	info.ops = &export_ops;
	info.size = (size_t)nr_pages << PAGE_SHIFT;
	info.flags = O_RDWR;
	info.priv = export;
	dmabuf = dma_buf_export(&info);
	if (IS_ERR(dmabuf)) {
		ret = PTR_ERR(dmabuf);
		goto put;
	}
	ret = dma_buf_fd(dmabuf, flags);
	if (ret < 0)
		dma_buf_put(dmabuf);
	return ret;

put:
	put_pages(export);
free_export:
	kfree(export);
	return ret;
}

MODULE_IMPORT_NS(DMA_BUF);
