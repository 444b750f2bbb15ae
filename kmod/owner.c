// SPDX-License-Identifier: GPL-2.0-only
/*
 * The owner table: for each page, the id of the client that owns it or owned it
 * last, and a state.
 *
 * A page has a word of its own, and a megablock has one for all of its 512
 * pages while they are alike: a span of whole megablocks costs one word for
 * each. A block word of 0 means "ask the pages". It is set when all of a
 * megablock is written at once, and handed down to the pages before a part of it
 * is written.
 *
 * Readers take no lock. The words of pages below a block word are stale; a
 * reader that finds block word 0, and is overtaken by a writer that sets it,
 * acts on a stale page word. So the words below are never left OWNED: that is
 * only ever written to pages which were not OWNED before, and an owner that
 * leaves page by page writes page by page. Between the check that a page is
 * owned and acting on it a reader excludes the writer that ends the ownership,
 * by client->lock.
 */
#include <linux/minmax.h>
#include <linux/sched.h>
#include <linux/vmalloc.h>

#include "owner.h"

#define BLOCK_PAGES	OWNER_BLOCK_PAGES

/**
 * owner_table_init() - start with every page owned by nobody
 * @table: the table, zeroed
 * @nr_pages: pages in the pool
 *
 * Return: 0 or -ENOMEM.
 */
int owner_table_init(struct owner_table *table, u64 nr_pages)
{
	spin_lock_init(&table->split_lock);
	table->pages = vzalloc(array_size(round_up(nr_pages, BLOCK_PAGES), sizeof(u64)));
	table->blocks = vzalloc(array_size(DIV_ROUND_UP(nr_pages, BLOCK_PAGES), sizeof(u64)));
	if (table->pages && table->blocks)
		return 0;
	owner_table_exit(table);
	return -ENOMEM;
}

/**
 * owner_table_exit() - free the table
 * @table: the table
 */
void owner_table_exit(struct owner_table *table)
{
	vfree(table->pages);
	vfree(table->blocks);
}

/* The end of the part of a range that lies in the megablock of its first page. */
static u64 part_end(u64 first, u64 end)
{
	return min(end, round_down(first, BLOCK_PAGES) + BLOCK_PAGES);
}

/* Words looked at, or written, without a branch for each. */
#define OWNER_STRIDE	8

/* Whether a stride of words, without the bits of ignore, are all word; or none, if not same. */
static __always_inline bool stride_is(const u64 *words, u64 word, u64 ignore, bool same)
{
	bool found = false;
	u64 differ = 0;
	int i;

	for (i = 0; i < OWNER_STRIDE; i++) {
		u64 difference = (READ_ONCE(words[i]) ^ word) & ~ignore;

		differ |= difference;
		found |= !difference;
	}
	return same ? !differ : !found;
}

static __always_inline void write_stride(u64 *words, u64 word)
{
	int i;

	for (i = 0; i < OWNER_STRIDE; i++)
		WRITE_ONCE(words[i], word);
}

/*
 * How many pages from first on have a word that, without the bits of ignore, is
 * word (or is not, if same is false).
 *
 * The words of pages are loaded in any order. What a caller does for the pages
 * counted is behind the branch on those words, and its loads are behind the
 * barrier: together an acquire of each.
 */
static __always_inline u64 run(const struct owner_table *table, u64 first, u64 nr_pages,
			       u64 word, u64 ignore, bool same)
{
	u64 end = first + nr_pages;
	u64 index = first;

	while (index < end) {
		u64 stop = part_end(index, end);
		u64 block = owner_load(owner_block(table, index));

		if (block) {
			if (((block & ~OWNER_BLOCK_WORD & ~ignore) == word) != same)
				break;
			index = stop;
		} else {
			const u64 *pages = table->pages;

			while (stop - index >= OWNER_STRIDE &&
			       stride_is(&pages[index], word, ignore, same))
				index += OWNER_STRIDE;
			while (index < stop &&
			       ((READ_ONCE(pages[index]) & ~ignore) == word) == same)
				index++;
			if (index < stop)
				break;
		}
		if (index < end)
			cond_resched();
	}
	/* Pairs with smp_wmb() in owner_write_range() and with owner_store(). */
	smp_acquire__after_ctrl_dep();
	return index - first;
}

/**
 * owner_run() - how many pages from one on have the same word
 * @table: the table
 * @first: index of the first page
 * @nr_pages: how many to look at
 * @word: the word
 *
 * Return: the number of pages before the first that has another word.
 */
u64 owner_run(const struct owner_table *table, u64 first, u64 nr_pages, u64 word)
{
	return run(table, first, nr_pages, word, 0, true);
}

/**
 * owner_run_not() - how many pages from one on have another word
 * @table: the table
 * @first: index of the first page
 * @nr_pages: how many to look at
 * @word: the word
 *
 * Return: the number of pages before the first that has this word.
 */
u64 owner_run_not(const struct owner_table *table, u64 first, u64 nr_pages, u64 word)
{
	return run(table, first, nr_pages, word, 0, false);
}

/**
 * owner_run_of() - how many pages from one on a client owns or owned last
 * @table: the table
 * @first: index of the first page
 * @nr_pages: how many to look at
 * @id: the client's id
 *
 * Return: the number of pages before the first of another client.
 */
u64 owner_run_of(const struct owner_table *table, u64 first, u64 nr_pages, u64 id)
{
	return run(table, first, nr_pages, owner_word(id, 0), OWNER_STATE_MASK, true);
}

/**
 * owner_run_of_others() - how many pages from one on a client did not own last
 * @table: the table
 * @first: index of the first page
 * @nr_pages: how many to look at
 * @id: the client's id
 *
 * Return: the number of pages before the first of this client.
 */
u64 owner_run_of_others(const struct owner_table *table, u64 first, u64 nr_pages, u64 id)
{
	return run(table, first, nr_pages, owner_word(id, 0), OWNER_STATE_MASK, false);
}

/* Hands a megablock's word down to its pages. */
static void split(struct owner_table *table, u64 index)
{
	u64 first = round_down(index, BLOCK_PAGES);
	u64 *block = owner_block(table, index);
	u64 i;

	spin_lock(&table->split_lock);
	if (*block) {
		for (i = 0; i < BLOCK_PAGES; i++)
			WRITE_ONCE(table->pages[first + i], *block & ~OWNER_BLOCK_WORD);
		owner_store(block, 0);
	}
	spin_unlock(&table->split_lock);
}

/**
 * owner_write_range() - owner_write(), for any number of pages
 * @table: the table
 * @first: index of the first page
 * @nr_pages: how many
 * @word: the word
 */
void owner_write_range(struct owner_table *table, u64 first, u64 nr_pages, u64 word)
{
	bool owned = owner_state(word) == OWNER_OWNED;
	u64 end = first + nr_pages;
	u64 index = first;

	while (index < end) {
		u64 stop = part_end(index, end);
		u64 *block = owner_block(table, index);

		if (stop - index == BLOCK_PAGES && (owned || READ_ONCE(*block))) {
			owner_store(block, word | OWNER_BLOCK_WORD);
			index = stop;
		} else {
			if (READ_ONCE(*block))
				split(table, index);
			/*
			 * With the stores behind it, a release for each. Pairs with
			 * owner_load() and with the barrier in run().
			 */
			smp_wmb();
			for (; stop - index >= OWNER_STRIDE; index += OWNER_STRIDE)
				write_stride(&table->pages[index], word);
			while (index < stop)
				WRITE_ONCE(table->pages[index++], word);
		}
		if (index < end)
			cond_resched();
	}
}
