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

#ifndef __ASSEMBLER__

#include <stdint.h>

/* Constant after registers_start(). */
extern uint32_t registers_how;
extern uint32_t registers_bytes; /* of the area they are saved in, x86-64 only */

/* Asks the CPU. */
void registers_start(void);

#endif
#endif
