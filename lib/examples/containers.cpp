// SPDX-License-Identifier: MIT
/*
 * Containers of the standard library on an arena: the words of its input, counted. All of it goes
 * back with the arena, at once; the containers free nothing.
 */
#include <pagespan.h>
#include <pagespan/arena.hpp>

#include <iostream>
#include <map>
#include <memory>
#include <string>

int main()
{
	std::unique_ptr<ps_arena, decltype(&ps_arena_destroy)> arena(ps_arena_create(nullptr),
								     ps_arena_destroy);
	if (!arena) {
		std::cerr << "containers: no arena\n";
		return 1;
	}
	pagespan::arena_resource resource(arena.get());
	std::pmr::map<std::pmr::string, unsigned> words(&resource);
	std::pmr::string word(&resource);

	while (std::cin >> word)
		words[word]++;
	for (const auto &[name, count] : words)
		std::cout << count << ' ' << name << '\n';

	struct ps_arena_stats stats = {};
	ps_arena_stats(arena.get(), &stats, sizeof(stats));
	std::cerr << stats.bytes_used << " bytes in " << stats.chunks << " chunks on the "
		  << ps_backend() << " backend\n";
	return 0;
}
