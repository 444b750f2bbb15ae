/* SPDX-License-Identifier: MIT */
/*
 * libpagespan: arenas for C++ containers.
 *
 * pagespan::arena_resource   a std::pmr::memory_resource on an arena (C++17)
 * pagespan::arena_allocator  an allocator on an arena, for containers that are
 *                            given it as a type: allocations are inlined
 *
 * Both refer to an arena that lives longer than they do and that belongs to
 * the thread that uses the container. Deallocation does nothing, but that the
 * last object shrinks away, and so do the last large ones: see ps_shrink_last(). A
 * large vector which grows alone in its arena does not leave its old halves behind.
 * What cannot be had throws std::bad_alloc.
 */
#ifndef PAGESPAN_ARENA_HPP
#define PAGESPAN_ARENA_HPP

#include <pagespan/arena.h>

#include <cstddef>
#include <new>
#if __cplusplus >= 201703L
#include <memory_resource>
#endif

namespace pagespan
{

namespace detail
{
/* An alignment above PS_ARENA_ALIGN_MAX cannot be had. */
inline void *allocate(ps_arena *arena, std::size_t bytes, std::size_t align)
{
	void *object = align <= PS_ARENA_ALIGN ? ps_alloc(arena, bytes) :
						 ps_alloc_aligned(arena, bytes, align);

	if (__builtin_expect(object == nullptr, 0))
		throw std::bad_alloc();
	return object;
}
} // namespace detail

/* An allocator of T; two are equal if they are on the same arena. */
template <class T> class arena_allocator
{
      public:
	using value_type = T;

	arena_allocator(ps_arena *arena) noexcept : arena_(arena)
	{
	}

	template <class U>
	arena_allocator(const arena_allocator<U> &other) noexcept : arena_(other.arena())
	{
	}

	T *allocate(std::size_t n)
	{
		std::size_t bytes;

		if (__builtin_mul_overflow(n, sizeof(T), &bytes))
			throw std::bad_alloc();
		return static_cast<T *>(detail::allocate(arena_, bytes, alignof(T)));
	}

	void deallocate(T *object, std::size_t n) noexcept
	{
		ps_shrink_last(arena_, object, n * sizeof(T), 0);
	}

	ps_arena *arena() const noexcept
	{
		return arena_;
	}

	template <class U> bool operator==(const arena_allocator<U> &other) const noexcept
	{
		return arena_ == other.arena();
	}

	template <class U> bool operator!=(const arena_allocator<U> &other) const noexcept
	{
		return arena_ != other.arena();
	}

      private:
	ps_arena *arena_;
};

#if __cplusplus >= 201703L
/* A memory resource; equal to another on the same arena. */
class arena_resource final : public std::pmr::memory_resource
{
      public:
	explicit arena_resource(ps_arena *arena) noexcept : arena_(arena)
	{
	}

	ps_arena *arena() const noexcept
	{
		return arena_;
	}

      private:
	void *do_allocate(std::size_t bytes, std::size_t align) override
	{
		return detail::allocate(arena_, bytes, align);
	}

	void do_deallocate(void *object, std::size_t bytes, std::size_t) override
	{
		ps_shrink_last(arena_, object, bytes, 0);
	}

	bool do_is_equal(const std::pmr::memory_resource &other) const noexcept override
	{
		auto *same = dynamic_cast<const arena_resource *>(&other);

		return same && same->arena_ == arena_;
	}

	ps_arena *arena_;
};
#endif

} // namespace pagespan

#endif
