// SPDX-License-Identifier: GPL-2.0-only
/*
 * /dev/pagespan: file operations.  Every ioctl is decoded and validated here
 * and nowhere else; <linux/pagespan.h> is the reference.
 */
#include <linux/anon_inodes.h>
#include <linux/capability.h>
#include <linux/fs.h>
#include <linux/io.h>
#include <linux/log2.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/nospec.h>
#include <linux/pagespan.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "chardev.h"
#include "client.h"
#include "export.h"
#include "mapping.h"
#include "stats.h"

/* Spans or ranges of a bulk call for which no memory is allocated. */
#define FEW	4

static struct registry *chardev_registry;

/* Whether the flags of an allocation and the window it names make sense together. */
static bool alloc_flags_valid(u32 flags, u64 window)
{
	if (flags & ~(PAGESPAN_ALLOC_ZERO | PAGESPAN_ALLOC_POPULATE))
		return false;
	if (!(flags & PAGESPAN_ALLOC_POPULATE))
		return !window;
	return PAGE_ALIGNED(window) && window < TASK_SIZE_MAX;
}

/* In batches of which none holds mmap_lock for long. */
static void populate_and_publish(struct client *client, u32 flags, u64 window, const u64 *firsts,
				 u32 nr, u32 nr_pages)
{
	u32 batch;

	for (; nr; firsts += batch, nr -= batch) {
		batch = min_t(u32, nr, PAGESPAN_MAX_PAGES / nr_pages);
		if (flags & PAGESPAN_ALLOC_POPULATE)
			mapping_populate(client, window, firsts, batch, nr_pages);
		client_publish(client, firsts, batch, nr_pages);
	}
}

/* Out of line, to keep what it saves away from a free of one page. */
static noinline long ioctl_alloc_one(struct client *client, unsigned long arg)
{
	unsigned long window = arg & PAGE_MASK;
	u32 flags = arg & ~PAGE_MASK;
	s64 first;

	if (!alloc_flags_valid(flags, window))
		return -EINVAL;
	first = client_reserve_page(client, flags & PAGESPAN_ALLOC_ZERO);
	if (first < 0)
		return first;
	if (flags & PAGESPAN_ALLOC_POPULATE)
		mapping_populate_page(client, window, first);
	client_publish_page(client, first);
	return first;
}

/* Reserves a span, or several where they are single pages; how many, or an error. */
static int reserve_some(struct client *client, const struct pagespan_alloc *alloc, u64 *firsts,
			u32 nr, u32 how)
{
	s64 first;

	if (alloc->nr_pages == 1 && alloc->align_pages == 1)
		return client_reserve_pages(client, firsts, nr, how);
	first = client_reserve(client, alloc->nr_pages, alloc->align_pages, how);
	if (first < 0)
		return first;
	*firsts = first;
	return 1;
}

/*
 * Reserves up to alloc->count spans. Returns how many, or an error if not one
 * could be had or a fatal signal arrived.
 */
static int reserve_spans(struct client *client, const struct pagespan_alloc *alloc, u64 *firsts)
{
	u32 how = alloc->flags & PAGESPAN_ALLOC_ZERO ? CLIENT_ZERO : 0;
	u32 nr;
	int ret;

	for (nr = 0; nr < alloc->count; nr += ret) {
		if (nr)
			cond_resched();
		/* Others are not asked for more than what keeps it from being refused. */
		ret = reserve_some(client, alloc, firsts + nr, alloc->count - nr,
				   nr ? how : how | CLIENT_ASK);
		if ((ret == -ENOMEM || ret == -EDQUOT) && nr)
			break;
		if (ret < 0) {
			client_unreserve(client, firsts, nr, alloc->nr_pages);
			return ret;
		}
	}
	return nr;
}

static long ioctl_alloc(struct client *client, void *arg, void __user *user)
{
	const struct pagespan_alloc *alloc = arg;
	u64 few[FEW];
	u64 *firsts = few;
	int nr;

	if (!alloc_flags_valid(alloc->flags, alloc->window) || alloc->__reserved)
		return -EINVAL;
	if (!alloc->nr_pages || alloc->nr_pages > PAGESPAN_MAX_PAGES)
		return -EINVAL;
	if (!is_power_of_2(alloc->align_pages) || alloc->align_pages > PAGESPAN_MAX_ALIGN)
		return -EINVAL;
	if (!alloc->count || alloc->count > PAGESPAN_MAX_COUNT)
		return -EINVAL;

	if (alloc->count > FEW)
		firsts = kmalloc_array(alloc->count, sizeof(*firsts), GFP_KERNEL_ACCOUNT);
	if (!firsts)
		return -ENOMEM;
	nr = reserve_spans(client, alloc, firsts);
	if (nr < 0)
		goto free_firsts;

	/* Published only once the caller knows of them, so none can get lost. */
	if (copy_to_user(u64_to_user_ptr(alloc->spans), firsts, nr * sizeof(*firsts))) {
		client_unreserve(client, firsts, nr, alloc->nr_pages);
		nr = -EFAULT;
		goto free_firsts;
	}
	populate_and_publish(client, alloc->flags, alloc->window, firsts, nr, alloc->nr_pages);

free_firsts:
	if (firsts != few)
		kfree(firsts);
	return nr;
}

