// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * The span map: a page-span allocator that is exact and bounded.
 *
 * The problem. A bit a page and a summary every 2 MiB say how many pages are free, but not
 * whether enough of them are contiguous: a run that crosses summaries belongs to none of them. So
 * allocators scan, or round sizes to powers of two and waste memory, or refuse requests that
 * would fit.
 *
 * The idea. Every run starts in exactly one megablock (512 pages). Let each megablock know the
 * longest run that starts in it, however far that reaches, and stand in the list of that length.
 * The shortest list that is long enough and not empty answers a request; if there is none, no run
 * fits, and that is a proof and not a guess. What remains is to keep those lengths right when runs
 * merge and split, touching only the megablocks at the ends of what changes.
 *
 * The structure, with 8 pages to a megablock instead of 512 ("." is free, "#" in use):
 *
 *   megablock       0          1          2          3          4
 *   bits        [#..##...] [ stale  ] [ stale  ] [....####] [ stale  ]
 *                 mixed     all free   all free    mixed     all used
 *   prefix          0          8          8          4          0      free from the first page on
 *   inner         2 at 1       -          -          -          -      longest that touches no end
 *   suffix          3          8          8          0          0      free up to the last page
 *                   |`-------------- one run -----------|
 *   longest         23         0          0          0          0      3 + 8 + 8 + 4
 *                   |
 *   lists   1  2 .. 23 .. 65535  65536 and more                        doubly linked
 *   filled  the lists that are not empty: 64 to a word, 64 words to a word above, one on top
 *   walls   the megablocks that are not all free, in the same form: from inside a streak of
 *           all-free megablocks it leads to either end, however far that is
 *
 * Invariants (span_map_check() verifies each of them):
 *   - The record of a mixed megablock is what its bits say. Bits of an all-free or all-used one are
 *     stale, so that a span does not write 64 bytes for every megablock inside it.
 *   - longest is the maximum of: inner; prefix, unless the page before is free; suffix and the
 *     run it goes on into. In an all-free megablock it is 0 unless the page before is in use.
 *   - A megablock is listed if and only if its longest is not 0, in the list of that length.
 *   - walls and filled hold what they say, on every level. Outside the pool nothing is free.
 *
 * Policy: the shortest list first, and in it the megablock that came last. Of its runs the one
 * inside is preferred, then the prefix, then the suffix: what may still merge with a neighbour is
 * left alone. A small span whose run starts with an all-free megablock is taken from the run's
 * mixed end, if that has room. So an all-free megablock is opened when no shorter run fits, and
 * huge pages stay whole. Only the longest run that starts in a megablock is a candidate: it is a
 * near-best fit, and exact.
 *
 * In bulk. What makes a small allocation or free dear is not the bits but the records and lists
 * after them. So single pages are taken all from one run, or all from the megablock whose runs are
 * the shortest, and ranges that lie in one megablock are freed together: the bits change one by
 * one, and then the record is recomputed from them and the megablock changes lists, once. A prefix
 * that belongs to a run from the left is no part of such a draining: it may be the end of a long
 * run, and those are left alone.
 *
 * Bounds, in cache lines touched at most beside the struct itself; n is the length of the span, and
 * nothing else matters:
 *   allocation refused             5    three words up the index and two down
 *   allocation, free,            128    both ends' bits; the records of 2 + n / 512 megablocks, 8
 *   allocation at an      + n / 4000    to a line; four megablocks at most that change lists, each
 *   address                             with 7 words of walls to the end of its run
 *   single pages, n at           128    one megablock's bits and record, or those of a run of n; as
 *   once                  + n / 4000    many as one megablock has, so that n need not be bounded
 *   free of r ranges     128 each at    fewer where several lie in one megablock: for each of those
 *                    most + n / 4000    128 altogether
 *   step of an aligned         1,500    1,024 megablocks' bits, records and ends of runs; it takes
 *   search                + n / 4000    1 + pool / 2 GiB steps at most
 *   longest run                    6    and one for every run of 65536 pages and more
 * In time: loops are over the 8 words of a megablock, the 3 or 4 levels of an index, the lengths of
 * runs in a word, and those 2 + n / 512.
 *
 * From others: summaries of (start, longest, end) over a bitmap are the Go runtime's; merging a run
 * with what borders it, in O(1), is what Knuth's boundary tags are for; a list per size and bitmaps
 * over the lists are segregated fits as in TLSF. New is to charge a run to the megablock where it
 * starts. That makes lists of megablocks exact over runs of any length: there is no tree to descend
 * or to update, no tag in the pages, and no rounding of sizes.
 */
#ifdef __KERNEL__
#include <linux/bitops.h>
#include <linux/build_bug.h>
#include <linux/errno.h>
#include <linux/string.h>
#else
#include <assert.h>
#include <errno.h>
#include <string.h>
#endif

#include "span_map.h"

#define MB_SHIFT	9
#define MB_PAGES	SPAN_MAP_MEGABLOCK_PAGES
#define MB_MASK		(MB_PAGES - 1)
#define MB_WORDS	(MB_PAGES / 64)
#define ALL		(~0ULL)

/*
 * Inside this file pages are numbered from the first page of a wall: there is a megablock before
 * the pool and one after it that are always in use. So every megablock of the pool has two
 * neighbours, and number 0 can mean "none" in a list.
 */
#define WALL_PAGES	MB_PAGES

/* What is free in a megablock: if all, prefix and suffix are 512; if nothing, all three are 0. */
struct span_map_megablock {
	u16 prefix;		/* free pages from the first page on */
	u16 suffix;		/* free pages up to the last page */
	u16 inner;		/* the longest run that touches neither end */
	u16 inner_at:15;	/* where it starts; NOWHERE if it is 0 */
	u16 others:1;		/* there may be more such runs: 0 only if there are none */
};

/* The runs that start in a megablock. */
struct span_map_start {
	u32 longest;		/* listed if and only if not 0 */
	u32 next;		/* in its list */
	u32 slot;		/* that names it: the head of its list or another's next */
};

static_assert(sizeof(struct span_map_megablock) == 8, "eight to a cache line");

#define NOWHERE		MB_PAGES
#define ALL_FREE	((struct span_map_megablock){ MB_PAGES, MB_PAGES, 0, NOWHERE, 0 })
#define ALL_USED	((struct span_map_megablock){ 0, 0, 0, NOWHERE, 0 })

static inline bool all_free(const struct span_map_megablock *m)
{
	return m->prefix == MB_PAGES;
}

static inline bool all_used(const struct span_map_megablock *m)
{
	return !(m->prefix | m->inner | m->suffix);
}

static inline u32 lowest_bit(u64 word)
{
#ifdef __KERNEL__
	return __ffs64(word);
#else
	return __builtin_ctzll(word);
#endif
}

static inline u32 highest_bit(u64 word)
{
#ifdef __KERNEL__
	return fls64(word) - 1;
#else
	return 63 - __builtin_clzll(word);
#endif
}

/* Bits first..63 of a word, and bits 0..last. */
static inline u64 bits_from(u32 first)
{
	return ALL << first;
}

static inline u64 bits_upto(u32 last)
{
	return ALL >> (63 - last);
}

/*
 * The index: a level has one word more than its members need if they fill them, so that "the word
 * after" is always there.
 */

static u64 index_words(u64 members)
{
	return members / 64 + 1;
}

static u64 index_bytes(u64 members)
{
	u64 words, total = 0;

	do {
		words = index_words(members);
		total += words;
		members = words;
	} while (words > 1);
	return total * sizeof(u64);
}

static u64 *index_init(struct span_map_index *index, u64 members, u64 *memory)
{
	u64 words;
	u32 level = 0;

	for (;; level++) {
		words = index_words(members);
		index->level[level] = memory;
		memset(memory, 0, words * sizeof(u64));
		memory += words;
		if (words == 1)
			break;
		members = words;
	}
	index->top = level;
	return memory;
}

static inline bool index_has(const struct span_map_index *index, u32 i)
{
	return index->level[0][i / 64] >> (i % 64) & 1;
}

/* Carries up whether a word of the lowest level is zero. */
static void index_carry(struct span_map_index *index, u32 word)
{
	u64 *above, member, before;
	u32 level;

	for (level = 0; level < index->top; level++, word /= 64) {
		above = &index->level[level + 1][word / 64];
		member = index->level[level][word] != 0;
		before = *above;
		*above = (before & ~(1ULL << (word % 64))) | member << (word % 64);
		if (!before == !*above)
			return;
	}
}

static inline void index_add(struct span_map_index *index, u32 i)
{
	u64 *word = &index->level[0][i / 64], before = *word;

	*word = before | 1ULL << (i % 64);
	if (!before)
		index_carry(index, i / 64);
}

static inline void index_remove(struct span_map_index *index, u32 i)
{
	u64 *word = &index->level[0][i / 64];

	*word &= ~(1ULL << (i % 64));
	if (!*word)
		index_carry(index, i / 64);
}

/* The smallest member >= i, or -1. */
static s64 index_next(const struct span_map_index *index, u32 i)
{
	u32 level = 0;
	u64 word;

	while (!(word = index->level[level][i / 64] & bits_from(i % 64))) {
		if (level++ == index->top)
			return -1;
		i = i / 64 + 1;
	}
	for (;;) {
		i = (i & ~63u) + lowest_bit(word);
		if (!level)
			return i;
		word = index->level[--level][i];
		i *= 64;
	}
}

/* The largest member <= i; there must be one. */
static u32 index_prev(const struct span_map_index *index, u32 i)
{
	u32 level = 0;
	u64 word;

	while (!(word = index->level[level][i / 64] & bits_upto(i % 64))) {
		level++;
		i = i / 64 - 1;
	}
	for (;;) {
		i = (i & ~63u) + highest_bit(word);
		if (!level)
			return i;
		word = index->level[--level][i];
		i *= 64;
	}
}

/* Adds or removes first..last a word at a time. */
static void index_add_range(struct span_map_index *index, u32 first, u32 last)
{
	u32 i;

	for (i = first; i <= last; i = (i | 63) + 1) {
		u32 end = (i | 63) < last ? 63 : last % 64;

		index_add(index, i);
		index->level[0][i / 64] |= bits_from(i % 64) & bits_upto(end);
	}
}

static void index_remove_range(struct span_map_index *index, u32 first, u32 last)
{
	u32 i;

	for (i = first; i <= last; i = (i | 63) + 1) {
		u32 end = (i | 63) < last ? 63 : last % 64;

		index->level[0][i / 64] &= ~(bits_from(i % 64) & bits_upto(end));
		index_remove(index, i);
	}
}

/* The bits of one megablock. Ranges are first..end-1, never empty, end at most 512. */

/*
 * words_below(n)[i] is ALL for i < n and 0 for the others. With it a range, being the difference of
 * two prefixes, needs no loop whose length the processor would have to guess.
 */
static const u64 words_below_table[2 * MB_WORDS] = { ALL, ALL, ALL, ALL, ALL, ALL, ALL, ALL };

static inline const u64 *words_below(u32 nr_words)
{
	return &words_below_table[MB_WORDS - nr_words];
}

static inline void bits_flip(u64 *bits, u32 first, u32 end)
{
	const u64 *before = words_below(first / 64), *upto = words_below(end / 64);
	u32 word;

	for (word = 0; word < MB_WORDS; word++)
		bits[word] ^= before[word] ^ upto[word];
	bits[first / 64] ^= ~bits_from(first % 64);
	bits[end / 64 % MB_WORDS] ^= ~bits_from(end % 64);
}

/* Where the free run that holds page i - 1, of 0..511, begins; i if that page is in use. */
static u32 run_begin(const u64 *bits, u32 i)
{
	u32 word = (i - 1) / 64;
	u64 used = ~bits[word] & bits_upto((i - 1) % 64);

	while (!used) {
		if (!word)
			return 0;
		used = ~bits[--word];
	}
	return word * 64 + highest_bit(used) + 1;
}

/* Where the free run that holds page i, of 0..511, ends; i if that page is in use. */
static u32 run_end(const u64 *bits, u32 i)
{
	u32 word = i / 64;
	u64 used = ~bits[word] & bits_from(i % 64);

	while (!used) {
		if (++word == MB_WORDS)
			return MB_PAGES;
		used = ~bits[word];
	}
	return word * 64 + lowest_bit(used);
}

static inline bool any_free(const u64 *bits, u32 first, u32 end)
{
	const u64 *upto_first = words_below(first / 64 + 1), *below_last = words_below(end / 64);
	u64 head = bits_from(first % 64), tail = ~bits_from(end % 64), free;
	u32 word;

	if (first / 64 == end / 64)
		return bits[first / 64] & head & tail;
	free = (bits[first / 64] & head) | (bits[end / 64 % MB_WORDS] & tail);
	for (word = 0; word < MB_WORDS; word++)
		free |= bits[word] & ~upto_first[word] & below_last[word];
	return free;
}

/* The positions in a word from which nr >= 1 ones follow within the word. */
static inline u64 fold(u64 word, u32 nr)
{
	u32 have;

	for (have = 1; have * 2 <= nr; have *= 2)
		word &= word >> have;
	return have < nr ? word & (word >> (nr - have)) : word;
}

/*
 * Looks for the longest run that touches neither end. A run counts once a page in use ends it, so
 * the suffix does not; nor does the prefix, which starts below 0 by as much as it is long.
 */
static void find_inner(struct span_map_megablock *m, const u64 *bits)
{
	s32 have = -m->prefix, longest = 0;
	u32 at = NOWHERE, seen = 0, word, head;
	u64 free, found;

	for (word = 0; word < MB_WORDS; word++) {
		free = bits[word];
		if (free == ALL) {
			have += 64;
			continue;
		}
		head = lowest_bit(~free);
		have += head;
		seen += have > 0;
		if (have > longest) {
			longest = have;
			at = word * 64 + head - have;
		}
		have = 63 - highest_bit(~free);
		free &= (free + 1) & bits_upto(63 - have);
		if (!free)
			continue;
		seen += free & (free + (free & -free)) ? 2 : 1;
		while (longest < 62) {
			found = fold(free, longest + 1);
			if (!found)
				break;
			at = lowest_bit(found);
			longest = lowest_bit(~(free >> at));
			at += word * 64;
		}
	}
	m->inner = longest;
	m->inner_at = at;
	m->others = seen > 1;
}

static inline void no_inner(struct span_map_megablock *m)
{
	m->inner = 0;
	m->inner_at = NOWHERE;
}

/* There is another inner run. */
static inline void add_inner(struct span_map_megablock *m, u32 at, u32 length)
{
	m->others = m->inner > 0;
	if (length > m->inner) {
		m->inner = length;
		m->inner_at = at;
	}
}

static inline bool inner_starts_in(const struct span_map_megablock *m, u32 first, u32 end)
{
	return m->inner_at - first < end - first;
}

/*
 * Lists. A megablock in which no run starts goes through list 0, which keeps nothing, and
 * megablock 0 stands in for a neighbour that is not there: so that relink() needs no branches for
 * either.
 */

static inline u32 list_of(const struct span_map *map, u32 longest)
{
	return longest < map->nr_lists ? longest : map->nr_lists;
}

/* Slots are counted in words from map->starts, which map->lists follows. */
static inline u32 slot_of_list(const struct span_map *map, u32 list)
{
	return map->lists - (u32 *)map->starts + list;
}

static void carry_both(struct span_map *map, u32 list, u32 other)
{
	index_carry(&map->filled, list / 64);
	index_carry(&map->filled, other / 64);
}

static void relink(struct span_map *map, u32 mb, u32 longest)
{
	struct span_map_start *start = &map->starts[mb];
	u32 *slots = (u32 *)map->starts, lists = slot_of_list(map, 0);
	u32 next = start->next, slot = start->slot, from, to;
	u64 *filled = map->filled.level[0], before, after;

	/* Whether it was the last of its list would often be guessed wrong: not a branch either. */
	slots[slot] = next;
	map->starts[next].slot = slot;
	from = slot >= lists ? slot - lists : 0;
	after = filled[from / 64] & ~((u64)(!next && slot >= lists) << (from % 64));
	filled[from / 64] = after;

	to = list_of(map, longest);
	slot = lists + to;
	next = slots[slot];
	start->longest = longest;
	start->next = next;
	start->slot = slot;
	map->starts[next].slot = &start->next - slots;
	slots[slot] = to ? mb : 0;
	before = filled[to / 64];
	filled[to / 64] = before | 1ULL << (to % 64);

	if (!after || !before)
		carry_both(map, from, to);
}

/* Runs across megablocks. */

static u32 run_from_all_free(const struct span_map *map, u32 mb)
{
	u32 wall = index_next(&map->walls, mb);

	return (wall - mb) * MB_PAGES + map->megablocks[wall].prefix;
}

/* The number of free pages from the first page of a megablock on. */
static inline u32 run_from(const struct span_map *map, u32 mb)
{
	u32 prefix = map->megablocks[mb].prefix;

	return prefix < MB_PAGES ? prefix : run_from_all_free(map, mb);
}

/* The megablock in which the run that ends with the last page of mb starts. */
static u32 start_of_run_into(const struct span_map *map, u32 mb)
{
	u32 wall;

	if (!all_free(&map->megablocks[mb]))
		return mb;
	wall = index_prev(&map->walls, mb);
	return map->megablocks[wall].suffix ? wall : wall + 1;
}

/*
 * Recomputes the longest run that starts in a megablock. Whether pages are free at its borders is
 * anybody's guess, so what does not count is masked out instead of branched around.
 */
static void settle(struct span_map *map, u32 mb)
{
	const struct span_map_megablock *m = &map->megablocks[mb];
	u32 joined = m[-1].suffix != 0;
	u32 longest = m->inner, prefix = m->prefix & (joined - 1);
	u32 run = m->suffix & ((joined & all_free(m)) - 1);

	run += run_from(map, mb + 1) & -(u32)(run != 0);
	longest = prefix > longest ? prefix : longest;
	longest = run > longest ? run : longest;
	if (longest != map->starts[mb].longest)
		relink(map, mb, longest);
}

/*
 * After pages of one run, or what is one run now, have changed in the megablocks a to b, or any in
 * a alone: the runs that start in a, in b, before a and after b. In between none starts, before or
 * after.
 */
static inline void settle_around(struct span_map *map, u32 a, u32 b, u32 old_prefix,
				 u32 old_suffix)
{
	const struct span_map_megablock *m = map->megablocks;

	if (m[a].prefix != old_prefix && m[a - 1].suffix)
		settle(map, start_of_run_into(map, a - 1));
	settle(map, a);
	if (b != a)
		settle(map, b);
	if (!m[b].suffix != !old_suffix && b < map->nr_megablocks)
		settle(map, b + 1);
}

static void take_within(struct span_map *map, u32 mb, u32 first, u32 end)
{
	struct span_map_megablock *m = &map->megablocks[mb];
	u64 *bits = map->bits[mb];
	u32 rest, at;

	if (all_free(m)) {
		index_add(&map->walls, mb);
		m->prefix = first;
		m->suffix = MB_PAGES - end;
		if (end - first < MB_PAGES) {
			memset(bits, 0xff, sizeof(map->bits[mb]));
			bits_flip(bits, first, end);
		}
		return;
	}

	bits_flip(bits, first, end);
	if (first < m->prefix) {
		rest = m->prefix - end;
		m->prefix = first;
		if (rest)
			add_inner(m, end, rest);
	} else if (first >= MB_PAGES - m->suffix) {
		at = MB_PAGES - m->suffix;
		m->suffix = MB_PAGES - end;
		if (first > at)
			add_inner(m, at, first - at);
	} else if (first - m->inner_at < m->inner) {
		at = m->inner_at;
		rest = at + m->inner - end;
		if (m->others) {
			find_inner(m, bits);
			return;
		}
		no_inner(m);
		if (first > at)
			add_inner(m, at, first - at);
		if (rest)
			add_inner(m, end, rest);
	}
}

static void give_within(struct span_map *map, u32 mb, u32 first, u32 end)
{
	struct span_map_megablock *m = &map->megablocks[mb];
	u64 *bits = map->bits[mb];
	u32 begin = 0, stop = MB_PAGES;

	if (all_used(m) && end - first < MB_PAGES)
		memset(bits, 0, sizeof(map->bits[mb]));
	if (first != m->prefix)
		begin = run_begin(bits, first);
	if (end != MB_PAGES - m->suffix)
		stop = run_end(bits, end);
	if (!begin && stop == MB_PAGES) {
		index_remove(&map->walls, mb);
		*m = ALL_FREE;
		return;
	}

	bits_flip(bits, first, end);
	if (begin && stop < MB_PAGES) {
		if (!inner_starts_in(m, begin, stop)) {
			add_inner(m, begin, stop - begin);
		} else {
			m->inner = stop - begin;
			m->inner_at = begin;
		}
		return;
	}
	if (!begin)
		m->prefix = stop;
	else
		m->suffix = MB_PAGES - begin;
	if (!inner_starts_in(m, begin, stop))
		return;
	if (m->others)
		find_inner(m, bits);
	else
		no_inner(m);
}

/* Takes free pages of one run. */
static void take(struct span_map *map, u64 first, u64 nr_pages)
{
	u32 a = first >> MB_SHIFT, b = (first + nr_pages - 1) >> MB_SHIFT, mb;
	u32 begin = first & MB_MASK, end = ((first + nr_pages - 1) & MB_MASK) + 1;
	struct span_map_megablock *m = map->megablocks;
	u32 old_prefix = m[a].prefix, old_suffix = m[b].suffix;

	map->free_pages -= nr_pages;
	if (a == b) {
		take_within(map, a, begin, end);
	} else {
		take_within(map, a, begin, MB_PAGES);
		if (b - a > 1) {
			for (mb = a + 1; mb < b; mb++)
				m[mb] = ALL_USED;
			index_add_range(&map->walls, a + 1, b - 1);
		}
		take_within(map, b, 0, end);
	}
	settle_around(map, a, b, old_prefix, old_suffix);
}

/* Gives back pages in use. */
static void give(struct span_map *map, u64 first, u64 nr_pages)
{
	u32 a = first >> MB_SHIFT, b = (first + nr_pages - 1) >> MB_SHIFT, mb;
	u32 begin = first & MB_MASK, end = ((first + nr_pages - 1) & MB_MASK) + 1;
	struct span_map_megablock *m = map->megablocks;
	u32 old_prefix = m[a].prefix, old_suffix = m[b].suffix;

	map->free_pages += nr_pages;
	if (a == b) {
		give_within(map, a, begin, end);
	} else {
		give_within(map, a, begin, MB_PAGES);
		if (b - a > 1) {
			for (mb = a + 1; mb < b; mb++)
				m[mb] = ALL_FREE;
			index_remove_range(&map->walls, a + 1, b - 1);
		}
		give_within(map, b, 0, end);
	}
	settle_around(map, a, b, old_prefix, old_suffix);
}

/* Recomputes the record of a megablock, a wall so far, whose bits are true and have changed. */
static void rescan(struct span_map *map, u32 mb)
{
	struct span_map_megablock *m = &map->megablocks[mb];
	u32 old_prefix = m->prefix, old_suffix = m->suffix;
	const u64 *bits = map->bits[mb];

	m->prefix = run_end(bits, 0);
	m->suffix = MB_PAGES - run_begin(bits, MB_PAGES);
	if (all_free(m)) {
		index_remove(&map->walls, mb);
		*m = ALL_FREE;
	} else {
		find_inner(m, bits);
	}
	settle_around(map, mb, mb, old_prefix, old_suffix);
}

/* Takes single pages of the runs that start in a mixed megablock, one of which does. */
static u32 drain(struct span_map *map, u32 mb, u64 *pages, u32 nr)
{
	const struct span_map_megablock *m = &map->megablocks[mb];
	u32 begin = m[-1].suffix ? m->prefix : 0, word = begin / 64, taken = 0;
	u64 *bits = map->bits[mb], first, free, mask = bits_from(begin % 64);

	for (; word < MB_WORDS && taken < nr; word++, mask = ALL) {
		first = (u64)mb * MB_PAGES - WALL_PAGES + word * 64ULL;
		for (free = bits[word] & mask; free && taken < nr; free &= free - 1)
			pages[taken++] = first + lowest_bit(free);
		bits[word] = free | (bits[word] & ~mask);
	}
	map->free_pages -= taken;
	rescan(map, mb);
	return taken;
}

static u32 megablock_of_last(const struct span_map_range *range)
{
	return (range->first + WALL_PAGES + range->nr_pages - 1) >> MB_SHIFT;
}

/*
 * Gives back those of the ranges that end in the same megablock as the first, which starts there
 * too; how many they are.
 */
static u32 give_in_megablock(struct span_map *map, const struct span_map_range *ranges, u32 nr)
{
	u32 mb = megablock_of_last(ranges), i;
	u64 *bits = map->bits[mb];

	if (all_used(&map->megablocks[mb]))
		memset(bits, 0, sizeof(map->bits[mb]));
	for (i = 0; i < nr && megablock_of_last(&ranges[i]) == mb; i++) {
		u32 first = ranges[i].first & MB_MASK;

		if (ranges[i].nr_pages == 1)
			bits[first / 64] |= 1ULL << (first % 64);
		else
			bits_flip(bits, first, first + ranges[i].nr_pages);
		map->free_pages += ranges[i].nr_pages;
	}
	rescan(map, mb);
	return i;
}

/* Where a run of at least nr_pages starts in a megablock that has one. */
static u64 place(const struct span_map *map, u32 mb, u32 nr_pages)
{
	const struct span_map_megablock *m = &map->megablocks[mb];
	u64 page = (u64)mb * MB_PAGES;

	if (nr_pages <= m->inner)
		return page + m->inner_at;
	if (nr_pages <= m->prefix && !m[-1].suffix)
		return page;
	return page + MB_PAGES - m->suffix;
}

/* A megablock of the shortest list in which every run has nr_pages or more; 0 if none fits. */
static u32 best_megablock(const struct span_map *map, u32 nr_pages)
{
	s64 list;

	if (nr_pages > map->nr_lists)
		return 0;
	list = index_next(&map->filled, nr_pages);
	return list < 0 ? 0 : map->lists[list];
}

static s64 alloc(struct span_map *map, u32 nr_pages)
{
	u32 mb = best_megablock(map, nr_pages), tail;
	const struct span_map_megablock *m = &map->megablocks[mb];
	u64 first;

	if (!mb)
		return -ENOMEM;
	first = place(map, mb, nr_pages);

	/* From the run's mixed end, if that has room, rather than open an all-free megablock. */
	if ((first & MB_MASK) + nr_pages > MB_PAGES || all_free(m)) {
		tail = (first + map->starts[mb].longest) & MB_MASK;
		if (nr_pages <= tail)
			first += map->starts[mb].longest - nr_pages;
	}
	take(map, first, nr_pages);
	return first - WALL_PAGES;
}

/* The page after the run that holds a free page. */
static u64 run_stop(const struct span_map *map, u64 page)
{
	u32 mb = page >> MB_SHIFT, end = MB_PAGES;

	if (!all_free(&map->megablocks[mb]))
		end = run_end(map->bits[mb], page & MB_MASK);
	page = (u64)mb * MB_PAGES + end;
	return end < MB_PAGES ? page : page + run_from(map, mb + 1);
}

static u64 align_up(u64 page, u32 align)
{
	return (page + align - 1) & ~(u64)(align - 1);
}

/* An aligned span in the run that the lists name for `want` pages, 0 if that run has none. */
static u64 aligned_at_once(const struct span_map *map, u32 want, u32 nr_pages, u32 align)
{
	u32 mb = best_megablock(map, want);
	u64 first, aligned;

	if (!mb)
		return 0;
	first = place(map, mb, want);
	aligned = align_up(first, align);
	return aligned + nr_pages <= run_stop(map, first) ? aligned : 0;
}

/* Keeps the bits for which the one nr places further is set too; beyond the end none is. */
static void and_shifted(u64 *bits, u32 nr)
{
	u32 words = nr / 64, shift = nr % 64, i;

	for (i = 0; i < MB_WORDS; i++) {
		u64 low = i + words < MB_WORDS ? bits[i + words] : 0;
		u64 high = i + words + 1 < MB_WORDS ? bits[i + words + 1] : 0;

		bits[i] &= shift ? low >> shift | high << (64 - shift) : low;
	}
}

/* The first aligned page with nr_pages free from there on within the megablock, else 512. */
static u32 aligned_inside(const u64 *bits, u32 nr_pages, u32 align)
{
	u64 starts[MB_WORDS];
	u32 have, i;

	memcpy(starts, bits, sizeof(starts));
	for (have = 1; have * 2 <= nr_pages; have *= 2)
		and_shifted(starts, have);
	if (have < nr_pages)
		and_shifted(starts, nr_pages - have);

	for (i = 0; i < MB_PAGES; i += align)
		if (starts[i / 64] >> (i % 64) & 1)
			break;
	return i;
}

/* An aligned span that starts in a given megablock, 0 if there is none. */
static u64 aligned_in(const struct span_map *map, u32 mb, u32 nr_pages, u32 align)
{
	const struct span_map_megablock *m = &map->megablocks[mb];
	u64 page = (u64)mb * MB_PAGES;
	u32 i;

	if (all_free(m))
		return nr_pages <= run_from(map, mb) ? page : 0;
	if (nr_pages <= m->prefix || nr_pages <= m->inner || nr_pages <= m->suffix) {
		i = aligned_inside(map->bits[mb], nr_pages, align);
		if (i < MB_PAGES)
			return page + i;
	}
	i = align_up(MB_PAGES - m->suffix, align);
	if (i < MB_PAGES && nr_pages <= MB_PAGES - i + run_from(map, mb + 1))
		return page + i;
	return 0;
}

/**
 * span_map_alloc_step() - allocate an aligned span, in steps of bounded length
 * @map: the map
 * @search: what is wanted, and how far the search is
 *
 * Tries what takes O(1): the start of the best run, and a run of nr_pages + align_pages - 1.
 * Failing that, looks into the next %SPAN_MAP_STEP_MEGABLOCKS megablocks for a span that starts
 * there.
 *
 * The map may change between two steps, so a caller may drop its lock there. If it does not change,
 * the answer is exact. If it does, a refusal means that no aligned span was free all the time from
 * the first step to the last; one that came up behind the search may have been missed.
 *
 * Return: the index of the first page; -EAGAIN if there is more to search; -ENOMEM; -EINVAL
 */
s64 span_map_alloc_step(struct span_map *map, struct span_map_search *search)
{
	u32 nr_pages = search->nr_pages, align = search->align_pages;
	u32 want, steps;
	u64 first;

	if (!nr_pages || nr_pages > SPAN_MAP_MAX_SPAN)
		return -EINVAL;
	if (!align || align > SPAN_MAP_MAX_ALIGN || align & (align - 1))
		return -EINVAL;
	if (align == 1)
		return alloc(map, nr_pages);

	if (!best_megablock(map, nr_pages))
		return -ENOMEM;
	first = aligned_at_once(map, nr_pages, nr_pages, align);
	if (!first) {
		want = nr_pages + align - 1;
		if (want > map->nr_lists)
			want = map->nr_lists;
		first = aligned_at_once(map, want, nr_pages, align);
	}
	for (steps = 0; !first && steps < SPAN_MAP_STEP_MEGABLOCKS; steps++) {
		if (search->next == map->nr_megablocks)
			return -ENOMEM;
		first = aligned_in(map, ++search->next, nr_pages, align);
	}
	if (!first)
		return -EAGAIN;
	take(map, first, nr_pages);
	return first - WALL_PAGES;
}

/**
 * span_map_alloc() - allocate a span
 * @map: the map
 * @nr_pages: 1 to %SPAN_MAP_MAX_SPAN
 * @align_pages: a power of two, 1 to %SPAN_MAP_MAX_ALIGN, of which the first page is a multiple
 *
 * Bounded with an alignment of 1. Exact with any, but where only a search can tell it takes as many
 * steps of span_map_alloc_step() as the pool needs.
 *
 * Return: the index of the first page; -ENOMEM if and only if no run fits; -EINVAL
 */
s64 span_map_alloc(struct span_map *map, u32 nr_pages, u32 align_pages)
{
	struct span_map_search search = { .nr_pages = nr_pages, .align_pages = align_pages };
	s64 first;

	if (align_pages == 1 && nr_pages && nr_pages <= SPAN_MAP_MAX_SPAN)
		return alloc(map, nr_pages);
	do {
		first = span_map_alloc_step(map, &search);
	} while (first == -EAGAIN);
	return first;
}

static bool out_of_range(const struct span_map *map, u64 first, u64 nr_pages)
{
	return !nr_pages || nr_pages > map->nr_pages || first > map->nr_pages - nr_pages;
}

static bool pages_free(const struct span_map *map, u64 first, u64 nr_pages)
{
	if (all_used(&map->megablocks[first >> MB_SHIFT]))
		return false;
	return first + nr_pages <= run_stop(map, first);
}

/**
 * span_map_alloc_at() - allocate exactly these pages
 * @map: the map
 * @first: index of the first page
 * @nr_pages: how many, up to the whole pool
 *
 * Return: 0; -EBUSY if any of them is in use, -EINVAL if any is outside the pool: then nothing has
 * changed
 */
int span_map_alloc_at(struct span_map *map, u64 first, u64 nr_pages)
{
	if (out_of_range(map, first, nr_pages))
		return -EINVAL;
	first += WALL_PAGES;
	if (!pages_free(map, first, nr_pages))
		return -EBUSY;
	take(map, first, nr_pages);
	return 0;
}

/**
 * span_map_alloc_pages() - allocate single pages, several at once
 * @map: the map
 * @pages: where to put their indices, in no order that means anything
 * @nr: how many are wanted, at least 1
 *
 * Takes them from one run or from one megablock, so there may be more to be had by another call.
 *
 * Return: how many were allocated, at most @nr; 0 if and only if no page is free
 */
u32 span_map_alloc_pages(struct span_map *map, u64 *pages, u32 nr)
{
	u32 mb = best_megablock(map, 1), longest = map->starts[mb].longest, i;
	u64 first;

	if (!mb)
		return 0;
	if (longest < nr && !all_free(&map->megablocks[mb]))
		return drain(map, mb, pages, nr);
	if (nr > longest)
		nr = longest;
	if (nr > SPAN_MAP_MAX_SPAN)
		nr = SPAN_MAP_MAX_SPAN;
	first = alloc(map, nr);
	for (i = 0; i < nr; i++)
		pages[i] = first + i;
	return nr;
}

static inline bool pages_in_use_within(const struct span_map *map, u32 mb, u32 first, u32 end)
{
	const struct span_map_megablock *m = &map->megablocks[mb];

	/* Bits that may be stale cost less to look at in vain than to branch around. */
	return all_used(m) || !((u32)all_free(m) | any_free(map->bits[mb], first, end));
}

static bool pages_in_use(const struct span_map *map, u64 first, u64 nr_pages)
{
	u64 last = first + nr_pages - 1;
	u32 a = first >> MB_SHIFT, b = last >> MB_SHIFT, mb;
	u32 end = (last & MB_MASK) + 1;
	u64 differ = 0, in_use, record;

	if (a == b)
		return pages_in_use_within(map, a, first & MB_MASK, end);
	memcpy(&in_use, &ALL_USED, sizeof(in_use));
	for (mb = a + 1; mb < b; mb++) {
		memcpy(&record, &map->megablocks[mb], sizeof(record));
		differ |= record ^ in_use;
	}
	if (differ)
		return false;
	return pages_in_use_within(map, a, first & MB_MASK, MB_PAGES) &&
	       pages_in_use_within(map, b, 0, end);
}

/**
 * span_map_free() - free any pages that are in use
 * @map: the map
 * @first: index of the first page
 * @nr_pages: how many, up to the whole pool; they need not be one allocation, nor whole ones
 *
 * Return: 0; -EINVAL if any of them is free already or outside the pool: then nothing has changed
 */
int span_map_free(struct span_map *map, u64 first, u64 nr_pages)
{
	if (out_of_range(map, first, nr_pages))
		return -EINVAL;
	first += WALL_PAGES;
	if (!pages_in_use(map, first, nr_pages))
		return -EINVAL;
	give(map, first, nr_pages);
	return 0;
}

static inline bool page_in_use(const struct span_map *map, u64 page)
{
	const struct span_map_megablock *m = &map->megablocks[page >> MB_SHIFT];
	u64 word = map->bits[page >> MB_SHIFT][(page & MB_MASK) / 64];

	return all_used(m) || !((u32)all_free(m) | (word >> (page % 64) & 1));
}

/**
 * span_map_free_ranges() - free several ranges of pages that are in use
 * @map: the map
 * @ranges: each as span_map_free() takes it, in ascending order; none overlaps another
 * @nr: how many
 *
 * Return: 0; -EINVAL if any page is free already or outside the pool, or the order is wrong: then
 * nothing has changed
 */
int span_map_free_ranges(struct span_map *map, const struct span_map_range *ranges, u32 nr)
{
	u64 end = 0, first, nr_pages;
	u32 i;

	for (i = 0; i < nr; i++) {
		first = ranges[i].first;
		nr_pages = ranges[i].nr_pages;
		if (first < end || out_of_range(map, first, nr_pages))
			return -EINVAL;
		end = first + nr_pages;
		first += WALL_PAGES;
		if (nr_pages == 1 ? !page_in_use(map, first) : !pages_in_use(map, first, nr_pages))
			return -EINVAL;
	}
	for (i = 0; i < nr;) {
		first = ranges[i].first + WALL_PAGES;
		if (i + 1 < nr && first >> MB_SHIFT == megablock_of_last(&ranges[i + 1])) {
			i += give_in_megablock(map, &ranges[i], nr - i);
		} else {
			give(map, first, ranges[i].nr_pages);
			i++;
		}
	}
	return 0;
}

/**
 * span_map_free_pages() - how many pages are free
 * @map: the map
 *
 * Return: their number
 */
u64 span_map_free_pages(const struct span_map *map)
{
	return map->free_pages;
}

/**
 * span_map_longest_run() - the length of the longest run
 * @map: the map
 *
 * Runs of %SPAN_MAP_MAX_SPAN pages and more are compared one by one: a pool of 1 TiB has at most
 * 4095.
 *
 * Return: its length in pages, 0 if none is free
 */
u64 span_map_longest_run(const struct span_map *map)
{
	u32 mb, longest = 0;

	if (!map->free_pages)
		return 0;
	mb = map->lists[index_prev(&map->filled, map->nr_lists)];
	for (; mb; mb = map->starts[mb].next) {
		if (map->starts[mb].longest > longest)
			longest = map->starts[mb].longest;
		if (longest < map->nr_lists)
			break;
	}
	return longest;
}

static bool nr_pages_valid(u64 nr_pages)
{
	return nr_pages && nr_pages <= SPAN_MAP_MAX_PAGES;
}

static u64 megablocks_of(u64 nr_pages)
{
	return (nr_pages + MB_PAGES - 1) >> MB_SHIFT;
}

static u64 lists_of(u64 nr_pages)
{
	return nr_pages < SPAN_MAP_MAX_SPAN ? nr_pages : SPAN_MAP_MAX_SPAN;
}

/**
 * span_map_metadata_bytes() - how much memory a map needs
 * @nr_pages: 1 to %SPAN_MAP_MAX_PAGES
 *
 * Return: bytes; 0 if @nr_pages is out of range
 */
size_t span_map_metadata_bytes(u64 nr_pages)
{
	u64 nr = megablocks_of(nr_pages) + 2;

	if (!nr_pages_valid(nr_pages))
		return 0;
	return nr * (MB_PAGES / 8 + sizeof(struct span_map_megablock)) + index_bytes(nr) +
	       index_bytes(lists_of(nr_pages) + 1) + nr * sizeof(struct span_map_start) +
	       (lists_of(nr_pages) + 1) * sizeof(u32);
}

/**
 * span_map_init() - start a map with all pages in use
 * @map: the map
 * @nr_pages: size of the pool, 1 to %SPAN_MAP_MAX_PAGES
 * @metadata: span_map_metadata_bytes() bytes of any content, aligned to %SPAN_MAP_METADATA_ALIGN;
 *            the map's own as long as it is used
 *
 * Free what may be given out.
 *
 * Return: 0 or -EINVAL
 */
int span_map_init(struct span_map *map, u64 nr_pages, void *metadata)
{
	u64 nr = megablocks_of(nr_pages) + 2;
	u64 *memory;
	u32 mb;

	if (!nr_pages_valid(nr_pages) || !metadata || (uintptr_t)metadata % SPAN_MAP_METADATA_ALIGN)
		return -EINVAL;

	map->nr_pages = nr_pages;
	map->free_pages = 0;
	map->nr_megablocks = nr - 2;
	map->nr_lists = lists_of(nr_pages);
	map->bits = metadata;
	map->megablocks = (void *)&map->bits[nr];
	for (mb = 0; mb < nr; mb++)
		map->megablocks[mb] = ALL_USED;
	memory = index_init(&map->walls, nr, (void *)&map->megablocks[nr]);
	memory = index_init(&map->filled, map->nr_lists + 1, memory);
	map->starts = (void *)memory;
	map->lists = (void *)&map->starts[nr];
	memset(map->lists, 0, (map->nr_lists + 1) * sizeof(u32));
	for (mb = 0; mb < nr; mb++)
		map->starts[mb] = (struct span_map_start){ .slot = slot_of_list(map, 0) };
	index_add_range(&map->walls, 0, nr - 1);
	return 0;
}

static bool index_consistent(const struct span_map_index *index, u64 members)
{
	u64 words, member, i;
	u32 level;

	for (level = 0; level < index->top; level++, members = words) {
		words = index_words(members);
		for (i = 0; i < words; i++) {
			member = index->level[level + 1][i / 64] >> (i % 64) & 1;
			if (member != !!index->level[level][i])
				return false;
		}
	}
	return true;
}

/* The walls are the megablocks that are not all free; there is one on either side of the pool. */
static bool walls_consistent(const struct span_map *map)
{
	const struct span_map_megablock *m = map->megablocks;
	u32 mb, end = map->nr_megablocks + 1;

	if (!index_consistent(&map->walls, end + 1) || !all_used(&m[0]) || !all_used(&m[end]))
		return false;
	for (mb = 0; mb <= end; mb++)
		if (m[mb].prefix > MB_PAGES || index_has(&map->walls, mb) == all_free(&m[mb]))
			return false;
	return true;
}

/* Recomputes a mixed megablock's record from its bits. */
static bool record_consistent(const struct span_map_megablock *m, const u64 *bits, u64 *nr_free)
{
	u32 prefix = run_end(bits, 0), suffix = MB_PAGES - run_begin(bits, MB_PAGES);
	u32 begin, end, longest = 0, nr_inner = 0;

	*nr_free += prefix + suffix;
	for (begin = prefix + 1; begin < MB_PAGES - suffix; begin = end + 1) {
		end = run_end(bits, begin);
		if (end == begin)
			continue;
		*nr_free += end - begin;
		nr_inner++;
		if (end - begin > longest)
			longest = end - begin;
	}
	if (m->prefix != prefix || m->suffix != suffix || m->inner != longest)
		return false;
	if (!longest || m->inner_at >= MB_PAGES)
		return !longest && m->inner_at == NOWHERE;
	return run_begin(bits, m->inner_at + 1) == m->inner_at &&
	       run_end(bits, m->inner_at) == m->inner_at + longest && (m->others || nr_inner == 1);
}

/* The record of a megablock, and the longest run that starts in it; counts its free pages. */
static bool megablock_consistent(const struct span_map *map, u32 mb, u64 *nr_free)
{
	const struct span_map_megablock *m = &map->megablocks[mb];
	const struct span_map_start *start = &map->starts[mb];
	u32 longest = m->inner;

	if (all_free(m)) {
		if (m->suffix != MB_PAGES || m->inner || m->inner_at != NOWHERE || m->others)
			return false;
		*nr_free += MB_PAGES;
	} else if (all_used(m)) {
		if (m->inner_at != NOWHERE || m->others)
			return false;
	} else if (!record_consistent(m, map->bits[mb], nr_free)) {
		return false;
	}

	if (!m[-1].suffix && m->prefix > longest)
		longest = m->prefix;
	if (m->suffix && !(m[-1].suffix && all_free(m)) &&
	    m->suffix + run_from(map, mb + 1) > longest)
		longest = m->suffix + run_from(map, mb + 1);
	if (start->longest != longest)
		return false;
	return longest || (!start->next && start->slot == slot_of_list(map, 0));
}

/* Every list holds what belongs there, and its links agree; counts the megablocks listed. */
static bool list_consistent(const struct span_map *map, u32 list, u32 *nr_listed)
{
	u32 mb = map->lists[list];
	const u32 *slot = &map->lists[list];

	if (index_has(&map->filled, list) != !!mb)
		return false;
	for (; mb; slot = &map->starts[mb].next, mb = *slot) {
		const struct span_map_start *start = &map->starts[mb];

		if (mb > map->nr_megablocks || ++*nr_listed > map->nr_megablocks)
			return false;
		if (!start->longest || list_of(map, start->longest) != list ||
		    (u32 *)map->starts + start->slot != slot)
			return false;
	}
	return true;
}

/**
 * span_map_check() - verify every invariant
 * @map: the map
 *
 * Takes O(pool): for tests and debug builds.
 *
 * Return: 0, or -EUCLEAN if the map contradicts itself
 */
int span_map_check(const struct span_map *map)
{
	u32 end = map->nr_pages & MB_MASK, nr_listed = 0, mb, list;
	const struct span_map_megablock *last = &map->megablocks[map->nr_megablocks];
	u64 nr_free = 0;

	if (!walls_consistent(map) || (end && (last->prefix > end || last->suffix)))
		return -EUCLEAN;
	for (mb = 1; mb <= map->nr_megablocks; mb++) {
		if (!megablock_consistent(map, mb, &nr_free))
			return -EUCLEAN;
		nr_listed += !map->starts[mb].longest;
	}
	if (nr_free != map->free_pages)
		return -EUCLEAN;

	if (!index_consistent(&map->filled, map->nr_lists + 1) || map->lists[0])
		return -EUCLEAN;
	for (list = 1; list <= map->nr_lists; list++)
		if (!list_consistent(map, list, &nr_listed))
			return -EUCLEAN;
	return nr_listed == map->nr_megablocks ? 0 : -EUCLEAN;
}
