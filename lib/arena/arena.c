// SPDX-License-Identifier: MIT
/*
 * Arenas: everything but the inlined bump, the slow path as far as the cache serves it
 * (arena_refill.c), and the strings (arena_string.c).
 */
#include <errno.h>
#include <stdatomic.h>
#include <string.h>

#include "../open.h"
#include "../span/cache.h"
#include "arena_check.h"
#include "arena_large.h"
#include "arena_refill.h"
#include "arena_registers.h"

static void *take_any(uint32_t nr_pages)
{
	return ps_span_alloc(nr_pages * PS_PAGE_SIZE);
}

/* The pages are the arena's, so they cannot fail to go back. */
static bool put_any(void *span, uint32_t nr_pages)
{
	ps_span_free(span, nr_pages * PS_PAGE_SIZE);
	return true;
}

static bool put_checked(void *span, uint32_t nr_pages)
{
	check_allow(span, nr_pages * PS_PAGE_SIZE);
	return put_any(span, nr_pages);
}

/* ---- the beginning and the end ------------------------------------------------------------- */

/* How arenas are made: not known before there is a backend. */
static _Atomic enum { UNKNOWN, PLAIN, CHECKED } kind;

/* Every arena is made behind this; false with errno. */
static bool find_kind(void)
{
	if (atomic_load_explicit(&kind, memory_order_acquire) != UNKNOWN)
		return true;
	if (!process_backend())
		return false;
	registers_start();
	atomic_store_explicit(&kind, check_start() ? CHECKED : PLAIN, memory_order_release);
	return true;
}

static inline struct arena *make_arena(size_t bytes, bool checked)
{
	struct arena *arena = ps_span_alloc(bytes);

	if (!arena)
		return NULL;
	arena->bump.cur = chunk_data(&arena->first);
	arena->bump.end = (uintptr_t)arena + bytes;
	arena->current = &arena->first;
	arena->last = &arena->first;
	arena->large = NULL;
	arena->kept = NULL;
	arena->held = bytes;
	arena->chunk_bytes = bytes;
	arena->medium_bytes = 0;
	arena->limit = SIZE_MAX;
	arena->owner = checked ? check_thread() : NULL;
	arena->first.next = NULL;
	arena->first.end = arena->bump.end;
	arena->first.zoned = checked;
	return arena;
}

static __attribute__((noinline)) struct ps_arena *create_other(
	const struct ps_arena_options *options)
{
	struct ps_arena_options chosen = {.size = sizeof(chosen)};
	struct arena *arena;
	bool checked;

	if (options)
		chosen = *options;
	if (chosen.size < sizeof(chosen) || chosen.chunk_bytes % PS_PAGE_SIZE ||
	    chosen.chunk_bytes > CHUNK_MAX || chosen.flags & ~(uint64_t)PS_ARENA_DEBUG) {
		errno = EINVAL;
		return NULL;
	}
	if (!find_kind())
		return NULL;
	checked = kind == CHECKED || chosen.flags & PS_ARENA_DEBUG;
	arena = make_arena(chosen.chunk_bytes ? chosen.chunk_bytes : CHUNK_DEFAULT, checked);
	if (arena && checked)
		check_created(arena);
	return &arena->bump;
}

struct ps_arena *ps_arena_create(const struct ps_arena_options *options)
{
	struct arena *arena;

	if (options || atomic_load_explicit(&kind, memory_order_acquire) != PLAIN)
		return create_other(options);
	arena = make_arena(CHUNK_DEFAULT, false);
	return &arena->bump;
}

static void put_last(struct arena *arena)
{
	struct chunk *last = arena->last;

	arena->last = last->previous;
	arena->last->next = NULL;
	arena->chunk_bytes -= chunk_size(last);
	arena_put_chunk(arena, last);
}

