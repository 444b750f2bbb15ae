// SPDX-License-Identifier: MIT
/* Containers on <pagespan/arena.hpp>. */
#include <cstdint>
#include <limits>
#include <list>
#include <map>
#include <pagespan.h>
#include <pagespan/arena.hpp>
#include <string>
#include <unordered_map>
#include <vector>

#include "tap.h"

using pagespan::arena_allocator;
using pagespan::arena_resource;

namespace
{
class arena
{
public:
	arena() : arena_(ps_arena_create(nullptr))
	{
	}
	~arena()
	{
		ps_arena_destroy(arena_);
	}
	arena(const arena &) = delete;
	arena &operator=(const arena &) = delete;
	operator ps_arena *() const
	{
		return arena_;
	}
	bool is_checked() const
	{
		return arena_->cur == arena_->end;
	}
	std::size_t used() const
	{
		struct ps_arena_stats stats;

		ps_arena_stats(arena_, &stats, sizeof(stats));
		return stats.bytes_used;
	}

private:
	ps_arena *arena_;
};

bool pmr_containers_hold_what_they_are_given()
{
	arena memory;
	arena_resource resource(memory);
	std::pmr::map<int, std::pmr::string> map(&resource);
	std::pmr::vector<std::pmr::string> vector(&resource);

	for (int i = 0; i < 20000; i++) {
		map[i * 7919 % 20000] = "value of some length, " + std::to_string(i);
		vector.emplace_back(std::to_string(i));
	}
	for (int i = 0; i < 20000; i++) {
		auto &string = map[i * 7919 % 20000];

		if (string != std::pmr::string("value of some length, " + std::to_string(i)) ||
		    vector[i] != std::pmr::string(std::to_string(i)) ||
		    !ps_arena_owns(memory, string.data()))
			return false;
	}
	return ps_arena_owns(memory, vector.data());
}

bool containers_with_the_allocator_hold_what_they_are_given()
{
	arena memory;
	using pair = std::pair<const std::uint64_t, double>;
	std::unordered_map<std::uint64_t, double, std::hash<std::uint64_t>,
			   std::equal_to<std::uint64_t>, arena_allocator<pair>>
		map{arena_allocator<pair>(memory)};
	std::vector<long, arena_allocator<long>> vector{arena_allocator<long>(memory)};
	std::list<long, arena_allocator<long>> list{arena_allocator<long>(memory)};

	for (long i = 0; i < 20000; i++) {
		map[i * i] = static_cast<double>(i);
		vector.push_back(i);
		list.push_front(i);
	}
	for (long i = 0; i < 20000; i++)
		if (map[i * i] != static_cast<double>(i) || vector[i] != i)
			return false;
	return list.front() == 19999 && list.size() == 20000 && ps_arena_owns(memory, vector.data());
}

bool vector_of_wide_objects_is_aligned()
{
	struct alignas(64) wide {
		char bytes[64];
	};
	arena memory;
	std::vector<wide, arena_allocator<wide>> vector{arena_allocator<wide>(memory)};

	for (int i = 0; i < 1000; i++) {
		vector.emplace_back();
		if (reinterpret_cast<std::uintptr_t>(vector.data()) % 64)
			return false;
	}
	return true;
}

bool last_object_is_given_back()
{
	arena memory;
	arena_allocator<long> allocator(memory);
	arena_resource resource(memory);
	long *object = allocator.allocate(100);

	if (memory.is_checked())
		return true;
	allocator.deallocate(object, 100);
	if (memory.used() != 0 || allocator.allocate(100) != object)
		return false;
	resource.deallocate(resource.allocate(100), 100);
	return memory.used() == 100 * sizeof(long);
}

/* Its halves are large objects soon, and the one before the last is given back, too. */
bool vector_that_grows_alone_leaves_nothing_behind()
{
	arena memory;
	std::vector<long, arena_allocator<long>> vector{arena_allocator<long>(memory)};

	for (long i = 0; i < 300000; i++)
		vector.push_back(i);
	for (long i = 0; i < 300000; i++)
		if (vector[static_cast<std::size_t>(i)] != i)
			return false;
	return memory.is_checked() ||
	       memory.used() < vector.capacity() * sizeof(long) + 64 * PS_PAGE_SIZE;
}

bool equality_is_that_of_the_arena()
{
	arena one, two;
	arena_resource first(one), same(one), other(two);

	return first.is_equal(same) && !first.is_equal(other) &&
	       arena_allocator<int>(one) == arena_allocator<char>(one) &&
	       arena_allocator<int>(one) != arena_allocator<int>(two);
}

template <class Function> bool throws_bad_alloc(Function function)
{
	try {
		function();
	} catch (const std::bad_alloc &) {
		return true;
	}
	return false;
}

bool what_cannot_be_had_throws()
{
	arena memory;
	arena_resource resource(memory);
	arena_allocator<long> allocator(memory);

	ps_arena_limit(memory, 1 << 20);
	return throws_bad_alloc([&] { (void)resource.allocate(2 << 20); }) &&
	       throws_bad_alloc([&] { (void)resource.allocate(8, 8192); }) &&
	       throws_bad_alloc(
		       [&] { (void)allocator.allocate(std::numeric_limits<std::size_t>::max() / 8 + 2); });
}

bool groups_work_with_classes()
{
	struct counted {
		explicit counted(int);
		int value;
	};
	arena memory;
	counted *first = nullptr;
	double *second = nullptr;

	return PS_NEW2(memory, counted, first, double, second) &&
	       ps_arena_owns(memory, first) && ps_arena_owns(memory, second);
}
}

int main()
{
	tap_begin();
#define PROMISE(function) tap_result(function(), #function)
	PROMISE(pmr_containers_hold_what_they_are_given);
	PROMISE(containers_with_the_allocator_hold_what_they_are_given);
	PROMISE(vector_of_wide_objects_is_aligned);
	PROMISE(last_object_is_given_back);
	PROMISE(vector_that_grows_alone_leaves_nothing_behind);
	PROMISE(equality_is_that_of_the_arena);
	PROMISE(what_cannot_be_had_throws);
	PROMISE(groups_work_with_classes);
	return tap_end();
}
