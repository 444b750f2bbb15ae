/* SPDX-License-Identifier: MIT */
/* bench-arena: arenas and allocators, and what they are made to do. */
#ifndef PAGESPAN_BENCH_ARENA_H
#define PAGESPAN_BENCH_ARENA_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Objects of a round, at first and at most. */
#define ARENA_BATCH     1000
#define ARENA_BATCH_MAX 2000
#define ARENA_MILLION   1000000

enum arena_workload {
	FILL_16,
	FILL_32,
	FILL_RANDOM,
	FILL_THREE,
	FILL_MILLION,
	TREES_16,
	TREES_18,
	NR_ARENA_WORKLOADS,
};

/* Of a round of FILL_16 to FILL_THREE, three of them at once there. */
extern uint32_t arena_batch;

/* 8 to 128 bytes. */
extern uint32_t arena_sizes[ARENA_BATCH_MAX];

/* The first chunk, or the size of every chunk, where a subject can be told. */
#define ARENA_CHUNK ((size_t)1 << 20)

/* What the ideal ones bump through. */
#define ARENA_BUFFER ((size_t)64 << 20)

struct arena_subject {
	const char *name;
	void *(*open)(void);
	void (*close)(void *state);
	void (*run[NR_ARENA_WORKLOADS])(void *state, uint64_t rounds);
};

extern const struct arena_subject arena_subject_pagespan, arena_subject_pagespan_cursor,
	arena_subject_pagespan_call, arena_subject_ideal, arena_subject_interface,
	arena_subject_obstack, arena_subject_pmr, arena_subject_apr, arena_subject_talloc,
	arena_subject_llvm, arena_subject_malloc;

#ifdef __cplusplus
}
#endif

#endif
