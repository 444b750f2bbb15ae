// SPDX-License-Identifier: GPL-2.0-only
/*
 * A driver that imports dma-bufs, without hardware: what no stock driver does that a
 * test can have. Its device takes segments as short as it is told, it lets see the
 * list that it gets, asks for the pages' address, and forwards its mmap() to the
 * dma-buf.
 */
#include <linux/dma-buf.h>
#include <linux/dma-map-ops.h>
#include <linux/dma-mapping.h>
#include <linux/iosys-map.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/platform_device.h>
#include <linux/scatterlist.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/version.h>

#include "importer.h"

#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 2, 0)
#define dma_buf_vmap_unlocked	dma_buf_vmap
#define dma_buf_vunmap_unlocked	dma_buf_vunmap
#endif

static struct platform_device *device;
static size_t max_mapping;
static atomic_t synced_for_cpu, synced_for_device;

/**
 * struct import - what an open has imported
 * @lock: of all of it
 * @dmabuf: the dma-buf, or NULL
 * @attachment: of the device to it, or NULL
 * @table: its list
 * @direction: of it
 */
struct import {
	struct mutex lock;	/* see above */
	struct dma_buf *dmabuf;
	struct dma_buf_attachment *attachment;
	struct sg_table *table;
	enum dma_data_direction direction;
};

/* ---- a device whose addresses are physical -------------------------------- */

static int map_list(struct device *dev, struct scatterlist *list, int nr,
		    enum dma_data_direction direction, unsigned long attributes)
{
	struct scatterlist *segment;
	int i;

	for_each_sg(list, segment, nr, i) {
		sg_dma_address(segment) = sg_phys(segment);
		sg_dma_len(segment) = segment->length;
	}
	return nr;
}

static void unmap_list(struct device *dev, struct scatterlist *list, int nr,
		       enum dma_data_direction direction, unsigned long attributes)
{
}

static void sync_for_cpu(struct device *dev, struct scatterlist *list, int nr,
			 enum dma_data_direction direction)
{
	atomic_inc(&synced_for_cpu);
}

static void sync_for_device(struct device *dev, struct scatterlist *list, int nr,
			    enum dma_data_direction direction)
{
	atomic_inc(&synced_for_device);
}

static size_t most_to_map(struct device *dev)
{
	return max_mapping;
}

static const struct dma_map_ops operations = {
	.map_sg = map_list,
	.unmap_sg = unmap_list,
	.sync_sg_for_cpu = sync_for_cpu,
	.sync_sg_for_device = sync_for_device,
	.max_mapping_size = most_to_map,
};

/* ---- importing ------------------------------------------------------------ */

static void look_at(const struct sg_table *table, struct importer_list *list)
{
	struct scatterlist *segment;
	unsigned int i;

	list->shortest = U32_MAX;
	for_each_sgtable_dma_sg(table, segment, i) {
		u32 length = sg_dma_len(segment);
		u64 first = sg_dma_address(segment);

		list->nr_segments++;
		list->bytes += length;
		list->longest = max(list->longest, length);
		if (i + 1 < table->nents)
			list->shortest = min(list->shortest, length);
		if (first / (list->boundary + 1ULL) !=
		    (first + length - 1) / (list->boundary + 1ULL))
			list->nr_crossing++;
	}
}

static int attach(struct import *import, struct importer_list *list)
{
	int ret;

	import->attachment = dma_buf_attach(import->dmabuf, &device->dev);
	if (IS_ERR(import->attachment)) {
		ret = PTR_ERR(import->attachment);
		import->attachment = NULL;
		return ret;
	}
	import->table = dma_buf_map_attachment_unlocked(import->attachment, import->direction);
	if (IS_ERR(import->table)) {
		ret = PTR_ERR(import->table);
		dma_buf_detach(import->dmabuf, import->attachment);
		import->attachment = NULL;
		return ret;
	}
	look_at(import->table, list);
	return 0;
}

static void let_go(struct import *import)
{
	if (import->attachment) {
		dma_buf_unmap_attachment_unlocked(import->attachment, import->table,
						  import->direction);
		dma_buf_detach(import->dmabuf, import->attachment);
		import->attachment = NULL;
	}
	if (import->dmabuf)
		dma_buf_put(import->dmabuf);
	import->dmabuf = NULL;
}

