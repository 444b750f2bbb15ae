// SPDX-License-Identifier: GPL-2.0-only
/*
 * The pieces of the pool: which physical pages are behind which page indices.
 *
 * The index space is fixed when the module is loaded; the pages in it are not.
 * They come in pieces, each physically contiguous and from one source:
 *
 *	megablock   0     1     2     3     4     5     6     7
 *	          |#####|#####|     |#####|#####|##   |     |     |
 *	          '- piece 1 -'     '-- piece 2 ---'  '- absent -'
 *
 * Between two pieces there is a whole megablock that is not there, so neither a
 * span nor a page table, wherever the window lies, reaches from one into another.
 * A page that is not there is in use for the span map and owned by nobody,
 * so it is never free; hence a span is always physically contiguous, and nothing
 * but the words of pool->blocks has to tell one piece from another. A page has
 * the same place in its megablock physically and by index, so that one that is
 * aligned for a 2 MiB mapping in one way is so in the other.
 *
 * A piece leaves once all of its pages were allocated to nobody: then no client
 * can get one, and none is mapped or pinned. Who looks at a struct page without
 * holding the page, be it the query of a page just freed or the fast way of
 * get_user_pages(), does so in an RCU read section, which ends before the piece
 * is given back.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/mm.h>
#include <linux/rculist.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/vmalloc.h>

#include "address_space.h"
#include "check.h"
#include "era.h"
#include "pool.h"

#define BLOCK_PAGES	((u64)SPAN_MAP_MEGABLOCK_PAGES)
#define PAGES_IN_MB(n)	((n) >> (20 - PAGE_SHIFT))

/* How long what may take long is tried in one call. */
#define TAKE_TIMEOUT	(8 * HZ)

/* What is taken from the running system if nothing else was asked for. */
#define DEFAULT_PAGES		((u64)SZ_64M / PAGE_SIZE)

/* By default a memory block is taken if it is at most so large, and at most this part of memory. */
#define DEFAULT_BLOCK_PAGES	((u64)SZ_256M / PAGE_SIZE)
#define DEFAULT_BLOCK_PART	8

/* Growing accepts pieces down to this. */
#define SMALLEST_PIECE		BLOCK_PAGES

/* The index space beyond the first pieces has room for pieces of this size. */
#define PIECE_ROOM		((u64)SZ_64M / PAGE_SIZE)

/* The best first, behind those that a parameter has to name a place for. */
static const struct pool_source *const sources[] = {
	&pool_source_phys,
	&pool_source_reserve_mem,
	&pool_source_hotplug,
	&pool_source_contig,
};

/**
 * pool_find_source() - a source by its name
 * @name: as source= tells it
 *
 * Return: the source, or NULL.
 */
const struct pool_source *pool_find_source(const char *name)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(sources); i++)
		if (sysfs_streq(name, sources[i]->name))
			return sources[i];
	return NULL;
}

/**
 * pool_why() - say why a source gives nothing
 * @request: what was wanted
 * @format: as for printf(), followed by what it wants
 */
void pool_why(struct pool_request *request, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vscnprintf(request->why, POOL_WHY_BYTES, format, args);
	va_end(args);
}

/*
 * The lowest index for a piece, -ENOSPC if it has no room; *prev is what it comes
 * behind.
 */
static s64 find_room(struct pool *pool, unsigned long pfn, u64 nr_pages, struct list_head **prev)
{
	u64 first = pfn % BLOCK_PAGES;
	struct pool_piece *piece;

	*prev = &pool->pieces;
	list_for_each_entry(piece, &pool->pieces, siblings) {
		u64 end = piece->first + piece->nr_pages;

		if (round_up(first + nr_pages, BLOCK_PAGES) + BLOCK_PAGES <= piece->first)
			return first;
		first = round_up(end, BLOCK_PAGES) + BLOCK_PAGES + pfn % BLOCK_PAGES;
		*prev = &piece->siblings;
	}
	return first + nr_pages <= pool->nr_pages ? first : -ENOSPC;
}

/**
 * pool_kernel_is_huge() - whether the kernel lets a driver make 2 MiB entries
 *
 * Without transparent huge pages, as under PREEMPT_RT, none can be made.
 *
 * Return: true if it does.
 */
