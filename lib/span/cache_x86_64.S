/* SPDX-License-Identifier: MIT */
/*
 * ps_span_alloc() and ps_span_free() as far as the cache of the CPU serves them, by restartable
 * sequences; rseq.h says what these are, and does the same for whoever else needs it.
 *
 * In assembly, for a sequence that is begun anew goes on behind its own end: there, behind the
 * return, it costs nothing and unwinds as the rest does, which no compiler can be told.
 */
#include "rseq.h"

#if defined(HAVE_RSEQ) && !defined(__SANITIZE_ADDRESS__)
#include "cache_layout.h"

/* For indirect branch tracking, and the mark that nothing here stands in its way. */
#ifdef __CET__
#include <cet.h>
#else
#define _CET_ENDBR
#endif

/* What the kernel knows of the sequence between the labels 1 and 2. */
.macro descriptor name
	.pushsection __rseq_cs, "aw"
	.balign	32
\name:	.long	0, 0
	.quad	1f, 2f - 1f, 4f
	.popsection
.endm

/* With where struct rseq is in rdx: the cache in rcx, the top of the bin in edx; rax is lost. */
.macro begin descriptor, bin
	leaq	\descriptor(%rip), %rax
	movq	%rax, %fs:8(%rdx)
1:	movslq	%fs:4(%rdx), %rax
	leaq	cpu_cache_table + 8 * CACHES_NO_CPUS(%rip), %rcx
	movq	(%rcx, %rax, 8), %rcx
	movzwl	(%rcx, \bin, 8), %edx
.endm

.macro signature
	.byte	0x0f, 0xb9, 0x3d
	.long	0x53053053
.endm

	.text

	.globl	ps_span_alloc
	.type	ps_span_alloc, @function
	.p2align 5
ps_span_alloc:
	.cfi_startproc
	_CET_ENDBR
	rorq	$12, %rdi		/* pages, or too many */
	cmpq	cpu_caches + CACHES_TAKE_BINS(%rip), %rdi
	jae	4f
	movq	cpu_caches + CACHES_RSEQ(%rip), %rdx
	cmpq	$0, %fs:8(%rdx)		/* the kernel has cleared it since: see cache.c */
	je	6f
	descriptor .Ltake
	begin	.Ltake, %rdi
	cmpw	2(%rcx, %rdi, 8), %dx
	jbe	4f
	movq	-8(%rcx, %rdx, 8), %rax
	incq	CACHE_TAKEN(%rcx, %rdi, 8)
	decl	%edx
	movw	%dx, (%rcx, %rdi, 8)
2:	ret
	signature
4:	jmp	cache_alloc_other
6:	jmp	cache_alloc_rested
	.cfi_endproc
	.size	ps_span_alloc, . - ps_span_alloc

	.globl	ps_span_free
	.type	ps_span_free, @function
	.p2align 5
ps_span_free:
	.cfi_startproc
	_CET_ENDBR
	movq	%rdi, %rax
	subq	cpu_caches + CACHES_BASE(%rip), %rax
	rorq	$12, %rsi
	rorq	$12, %rax
	cmpq	cpu_caches + CACHES_NR_PAGES(%rip), %rax
	jae	4f
	cmpq	cpu_caches + CACHES_GIVE_BINS(%rip), %rsi
	jae	5f
	descriptor .Lgive
6:	movq	cpu_caches + CACHES_RSEQ(%rip), %rdx
	begin	.Lgive, %rsi
	cmpw	4(%rcx, %rsi, 8), %dx
	jae	4f
	cmpq	%rdi, -8(%rcx, %rdx, 8)	/* freed twice */
	je	4f
	movq	%rdi, (%rcx, %rdx, 8)
	incl	%edx
	movw	%dx, (%rcx, %rsi, 8)
2:	xorl	%eax, %eax
	ret
	signature
4:	jmp	cache_free_other
	/* Of 2 MiB, and cached if it is aligned. */
5:	cmpq	cpu_caches + CACHES_TAKE_BINS(%rip), %rsi
	jae	4b
	testl	$511, %eax
	jz	6b
	jmp	4b
	.cfi_endproc
	.size	ps_span_free, . - ps_span_free

#endif
	.section .note.GNU-stack, "", @progbits
