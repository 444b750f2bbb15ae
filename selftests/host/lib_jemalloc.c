// SPDX-License-Identifier: MIT
/*
 * What pagespan-run promises of malloc() and of fork(), seen from inside a program that it runs, the
 * same on both backends.  The pool, or PAGESPAN_MEMORY_MB, is to be of some 100 MiB.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <malloc.h>
#include <pagespan.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "../in_child.h"
#include "tap.h"

#define PAGE PS_PAGE_SIZE
#define MB   ((size_t)1 << 20)

/* An alignment that no span has. */
#define BEYOND (2 * PS_ALIGN_MAX)

/* The hooks as jemalloc knows them. */
typedef struct hooks hooks_t;
struct hooks {
	void *(*alloc)(hooks_t *, void *, size_t, size_t, bool *, bool *, unsigned int);
	bool (*dalloc)(hooks_t *, void *, size_t, bool, unsigned int);
	void (*destroy)(hooks_t *, void *, size_t, bool, unsigned int);
	bool (*commit)(hooks_t *, void *, size_t, size_t, size_t, unsigned int);
	bool (*decommit)(hooks_t *, void *, size_t, size_t, size_t, unsigned int);
	bool (*purge_lazy)(hooks_t *, void *, size_t, size_t, size_t, unsigned int);
	bool (*purge_forced)(hooks_t *, void *, size_t, size_t, size_t, unsigned int);
	bool (*split)(hooks_t *, void *, size_t, size_t, size_t, bool, unsigned int);
	bool (*merge)(hooks_t *, void *, size_t, void *, size_t, bool, unsigned int);
};

static hooks_t *hooks;
static int (*control)(const char *, void *, size_t *, void *, size_t);
static int (*read_stats)(struct ps_stats *, size_t);

static hooks_t *hooks_of(unsigned int arena)
{
	char name[64];
	hooks_t *found = NULL;
	size_t bytes = sizeof(found);

	snprintf(name, sizeof(name), "arena.%u.extent_hooks", arena);
	return control(name, &found, &bytes, NULL, 0) ? NULL : found;
}

static size_t held(void)
{
	struct ps_stats stats = {0};

	read_stats(&stats, sizeof(stats));
	return stats.bytes_held;
}

static char *take_at(void *at, size_t bytes, size_t align, bool *zero)
{
	bool commit = true;

	return hooks->alloc(hooks, at, bytes, align, zero, &commit, 0);
}

static char *take(size_t bytes, size_t align)
{
	bool zero = false;

	return take_at(NULL, bytes, align, &zero);
}

static bool give(void *extent, size_t bytes)
{
	return !hooks->dalloc(hooks, extent, bytes, true, 0);
}

static bool on_device(void)
{
	const char *(*backend)(void) = (const char *(*)(void))dlsym(RTLD_DEFAULT, "ps_backend");

	return !strcmp(backend(), "device");
}

static long nr_faults(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return usage.ru_minflt;
}

static bool is_zero(const char *at, size_t bytes)
{
	while (bytes--)
		if (at[bytes])
			return false;
	return true;
}

static bool every_arena_has_the_hooks(void)
{
	unsigned int nr_arenas, arena;
	size_t bytes = sizeof(nr_arenas);
	Dl_info info;

	if (control("opt.narenas", &nr_arenas, &bytes, NULL, 0) || !nr_arenas)
		return false;
	for (arena = 0; arena < nr_arenas; arena++)
		if (hooks_of(arena) != hooks)
			return false;
	return dladdr((void *)hooks->dalloc, &info) &&
	       strstr(info.dli_fname, "libpagespan-jemalloc.so");
}

/* Of the hooks themselves: what is a span is counted as held. */
static bool extents_are_spans(void)
{
	size_t before = held();
	char *extent = take(37 * PAGE, PAGE);
	char *aligned = take(5 * PAGE, 2 * MB);
	bool kept = extent && aligned && (uintptr_t)aligned % (2 * MB) == 0 &&
		    held() == before + 42 * PAGE;

	return kept && give(extent, 37 * PAGE) && give(aligned, 5 * PAGE) && held() == before;
}

