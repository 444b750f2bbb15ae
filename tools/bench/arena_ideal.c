// SPDX-License-Identifier: MIT
/* A bump allocator by hand, inlined. */
#include "arena_ideal.h"

#define SUBJECT             ideal
#define SUBJECT_NAME        "ideal bump"
#define STATE               struct ideal
#define ALLOC(state, bytes) ideal_alloc((state), (bytes))
#define RESET(state, last)  ((void)(last), (void)((state)->cur = (state)->start))
#include "arena_workloads.h"
