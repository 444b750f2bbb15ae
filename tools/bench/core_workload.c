// SPDX-License-Identifier: MIT
/* The workloads: a pool at an occupancy, spans that come and go, a clock around every operation. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#if defined(__x86_64__)
#include <x86intrin.h>
#endif

#include "core.h"

#define MEGABLOCK   512
#define MAX_SPAN    65536
#define PAGES_A_PIN 8192

const struct workload workload_a = {"a", "one page, 90 %", SIZES_ONE, 0.90, false, false};
const struct workload workload_b70 = {"b70", "1..512, 70 %", SIZES_TO_512, 0.70, false, false};
const struct workload workload_b90 = {"b90", "1..512, 90 %", SIZES_TO_512, 0.90, false, false};
const struct workload workload_b97 = {"b97", "1..512, 97 %", SIZES_TO_512, 0.97, false, false};
const struct workload workload_c = {"c",  "512..16384, pins, 50 %", SIZES_512_TO_16384, 0.50, true,
				    false};
const struct workload workload_d = {
	"d", "1..65536 log-uniform, sub-range frees, 75 %", SIZES_LOG_UNIFORM, 0.75, false, true};

struct span {
	uint32_t first;
	uint32_t nr_pages;
};

struct churn {
	const struct peer *peer;
	const struct workload *workload;
	void *pool;
	uint64_t nr_pages;
	uint64_t used;
	uint64_t target;
	uint64_t random;
	struct span *live;
	uint64_t nr_live;
	uint64_t max_live;
	uint32_t *pins;
	uint64_t nr_pins;
	uint32_t *alloc_ticks;
	uint32_t *free_ticks;
	uint64_t nr_alloc_ticks;
	uint64_t nr_free_ticks;
	uint64_t max_ticks;
	uint64_t audit;
	struct churn_result *result;
};

void *peer_memory(size_t bytes)
{
	void *memory =
		mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED) {
		perror("mmap");
		exit(1);
	}
	return memory;
}

void peer_memory_free(void *memory, size_t bytes)
{
	munmap(memory, bytes);
}

static uint64_t random_u64(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state * 0x2545f4914f6cdd1dULL;
}

static uint64_t random_below(uint64_t *state, uint64_t limit)
{
	return (uint64_t)(((__uint128_t)random_u64(state) * limit) >> 64);
}

/* The clock: ordered against everything around it. */
static inline uint64_t clock_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000000ULL + now.tv_nsec;
}

#if defined(__x86_64__)
static inline uint64_t tick_begin(void)
{
	uint64_t tick;

	_mm_lfence();
	tick = __rdtsc();
	_mm_lfence();
	return tick;
}

static inline uint64_t tick_end(void)
{
	unsigned int cpu;
	uint64_t tick = __rdtscp(&cpu);

	_mm_lfence();
	return tick;
}
#else
#define tick_begin clock_ns
#define tick_end   clock_ns
#endif

static double ns_per_tick;
static double empty_ticks;

