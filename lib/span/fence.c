// SPDX-License-Identifier: MIT
#define _GNU_SOURCE
#include "fence.h"

#include "rseq.h"

#ifdef HAVE_RSEQ
#include <sys/rseq.h>
#include <sys/syscall.h>
#include <unistd.h>

/* linux/membarrier.h of 5.10, which may be older here. */
#define FENCE    (1 << 7) /* MEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ */
#define REGISTER (1 << 8)

/* An older C library has neither, and registers nobody. */
#pragma weak __rseq_offset
#pragma weak __rseq_size

static bool registered(void)
{
	const char *thread = (const char *)__builtin_thread_pointer();
	const struct rseq *area;

	if (!&__rseq_size || !__rseq_size)
		return false;
	area = (const struct rseq *)(const void *)(thread + __rseq_offset);
	return (int)area->cpu_id >= 0;
}

bool fence_open(ptrdiff_t *rseq)
{
	if (!registered() || syscall(SYS_membarrier, REGISTER, 0, 0) ||
	    syscall(SYS_membarrier, FENCE, 0, 0))
		return false;
	*rseq = __rseq_offset;
	return true;
}

void fence_sequences(void)
{
	syscall(SYS_membarrier, FENCE, 0, 0);
}
#else
bool fence_open(ptrdiff_t *rseq)
{
	(void)rseq;
	return false;
}

void fence_sequences(void)
{
}
#endif