bool pool_kernel_is_huge(void)
{
	return IS_ENABLED(CONFIG_TRANSPARENT_HUGEPAGE) && has_transparent_hugepage();
}

/* Whether whole megablocks of a source get 2 MiB entries. */
static bool is_huge(const struct pool_source *source)
{
	return pool_kernel_is_huge() && (source->zone_device || PAGESPAN_FOLIOS);
}

/* The words of a piece's megablocks; a part of one takes no 2 MiB entry. */
static void write_blocks(struct pool *pool, const struct pool_piece *piece, bool present)
{
	u64 end = piece->first + piece->nr_pages;
	u64 index = round_down(piece->first, BLOCK_PAGES);
	unsigned long pfn = round_down(piece->pfn, BLOCK_PAGES);

	for (; index < end; index += BLOCK_PAGES, pfn += BLOCK_PAGES) {
		unsigned long word = pfn;

		if (piece->source->zone_device)
			word |= POOL_BLOCK_DEVICE;
		if (is_huge(piece->source) && index >= piece->first && index + BLOCK_PAGES <= end)
			word |= POOL_BLOCK_HUGE;
		WRITE_ONCE(pool->blocks[index / BLOCK_PAGES], present ? word : 0);
	}
}

static void count(struct pool *pool, const struct pool_piece *piece, s64 nr_pages)
{
	u64 *source_pages = &pool->source_pages[piece->source->id];

	WRITE_ONCE(pool->present, pool->present + nr_pages);
	WRITE_ONCE(*source_pages, *source_pages + nr_pages);
}

/* Shows a piece that was taken: its pages can be allocated. */
static void enter(struct pool *pool, struct pool_piece *piece)
{
	address_space_add(pool->mapping, piece->pfn, piece->nr_pages);
	write_blocks(pool, piece, true);
	count(pool, piece, piece->nr_pages);
	pool_readmit(pool, piece);
}

/* Until there are tables to enter it, a new piece is only listed. */
static struct pool_piece *take_piece(struct pool *pool, const struct pool_source *source,
				     struct pool_request *request)
{
	struct pool_piece *piece;
	struct list_head *prev;
	s64 first;
	int ret;

	piece = kzalloc(sizeof(*piece), GFP_KERNEL);
	if (!piece) {
		pool_why(request, "no memory");
		return ERR_PTR(-ENOMEM);
	}
	piece->source = source;
	piece->withdrawn = true;
	first = find_room(pool, 0, request->nr_pages, &prev);
	ret = first < 0 ? first : source->take(piece, request);
	if (ret)
		goto free_piece;
	first = find_room(pool, piece->pfn, piece->nr_pages, &prev);
	if (first < 0) {
		ret = first;
		goto give_back;
	}
	piece->first = first;
	list_add_rcu(&piece->siblings, prev);
	if (pool->blocks)
		enter(pool, piece);
	return piece;

give_back:
	source->give_back(piece);
free_piece:
	kfree(piece);
	if (ret == -ENOSPC)
		pool_why(request,
			 "the index space, which max_mb= sets, has no room for %llu MiB in one piece",
			 PAGES_IN_MB(request->nr_pages));
	else if (ret == -EINTR)
		pool_why(request, "interrupted by a signal");
	return ERR_PTR(ret);
}

/* Makes pages that nobody owns, maps or pins what they were when they came; how many are not. */
static u64 restore(struct pool *pool, const struct pool_piece *piece)
{
	u64 index = round_down(piece->first, BLOCK_PAGES);

	for (; index < piece->first + piece->nr_pages; index += BLOCK_PAGES)
		while (pool_is_folio(pool, index) && !era_take_apart(pool, index))
			cond_resched();
	return check_pages(pool, piece);
}

static void give_back(struct pool_piece *piece)
{
	address_space_remove(piece->pfn, piece->nr_pages);
	piece->source->give_back(piece);
	kfree(piece);
}

static void give_back_all(struct pool *pool)
{
	struct pool_piece *piece, *next;

	list_for_each_entry_safe(piece, next, &pool->pieces, siblings) {
		list_del(&piece->siblings);
		if (pool->blocks)
			restore(pool, piece);
		give_back(piece);
	}
}

