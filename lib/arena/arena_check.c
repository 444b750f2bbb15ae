// SPDX-License-Identifier: MIT
/* Checked arenas. */
#include "arena_check.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../annotate.h"
#include "../process.h"

#if __has_include(<valgrind/memcheck.h>)
#include <valgrind/memcheck.h>
#else
#define VALGRIND_MAKE_MEM_NOACCESS(start, bytes)    ((void)(start), (void)(bytes))
#define VALGRIND_MAKE_MEM_UNDEFINED(start, bytes)   ((void)(start), (void)(bytes))
#define VALGRIND_MAKE_MEM_DEFINED(start, bytes)     ((void)(start), (void)(bytes))
#define VALGRIND_CREATE_MEMPOOL(pool, zone, zeroed) ((void)(pool))
#define VALGRIND_MEMPOOL_ALLOC(pool, object, bytes) ((void)(object), (void)(bytes))
#define VALGRIND_MEMPOOL_FREE(pool, object)         ((void)(object))
#endif

#define ZONE_MAGIC 0x5ea1ed5b0de5c0deu
#define SLACK_BYTE 0xa5

/* There in a program that is built with AddressSanitizer, whatever the library is built with. */
__attribute__((weak)) void __asan_poison_memory_region(const volatile void *start, size_t bytes);
__attribute__((weak)) void __asan_unpoison_memory_region(const volatile void *start, size_t bytes);

/*
 * struct zone - what stands behind an object
 * @magic: ZONE_MAGIC, and its own address
 * @size: of the object; the bytes from there to the zone are SLACK_BYTE
 */
struct zone {
	uint64_t magic;
	uint64_t size;
};

_Static_assert(sizeof(struct zone) == CHECK_ZONE, "a zone is as large as the others believe");

/* The objects of all arenas, so that one arena can adopt another's. */
static char pool;

/* Its address tells the threads apart. */
static _Thread_local char here;

bool check_start(void)
{
	if (!process.config.debug && !annotate_watched() && !__asan_poison_memory_region)
		return false;
	VALGRIND_CREATE_MEMPOOL(&pool, 0, 0);
	return true;
}

const void *check_thread(void)
{
	return &here;
}

static __attribute__((noreturn, format(printf, 1, 2))) void stop(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	fputs("pagespan: ", stderr);
	vfprintf(stderr, format, arguments);
	fputc('\n', stderr);
	va_end(arguments);
	abort();
}

void check_owner_is_here(const struct arena *arena)
{
	if (arena->owner != &here)
		stop("arena %p is used by a thread which is not its own", (const void *)arena);
}

static void forbid(const void *start, size_t bytes)
{
	if (__asan_poison_memory_region)
		__asan_poison_memory_region(start, bytes);
	(void)VALGRIND_MAKE_MEM_NOACCESS(start, bytes);
}

void check_allow(const void *start, size_t bytes)
{
	if (__asan_unpoison_memory_region)
		__asan_unpoison_memory_region(start, bytes);
	(void)VALGRIND_MAKE_MEM_UNDEFINED(start, bytes);
}

/* Lets the library itself read what it wrote. */
static void open_to_read(const void *start, size_t bytes)
{
	check_allow(start, bytes);
	(void)VALGRIND_MAKE_MEM_DEFINED(start, bytes);
}

void check_created(struct arena *arena)
{
	forbid((void *)arena->bump.cur, arena->bump.end - arena->bump.cur);
	arena->bump.end = arena->bump.cur;
}

void check_alloc(const struct chunk *chunk, void *object, size_t size)
{
	size_t slack = ps_arena_rounded(size) - size;
	char *slack_start = (char *)object + size;
	struct zone *zone = (struct zone *)(slack_start + slack);

	check_allow(object, size + slack + sizeof(*zone));
	memset(slack_start, SLACK_BYTE, slack);
	zone->magic = ZONE_MAGIC ^ (uintptr_t)zone;
	zone->size = size;
	forbid(slack_start, chunk->end - (uintptr_t)slack_start);
	VALGRIND_MEMPOOL_ALLOC(&pool, object, size);
}

/* The address of the object that a zone belongs to. */
static uintptr_t check_zone(const struct zone *zone)
{
	const unsigned char *slack;
	uintptr_t object;

	open_to_read(zone, sizeof(*zone));
	if (zone->magic != (ZONE_MAGIC ^ (uintptr_t)zone))
		stop("the arena object that ends at %p was written behind its end",
		     (const void *)zone);
	object = (uintptr_t)zone - ps_arena_rounded(zone->size);
	slack = (const unsigned char *)object + zone->size;
	open_to_read(slack, (uintptr_t)zone - (uintptr_t)slack);
	for (; slack < (const unsigned char *)zone; slack++)
		if (*slack != SLACK_BYTE)
			stop("the arena object of %zu bytes at %p was written behind its end",
			     (size_t)zone->size, (void *)object);
	return object;
}

void check_free(struct chunk *chunk, uintptr_t floor)
{
	uintptr_t cur = chunk->cur;

	while (cur > floor) {
		cur = check_zone((const struct zone *)(cur - CHECK_ZONE));
		VALGRIND_MEMPOOL_FREE(&pool, cur);
	}
	forbid((void *)floor, chunk->end - floor);
}

void check_free_chunks(struct arena *arena, struct chunk *chunk, uintptr_t floor)
{
	arena->current->cur = arena->bump.cur;
	check_free(chunk, floor);
	while (chunk != arena->current) {
		chunk = chunk->next;
		check_free(chunk, chunk_data(chunk));
	}
}
