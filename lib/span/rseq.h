/* SPDX-License-Identifier: MIT */
/*
 * What a CPU has, changed by whatever thread runs there, without a lock: restartable sequences.
 *
 * Between 1 and 2 the kernel lets no other thread of the process run on this CPU and then go on
 * here; if it has, or a signal has come, the thread goes on at 4 instead, and nothing was done.
 * Only one store counts, the last; so a span leaves or enters with the index that it is under.
 *
 *	0x53053053 before 4 is what glibc registers, or whoever else does.
 *
 * cpu_id is -1 or -2 where a thread is not registered; the table has entries for these too.
 */
#ifndef PAGESPAN_RSEQ_H
#define PAGESPAN_RSEQ_H

#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define RSEQ_HIDDEN_FROM_SANITIZER
#endif
#elif defined(__SANITIZE_THREAD__)
#define RSEQ_HIDDEN_FROM_SANITIZER
#endif

#if defined(__x86_64__) && defined(__LP64__) && defined(__has_include) && \
	!defined(RSEQ_HIDDEN_FROM_SANITIZER)
#if __has_include(<sys/rseq.h>)
#define HAVE_RSEQ
#endif
#endif

#ifndef __ASSEMBLER__
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef HAVE_RSEQ

/*
 * At 8 * bin from its start a cache has three 16-bit numbers of 64-bit words from its start: the
 * top of the bin, behind its last span; where it begins; and where the top may rise to.  The word
 * before the beginning is never a span.  @table has the cache of each CPU.
 */
#define RSEQ_BEGIN                                             \
	".pushsection __rseq_cs, \"aw\"\n"                     \
	".balign 32\n"                                         \
	"9:	.long 0, 0\n"                                      \
	"	.quad 1f, 2f - 1f, 4f\n"                             \
	".popsection\n"                                        \
	"	leaq 9b(%%rip), %%rax\n"                             \
	"	movq %%rax, %%fs:8(%[rseq])\n"   /* rseq_cs */ \
	"1:	movslq %%fs:4(%[rseq]), %%rax\n" /* cpu_id */  \
	"	movq (%[table], %%rax, 8), %%rax\n"                  \
	"	movzwl (%%rax, %[bin], 8), %%ecx\n" /* top */

/* In the function itself, where debuggers and profilers know how to unwind. */
#define RSEQ_END(aborted)                                   \
	"2:	jmp 5f\n"                                       \
	"	.byte 0x0f, 0xb9, 0x3d\n" /* a ud1 of it */ \
	"	.long 0x53053053\n"                               \
	"4:	" aborted "\n"                              \
	"5:\n"

#define RSEQ_TAKE                           \
	"	cmpw 2(%%rax, %[bin], 8), %%cx\n" \
	"	jbe 4f\n"                         \
	"	movq -8(%%rax, %%rcx, 8), %[span]\n"

#define RSEQ_COUNT "	incq %c[counters](%%rax, %[bin], 8)\n"

/* No outputs of asm goto, which gcc 12 gets wrong where it jumps. */
#define RSEQ_TAKEN      \
	"	decl %%ecx\n" \
	"	movw %%cx, (%%rax, %[bin], 8)\n" RSEQ_END("xorl %k[span], %k[span]")

/*
 * Takes the last span of a bin, and adds one to the counter of the bin at @counters; NULL if
 * there is none, or something came between.
 */
static inline __attribute__((always_inline)) void *rseq_take(ptrdiff_t rseq, void *const *table,
							     uint64_t bin, size_t counters)
{
	void *span;

	__asm__ volatile(
		RSEQ_BEGIN RSEQ_TAKE RSEQ_COUNT RSEQ_TAKEN
		: [span] "=&r"(span)
		: [rseq] "r"(rseq), [table] "r"(table), [bin] "r"(bin), [counters] "i"(counters)
		: "rax", "rcx", "memory", "cc");
	return span;
}

/* The same, if its address has none of these bits. */
static inline __attribute__((always_inline)) void *rseq_take_aligned(ptrdiff_t rseq,
								     void *const *table,
								     uint64_t bin, size_t counters,
								     uint64_t bits)
{
	void *span;

	__asm__ volatile(RSEQ_BEGIN RSEQ_TAKE "	testq %[bits], %[span]\n"
					      "	jnz 4f\n" RSEQ_COUNT RSEQ_TAKEN
			 : [span] "=&r"(span)
			 : [rseq] "r"(rseq), [table] "r"(table), [bin] "r"(bin),
			   [counters] "i"(counters), [bits] "r"(bits)
			 : "rax", "rcx", "memory", "cc");
	return span;
}

/* The same, if the CPU's cache is this one, and not counted: it goes to no caller. */
static inline __attribute__((always_inline)) void *rseq_take_from(ptrdiff_t rseq,
								  void *const *table, uint64_t bin,
								  const void *cache)
{
	void *span;

	__asm__ volatile(RSEQ_BEGIN "	cmpq %%rax, %[cache]\n"
				    "	jne 4f\n" RSEQ_TAKE RSEQ_TAKEN
			 : [span] "=&r"(span)
			 : [rseq] "r"(rseq), [table] "r"(table), [bin] "r"(bin), [cache] "r"(cache)
			 : "rax", "rcx", "memory", "cc");
	return span;
}

/* Gives a span to a bin; false if there is no room, it is the last one already, or as above. */
static inline __attribute__((always_inline)) bool rseq_give(ptrdiff_t rseq, void *const *table,
							    uint64_t bin, void *span)
{
	__asm__ goto volatile(
		RSEQ_BEGIN "	cmpw 4(%%rax, %[bin], 8), %%cx\n"
			   "	jae %l[no]\n"
			   "	cmpq %[span], -8(%%rax, %%rcx, 8)\n"
			   "	je %l[no]\n"
			   "	movq %[span], (%%rax, %%rcx, 8)\n"
			   "	incl %%ecx\n"
			   "	movw %%cx, (%%rax, %[bin], 8)\n" RSEQ_END("jmp %l[no]")
		:
		: [rseq] "r"(rseq), [table] "r"(table), [bin] "r"(bin), [span] "r"(span)
		: "rax", "rcx", "memory", "cc"
		: no);
	return true;
no:
	return false;
}

#endif

#endif

#endif