static long import_dmabuf(struct import *import, void __user *user)
{
	struct importer_list list;
	long ret = 0;

	if (copy_from_user(&list, user, sizeof(list)))
		return -EFAULT;
	let_go(import);
	import->dmabuf = dma_buf_get(list.fd);
	if (IS_ERR(import->dmabuf)) {
		ret = PTR_ERR(import->dmabuf);
		import->dmabuf = NULL;
		return ret;
	}
	dma_set_max_seg_size(&device->dev, list.max_segment);
	dma_set_seg_boundary(&device->dev, list.boundary);
	max_mapping = list.max_mapping;
	atomic_set(&synced_for_cpu, 0);
	atomic_set(&synced_for_device, 0);
	import->direction = list.direction;
	if (list.direction != IMPORTER_NONE)
		ret = attach(import, &list);
	if (ret)
		let_go(import);
	else if (copy_to_user(user, &list, sizeof(list)))
		ret = -EFAULT;
	return ret;
}

static long first_byte(struct import *import)
{
	struct iosys_map map;
	long ret;

	if (!import->dmabuf)
		return -ENXIO;
	ret = dma_buf_vmap_unlocked(import->dmabuf, &map);
	if (ret)
		return ret;
	ret = *(u8 *)map.vaddr;
	dma_buf_vunmap_unlocked(import->dmabuf, &map);
	return ret;
}

static long importer_ioctl(struct file *file, unsigned int cmd, unsigned long value)
{
	struct import *import = file->private_data;
	long ret = -ENOTTY;

	mutex_lock(&import->lock);
	if (cmd == IMPORTER_IMPORT)
		ret = import_dmabuf(import, (void __user *)value);
	else if (cmd == IMPORTER_ADDRESS)
		ret = first_byte(import);
	else if (cmd == IMPORTER_SYNCED && !get_dma_ops(&device->dev))
		ret = -EOPNOTSUPP;
	else if (cmd == IMPORTER_SYNCED)
		ret = atomic_read(value ? &synced_for_device : &synced_for_cpu);
	mutex_unlock(&import->lock);
	return ret;
}

/* As a graphics driver does: the file that is mapped was opened for writing. */
static int importer_mmap(struct file *file, struct vm_area_struct *vma)
{
	struct import *import = file->private_data;

	return import->dmabuf ? dma_buf_mmap(import->dmabuf, vma, vma->vm_pgoff) : -ENXIO;
}

static int importer_open(struct inode *inode, struct file *file)
{
	struct import *import = kzalloc(sizeof(*import), GFP_KERNEL);

	if (!import)
		return -ENOMEM;
	mutex_init(&import->lock);
	file->private_data = import;
	return 0;
}

static int importer_release(struct inode *inode, struct file *file)
{
	struct import *import = file->private_data;

	let_go(import);
	kfree(import);
	return 0;
}

static const struct file_operations importer_fops = {
	.owner = THIS_MODULE,
	.open = importer_open,
	.release = importer_release,
	.mmap = importer_mmap,
	.unlocked_ioctl = importer_ioctl,
};

static struct miscdevice importer_misc = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "pagespan_importer",
	.fops = &importer_fops,
	.mode = 0600,
};

static int __init importer_init(void)
{
	int ret;

	device = platform_device_register_simple("pagespan_importer", -1, NULL, 0);
	if (IS_ERR(device))
		return PTR_ERR(device);
	/* In this order: the kernel looks at what there is to synchronise when the mask is set. */
	set_dma_ops(&device->dev, &operations);
	ret = dma_coerce_mask_and_coherent(&device->dev, DMA_BIT_MASK(64));
	if (ret)
		goto unregister;
	ret = misc_register(&importer_misc);
	if (ret)
		goto unregister;
	return 0;

unregister:
	platform_device_unregister(device);
	return ret;
}
module_init(importer_init);

static void __exit importer_exit(void)
{
	misc_deregister(&importer_misc);
	platform_device_unregister(device);
}
module_exit(importer_exit);

MODULE_DESCRIPTION("A driver that imports dma-bufs, for the tests of pagespan");
MODULE_AUTHOR("The pagespan developers");
MODULE_LICENSE("GPL");
/* A name space is a string since 6.13. */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 13, 0)
MODULE_IMPORT_NS("DMA_BUF");
#else
MODULE_IMPORT_NS(DMA_BUF);
#endif
