/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* Random numbers that come again with their seed. */
#ifndef PAGESPAN_RANDOM_H
#define PAGESPAN_RANDOM_H

#include <stdint.h>

/* splitmix64 */
static inline uint64_t random_next(uint64_t *random)
{
	uint64_t z = (*random += 0x9e3779b97f4a7c15);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
	return z ^ (z >> 31);
}

static inline uint64_t random_below(uint64_t *random, uint64_t limit)
{
	return random_next(random) % limit;
}

#endif