/* Of an arena that has more than its first chunk, or is checked. */
static __attribute__((noinline)) void destroy_other(struct arena *arena)
{
	if (arena->owner)
		check_free_chunks(arena, &arena->first, chunk_data(&arena->first));
	arena_put_large(arena, NULL);
	kept_put_all(arena);
	while (arena->last != &arena->first)
		put_last(arena);
	arena_put_chunk(arena, &arena->first);
}

void ps_arena_destroy(struct ps_arena *bump)
{
	struct arena *arena = arena_of(bump);

	if (!arena)
		return;
	if (arena->first.end - (uintptr_t)arena != arena->held || arena->owner)
		destroy_other(arena);
	else
		ps_span_free(arena, arena->held);
}

/* ---- the slow path ------------------------------------------------------------------------- */

/* Every object of a checked arena comes this way. */
static void *alloc_checked(struct arena *arena, size_t size)
{
	size_t zoned = ps_arena_rounded(size) + CHECK_ZONE;
	const struct chunk *large = arena->large;
	uintptr_t cur = arena->bump.cur;
	struct chunk *chunk;
	void *object;

	check_owner(arena);
	if (zoned <= arena->current->end - cur) {
		object = (void *)cur;
		arena->bump.cur = cur + zoned;
	} else {
		object = refill(arena, zoned, take_any, put_checked, true);
	}
	chunk = arena->large == large ? arena->current : arena->large;
	if (object)
		check_alloc(chunk, object, size);
	arena->bump.end = arena->bump.cur;
	return object;
}

/* What is kept for large objects goes before an object is refused. */
static void *alloc_long(struct arena *arena, size_t size)
{
	void *object = refill(arena, size, take_any, put_any, true);

	if (object || !arena->kept)
		return object;
	kept_put_all(arena);
	return refill(arena, size, take_any, put_any, true);
}

void *arena_refill_long(struct ps_arena *bump, size_t size)
{
	struct arena *arena = arena_of(bump);
	int saved_errno = errno;
	void *object = NULL;

	errno = ENOMEM;
	if (size > PS_SPAN_MAX)
		return NULL;
	if (arena->owner)
		object = alloc_checked(arena, size);
	else
		object = alloc_long(arena, ps_arena_rounded(size));
	if (object)
		errno = saved_errno;
	return object;
}

void *ps_arena_refill(struct ps_arena *bump, size_t size)
{
	void *object = arena_refill_cached(bump, size);

	return object ? object : arena_refill_long(bump, size);
}

void *ps_arena_refill_aligned(struct ps_arena *bump, size_t size, size_t align)
{
	uintptr_t object;

	if (!align || align & (align - 1) || align > PS_ARENA_ALIGN_MAX) {
		errno = EINVAL;
		return NULL;
	}
	if (align <= PS_ARENA_ALIGN)
		return ps_arena_refill(bump, size);
	if (__builtin_add_overflow(size, align - PS_ARENA_ALIGN, &size))
		size = SIZE_MAX;
	object = (uintptr_t)ps_arena_refill(bump, size);
	return (void *)((object + (align - 1)) & ~(uintptr_t)(align - 1));
}

/* ---- freeing ------------------------------------------------------------------------------- */

/* Goes on in a chunk of which everything from @cur is free. */
static void resume(struct arena *arena, struct chunk *chunk, uintptr_t cur)
{
	arena->current = chunk;
	arena->bump.cur = cur;
	arena->bump.end = arena->owner ? cur : chunk->end;
}

void ps_arena_reset(struct ps_arena *bump, size_t keep_bytes)
{
	struct arena *arena = arena_of(bump);
	struct chunk *first = &arena->first;

	if (__builtin_expect(arena->owner != NULL, 0)) {
		arena->owner = check_thread();
		check_free_chunks(arena, first, chunk_data(first));
	}
	while (arena->last != first && arena->chunk_bytes > keep_bytes)
		put_last(arena);
	arena_keep_large(arena,
			 keep_bytes > arena->chunk_bytes ? keep_bytes - arena->chunk_bytes : 0);
	resume(arena, first, chunk_data(first));
}

