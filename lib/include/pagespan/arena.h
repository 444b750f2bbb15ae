/* SPDX-License-Identifier: MIT */
/*
 * libpagespan: arenas, bump allocation on spans.
 *
 *      cur             end
 *       v               v
 *   ┌───┬───────────────┐
 *   │███│     free      │   the current chunk, a span
 *   └───┴───────────────┘
 *
 * An arena hands out consecutive addresses of its current chunk.  The inlined
 * part knows two words, cur and end, and nothing else: an allocation of a size
 * known at compile time is a load, an add, a compare, a branch that is not
 * taken, and a store.  When the chunk is used up, ps_arena_refill() takes
 * another span and gives the unused tail pages of the old one back.
 *
 * Objects are not freed one by one: ps_arena_destroy() returns every chunk.
 *
 * Sizes are bytes.  An object is aligned to 8 bytes, or to what is asked for.
 * Its contents are undefined until written.  A failed allocation gives NULL
 * with errno ENOMEM and leaves the arena as it was.
 *
 * Threads: an arena belongs to one thread at a time; different arenas are
 * independent.  Fork: arenas are not inherited, as spans are not.
 */
#ifndef PAGESPAN_ARENA_H
#define PAGESPAN_ARENA_H

#include <stddef.h>
#include <stdint.h>

#pragma GCC visibility push(default)
#ifdef __cplusplus
extern "C" {
#define PS_ALIGNOF(type) alignof(type)
#else
#define PS_ALIGNOF(type) _Alignof(type)
#endif

#define PS_ARENA_ALIGN ((size_t)8)

/*
 * The largest size that takes the short form.  An address plus this cannot
 * wrap, so cur + size > end is all there is to check.
 */
#define PS_ARENA_SHORT_MAX ((size_t)1 << 20)

/**
 * struct ps_arena - what inlined code knows of an arena
 * @cur: the next free byte, a multiple of PS_ARENA_ALIGN
 * @end: the end of the current chunk
 *
 * Comes only from ps_arena_create(); the rest of the arena sits behind it.
 */
struct ps_arena {
	uintptr_t cur;
	uintptr_t end;
};

/**
 * struct ps_arena_options - how an arena grows
 * @size: sizeof(struct ps_arena_options)
 * @chunk_bytes: the first chunk, a multiple of PS_PAGE_SIZE from one page to
 *               1 MiB, or 0 for the default of two pages.  Every further chunk
 *               doubles until 1 MiB.
 */
struct ps_arena_options {
	size_t size;
	size_t chunk_bytes;
};

/**
 * ps_arena_create() - make an arena
 * @options: NULL for the defaults
 *
 * Return: the arena, owned by the caller until ps_arena_destroy(), or NULL with
 * errno: EINVAL (@options) or as ps_span_alloc().
 */
struct ps_arena *ps_arena_create(const struct ps_arena_options *options);

/**
 * ps_arena_destroy() - give back everything the arena holds
 * @arena: may be NULL
 */
void ps_arena_destroy(struct ps_arena *arena);

/**
 * ps_arena_refill() - the slow path: allocate what the current chunk cannot
 * @arena: the arena
 * @size: bytes, any value
 * @align: a power of two up to PS_PAGE_SIZE
 *
 * A request above a quarter of the next chunk gets a span of its own and leaves
 * the current chunk in place.  Called by the inlined functions below.
 *
 * Return: the object, or NULL with errno: ENOMEM, or EINVAL (@align).
 */
void *ps_arena_refill(struct ps_arena *arena, size_t size, size_t align);

/**
 * ps_alloc_aligned() - allocate with an alignment
 * @arena: the arena
 * @size: bytes; 0 gives a valid pointer
 * @align: a power of two up to PS_PAGE_SIZE
 *
 * Return: the object, or NULL with errno: ENOMEM, or EINVAL (@align).
 */
static inline void *ps_alloc_aligned(struct ps_arena *arena, size_t size, size_t align)
{
	uintptr_t mask = (align > PS_ARENA_ALIGN ? align : PS_ARENA_ALIGN) - 1;
	uintptr_t start = (arena->cur + mask) & ~mask;
	uintptr_t rounded = (size + (PS_ARENA_ALIGN - 1)) & ~(uintptr_t)(PS_ARENA_ALIGN - 1);

	if (__builtin_expect((align & (align - 1)) != 0 || align - 1 >= 4096 || rounded < size ||
				     start > arena->end || rounded > arena->end - start,
			     0))
		return ps_arena_refill(arena, size, align);
	arena->cur = start + rounded;
	return (void *)start;
}

/**
 * ps_alloc() - allocate
 * @arena: the arena
 * @size: bytes; 0 gives a valid pointer
 *
 * Return: the object, aligned to PS_ARENA_ALIGN, or NULL with errno ENOMEM.
 */
static inline void *ps_alloc(struct ps_arena *arena, size_t size)
{
	uintptr_t start = arena->cur;
	uintptr_t next;

	if (!__builtin_constant_p(size) || size > PS_ARENA_SHORT_MAX)
		return ps_alloc_aligned(arena, size, PS_ARENA_ALIGN);
	next = start + ((size + (PS_ARENA_ALIGN - 1)) & ~(uintptr_t)(PS_ARENA_ALIGN - 1));
	if (__builtin_expect(next > arena->end, 0))
		return ps_arena_refill(arena, size, PS_ARENA_ALIGN);
	arena->cur = next;
	return (void *)start;
}

/* ps_new() - allocate one object of a type, aligned as the type asks. */
#define ps_new(arena, type)                                 \
	((type *)(PS_ALIGNOF(type) <= PS_ARENA_ALIGN ?      \
			  ps_alloc((arena), sizeof(type)) : \
			  ps_alloc_aligned((arena), sizeof(type), PS_ALIGNOF(type))))

/* ps_new_n() - allocate an array of n objects; NULL with errno ENOMEM if n of them overflow. */
#define ps_new_n(arena, type, n) \
	((type *)ps_alloc_array((arena), (n), sizeof(type), PS_ALIGNOF(type)))

static inline void *ps_alloc_array(struct ps_arena *arena, size_t count, size_t size, size_t align)
{
	size_t bytes;

	if (__builtin_expect(__builtin_mul_overflow(count, size, &bytes), 0))
		bytes = SIZE_MAX;
	return ps_alloc_aligned(arena, bytes, align);
}

#ifdef __cplusplus
}
#endif
#pragma GCC visibility pop

#endif
