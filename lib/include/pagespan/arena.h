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
 * taken, and a store.  A size known only at run time takes eight instructions,
 * still with one branch, and no size is too large to be refused properly.
 *
 * When the chunk is used up, the slow path goes on with another one.
 *
 *   Growth.  A further chunk is as large as all chunks before it together,
 *   rounded up to a power of two, and at most 1 MiB.  A chunk that is left
 *   behind gives the tail pages it has not used back.
 *
 *   Large objects.  What needs more than a quarter of the chunk to come gets a
 *   span of its own; the current chunk stays current.  Objects of more than nine pages do
 *   not affect the growth of chunks.  Smaller ones, for which whole pages would be up
 *   to twice what they need, do as far as they are concerned: when there are some, a chunk
 *   comes that is large enough.  So of many objects of a size an arena holds at most an
 *   eighth more than they take, whatever the size.
 *
 * Objects are not freed one by one.  ps_rewind() frees what was allocated since
 * a mark, ps_arena_reset() everything, and ps_arena_destroy() the arena too.
 *
 * Several objects can share one check.  No compiler merges the checks of two
 * allocations, so it has to be said:
 *
 *   PS_NEW2() ... PS_NEW8()       objects of types known where they are made
 *   ps_reserve(), ps_take()       any number of objects of bounded total size
 *   ps_cursor_open() ...          a loop: cur and end stay in registers
 *
 * The slow path and the registers.  On x86-64 and aarch64 the inlined code
 * enters the slow path by a jump that preserves every register but the flags
 * and the two or three that carry the request: vector, mask and x87 registers
 * too.  To the compiler an allocation is then not a call, and nothing has to be
 * saved around it.  That makes code smaller, by a quarter to nearly a half of a
 * function that does little else, and it makes small functions faster which
 * have to keep their arguments across an allocation: a constructor of six
 * arguments by a fifth to a third.  It does nothing for a hot loop: there
 * compilers move the saving into the branch that is not taken by themselves,
 * and what helps is a cursor.  Elsewhere, under sanitizers, and where
 * PS_ARENA_PLAIN_REFILL is defined, the slow path is an ordinary call; the same
 * library serves both.
 *
 * It takes as much stack as ps_span_alloc() may, and room for the registers that
 * are in use: 0.6 KiB, 0.9 with AVX, 2.5 with all of AVX-512.
 *
 * Sizes are bytes.  An object is aligned to 8 bytes, or to what is asked for.
 * Its contents are undefined until written.  A failed allocation gives NULL
 * with errno ENOMEM and leaves the objects of the arena as they were.  Nothing
 * here throws a C++ exception.
 *
 * Threads: an arena belongs to one thread at a time, the one that made it; one
 * arena per thread is the rule.  Another thread may take it over by
 * ps_arena_reset(), ps_arena_destroy() or ps_arena_adopt(), when the first no
 * longer uses it.  Different arenas are independent.  No function may be called
 * from a signal handler on an arena that the handler may have interrupted.
 *
 * Fork: arenas are not inherited, as spans are not.
 *
 * Checked arenas.  An arena made with PS_ARENA_DEBUG, and every arena when
 * PAGESPAN_DEBUG=1 is set, when the program is built with AddressSanitizer and
 * when it runs under valgrind's memcheck, never uses the inlined part: each
 * object is allocated out of line and has a red zone behind it, which is looked
 * at when the object is freed; memory that is not allocated may not be touched,
 * as far as the tool can tell; and an arena used by a thread which is not its
 * own is noticed.  What is wrong is said on stderr, and the program aborts.
 * No code needs to be compiled anew for that.
 */
