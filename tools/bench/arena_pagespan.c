// SPDX-License-Identifier: MIT
/* pagespan, each object by itself but for groups. */
#include "arena_pagespan.h"

#define SUBJECT             pagespan
#define SUBJECT_NAME        "pagespan"
#define ALLOC(state, bytes) ps_alloc((state), (bytes))
#define ALLOC_THREE(state, a, b, c)                                              \
	do {                                                                     \
		char(*a_)[16], (*b_)[24], (*c_)[40];                             \
                                                                                 \
		if (!PS_NEW3((state), char[16], a_, char[24], b_, char[40], c_)) \
			abort();                                                 \
		(a) = a_;                                                        \
		(b) = b_;                                                        \
		(c) = c_;                                                        \
	} while (0)
#include "arena_workloads.h"
