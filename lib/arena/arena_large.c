// SPDX-License-Identifier: MIT
/*
 * Large objects: how they grow, shrink and go, and which of their spans are kept.
 *
 * A program says which object it means by an address.  It is looked for at the top of the
 * stack and right below: that is where a buffer is that grows, and where its former self is.
 */
#include "arena_large.h"

#include <errno.h>
#include <string.h>

#include "arena_check.h"
#include "arena_kept.h"

/* How far down the stack an object is looked for. */
#define LOOK_DEPTH 2

/* Of what an object needs, the part that its span may be longer, so that not every growth makes it
 * grow. */
#define SPARE_PART 16

/* A shorter span is copied in less time than it takes to look for free pages behind it. */
#define EXTEND_MIN (16 * PS_PAGE_SIZE)

void arena_put_chunk(struct arena *arena, struct chunk *chunk)
{
	size_t bytes = chunk_size(chunk);
	char *span = chunk_start(chunk);

	arena->held -= bytes;
	if (__builtin_expect(chunk->zoned, 0))
		check_allow(span, bytes);
	ps_span_free(span, bytes);
}

/* ---- the stack ----------------------------------------------------------------------------- */

static struct chunk *pop_large(struct arena *arena, struct chunk **link)
{
	struct chunk *large = *link;

	*link = large->previous;
	arena->medium_bytes -= medium_size(large);
	if (large->zoned)
		check_free(large, chunk_data(large));
	return large;
}

void arena_put_large(struct arena *arena, const struct chunk *above)
{
	while (arena->large != above)
		arena_put_chunk(arena, pop_large(arena, &arena->large));
}

/* Keeps what there is room for. */
static void keep_or_put(struct arena *arena, struct chunk *span, size_t *room)
{
	size_t bytes = chunk_size(span);

	if (bytes > *room) {
		arena_put_chunk(arena, span);
		return;
	}
	*room -= bytes;
	kept_add(arena, span);
}

void arena_keep_large(struct arena *arena, size_t bytes)
{
	struct chunk *before = arena->kept, *span;

	arena->kept = NULL;
	while (arena->large) {
		span = pop_large(arena, &arena->large);
		if (span->single && !span->zoned)
			keep_or_put(arena, span, &bytes);
		else
			arena_put_chunk(arena, span);
	}
	while (before) {
		span = before;
		before = span->next;
		span->zoned = false;
		keep_or_put(arena, span, &bytes);
	}
}

/* ---- growing and shrinking ----------------------------------------------------------------- */

/* The link to a large object; NULL if it is none, or not near the top, or checked. */
static struct chunk **find_large(struct arena *arena, const void *ptr, size_t bytes)
{
	uintptr_t start = (uintptr_t)ptr;
	struct chunk **link = &arena->large;
	int depth;

	for (depth = 0; depth < LOOK_DEPTH && *link; depth++, link = &(*link)->previous)
		if ((*link)->single && !(*link)->zoned && start >= chunk_data(*link) &&
		    start < (*link)->cur && bytes <= (*link)->cur - start)
			return link;
	return NULL;
}

/* Room below the limit, at the cost of what is kept. */
static bool make_room(struct arena *arena, size_t bytes)
{
	if (exceeds_limit(arena, bytes))
		kept_put_all(arena);
	return !exceeds_limit(arena, bytes);
}

/* By what is kept behind it, all there is if that is less. */
static void lengthen_by_kept(struct arena *arena, struct chunk *large, size_t bytes)
{
	size_t more = bytes - chunk_size(large);
	struct chunk **link = kept_at(arena, large->end);

	if (!link)
		return;
	if (more > chunk_size(*link))
		more = chunk_size(*link);
	kept_take(link, more);
	large->end += more;
}

/* By pages that are free behind it; false if they are not to be had. */
static bool lengthen(struct arena *arena, struct chunk *large, size_t bytes)
{
	size_t more = bytes - chunk_size(large);

	if (chunk_size(large) < EXTEND_MIN || exceeds_limit(arena, more) ||
	    ps_span_extend(chunk_start(large), chunk_size(large), bytes))
		return false;
	large->end += more;
	arena->held += more;
	return true;
}

static void shorten(struct arena *arena, struct chunk *large, size_t bytes)
{
	uintptr_t end = (uintptr_t)chunk_start(large) + bytes;
	size_t tail = large->end - end;

	if (tail) {
		ps_span_free((void *)end, tail);
		large->end = end;
		arena->held -= tail;
	}
}

/* The bytes of a span for an object that may go on growing. */
static size_t with_spare(size_t needed)
{
	size_t bytes = whole_pages(needed + needed / SPARE_PART);

	return bytes < PS_SPAN_MAX ? bytes : PS_SPAN_MAX;
}

static bool grow_in_place(struct arena *arena, struct chunk *large, size_t needed)
{
	if (needed > chunk_size(large))
		lengthen_by_kept(arena, large, with_spare(needed));
	if (needed <= chunk_size(large) || lengthen(arena, large, with_spare(needed)))
		return true;
	return chunk_size(large) >= EXTEND_MIN &&
	       make_room(arena, whole_pages(needed) - chunk_size(large)) &&
	       lengthen(arena, large, whole_pages(needed));
}