static int compare_ticks(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

static void calibrate(void)
{
	static uint32_t empty[10001];
	uint64_t ns, ticks;
	size_t i;

	if (ns_per_tick != 0)
		return;
	ns = clock_ns();
	ticks = tick_begin();
	while (clock_ns() - ns < 50000000)
		;
	ticks = tick_end() - ticks;
	ns_per_tick = (double)(clock_ns() - ns) / ticks;
	for (i = 0; i < 10001; i++) {
		uint64_t begin = tick_begin();

		empty[i] = tick_end() - begin;
	}
	qsort(empty, 10001, sizeof(*empty), compare_ticks);
	empty_ticks = empty[5000];
}

static double to_ns(uint32_t ticks)
{
	return ticks > empty_ticks ? (ticks - empty_ticks) * ns_per_tick : 0;
}

static struct times times_of(uint32_t *ticks, uint64_t nr)
{
	struct times times = {.operations = nr};
	size_t point;

	if (!nr)
		return times;
	qsort(ticks, nr, sizeof(*ticks), compare_ticks);
	times.p10 = to_ns(ticks[nr / 10]);
	times.median = to_ns(ticks[nr / 2]);
	times.p90 = to_ns(ticks[nr * 9 / 10]);
	times.p999 = to_ns(ticks[nr * 999 / 1000]);
	for (point = 0; point < TAIL_POINTS && nr * tail_share(point) >= 1; point++)
		times.tail[point] = to_ns(ticks[nr - (uint64_t)(nr * tail_share(point))]);
	return times;
}

__attribute__((noinline)) int64_t measured_alloc(const struct peer *peer, void *pool,
						 uint32_t nr_pages)
{
	return peer->alloc(pool, nr_pages);
}

__attribute__((noinline)) void measured_free(const struct peer *peer, void *pool, uint64_t first,
					     uint32_t nr_pages)
{
	peer->free(pool, first, nr_pages);
}

__attribute__((noinline)) int64_t measured_one_page(const struct peer *peer, void *pool)
{
	return peer->alloc(pool, 1);
}

static uint32_t next_size(struct churn *churn)
{
	switch (churn->workload->sizes) {
	case SIZES_ONE:
		return 1;
	case SIZES_TO_512:
		return 1 + random_below(&churn->random, 512);
	case SIZES_512_TO_16384:
		return 512 + random_below(&churn->random, 16384 - 512 + 1);
	default:
		return exp2(16.0 * random_below(&churn->random, 1 << 20) / (1 << 20));
	}
}

static void add_live(struct churn *churn, uint32_t first, uint32_t nr_pages)
{
	if (churn->nr_live == churn->max_live) {
		fputs("bench-core: too many spans\n", stderr);
		exit(1);
	}
	churn->live[churn->nr_live++] = (struct span){first, nr_pages};
	churn->used += nr_pages;
}

/* The live spans and the pins as a bitmap, 1 = in use. The caller frees it. */
static uint64_t *used_pages(const struct churn *churn)
{
	uint64_t words = churn->nr_pages / 64 + 1, i, page;
	uint64_t *used = calloc(words, sizeof(*used));

	if (!used)
		exit(1);
	for (i = 0; i < churn->nr_live; i++) {
		struct span span = churn->live[i];

		for (page = span.first; page < (uint64_t)span.first + span.nr_pages; page++)
			used[page / 64] |= 1ULL << (page % 64);
	}
	for (i = 0; i < churn->nr_pins; i++)
		used[churn->pins[i] / 64] |= 1ULL << (churn->pins[i] % 64);
	for (page = churn->nr_pages; page < words * 64; page++)
		used[page / 64] |= 1ULL << (page % 64);
	return used;
}

static bool run_exists(const uint64_t *used, uint64_t nr_pages, uint32_t wanted)
{
	uint64_t run = 0, page = 0;

	while (page < nr_pages) {
		uint64_t word = used[page / 64];

		if (page % 64 == 0 && !word) {
			run += 64;
			page += 64;
		} else {
			run = word >> (page % 64) & 1 ? 0 : run + 1;
			page++;
		}
		if (run >= wanted)
			return true;
	}
	return false;
}

static void audit_refusal(struct churn *churn, uint32_t nr_pages)
{
	uint64_t *used;

	churn->result->refused++;
	if (churn->result->audited >= churn->audit)
		return;
	used = used_pages(churn);
	churn->result->audited++;
	churn->result->false_refusals += run_exists(used, churn->nr_pages, nr_pages);
	free(used);
}

static double whole_share(const struct churn *churn)
{
	uint64_t *used = used_pages(churn);
	uint64_t whole = 0, megablock, i;

	for (megablock = 0; megablock < churn->nr_pages / MEGABLOCK; megablock++) {
		uint64_t any = 0;

		for (i = 0; i < MEGABLOCK / 64; i++)
			any |= used[megablock * (MEGABLOCK / 64) + i];
		whole += !any;
	}
	free(used);
	return (double)whole * MEGABLOCK / (churn->nr_pages - churn->nr_pins - churn->used);
}

static void timed_free(struct churn *churn, uint64_t first, uint32_t nr_pages)
{
	uint64_t begin, end;

	begin = tick_begin();
	measured_free(churn->peer, churn->pool, first, nr_pages);
	end = tick_end();
	if (churn->nr_free_ticks < churn->max_ticks)
		churn->free_ticks[churn->nr_free_ticks++] = end - begin;
	churn->used -= nr_pages;
}

static void free_one(struct churn *churn)
{
	uint64_t i = random_below(&churn->random, churn->nr_live);
	struct span span = churn->live[i];
	uint32_t skip, nr_pages;

	churn->live[i] = churn->live[--churn->nr_live];
	if (!churn->workload->subranges || span.nr_pages < 2 || random_below(&churn->random, 2)) {
		timed_free(churn, span.first, span.nr_pages);
		return;
	}
	skip = random_below(&churn->random, span.nr_pages);
	nr_pages = 1 + random_below(&churn->random, span.nr_pages - skip);
	timed_free(churn, span.first + skip, nr_pages);
	churn->used -= span.nr_pages - nr_pages; /* add_live() counts them again */
	if (skip)
		add_live(churn, span.first, skip);
	if (skip + nr_pages < span.nr_pages)
		add_live(churn, span.first + skip + nr_pages, span.nr_pages - skip - nr_pages);
}

static void operate(struct churn *churn)
{
	uint32_t nr_pages = next_size(churn);
	uint64_t begin, end;
	int64_t first;

	while (churn->used + nr_pages > churn->target && churn->nr_live)
		free_one(churn);
	churn->result->requests++;
	begin = tick_begin();
	first = measured_alloc(churn->peer, churn->pool, nr_pages);
	end = tick_end();
	if (first < 0) {
		audit_refusal(churn, nr_pages);
		return;
	}
	if (churn->nr_alloc_ticks < churn->max_ticks)
		churn->alloc_ticks[churn->nr_alloc_ticks++] = end - begin;
	add_live(churn, first, nr_pages);
}

/* Takes the whole pool in the largest spans. */
static void take_all(struct churn *churn)
{
	uint32_t nr_pages = MAX_SPAN;

	while (nr_pages) {
		if (churn->peer->alloc(churn->pool, nr_pages) < 0)
			nr_pages /= 2;
	}
}

/* One page at random stays in use in every stretch; the pins are not spans of the workload. */
static void place_pins(struct churn *churn)
{
	uint64_t first, nr_pages;

	take_all(churn);
	churn->pins = calloc(churn->nr_pages / PAGES_A_PIN + 1, sizeof(*churn->pins));
	if (!churn->pins)
		exit(1);
	for (first = 0; first < churn->nr_pages; first += nr_pages) {
		uint32_t pin;

		nr_pages = churn->nr_pages - first;
		if (nr_pages > PAGES_A_PIN)
			nr_pages = PAGES_A_PIN;
		pin = random_below(&churn->random, nr_pages);
		if (pin)
			churn->peer->free(churn->pool, first, pin);
		if (pin + 1 < nr_pages)
			churn->peer->free(churn->pool, first + pin + 1, nr_pages - pin - 1);
		churn->pins[churn->nr_pins++] = first + pin;
	}
}

/* Every page a span of its own, and random ones of them freed until the occupancy is reached. */
static void fill_with_pages(struct churn *churn)
{
	uint64_t page;

	take_all(churn);
	for (page = 0; page < churn->nr_pages; page++)
		add_live(churn, page, 1);
	while (churn->used > churn->target) {
		uint64_t i = random_below(&churn->random, churn->nr_live);

		churn->peer->free(churn->pool, churn->live[i].first, 1);
		churn->live[i] = churn->live[--churn->nr_live];
		churn->used--;
	}
}

static void fill(struct churn *churn)
{
	uint32_t nr_pages;
	int64_t first;

	for (;;) {
		nr_pages = next_size(churn);
		if (churn->used + nr_pages > churn->target)
			return;
		first = churn->peer->alloc(churn->pool, nr_pages);
		if (first < 0)
			return;
		add_live(churn, first, nr_pages);
	}
}

static void churn_begin(struct churn *churn, uint64_t max_ticks)
{
	calibrate();
	churn->pool = churn->peer->create(churn->nr_pages);
	churn->target = churn->nr_pages * churn->workload->occupancy;
	churn->max_live = churn->workload->sizes == SIZES_ONE ? churn->nr_pages :
								churn->nr_pages / 32 + 100000;
	churn->max_ticks = max_ticks;
	churn->live = peer_memory(churn->max_live * sizeof(*churn->live));
	churn->alloc_ticks = peer_memory((max_ticks + 1) * sizeof(uint32_t));
	churn->free_ticks = peer_memory((max_ticks + 1) * sizeof(uint32_t));
}

static void churn_end(struct churn *churn)
{
	churn->peer->destroy(churn->pool);
	free(churn->pins);
	peer_memory_free(churn->live, churn->max_live * sizeof(*churn->live));
	peer_memory_free(churn->alloc_ticks, (churn->max_ticks + 1) * sizeof(uint32_t));
	peer_memory_free(churn->free_ticks, (churn->max_ticks + 1) * sizeof(uint32_t));
}

/* With every run too short for it, how long does the longest request take to be refused? */
static struct times time_refusals(struct churn *churn, uint64_t operations)
{
	uint64_t i, begin, end, nr = 0;

	while (churn->peer->alloc(churn->pool, MAX_SPAN) >= 0)
		;
	for (i = 0; i < operations && i < churn->max_ticks; i++) {
		begin = tick_begin();
		if (measured_alloc(churn->peer, churn->pool, MAX_SPAN) >= 0)
			exit(1);
		end = tick_end();
		churn->alloc_ticks[nr++] = end - begin;
	}
	return times_of(churn->alloc_ticks, nr);
}

#define PAGES_OUT 64

static void churn_with_single_pages(struct churn *churn, uint64_t operations)
{
	int64_t out[PAGES_OUT];
	uint64_t i;

	for (i = 0; i < operations; i++) {
		operate(churn);
		if (i >= PAGES_OUT && out[i % PAGES_OUT] >= 0)
			churn->peer->free(churn->pool, out[i % PAGES_OUT], 1);
		out[i % PAGES_OUT] = measured_one_page(churn->peer, churn->pool);
	}
}

void run_churn(const struct peer *peer, const struct workload *workload,
	       const struct churn_options *options, struct churn_result *result)
{
	struct churn churn = {
		.peer = peer,
		.workload = workload,
		.nr_pages = options->nr_pages,
		.random = options->seed,
		.audit = options->audit,
		.result = result,
	};
	uint64_t i;

	memset(result, 0, sizeof(*result));
	churn_begin(&churn, options->timed ? 4 * options->operations : 0);
	if (workload->pins)
		place_pins(&churn);
	if (workload->sizes == SIZES_ONE)
		fill_with_pages(&churn);
	else
		fill(&churn);
	for (i = 0; i < options->warm_up; i++)
		operate(&churn);

	churn.nr_alloc_ticks = 0;
	churn.nr_free_ticks = 0;
	if (options->one_page_between)
		churn_with_single_pages(&churn, options->operations);
	else
		for (i = 0; i < options->operations; i++)
			operate(&churn);
	result->alloc = times_of(churn.alloc_ticks, churn.nr_alloc_ticks);
	result->free = times_of(churn.free_ticks, churn.nr_free_ticks);
	result->whole_share = whole_share(&churn);
	if (options->timed)
		result->refusal = time_refusals(&churn, options->operations / 10);
	churn_end(&churn);
}

static void map_used(const struct churn *churn, struct pool_map *map, enum moment moment)
{
	uint64_t *used = used_pages(churn);
	uint64_t megablock, i;

	for (megablock = 0; megablock < MAP_MEGABLOCKS; megablock++) {
		map->used[moment][megablock] = 0;
		for (i = 0; i < MEGABLOCK / 64; i++)
			map->used[moment][megablock] +=
				__builtin_popcountll(used[megablock * (MEGABLOCK / 64) + i]);
	}
	map->whole_share[moment] = whole_share(churn);
	free(used);
}

void run_map(const struct peer *peer, uint64_t operations, uint64_t seed, struct pool_map *map)
{
	struct churn_result result = {0};
	struct churn churn = {
		.peer = peer,
		.workload = &workload_b90,
		.nr_pages = (uint64_t)MAP_MEGABLOCKS * MEGABLOCK,
		.random = seed,
		.result = &result,
	};
	uint64_t i;

	churn_begin(&churn, 0);
	fill(&churn);
	map_used(&churn, map, FILLED);
	for (i = 0; i < operations; i++)
		operate(&churn);
	map_used(&churn, map, CHURNED);
	while (churn.used > churn.target / 2)
		free_one(&churn);
	map_used(&churn, map, DRAINED);
	churn_end(&churn);
}

struct times run_needle(const struct peer *peer, uint64_t nr_pages, uint64_t operations)
{
	struct churn churn = {.peer = peer,
			      .workload = &workload_a,
			      .nr_pages = nr_pages,
			      .random = 1234567};
	struct times times;
	uint64_t page, i, begin, end;
	int64_t first;

	churn_begin(&churn, operations);
	take_all(&churn);
	for (page = 0; page < nr_pages; page += 2)
		peer->free(churn.pool, page, 1);
	for (i = 0; i < operations; i++) {
		page = 1 + 2 * random_below(&churn.random, nr_pages / 2 - 1);
		peer->free(churn.pool, page, 1);
		begin = tick_begin();
		first = measured_alloc(peer, churn.pool, 3);
		end = tick_end();
		if (first != (int64_t)page - 1)
			exit(1);
		churn.alloc_ticks[i] = end - begin;
		peer->free(churn.pool, page - 1, 1);
		peer->free(churn.pool, page + 1, 1);
	}
	times = times_of(churn.alloc_ticks, operations);
	churn_end(&churn);
	return times;
}

double run_sustained(const struct peer *peer, uint64_t nr_pages, uint64_t operations, uint64_t seed)
{
	struct churn churn = {.peer = peer,
			      .workload = &workload_b97,
			      .nr_pages = nr_pages,
			      .random = seed};
	double sum = 0;
	uint64_t i, nr = 0, victim;
	uint32_t size;
	int64_t first;

	churn_begin(&churn, 0);
	for (i = 0; i < operations; i++) {
		size = next_size(&churn);
		while ((first = peer->alloc(churn.pool, size)) < 0) {
			victim = random_below(&churn.random, churn.nr_live);
			peer->free(churn.pool, churn.live[victim].first,
				   churn.live[victim].nr_pages);
			churn.used -= churn.live[victim].nr_pages;
			churn.live[victim] = churn.live[--churn.nr_live];
		}
		add_live(&churn, first, size);
		if (i >= operations / 2) {
			sum += (double)churn.used / nr_pages;
			nr++;
		}
	}
	churn_end(&churn);
	return sum / nr;
}