/* What a call to a source starts with. */
static void ask(struct pool *pool, const struct pool_source *source, struct pool_request *request)
{
	request->why = pool->why_not[source->id];
	request->why[0] = '\0';
	request->below = U64_MAX;
	request->deadline = jiffies + TAKE_TIMEOUT;
}

/* Of a source with pieces of one size, as many as fit into nr_pages; the rest of it is left. */
static int take_blocks(struct pool *pool, const struct pool_source *source, u64 *nr_pages)
{
	struct pool_request request = { .nr_pages = source->piece_pages() };
	struct pool_piece *piece;

	ask(pool, source, &request);
	while (request.nr_pages <= *nr_pages) {
		piece = take_piece(pool, source, &request);
		if (IS_ERR(piece))
			return PTR_ERR(piece);
		*nr_pages -= piece->nr_pages;
	}
	if (*nr_pages)
		pool_why(&request, "a memory block of %llu MiB is more than the %llu MiB wanted",
			 PAGES_IN_MB(request.nr_pages), PAGES_IN_MB(*nr_pages));
	return 0;
}

/* Of any other source, one piece. */
static int take_one(struct pool *pool, const struct pool_source *source, u64 *nr_pages)
{
	struct pool_request request = { .nr_pages = *nr_pages };
	struct pool_piece *piece;

	ask(pool, source, &request);
	piece = take_piece(pool, source, &request);
	if (IS_ERR(piece))
		return PTR_ERR(piece);
	*nr_pages -= piece->nr_pages;
	return 0;
}

static bool is_one_of(const struct pool_source *source, const struct pool_source *only)
{
	return !only || source == only;
}

static void rule_out(struct pool *pool, const struct pool_source *only)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(sources); i++) {
		char *why = pool->why_not[sources[i]->id];

		if (!is_one_of(sources[i], only))
			snprintf(why, POOL_WHY_BYTES, "source=%s is given", only->name);
		else if (!only && sources[i]->is_named && !sources[i]->is_named())
			snprintf(why, POOL_WHY_BYTES, "%s= is not given", sources[i]->name);
	}
}

/* Takes what parameters name a place for. Returns how many pages, or -errno. */
static s64 take_named(struct pool *pool, const struct pool_source *only, u64 max_pages)
{
	u64 left = max_pages;
	int i, ret;

	for (i = 0; i < ARRAY_SIZE(sources); i++) {
		const struct pool_source *source = sources[i];

		if (!source->is_named || !is_one_of(source, only) ||
		    !(only || source->is_named()))
			continue;
		ret = take_one(pool, source, &left);
		if (ret) {
			pr_err("%s\n", pool->why_not[source->id]);
			return ret;
		}
	}
	return max_pages - left;
}

/* Without a size: one memory block, unless it would be a large part of memory. */
static u64 default_block(struct pool *pool, const struct pool_source *only, u64 max_pages)
{
	u64 pages = pool_source_hotplug.piece_pages();
	struct pool_request request;

	if (only)
		return only == &pool_source_hotplug ? pages : 0;
	ask(pool, &pool_source_hotplug, &request);
	if (pages > DEFAULT_BLOCK_PAGES || pages > totalram_pages() / DEFAULT_BLOCK_PART)
		pool_why(&request,
			 "without size_mb=, a memory block of %llu MiB is too much of %llu MiB",
			 PAGES_IN_MB(pages), PAGES_IN_MB((u64)totalram_pages()));
	else if (pages > max_pages)
		pool_why(&request,
			 "a memory block of %llu MiB is more than max_mb=", PAGES_IN_MB(pages));
	else
		return pages;
	return 0;
}

/*
 * Takes pages from the running system: blocks as far as they go, the rest in one
 * piece.
 */
