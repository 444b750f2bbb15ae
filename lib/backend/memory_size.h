/* SPDX-License-Identifier: MIT */
#ifndef PAGESPAN_MEMORY_SIZE_H
#define PAGESPAN_MEMORY_SIZE_H

#include <stdint.h>

/* Bytes that this process may use: the machine's memory, or less where a cgroup says so. */
uint64_t memory_size(void);

/* Bytes of address space that may be reserved: half of what RLIMIT_AS leaves; UINT64_MAX without
 * it. */
uint64_t address_space_left(void);

#endif
