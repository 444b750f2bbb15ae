/* SPDX-License-Identifier: MIT */
/* The registers of this CPU that the long way of arena_refill_*.S has to save; for assembly too. */
#ifndef PAGESPAN_ARENA_REGISTERS_H
#define PAGESPAN_ARENA_REGISTERS_H

/* x86-64: how x87, vector and mask registers are saved. */
#define REGISTERS_FXSAVE 0
#define REGISTERS_XSAVE  1
#define REGISTERS_XSAVEC 2

/* aarch64: which vector registers there are. */
#define REGISTERS_NEON         0
#define REGISTERS_SVE          1

#define REGISTERS_LEGACY_BYTES 512

/* x86-64: components of XSAVE. Those of x87 and SSE are always saved, and what is not in use is
 * not. */
#define REGISTERS_LEGACY     0x3
#define REGISTERS_COMPONENTS 8

#ifndef __ASSEMBLER__

#include <stdint.h>

/* Constant after registers_start(). */
extern uint32_t registers_how;

/*
 * x86-64 only: the components that code written in C may change, vectors and their masks, and the
 * size of the area in which any of them are saved.
 */
extern uint32_t registers_mask;
extern uint16_t registers_area[1 << REGISTERS_COMPONENTS];

/* Asks the CPU. */
void registers_start(void);

#endif
#endif
