/* SPDX-License-Identifier: MIT */
/*
 * ps_arena_refill() for callers to whom it is not a call.
 *
 *	in	%r10  the arena		out	%rax  the object, or 0
 *		%r11  the size			%r11  undefined
 *		%rax  where to go on		flags undefined
 *
 * Every other register is as it was.  Entered by a jump, left by a jump: the
 * caller may be a leaf with live data in its red zone and a stack pointer that
 * is not aligned, and a shadow stack sees nothing.  The call frame is that of a
 * function whose return address is in %rax, so the frame address is the
 * caller's stack pointer, and an unwinder that stops anywhere here goes on in
 * the caller.
 *
 * What the span cache serves runs on general registers, and no others are
 * touched.  Else all that the CPU has are saved around a call to C.
 */
#if defined(__x86_64__) && defined(__LP64__)

#include "arena_registers.h"

#define RED_ZONE 128

/* The frame, from the caller's stack pointer down; the first two by push. */
#define AT_RIP	(-RED_ZONE - 8)
#define AT_RBP	(-RED_ZONE - 16)
#define FRAME	(RED_ZONE + 16)

/* From %rbp. */
#define AT_RCX	-8
#define AT_RDX	-16
#define AT_RSI	-24
#define AT_RDI	-32
#define AT_R8	-40
#define AT_R9	-48
#define AT_R10	-56
#define AT_SIZE	-64
#define BELOW	64

/* The header of an XSAVE area must be zeros before anything is saved in it. */
#define XSAVE_HEADER	   REGISTERS_LEGACY_BYTES
#define XSAVE_HEADER_BYTES 64
#define XSAVE_ALIGN	   64

.macro save register, at
	movq	%\register, \at(%rbp)
	.cfi_offset \register, \at - FRAME
.endm

.macro restore register, at
	movq	\at(%rbp), %\register
	.cfi_restore \register
.endm

	.text
	.globl	ps_arena_refill_preserving
	.type	ps_arena_refill_preserving, @function
	.p2align 4
ps_arena_refill_preserving:
	.cfi_startproc
	.cfi_def_cfa rsp, 0
	.cfi_register rip, rax
	endbr64
	leaq	-RED_ZONE(%rsp), %rsp
	.cfi_def_cfa_offset RED_ZONE
	pushq	%rax
	.cfi_def_cfa_offset RED_ZONE + 8
	.cfi_offset rip, AT_RIP
	pushq	%rbp
	.cfi_def_cfa_offset FRAME
	.cfi_offset rbp, AT_RBP
	movq	%rsp, %rbp
	.cfi_def_cfa_register rbp
	subq	$BELOW, %rsp
	andq	$-16, %rsp
	save	rcx, AT_RCX
	save	rdx, AT_RDX
	save	rsi, AT_RSI
	save	rdi, AT_RDI
	save	r8, AT_R8
	save	r9, AT_R9
	save	r10, AT_R10
	movq	%r11, AT_SIZE(%rbp)

	movq	%r10, %rdi
	movq	%r11, %rsi
	call	arena_refill_cached
	testq	%rax, %rax
	jz	.Llong

.Lleave:
	.cfi_remember_state
	restore	rcx, AT_RCX
	restore	rdx, AT_RDX
	restore	rsi, AT_RSI
	restore	rdi, AT_RDI
	restore	r8, AT_R8
	restore	r9, AT_R9
	restore	r10, AT_R10
	movq	%rbp, %rsp
	.cfi_def_cfa_register rsp
	popq	%rbp
	.cfi_def_cfa_offset RED_ZONE + 8
	.cfi_restore rbp
	popq	%r11
	.cfi_def_cfa_offset RED_ZONE
	.cfi_register rip, r11
	leaq	RED_ZONE(%rsp), %rsp
	.cfi_def_cfa_offset 0
	notrack jmp *%r11

.Llong:
	.cfi_restore_state
	movl	registers_mask(%rip), %eax
	cmpl	$REGISTERS_XSAVEC, registers_how(%rip)
	jne	.Larea
	/* Of these, those in use. */
	movl	$1, %ecx
	xgetbv
	andl	registers_mask(%rip), %eax
	orl	$REGISTERS_LEGACY, %eax
.Larea:
	leaq	registers_area(%rip), %rdx
	movzwl	(%rdx,%rax,2), %ecx
	subq	%rcx, %rsp
	andq	$-XSAVE_ALIGN, %rsp
	xorl	%edx, %edx
	cmpl	$REGISTERS_XSAVE, registers_how(%rip)
	jb	.Lfxsave
	leaq	XSAVE_HEADER(%rsp), %rdi
	movl	$XSAVE_HEADER_BYTES / 8, %ecx
.Lclear:
	movq	$0, -8(%rdi,%rcx,8)
	decl	%ecx
	jnz	.Lclear
	cmpl	$REGISTERS_XSAVE, registers_how(%rip)
	je	.Lxsave
	xsavec64 (%rsp)
	jmp	.Lsaved
.Lxsave:
	xsave64	(%rsp)
	jmp	.Lsaved
.Lfxsave:
	fxsave64 (%rsp)

.Lsaved:
	/* C expects an empty x87 stack. */
	emms
	movq	AT_R10(%rbp), %rdi
	movq	AT_SIZE(%rbp), %rsi
	call	arena_refill_long
	movq	%rax, AT_SIZE(%rbp)
	/* What was not in use becomes so again. */
	movl	registers_mask(%rip), %eax
	xorl	%edx, %edx
	cmpl	$REGISTERS_XSAVE, registers_how(%rip)
	jb	.Lfxrstor
	xrstor64 (%rsp)
	jmp	.Lrestored
.Lfxrstor:
	fxrstor64 (%rsp)
.Lrestored:
	movq	AT_SIZE(%rbp), %rax
	jmp	.Lleave
	.cfi_endproc
	.size	ps_arena_refill_preserving, . - ps_arena_refill_preserving

/* Nothing here stands in the way of indirect branch tracking or of a shadow stack. */
	.section .note.gnu.property, "a", @note
	.p2align 3
	.long	4
	.long	2f - 1f
	.long	5
	.asciz	"GNU"
1:	.long	0xc0000002
	.long	4
	.long	3
	.p2align 3
2:

#endif
	.section .note.GNU-stack, "", @progbits
