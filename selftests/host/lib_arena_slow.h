/* SPDX-License-Identifier: MIT */
/* What lib_arena_slow.c has in assembly for each architecture. */
#ifndef PAGESPAN_LIB_ARENA_SLOW_H
#define PAGESPAN_LIB_ARENA_SLOW_H

/* Bytes of struct everything, a power of two, and where its parts are. */
#define EVERYTHING_BYTES   32768
#define EVERYTHING_GENERAL 0
#define EVERYTHING_STACK   512
#define EVERYTHING_VECTORS 1024

#ifndef __ASSEMBLER__

#include <stdint.h>

struct ps_arena;

/* The registers of this CPU, general ones by number. */
struct everything {
	uint64_t general[64];
	uint64_t stack[64];
	unsigned char vectors[EVERYTHING_BYTES - EVERYTHING_VECTORS];
} __attribute__((aligned(64)));

/*
 * Fills every register from @before, enters the slow path, and stores every register in @after:
 * its result there is the object. Stores in @before what it could not choose.
 */
void slow_with_everything(struct everything *before, struct everything *after,
			  struct ps_arena *arena, uint64_t size);

/* Spoils every register that a function may. */
void spoil_everything(void);

/* Spoils every general register that a function may. */
void spoil_general(void);

/* Which vector registers there are, for the functions above: 0 or more. */
extern uint32_t vector_level;

#endif
#endif
