/* SPDX-License-Identifier: MIT */
/*
 * libpagespan: spans, contiguous ranges of 4 KiB pages, from anywhere.
 *
 * Like mmap and munmap: no handle, no initialisation call.  The caller keeps
 * the size; any subset of the pages it owns may be freed, by any thread, as if
 * it were a span of its own.
 *
 * Sizes are bytes and multiples of PS_PAGE_SIZE, from one page to
 * PS_SPAN_MAX.  The contents of a span are undefined until written.  A span of
 * 512 pages or more starts at a multiple of 2 MiB if a run of free pages lets it,
 * so that huge pages apply; what must be aligned is to be asked for so, see
 * ps_span_alloc_ex().
 *
 * Two backends give the same results:
 *
 *   device   /dev/pagespan: physically contiguous pages that the module has
 *            reserved.  Used when the device can be opened.
 *   memory   one anonymous reservation of this process, no module needed.
 *
 * Freed spans are cached, first by the CPU that freed them, for sizes up to 2 MiB,
 * then by the process, in one map of the pages that it keeps: see Caches.
 *
 * The first call that needs a backend chooses one, once per process.  These
 * environment variables are read then; ps_init() can take their place, and
 * what it sets counts before them:
 *
 *   PAGESPAN_BACKEND     "device" or "memory": this one, or none at all.
 *   PAGESPAN_MEMORY_MB   address space reserved by the memory backend, in MiB
 *                        (1 to 1048576; default: the machine's physical memory,
 *                        or the least memory limit of the cgroups that the process
 *                        is in, or 1 GiB under Valgrind).  See Memory.
 *   PAGESPAN_FORK        "fresh" (default) or "copy", see Fork.
 *   PAGESPAN_CACHE_MB    what the caches may hold together, in MiB (0 to 1048576), see
 *                        Caches.
 *   PAGESPAN_DECAY_MS    for how long the process keeps pages that it does not need,
 *                        in milliseconds (0 to 3600000; default: 1000), see Caches.
 *   PAGESPAN_BACKGROUND  "1": a thread of the library's gives back what is idle while
 *                        all others sleep, see Caches.
 *   PAGESPAN_DEBUG       "1": nothing is cached, so that a freed page faults at
 *                        once when it is touched (SIGBUS on the device, SIGSEGV
 *                        on the memory backend), and freeing a page that is not
 *                        owned aborts with a message that names it.  The memory
 *                        backend protects freed pages only as long as the kernel
 *                        allows more mappings (/proc/sys/vm/max_map_count);
 *                        from then on they read as zeros, and a line on standard
 *                        error says so.
 *   PAGESPAN_STATS       "1": the counters of ps_stats() are printed on standard
 *                        error when the process exits.
 *
 * Caches: each CPU has one, not each thread; a thread costs nothing.  One that is idle
 * holds at most 2 MiB and its part of a sixteenth of what the process holds.  Behind
 * them the process keeps free pages that cost nothing to take again: the kernel still
 * backs them, or on the device the process still owns them.  Any size and alignment up to
 * 2 MiB is cut from them, and what lies side by side is one run.
 *
 * All of it together is, on the memory backend, at most 96 MiB, 2 MiB for each CPU, and
 * a quarter of what is held, and not more than a quarter of the pool; CPUs that are busy
 * may have half of that.  On the device it is at most 2 MiB for each CPU and a sixteenth of
 * what is held, and not more than an eighth of the pool; with PAGESPAN_BACKGROUND=1 as on
 * the memory backend.  PAGESPAN_CACHE_MB is another bound, 0 for nothing.
 *
 * Of the pages that are kept, as many as no call has needed for PAGESPAN_DECAY_MS go
 * back, the longest runs first: by whatever thread next calls and finds nothing in its
 * CPU's cache, or has slept, or by the library's own, if there is one.  On the memory backend
 * everything goes at once, within a quarter of that time, when tasks wait for memory for a
 * tenth of it (pressure stall information, of the cgroup that has a limit or else of the
 * machine), or such a limit is near.  Whatever is cached
 * anywhere goes back before a request is refused.  On the device, whoever is refused has the
 * others asked for what they keep, and waits up to 10 ms for it.
 *
 * Memory: what the memory backend reserves is address space that cannot be
 * accessed, as much as can be had of it, and under RLIMIT_AS half of what is
 * left.  It is opened from its beginning as far as spans need it, so that only
 * this counts against RLIMIT_DATA and the commit limit (vm.overcommit_memory=2),
 * is locked by mlockall() and stands in a core dump.  What these limits refuse is
 * ENOMEM.  Pages cost memory only once touched; it is then that the kernel finds
 * that a cgroup, or without a commit limit the machine, has no more, and it kills.
 * The default size keeps spans alone below that, not what else the group does.
 *
 * Threads: every function may be called from any thread at any time.
 *
 * Signals: none is async-signal-safe, for a signal may interrupt another of
 * them.  When memory runs out the answer is ENOMEM, never a signal of the
 * library's; of the kernel's see Memory.  A call that succeeds leaves errno as it was.
 *
 * Stack: a call takes at most 2 KiB, but the first one, which opens a backend, and
 * what ends a process or forks it; the libraries bind what they call when they are
 * loaded.
 *
 * Fork: by default the child owns nothing.  Its first call opens a backend of
 * its own; the parent's spans are not mapped in it, their addresses stay out of
 * use, and freeing one there is -EINVAL.  The child of a fork that does not run
 * pthread_atfork() handlers (a bare clone()) is the same, but keeps a descriptor
 * of the device open until its first call.
 *
 * With PAGESPAN_FORK=copy the child gets the parent's live spans, copied into
 * private memory at the same addresses, and goes on using and freeing them; its
 * backend is "memory" from then on.  On the device the forking thread waits
 * until they are copied, and calls of other threads that need the backend wait
 * too; what other threads write meanwhile may or may not be in the copy.  The copy
 * is there for whatever touches it first in the child, fork handlers of others and
 * the C library included; for that, SIGSEGV is the library's while a fork is under
 * way, and what is not for it is handed on.  A child that cannot have the memory
 * aborts.
 *
 * In the child of a copy the counters go on; spans from PS_EXPORT are not in it,
 * though bytes_held counts them.
 *
 * Exec and exit give everything back.
 *
 * Descriptors: the device is one, of a high number, and with PAGESPAN_FORK=copy
 * two more of it.  A program that closes descriptors which it does not know loses
 * it; the library notices, and does nothing to a file that has the number then.
 * Spans stay usable, and freeing them succeeds, but nothing more can be taken
 * from the device: what no cache serves is ENODEV, and a copying fork aborts in
 * the child.
 *
 * Valgrind's memcheck and AddressSanitizer are told which pages are allocated.
 * Under the first, or in a program built with the second or with ThreadSanitizer,
 * nothing is cached.
 *
 * Restartable sequences make the caches of CPUs (Linux 4.18, and glibc 2.35 or another
 * that registers them).  Where there are none, a cache is whoever's that gets its lock,
 * at about four times the cost.  A child of vfork(), or of clone() that shares memory
 * without being a thread, must not call the library before it executes another
 * program: it is not registered.
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

/* The largest alignment ps_span_alloc_ex() takes: 1 GiB. */
#define PS_ALIGN_MAX (262144 * PS_PAGE_SIZE)

