/* SPDX-License-Identifier: GPL-2.0-only */
/* The owner table: who owns each page of the pool. */
#ifndef PAGESPAN_OWNER_H
#define PAGESPAN_OWNER_H

#include <linux/spinlock.h>
#include <linux/types.h>

/**
 * enum owner_state - what a client may do with a page
 * @OWNER_FREE: nothing: it is free, or on its way from or to being free
 * @OWNER_OWNED: touch it and free it
 * @OWNER_QUARANTINED: nothing, but it is charged to it: something pins it
 */
enum owner_state {
	OWNER_FREE,
	OWNER_OWNED,
	OWNER_QUARANTINED,
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

u64 owner_read(const struct owner_table *table, u64 index);
u64 owner_run(const struct owner_table *table, u64 first, u64 nr_pages, u64 word);
u64 owner_run_not(const struct owner_table *table, u64 first, u64 nr_pages, u64 word);
u64 owner_run_of(const struct owner_table *table, u64 first, u64 nr_pages, u64 id);
u64 owner_run_of_others(const struct owner_table *table, u64 first, u64 nr_pages, u64 id);
void owner_write(struct owner_table *table, u64 first, u64 nr_pages, u64 word);

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

#endif