/* What the head and the object take, when it ends elsewhere. */
static size_t needed_until(const struct chunk *large, uintptr_t start, size_t size)
{
	return ps_arena_rounded(start + size) - (uintptr_t)chunk_start(large);
}

static int grow(struct arena *arena, struct chunk *large, uintptr_t start, size_t size)
{
	size_t medium = medium_size(large), needed;
	bool grown = false;

	if (size <= PS_SPAN_MAX) {
		needed = needed_until(large, start, size);
		grown = needed <= PS_SPAN_MAX && grow_in_place(arena, large, needed);
	}
	arena->medium_bytes += medium_size(large) - medium;
	if (!grown)
		return -ENOMEM;
	large->cur = ps_arena_rounded(start + size);
	return 0;
}

/* Of size 0 it goes, if no mark remembers it. */
static void shrink(struct arena *arena, struct chunk **link, uintptr_t start, size_t size)
{
	struct chunk *large = *link;
	size_t medium = medium_size(large);

	if (!size && !large->marked) {
		arena_put_chunk(arena, pop_large(arena, link));
		return;
	}
	shorten(arena, large, whole_pages(needed_until(large, start, size)));
	arena->medium_bytes += medium_size(large) - medium;
	large->cur = ps_arena_rounded(start + size);
}

int ps_arena_resize_large(struct ps_arena *bump, void *ptr, size_t old_size, size_t new_size)
{
	struct arena *arena = arena_of(bump);
	struct chunk **link = find_large(arena, ptr, old_size);

	check_owner(arena);
	if (!link)
		return -ENOMEM;
	if (new_size > old_size)
		return grow(arena, *link, (uintptr_t)ptr, new_size);
	shrink(arena, link, (uintptr_t)ptr, new_size);
	return 0;
}

/* ---- growing elsewhere --------------------------------------------------------------------- */

/* Into a span that is kept; the old one is so instead. */
static struct chunk *move_into_kept(struct arena *arena, struct chunk *large, size_t bytes)
{
	struct chunk **link = kept_for(arena, bytes), *moved;

	if (!link)
		return NULL;
	moved = (struct chunk *)kept_take(link, bytes);
	memcpy(moved, large, large->cur - (uintptr_t)large);
	moved->end = (uintptr_t)moved + bytes;
	kept_add(arena, large);
	return moved;
}

/* A longer span with the same contents in its beginning; the old one is gone.  NULL with errno. */
static void *move_span(void *span, size_t old_bytes, size_t new_bytes)
{
	void *moved;

	if (old_bytes >= EXTEND_MIN)
		return ps_span_resize(span, old_bytes, new_bytes);
	moved = ps_span_alloc(new_bytes);
	if (!moved)
		return NULL;
	memcpy(moved, span, old_bytes);
	ps_span_free(span, old_bytes);
	return moved;
}

static struct chunk *move_anywhere(struct arena *arena, struct chunk *large, size_t bytes)
{
	size_t old_bytes = chunk_size(large), more = bytes - old_bytes;
	struct chunk *moved;

	if (!make_room(arena, more))
		return NULL;
	moved = move_span(large, old_bytes, bytes);
	if (moved) {
		moved->end = (uintptr_t)moved + bytes;
		arena->held += more;
	}
	return moved;
}

/* The large object in a longer span, which takes its place in the stack; NULL if it cannot be. */
static void *move_large(struct arena *arena, struct chunk **link, const void *ptr, size_t size)
{
	size_t offset = (uintptr_t)ptr - (uintptr_t)*link, needed, medium;
	struct chunk *moved;

	if ((*link)->marked || size > PS_SPAN_MAX)
		return NULL;
	needed = ps_arena_rounded(offset + size);
	if (needed > PS_SPAN_MAX)
		return NULL;
	medium = medium_size(*link);
	moved = move_into_kept(arena, *link, whole_pages(needed));
	if (!moved)
		moved = move_anywhere(arena, *link, with_spare(needed));
	if (!moved)
		moved = move_anywhere(arena, *link, whole_pages(needed));
	if (!moved)
		return NULL;
	*link = moved;
	moved->cur = (uintptr_t)moved + needed;
	arena->medium_bytes += medium_size(moved) - medium;
	return (char *)moved + offset;
}

static void *copy(struct ps_arena *bump, void *ptr, size_t old_size, size_t new_size)
{
	void *object = ps_alloc(bump, new_size);

	if (!object || !ptr)
		return object;
	memcpy(object, ptr, old_size);
	ps_shrink_last(bump, ptr, old_size, 0);
	return object;
}

void *ps_resize_last(struct ps_arena *bump, void *ptr, size_t old_size, size_t new_size)
{
	struct arena *arena = arena_of(bump);
	int saved_errno = errno;
	struct chunk **link;
	void *object = NULL;

	check_owner(arena);
	if (new_size <= old_size) {
		ps_shrink_last(bump, ptr, old_size, new_size);
		return ptr;
	}
	if (!ps_extend_last(bump, ptr, old_size, new_size))
		return ptr;
	link = find_large(arena, ptr, old_size);
	if (link)
		object = move_large(arena, link, ptr, new_size);
	if (!object)
		object = copy(bump, ptr, old_size, new_size);
	if (object)
		errno = saved_errno;
	return object;
}