static int take_from_system(struct pool *pool, const struct pool_source *only, u64 nr_pages,
			    u64 max_pages)
{
	u64 wanted = nr_pages ?: default_block(pool, only, max_pages);
	u64 available = max(si_mem_available(), 0L);
	u64 left = wanted;
	int ret;

	if (wanted > available) {
		pr_err("cannot reserve %llu MiB: %llu MiB are available\n", PAGES_IN_MB(wanted),
		       PAGES_IN_MB(available));
		return -ENOMEM;
	}
	if (wanted && is_one_of(&pool_source_hotplug, only)) {
		ret = take_blocks(pool, &pool_source_hotplug, &left);
		if (ret == -EINTR)
			return ret;
		if (only && left < wanted)
			return 0;
		if (only) {
			pr_err("%s\n", pool->why_not[only->id]);
			return ret ?: -EINVAL;
		}
	}
	if (!nr_pages && left == wanted)
		left = min(DEFAULT_PAGES, max_pages);
	if (!left)
		return 0;
	ret = take_one(pool, &pool_source_contig, &left);
	if (ret)
		pr_err("%s%s%s\n", pool->why_not[PAGESPAN_SOURCE_CONTIG],
		       only ? "" : "; hotplug: ",
		       only ? "" : pool->why_not[PAGESPAN_SOURCE_HOTPLUG]);
	return ret;
}

/* The first pieces, of which there is at least one. */
static int take_first(struct pool *pool, const struct pool_source *only, u64 nr_pages,
		      u64 max_pages)
{
	s64 named;

	rule_out(pool, only);
	named = take_named(pool, only, max_pages);
	if (named)
		return named < 0 ? named : 0;
	return take_from_system(pool, only, nr_pages, max_pages);
}

/* What the pieces take of the index space, and how many pages they are. */
static u64 end_of_pieces(struct pool *pool, u64 *nr_pages)
{
	struct pool_piece *piece;
	u64 end = 0;

	*nr_pages = 0;
	list_for_each_entry(piece, &pool->pieces, siblings) {
		*nr_pages += piece->nr_pages;
		end = piece->first + piece->nr_pages;
	}
	return end;
}

/* Fixes the index space: the pieces there are, and room for those that may come. */
static int fix_index_space(struct pool *pool, u64 max_pages)
{
	u64 taken, more;

	pool->nr_pages = end_of_pieces(pool, &taken);
	pool->max_pages = max_pages ?: taken;
	if (pool->max_pages > totalram_pages() + taken) {
		pr_err("max_mb=%llu is more than the memory of this machine, %llu MiB\n",
		       PAGES_IN_MB(max_pages), PAGES_IN_MB((u64)totalram_pages()));
		return -EINVAL;
	}
	more = pool->max_pages - taken;
	if (more)
		pool->nr_pages = round_up(pool->nr_pages, BLOCK_PAGES) +
				 round_up(more, BLOCK_PAGES) +
				 (more / PIECE_ROOM + 1) * 2 * BLOCK_PAGES;
	if (pool->nr_pages > SPAN_MAP_MAX_PAGES) {
		pr_err("the index space would be larger than 1 TiB\n");
		return -EINVAL;
	}
	return 0;
}

/**
 * pool_init() - reserve pages and make them all free
 * @pool: the pool, zeroed
 * @only: where from, or NULL for the best
 * @nr_pages: how many, where the source lets one choose; 0 for the default
 * @max_pages: what the pool may grow to, at least @nr_pages; 0 for no more than
 *	it starts with
 *
 * Says in the kernel log why it fails.
 *
 * Context: process context; sleeps, and may take long while pages are moved.
 * Return: 0; -EINVAL for what makes no sense, -EBUSY for memory that others use,
 * -ENOMEM if that many pages cannot be had, -EINTR if a fatal signal arrived.
 */
