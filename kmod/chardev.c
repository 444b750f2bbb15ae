// SPDX-License-Identifier: GPL-2.0-only
/*
 * /dev/pagespan: file operations.  Every ioctl is decoded and validated here
 * and nowhere else; <linux/pagespan.h> is the reference.
 */
#include <linux/fs.h>
#include <linux/log2.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/pagespan.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "chardev.h"
#include "client.h"
#include "mapping.h"

static struct registry *chardev_registry;

/*
 * Reserves up to alloc->count spans.  Returns how many, or an error if not one
 * could be had or a fatal signal arrived.
 */
static int reserve_spans(struct client *client, const struct pagespan_alloc *alloc, u64 *firsts)
{
	bool zero = alloc->flags & PAGESPAN_ALLOC_ZERO;
	u32 nr;

	for (nr = 0; nr < alloc->count; nr++) {
		s64 first = client_reserve(client, alloc->nr_pages, alloc->align_pages, zero);

		if (first == -ENOMEM && nr)
			break;
		if (first < 0) {
			while (nr--)
				client_unreserve(client, firsts[nr], alloc->nr_pages);
			return first;
		}
		firsts[nr] = first;
		cond_resched();
	}
	return nr;
}

static long ioctl_alloc(struct client *client, const void *arg)
{
	const struct pagespan_alloc *alloc = arg;
	u64 *firsts;
	int i, nr;

	if (alloc->flags & ~PAGESPAN_ALLOC_ZERO || alloc->__reserved)
		return -EINVAL;
	if (!alloc->nr_pages || alloc->nr_pages > PAGESPAN_MAX_PAGES)
		return -EINVAL;
	if (!is_power_of_2(alloc->align_pages) || alloc->align_pages > PAGESPAN_MAX_ALIGN)
		return -EINVAL;
	if (!alloc->count || alloc->count > PAGESPAN_MAX_COUNT)
		return -EINVAL;

	firsts = kmalloc_array(alloc->count, sizeof(*firsts), GFP_KERNEL_ACCOUNT);
	if (!firsts)
		return -ENOMEM;
	nr = reserve_spans(client, alloc, firsts);
	if (nr < 0)
		goto free_firsts;

	/* Published only once the caller knows of them, so none can get lost. */
	if (copy_to_user(u64_to_user_ptr(alloc->spans), firsts, nr * sizeof(*firsts))) {
		for (i = 0; i < nr; i++)
			client_unreserve(client, firsts[i], alloc->nr_pages);
		nr = -EFAULT;
		goto free_firsts;
	}
	for (i = 0; i < nr; i++)
		client_publish(client, firsts[i], alloc->nr_pages);

free_firsts:
	kfree(firsts);
	return nr;
}

static long ioctl_free(struct client *client, const void *arg)
{
	const struct pagespan_free *request = arg;
	struct pagespan_range *ranges;
	u32 nr;
	int ret = 0;

	if (request->flags || request->__reserved)
		return -EINVAL;
	if (!request->count || request->count > PAGESPAN_MAX_COUNT)
		return -EINVAL;

	/* All at once: after the first range is freed nothing may fail but a range. */
	ranges = memdup_user(u64_to_user_ptr(request->ranges), request->count * sizeof(*ranges));
	if (IS_ERR(ranges))
		return PTR_ERR(ranges);
	for (nr = 0; nr < request->count; nr++) {
		ret = client_free(client, ranges[nr].first, ranges[nr].nr_pages);
		if (ret)
			break;
		cond_resched();
	}
	kfree(ranges);
	return nr ? nr : ret;
}

static long ioctl_info(struct client *client, const void *arg, void __user *uarg)
{
	const struct pagespan_info *request = arg;
	struct pool *pool = client->registry->pool;
	struct pagespan_info info = {
		.size = request->size,
		.source = PAGESPAN_SOURCE_CONTIG,
		.nr_pages = pool->nr_pages,
		.owned_pages = atomic64_read(&client->nr_owned),
		.quarantined_pages = atomic64_read(&client->nr_quarantined),
	};

	if (memchr_inv(&request->source, 0,
		       sizeof(*request) - offsetof(struct pagespan_info, source)))
		return -EINVAL;
	pool_figures(pool, &info.free_pages, &info.longest_run);
	if (copy_to_user(uarg, &info, min_t(size_t, request->size, sizeof(info))))
		return -EFAULT;
	return 0;
}

