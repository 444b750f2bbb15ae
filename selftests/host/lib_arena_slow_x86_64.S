/* SPDX-License-Identifier: MIT */
/* Every register of x86-64; see lib_arena_slow.h. vector_level: 0 SSE, 1 AVX, 2 AVX-512. */
#if defined(__x86_64__)

#include "lib_arena_slow.h"

#define AFTER	(%rsp)
#define ARENA	8(%rsp)
#define SIZE	16(%rsp)
#define CONTROL 24(%rsp)
#define FRAME	48

#define OTHER_MXCSR   0x7f80
#define DEFAULT_MXCSR 0x1f80
#define OTHER_X87     0x0e7f

.macro vectors operation, size, first, last
	.set	n, \first
	.rept	\last - \first + 1
	vector	\operation, \size, %n
	.set	n, n + 1
	.endr
.endm

	.altmacro
.macro vector operation, size, n
	\operation EVERYTHING_VECTORS + 4096 + 64 * \n(%rbx), %\size\()mm\n
.endm
.macro mask operation, n
	\operation EVERYTHING_VECTORS + 8192 + 8 * \n(%rbx), %k\n
.endm
.macro stack_slot operation, n
	\operation 8 * \n - 128(%rsp)
.endm
	.noaltmacro

/* All that XSAVE knows; FXSAVE where there is nothing more. */
.macro store_vectors
	movl	$-1, %eax
	movl	$-1, %edx
	cmpl	$0, vector_level(%rip)
	je	1f
	xsave64	EVERYTHING_VECTORS + 12288(%rbx)
	jmp	2f
1:	fxsave64 EVERYTHING_VECTORS + 12288(%rbx)
2:
.endm

/* %rbx is the state that they are filled from. */
load_vectors:
	fninit
	fldl2e
	fldpi
	fldlg2
	fldln2
	fldl2t
	pushq	$OTHER_X87
	fldcw	(%rsp)
	popq	%rax
	pushq	$OTHER_MXCSR
	ldmxcsr	(%rsp)
	popq	%rax
	.altmacro
	cmpl	$1, vector_level(%rip)
	jb	0f
	je	1f
	vectors	vmovdqu64, z, 0, 31
	mask	kmovq, 0
	mask	kmovq, 1
	mask	kmovq, 2
	mask	kmovq, 3
	mask	kmovq, 4
	mask	kmovq, 5
	mask	kmovq, 6
	mask	kmovq, 7
	ret
1:	vectors	vmovdqu, y, 0, 15
	ret
0:	vectors	movdqu, x, 0, 15
	.noaltmacro
	ret

	.text
	.globl	slow_with_everything
	.type	slow_with_everything, @function
slow_with_everything:
	pushq	%rbx
	pushq	%rbp
	pushq	%r12
	pushq	%r13
	pushq	%r14
	pushq	%r15
	subq	$FRAME, %rsp
	movq	%rsi, AFTER
	movq	%rdx, ARENA
	movq	%rcx, SIZE
	stmxcsr	CONTROL
	fnstcw	4 + CONTROL

	movq	%rdi, %rbx
	call	load_vectors
	store_vectors
	/* The red zone, as a leaf would use it. */
	.altmacro
	.set	n, 0
	.rept	16
	movq	EVERYTHING_STACK(%rbx), %rax
	leaq	n(%rax), %rax
	movq	%rax, EVERYTHING_STACK + 8 * n(%rbx)
	movq	%rax, 8 * n - 128(%rsp)
	.set	n, n + 1
	.endr
	.noaltmacro
	movq	%rbx, %rax
	movq	ARENA, %r10
	movq	SIZE, %r11
	movq	8 * 2(%rax), %rcx
	movq	8 * 3(%rax), %rdx
	movq	8 * 1(%rax), %rbx
	movq	8 * 4(%rax), %rsi
	movq	8 * 5(%rax), %rdi
	movq	8 * 6(%rax), %rbp
	movq	8 * 8(%rax), %r8
	movq	8 * 9(%rax), %r9
	movq	%r10, 8 * 10(%rax)
	movq	8 * 12(%rax), %r12
	movq	8 * 13(%rax), %r13
	movq	8 * 14(%rax), %r14
	movq	8 * 15(%rax), %r15
	movq	%rsp, 8 * 7(%rax)

	leaq	1f(%rip), %rax
	jmp	*ps_arena_refill_preserving@GOTPCREL(%rip)
1:
	movq	AFTER, %r11
	movq	%rax, 8 * 0(%r11)
	movq	%rbx, 8 * 1(%r11)
	movq	%rcx, 8 * 2(%r11)
	movq	%rdx, 8 * 3(%r11)
	movq	%rsi, 8 * 4(%r11)
	movq	%rdi, 8 * 5(%r11)
	movq	%rbp, 8 * 6(%r11)
	movq	%rsp, 8 * 7(%r11)
	movq	%r8, 8 * 8(%r11)
	movq	%r9, 8 * 9(%r11)
	movq	%r10, 8 * 10(%r11)
	movq	%r12, 8 * 12(%r11)
	movq	%r13, 8 * 13(%r11)
	movq	%r14, 8 * 14(%r11)
	movq	%r15, 8 * 15(%r11)
	.set	n, 0
	.rept	16
	movq	8 * n - 128(%rsp), %rax
	movq	%rax, EVERYTHING_STACK + 8 * n(%r11)
	.set	n, n + 1
	.endr
	movq	%r11, %rbx
	store_vectors

	emms
	ldmxcsr	CONTROL
	fldcw	4 + CONTROL
	addq	$FRAME, %rsp
	popq	%r15
	popq	%r14
	popq	%r13
	popq	%r12
	popq	%rbp
	popq	%rbx
	ret

	.globl	spoil_everything
	.type	spoil_everything, @function
spoil_everything:
	.cfi_startproc
	fninit
	movl	$DEFAULT_MXCSR, -8(%rsp)
	ldmxcsr	-8(%rsp)
	cmpl	$1, vector_level(%rip)
	jb	0f
	je	1f
	.irp	n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
	vpternlogd $0xff, %zmm\n, %zmm\n, %zmm\n
	.endr
	.irp	n, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31
	vpternlogd $0xff, %zmm\n, %zmm\n, %zmm\n
	.endr
	.irp	n, 0, 1, 2, 3, 4, 5, 6, 7
	kxnorq	%k\n, %k\n, %k\n
	.endr
	jmp	spoil_general
1:	.irp	n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
	vpcmpeqb %xmm\n, %xmm\n, %xmm\n
	.endr
	jmp	spoil_general
0:	.irp	n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
	pcmpeqb	%xmm\n, %xmm\n
	.endr

	jmp	spoil_general
	.cfi_endproc

	.globl	spoil_general
	.type	spoil_general, @function
spoil_general:
	.cfi_startproc
	.irp	register, rax, rcx, rdx, rsi, rdi, r8, r9, r10, r11
	movq	$-1, %\register
	.endr
	cmpq	$0, %rax
	ret
	.cfi_endproc

#endif
	.section .note.GNU-stack, "", @progbits
