// SPDX-License-Identifier: MIT
#define _GNU_SOURCE
#include <errno.h>
#include <sys/mman.h>

#include "backend.h"
#include "memory_huge.h"

/*
 * Where advice begins or ends a mapping does, and may for good: the parts of one that was touched
 * only afterwards never merge.  So each such place counts, once.  An eighth of what the kernel
 * allows a process by default.
 */
#define EDGES_MAX 8192

static struct {
	char *base;
	uint64_t nr_megablocks;
	uint64_t *advised; /* a bit a megablock */
	uint64_t *edge;    /* a bit a megablock: mappings may be two where it begins */
	uint32_t nr_edges;
} huge;

static uint64_t nr_words(uint64_t nr_pages)
{
	return nr_pages / MEGABLOCK_PAGES / 64 + 1;
}

static bool is_set(const uint64_t *set, uint64_t megablock)
{
	return set[megablock / 64] >> megablock % 64 & 1;
}

static void set(uint64_t *set, uint64_t megablock, bool value)
{
	uint64_t bit = (uint64_t)1 << megablock % 64;

	if (value)
		set[megablock / 64] |= bit;
	else
		set[megablock / 64] &= ~bit;
}

size_t memory_huge_bytes(uint64_t nr_pages)
{
	return 2 * nr_words(nr_pages) * sizeof(uint64_t);
}

void memory_huge_init(char *base, uint64_t nr_pages, void *memory)
{
	huge.base = base;
	huge.nr_megablocks = nr_pages / MEGABLOCK_PAGES;
	huge.advised = memory;
	huge.edge = huge.advised + nr_words(nr_pages);
	huge.nr_edges = 0;
}

bool memory_huge_is_advised(uint64_t megablock)
{
	return megablock < huge.nr_megablocks && is_set(huge.advised, megablock);
}

bool memory_huge_may_end(uint64_t begin, uint64_t end)
{
	uint32_t more = !is_set(huge.edge, begin) + !is_set(huge.edge, end);

	return huge.nr_edges + more <= EDGES_MAX;
}

static void end_mappings(uint64_t begin, uint64_t end)
{
	huge.nr_edges += !is_set(huge.edge, begin) + !is_set(huge.edge, end);
	set(huge.edge, begin, true);
	set(huge.edge, end, true);
}

void memory_huge_advise(uint64_t first, uint64_t nr_pages)
{
	uint64_t begin = (first + MEGABLOCK_PAGES - 1) / MEGABLOCK_PAGES;
	uint64_t end = (first + nr_pages) / MEGABLOCK_PAGES;

	if (begin >= end || !memory_huge_may_end(begin, end) ||
	    madvise(huge.base + begin * MEGABLOCK_BYTES, (end - begin) * MEGABLOCK_BYTES,
		    MADV_HUGEPAGE))
		return;
	end_mappings(begin, end);
	for (; begin < end; begin++)
		set(huge.advised, begin, true);
}

void memory_huge_forget(uint64_t begin, uint64_t end)
{
	end_mappings(begin, end);
	for (; begin < end; begin++)
		set(huge.advised, begin, false);
}
