#!/bin/bash
# SPDX-License-Identifier: MIT
#
# Mutation check: span_map.c with one line changed, again and again. The tests must notice every one;
# a mutant that survives is a promise that no test holds. Each is compiled with the tests and killed
# by the first of them that fails, or does not end.
#
# Usage: span_map_mutants.sh WORK
set -euo pipefail

work=$1
source=$(cd "$(dirname "$0")/../.." && pwd)
jobs=$(nproc)
# shellcheck source=selftests/mutants/mutate.sh
. "$source/selftests/mutants/mutate.sh"

# What breaks, a bar, and the sed command that breaks it. Each must change exactly one line.
mutants() {
	cat <<'END'
a refusal although the list fits|s/list = index_next(&map->filled, nr_pages);/list = index_next(\&map->filled, nr_pages + 1);/
the search in an index misses the next word|s|i = i / 64 + 1;|i = i / 64 + 2;|
the search in an index forgets where it starts|s|bits_from(i % 64))) {|ALL)) {|
the backward search starts one late|s|bits_upto(i % 64))) {|bits_upto(i % 64) >> 1)) {|
an empty word is not carried up|s|member = index->level\[level\]\[word\] != 0;|member = 1;|
a filled word is not carried up|s|^	if (!before)$|	if (0)|
carrying up stops too early|s|if (!before == !\*above)|if (level == 0)|
a range of walls loses its last|/^static void index_add_range/,/^}/s/63 : last % 64;/63 : i % 64;/
a range that is no wall loses its last|/^static void index_remove_range/,/^}/s/63 : last % 64;/63 : i % 64;/
a flip misses the first word's edge|s/bits\[first \/ 64\] ^= ~bits_from(first % 64);/;/
a flip misses the last word's edge|s/bits\[end \/ 64 % MB_WORDS\] ^= ~bits_from(end % 64);/;/
the run to the left is cut at a word|s|used = ~bits\[--word\];|used = ALL; word--;|
the run to the right is cut at a word|s|if (++word == MB_WORDS)|if (++word >= 1)|
a double free in the first word passes|s/free = (bits\[first \/ 64\] & head) | /free = /
a double free in the last word passes|s/ | (bits\[end \/ 64 % MB_WORDS\] & tail);/;/
a double free in a middle word passes|s/free |= bits\[word\] & ~upto_first\[word\] & below_last\[word\];/;/
a double free of an all-free megablock passes|/^static inline bool pages_in_use_within/,/^}/s/return all_used(m) || !((u32)all_free(m) | /return all_used(m) || !(/
a double free inside a span passes|s/differ |= record ^ in_use;/;/
inner runs in a word are one short|s/longest = lowest_bit(~(free >> at));/longest = lowest_bit(~(free >> at)) - 1;/
inner runs in a word are not looked for|s/while (longest < 62) {/while (longest > 62) {/
inner runs across words are not counted|s/^		have += head;/		have = head;/
the prefix counts as an inner run|s/s32 have = -m->prefix, longest = 0;/s32 have = 0, longest = 0;/
more inner runs than one are forgotten|s/m->others = seen > 1;/m->others = 0;/
a second inner run is forgotten|s/m->others = m->inner > 0;/m->others = 0;/
the longest inner run is the last one|s/^	if (length > m->inner) {/	if (1) {/
a list is chosen one too short|s/return longest < map->nr_lists ? longest : map->nr_lists;/return longest < map->nr_lists ? longest - (longest > 1) : map->nr_lists;/
the neighbour in a list keeps its link|s/map->starts\[next\].slot = slot;/;/
an empty list stays filled|s/(u64)(!next \&\& slot >= lists)/(u64)0/
list 0 keeps a megablock|s/slots\[slot\] = to ? mb : 0;/slots[slot] = mb;/
a run ends with its all-free megablocks|s/return (wall - mb) \* MB_PAGES + map->megablocks\[wall\].prefix;/return (wall - mb) * MB_PAGES;/
a run starts with its all-free megablocks|s/return map->megablocks\[wall\].suffix ? wall : wall + 1;/return wall + 1;/
a prefix that goes on to the left counts twice|s/prefix = m->prefix & (joined - 1);/prefix = m->prefix;/
an all-free megablock inside a run counts as its start|s/u32 run = m->suffix & ((joined & all_free(m)) - 1);/u32 run = m->suffix;/
the start of the run to the left is not told|s/settle(map, start_of_run_into(map, a - 1));/;/
the last megablock is not told|s/^		settle(map, b);/		;/
the megablock after is not told|s/^		settle(map, b + 1);/		;/
what is left of a prefix is lost|/if (first < m->prefix)/,/else if/s/add_inner(m, end, rest);/;/
what is left of a suffix is lost|0,/add_inner(m, at, first - at);/s/add_inner(m, at, first - at);/;/
stale bits are taken for true when pages are taken|s/memset(bits, 0xff, sizeof(map->bits\[mb\]));/;/
stale bits are taken for true when pages are freed|/^static void give_within/,/^}/s/memset(bits, 0, sizeof(map->bits\[mb\]));/;/
an all-free megablock stays a wall|/^static void give_within/,/^}/s/^		index_remove(&map->walls, mb);/		;/
a merged inner run stays short|s/^			m->inner = stop - begin;/			m->inner = end - first;/
a swallowed inner run stays|s/^	if (!inner_starts_in(m, begin, stop))/	if (1)/
the count of free pages forgets a free|s/map->free_pages += nr_pages;/;/
the count of free pages forgets an allocation|s/map->free_pages -= nr_pages;/;/
megablocks inside a span stay free|s/m\[mb\] = ALL_USED;/;/
megablocks inside a freed span stay in use|s/m\[mb\] = ALL_FREE;/;/
a prefix of another run is taken|s/if (nr_pages <= m->prefix \&\& !m\[-1\].suffix)/if (nr_pages <= m->prefix)/
the mixed end of a run is not used|s/if (nr_pages <= tail)/if (0)/
an aligned span may end behind its run|s/return aligned + nr_pages <= run_stop(map, first) ? aligned : 0;/return aligned;/
an aligned span across words is missed|s/u64 high = i + words + 1 < MB_WORDS ? bits\[i + words + 1\] : 0;/u64 high = 0;/
an aligned span at a suffix is missed|s/if (i < MB_PAGES \&\& nr_pages <= MB_PAGES - i + run_from(map, mb + 1))/if (0)/
an aligned search skips all-free megablocks|s/return nr_pages <= run_from(map, mb) ? page : 0;/return 0;/
a search skips megablocks|s/first = aligned_in(map, ++search->next, nr_pages, align);/search->next++, first = aligned_in(map, ++search->next, nr_pages, align);/
a step of a search has no end|s/!first \&\& steps < SPAN_MAP_STEP_MEGABLOCKS/!first/
the end of the pool is off by one|s/first > map->nr_pages - nr_pages;/first > map->nr_pages - nr_pages + 1;/
a page in use is allocated by address|s/return first + nr_pages <= run_stop(map, first);/return first + nr_pages <= run_stop(map, first) + 1;/
the longest run is the first of its list|s/if (longest < map->nr_lists)/if (1)/
a bulk free does not look for free pages|s/: !pages_in_use(map, first, nr_pages))/: 0)/
a bulk free does not look at single pages|s/if (nr_pages == 1 ? !page_in_use(map, first) :/if (nr_pages == 1 ? 0 :/
a bulk free takes a page of an all-free megablock|/^static inline bool page_in_use/,/^}/s/!((u32)all_free(m) | /!(/
a bulk free of an all-used megablock looks at stale bits|/^static inline bool page_in_use/,/^}/s/return all_used(m) || /return /
a bulk free lets ranges overlap|s/if (first < end || out_of_range(map, first, nr_pages))/if (out_of_range(map, first, nr_pages))/
a bulk free lets ranges leave the pool|s/if (first < end || out_of_range(map, first, nr_pages))/if (first < end)/
a bulk free takes stale bits for true|/^static u32 give_in_megablock/,/^}/s/memset(bits, 0, sizeof(map->bits\[mb\]));/;/
a bulk free loses ranges of more than a page|s/^			bits_flip(bits, first, first + ranges\[i\].nr_pages);/			;/
a bulk free loses single pages|s/bits\[first \/ 64\] |= 1ULL << (first % 64);/;/
a bulk free counts no page|s/map->free_pages += ranges\[i\].nr_pages;/;/
a bulk free ends a megablock too late|s/i < nr \&\& megablock_of_last(&ranges\[i\]) == mb; i++/i < nr; i++/
a bulk free takes a range across megablocks for one inside|s/if (i + 1 < nr \&\& first >> MB_SHIFT == megablock_of_last(&ranges\[i + 1\])) {/if (i + 1 < nr) {/
a rescan does not see that all is free|/^static void rescan/,/^}/s/if (all_free(m)) {/if (0) {/
a rescan leaves an all-free megablock a wall|/^static void rescan/,/^}/s/index_remove(&map->walls, mb);/;/
a rescan keeps the prefix|/^static void rescan/,/^}/s/m->prefix = run_end(bits, 0);/;/
a rescan keeps the suffix|/^static void rescan/,/^}/s/m->suffix = MB_PAGES - run_begin(bits, MB_PAGES);/;/
a rescan keeps the inner run|/^static void rescan/,/^}/s/find_inner(m, bits);/;/
a rescan does not tell the neighbours|/^static void rescan/,/^}/s/settle_around(map, mb, mb, old_prefix, old_suffix);/;/
single pages are taken from a run to the left|s/u32 begin = m\[-1\].suffix ? m->prefix : 0,/u32 begin = 0,/
single pages are left out behind the prefix|s/^	for (; word < MB_WORDS \&\& taken < nr; word++, mask = ALL) {/	for (; word < MB_WORDS \&\& taken < nr; word++) {/
single pages are not taken out of the bits|s/bits\[word\] = free | (bits\[word\] & ~mask);/;/
pages below the first are taken with single pages|s/bits\[word\] = free | (bits\[word\] & ~mask);/bits[word] = free;/
more single pages are taken than wanted|s/free = bits\[word\] & mask; free \&\& taken < nr; free/free = bits[word] \& mask; free; free/
the count of free pages forgets single pages|s/map->free_pages -= taken;/;/
single pages of an all-free megablock are drained|s/if (longest < nr \&\& !all_free(&map->megablocks\[mb\]))/if (longest < nr)/
a run of which single pages are wanted is drained|s/if (longest < nr \&\& !all_free(&map->megablocks\[mb\]))/if (!all_free(\&map->megablocks[mb]))/
more single pages are taken than a run has|s/^	if (nr > longest)/	if (0)/
metadata is a list short|s/(lists_of(nr_pages) + 1) \* sizeof(u32)/lists_of(nr_pages) * sizeof(u32)/
misaligned metadata is taken|s/(uintptr_t)metadata % SPAN_MAP_METADATA_ALIGN/0/
END
}

# Prints "ok" or "not ok", a bar, and what was broken.
try_mutant() {
	local number=$1 what=$2 command=$3 directory
	directory=$work/$number
	mkdir -p "$directory/kmod" "$directory/selftests"
	cp "$source/kmod/span_map.h" "$directory/kmod/"
	ln -sfn "$source/selftests/host" "$directory/selftests/host"

	local complaint
	if ! complaint=$(mutate "$source/kmod/span_map.c" "$command" "$directory/kmod/span_map.c"); then
		echo "not ok|$what: $complaint"
	elif killed "$directory"; then
		echo "ok|$what"
	else
		echo "not ok|$what: survives"
	fi
}

killed() {
	local directory=$1 test
	for test in promises random; do
		# A mutant that the compiler refuses would prove nothing.
		gcc -std=gnu11 -O1 -w -c "$directory/kmod/span_map.c" -o "$directory/span_map.o" || return 1
		gcc -fsanitize=address "$work/$test.o" "$directory/span_map.o" -o "$directory/$test" || return 1
		{ timeout 30 "$directory/$test" 1500 >"$directory/$test.log" 2>&1; } 2>/dev/null || return 0
	done
	return 1
}

rm -rf "$work"
mkdir -p "$work"
for test in promises random; do
	gcc -std=gnu11 -O1 -fsanitize=address -c "$source/selftests/host/span_map_$test.c" -o "$work/$test.o"
done

number=0
while IFS='|' read -r what command; do
	number=$((number + 1))
	while [ "$(jobs -rp | wc -l)" -ge "$jobs" ]; do
		wait -n || true
	done
	try_mutant "$number" "$what" "$command" >"$work/$(printf '%03d' "$number").result" &
done < <(mutants)
wait

echo 'KTAP version 1'
number=0
status=0
for result in "$work"/*.result; do
	number=$((number + 1))
	IFS='|' read -r verdict what <"$result"
	[ "$verdict" = ok ] || status=1
	printf '%s %d mutant_is_killed: %s\n' "$verdict" "$number" "$what"
done
echo "1..$number"
exit "$status"
