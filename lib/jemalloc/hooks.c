// SPDX-License-Identifier: MIT
/*
 * libpagespan-jemalloc.so: the memory of an unmodified program in spans.
 *
 * Preloaded before jemalloc, it makes every automatic arena of jemalloc 5 take its
 * extents from spans.  What spans cannot serve, because it is too large, too
 * aligned or the pool is full, is mapped anonymously; from its address one tells
 * which of the two an extent is.
 *
 * Nothing here may call malloc(): jemalloc does not expect it of hooks, and the
 * allocation under way may be the one that hooks would wait for.
 *
 * It is linked with -z initfirst.  Handlers of a fork run in the child in the
 * order in which they were registered, and jemalloc's touch memory that
 * libpagespan's has to bring there first.  The other way round before the fork:
 * libpagespan's locks are the last to be taken, since jemalloc waits for them
 * while it holds its own.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "pagespan.h"

/* extent_hooks_t of jemalloc 5. All but alloc and destroy return true when they refuse. */
struct extent_hooks {
	void *(*alloc)(struct extent_hooks *hooks, void *at, size_t bytes, size_t align, bool *zero,
		       bool *commit, unsigned int arena);
	bool (*dalloc)(struct extent_hooks *hooks, void *extent, size_t bytes, bool committed,
		       unsigned int arena);
	void (*destroy)(struct extent_hooks *hooks, void *extent, size_t bytes, bool committed,
			unsigned int arena);
	bool (*commit)(struct extent_hooks *hooks, void *extent, size_t bytes, size_t offset,
		       size_t length, unsigned int arena);
	bool (*decommit)(struct extent_hooks *hooks, void *extent, size_t bytes, size_t offset,
			 size_t length, unsigned int arena);
	bool (*purge_lazy)(struct extent_hooks *hooks, void *extent, size_t bytes, size_t offset,
			   size_t length, unsigned int arena);
	bool (*purge_forced)(struct extent_hooks *hooks, void *extent, size_t bytes, size_t offset,
			     size_t length, unsigned int arena);
	bool (*split)(struct extent_hooks *hooks, void *extent, size_t bytes, size_t first_bytes,
		      size_t second_bytes, bool committed, unsigned int arena);
	bool (*merge)(struct extent_hooks *hooks, void *first, size_t first_bytes, void *second,
		      size_t second_bytes, bool committed, unsigned int arena);
};

/* Absent where jemalloc is not preloaded, or has its names prefixed. */
extern int mallctlnametomib(const char *name, size_t *mib, size_t *length) __attribute__((weak));
extern int mallctlbymib(const size_t *mib, size_t length, void *old, size_t *old_bytes, void *value,
			size_t value_bytes) __attribute__((weak));
extern int mallctl(const char *name, void *old, size_t *old_bytes, void *value, size_t value_bytes)
	__attribute__((weak));

/*
 * What jemalloc reads before MALLOC_CONF, which may overrule it.  What is free goes
 * back at once, for spans are cheap to get again; nothing is taken in advance; and
 * large allocations have no arena of their own, which could not be given hooks.
 */
__attribute__((visibility("default"))) const char *malloc_conf =
	"retain:false,dss:disabled,oversize_threshold:0,dirty_decay_ms:0,muzzy_decay_ms:0";

/* ---- which is which ------------------------------------------------------------------------ */

/* The lowest and highest address that a span had: all between is the window's. */
static _Atomic uintptr_t spans_begin = UINTPTR_MAX;
static _Atomic uintptr_t spans_end;

static void note_span(const void *span, size_t bytes)
{
	uintptr_t begin = (uintptr_t)span;
	uintptr_t end = begin + bytes;
	uintptr_t known = atomic_load_explicit(&spans_begin, memory_order_relaxed);

	while (begin < known && !atomic_compare_exchange_weak(&spans_begin, &known, begin))
		;
	known = atomic_load_explicit(&spans_end, memory_order_relaxed);
	while (end > known && !atomic_compare_exchange_weak(&spans_end, &known, end))
		;
}

static bool is_span(const void *extent)
{
	uintptr_t address = (uintptr_t)extent;

	return address >= atomic_load_explicit(&spans_begin, memory_order_relaxed) &&
	       address < atomic_load_explicit(&spans_end, memory_order_relaxed);
}

/* ---- giving back ---------------------------------------------------------------------------- */

/*
 * A program that lets go of much may fall silent then, and no call come that would
 * make libpagespan's caches decay.  So they are emptied when a thread has freed so much
 * more than it has taken since.
 */
#define RELEASED_MOST ((size_t)4 << 20)

static _Thread_local size_t released __attribute__((tls_model("initial-exec")));

static void note_taken(size_t bytes)
{
	released -= bytes < released ? bytes : released;
}

static void note_released(size_t bytes)
{
	released += bytes;
	if (released >= RELEASED_MOST) {
		released = 0;
		ps_trim(0);
	}
}

/* ---- extents ------------------------------------------------------------------------------- */

