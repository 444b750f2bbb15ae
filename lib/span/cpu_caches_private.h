/* SPDX-License-Identifier: MIT */
/* What cpu_caches.c and cpu_caches_empty.c have in common. */
#ifndef PAGESPAN_CPU_CACHES_PRIVATE_H
#define PAGESPAN_CPU_CACHES_PRIVATE_H

#include <pthread.h>

#include "cpu_caches.h"

struct all_caches {
	pthread_mutex_t lock; /* of what is made, and of the table as far as it is filled */
	struct caches_head *head;
	size_t bytes;
	uint64_t cpu_bytes;
	uint32_t nr_cpus;
	bool stopped; /* no new ones */
	bool wanted;  /* by a cache that has less than its share */
};

extern struct all_caches caches __attribute__((visibility("hidden")));

static inline struct cpu_cache *cache_at(uint64_t place)
{
	return (struct cpu_cache *)((char *)caches.head + cache_offset(place));
}

static inline bool is_made(uint64_t place)
{
	return __atomic_load_n(&caches.head->made[place / 64], __ATOMIC_ACQUIRE) >> place % 64 & 1;
}

static inline void put_in_table(uint64_t place, const void *cache)
{
	__atomic_store_n(&cpu_cache_table[NO_CPUS + place], (void *)(uintptr_t)cache,
			 __ATOMIC_RELEASE);
}

/* The next that is made, from a place on; the number of places if there is none. */
static inline uint64_t next_made(uint64_t place)
{
	while (place < caches.head->nr_places && !is_made(place))
		place++;
	return place;
}

#define for_each_made(place)                                           \
	for ((place) = next_made(0); (place) < caches.head->nr_places; \
	     (place) = next_made((place) + 1))

/* In bytes, what each keeps when it is idle: so much, and its part of a share of what is held. */
uint64_t cpu_cache_resting(void);

#endif
