// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * The span map: a page-span allocator that is exact and bounded.
 *
 * A pool is cut into megablocks of 512 pages. Each has a cache line of bits (1 = free) and a record: the free run at
 * its first page, the longest one strictly inside, the one at its last page, and the longest run that STARTS in it.
 */
#ifdef __KERNEL__
#include <linux/bitops.h>
#include <linux/errno.h>
#include <linux/string.h>
#else
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
 * Inside this file a page is numbered from the first page of a wall: a megablock before the pool, and one after it,
 * that are always in use. So every megablock of the pool has two neighbours, and number 0 can mean "none" in a list.
 */
#define WALL_PAGES	MB_PAGES

struct span_map_megablock {
	u32 longest;		/* the longest run that starts here; listed if and only if not 0 */
	u32 prefix : 10;	/* free pages from the first page on: 512 means all free */
	u32 inner : 10;		/* the longest run that touches neither the first nor the last page */
	u32 suffix : 10;	/* free pages up to the last page */
	u32 next;
	u32 prev;
};

_Static_assert(sizeof(struct span_map_megablock) == 16, "four records to a cache line");

static inline bool all_free(const struct span_map_megablock *m)
{
	return m->prefix == MB_PAGES;
}

static inline bool all_used(const struct span_map_megablock *m)
{
	return !m->prefix && !m->inner && !m->suffix;
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

/* The index: words of a level are one more than its members fill, so that "the word after" is always there. */

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

static void index_add(struct span_map_index *index, u32 i)
{
	u32 level;
	u64 before;

	for (level = 0; level <= index->top; level++, i /= 64) {
		before = index->level[level][i / 64];
		index->level[level][i / 64] = before | 1ULL << (i % 64);
		if (before)
			return;
	}
}

static void index_remove(struct span_map_index *index, u32 i)
{
	u32 level;

	for (level = 0; level <= index->top; level++, i /= 64) {
		index->level[level][i / 64] &= ~(1ULL << (i % 64));
		if (index->level[level][i / 64])
			return;
	}
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

static void bits_set(u64 *bits, u32 first, u32 end)
{
	u32 word = first / 64, last = (end - 1) / 64;
	u64 head = bits_from(first % 64), tail = bits_upto((end - 1) % 64);

	if (word == last) {
		bits[word] |= head & tail;
		return;
	}
	bits[word] |= head;
	while (++word < last)
		bits[word] = ALL;
	bits[last] |= tail;
}

static void bits_clear(u64 *bits, u32 first, u32 end)
{
	u32 word = first / 64, last = (end - 1) / 64;
	u64 head = bits_from(first % 64), tail = bits_upto((end - 1) % 64);

	if (word == last) {
		bits[word] &= ~(head & tail);
		return;
	}
	bits[word] &= ~head;
	while (++word < last)
		bits[word] = 0;
	bits[last] &= ~tail;
}

/* Where the free run that holds page i - 1 begins; i if that page is in use. */
static u32 run_begin(const u64 *bits, u32 i)
{
	u32 word;
	u64 used;

	if (!i)
		return 0;
	word = (i - 1) / 64;
	used = ~bits[word] & bits_upto((i - 1) % 64);
	while (!used) {
		if (!word)
			return 0;
		used = ~bits[--word];
	}
	return word * 64 + highest_bit(used) + 1;
}

/* Where the free run that holds page i ends; i if that page is in use. */
static u32 run_end(const u64 *bits, u32 i)
{
	u32 word = i / 64;
	u64 used;

	if (i == MB_PAGES)
		return i;
	used = ~bits[word] & bits_from(i % 64);
	while (!used) {
		if (++word == MB_WORDS)
			return MB_PAGES;
		used = ~bits[word];
	}
	return word * 64 + lowest_bit(used);
}

static bool any_free(const u64 *bits, u32 first, u32 end)
{
	u32 word = first / 64, last = (end - 1) / 64;
	u64 found = bits[word] & bits_from(first % 64);

	while (word < last) {
		if (found)
			return true;
		found = bits[++word];
	}
	return found & bits_upto((end - 1) % 64);
}

/* The positions in a word from which nr >= 1 ones follow within the word. */
static inline u64 fold(u64 word, u32 nr)
{
	u32 have;

	for (have = 1; have * 2 <= nr; have *= 2)
		word &= word >> have;
	return have < nr ? word & word >> (nr - have) : word;
}

/* The first page >= from where a run of nr pages starts within the megablock; there must be one. */
static u32 find_run(const u64 *bits, u32 from, u32 nr)
{
	u32 word = from / 64, have = 0;
	u64 free = bits[word] & bits_from(from % 64);

	for (;;) {
		u32 head = free == ALL ? 64 : lowest_bit(~free);

		if (have + head >= nr)
			return word * 64 - have;
		if (head == 64) {
			have += 64;
		} else {
			u64 found = nr <= 62 ? fold(free, nr) : 0;

			if (found)
				return word * 64 + lowest_bit(found);
			have = 63 - highest_bit(~free);
		}
		free = bits[++word];
	}
}

/* The longest run between a free prefix and a free suffix that are not the whole megablock. */
static u32 longest_inner(const u64 *bits, u32 prefix, u32 suffix)
{
	u32 word = prefix / 64, last = (MB_PAGES - 1 - suffix) / 64;
	u32 longest = 0, have = 0;
	u64 free = bits[word] & bits_from(prefix % 64);

	for (;;) {
		if (word == last)
			free &= bits_upto((MB_PAGES - 1 - suffix) % 64);
		if (free == ALL) {
			have += 64;
		} else {
			have += lowest_bit(~free);
			if (have > longest)
				longest = have;
			if (longest < 62) {
				u64 more = fold(free, longest + 1);

				for (; more; more &= more >> 1)
					longest++;
			}
			have = 63 - highest_bit(~free);
		}
		if (word == last)
			return longest;
		free = bits[++word];
	}
}

/* Lists: every megablock in which a run starts stands in the list of the longest one. */

static inline u32 list_of(const struct span_map *map, u32 longest)
{
	return (longest < map->nr_lists ? longest : map->nr_lists) - 1;
}

static void list_remove(struct span_map *map, u32 mb, u32 list)
{
	struct span_map_megablock *m = &map->megablocks[mb];

	if (m->prev) {
		map->megablocks[m->prev].next = m->next;
	} else {
		map->lists[list] = m->next;
		if (!m->next)
			index_remove(&map->filled, list);
	}
	if (m->next)
		map->megablocks[m->next].prev = m->prev;
}

static void list_add(struct span_map *map, u32 mb, u32 list)
{
	struct span_map_megablock *m = &map->megablocks[mb];
	u32 head = map->lists[list];

	m->prev = 0;
	m->next = head;
	map->lists[list] = mb;
	if (head)
		map->megablocks[head].prev = mb;
	else
		index_add(&map->filled, list);
}

static void set_longest(struct span_map *map, u32 mb, u32 longest)
{
	struct span_map_megablock *m = &map->megablocks[mb];
	u32 before = m->longest;

	if (longest == before)
		return;
	m->longest = longest;
	if (before && longest && list_of(map, before) == list_of(map, longest))
		return;
	if (before)
		list_remove(map, mb, list_of(map, before));
	if (longest)
		list_add(map, mb, list_of(map, longest));
}

/* Runs across megablocks. */

/* The number of free pages from the first page of a megablock on. */
static u32 run_from(const struct span_map *map, u32 mb)
{
	u32 wall;

	if (!all_free(&map->megablocks[mb]))
		return map->megablocks[mb].prefix;
	wall = index_next(&map->walls, mb);
	return (wall - mb) * MB_PAGES + map->megablocks[wall].prefix;
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

/* Recomputes the longest run that starts in a megablock. */
static void settle(struct span_map *map, u32 mb)
{
	struct span_map_megablock *m = &map->megablocks[mb];
	bool joined = m[-1].suffix;
	u32 longest = m->inner;

	if (!joined && m->prefix > longest)
		longest = m->prefix;
	if (m->suffix && !(joined && all_free(m))) {
		u32 run = m->suffix + run_from(map, mb + 1);

		if (run > longest)
			longest = run;
	}
	set_longest(map, mb, longest);
}

/*
 * After the pages from megablock a to b have changed: the runs that start in a, in b, before a and after b. Between
 * a and b no run starts, before or after.
 */
static void settle_around(struct span_map *map, u32 a, u32 b, u32 old_prefix, u32 old_suffix)
{
	const struct span_map_megablock *m = map->megablocks;

	if (m[a].prefix != old_prefix && m[a - 1].suffix)
		settle(map, start_of_run_into(map, a - 1));
	settle(map, a);
	if (b != a)
		settle(map, b);
	if (!m[b].suffix != !old_suffix)
		settle(map, b + 1);
}

static void take_within(struct span_map *map, u32 mb, u32 first, u32 end)
{
	struct span_map_megablock *m = &map->megablocks[mb];
	u64 *bits = map->bits[mb];

	if (all_free(m)) {
		index_add(&map->walls, mb);
		m->prefix = first;
		m->suffix = MB_PAGES - end;
		if (first || end < MB_PAGES) {
			memset(bits, 0xff, sizeof(map->bits[mb]));
			bits_clear(bits, first, end);
		}
		return;
	}

	bits_clear(bits, first, end);
	if (first < m->prefix) {
		u32 rest = m->prefix - end;

		m->prefix = first;
		if (rest > m->inner)
			m->inner = rest;
	} else if (first >= MB_PAGES - m->suffix) {
		u32 rest = first - (MB_PAGES - m->suffix);

		m->suffix = MB_PAGES - end;
		if (rest > m->inner)
			m->inner = rest;
	} else if (run_end(bits, end) - run_begin(bits, first) == m->inner) {
		m->inner = longest_inner(bits, m->prefix, m->suffix);
	}
}

static void give_within(struct span_map *map, u32 mb, u32 first, u32 end)
{
	struct span_map_megablock *m = &map->megablocks[mb];
	u64 *bits = map->bits[mb];
	u32 begin = 0, stop = MB_PAGES, swallowed = 0;

	if (all_used(m) && end - first < MB_PAGES)
		memset(bits, 0, sizeof(map->bits[mb]));
	if (first != m->prefix)
		begin = run_begin(bits, first);
	if (end != MB_PAGES - m->suffix)
		stop = run_end(bits, end);

	if (!begin && stop == MB_PAGES) {
		index_remove(&map->walls, mb);
		m->prefix = MB_PAGES;
		m->inner = 0;
		m->suffix = MB_PAGES;
		return;
	}

	bits_set(bits, first, end);
	if (!begin) {
		m->prefix = stop;
		swallowed = stop - end;
	} else if (stop == MB_PAGES) {
		m->suffix = MB_PAGES - begin;
		swallowed = first - begin;
	} else if (stop - begin > m->inner) {
		m->inner = stop - begin;
	}
	if (swallowed && swallowed == m->inner)
		m->inner = longest_inner(bits, m->prefix, m->suffix);
}

/* Takes free pages of one run. */
static void take(struct span_map *map, u64 first, u64 nr_pages)
{
	u32 a = first >> MB_SHIFT, b = (first + nr_pages - 1) >> MB_SHIFT, mb;
	u32 begin = first & MB_MASK, end = ((first + nr_pages - 1) & MB_MASK) + 1;
	struct span_map_megablock *m = map->megablocks;
	u32 old_prefix = m[a].prefix, old_suffix = m[b].suffix;

	if (a == b) {
		take_within(map, a, begin, end);
	} else {
		take_within(map, a, begin, MB_PAGES);
		for (mb = a + 1; mb < b; mb++) {
			m[mb].prefix = 0;
			m[mb].suffix = 0;
		}
		if (b - a > 1)
			index_add_range(&map->walls, a + 1, b - 1);
		take_within(map, b, 0, end);
	}
	map->free_pages -= nr_pages;
	settle_around(map, a, b, old_prefix, old_suffix);
}

/* Gives back pages in use. */
static void give(struct span_map *map, u64 first, u64 nr_pages)
{
	u32 a = first >> MB_SHIFT, b = (first + nr_pages - 1) >> MB_SHIFT, mb;
	u32 begin = first & MB_MASK, end = ((first + nr_pages - 1) & MB_MASK) + 1;
	struct span_map_megablock *m = map->megablocks;
	u32 old_prefix = m[a].prefix, old_suffix = m[b].suffix;

	if (a == b) {
		give_within(map, a, begin, end);
	} else {
		give_within(map, a, begin, MB_PAGES);
		for (mb = a + 1; mb < b; mb++) {
			m[mb].prefix = MB_PAGES;
			m[mb].suffix = MB_PAGES;
		}
		if (b - a > 1)
			index_remove_range(&map->walls, a + 1, b - 1);
		give_within(map, b, 0, end);
	}
	map->free_pages += nr_pages;
	settle_around(map, a, b, old_prefix, old_suffix);
}

/* Where a run of at least nr_pages starts in a megablock that has one. */
static u64 place(const struct span_map *map, u32 mb, u32 nr_pages)
{
	const struct span_map_megablock *m = &map->megablocks[mb];
	u64 page = (u64)mb * MB_PAGES;

	if (nr_pages <= m->inner)
		return page + find_run(map->bits[mb], m->prefix, nr_pages);
	if (nr_pages <= m->prefix && !m[-1].suffix)
		return page;
	return page + MB_PAGES - m->suffix;
}

/* A megablock in which a run of at least nr_pages starts, and no list has a shorter one that fits; 0 if none fits. */
static u32 best_megablock(const struct span_map *map, u32 nr_pages)
{
	s64 list;

	if (nr_pages > map->nr_lists)
		return 0;
	list = index_next(&map->filled, nr_pages - 1);
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

	/* A run that ends in a mixed megablock may serve a small span from there and leave the all-free ones whole. */
	if ((first & MB_MASK) + nr_pages > MB_PAGES || all_free(m)) {
		tail = (first + m->longest) & MB_MASK;
		if (nr_pages <= tail)
			first += m->longest - nr_pages;
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

/* An aligned span at the start of a run of at least want pages, if the one the lists name will do; else 0. */
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

/* Keeps of every bit of a megablock whether the bit nr places further is set too; beyond the end nothing is. */
static void and_shifted(u64 *bits, u32 nr)
{
	u32 words = nr / 64, shift = nr % 64, i;

	for (i = 0; i < MB_WORDS; i++) {
		u64 low = i + words < MB_WORDS ? bits[i + words] : 0;
		u64 high = i + words + 1 < MB_WORDS ? bits[i + words + 1] : 0;

		bits[i] &= shift ? low >> shift | high << (64 - shift) : low;
	}
}

/* The first aligned page in a mixed megablock with nr_pages free from there on within it; 512 if there is none. */
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
 * Tries what takes O(1): the start of the best run, and a run of nr_pages + align_pages - 1. Failing that, looks
 * into the next %SPAN_MAP_STEP_MEGABLOCKS megablocks for a span that starts there. The map may change between two
 * steps. A span that is free and aligned from before the first step until the last is always found; one that comes
 * up during the search may be missed.
 *
 * Return: the index of the first page; -EAGAIN if there is more to search; -ENOMEM if nothing fits; -EINVAL
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
 * @align_pages: a power of two, 1 to %SPAN_MAP_MAX_ALIGN; the first page's index is a multiple of it
 *
 * With an alignment of 1 bounded. Else exact too, but where only a search over the pool can tell, it takes O(pool):
 * see span_map_alloc_step().
 *
 * Return: the index of the first page; -ENOMEM if and only if no run fits; -EINVAL
 */
s64 span_map_alloc(struct span_map *map, u32 nr_pages, u32 align_pages)
{
	struct span_map_search search = { .nr_pages = nr_pages, .align_pages = align_pages };
	s64 first;

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
 * Return: 0; -EBUSY if any of them is in use, -EINVAL if any of them is outside the pool: nothing has changed then
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

static bool pages_in_use_within(const struct span_map *map, u32 mb, u32 first, u32 end)
{
	const struct span_map_megablock *m = &map->megablocks[mb];

	if (all_used(m))
		return true;
	return !all_free(m) && !any_free(map->bits[mb], first, end);
}

static bool pages_in_use(const struct span_map *map, u64 first, u64 nr_pages)
{
	u64 last = first + nr_pages - 1;
	u32 a = first >> MB_SHIFT, b = last >> MB_SHIFT, mb;
	u32 end = (last & MB_MASK) + 1;

	if (a == b)
		return pages_in_use_within(map, a, first & MB_MASK, end);
	for (mb = a + 1; mb < b; mb++)
		if (!pages_in_use_within(map, mb, 0, MB_PAGES))
			return false;
	return pages_in_use_within(map, a, first & MB_MASK, MB_PAGES) && pages_in_use_within(map, b, 0, end);
}

/**
 * span_map_free() - free any pages that are in use
 * @map: the map
 * @first: index of the first page
 * @nr_pages: how many, up to the whole pool; they need not be one allocation, nor whole ones
 *
 * Return: 0; -EINVAL if any of them is free already or outside the pool: nothing has changed then
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
 * Bounded up to %SPAN_MAP_MAX_SPAN pages; longer runs, of which a pool of 1 TiB can hold 4095, are compared one by
 * one.
 *
 * Return: its length in pages, 0 if none is free
 */
u64 span_map_longest_run(const struct span_map *map)
{
	u32 mb, longest = 0;

	if (!map->free_pages)
		return 0;
	mb = map->lists[index_prev(&map->filled, map->nr_lists - 1)];
	for (; mb; mb = map->megablocks[mb].next) {
		if (map->megablocks[mb].longest > longest)
			longest = map->megablocks[mb].longest;
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
	       index_bytes(lists_of(nr_pages)) + lists_of(nr_pages) * sizeof(u32);
}

/**
 * span_map_init() - start a map with all pages in use
 * @map: the map
 * @nr_pages: size of the pool, 1 to %SPAN_MAP_MAX_PAGES
 * @metadata: span_map_metadata_bytes() bytes of any content, aligned to %SPAN_MAP_METADATA_ALIGN; the map's own
 *            until it is forgotten
 *
 * Free what may be given out.
 *
 * Return: 0 or -EINVAL
 */
int span_map_init(struct span_map *map, u64 nr_pages, void *metadata)
{
	u64 nr = megablocks_of(nr_pages) + 2;
	u64 *memory;

	if (!nr_pages_valid(nr_pages) || !metadata || (uintptr_t)metadata % SPAN_MAP_METADATA_ALIGN)
		return -EINVAL;

	map->nr_pages = nr_pages;
	map->free_pages = 0;
	map->nr_megablocks = nr - 2;
	map->nr_lists = lists_of(nr_pages);
	map->bits = metadata;
	map->megablocks = (void *)&map->bits[nr];
	memset(map->megablocks, 0, nr * sizeof(*map->megablocks));
	memory = index_init(&map->walls, nr, (void *)&map->megablocks[nr]);
	memory = index_init(&map->filled, map->nr_lists, memory);
	map->lists = (void *)memory;
	memset(map->lists, 0, map->nr_lists * sizeof(u32));
	index_add_range(&map->walls, 0, nr - 1);
	return 0;
}

static bool index_consistent(const struct span_map_index *index, u64 members)
{
	u64 words, i;
	u32 level;

	for (level = 0; level < index->top; level++, members = words) {
		words = index_words(members);
		for (i = 0; i < words; i++)
			if (!index->level[level][i] != !(index->level[level + 1][i / 64] >> (i % 64) & 1))
				return false;
	}
	return true;
}

/* Recomputes a megablock's record from its bits; counts its free pages. */
static bool megablock_consistent(const struct span_map *map, u32 mb, u64 *nr_free)
{
	const struct span_map_megablock *m = &map->megablocks[mb];
	const u64 *bits = map->bits[mb];
	u32 prefix = 0, inner = 0, suffix = 0, own = 0, begin, end;

	if (index_has(&map->walls, mb) == all_free(m))
		return false;
	if (all_free(m)) {
		prefix = MB_PAGES;
		suffix = MB_PAGES;
		*nr_free += MB_PAGES;
		own = m[-1].suffix ? 0 : run_from(map, mb);
	} else if (!all_used(m)) {
		for (begin = 0; begin < MB_PAGES; begin = end + 1) {
			end = begin;
			while (end < MB_PAGES && bits[end / 64] >> (end % 64) & 1)
				end++;
			*nr_free += end - begin;
			if (!begin)
				prefix = end;
			else if (end == MB_PAGES)
				suffix = end - begin;
			else if (end - begin > inner)
				inner = end - begin;
		}
		own = inner;
		if (prefix > own && !m[-1].suffix)
			own = prefix;
		if (suffix && suffix + run_from(map, mb + 1) > own)
			own = suffix + run_from(map, mb + 1);
	}
	return m->prefix == prefix && m->inner == inner && m->suffix == suffix && m->longest == own;
}

/* Every list holds what belongs there, and its links agree; counts the megablocks listed. */
static bool list_consistent(const struct span_map *map, u32 list, u32 *nr_listed)
{
	u32 mb = map->lists[list], prev = 0;

	if (index_has(&map->filled, list) != !!mb)
		return false;
	for (; mb; prev = mb, mb = map->megablocks[mb].next) {
		const struct span_map_megablock *m = &map->megablocks[mb];

		if (mb > map->nr_megablocks || ++*nr_listed > map->nr_megablocks)
			return false;
		if (!m->longest || list_of(map, m->longest) != list || m->prev != prev)
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
	const struct span_map_megablock *m = map->megablocks;
	u32 end = map->nr_pages & MB_MASK, mb, list, listed = 0;
	u64 nr_free = 0;

	for (mb = 1; mb <= map->nr_megablocks; mb++) {
		if (!megablock_consistent(map, mb, &nr_free))
			return -EUCLEAN;
		listed += !m[mb].longest;
	}
	for (list = 0; list < map->nr_lists; list++)
		if (!list_consistent(map, list, &listed))
			return -EUCLEAN;
	if (listed != map->nr_megablocks || nr_free != map->free_pages)
		return -EUCLEAN;
	if (!index_consistent(&map->walls, map->nr_megablocks + 2) || !index_consistent(&map->filled, map->nr_lists))
		return -EUCLEAN;

	/* Outside the pool nothing is free. */
	mb--;
	if (m[0].suffix || m[mb + 1].prefix || !index_has(&map->walls, 0) || !index_has(&map->walls, mb + 1))
		return -EUCLEAN;
	if (end && (all_free(&m[mb]) || m[mb].suffix || m[mb].prefix > end))
		return -EUCLEAN;
	return 0;
}