struct ps_arena_mark ps_mark(const struct ps_arena *bump)
{
	const struct arena *arena = arena_of(bump);

	check_owner(arena);
	if (arena->large)
		arena->large->marked = true;
	return (struct ps_arena_mark){
		.cur = arena->bump.cur,
		.current = arena->current,
		.last = arena->last,
		.large = arena->large,
	};
}

void ps_rewind(struct ps_arena *bump, struct ps_arena_mark mark)
{
	struct arena *arena = arena_of(bump);
	struct chunk *current = mark.current;

	check_owner(arena);
	if (__builtin_expect(arena->owner != NULL, 0))
		check_free_chunks(arena, current, mark.cur);
	arena_put_large(arena, mark.large);
	while (arena->last != mark.last)
		put_last(arena);
	/* What was last at the mark may have shrunk, and the pages behind it be gone. */
	resume(arena, current, mark.cur < current->end ? mark.cur : current->end);
}

/* ---- one arena and another ----------------------------------------------------------------- */

/* Its chunks become large objects, the first one with what is left of the arena in it. */
void ps_arena_adopt(struct ps_arena *bump, struct ps_arena *other_bump)
{
	struct arena *arena = arena_of(bump), *other = arena_of(other_bump);
	struct chunk *chunk = other->current, *last_large = other->large;

	check_owner(arena);
	kept_put_all(other);
	while (other->last != chunk)
		put_last(other);
	trim_current(other, other->owner ? put_checked : put_any);
	chunk->cur = other->bump.cur;
	other->first.single = false;
	arena->held += other->held;
	arena->medium_bytes += other->medium_bytes;

	/* Top down: the chunks, the last one first; the other's large objects; what was there. */
	if (last_large) {
		while (last_large->previous)
			last_large = last_large->previous;
		last_large->previous = arena->large;
		other->first.previous = other->large;
	} else {
		other->first.previous = arena->large;
	}
	arena->large = chunk;
}

static bool chunk_owns(const struct chunk *chunk, uintptr_t cur, uintptr_t address)
{
	return address >= chunk_data(chunk) && address < cur;
}

bool ps_arena_owns(const struct ps_arena *bump, const void *ptr)
{
	const struct arena *arena = arena_of(bump);
	uintptr_t address = (uintptr_t)ptr;
	const struct chunk *chunk;

	check_owner(arena);
	if (chunk_owns(arena->current, arena->bump.cur, address))
		return true;
	for (chunk = &arena->first; chunk != arena->current; chunk = chunk->next)
		if (chunk_owns(chunk, chunk->cur, address))
			return true;
	for (chunk = arena->large; chunk; chunk = chunk->previous)
		if (chunk_owns(chunk, chunk->cur, address))
			return true;
	return false;
}

void ps_arena_limit(struct ps_arena *bump, size_t bytes)
{
	struct arena *arena = arena_of(bump);

	check_owner(arena);
	arena->limit = bytes;
}

int ps_arena_stats(const struct ps_arena *bump, struct ps_arena_stats *stats, size_t size)
{
	const struct arena *arena = arena_of(bump);
	struct ps_arena_stats now = {.bytes_held = arena->held, .bytes_limit = arena->limit};
	const struct chunk *chunk;

	if (!size)
		return -EINVAL;
	check_owner(arena);
	now.bytes_used = arena->bump.cur - chunk_data(arena->current);
	for (chunk = &arena->first; chunk != arena->current; chunk = chunk->next)
		now.bytes_used += chunk->cur - chunk_data(chunk);
	for (chunk = &arena->first; chunk; chunk = chunk->next)
		now.chunks++;
	for (chunk = arena->large; chunk; chunk = chunk->previous) {
		now.bytes_used += chunk->cur - chunk_data(chunk);
		now.large++;
	}
	memset(stats, 0, size);
	memcpy(stats, &now, size < sizeof(now) ? size : sizeof(now));
	return 0;
}