/**
 * ps_span_alloc() - allocate a span
 * @bytes: a multiple of PS_PAGE_SIZE, 1 page to PS_SPAN_MAX
 *
 * Return: the first byte of a page-aligned span which the caller owns, or NULL
 * with errno: EINVAL (@bytes), ENOMEM (no run of free pages is long enough, or
 * the limit or the device's quota is reached), or what opening a backend gave,
 * which is never ENOMEM: ENOENT or EACCES for a device that is not there or not
 * ours, EINVAL for an environment variable it cannot use, ENODEV when the memory
 * backend cannot reserve its address space.  ENODEV too when the program has closed
 * the device's descriptor.
 */
void *ps_span_alloc(size_t bytes);

/* Every byte of the span is 0. */
#define PS_ZERO 0x1u

/*
 * The span starts at a multiple of 2 MiB whatever its size, and the memory
 * backend asks for transparent huge pages for every whole 2 MiB of it, until all
 * of these are free again and in no cache.  Where spans with and without it would
 * split the address space into too many mappings, it does not ask.
 */
#define PS_HUGE 0x2u

/* The span is mapped when the call returns: touching it does not fault. */
#define PS_POPULATE 0x4u

/* The span is for ps_span_export(): it comes from no cache and goes to none. */
#define PS_EXPORT 0x8u

/*
 * The span will grow: it is placed where the run of free pages behind it is longest, or
 * like any other where no such place can be had.
 */
#define PS_GROWS 0x10u

/**
 * ps_span_alloc_ex() - allocate a span that has to be a certain way
 * @bytes: as ps_span_alloc()
 * @align: of the address: 0, or a power of two from PS_PAGE_SIZE to PS_ALIGN_MAX
 * @flags: PS_ZERO, PS_HUGE, PS_POPULATE, PS_EXPORT, PS_GROWS, or 0
 *
 * Freed by ps_span_free() like any other.  An alignment above 2 MiB is looked
 * for at one address after another, and comes from no cache.
 *
 * Return: as ps_span_alloc(), and NULL with errno EINVAL (@align, @flags) or
 * EOPNOTSUPP (PS_EXPORT, which only the device has).
 */
void *ps_span_alloc_ex(size_t bytes, size_t align, unsigned int flags);