static bool what_no_span_can_be_is_mapped(void)
{
	size_t before = held();
	char *large = take(PS_SPAN_MAX + PAGE, PAGE);
	char *aligned = take(3 * PAGE, BEYOND);
	bool kept = large && aligned && (uintptr_t)aligned % (BEYOND) == 0 && held() == before;

	if (!kept)
		return false;
	large[0] = large[PS_SPAN_MAX] = aligned[3 * PAGE - 1] = 1;
	return give(large, PS_SPAN_MAX + PAGE) && give(aligned, 3 * PAGE) && held() == before;
}

static bool zeros_are_given_where_asked_for(void)
{
	char *extent = take(8 * PAGE, PAGE);
	bool zero = true;
	bool kept;

	if (!extent)
		return false;
	memset(extent, 7, 8 * PAGE);
	give(extent, 8 * PAGE);
	extent = take_at(NULL, 8 * PAGE, PAGE, &zero);
	kept = extent && zero && is_zero(extent, 8 * PAGE);
	return give(extent, 8 * PAGE) && kept;
}

static bool part_of_an_extent_goes_back(void)
{
	size_t before = held();
	char *extent = take(10 * PAGE, PAGE);
	bool kept = !hooks->split(hooks, extent, 10 * PAGE, 3 * PAGE, 7 * PAGE, true, 0) &&
		    give(extent + 3 * PAGE, 7 * PAGE) && held() == before + 3 * PAGE;

	return give(extent, 3 * PAGE) && kept;
}

static bool spans_merge_with_spans_alone(void)
{
	char *first = take(2 * PAGE, PAGE);
	char *second = take(2 * PAGE, PAGE);
	char *mapping = take(PAGE, BEYOND);
	char *other = take(PAGE, BEYOND);
	bool kept = !hooks->merge(hooks, first, 2 * PAGE, second, 2 * PAGE, true, 0) &&
		    !hooks->merge(hooks, mapping, PAGE, other, PAGE, true, 0) &&
		    hooks->merge(hooks, first, 2 * PAGE, mapping, PAGE, true, 0) &&
		    hooks->merge(hooks, mapping, PAGE, first, 2 * PAGE, true, 0);

	return give(first, 2 * PAGE) && give(second, 2 * PAGE) && give(mapping, PAGE) &&
	       give(other, PAGE) && kept;
}

/* Only what then reads as zeros may be called purged. */
static bool mappings_are_purged_and_spans_are_not(void)
{
	char *span = take(4 * PAGE, PAGE);
	char *mapping = take(4 * PAGE, BEYOND);
	bool kept;

	memset(span, 5, 4 * PAGE);
	memset(mapping, 5, 4 * PAGE);
	kept = hooks->purge_forced(hooks, span, 4 * PAGE, PAGE, PAGE, 0) && span[PAGE] == 5 &&
	       !hooks->purge_forced(hooks, mapping, 4 * PAGE, PAGE, PAGE, 0) &&
	       mapping[PAGE - 1] == 5 && is_zero(mapping + PAGE, PAGE) && mapping[2 * PAGE] == 5;
	return give(span, 4 * PAGE) && give(mapping, 4 * PAGE) && kept;
}

static bool extents_grow_in_place(void)
{
	char *extent = take(1600 * PAGE, PAGE);
	char *mapping = take(PAGE, BEYOND);
	bool zero = true;
	char *more;
	bool kept;

	/* The end of it is free then, and too long for a cache. */
	memset(extent, 9, 1600 * PAGE);
	give(extent + 600 * PAGE, 1000 * PAGE);
	more = take_at(extent + 600 * PAGE, 400 * PAGE, PAGE, &zero);
	kept = more == extent + 600 * PAGE && is_zero(more, 400 * PAGE) &&
	       !take_at(extent + 5 * PAGE, PAGE, PAGE, &zero) &&
	       !take_at(mapping + PAGE, PAGE, PAGE, &zero) &&
	       !take_at(more + 400 * PAGE, PS_SPAN_MAX, PAGE, &zero);
	return give(extent, 1000 * PAGE) && give(mapping, PAGE) && kept;
}

static bool errno_is_left_alone(void)
{
	char *large, *small;

	errno = ERANGE;
	large = malloc(300 * MB);
	small = malloc(100000);
	free(small);
	free(large);
	return large && small && errno == ERANGE;
}

/* What jemalloc is done with, for which it would take its ten seconds; what is held then. */
static size_t held_after_purge(void)
{
	return control("arena.4096.purge", NULL, NULL, NULL, 0) ? SIZE_MAX : held();
}