int pool_init(struct pool *pool, const struct pool_source *only, u64 nr_pages, u64 max_pages)
{
	struct pool_piece *piece;
	int ret;

	spin_lock_init(&pool->lock);
	mutex_init(&pool->resize_lock);
	INIT_LIST_HEAD(&pool->pieces);
	pool->looked_at = jiffies - 1;
	pool->only = only;
	pool->mapping = address_space_create();
	if (IS_ERR(pool->mapping))
		return PTR_ERR(pool->mapping);
	pool->nr_pages = S64_MAX;	/* fixed below */
	ret = take_first(pool, only, nr_pages, max_pages ?: SPAN_MAP_MAX_PAGES);
	if (ret)
		goto give_back;
	ret = fix_index_space(pool, max_pages);
	if (ret)
		goto give_back;
	ret = -ENOMEM;
	pool->metadata = vmalloc(span_map_metadata_bytes(pool->nr_pages));
	pool->blocks = vzalloc(array_size(DIV_ROUND_UP(pool->nr_pages, BLOCK_PAGES),
					  sizeof(*pool->blocks)));
	pool->exports = vzalloc(array_size(pool->nr_pages, sizeof(*pool->exports)));
	if (!pool->metadata || !pool->blocks || !pool->exports)
		goto free_tables;
	ret = span_map_init(&pool->map, pool->nr_pages, pool->metadata);
	if (ret)
		goto free_tables;
	list_for_each_entry(piece, &pool->pieces, siblings)
		enter(pool, piece);
	return 0;

free_tables:
	vfree(pool->exports);
	vfree(pool->blocks);
	pool->blocks = NULL;
	vfree(pool->metadata);
give_back:
	give_back_all(pool);
	address_space_destroy(pool->mapping);
	return ret;
}

/**
 * pool_exit() - return the pages to where they are from
 * @pool: a pool all of whose pages are free, but for those that are poisoned
 */
void pool_exit(struct pool *pool)
{
	u64 free_pages, longest_run;

	pool_figures(pool, &free_pages, &longest_run);
	WARN_ON(free_pages > pool->present ||
		free_pages + pool_poisoned_pages(pool) < pool->present);
	give_back_all(pool);
	address_space_destroy(pool->mapping);
	vfree(pool->exports);
	vfree(pool->blocks);
	vfree(pool->metadata);
}

/* Takes pieces of any size, as large as they can be had. */
static int take_any(struct pool *pool, const struct pool_source *source, u64 *nr_pages)
{
	struct pool_request request = { .nr_pages = *nr_pages };
	struct pool_piece *piece;

	ask(pool, source, &request);
	while (*nr_pages) {
		request.nr_pages = min(request.nr_pages, *nr_pages);
		piece = take_piece(pool, source, &request);
		if (!IS_ERR(piece))
			*nr_pages -= piece->nr_pages;
		else if ((PTR_ERR(piece) == -ENOMEM || PTR_ERR(piece) == -ENOSPC) &&
			 request.nr_pages > SMALLEST_PIECE)
			request.nr_pages = round_up(request.nr_pages / 2, BLOCK_PAGES);
		else
			return PTR_ERR(piece);
	}
	return 0;
}

/**
 * pool_grow() - reserve more pages, in as many pieces as it takes
 * @pool: the pool
 * @nr_pages: how many more, so that there are at most pool->max_pages
 *
 * Context: process context; pool->resize_lock held; sleeps, and may take long.
 * Return: 0, even if there are fewer than wanted; -EINTR if a fatal signal
 * arrived.
 */
int pool_grow(struct pool *pool, u64 nr_pages)
{
	int i, ret = 0;

	lockdep_assert_held(&pool->resize_lock);
	for (i = 0; i < ARRAY_SIZE(sources) && nr_pages && ret != -EINTR; i++) {
		const struct pool_source *source = sources[i];

		if (!is_one_of(source, pool->only))
			continue;
		if (source->piece_pages)
			ret = take_blocks(pool, source, &nr_pages);
		else if (!source->is_named)
			ret = take_any(pool, source, &nr_pages);
		else if (source->is_named() && !pool->source_pages[source->id])
			ret = take_one(pool, source, &nr_pages);
	}
	return ret == -EINTR ? ret : 0;
}

/* Allocates all pages of a piece to nobody. */
static bool withdraw(struct pool *pool, struct pool_piece *piece)
{
	u64 done, part;

	for (done = 0; done < piece->nr_pages; done += part) {
		part = min_t(u64, piece->nr_pages - done, PAGESPAN_MAX_PAGES);
		if (pool_alloc_at(pool, NULL, piece->first + done, part)) {
			if (done)
				pool_free(pool, piece->first, done);
			return false;
		}
		cond_resched();
	}
	piece->withdrawn = true;
	return true;
}

