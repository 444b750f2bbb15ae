/* SPDX-License-Identifier: MIT */
/*
 * libpagespan: spans, contiguous ranges of 4 KiB pages, from anywhere.
 *
 * Like mmap and munmap: no handle, no initialisation call.  The caller keeps
 * the size; any subset of the pages it owns may be freed, by any thread.
 *
 * Sizes are bytes and multiples of PS_PAGE_SIZE, from one page to
 * PS_SPAN_MAX.  The contents of a span are undefined until written.
 *
 * Two backends give the same results:
 *
 *   device   /dev/pagespan: physically contiguous pages that the module has
 *            reserved.  Used when the device can be opened.
 *   memory   one anonymous reservation of this process, no module needed.
 *
 * The first call that needs a backend chooses one, once per process.  These
 * environment variables are read then:
 *
 *   PAGESPAN_BACKEND     "device" or "memory": this one, or none at all.
 *   PAGESPAN_MEMORY_MB   address space reserved by the memory backend, in MiB
 *                        (1 to 1048576; default: the machine's physical memory).
 *                        Pages cost memory only once touched.
 *
 * Threads: every function may be called from any thread at any time.  None is
 * async-signal-safe.
 *
 * Fork: the child owns nothing.  Its first call opens a backend of its own; the
 * parent's spans are not mapped in it.
 */
#ifndef PAGESPAN_H
#define PAGESPAN_H

#include <stddef.h>
#include <stdint.h>

#pragma GCC visibility push(default)
#ifdef __cplusplus
extern "C" {
#endif

#define PS_PAGE_SIZE ((size_t)4096)
#define PS_SPAN_MAX  (65536 * PS_PAGE_SIZE)

/**
 * ps_span_alloc() - allocate a span
 * @bytes: a multiple of PS_PAGE_SIZE, 1 page to PS_SPAN_MAX
 *
 * Return: the first byte of a page-aligned span which the caller owns, or NULL
 * with errno: EINVAL (@bytes), ENOMEM (no run of free pages is long enough), or
 * what opening the chosen backend gave (ENOENT or EACCES for a device that
 * is not there or not ours, EINVAL for an environment variable it cannot use).
 */
void *ps_span_alloc(size_t bytes);

/**
 * ps_span_free() - free any pages of spans
 * @ptr: page-aligned start of the range; it need not be the start of a span
 * @bytes: a multiple of PS_PAGE_SIZE, at least one page; no upper bound, and
 *         the range may cover several spans
 *
 * The pages leave the caller at once.  Touching them afterwards is an error
 * that the device backend answers with SIGBUS.
 *
 * Return: 0, or -EINVAL when a page of the range is not owned by this process
 * or the arguments are off; then nothing has changed.  Unlike munmap, never
 * -ENOMEM.
 */
int ps_span_free(void *ptr, size_t bytes);

/**
 * ps_backend() - name the backend in use
 *
 * Chooses one if none was needed so far.
 *
 * Return: "device" or "memory" (static strings), or NULL with errno if none
 * can be had.
 */
const char *ps_backend(void);

/**
 * struct ps_stats - what this process has done with spans
 * @spans_allocated: successful ps_span_alloc() calls
 * @spans_freed: successful ps_span_free() calls
 * @bytes_held: owned now
 * @bytes_peak: highest @bytes_held so far
 * @bytes_pool: what the backend can give out at most, to everybody together
 *
 * Counted since the process's first call, or since fork.  Arenas are counted
 * through the spans they use.
 */
struct ps_stats {
	uint64_t spans_allocated;
	uint64_t spans_freed;
	uint64_t bytes_held;
	uint64_t bytes_peak;
	uint64_t bytes_pool;
};

/**
 * ps_stats() - read the counters
 * @stats: where to
 * @size: sizeof(*stats) as the caller knows it; members beyond what the library
 *        knows are set to zero
 *
 * Return: 0, -EINVAL for @size 0, or -errno if no backend can be had.
 */
int ps_stats(struct ps_stats *stats, size_t size);

#ifdef __cplusplus
}
#endif
#pragma GCC visibility pop

#endif
