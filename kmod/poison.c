// SPDX-License-Identifier: GPL-2.0-only
/*
 * Poisoned pages: memory that the kernel has found to be broken, and marked so
 * (PageHWPoison). Whoever owns such a page gets SIGBUS when touching it, and
 * nobody gets it afterwards: it is retired, in use for the span map and the
 * owner table for ever.
 *
 *	memory_failure() sets PageHWPoison, and tells of the page here
 *	     |
 *	     |  free                           owned
 *	     +--------> RETIRED <------------- OWNED, but mapped by nobody
 *	                            freed
 *
 * How it tells depends on the page. For ZONE_DEVICE pages there is a callback,
 * zone_device.c, which ends before memory_failure() does: after a machine check the
 * program goes on, touches the page again and faults. For the running system's
 * pages memory_failure() knows of no driver: it says that it can do nothing, and
 * all that is to be had is its tracepoint; such a page leaves its mappings a little
 * later. Where there are no tracepoints nobody tells of those: what is left then is
 * that faults look at each page.
 *
 * The one idea: a poisoned page has a reference more. So for every look at the
 * reference counts of pages that are freed it is a pinned one, and the quick ways
 * to the pool need not know that there is such a thing as poison. The slow way
 * tells a poisoned page from one that somebody pins, pool_page_pinned().
 *
 * A page may also be on its way when this hears of it: reserved and not yet
 * published, or no longer owned and not yet free. Then it is looked at again until
 * it has arrived. It may be given to somebody meanwhile, who cannot touch it.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/kfifo.h>
#include <linux/llist.h>
#include <linux/memremap.h>
#include <linux/mm.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/sched/task.h>
#include <linux/slab.h>
#include <linux/tracepoint.h>
#include <linux/workqueue.h>

#include "client.h"
#include "compat.h"
#include "era.h"
#include "export.h"
#include "mapping.h"
#include "poison.h"
#include "stats.h"
#include "zone_device.h"

/* First and longest wait before a page that is on its way is looked at again. */
#define LOOK_SHORTEST	1UL
#define LOOK_LONGEST	max(HZ / 4UL, 1UL)

/**
 * struct poison - a page that became poisoned, until it is retired or sure to be
 * @node: in poison_news
 * @pfn: its page frame
 * @found: it was found in the pool
 * @told: so it was said, where it has to be
 * @index: of the page, once it was found
 * @owner: id of the client that owned it, or 0
 */
struct poison {
	struct llist_node node;
	unsigned long pfn;
	bool found;
	bool told;
	u64 index;
	u64 owner;
};

/*
 * What poison_probe() has heard of: more than fails before the work runs. Else a page
 * stays mapped until it is freed, but is given to nobody. memory_failure() puts in one
 * after the other, and the work alone takes out.
 */
static DEFINE_KFIFO(poison_heard, struct poison, 256);

static struct registry *poison_registry;
static LLIST_HEAD(poison_news);
static unsigned long poison_delay = LOOK_SHORTEST;

static void poison_look(struct work_struct *work);
static DECLARE_DELAYED_WORK(poison_work, poison_look);

/*
 * A page of the running system gets its reference here. memory_failure() may have
 * left one too, and may tell again.
 */
static bool is_news(struct page *page)
{
	if (is_zone_device_page(page))
		return true;
	return era_hold_poisoned(page);
}

/* Finds the page in the pool, where it may be no more. */
static bool find_page(struct pool *pool, struct poison *poison)
{
	struct page *page;
	s64 index;

	rcu_read_lock();
	index = pool_find(pool, poison->pfn);
	page = index < 0 ? NULL : pfn_to_page(poison->pfn);
	if (page && PageHWPoison(page)) {
		if (!poison->found && !is_news(page))
			poison->told = true;
		pool_set_poisoned(pool, index);
		poison->found = true;
		poison->index = index;
	}
	rcu_read_unlock();
	return page && poison->found;
}

/* Whether a page that is not in the pool may be in a piece that is not listed yet. */
static bool may_be_coming(struct pool *pool)
{
	return mutex_is_locked(&pool->resize_lock);
}