static long ioctl_alloc_at(struct client *client, void *arg, void __user *user)
{
	const struct pagespan_alloc_at *at = arg;
	const struct pool *pool = client->registry->pool;
	u64 first;
	int ret;

	if (!alloc_flags_valid(at->flags, at->window) || at->__reserved)
		return -EINVAL;
	if (at->nr_pages > PAGESPAN_MAX_PAGES || !pool_contains(pool, at->first, at->nr_pages))
		return -EINVAL;
	first = pool_clamp(pool, at->first);
	ret = client_reserve_at(client, first, at->nr_pages, at->flags & PAGESPAN_ALLOC_ZERO);
	if (!ret)
		populate_and_publish(client, at->flags, at->window, &first, 1, at->nr_pages);
	return ret;
}

static long ioctl_free(struct client *client, void *arg, void __user *user)
{
	const struct pagespan_free *request = arg;
	struct span_map_range few[FEW];
	struct span_map_range *ranges = few;
	size_t bytes = array_size(request->count, sizeof(*ranges));
	u32 nr;
	int ret = 0;

	if (request->flags || request->__reserved)
		return -EINVAL;
	if (!request->count || request->count > PAGESPAN_MAX_COUNT)
		return -EINVAL;

	static_assert(sizeof(struct pagespan_range) == sizeof(*ranges) &&
		      offsetof(struct pagespan_range, nr_pages) ==
		      offsetof(struct span_map_range, nr_pages));
	/* All at once: after the first range is freed nothing may fail but a range. */
	if (request->count > FEW) {
		ranges = memdup_user(u64_to_user_ptr(request->ranges), bytes);
		if (IS_ERR(ranges))
			return PTR_ERR(ranges);
	} else if (copy_from_user(few, u64_to_user_ptr(request->ranges), bytes)) {
		return -EFAULT;
	}
	for (nr = 0; nr < request->count; nr += ret) {
		if (nr)
			cond_resched();
		ret = client_free_ranges(client, ranges + nr, request->count - nr);
		if (ret < 0)
			break;
	}
	if (ranges != few)
		kfree(ranges);
	return nr ? nr : ret;
}

/* Hands a structure back, as much of it as the caller knows; its size leads it. */
static int store_argument(void __user *user, const void *arg, size_t known_size)
{
	size_t size = min_t(size_t, *(const u32 *)arg, known_size);

	return copy_to_user(user, arg, size) ? -EFAULT : 0;
}

/* What an account can be charged at most. */
static u64 quota_pages(const struct client *client, const struct account *account)
{
	return min(account->limit, READ_ONCE(client->registry->pool->present));
}

static u32 info_flags(const struct pool *pool)
{
	if (!pool_kernel_is_huge())
		return PAGESPAN_INFO_NO_THP;
	return pool_why_not_huge(pool) ? 0 : PAGESPAN_INFO_HUGE;
}

static long ioctl_info(struct client *client, void *arg, void __user *user)
{
	struct pagespan_info *info = arg;
	struct registry *registry = client->registry;
	struct pool *pool = registry->pool;
	const struct pool_source *source = pool_best_source(pool);
	u32 size = info->size;

	info->size = 0;
	if (memchr_inv(info, 0, sizeof(*info)))
		return -EINVAL;
	*info = (struct pagespan_info){
		.size = size,
		.flags = info_flags(pool),
		.nr_pages = pool->nr_pages,
		.pool_pages = READ_ONCE(pool->present),
		.owned_pages = atomic64_read(&client->nr_owned) + READ_ONCE(client->view.nr_pages),
		.quarantined_pages = atomic64_read(&client->nr_quarantined),
		.quota_pages = min(quota_pages(client, &client->account),
				   quota_pages(client, &client->user->account)),
		.source = source ? source->id : 0,
		.sources = pool_sources(pool),
	};
	quarantine_look_soon(registry);
	pool_figures(pool, &info->free_pages, &info->longest_run);
	return store_argument(user, info, sizeof(*info));
}