/* Pages that nobody touches cost the pool of the device. */
static bool regions_are_for_the_memory_backend(void)
{
	bool retain;
	size_t bytes = sizeof(retain);

	return !control("opt.retain", &retain, &bytes, NULL, 0) && retain == !on_device();
}

/* Beyond the pool a program gets other memory, and all comes back, but for addresses. */
static bool full_pool_is_no_failure(void)
{
	enum { NR = 400 };
	char *blocks[NR];
	size_t before = held_after_purge();
	bool kept = true;
	size_t i;

	for (i = 0; i < NR; i++) {
		blocks[i] = malloc(MB);
		kept &= blocks[i] != NULL;
		if (blocks[i])
			memset(blocks[i], (int)i, MB);
	}
	kept &= held() < before + NR * MB;
	for (i = 0; i < NR; i++) {
		kept &= blocks[i] && blocks[i][0] == (char)i && blocks[i][MB - 1] == (char)i;
		free(blocks[i]);
	}
	return kept && (held_after_purge() < before + 5 * MB || !on_device());
}

/* ---- a program's life ---------------------------------------------------------------------- */

static _Atomic bool over, wrong;

struct block {
	unsigned char *at;
	size_t bytes;
	unsigned char value;
};

static uint64_t random_next(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

static void fill(struct block *block, uint64_t value)
{
	block->value = (unsigned char)value;
	block->at[0] = block->at[block->bytes / 2] = block->at[block->bytes - 1] = block->value;
}

static bool is_intact(const struct block *block)
{
	return block->at[0] == block->value && block->at[block->bytes / 2] == block->value &&
	       block->at[block->bytes - 1] == block->value;
}

/* From a few bytes to megabytes, small ones more often. */
static size_t random_bytes(uint64_t *state)
{
	return 1 + random_next(state) % ((size_t)64 << random_next(state) % 15);
}

static bool change(struct block *block, uint64_t *state)
{
	size_t bytes = random_bytes(state);
	unsigned char *at;

	if (block->at && !is_intact(block))
		return false;
	switch (random_next(state) % 4) {
	case 0:
		free(block->at);
		block->at = calloc(1, bytes);
		if (block->at && (block->at[0] || block->at[bytes / 2] || block->at[bytes - 1]))
			return false;
		break;
	case 1:
		free(block->at);
		block->at = memalign((size_t)16 << random_next(state) % 12, bytes);
		break;
	case 2:
		at = realloc(block->at, bytes);
		if (at && block->at && at[0] != block->value)
			return false;
		block->at = at;
		break;
	default:
		free(block->at);
		block->at = malloc(bytes);
	}
	if (!block->at)
		return false;
	block->bytes = bytes;
	fill(block, random_next(state));
	return true;
}

#define NR_BLOCKS 64

static bool live(uint64_t seed, unsigned int steps)
{
	struct block blocks[NR_BLOCKS] = {0};
	uint64_t state = seed;
	bool kept = true;
	size_t i;

	for (; kept && steps && !over; steps--)
		kept = change(&blocks[random_next(&state) % NR_BLOCKS], &state);
	for (i = 0; i < NR_BLOCKS; i++) {
		kept &= !blocks[i].at || is_intact(&blocks[i]);
		free(blocks[i].at);
	}
	return kept;
}

static void *thread(void *seed)
{
	while (!over)
		if (!live((uintptr_t)seed, 500))
			wrong = over = true;
	return NULL;
}

/* Children of a fork beside threads that allocate own what there was, and go on. */
static bool forks_beside_threads_that_allocate(void)
{
	enum { THREADS = 3, FORKS = 15 };
	pthread_t threads[THREADS];
	struct block block = {.bytes = 5 * MB};
	bool kept = true;
	uintptr_t i;

	block.at = malloc(block.bytes);
	fill(&block, 77);
	over = wrong = false;
	for (i = 0; i < THREADS; i++)
		pthread_create(&threads[i], NULL, thread, (void *)(i + 1));
	for (i = 0; i < FORKS; i++)
		kept &= !IN_CHILD(
			if (!is_intact(&block)) _exit(1);
			free(block.at);
			if (!live(i + 100, 500)) _exit(2);
			if (IN_CHILD(_exit(!live(i + 200, 200)))) _exit(3));
	over = true;
	for (i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	over = false;
	kept &= is_intact(&block) && !wrong;
	free(block.at);
	return kept;
}

static void *sleeper(void *lock)
{
	pthread_mutex_lock(lock);
	pthread_mutex_unlock(lock);
	return NULL;
}

/*
 * In the child of a process with threads the C library writes to its own allocations, open files
 * and values of many keys, before any handler of a fork runs.
 */
static bool forks_with_what_the_c_library_allocated(void)
{
	enum { KEYS = 40 };
	pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	pthread_key_t keys[KEYS];
	pthread_t waiting;
	FILE *file = fopen("/dev/null", "w");
	bool kept;
	int i;

	for (i = 0; i < KEYS; i++) {
		pthread_key_create(&keys[i], NULL);
		pthread_setspecific(keys[i], file);
	}
	pthread_mutex_lock(&lock);
	pthread_create(&waiting, NULL, sleeper, &lock);
	kept = !IN_CHILD(_exit(fprintf(file, "%d\n", 1) != 2 || fclose(file) ||
			       pthread_getspecific(keys[KEYS - 1]) != file));
	pthread_mutex_unlock(&lock);
	pthread_join(waiting, NULL);
	fclose(file);
	for (i = 0; i < KEYS; i++)
		pthread_key_delete(keys[i]);
	return kept;
}

/* Until it gives it up, what is free is jemalloc's; then no more is than the rest of a region. */
static bool memory_comes_back(void)
{
	enum { NR = 3000 };
	void *blocks[NR];
	bool kept = live(9, 3000);
	size_t before = held_after_purge();
	int i;

	for (i = 0; i < NR; i++)
		blocks[i] = memset(malloc(10000), 1, 10000);
	kept &= held() > before + 25 * MB;
	for (i = 0; i < NR; i++)
		free(blocks[i]);
	return kept && held_after_purge() < before + 10 * MB;
}

/* Buffers of a megabyte and less that come and go: their pages are there again, and no span is asked for. */
static bool what_is_free_does_not_fault_again(void)
{
	enum { NR = 16, WAVES = 200, WARM_UP = 5, PAGES_A_WAVE = 3000 };
	char *blocks[NR];
	struct ps_stats before = {0}, after = {0};
	long faults = 0;
	int wave, i;

	for (wave = 0; wave < WAVES; wave++) {
		if (wave == WARM_UP) {
			faults = nr_faults();
			read_stats(&before, sizeof(before));
		}
		for (i = 0; i < NR; i++)
			blocks[i] = memset(malloc(MB - i * 40000), 1, MB - i * 40000);
		for (i = 0; i < NR; i++)
			free(blocks[i]);
	}
	faults = nr_faults() - faults;
	read_stats(&after, sizeof(after));
	printf("# %ld faults, %llu spans\n", faults,
	       (unsigned long long)(after.spans_allocated - before.spans_allocated));
	/* On the device some goes back after a second, which a slow machine takes for this. */
	if (on_device())
		return faults < WAVES * PAGES_A_WAVE / 4;
	return faults < 2 * PAGES_A_WAVE && after.spans_allocated - before.spans_allocated < WAVES / 10;
}

int main(void)
{
	control = (int (*)(const char *, void *, size_t *, void *, size_t))dlsym(RTLD_DEFAULT, "mallctl");
	read_stats = (int (*)(struct ps_stats *, size_t))dlsym(RTLD_DEFAULT, "ps_stats");
	tap_begin();
	hooks = control && read_stats ? hooks_of(0) : NULL;
	if (!hooks) {
		tap_result(false, "jemalloc.preloads_are_there");
		return tap_end();
	}
#define PROMISE(test) tap_result(test(), "jemalloc." #test)
	PROMISE(every_arena_has_the_hooks);
	PROMISE(extents_are_spans);
	PROMISE(regions_are_for_the_memory_backend);
	PROMISE(what_no_span_can_be_is_mapped);
	PROMISE(zeros_are_given_where_asked_for);
	PROMISE(part_of_an_extent_goes_back);
	PROMISE(spans_merge_with_spans_alone);
	PROMISE(mappings_are_purged_and_spans_are_not);
	PROMISE(extents_grow_in_place);
	PROMISE(memory_comes_back);
	PROMISE(what_is_free_does_not_fault_again);
	PROMISE(full_pool_is_no_failure);
	/* Takes a mapping, of which the rest serves others. */
	PROMISE(errno_is_left_alone);
	PROMISE(forks_beside_threads_that_allocate);
	PROMISE(forks_with_what_the_c_library_allocated);
	return tap_end();
}