/*
 * Takes the page out of use as far as it goes now.  Returns true if nothing is
 * left to do: it is retired, or will be when it is freed, or it has left the pool.
 */
static bool retire(struct registry *registry, struct poison *poison)
{
	struct pool *pool = registry->pool;
	u64 word;

	if (!find_page(pool, poison))
		return !may_be_coming(pool);
	export_zap(poison->index);
	if (!pool_alloc_at(pool, NULL, poison->index, 1)) {
		owner_write(&registry->owners, poison->index, 1, owner_word(0, OWNER_RETIRED));
		return true;
	}
	word = owner_read(&registry->owners, poison->index);
	switch (owner_state(word)) {
	case OWNER_RETIRED:
		return true;
	case OWNER_QUARANTINED:
		return quarantine_has(registry, poison->index);
	case OWNER_OWNED:
		poison->owner = owner_id(word);
		return client_unmap(registry, poison->owner, poison->index);
	case OWNER_FREE:
		break;
	}
	return false;
}

/* ---- telling of it ------------------------------------------------------- */

/* The thread that takes signals about memory that its process has not touched yet, or NULL. */
static struct task_struct *find_early_thread(struct task_struct *process)
{
	const unsigned int early = PF_MCE_PROCESS | PF_MCE_EARLY;
	struct task_struct *thread;

	for_each_thread(process, thread)
		if ((READ_ONCE(thread->flags) & early) == early)
			return thread;
	return NULL;
}

/* The next such thread, of another process, whose id is above *id; the caller puts it. */
static struct task_struct *next_early_thread(pid_t *id)
{
	struct task_struct *process, *thread = NULL;
	struct pid *pid;

	rcu_read_lock();
	for (; !thread; *id = pid_nr(pid)) {
		pid = find_ge_pid(*id + 1, &init_pid_ns);
		if (!pid)
			break;
		process = pid_task(pid, PIDTYPE_TGID);
		if (process)
			thread = find_early_thread(process);
	}
	if (thread)
		get_task_struct(thread);
	rcu_read_unlock();
	return thread;
}

/* Where a process has mapped a page of a client, 0 if nowhere. */
static unsigned long find_address(struct mm_struct *mm, u64 owner, u64 index)
{
	VMA_ITERATOR(vmas, mm, 0);
	unsigned long address = 0;
	struct vm_area_struct *vma;

	mmap_read_lock(mm);
	for_each_vma(vmas, vma) {
		const struct client *client = mapping_client(vma);

		if (client && client->id == owner && index >= vma->vm_pgoff &&
		    index - vma->vm_pgoff < vma_pages(vma)) {
			address = vma->vm_start + ((index - vma->vm_pgoff) << PAGE_SHIFT);
			break;
		}
	}
	mmap_read_unlock(mm);
	return address;
}

/* Signals the processes that have the page in a window and asked for it, prctl(PR_MCE_KILL). */
static void signal_early(const struct poison *poison)
{
	struct task_struct *thread;
	unsigned long address;
	struct mm_struct *mm;
	pid_t id = 0;

	while ((thread = next_early_thread(&id))) {
		mm = get_task_mm(thread);
		if (mm) {
			address = find_address(mm, poison->owner, poison->index);
			mmput(mm);
			if (address)
				send_sig_mceerr(BUS_MCEERR_AO, (void __user *)address, PAGE_SHIFT,
						thread);
		}
		put_task_struct(thread);
		cond_resched();
	}
}

static void tell(struct poison *poison)
{
	poison->told = true;
	pr_warn("page %llu at %#llx is broken and out of use\n", poison->index,
		(u64)PFN_PHYS(poison->pfn));
	stats_count(STATS_POISON, poison, poison->owner, poison->index, 1);
	if (poison->owner)
		signal_early(poison);
}

/* ---- hearing of it ------------------------------------------------------- */

static void add(const struct poison *news)
{
	struct poison *poison = kmalloc(sizeof(*poison), GFP_KERNEL | __GFP_NOFAIL);

	*poison = *news;
	llist_add(&poison->node, &poison_news);
}