static long ioctl_query(struct client *client, void *arg, void __user *user)
{
	struct pagespan_query *query = arg;

	if (query->state || query->nr_pages > PAGESPAN_MAX_PAGES ||
	    !pool_contains(client->registry->pool, query->first, query->nr_pages))
		return -EINVAL;
	query->state = client_query(client, pool_clamp(client->registry->pool, query->first),
				    &query->nr_pages);
	return store_argument(user, query, sizeof(*query));
}

static long ioctl_phys(struct client *client, void *arg, void __user *user)
{
	struct pagespan_phys *request = arg;
	struct pool *pool = client->registry->pool;
	u64 index;

	if (!capable(CAP_SYS_RAWIO))
		return -EPERM;
	if (request->__reserved || request->address || !pool_contains(pool, request->index, 1))
		return -EINVAL;
	index = pool_clamp(pool, request->index);
	if (!client_owns(client, index, 1))
		return -EINVAL;
	request->address = page_to_phys(pool_page(pool, index));
	return store_argument(user, request, sizeof(*request));
}

static long ioctl_export(struct client *client, void *arg, void __user *user)
{
	const struct pagespan_export *request = arg;
	const struct pool *pool = client->registry->pool;

	if (request->flags & ~(O_CLOEXEC | PAGESPAN_EXPORT_RDONLY) ||
	    request->nr_pages > PAGESPAN_MAX_PAGES ||
	    !pool_contains(pool, request->first, request->nr_pages))
		return -EINVAL;
	return export_pages(client, pool_clamp(pool, request->first), request->nr_pages,
			    request->flags);
}

/* Nothing has changed if the answer cannot be stored. */
static long ioctl_pressure(struct client *client, void *arg, void __user *user)
{
	struct pagespan_pressure *pressure = arg;
	u64 answered = pressure->answered;
	int ret;

	if (pressure->flags & ~PAGESPAN_PRESSURE_ANSWER || pressure->asked ||
	    pressure->nr_pages || pressure->__reserved)
		return -EINVAL;
	ret = pressure_tell(client, answered, &pressure->asked, &pressure->nr_pages);
	if (!ret)
		ret = store_argument(user, pressure, sizeof(*pressure));
	if (!ret)
		pressure_answer(client, pressure->flags & PAGESPAN_PRESSURE_ANSWER, answered);
	return ret;
}

union ioctl_argument {
	u32 size;
	struct pagespan_alloc alloc;
	struct pagespan_alloc_at alloc_at;
	struct pagespan_free free;
	struct pagespan_info info;
	struct pagespan_query query;
	struct pagespan_phys phys;
	struct pagespan_export export;
	struct pagespan_pressure pressure;
};

/*
 * The ioctls that take a structure, by number.
 * @size: what this module knows of the structure
 * @first_size: its size when it was first released
 */
static const struct {
	long (*handler)(struct client *client, void *arg, void __user *user);
	size_t size;
	size_t first_size;
} struct_ioctls[] = {
#define STRUCT_IOCTL(cmd, handler, type, last)					\
	[_IOC_NR(cmd)] = { handler, sizeof(struct type), offsetofend(struct type, last) }
	STRUCT_IOCTL(PAGESPAN_ALLOC, ioctl_alloc, pagespan_alloc, window),
	STRUCT_IOCTL(PAGESPAN_ALLOC_AT, ioctl_alloc_at, pagespan_alloc_at, __reserved),
	STRUCT_IOCTL(PAGESPAN_FREE, ioctl_free, pagespan_free, ranges),
	STRUCT_IOCTL(PAGESPAN_INFO, ioctl_info, pagespan_info, sources),
	STRUCT_IOCTL(PAGESPAN_QUERY, ioctl_query, pagespan_query, nr_pages),
	STRUCT_IOCTL(PAGESPAN_PHYS, ioctl_phys, pagespan_phys, address),
	STRUCT_IOCTL(PAGESPAN_EXPORT, ioctl_export, pagespan_export, nr_pages),
	STRUCT_IOCTL(PAGESPAN_PRESSURE, ioctl_pressure, pagespan_pressure, __reserved),
#undef STRUCT_IOCTL
};

/* Fetches a structure as the head of <linux/pagespan.h> promises. */
static int fetch_argument(union ioctl_argument *arg, size_t known_size, size_t first_size,
			  void __user *user)
{
	u32 size;
	int ret;

	if (get_user(size, (u32 __user *)user))
		return -EFAULT;
	if (size > PAGE_SIZE)
		return -E2BIG;
	if (size < first_size)
		return -EINVAL;
	ret = copy_struct_from_user(arg, known_size, user, size);
	arg->size = size;	/* the one checked, whatever it is by now */
	return ret;
}

