// SPDX-License-Identifier: MIT
/* pagespan with a slow path that is an ordinary call. */
#define PS_ARENA_PLAIN_REFILL
#include "arena_pagespan.h"

#define SUBJECT             pagespan_call
#define SUBJECT_NAME        "pagespan, plain call"
#define ALLOC(state, bytes) ps_alloc((state), (bytes))
#include "arena_workloads.h"
