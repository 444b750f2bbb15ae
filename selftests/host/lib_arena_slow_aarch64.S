/* SPDX-License-Identifier: MIT */
/* Every register of aarch64; see lib_arena_slow.h. vector_level: 0 Q registers, 1 SVE. */
#if defined(__aarch64__)

#include "lib_arena_slow.h"

	.arch	armv8.2-a+sve

#define OTHER_FPCR 0x00c00000
#define OTHER_FPSR 0x1f

#define AT_P	   12288
#define AT_FPCR	   (8 * 32)
#define AT_FPSR	   (8 * 33)

/* On the stack: what a function has to keep, and its arguments. */
#define AT_AFTER 160
#define FRAME	 176

.macro each_q operation
	.irp	n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
	\operation	q\n, [x16, #16 * \n]
	.endr
	.irp	n, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31
	\operation	q\n, [x16, #16 * \n]
	.endr
.endm

.macro each_z operation
	.irp	n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
	\operation	z\n, [x16, #\n, mul vl]
	.endr
	.irp	n, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31
	\operation	z\n, [x16, #\n, mul vl]
	.endr
.endm

.macro each_p operation
	.irp	n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
	\operation	p\n, [x16, #\n, mul vl]
	.endr
.endm

.macro general operation
	.irp	n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 11, 12, 13, 14, 15
	\operation	x\n, [x16, #8 * \n]
	.endr
	.irp	n, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30
	\operation	x\n, [x16, #8 * \n]
	.endr
.endm

/* x17 is the state; x16 is spoilt. */
.macro vectors operation
	adrp	x16, vector_level
	ldr	w16, [x16, #:lo12:vector_level]
	cbnz	w16, 1f
	add	x16, x17, #EVERYTHING_VECTORS
	each_q	\operation
	b	2f
1:	add	x16, x17, #EVERYTHING_VECTORS
	each_z	\operation
	add	x16, x17, #AT_P
	each_p	\operation
2:
.endm

	.text
	.globl	slow_with_everything
	.type	slow_with_everything, %function
slow_with_everything:
	stp	x29, x30, [sp, #-FRAME]!
	stp	x19, x20, [sp, #16]
	stp	x21, x22, [sp, #32]
	stp	x23, x24, [sp, #48]
	stp	x25, x26, [sp, #64]
	stp	x27, x28, [sp, #80]
	stp	d8, d9, [sp, #96]
	stp	d10, d11, [sp, #112]
	stp	d12, d13, [sp, #128]
	stp	d14, d15, [sp, #144]
	str	x1, [sp, #AT_AFTER]

	mov	x17, x0
	mov	x9, x2
	str	x3, [x0, #8 * 10]
	vectors	ldr
	adrp	x16, vector_level
	ldr	w16, [x16, #:lo12:vector_level]
	cbz	w16, 3f
	add	x16, x17, #AT_P
	ptrue	p0.b, vl7
	wrffr	p0.b
	str	p0, [x16, #16, mul vl]
	ldr	p0, [x16, #0, mul vl]
3:	ldr	x16, =OTHER_FPCR
	str	x16, [x17, #AT_FPCR]
	msr	fpcr, x16
	mov	x16, #OTHER_FPSR
	str	x16, [x17, #AT_FPSR]
	msr	fpsr, x16
	mov	x16, sp
	str	x16, [x17, #8 * 31]
	mov	x16, x17
	general	ldr

	adrp	x16, :got:ps_arena_refill_preserving
	ldr	x16, [x16, :got_lo12:ps_arena_refill_preserving]
	adr	x17, 1f
	br	x16
1:	hint	#36
	ldr	x16, [sp, #AT_AFTER]
	general	str
	str	x9, [x16, #8 * 9]
	mov	x0, sp
	str	x0, [x16, #8 * 31]
	mrs	x0, fpcr
	str	x0, [x16, #AT_FPCR]
	mrs	x0, fpsr
	str	x0, [x16, #AT_FPSR]
	mov	x17, x16
	vectors	str
	adrp	x16, vector_level
	ldr	w16, [x16, #:lo12:vector_level]
	cbz	w16, 3f
	add	x16, x17, #AT_P
	rdffr	p0.b
	str	p0, [x16, #16, mul vl]

3:	msr	fpcr, xzr
	msr	fpsr, xzr
	ldp	x19, x20, [sp, #16]
	ldp	x21, x22, [sp, #32]
	ldp	x23, x24, [sp, #48]
	ldp	x25, x26, [sp, #64]
	ldp	x27, x28, [sp, #80]
	ldp	d8, d9, [sp, #96]
	ldp	d10, d11, [sp, #112]
	ldp	d12, d13, [sp, #128]
	ldp	d14, d15, [sp, #144]
	ldp	x29, x30, [sp], #FRAME
	ret
	.ltorg

	.globl	spoil_everything
	.type	spoil_everything, %function
spoil_everything:
	.cfi_startproc
	msr	fpcr, xzr
	msr	fpsr, xzr
	adrp	x16, vector_level
	ldr	w16, [x16, #:lo12:vector_level]
	cbz	w16, 1f
	.irp	n, 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31
	dup	z\n\().b, #-1
	.endr
	/* The low halves of these are the caller's. */
	.irp	n, 8, 9, 10, 11, 12, 13, 14, 15
	fmov	d\n, d\n
	.endr
	.irp	n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
	pfalse	p\n\().b
	.endr
	setffr
	b	spoil_general
1:	.irp	n, 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31
	movi	v\n\().16b, #0xff
	.endr
	.irp	n, 8, 9, 10, 11, 12, 13, 14, 15
	fmov	d\n, d\n
	.endr
	b	spoil_general
	.cfi_endproc

	.globl	spoil_general
	.type	spoil_general, %function
spoil_general:
	.cfi_startproc
	.irp	n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18
	mov	x\n, #-1
	.endr
	cmp	x0, #0
	ret
	.cfi_endproc

#endif
	.section .note.GNU-stack, "", %progbits