/**
 * pool_withdraw() - keep a piece from being allocated
 * @pool: the pool
 * @nr_pages: it has at most so many pages
 *
 * Nobody owns, maps or pins a page of it from then on. While a piece of more
 * than PAGESPAN_MAX_PAGES is looked through, what is free in it cannot be had.
 *
 * Context: process context; pool->resize_lock held.
 * Return: the last piece that is wholly free, or NULL if none is. It goes on to
 * pool_readmit() or pool_remove().
 */
struct pool_piece *pool_withdraw(struct pool *pool, u64 nr_pages)
{
	struct pool_piece *piece;

	lockdep_assert_held(&pool->resize_lock);
	list_for_each_entry_reverse(piece, &pool->pieces, siblings)
		if (!piece->withdrawn && piece->nr_pages <= nr_pages && withdraw(pool, piece))
			return piece;
	return NULL;
}

/**
 * pool_readmit() - let the pages of a piece be allocated
 * @pool: the pool
 * @piece: a piece that is withdrawn
 */
void pool_readmit(struct pool *pool, struct pool_piece *piece)
{
	piece->withdrawn = false;
	pool_free(pool, piece->first, piece->nr_pages);
}

/**
 * pool_remove() - return a piece to where it is from
 * @pool: the pool
 * @piece: a piece that is withdrawn; ends here
 *
 * Context: process context; pool->resize_lock held; sleeps.
 */
void pool_remove(struct pool *pool, struct pool_piece *piece)
{
	lockdep_assert_held(&pool->resize_lock);
	restore(pool, piece);
	write_blocks(pool, piece, false);
	count(pool, piece, -piece->nr_pages);
	list_del_rcu(&piece->siblings);
	synchronize_rcu();
	give_back(piece);
}

/**
 * pool_check() - look for free pages that are not as they came
 * @pool: the pool
 * @checked: where to put how many were looked at: those of the pieces that are wholly free
 *
 * What is looked at cannot be had meanwhile.
 *
 * Context: process context; sleeps.
 * Return: how many were found, as the kernel log says too.
 */
u64 pool_check(struct pool *pool, u64 *checked)
{
	struct pool_piece *piece;
	u64 faults = 0;

	*checked = 0;
	mutex_lock(&pool->resize_lock);
	list_for_each_entry(piece, &pool->pieces, siblings) {
		if (piece->withdrawn || !withdraw(pool, piece))
			continue;
		faults += restore(pool, piece);
		*checked += piece->nr_pages;
		pool_readmit(pool, piece);
	}
	mutex_unlock(&pool->resize_lock);
	return faults;
}

/**
 * pool_find() - the index of a page frame
 * @pool: the pool
 * @pfn: any page frame
 *
 * Context: in an RCU read section, before whose end the page does not leave.
 * Return: the index, or -ENOENT if no piece has it.
 */
s64 pool_find(const struct pool *pool, unsigned long pfn)
{
	const struct pool_piece *piece;

	list_for_each_entry_rcu(piece, &pool->pieces, siblings)
		if (pfn >= piece->pfn && pfn - piece->pfn < piece->nr_pages)
			return piece->first + (pfn - piece->pfn);
	return -ENOENT;
}

/**
 * pool_next_poisoned() - the next page of a piece that is poisoned
 * @piece: the piece
 * @offset: how far in it to begin; at most its length
 *
 * Context: process context; sleeps.
 * Return: how far in it that page is; its length if there is none.
 */
u64 pool_next_poisoned(const struct pool_piece *piece, u64 offset)
{
	for (; offset < piece->nr_pages; offset++) {
		if (PageHWPoison(pfn_to_page(piece->pfn + offset)))
			break;
		if (!(offset % BLOCK_PAGES))
			cond_resched();
	}
	return offset;
}

/* Of a megablock of a piece, in which @index is. */
static u64 poisoned_of_block(const struct pool *pool, const struct pool_piece *piece, u64 index)
{
	u64 end = min(round_down(index, BLOCK_PAGES) + BLOCK_PAGES, piece->first + piece->nr_pages);
	u64 poisoned = 0;

	for (; index < end; index++)
		poisoned += PageHWPoison(pool_page(pool, index));
	return poisoned;
}

