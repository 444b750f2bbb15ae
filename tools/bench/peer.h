/* SPDX-License-Identifier: MIT */
/*
 * What the span map is measured against: small allocators of page spans, each in a file of its own
 * and written from the published description of its kind. All of them give first page indices, take
 * frees of any subset and keep no size for the caller; the span map goes through the same calls.
 */
#ifndef PAGESPAN_BENCH_PEER_H
#define PAGESPAN_BENCH_PEER_H

#include <stddef.h>
#include <stdint.h>

struct peer {
	const char *name;
	/* A pool of nr_pages, all free. */
	void *(*create)(uint64_t nr_pages);
	void (*destroy)(void *pool);
	/* The first page of a span of 1 to 65536 pages, or -1 if the peer finds none. */
	int64_t (*alloc)(void *pool, uint32_t nr_pages);
	/* Any subset of the allocated pages. */
	void (*free)(void *pool, uint64_t first, uint32_t nr_pages);
	size_t (*metadata_bytes)(uint64_t nr_pages);
	/* Takes microseconds and more: measured over fewer operations. */
	int is_slow;
};

extern const struct peer peer_span_map;
extern const struct peer peer_radix;
extern const struct peer peer_tags;
extern const struct peer peer_buddy;
extern const struct peer peer_linear;

/* Zeroed memory on pages of the default size; ends the program when there is none. */
void *peer_memory(size_t bytes);
void peer_memory_free(void *memory, size_t bytes);

#endif