static void *take_mapping(size_t bytes, size_t align)
{
	size_t slack = align > PS_PAGE_SIZE ? align - PS_PAGE_SIZE : 0;
	size_t head;
	char *raw;

	if (bytes > SIZE_MAX - slack)
		return NULL;
	raw = mmap(NULL, bytes + slack, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (raw == MAP_FAILED)
		return NULL;
	head = -(uintptr_t)raw % align;
	if (head)
		munmap(raw, head);
	if (slack > head)
		munmap(raw + head + bytes, slack - head);
	return raw + head;
}

static void *take_span(size_t bytes, size_t align, bool zero)
{
	void *span = ps_span_alloc_ex(bytes, align, zero ? PS_ZERO : 0);

	if (span) {
		note_span(span, bytes);
		note_taken(bytes);
	}
	return span;
}

/* More pages behind an extent, which is the caller's up to @at. */
static void *take_behind(char *at, size_t bytes, bool zero)
{
	if (bytes > PS_SPAN_MAX - PS_PAGE_SIZE ||
	    ps_span_extend(at - PS_PAGE_SIZE, PS_PAGE_SIZE, PS_PAGE_SIZE + bytes))
		return NULL;
	note_span(at, bytes);
	note_taken(bytes);
	if (zero)
		memset(at, 0, bytes);
	return at;
}

static void *alloc_mapping(struct extent_hooks *hooks, void *at, size_t bytes, size_t align,
			   bool *zero, bool *commit, unsigned int arena)
{
	void *extent = at ? NULL : take_mapping(bytes, align);

	(void)hooks;
	(void)arena;
	if (extent)
		*zero = *commit = true;
	return extent;
}

/*
 * What an arena begins with, for what it keeps about itself: 2 MiB, of which it touches
 * little, and many arenas are never used.
 */
static void *alloc_metadata(struct extent_hooks *hooks, void *at, size_t bytes, size_t align,
			    bool *zero, bool *commit, unsigned int arena)
{
	void *extent = alloc_mapping(hooks, at, bytes, align, zero, commit, arena);

	if (extent)
		madvise(extent, bytes, MADV_NOHUGEPAGE);
	return extent;
}

/* A program may look at errno after an allocation that succeeded. */
static void *alloc_span(struct extent_hooks *hooks, void *at, size_t bytes, size_t align,
			bool *zero, bool *commit, unsigned int arena)
{
	int error = errno;
	void *extent = at ? take_behind(at, bytes, *zero) : take_span(bytes, align, *zero);

	if (extent)
		*commit = true;
	else
		extent = alloc_mapping(hooks, at, bytes, align, zero, commit, arena);
	errno = error;
	return extent;
}

static bool free_span(void *span, size_t bytes)
{
	if (ps_span_free(span, bytes))
		return false;
	note_released(bytes);
	return true;
}

static bool free_extent(struct extent_hooks *hooks, void *extent, size_t bytes, bool committed,
			unsigned int arena)
{
	int error = errno;
	bool freed = is_span(extent) ? free_span(extent, bytes) : !munmap(extent, bytes);

	(void)hooks;
	(void)committed;
	(void)arena;
	errno = error;
	return !freed;
}

static void destroy_extent(struct extent_hooks *hooks, void *extent, size_t bytes, bool committed,
			   unsigned int arena)
{
	free_extent(hooks, extent, bytes, committed, arena);
}

/* Asked for when a mapping could not be unmapped, or its pages are to read as zeros. */
static bool purge(struct extent_hooks *hooks, void *extent, size_t bytes, size_t offset,
		  size_t length, unsigned int arena)
{
	int error = errno;
	bool refused = is_span(extent) || madvise((char *)extent + offset, length, MADV_DONTNEED);

	(void)hooks;
	(void)bytes;
	(void)arena;
	errno = error;
	return refused;
}

/* Any pages of either can be given back by themselves. */
static bool split(struct extent_hooks *hooks, void *extent, size_t bytes, size_t first_bytes,
		  size_t second_bytes, bool committed, unsigned int arena)
{
	(void)hooks;
	(void)extent;
	(void)bytes;
	(void)first_bytes;
	(void)second_bytes;
	(void)committed;
	(void)arena;
	return false;
}

static bool merge(struct extent_hooks *hooks, void *first, size_t first_bytes, void *second,
		  size_t second_bytes, bool committed, unsigned int arena)
{
	(void)hooks;
	(void)first_bytes;
	(void)second_bytes;
	(void)committed;
	(void)arena;
	return is_span(first) != is_span(second);
}

/* ---- installing ---------------------------------------------------------------------------- */

/* For good: arenas hold on to it.  Once they are made, alloc is alloc_span(). */
static struct extent_hooks hooks = {
	.alloc = alloc_metadata,
	.dalloc = free_extent,
	.destroy = destroy_extent,
	.purge_forced = purge,
	.split = split,
	.merge = merge,
};

static void complain(const char *what, const char *why)
{
	dprintf(STDERR_FILENO, "pagespan: memory is not in spans: %s%s\n", what, why);
}

/* Makes every automatic arena with the hooks, or gives them to it; 0 or an error number. */
static int give_hooks(void)
{
	struct extent_hooks *given = &hooks;
	unsigned int nr_arenas, arena;
	size_t bytes = sizeof(nr_arenas);
	size_t mib[3];
	size_t length = sizeof(mib) / sizeof(mib[0]);
	int error;

	error = mallctl("opt.narenas", &nr_arenas, &bytes, NULL, 0);
	if (!error)
		error = mallctlnametomib("arena.0.extent_hooks", mib, &length);
	for (arena = 0; !error && arena < nr_arenas; arena++) {
		mib[1] = arena;
		error = mallctlbymib(mib, length, NULL, NULL, &given, sizeof(void *));
	}
	return error;
}

/* Before the C library is initialised, which is not needed here but for the environment. */
__attribute__((constructor)) static void install(int argc, char **argv, char **envp)
{
	struct ps_config config = {.fork = PS_FORK_COPY};
	int error;

	(void)argc;
	(void)argv;
	if (!environ)
		environ = envp;
	if (!mallctl || !mallctlnametomib || !mallctlbymib) {
		complain("jemalloc is not preloaded", "");
		return;
	}
	error = -ps_init(&config, sizeof(config));
	if (error) {
		complain("no backend can be opened: ", strerrordesc_np(error));
		return;
	}
	error = give_hooks();
	if (error) {
		complain("this jemalloc takes no hooks: ", strerrordesc_np(error));
		return;
	}
	hooks.alloc = alloc_span;
}
