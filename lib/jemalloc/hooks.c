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
 * What jemalloc is told before MALLOC_CONF, which may overrule it.  It keeps what is free for a
 * while, for what is touched again then costs nothing.  On the memory backend that is as long as
 * ever, and it takes spans in regions, of which it keeps the addresses, as ever too: less is held
 * with them, and pages that nobody touches cost nothing.  On the device they do, and others may
 * want them: there a span is what is asked for, and comes back when it has been free as long as
 * pagespan keeps any. Large allocations have no arena of their own, which could not be given hooks.
 */
#define ALWAYS "dss:disabled,oversize_threshold:0,muzzy_decay_ms:0"

__attribute__((visibility("default"))) const char *malloc_conf = ALWAYS ",retain:true";

static const char on_device[] = ALWAYS ",retain:false,dirty_decay_ms:1000";

/* Without a limit arenas would take more each time. */
#define REGION_BYTES ((size_t)8 << 20)

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

	if (span)
		note_span(span, bytes);
	return span;
}

/* More pages behind an extent, which is the caller's up to @at. */
static void *take_behind(char *at, size_t bytes, bool zero)
{
	if (bytes > PS_SPAN_MAX - PS_PAGE_SIZE ||
	    ps_span_extend(at - PS_PAGE_SIZE, PS_PAGE_SIZE, PS_PAGE_SIZE + bytes))
		return NULL;
	note_span(at, bytes);
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

static bool free_extent(struct extent_hooks *hooks, void *extent, size_t bytes, bool committed,
			unsigned int arena)
{
	int error = errno;
	bool kept = is_span(extent) ? ps_span_free(extent, bytes) : munmap(extent, bytes);

	(void)hooks;
	(void)committed;
	(void)arena;
	errno = error;
	return kept;
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

/* Of every automatic arena; 0 or an error number. */
static int set_for_arenas(const char *name, void *value, size_t value_bytes)
{
	unsigned int nr_arenas, arena;
	size_t bytes = sizeof(nr_arenas);
	size_t mib[3];
	size_t length = sizeof(mib) / sizeof(mib[0]);
	int error;

	error = mallctl("opt.narenas", &nr_arenas, &bytes, NULL, 0);
	if (!error)
		error = mallctlnametomib(name, mib, &length);
	for (arena = 0; !error && arena < nr_arenas; arena++) {
		mib[1] = arena;
		error = mallctlbymib(mib, length, NULL, NULL, value, value_bytes);
	}
	return error;
}

/* Makes every arena with the hooks, or gives them to it; 0 or an error number. */
static int give_hooks(void)
{
	struct extent_hooks *given = &hooks;
	size_t most = REGION_BYTES;
	int error = set_for_arenas("arena.0.extent_hooks", &given, sizeof(void *));

	/* There is none with retain:false. */
	if (!error)
		set_for_arenas("arena.0.retain_grow_limit", &most, sizeof(most));
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
	if (!strcmp(ps_backend(), "device"))
		malloc_conf = on_device;
	error = give_hooks();
	if (error) {
		complain("this jemalloc takes no hooks: ", strerrordesc_np(error));
		return;
	}
	hooks.alloc = alloc_span;
}
