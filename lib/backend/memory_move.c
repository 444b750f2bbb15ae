// SPDX-License-Identifier: MIT
/*
 * Contents go by way of a third place, which the kernel chooses: a mremap() to a fixed one may have
 * unmapped that before it fails, or have moved a part of what are several mappings.  The first step
 * is refused without a trace; in the second nothing is left that could be refused but for want of
 * memory for the kernel itself.
 *
 * What was moved keeps the place in its mapping that it had, so it never merges with what is beside
 * it, and the kernel allows a process only so many mappings: hence MOVES_MAX.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>

#include "../annotate.h"
#include "memory_huge.h"
#include "memory_move.h"
#include "memory_state.h"

#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP 4
#endif
#ifndef MADV_COLD
#define MADV_COLD 20
#endif

/* Each may make two mappings more: an eighth of those that Linux allows by default. */
#define MOVES_MAX 4096

/* Less is copied sooner. */
#define LEAST_PAGES MEGABLOCK_PAGES

/* Held while contents are in the third place, of which a fork knows nothing. */
static pthread_mutex_t moving = PTHREAD_MUTEX_INITIALIZER;
static uint32_t nr_moves;

void memory_move_init(void)
{
	nr_moves = 0;
}

void memory_move_lock(void)
{
	pthread_mutex_lock(&moving);
}

void memory_move_unlock(void)
{
	pthread_mutex_unlock(&moving);
}

void memory_move_reset_lock(void)
{
	moving = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
}

static bool is_advised(uint64_t first, uint64_t nr_pages)
{
	uint64_t last = (first + nr_pages - 1) / MEGABLOCK_PAGES;
	uint64_t megablock = first / MEGABLOCK_PAGES;
	bool advised = false;

	pthread_mutex_lock(&memory_state.lock);
	for (; megablock <= last && !advised; megablock++)
		advised = memory_huge_is_advised(megablock);
	pthread_mutex_unlock(&memory_state.lock);
	return advised;
}

/*
 * Locked memory would be unlocked where it was, with all of its mapping.  The kernel does not take
 * this advice for it; it is given for a whole megablock, lest a huge page is split.
 */
static bool may_be_locked(uint64_t first, uint64_t nr_pages)
{
	uint64_t inside = (first + MEGABLOCK_PAGES - 1) / MEGABLOCK_PAGES * MEGABLOCK_PAGES;

	return inside + MEGABLOCK_PAGES > first + nr_pages ||
	       madvise(memory_address(inside), MEGABLOCK_BYTES, MADV_COLD);
}

/* If it is not mapped any more; whatever else is there by now is left alone. */
static void map_again(char *pages, size_t bytes)
{
	if (mmap(pages, bytes, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0) == pages)
		madvise(pages, bytes, MADV_DONTFORK);
}

/* Nothing is lost if it fails. */
static bool move(char *from, char *to, size_t bytes)
{
	/* The kernel looks at the last argument, as at that of mmap(). */
	void *between = mremap(from, bytes, bytes, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, NULL);

	if (between == MAP_FAILED)
		return false;
	if (mremap(between, bytes, bytes, MREMAP_MAYMOVE | MREMAP_FIXED, to) == to)
		return true;
	map_again(to, bytes);
	memcpy(from, between, bytes);
	munmap(between, bytes);
	return false;
}

static bool may_move(uint64_t from, uint64_t to, uint64_t nr_pages)
{
	return nr_pages >= LEAST_PAGES && !memory_state.debug && !annotate_watched() &&
	       !is_advised(from, nr_pages) && !is_advised(to, nr_pages) &&
	       !may_be_locked(from, nr_pages) && !may_be_locked(to, nr_pages);
}

bool memory_move(uint64_t from, uint64_t to, uint64_t nr_pages)
{
	int saved_errno = errno;
	bool moved = false;

	pthread_mutex_lock(&moving);
	if (nr_moves < MOVES_MAX && may_move(from, to, nr_pages))
		moved = move(memory_address(from), memory_address(to), nr_pages * PS_PAGE_SIZE);
	nr_moves += moved;
	pthread_mutex_unlock(&moving);
	errno = saved_errno;
	return moved;
}