/**
 * ps_span_alloc_bulk() - allocate many spans of a size
 * @bytes: of each, as ps_span_alloc()
 * @count: how many, at least 1
 * @spans: where their addresses go, @count of them
 *
 * Every one is a span of its own; they are freed in any way, in one
 * ps_span_free() where they happen to be adjacent.
 *
 * Return: 0; or -EINVAL, -ENOMEM or another error of ps_span_alloc(), and then
 * nothing is allocated and what @spans holds is undefined.
 */
int ps_span_alloc_bulk(size_t bytes, size_t count, void **spans);

/**
 * ps_span_free() - free any pages of spans
 * @ptr: page-aligned start of the range; it need not be the start of a span
 * @bytes: a multiple of PS_PAGE_SIZE, at least one page; no upper bound, and
 *         the range may cover several spans
 *
 * The pages leave the caller at once; touching them afterwards is an error, of
 * which only PAGESPAN_DEBUG=1 makes a fault for certain.
 *
 * Return: 0, or -EINVAL when the arguments are off or the range does not start
 * inside the memory that spans of this process come from, or is seen to be free
 * already: it is what was freed last of its size on this CPU, or the CPU's cache has no
 * room for it and it begins or ends with a page that the process keeps; then nothing has
 * changed.  To free a page that the process does not own is undefined otherwise, as a
 * second free() is, and where it comes to light later the process aborts with a message;
 * PAGESPAN_DEBUG=1 aborts at once.  Unlike munmap, never -ENOMEM.
 */
int ps_span_free(void *ptr, size_t bytes);

/**
 * ps_span_extend() - grow a span in place
 * @ptr: page-aligned start of pages the caller owns
 * @old_bytes: their size
 * @new_bytes: the size wanted, from @old_bytes to PS_SPAN_MAX
 *
 * The pages added are undefined in content.  Pages in any cache of the process count
 * as free, and what is cached goes back where the limit would refuse, as for an
 * allocation.
 *
 * Return: 0; -ENOMEM if the pages behind are not all free, or the limit is
 * reached, or -EINVAL for arguments that are off; then nothing has changed.
 */
int ps_span_extend(void *ptr, size_t old_bytes, size_t new_bytes);

/**
 * ps_span_resize() - make a span larger or smaller, elsewhere if need be
 * @ptr: page-aligned start of pages the caller owns, not from PS_EXPORT
 * @old_bytes: their size
 * @new_bytes: the size wanted, as ps_span_alloc()
 *
 * Shrinking frees the pages at the end.  Growing is ps_span_extend() where the pages
 * behind are free, else the contents move to another span and the old one is free;
 * the memory backend moves large ones by changing the page table instead of copying.
 * The pages added are undefined in content.
 *
 * Return: the span, or NULL with errno as ps_span_alloc(), and EINVAL for a range
 * that is not inside the memory that spans come from; then nothing has changed.
 */
void *ps_span_resize(void *ptr, size_t old_bytes, size_t new_bytes);

/**
 * ps_span_export() - make a dma-buf of pages
 * @ptr: page-aligned start of a range inside a span allocated with PS_EXPORT
 * @bytes: a multiple of PS_PAGE_SIZE, one page to PS_SPAN_MAX
 *
 * Other processes map it, drivers import it.  The pages may be freed before the
 * dma-buf is released; the kernel then keeps them, charged to this process,
 * until the last reference is gone.
 *
 * Return: a file descriptor with O_CLOEXEC set, owned by the caller; or -EINVAL
 * for a range that is not all owned or not from PS_EXPORT, -EOPNOTSUPP on
 * the memory backend, -EMFILE, -ENFILE or -ENOMEM.
 */
int ps_span_export(void *ptr, size_t bytes);

/**
 * ps_trim() - give cached pages back to the backend
 * @keep_bytes: a multiple of PS_PAGE_SIZE; how much the process may go on keeping
 *
 * Empties the caches of all CPUs, and of the pages that the process keeps gives back
 * what is more than @keep_bytes.  What other threads free meanwhile is cached again.
 *
 * Return: 0, or -EINVAL (@keep_bytes).
 */
int ps_trim(size_t keep_bytes);

/**
 * ps_reclaim() - give back everything that is cached
 *
 * As ps_trim(0).
 *
 * Return: how many bytes went back to the backend.
 */
uint64_t ps_reclaim(void);

/**
 * ps_thread_flush() - nothing any more
 *
 * Threads cache nothing: CPUs do.  Kept for programs that call it.
 */
void ps_thread_flush(void);

/**
 * ps_limit_set() - limit what this process may take
 * @bytes: a multiple of PS_PAGE_SIZE; 0 or UINT64_MAX for no limit (the default)
 *
 * Counts what is held and what is cached.  An allocation that would exceed the
 * limit first makes all caches give back what they hold, then fails with ENOMEM.
 * What fails counts nowhere, and makes
 * no request of another thread fail that fits.  A limit below what is taken frees
 * nothing; it only refuses more.  A child of a fork starts without one.
 *
 * Return: 0, or -EINVAL (@bytes).
 */
