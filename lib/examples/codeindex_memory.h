/* SPDX-License-Identifier: MIT */
/*
 * The memory of an index, in two forms that have the same interface: pagespan, or malloc when
 * CODEINDEX_MALLOC is defined.  What includes this file is compiled once for each and calls its
 * allocator directly.
 *
 *   object   of any size, never grows, lives as long as the index
 *   block    grows; its owner keeps its size: a power of two from BLOCK_MIN to half a page, or
 *            whole pages
 *
 *              pagespan                                    malloc
 *   object     arena                                       malloc
 *   block      below a page: arena, and a list of free     malloc, realloc
 *              blocks of each size; from there on: a span
 *   trim       the unused tail pages are freed             realloc
 *   the end    the arena is destroyed, spans are freed     every object and block is freed
 */
#ifndef CODEINDEX_MEMORY_H
#define CODEINDEX_MEMORY_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define BLOCK_MIN  ((size_t)16)
#define BLOCK_PAGE ((size_t)4096)
#define BLOCK_MAX  (65536 * BLOCK_PAGE)

/* The size a full block grows to: twice below a page, half as much again in whole pages above. */
static inline size_t block_grown(size_t bytes)
{
	if (bytes < BLOCK_PAGE)
		return bytes < BLOCK_MIN ? BLOCK_MIN : bytes * 2;
	return (bytes + bytes / 2 + BLOCK_PAGE - 1) & ~(BLOCK_PAGE - 1);
}

/* The smallest size of a block that holds so many bytes. */
static inline size_t block_holding(size_t bytes)
{
	size_t size = BLOCK_MIN;

	if (bytes > BLOCK_PAGE / 2)
		return (bytes + BLOCK_PAGE - 1) & ~(BLOCK_PAGE - 1);
	while (size < bytes)
		size *= 2;
	return size;
}

#ifndef CODEINDEX_MALLOC

#include <pagespan.h>
#include <pagespan/arena.h>

#define CODEINDEX_NAME(name) pagespan_##name

/* Everything below a page goes with the arena. */
#define MEMORY_FREES_EACH false

/* 16 to 2048 bytes. */
#define NR_SMALL_BLOCKS 8

/* Free blocks of one size are made by so many bytes at a time. */
#define CARVE_BYTES ((size_t)256)

struct free_block {
	struct free_block *next;
};

struct memory {
	struct ps_arena *arena;
	struct free_block *free_blocks[NR_SMALL_BLOCKS]; /* [i]: of BLOCK_MIN << i bytes */
	uint64_t tail_pages;                             /* given back by memory_trim() */
};

static inline int memory_open(struct memory *memory)
{
	*memory = (struct memory){.arena = ps_arena_create(NULL)};
	return memory->arena ? 0 : -errno;
}

static inline void memory_close(struct memory *memory)
{
	ps_arena_destroy(memory->arena);
}

static inline void *memory_object(struct memory *memory, size_t bytes)
{
	return ps_alloc(memory->arena, bytes);
}

static inline void memory_object_free(struct memory *memory, void *object)
{
	(void)memory;
	(void)object;
}

static inline struct free_block **free_blocks_of(struct memory *memory, size_t bytes)
{
	return &memory->free_blocks[__builtin_ctzl(bytes) - __builtin_ctzl(BLOCK_MIN)];
}

/* A block, and as many free ones as fit CARVE_BYTES with it: one loop, so through a cursor. */
static __attribute__((noinline, unused)) void *carve_blocks(struct memory *memory, size_t bytes)
{
	struct ps_cursor cursor = ps_cursor_open(memory->arena);
	struct free_block **list = free_blocks_of(memory, bytes);
	void *first = ps_cursor_alloc(&cursor, bytes);

	for (size_t carved = 2 * bytes; first && carved <= CARVE_BYTES; carved += bytes) {
		struct free_block *block = ps_cursor_alloc(&cursor, bytes);

		if (!block)
			break;
		block->next = *list;
		*list = block;
	}
	ps_cursor_close(&cursor);
	return first;
}

static inline void *memory_block(struct memory *memory, size_t bytes)
{
	struct free_block **list;
	struct free_block *block;

	if (bytes >= BLOCK_PAGE)
		return ps_span_alloc(bytes);
	list = free_blocks_of(memory, bytes);
	block = *list;
	if (!block)
		return carve_blocks(memory, bytes);
	*list = block->next;
	return block;
}

static inline void *memory_block_zeroed(struct memory *memory, size_t bytes)
{
	void *block = memory_block(memory, bytes);

	return block ? memset(block, 0, bytes) : NULL;
}

static inline void memory_block_free(struct memory *memory, void *block, size_t bytes)
{
	struct free_block **list;
	struct free_block *freed = block;

	if (!block)
		return;
	if (bytes >= BLOCK_PAGE) {
		ps_span_free(block, bytes);
		return;
	}
	list = free_blocks_of(memory, bytes);
	freed->next = *list;
	*list = freed;
}

/* NULL leaves the old block as it was. */
static inline void *memory_block_grow(struct memory *memory, void *old, size_t old_bytes,
				      size_t bytes)
{
	void *block = memory_block(memory, bytes);

	if (block && old) {
		memcpy(block, old, old_bytes);
		memory_block_free(memory, old, old_bytes);
	}
	return block;
}

/* Gives back what a block of pages does not use; the bytes that remain. */
static inline size_t memory_trim(struct memory *memory, void **block, size_t bytes, size_t used)
{
	size_t kept = (used + BLOCK_PAGE - 1) & ~(BLOCK_PAGE - 1);

	if (!used || bytes < BLOCK_PAGE || kept == bytes ||
	    ps_span_free((char *)*block + kept, bytes - kept))
		return bytes;
	memory->tail_pages += (bytes - kept) / BLOCK_PAGE;
	return kept;
}

#else /* CODEINDEX_MALLOC */

#include <stdlib.h>

#define CODEINDEX_NAME(name) malloc_##name

#define MEMORY_FREES_EACH    true

struct memory {
	uint64_t tail_pages; /* always 0 */
};

static inline int memory_open(struct memory *memory)
{
	*memory = (struct memory){0};
	return 0;
}

static inline void memory_close(struct memory *memory)
{
	(void)memory;
}

static inline void *memory_object(struct memory *memory, size_t bytes)
{
	(void)memory;
	return malloc(bytes);
}

static inline void memory_object_free(struct memory *memory, void *object)
{
	(void)memory;
	free(object);
}

static inline void *memory_block_zeroed(struct memory *memory, size_t bytes)
{
	(void)memory;
	return calloc(1, bytes);
}

static inline void memory_block_free(struct memory *memory, void *block, size_t bytes)
{
	(void)memory;
	(void)bytes;
	free(block);
}

static inline void *memory_block_grow(struct memory *memory, void *old, size_t old_bytes,
				      size_t bytes)
{
	(void)memory;
	(void)old_bytes;
	return realloc(old, bytes);
}

static inline size_t memory_trim(struct memory *memory, void **block, size_t bytes, size_t used)
{
	void *kept;

	(void)memory;
	if (!used || bytes < BLOCK_PAGE || used == bytes)
		return bytes;
	kept = realloc(*block, used);
	if (!kept)
		return bytes;
	*block = kept;
	return used;
}

#endif
#endif