/* Out of line, to keep its large frame away from the hot path. */
static noinline long struct_ioctl(struct client *client, unsigned int cmd, unsigned long value)
{
	void __user *user = (void __user *)value;
	union ioctl_argument arg;
	unsigned int nr = _IOC_NR(cmd);
	int ret;

	if (cmd != _IO(PAGESPAN_TYPE, nr) || nr >= ARRAY_SIZE(struct_ioctls) ||
	    !struct_ioctls[nr].handler)
		return -ENOTTY;
	nr = array_index_nospec(nr, ARRAY_SIZE(struct_ioctls));
	ret = fetch_argument(&arg, struct_ioctls[nr].size, struct_ioctls[nr].first_size, user);
	return ret ?: struct_ioctls[nr].handler(client, &arg, user);
}

static long chardev_ioctl(struct file *file, unsigned int cmd, unsigned long value)
{
	struct client *client = file->private_data;

	if (cmd == PAGESPAN_ALLOC_ONE)
		return ioctl_alloc_one(client, value);
	if (cmd == PAGESPAN_FREE_ONE)
		return client_free_page(client, value);
	if (cmd == PAGESPAN_ADOPT)
		return snapshot_adopt(value);
	if (cmd == PAGESPAN_SNAPSHOT)
		return value ? -EINVAL : snapshot_take(client);
	return struct_ioctl(client, cmd, value);
}

static __poll_t chardev_poll(struct file *file, struct poll_table_struct *table)
{
	return pressure_poll(file->private_data, file, table);
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
	client = client_create(chardev_registry, file, window);
	if (IS_ERR(client)) {
		mapping_destroy(window);
		return PTR_ERR(client);
	}
	atomic_inc(&client->nr_files);
	file->private_data = client;
	file->f_mapping = window;
	return 0;
}

static int chardev_release(struct inode *inode, struct file *file)
{
	struct client *client = file->private_data;
	struct address_space *window = file->f_mapping;

	snapshot_file_gone(client, file);
	if (atomic_dec_and_test(&client->nr_files))
		client_destroy(client);
	mapping_destroy(window);
	return 0;
}

/* Keys and units in the manner of DRM's. */
static void chardev_show_fdinfo(struct seq_file *seq, struct file *file)
{
	const struct client *client = file->private_data;
	const struct user_account *user = client->user;

	quarantine_look_soon(client->registry);
	seq_printf(seq, "pagespan-client-id:\t%llu\n", client->id);
	seq_printf(seq, "pagespan-memory-owned:\t%lld KiB\n",
		   atomic64_read(&client->nr_owned) << (PAGE_SHIFT - 10));
	seq_printf(seq, "pagespan-memory-quarantined:\t%lld KiB\n",
		   atomic64_read(&client->nr_quarantined) << (PAGE_SHIFT - 10));
	seq_printf(seq, "pagespan-memory-quota:\t%llu KiB\n",
		   quota_pages(client, &client->account) << (PAGE_SHIFT - 10));
	seq_printf(seq, "pagespan-user-id:\t%u\n",
		   from_kuid_munged(seq_user_ns(seq), user->uid));
	seq_printf(seq, "pagespan-user-memory:\t%lld KiB\n",
		   atomic64_read(&user->account.nr_charged) << (PAGE_SHIFT - 10));
	seq_printf(seq, "pagespan-user-quota:\t%llu KiB\n",
		   quota_pages(client, &user->account) << (PAGE_SHIFT - 10));
}

static const struct file_operations chardev_fops = {
	.owner = THIS_MODULE,
	.open = chardev_open,
	.release = chardev_release,
	.poll = chardev_poll,
	.mmap = chardev_mmap,
#ifdef CONFIG_TRANSPARENT_HUGEPAGE
	.get_unmapped_area = thp_get_unmapped_area,
#endif
	.unlocked_ioctl = chardev_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
	.show_fdinfo = chardev_show_fdinfo,
	.llseek = noop_llseek,
	/* As msync() of other memory with no file behind it. */
	.fsync = noop_fsync,
};

/**
 * chardev_create_file() - another file of a client than what was opened
 * @client: the client
 * @mapping: the address space that its windows map; the file's from then on
 *
 * Return: the file, or an ERR_PTR().
 */
struct file *chardev_create_file(struct client *client, struct address_space *mapping)
{
	struct file *file = anon_inode_getfile("[pagespan]", &chardev_fops, client, O_RDWR);

	if (!IS_ERR(file)) {
		file->f_mapping = mapping;
		atomic_inc(&client->nr_files);
	}
	return file;
}

static struct miscdevice chardev_misc = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "pagespan",
	.fops = &chardev_fops,
	.groups = stats_groups,
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