union ioctl_argument {
	u32 size;
	struct pagespan_alloc alloc;
	struct pagespan_free free;
	struct pagespan_info info;
};

/* The size of each structure when it was first released. */
#define PAGESPAN_ALLOC_SIZE_VER0	offsetofend(struct pagespan_alloc, spans)
#define PAGESPAN_FREE_SIZE_VER0		offsetofend(struct pagespan_free, ranges)
#define PAGESPAN_INFO_SIZE_VER0		offsetofend(struct pagespan_info, quarantined_pages)

/* Fetches a structure as the head of <linux/pagespan.h> promises. */
static int fetch_argument(void *arg, size_t known_size, size_t first_size, void __user *uarg)
{
	u32 size;
	int ret;

	if (get_user(size, (u32 __user *)uarg))
		return -EFAULT;
	if (size > PAGE_SIZE)
		return -E2BIG;
	if (size < first_size)
		return -EINVAL;
	ret = copy_struct_from_user(arg, known_size, uarg, size);
	*(u32 *)arg = size;	/* the one checked, whatever it is by now */
	return ret;
}

static long chardev_ioctl(struct file *file, unsigned int cmd, unsigned long uarg)
{
	struct client *client = file->private_data;
	void __user *user = (void __user *)uarg;
	union ioctl_argument arg;
	int ret;

	switch (cmd) {
	case PAGESPAN_ALLOC:
		ret = fetch_argument(&arg, sizeof(arg.alloc), PAGESPAN_ALLOC_SIZE_VER0, user);
		return ret ?: ioctl_alloc(client, &arg.alloc);
	case PAGESPAN_FREE:
		ret = fetch_argument(&arg, sizeof(arg.free), PAGESPAN_FREE_SIZE_VER0, user);
		return ret ?: ioctl_free(client, &arg.free);
	case PAGESPAN_INFO:
		ret = fetch_argument(&arg, sizeof(arg.info), PAGESPAN_INFO_SIZE_VER0, user);
		return ret ?: ioctl_info(client, &arg.info, user);
	default:
		return -ENOTTY;
	}
}

static int chardev_mmap(struct file *file, struct vm_area_struct *vma)
{
	return mapping_mmap(file->private_data, vma);
}

static int chardev_open(struct inode *inode, struct file *file)
{
	struct address_space *window;
	struct client *client;

	window = mapping_create(chardev_registry->pool->nr_pages);
	if (IS_ERR(window))
		return PTR_ERR(window);
	client = client_create(chardev_registry, window);
	if (IS_ERR(client)) {
		mapping_destroy(window);
		return PTR_ERR(client);
	}
	file->private_data = client;
	file->f_mapping = window;
	return 0;
}

static int chardev_release(struct inode *inode, struct file *file)
{
	struct client *client = file->private_data;
	struct address_space *window = client->window;

	client_destroy(client);
	mapping_destroy(window);
	return 0;
}

static const struct file_operations chardev_fops = {
	.owner = THIS_MODULE,
	.open = chardev_open,
	.release = chardev_release,
	.mmap = chardev_mmap,
	.unlocked_ioctl = chardev_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
	.llseek = noop_llseek,
};

static struct miscdevice chardev_misc = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "pagespan",
	.fops = &chardev_fops,
	.mode = 0600,
};

/**
 * chardev_init() - show the device
 * @registry: where its clients are registered
 *
 * Return: 0 or -errno.
 */
int chardev_init(struct registry *registry)
{
	chardev_registry = registry;
	return misc_register(&chardev_misc);
}

/** chardev_exit() - remove the device, which nobody has open. */
void chardev_exit(void)
{
	misc_deregister(&chardev_misc);
}