#ifndef PAGESPAN_ARENA_H
#define PAGESPAN_ARENA_H

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#pragma GCC visibility push(default)
#ifdef __cplusplus
extern "C" {
#define PS_ALIGNOF(type) alignof(type)
#define PS_NOTHROW       noexcept
#else
#define PS_ALIGNOF(type) _Alignof(type)
#define PS_NOTHROW       __attribute__((__nothrow__))
#endif

/* Empty where the inlined functions are to exist as symbols, for other languages. */
#ifndef PS_INLINE
#define PS_INLINE static inline __attribute__((__always_inline__, __unused__))
#endif

#define PS_ARENA_ALIGN     ((size_t)8)
#define PS_ARENA_ALIGN_MAX ((size_t)4096)

/*
 * The largest size that takes the short form.  An address plus this cannot
 * wrap, so cur + size > end is all there is to check.
 */
#define PS_ARENA_SHORT_MAX ((size_t)1 << 20)

/* PS_ARENA_PRESERVING: the slow path preserves registers. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define PS_ARENA_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || \
	__has_feature(memory_sanitizer)
#define PS_ARENA_SANITIZED 1
#endif
#endif
#if !defined(PS_ARENA_PLAIN_REFILL) && !defined(PS_ARENA_SANITIZED) && defined(__LP64__) && \
	(defined(__x86_64__) || (defined(__aarch64__) && !defined(__AARCH64EB__)))
#define PS_ARENA_PRESERVING 1
#else
#define PS_ARENA_PRESERVING 0
#endif

/**
 * struct ps_arena - what inlined code knows of an arena
 * @cur: the next free byte, a multiple of PS_ARENA_ALIGN
 * @end: the end of the current chunk, a multiple of PS_ARENA_ALIGN; never below @cur
 *
 * Comes only from ps_arena_create(); the rest of the arena sits behind it.
 */
struct ps_arena {
	uintptr_t cur;
	uintptr_t end;
};

/* A checked arena, see above. */
#define PS_ARENA_DEBUG 1

/**
 * struct ps_arena_options - how an arena is made
 * @size: sizeof(struct ps_arena_options)
 * @chunk_bytes: the first chunk, a multiple of PS_PAGE_SIZE from one page to
 *               1 MiB, or 0 for the default of two pages
 * @flags: PS_ARENA_DEBUG or 0
 */
struct ps_arena_options {
	size_t size;
	size_t chunk_bytes;
	uint64_t flags;
};

/**
 * ps_arena_create() - make an arena
 * @options: NULL for the defaults
 *
 * An arena that holds little is its first chunk and nothing more.
 *
 * Return: the arena, owned by the caller until ps_arena_destroy(), or NULL with
 * errno: EINVAL (@options) or as ps_span_alloc().
 */
struct ps_arena *ps_arena_create(const struct ps_arena_options *options) PS_NOTHROW;

/**
 * ps_arena_destroy() - give back everything the arena holds
 * @arena: may be NULL
 */
void ps_arena_destroy(struct ps_arena *arena) PS_NOTHROW;

/**
 * ps_arena_reset() - free every object and go on with an empty arena
 * @arena: the arena
 * @keep_bytes: how much it may keep, to be used again: chunks, then spans of large
 *              objects, eight of these at most; the first chunk it keeps always
 *
 * Takes time for every large object and for what is given back, not for chunks that
 * are kept.  Large objects to come use what is kept, and grow into it
 * (ps_resize_last()); before an allocation is refused, it is given back.  A checked
 * arena keeps no spans of large objects.  The calling thread owns the arena from now
 * on.  All marks are void.
 */
void ps_arena_reset(struct ps_arena *arena, size_t keep_bytes) PS_NOTHROW;

/**
 * struct ps_arena_mark - a moment in the life of an arena
 *
 * The members are the library's.
 */
struct ps_arena_mark {
	uintptr_t cur;
	void *current;
	void *last;
	void *large;
};

/**
 * ps_mark() - remember what is allocated now
 * @arena: the arena
 *
 * Return: a mark for ps_rewind(); void once the arena is rewound to an earlier
 * one, reset or destroyed.
 */
struct ps_arena_mark ps_mark(const struct ps_arena *arena) PS_NOTHROW;

/**
 * ps_rewind() - free what was allocated or adopted since a mark
 * @arena: the arena
 * @mark: from ps_mark() on this arena; can be used again
 *
 * Chunks and large objects that the arena did not have then are given back.
 */
void ps_rewind(struct ps_arena *arena, struct ps_arena_mark mark) PS_NOTHROW;

/**
 * ps_arena_adopt() - let an arena own the objects of another
 * @arena: the arena
 * @other: another, which ceases to exist; its objects stay where they are and
 *         live as long as if @arena had allocated them now
 *
 * Cannot fail, even if @arena then holds more than its limit.  @other may have
 * belonged to another thread, which has ceased to use it.
 */
void ps_arena_adopt(struct ps_arena *arena, struct ps_arena *other) PS_NOTHROW;

/**
 * ps_arena_owns() - tell whether an address is of an object of the arena
 * @arena: the arena
 * @ptr: any address
 *
 * Takes time for every chunk and large object of the arena.
 *
 * Return: true if @ptr points into memory that was allocated and not freed; the
 * padding between objects counts as theirs.
 */
bool ps_arena_owns(const struct ps_arena *arena, const void *ptr) PS_NOTHROW;

/**
 * ps_arena_limit() - bound what an arena holds
 * @arena: the arena
 * @bytes: of spans, the first chunk included; SIZE_MAX, as at first, is no bound
 *
 * Nothing is given back at once, but an allocation that needs a span beyond the bound
 * fails with ENOMEM.  Near the bound chunks become smaller.
 */
void ps_arena_limit(struct ps_arena *arena, size_t bytes) PS_NOTHROW;

/**
 * struct ps_arena_stats - what an arena holds
 * @bytes_held: of spans
 * @bytes_used: of them, allocated, padding included
 * @bytes_limit: see ps_arena_limit()
 * @chunks: the number of chunks, those kept for later included
 * @large: the number of spans of large objects, and of those adopted; not of those
 *         kept for later
 */
struct ps_arena_stats {
	size_t bytes_held;
	size_t bytes_used;
	size_t bytes_limit;
	size_t chunks;
	size_t large;
};

/**
 * ps_arena_stats() - say what an arena holds
 * @arena: the arena
 * @stats: where to
 * @size: sizeof(*stats) as the caller knows it; members beyond what the library
 *        knows are set to zero
 *
 * Takes time for every chunk and large object of the arena.
 *
 * Return: 0, or -EINVAL for @size 0.
 */
int ps_arena_stats(const struct ps_arena *arena, struct ps_arena_stats *stats,
		   size_t size) PS_NOTHROW;

/**
 * ps_arena_refill() - the slow path: allocate what the current chunk cannot
 * @arena: the arena
 * @size: bytes, any value
 *
 * Called by the inlined functions below.  ps_arena_refill_preserving() is the
 * same, entered by a jump and not to be called: see arena_refill_*.S.
 *
 * Return: the object, aligned to PS_ARENA_ALIGN, or NULL with errno ENOMEM.
 */
void *ps_arena_refill(struct ps_arena *arena, size_t size) PS_NOTHROW;

/**
 * ps_arena_refill_aligned() - the slow path for an alignment known at run time
 * @arena: the arena
 * @size: bytes, any value
 * @align: any value
 *
 * Return: the object, or NULL with errno: ENOMEM, or EINVAL (@align).
 */
void *ps_arena_refill_aligned(struct ps_arena *arena, size_t size, size_t align) PS_NOTHROW;

/* The slow path, as far as it is inlined.  No `call`: that would write into the red zone. */
PS_INLINE void *ps_arena_slow(struct ps_arena *arena, size_t size)
{
#if PS_ARENA_PRESERVING && defined(__x86_64__)
	register struct ps_arena *r10 __asm__("r10") = arena;
	register size_t r11 __asm__("r11") = size;
	void *object;

	__asm__ volatile("{|.att_syntax\n\t}"
			 "leaq\t1f(%%rip), %%rax\n\t"
			 "jmp\t*ps_arena_refill_preserving@GOTPCREL(%%rip)\n"
			 "1:{|\n\t.intel_syntax noprefix}"
			 : "=a"(object), "+r"(r11)
			 : "r"(r10)
			 : "cc", "memory");
	return object;
#elif PS_ARENA_PRESERVING
	register void *x9 __asm__("x9") = arena;
	register size_t x10 __asm__("x10") = size;

	__asm__ volatile("adrp\tx16, :got:ps_arena_refill_preserving\n\t"
			 "ldr\tx16, [x16, :got_lo12:ps_arena_refill_preserving]\n\t"
			 "adr\tx17, 1f\n\t"
			 "br\tx16\n"
			 "1:\thint\t#36"
			 : "+r"(x9)
			 : "r"(x10)
			 : "x16", "x17", "cc", "memory");
	return x9;
#else
	return ps_arena_refill(arena, size);
#endif
}

/* Room for an object wherever it begins in what is 8-aligned; SIZE_MAX if that overflows. */
PS_INLINE void *ps_arena_slow_aligned(struct ps_arena *arena, size_t size, size_t align)
{
	size_t room;
	uintptr_t object;

	if (!__builtin_constant_p(align) || align == 0 || (align & (align - 1)) != 0 ||
	    align > PS_ARENA_ALIGN_MAX)
		return ps_arena_refill_aligned(arena, size, align);
	if (align <= PS_ARENA_ALIGN)
		return ps_arena_slow(arena, size);
	if (__builtin_add_overflow(size, align - PS_ARENA_ALIGN, &room))
		room = SIZE_MAX;
	object = (uintptr_t)ps_arena_slow(arena, room);
	return (void *)((object + (align - 1)) & ~(uintptr_t)(align - 1));
}

/* What cur points to is not NULL, so that a caller's check costs nothing but in the slow path. */
PS_INLINE void *ps_arena_object(uintptr_t start)
{
	if (start == 0)
		__builtin_unreachable();
	return (void *)start;
}

/* A size as it is taken from a chunk; wraps near SIZE_MAX. */
PS_INLINE size_t ps_arena_rounded(size_t size)
{
	return (size + (PS_ARENA_ALIGN - 1)) & ~(PS_ARENA_ALIGN - 1);
}

/**
 * ps_alloc_aligned() - allocate with an alignment
 * @arena: the arena
 * @size: bytes; 0 gives a valid pointer
 * @align: a power of two up to PS_ARENA_ALIGN_MAX
 *
 * Return: the object, or NULL with errno: ENOMEM, or EINVAL (@align).
 */
PS_INLINE void *ps_alloc_aligned(struct ps_arena *arena, size_t size, size_t align)
{
	uintptr_t mask = (align > PS_ARENA_ALIGN ? align : PS_ARENA_ALIGN) - 1;
	uintptr_t start = (arena->cur + mask) & ~mask;

	if (__builtin_expect((align & (align - 1)) != 0 || align - 1 >= PS_ARENA_ALIGN_MAX ||
				     start > arena->end || size > arena->end - start,
			     0))
		return ps_arena_slow_aligned(arena, size, align);
	arena->cur = start + ps_arena_rounded(size);
	return ps_arena_object(start);
}

/**
 * ps_alloc() - allocate
 * @arena: the arena
 * @size: bytes; 0 gives a valid pointer
 *
 * Return: the object, aligned to PS_ARENA_ALIGN, or NULL with errno ENOMEM.
 */
PS_INLINE void *ps_alloc(struct ps_arena *arena, size_t size)
{
	uintptr_t start = arena->cur;

	if (__builtin_constant_p(size) && size <= PS_ARENA_SHORT_MAX) {
		uintptr_t next = start + ps_arena_rounded(size);

		if (__builtin_expect(next > arena->end, 0))
			return ps_arena_slow(arena, size);
		arena->cur = next;
		return ps_arena_object(start);
	}
	/* Both ends are multiples of 8: what fits also fits rounded up, and cannot overflow. */
	if (__builtin_expect(size > arena->end - start, 0))
		return ps_arena_slow(arena, size);
	arena->cur = ps_arena_rounded(start + size);
	return ps_arena_object(start);
}

/**
 * ps_alloc_zero() - allocate zeros
 * @arena: the arena
 * @size: bytes; 0 gives a valid pointer
 *
 * Return: as ps_alloc().
 */
PS_INLINE void *ps_alloc_zero(struct ps_arena *arena, size_t size)
{
	void *object = ps_alloc(arena, size);

	return __builtin_expect(object != NULL, 1) ? memset(object, 0, size) : NULL;
}

/* ps_new() - allocate one object of a type, aligned as the type asks. */
#define ps_new(arena, type)                                 \
	((type *)(PS_ALIGNOF(type) <= PS_ARENA_ALIGN ?      \
			  ps_alloc((arena), sizeof(type)) : \
			  ps_alloc_aligned((arena), sizeof(type), PS_ALIGNOF(type))))

/* ps_new_n() - allocate an array of n objects; NULL with errno ENOMEM if n of them overflow. */
#define ps_new_n(arena, type, n) \
	((type *)ps_alloc_array((arena), (n), sizeof(type), PS_ALIGNOF(type)))

PS_INLINE void *ps_alloc_array(struct ps_arena *arena, size_t count, size_t size, size_t align)
{
	size_t bytes;

	if (__builtin_expect(__builtin_mul_overflow(count, size, &bytes), 0))
		bytes = SIZE_MAX;
	if (align <= PS_ARENA_ALIGN)
		return ps_alloc(arena, bytes);
	return ps_alloc_aligned(arena, bytes, align);
}

/* Says apart from the pointer whether there is one: not every compiler sees that there mostly is.
 */
PS_INLINE bool ps_arena_group(struct ps_arena *arena, size_t size, size_t align, void **object)
{
	uintptr_t start = arena->cur;

	if (align > PS_ARENA_ALIGN || size > PS_ARENA_SHORT_MAX) {
		*object = ps_alloc_aligned(arena, size, align);
		return *object != NULL;
	}
	*object = (void *)start;
	start += ps_arena_rounded(size);
	if (__builtin_expect(start > arena->end, 0)) {
		*object = ps_arena_slow(arena, size);
		return *object != NULL;
	}
	arena->cur = start;
	return true;
}

/*
 * PS_NEW2() ... PS_NEW8() - allocate an object of each type, with one check for all
 *
 *	struct node *node;
 *	struct key *key;
 *
 *	if (!PS_NEW2(arena, struct node, node, struct key, key))
 *		return -ENOMEM;
 *
 * The objects stand one behind the other as the members of a struct do, each
 * aligned as its type asks.  true, and the pointers are set; or false with
 * errno ENOMEM, and they are as they were.
 */
#define PS_GROUP(arena, members, pointers)                                                        \
	__extension__({                                                                           \
		struct ps_group {                                                                 \
			members                                                                   \
		} * ps_group_;                                                                    \
		void *ps_group_at_;                                                               \
		bool ps_group_made_ = ps_arena_group((arena), sizeof(struct ps_group),            \
						     PS_ALIGNOF(struct ps_group), &ps_group_at_); \
		ps_group_ = (struct ps_group *)ps_group_at_;                                      \
		if (ps_group_made_) {                                                             \
			pointers                                                                  \
		}                                                                                 \
		ps_group_made_;                                                                   \
	})
#define PS_GROUP_MEMBER(n, type)            __typeof__(type) object##n;
#define PS_GROUP_POINTER(n, pointer)        (pointer) = &ps_group_->object##n;

#define PS_MEMBERS2(T1, T2)                 PS_GROUP_MEMBER(1, T1) PS_GROUP_MEMBER(2, T2)
#define PS_MEMBERS3(T1, T2, T3)             PS_MEMBERS2(T1, T2) PS_GROUP_MEMBER(3, T3)
#define PS_MEMBERS4(T1, T2, T3, T4)         PS_MEMBERS3(T1, T2, T3) PS_GROUP_MEMBER(4, T4)
#define PS_MEMBERS5(T1, T2, T3, T4, T5)     PS_MEMBERS4(T1, T2, T3, T4) PS_GROUP_MEMBER(5, T5)
#define PS_MEMBERS6(T1, T2, T3, T4, T5, T6) PS_MEMBERS5(T1, T2, T3, T4, T5) PS_GROUP_MEMBER(6, T6)
#define PS_MEMBERS7(T1, T2, T3, T4, T5, T6, T7) \
	PS_MEMBERS6(T1, T2, T3, T4, T5, T6) PS_GROUP_MEMBER(7, T7)
#define PS_MEMBERS8(T1, T2, T3, T4, T5, T6, T7, T8) \
	PS_MEMBERS7(T1, T2, T3, T4, T5, T6, T7) PS_GROUP_MEMBER(8, T8)

#define PS_POINTERS2(p1, p2)             PS_GROUP_POINTER(1, p1) PS_GROUP_POINTER(2, p2)
#define PS_POINTERS3(p1, p2, p3)         PS_POINTERS2(p1, p2) PS_GROUP_POINTER(3, p3)
#define PS_POINTERS4(p1, p2, p3, p4)     PS_POINTERS3(p1, p2, p3) PS_GROUP_POINTER(4, p4)
#define PS_POINTERS5(p1, p2, p3, p4, p5) PS_POINTERS4(p1, p2, p3, p4) PS_GROUP_POINTER(5, p5)
#define PS_POINTERS6(p1, p2, p3, p4, p5, p6) \
	PS_POINTERS5(p1, p2, p3, p4, p5) PS_GROUP_POINTER(6, p6)
#define PS_POINTERS7(p1, p2, p3, p4, p5, p6, p7) \
	PS_POINTERS6(p1, p2, p3, p4, p5, p6) PS_GROUP_POINTER(7, p7)
#define PS_POINTERS8(p1, p2, p3, p4, p5, p6, p7, p8) \
	PS_POINTERS7(p1, p2, p3, p4, p5, p6, p7) PS_GROUP_POINTER(8, p8)

#define PS_NEW2(arena, T1, p1, T2, p2) PS_GROUP(arena, PS_MEMBERS2(T1, T2), PS_POINTERS2(p1, p2))
#define PS_NEW3(arena, T1, p1, T2, p2, T3, p3) \
	PS_GROUP(arena, PS_MEMBERS3(T1, T2, T3), PS_POINTERS3(p1, p2, p3))
#define PS_NEW4(arena, T1, p1, T2, p2, T3, p3, T4, p4) \
	PS_GROUP(arena, PS_MEMBERS4(T1, T2, T3, T4), PS_POINTERS4(p1, p2, p3, p4))
#define PS_NEW5(arena, T1, p1, T2, p2, T3, p3, T4, p4, T5, p5) \
	PS_GROUP(arena, PS_MEMBERS5(T1, T2, T3, T4, T5), PS_POINTERS5(p1, p2, p3, p4, p5))
#define PS_NEW6(arena, T1, p1, T2, p2, T3, p3, T4, p4, T5, p5, T6, p6) \
	PS_GROUP(arena, PS_MEMBERS6(T1, T2, T3, T4, T5, T6), PS_POINTERS6(p1, p2, p3, p4, p5, p6))
#define PS_NEW7(arena, T1, p1, T2, p2, T3, p3, T4, p4, T5, p5, T6, p6, T7, p7) \
	PS_GROUP(arena, PS_MEMBERS7(T1, T2, T3, T4, T5, T6, T7),               \
		 PS_POINTERS7(p1, p2, p3, p4, p5, p6, p7))
#define PS_NEW8(arena, T1, p1, T2, p2, T3, p3, T4, p4, T5, p5, T6, p6, T7, p7, T8, p8) \
	PS_GROUP(arena, PS_MEMBERS8(T1, T2, T3, T4, T5, T6, T7, T8),                   \
		 PS_POINTERS8(p1, p2, p3, p4, p5, p6, p7, p8))

/**
 * struct ps_room - memory that ps_take() takes from
 * @at: the next object, or NULL if there is no room at all
 * @end: where the room ends
 */
struct ps_room {
	char *at;
	char *end;
};

/**
 * ps_reserve() - allocate once for several objects
 * @arena: the arena
 * @bytes: of all objects, each rounded up to a multiple of PS_ARENA_ALIGN
 *
 * The arena may be used meanwhile.  Room that is not taken stays unused.
 *
 * Return: the room; without any, @at is NULL and errno ENOMEM.
 */
PS_INLINE struct ps_room ps_reserve(struct ps_arena *arena, size_t bytes)
{
	char *at = (char *)ps_alloc(arena, bytes);
	struct ps_room room = {at, at ? at + bytes : NULL};

	return room;
}

/**
 * ps_take() - take an object of what was reserved, without a check
 * @room: from ps_reserve(), and not without room
 * @size: bytes; the sum must not exceed what was reserved
 *
 * Under sanitizers taking too much traps.
 *
 * Return: the object, aligned to PS_ARENA_ALIGN.
 */
PS_INLINE void *ps_take(struct ps_room *room, size_t size)
{
	void *object = room->at;

#if defined(PS_ARENA_SANITIZED)
	if (size > (size_t)(room->end - room->at))
		__builtin_trap();
#endif
	room->at += ps_arena_rounded(size);
	return object;
}

/**
 * struct ps_cursor - an arena whose cur and end are in registers
 * @cur: as in struct ps_arena
 * @end: as in struct ps_arena
 * @arena: the arena
 *
 * A local variable of which the address goes nowhere but to the functions below.
 */
struct ps_cursor {
	uintptr_t cur;
	uintptr_t end;
	struct ps_arena *arena;
};

/**
 * ps_cursor_open() - begin to allocate through a cursor
 * @arena: the arena, not to be used until ps_cursor_close()
 *
 * Return: the cursor.
 */
PS_INLINE struct ps_cursor ps_cursor_open(struct ps_arena *arena)
{
	struct ps_cursor cursor = {arena->cur, arena->end, arena};

	return cursor;
}

/**
 * ps_cursor_close() - end to allocate through a cursor
 * @cursor: from ps_cursor_open()
 */
PS_INLINE void ps_cursor_close(struct ps_cursor *cursor)
{
	cursor->arena->cur = cursor->cur;
}

PS_INLINE void *ps_cursor_slow(struct ps_cursor *cursor, size_t size)
{
	void *object;

	cursor->arena->cur = cursor->cur;
	object = ps_arena_slow(cursor->arena, size);
	cursor->cur = cursor->arena->cur;
	cursor->end = cursor->arena->end;
	return object;
}

/**
 * ps_cursor_alloc() - allocate through a cursor
 * @cursor: from ps_cursor_open()
 * @size: bytes; 0 gives a valid pointer
 *
 * Return: as ps_alloc().
 */
PS_INLINE void *ps_cursor_alloc(struct ps_cursor *cursor, size_t size)
{
	uintptr_t start = cursor->cur;

	if (__builtin_constant_p(size) && size <= PS_ARENA_SHORT_MAX) {
		uintptr_t next = start + ps_arena_rounded(size);

		if (__builtin_expect(next > cursor->end, 0))
			return ps_cursor_slow(cursor, size);
		cursor->cur = next;
		return ps_arena_object(start);
	}
	if (__builtin_expect(size > cursor->end - start, 0))
		return ps_cursor_slow(cursor, size);
	cursor->cur = ps_arena_rounded(start + size);
	return ps_arena_object(start);
}

/* No smaller object has a span of its own, as far as inlined code asks. */
#define PS_ARENA_LARGE_MIN ((size_t)512)

/**
 * ps_arena_resize_large() - make a large object longer or shorter where it stands
 * @arena: the arena
 * @ptr: an object
 * @old_size: its size
 * @new_size: the size it is to have
 *
 * What ps_extend_last() and ps_shrink_last() do about large objects; called by them.
 *
 * Return: 0, or -ENOMEM and nothing has changed.
 */
int ps_arena_resize_large(struct ps_arena *arena, void *ptr, size_t old_size,
			  size_t new_size) PS_NOTHROW;

/**
 * ps_extend_last() - make the last object longer where it stands
 * @arena: the arena
 * @ptr: an object
 * @old_size: its size
 * @new_size: the size it is to have, not below @old_size
 *
 * The last large object, and the one before, count as last too.  Their spans grow by
 * pages that the last reset kept behind them, or spans of 64 KiB and more by pages that are
 * free; by a little more than they need, so that not every call has to look for pages.
 *
 * Return: 0, or -ENOMEM and nothing has changed: the object is not the last
 * one, or there is no room behind it.
 */
PS_INLINE int ps_extend_last(struct ps_arena *arena, void *ptr, size_t old_size, size_t new_size)
{
	uintptr_t start = (uintptr_t)ptr;

	if (ps_arena_rounded(start + old_size) != arena->cur || new_size > arena->end - start)
		return old_size < PS_ARENA_LARGE_MIN ?
			       -ENOMEM :
			       ps_arena_resize_large(arena, ptr, old_size, new_size);
	arena->cur = ps_arena_rounded(start + new_size);
	return 0;
}

/**
 * ps_shrink_last() - give the end of the last object back to the arena
 * @arena: the arena
 * @ptr: an object; if it is not the last one, nothing happens
 * @old_size: its size
 * @new_size: the size it is to have, not above @old_size
 *
 * Which large objects count as last, ps_extend_last() says.  Their whole pages go back, of
 * size 0 all.
 */
PS_INLINE void ps_shrink_last(struct ps_arena *arena, void *ptr, size_t old_size, size_t new_size)
{
	uintptr_t start = (uintptr_t)ptr;

	if (ps_arena_rounded(start + old_size) == arena->cur)
		arena->cur = ps_arena_rounded(start + new_size);
	else if (old_size >= PS_ARENA_LARGE_MIN)
		ps_arena_resize_large(arena, ptr, old_size, new_size);
}

/**
 * ps_resize_last() - make an object longer or shorter, elsewhere if need be
 * @arena: the arena
 * @ptr: an object, or NULL for none
 * @old_size: its size
 * @new_size: the size it is to have
 *
 * As ps_shrink_last(), or as ps_extend_last() where that succeeds.  Else the contents
 * move; the old object is as if shrunk to 0, and the new one is one that was
 * allocated now, so ps_rewind() to an earlier mark frees it.  A large object that is
 * last and younger than all marks moves with its span, and keeps its alignment;
 * others are aligned to PS_ARENA_ALIGN then.
 *
 * Return: the object, or NULL with errno ENOMEM, and nothing has changed.
 */
void *ps_resize_last(struct ps_arena *arena, void *ptr, size_t old_size,
		     size_t new_size) PS_NOTHROW;

/**
 * ps_strdup() - copy a string
 * @arena: the arena
 * @string: the string
 *
 * Return: the copy, or NULL with errno ENOMEM.
 */
char *ps_strdup(struct ps_arena *arena, const char *string) PS_NOTHROW;

/**
 * ps_strndup() - copy the beginning of a string
 * @arena: the arena
 * @string: a string, or an array of @max bytes
 * @max: how much of it at most; the copy ends in a zero in any case
 *
 * Return: the copy, or NULL with errno ENOMEM.
 */
char *ps_strndup(struct ps_arena *arena, const char *string, size_t max) PS_NOTHROW;

/**
 * ps_printf() - make a string as printf does
 * @arena: the arena
 * @format: as printf's
 *
 * Return: the string, or NULL with errno: ENOMEM, or as vsnprintf().
 */
char *ps_printf(struct ps_arena *arena, const char *format, ...) PS_NOTHROW
	__attribute__((__format__(__printf__, 2, 3)));

/**
 * ps_vprintf() - make a string as vprintf does
 * @arena: the arena
 * @format: as printf's
 * @arguments: as vprintf's
 *
 * Return: as ps_printf().
 */
char *ps_vprintf(struct ps_arena *arena, const char *format, va_list arguments) PS_NOTHROW
	__attribute__((__format__(__printf__, 2, 0)));

#ifdef __cplusplus
}
#endif
#pragma GCC visibility pop

#endif
