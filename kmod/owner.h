/* SPDX-License-Identifier: GPL-2.0-only */
/* The owner table: who owns each page of the pool. */
#ifndef PAGESPAN_OWNER_H
#define PAGESPAN_OWNER_H

#include <linux/bits.h>
#include <linux/spinlock.h>
#include <linux/types.h>

#include "span_map.h"

/**
 * enum owner_state - what a client may do with a page
 * @OWNER_FREE: nothing: it is free, or on its way from or to being free
 * @OWNER_OWNED: touch it and free it
 * @OWNER_QUARANTINED: nothing, but it is charged to it: something pins it
 * @OWNER_RETIRED: nothing, nor may anybody ever again: it is poisoned
 */
enum owner_state {
	OWNER_FREE,
	OWNER_OWNED,
	OWNER_QUARANTINED,
	OWNER_RETIRED,
};

/**
 * struct owner_table - an owner word for each page
 * @pages: the word of each page, unless its megablock has one
 * @blocks: the word of each megablock of 512 pages that are all alike, else 0
 * @split_lock: held while a megablock's word is handed down to its pages
 */
struct owner_table {
	u64 *pages;
	u64 *blocks;
	spinlock_t split_lock;	/* innermost */
};

int owner_table_init(struct owner_table *table, u64 nr_pages);
void owner_table_exit(struct owner_table *table);

u64 owner_run(const struct owner_table *table, u64 first, u64 nr_pages, u64 word);
u64 owner_run_not(const struct owner_table *table, u64 first, u64 nr_pages, u64 word);
u64 owner_run_of(const struct owner_table *table, u64 first, u64 nr_pages, u64 id);
u64 owner_run_of_others(const struct owner_table *table, u64 first, u64 nr_pages, u64 id);
void owner_write_range(struct owner_table *table, u64 first, u64 nr_pages, u64 word);

/* The id of no client, of pages that were cleared when they were freed. */
#define OWNER_NOBODY_CLEAN	(BIT_ULL(61) - 1)

#define OWNER_STATE_BITS	2
#define OWNER_STATE_MASK	3ULL

/**
 * owner_word() - compose the word of a page
 * @id: of the client that owns the page or owned it last; 0 if none did
 * @state: its state
 *
 * Return: the word.
 */
static inline u64 owner_word(u64 id, enum owner_state state)
{
	return id << OWNER_STATE_BITS | state;
}

/**
 * owner_id() - the client of a word
 * @word: the word
 *
 * Return: the id; 0 if the page is new from the system.
 */
static inline u64 owner_id(u64 word)
{
	return word >> OWNER_STATE_BITS;
}

/**
 * owner_state() - the state of a word
 * @word: the word
 *
 * Return: the state.
 */
static inline enum owner_state owner_state(u64 word)
{
	return word & OWNER_STATE_MASK;
}

/* Set in every block word, so that none is 0. */
#define OWNER_BLOCK_WORD	BIT_ULL(63)
#define OWNER_BLOCK_PAGES	SPAN_MAP_MEGABLOCK_PAGES

static inline u64 *owner_block(const struct owner_table *table, u64 index)
{
	return &table->blocks[index / OWNER_BLOCK_PAGES];
}

/* Who sees a page OWNED sees it cleared, so loads acquire and stores release. */
static inline u64 owner_load(const u64 *word)
{
	/* Pairs with owner_store(). */
	return smp_load_acquire(word);
}

static inline void owner_store(u64 *word, u64 value)
{
	/* Pairs with owner_load(). */
	smp_store_release(word, value);
}

/**
 * owner_read() - the word of a page
 * @table: the table
 * @index: page index
 *
 * Return: the word.
 */
static inline u64 owner_read(const struct owner_table *table, u64 index)
{
	u64 block = owner_load(owner_block(table, index));

	return block ? block & ~OWNER_BLOCK_WORD : owner_load(&table->pages[index]);
}

/**
 * owner_any() - whether any of a few pages has a word
 * @table: the table
 * @first: index of the first page
 * @end: index after the last, at most a megablock further
 * @word: the word
 *
 * Return: true if one has.
 */
static inline bool owner_any(const struct owner_table *table, u64 first, u64 end, u64 word)
{
	const u64 *page = &table->pages[first];

	if (owner_load(owner_block(table, first)) | owner_load(owner_block(table, end))) {
		for (; first < end; first++)
			if (owner_read(table, first) == word)
				return true;
		return false;
	}
	for (; page < &table->pages[end]; page++)
		if (owner_load(page) == word)
			return true;
	return false;
}

/**
 * owner_write() - set the word of pages
 * @table: the table
 * @first: index of the first page
 * @nr_pages: how many
 * @word: the word
 *
 * Only the thread that reserved the pages, or took them out of OWNED, writes.
 */
static inline void owner_write(struct owner_table *table, u64 first, u64 nr_pages, u64 word)
{
	if (nr_pages == 1 && !READ_ONCE(*owner_block(table, first)))
		owner_store(&table->pages[first], word);
	else
		owner_write_range(table, first, nr_pages, word);
}

/**
 * owner_change() - set the word of a page that has a certain one
 * @table: the table
 * @index: page index
 * @from: the word it must have
 * @to: the word it is to have
 *
 * Others are kept from changing it, as for owner_write().
 *
 * Return: whether it had it; if not, nothing has changed.
 */
static inline bool owner_change(struct owner_table *table, u64 index, u64 from, u64 to)
{
	u64 block = owner_load(owner_block(table, index));

	if (block) {
		if ((block & ~OWNER_BLOCK_WORD) != from)
			return false;
		owner_write_range(table, index, 1, to);
		return true;
	}
	if (owner_load(&table->pages[index]) != from)
		return false;
	owner_store(&table->pages[index], to);
	return true;
}

#endif