/**
 * pool_poisoned_pages() - how many pages of the pool are known to be poisoned
 * @pool: the pool
 *
 * Return: their number.
 */
u64 pool_poisoned_pages(const struct pool *pool)
{
	const struct pool_piece *piece;
	u64 poisoned = 0;
	u64 index;

	rcu_read_lock();
	list_for_each_entry_rcu(piece, &pool->pieces, siblings) {
		u64 end = piece->first + piece->nr_pages;

		for (index = piece->first; index < end;
		     index = round_down(index, BLOCK_PAGES) + BLOCK_PAGES)
			if (pool_block_is_poisoned(pool, index))
				poisoned += poisoned_of_block(pool, piece, index);
	}
	rcu_read_unlock();
	return poisoned;
}

/**
 * pool_best_source() - the best of the sources that the pool's pages are from
 * @pool: the pool
 *
 * Return: the source, or NULL if the pool is empty.
 */
const struct pool_source *pool_best_source(const struct pool *pool)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(sources); i++)
		if (READ_ONCE(pool->source_pages[sources[i]->id]))
			return sources[i];
	return NULL;
}

/**
 * pool_sources() - all sources that the pool's pages are from
 * @pool: the pool
 *
 * Return: a bit for each, by enum pagespan_source.
 */
u32 pool_sources(const struct pool *pool)
{
	u32 mask = 0;
	int i;

	for (i = 0; i < POOL_SOURCES; i++)
		mask |= READ_ONCE(pool->source_pages[i]) ? BIT(i) : 0;
	return mask;
}

/**
 * pool_why_not_huge() - what stands against 2 MiB mappings
 * @pool: the pool
 *
 * Return: a sentence, or NULL if megablocks of the pool are mapped so.
 */
const char *pool_why_not_huge(const struct pool *pool)
{
	int i;

	if (!pool_kernel_is_huge())
		return IS_ENABLED(CONFIG_PREEMPT_RT) ?
		       "a PREEMPT_RT kernel has no transparent huge pages" :
		       "this kernel has no transparent huge pages";
	for (i = 0; i < ARRAY_SIZE(sources); i++)
		if (is_huge(sources[i]) && READ_ONCE(pool->source_pages[sources[i]->id]))
			return NULL;
	return "pages of the running system have none before Linux 6.17";
}

/**
 * pool_tell_sources() - name the sources that the pool's pages are from
 * @pool: the pool
 * @buf: where to
 * @bytes: its size
 *
 * Return: the number of characters.
 */
int pool_tell_sources(const struct pool *pool, char *buf, size_t bytes)
{
	u32 mask = pool_sources(pool);
	int i, length = 0;

	for (i = 0; i < ARRAY_SIZE(sources); i++)
		if (mask & BIT(sources[i]->id))
			length += scnprintf(buf + length, bytes - length, "%s%s", length ? " " : "",
					    sources[i]->name);
	return length ?: scnprintf(buf, bytes, "none");
}

/**
 * pool_tell_why_not() - say why the pool's memory is not of a better kind
 * @pool: the pool; hold resize_lock, or be alone
 * @buf: where to
 * @bytes: its size
 * @separator: what is put between two sentences
 *
 * Return: the number of characters; 0 if it is the best.
 */
int pool_tell_why_not(const struct pool *pool, char *buf, size_t bytes, const char *separator)
{
	const char *huge = pool_why_not_huge(pool);
	u32 mask = pool_sources(pool);
	int i, length = 0;

	*buf = '\0';
	for (i = 0; i < ARRAY_SIZE(sources) && mask; i++) {
		mask &= ~BIT(sources[i]->id);
		if (mask && *pool->why_not[sources[i]->id])
			length += scnprintf(buf + length, bytes - length, "%s%s: %s",
					    length ? separator : "", sources[i]->name,
					    pool->why_not[sources[i]->id]);
	}
	if (huge)
		length += scnprintf(buf + length, bytes - length, "%s2 MiB mappings: %s",
				    length ? separator : "", huge);
	return length;
}