int ps_limit_set(uint64_t bytes);

/**
 * ps_backend() - name the backend in use
 *
 * Chooses one if none was needed so far.
 *
 * Return: "device" or "memory" (static strings), or NULL with errno if none
 * can be had.
 */
const char *ps_backend(void);

/* What becomes of spans in the child of a fork; PS_FORK_DEFAULT asks PAGESPAN_FORK. */
enum ps_fork {
	PS_FORK_DEFAULT = 0,
	PS_FORK_FRESH = 1,
	PS_FORK_COPY = 2,
};

/* For ps_config.decay_ms: nothing is kept that the caches of CPUs cannot hold. */
#define PS_DECAY_AT_ONCE UINT32_MAX

/**
 * struct ps_config - choices that ps_init() makes
 * @backend: "device", "memory", or NULL to ask PAGESPAN_BACKEND
 * @memory_bytes: as PAGESPAN_MEMORY_MB, in bytes, a multiple of 1 MiB up to
 *                1 TiB; 0 to ask that variable.  Where less can be reserved,
 *                less it is: see ps_stats.bytes_pool
 * @limit_bytes: as ps_limit_set()
 * @fork: enum ps_fork
 * @debug: 1 for debug mode; 0 to ask PAGESPAN_DEBUG
 * @cache_bytes: as PAGESPAN_CACHE_MB, in bytes, a multiple of PS_PAGE_SIZE up to
 *               1 TiB; 0 to ask that variable
 * @decay_ms: as PAGESPAN_DECAY_MS, up to 3600000, or PS_DECAY_AT_ONCE; 0 to ask that
 *            variable
 * @background: 1 for a thread of the library's; 0 to ask PAGESPAN_BACKGROUND
 *
 * All zeros is what happens without ps_init().  Members will be added at the
 * end, with 0 for what happens without them.
 */
struct ps_config {
	const char *backend;
	uint64_t memory_bytes;
	uint64_t limit_bytes;
	uint32_t fork;
	uint32_t debug;
	uint64_t cache_bytes;
	uint32_t decay_ms;
	uint32_t background;
};

/**
 * ps_init() - choose instead of leaving it to the environment
 * @config: read during the call
 * @size: sizeof(*config) as the caller knows it
 *
 * Optional.  To be called before any other function, once.  In the child of a
 * fork that starts afresh the choices still hold, the limit excepted; there
 * ps_init() may be called again.
 *
 * Return: 0; -EALREADY if a backend is open; -E2BIG if @size is larger than the
 * library knows and a byte beyond is not 0; -EINVAL for other values that are
 * off; or what opening the backend gave, as for ps_span_alloc().
 */
int ps_init(const struct ps_config *config, size_t size);

/**
 * struct ps_stats - what this process has done with spans
 * @spans_allocated: spans given to callers
 * @spans_freed: successful ps_span_free() calls
 * @bytes_held: owned by callers now; what is cached is not
 * @bytes_peak: the most that was held and cached together at one time
 * @bytes_pool: what the backend can give out at most, to everybody together
 * @bytes_cached: in caches now, those of CPUs and what the process keeps
 * @bytes_limit: as set by ps_limit_set(), or UINT64_MAX
 * @cache_hits: allocations that the cache of a CPU served, without the long way
 * @refills: calls that took spans from the backend
 * @spans_refilled: spans they took
 * @flushes: calls that gave pages back to the backend
 * @spans_flushed: spans they gave
 * @handovers: requests served from the pages that the process keeps
 * @purges: bytes that went back for their age, or because too much was kept
 * @slot_remaps: 2 MiB parts of the device's window mapped anew, to take a huge
 *               page again
 * @caches: CPUs that have a cache
 * @unprotected: frees in debug mode after which the pages could not be protected
 * @bytes_kept: of @bytes_cached, what the process keeps behind the caches of CPUs
 *
 * Counted since the process's first call, or since fork.  Arenas are counted
 * through the spans they use.  While other threads allocate and free, the
 * figures are not of one moment.
 */
struct ps_stats {
	uint64_t spans_allocated;
	uint64_t spans_freed;
	uint64_t bytes_held;
	uint64_t bytes_peak;
	uint64_t bytes_pool;
	uint64_t bytes_cached;
	uint64_t bytes_limit;
	uint64_t cache_hits;
	uint64_t refills;
	uint64_t spans_refilled;
	uint64_t flushes;
	uint64_t spans_flushed;
	uint64_t handovers;
	uint64_t purges;
	uint64_t slot_remaps;
	uint64_t caches;
	uint64_t unprotected;
	uint64_t bytes_kept;
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
