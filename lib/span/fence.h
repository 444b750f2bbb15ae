/* SPDX-License-Identifier: MIT */
#ifndef PAGESPAN_FENCE_H
#define PAGESPAN_FENCE_H

#include <stdbool.h>
#include <stddef.h>

/*
 * Whether restartable sequences can be used here: the kernel knows them, threads are registered,
 * and one can wait for those of others.  Then @rseq is where each thread has its struct rseq.
 */
bool fence_open(ptrdiff_t *rseq);

/* Every sequence that had begun is over, or begins anew, when this returns. */
void fence_sequences(void);

#endif
