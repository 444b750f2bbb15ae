/* SPDX-License-Identifier: MIT */
/* bench-core: workloads on span allocators, what they measure, and how it is reported. */
#ifndef PAGESPAN_BENCH_CORE_H
#define PAGESPAN_BENCH_CORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "peer.h"
#include "report.h"

#define POOL_16_GIB (1ULL << 22)
#define POOL_1_TIB  (1ULL << 28)

/* How the sizes of a workload are drawn. */
enum sizes { SIZES_ONE, SIZES_TO_512, SIZES_512_TO_16384, SIZES_LOG_UNIFORM };

struct workload {
	const char *name;
	const char *text;
	enum sizes sizes;
	double occupancy;
	bool pins;      /* single pages all over the pool that stay */
	bool subranges; /* half of the frees give back a part of a span */
};

extern const struct workload workload_a, workload_b70, workload_b90, workload_b97, workload_c,
	workload_d;

/* What a churn run found out; times only if they were asked for. */
struct churn_result {
	struct times alloc;
	struct times free;
	struct times refusal; /* of a span longer than any run */
	uint64_t requests;
	uint64_t refused;
	uint64_t audited; /* refusals that were compared with the free runs */
	uint64_t false_refusals;
	double whole_share; /* of the free pages, those in all-free megablocks */
};

struct churn_options {
	uint64_t nr_pages;
	uint64_t warm_up;
	uint64_t operations;
	uint64_t audit; /* compare that many refusals with the free runs */
	bool timed;
	bool one_page_between; /* measured_one_page() after every operation */
	uint64_t seed;
};

void run_churn(const struct peer *peer, const struct workload *workload,
	       const struct churn_options *options, struct churn_result *result);
/* Every second page is free, and one hole of three. */
struct times run_needle(const struct peer *peer, uint64_t nr_pages, uint64_t operations);
/* Requests of workload b without end, spans freed only upon a refusal: the mean occupancy. */
double run_sustained(const struct peer *peer, uint64_t nr_pages, uint64_t operations,
		     uint64_t seed);

/* A pool of 4 GiB, megablock by megablock. */
#define MAP_MEGABLOCKS 2048

enum moment { FILLED, CHURNED, DRAINED, NR_MOMENTS };

struct pool_map {
	uint16_t used[NR_MOMENTS][MAP_MEGABLOCKS]; /* pages of each megablock */
	double whole_share[NR_MOMENTS];            /* as in struct churn_result */
};

/* Workload b90, and then spans are freed at random until half of the pages are left. */
void run_map(const struct peer *peer, uint64_t operations, uint64_t seed, struct pool_map *map);

/* The calls that callgrind counts. */
int64_t measured_alloc(const struct peer *peer, void *pool, uint32_t nr_pages);
void measured_free(const struct peer *peer, void *pool, uint64_t first, uint32_t nr_pages);
int64_t measured_one_page(const struct peer *peer, void *pool);

/*
 * Instructions of this very program under callgrind, negative where valgrind is missing: of one
 * allocation and one free in b90, and of the worst allocation of one page over b97.
 */
double callgrind_per_pair(const char *program, const char *subject, uint64_t operations);
double callgrind_worst_one_page(const char *program, const char *subject, uint64_t operations);

#endif
