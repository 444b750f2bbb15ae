/* SPDX-License-Identifier: MIT */
/* The CRC-32 of gzip and Ethernet, a bit at a time: short, not quick. */
#ifndef EXAMPLES_CRC32_H
#define EXAMPLES_CRC32_H

#include <stddef.h>
#include <stdint.h>

/**
 * crc32() - go on with a sum
 * @crc: of what came before, 0 at the start
 * @data: what comes now
 * @length: of it, in bytes
 *
 * Return: the sum of all.
 */
static inline uint32_t crc32(uint32_t crc, const void *data, size_t length)
{
	const unsigned char *byte = data;

	crc = ~crc;
	while (length--) {
		crc ^= *byte++;
		for (int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? 0xedb88320 : 0);
	}
	return ~crc;
}

#endif