static void poison_look(struct work_struct *work)
{
	struct poison *poison, *next;
	struct llist_node *news;
	struct poison heard;
	bool again = false;

	while (kfifo_get(&poison_heard, &heard))
		add(&heard);
	news = llist_del_all(&poison_news);
	llist_for_each_entry_safe(poison, next, news, node) {
		bool done = retire(poison_registry, poison);

		if (poison->found && !poison->told)
			tell(poison);
		if (done) {
			kfree(poison);
		} else {
			llist_add(&poison->node, &poison_news);
			again = true;
		}
		cond_resched();
	}
	poison_delay = again ? min(2 * poison_delay, LOOK_LONGEST) : LOOK_SHORTEST;
	if (again)
		queue_delayed_work(compat_unbound_wq, &poison_work, poison_delay);
}

/* A ZONE_DEVICE page has become poisoned: what can be done at once is. */
static void poison_device_page(unsigned long pfn)
{
	struct poison poison = { .pfn = pfn };

	retire(poison_registry, &poison);
	add(&poison);
	mod_delayed_work(compat_unbound_wq, &poison_work, 0);
}

/*
 * A probe of memory_failure_event, which tells of every page of the system. When it is
 * back, the page does not go to the pool any more if it is freed. What else there is
 * to do has to wait, for preemption is off.
 */
static void poison_probe(void *unused, unsigned long pfn, int type, int result)
{
	struct pool *pool = poison_registry->pool;
	struct poison poison = { .pfn = pfn };

	if (type == MF_MSG_DAX)
		return;
	if (find_page(pool, &poison) ? poison.told : !may_be_coming(pool))
		return;
	kfifo_put(&poison_heard, poison);
	mod_delayed_work(compat_unbound_wq, &poison_work, 0);
}

static struct tracepoint *poison_tracepoint;

static void find_tracepoint(struct tracepoint *tracepoint, void *unused)
{
	if (!strcmp(tracepoint->name, "memory_failure_event"))
		poison_tracepoint = tracepoint;
}

/* Pages that were poisoned before they came into the pool. */
static void find_poisoned(struct pool *pool)
{
	const struct pool_piece *piece;
	u64 nr_pages = 0;
	u64 offset;

	mutex_lock(&pool->resize_lock);
	list_for_each_entry(piece, &pool->pieces, siblings) {
		for (offset = pool_next_poisoned(piece, 0); offset < piece->nr_pages;
		     offset = pool_next_poisoned(piece, offset + 1)) {
			add(&(struct poison){ .pfn = piece->pfn + offset, .told = true });
			nr_pages++;
		}
	}
	mutex_unlock(&pool->resize_lock);
	if (!nr_pages)
		return;
	pr_warn("%llu pages are broken and out of use\n", nr_pages);
	mod_delayed_work(compat_unbound_wq, &poison_work, 0);
	flush_delayed_work(&poison_work);
}

/**
 * poison_init() - retire the pages that are poisoned, and those that will be
 * @registry: of whose pool; it has no client yet
 */
void poison_init(struct registry *registry)
{
	poison_registry = registry;
	find_poisoned(registry->pool);
	zone_device_report(poison_device_page);
	for_each_kernel_tracepoint(find_tracepoint, NULL);
	if (poison_tracepoint &&
	    tracepoint_probe_register(poison_tracepoint, (void *)poison_probe, NULL))
		poison_tracepoint = NULL;
	if (!poison_tracepoint && IS_ENABLED(CONFIG_MEMORY_FAILURE))
		pr_warn("this kernel does not tell of poisoned pages of its own memory\n");
}

/** poison_exit() - stop it, when there is no client and nothing quarantined. */
void poison_exit(void)
{
	struct poison *poison, *next;

	zone_device_report(NULL);
	if (poison_tracepoint)
		tracepoint_probe_unregister(poison_tracepoint, (void *)poison_probe, NULL);
	poison_tracepoint = NULL;
	tracepoint_synchronize_unregister();
	/* No page is on its way any more. */
	mod_delayed_work(compat_unbound_wq, &poison_work, 0);
	flush_delayed_work(&poison_work);
	cancel_delayed_work_sync(&poison_work);
	llist_for_each_entry_safe(poison, next, llist_del_all(&poison_news), node)
		kfree(poison);
}
