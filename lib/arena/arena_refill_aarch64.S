/* SPDX-License-Identifier: MIT */
/*
 * ps_arena_refill() for callers to whom it is not a call.
 *
 *	in	x9   the arena		out	x9   the object, or 0
 *		x10  the size			x16, x17, flags undefined
 *		x17  where to go on
 *
 * Every other register is as it was, the link register of a leaf too.  The
 * call frame is that of a function whose return address is in x17: it has a
 * return column of its own, as that of a signal frame has, for the x30 which an
 * unwinder finds is the caller's.
 *
 * What the span cache serves runs on general registers, and no others are
 * touched.  Else the vector registers are saved around a call to C: a system
 * call leaves what SVE has beyond the low 128 bits undefined, so that, too.
 */
#if defined(__aarch64__)

#include "arena_registers.h"

	.arch	armv8.2-a+sve

/* DWARF's number for the return address. */
#define RETURN_COLUMN 96

/* From x29, which is where the frame begins. */
#define AT_X29	  0
#define AT_RETURN 8
#define AT_X0	  16
#define AT_X2	  32
#define AT_X4	  48
#define AT_X6	  64
#define AT_X8	  80
#define AT_X10	  96
#define AT_X12	  112
#define AT_X14	  128
#define AT_X18	  144
#define AT_STATUS 160
#define FRAME	  176

/* In vector lengths: Z0 to Z31; P0 to P15 and FFR, an eighth each. */
#define Z_VECTORS 32
#define P_VECTORS 3

.macro save first, second, at
	stp	x\first, x\second, [x29, #\at]
	.cfi_offset \first, \at - FRAME
	.cfi_offset \second, \at + 8 - FRAME
.endm

.macro restore first, second, at
	ldp	x\first, x\second, [x29, #\at]
	.cfi_restore \first
	.cfi_restore \second
.endm

/* \operation of each of the registers of a kind. */
.macro each_q operation
	.irp	n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
	\operation	q\n, [sp, #16 * \n]
	.endr
	.irp	n, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31
	\operation	q\n, [sp, #16 * \n]
	.endr
.endm

.macro each_z operation
	.irp	n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
	\operation	z\n, [sp, #\n, mul vl]
	.endr
	.irp	n, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31
	\operation	z\n, [sp, #\n, mul vl]
	.endr
.endm

.macro each_p operation
	.irp	n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
	\operation	p\n, [sp, #\n, mul vl]
	.endr
.endm

	.text
	.globl	ps_arena_refill_preserving
	.type	ps_arena_refill_preserving, %function
	.p2align 4
ps_arena_refill_preserving:
	.cfi_startproc
	.cfi_return_column RETURN_COLUMN
	.cfi_def_cfa sp, 0
	.cfi_register RETURN_COLUMN, 17
	hint	#34
	stp	x29, x17, [sp, #-FRAME]!
	.cfi_def_cfa_offset FRAME
	.cfi_offset 29, AT_X29 - FRAME
	.cfi_offset RETURN_COLUMN, AT_RETURN - FRAME
	mov	x29, sp
	.cfi_def_cfa_register 29
	save	0, 1, AT_X0
	save	2, 3, AT_X2
	save	4, 5, AT_X4
	save	6, 7, AT_X6
	save	8, 9, AT_X8
	save	10, 11, AT_X10
	save	12, 13, AT_X12
	save	14, 15, AT_X14
	save	18, 30, AT_X18

	mov	x0, x9
	mov	x1, x10
	bl	arena_refill_cached
	cbz	x0, .Llong
	mov	x16, x0

.Lleave:
	.cfi_remember_state
	restore	0, 1, AT_X0
	restore	2, 3, AT_X2
	restore	4, 5, AT_X4
	restore	6, 7, AT_X6
	restore	8, 9, AT_X8
	restore	10, 11, AT_X10
	restore	12, 13, AT_X12
	restore	14, 15, AT_X14
	restore	18, 30, AT_X18
	mov	x9, x16
	mov	sp, x29
	.cfi_def_cfa_register sp
	ldp	x29, x17, [sp], #FRAME
	.cfi_def_cfa_offset 0
	.cfi_restore 29
	.cfi_register RETURN_COLUMN, 17
	br	x17

.Llong:
	.cfi_restore_state
	mrs	x0, fpsr
	mrs	x1, fpcr
	stp	x0, x1, [x29, #AT_STATUS]
	adrp	x2, registers_how
	ldr	w2, [x2, #:lo12:registers_how]
	cmp	w2, #REGISTERS_SVE
	b.eq	.Lsve

	sub	sp, sp, #REGISTERS_LEGACY_BYTES
	each_q str
	ldr	x0, [x29, #AT_X8 + 8]
	ldr	x1, [x29, #AT_X10]
	bl	arena_refill_long
	mov	x16, x0
	each_q ldr
	b	.Lrestored

.Lsve:
	addvl	sp, sp, #-Z_VECTORS
	each_z str
	addvl	sp, sp, #-P_VECTORS
	each_p str
	rdffr	p0.b
	str	p0, [sp, #16, mul vl]
	ldr	x0, [x29, #AT_X8 + 8]
	ldr	x1, [x29, #AT_X10]
	bl	arena_refill_long
	mov	x16, x0
	ldr	p0, [sp, #16, mul vl]
	wrffr	p0.b
	each_p ldr
	addvl	sp, sp, #P_VECTORS
	each_z ldr

.Lrestored:
	ldp	x0, x1, [x29, #AT_STATUS]
	msr	fpsr, x0
	msr	fpcr, x1
	b	.Lleave
	.cfi_endproc
	.size	ps_arena_refill_preserving, . - ps_arena_refill_preserving

/* Branch target identification is not in the way. */
	.section .note.gnu.property, "a"
	.p2align 3
	.long	4
	.long	2f - 1f
	.long	5
	.asciz	"GNU"
1:	.long	0xc0000000
	.long	4
	.long	1
	.p2align 3
2:

#endif
	.section .note.GNU-stack, "", %progbits
