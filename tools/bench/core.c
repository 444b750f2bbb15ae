// SPDX-License-Identifier: MIT
/*
 * bench-core: the span map against its peers, on metadata alone. Rounds of every workload and
 * subject take turns, so that what disturbs the machine disturbs all; ratios compare medians of the
 * same rounds.
 *
 * Usage: core --json FILE [--build NAME] [--beside FILE]
 *        core --count WORKLOAD|one-page SUBJECT OPERATIONS	(what callgrind runs)
 *
 * BENCH_QUICK=1 takes fewer rounds and operations.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core.h"

#define ROUNDS       5
#define QUICK_ROUNDS 1
#define SEED         88172645463325252ULL

#define NR_SUBJECTS  5
#define NR_WORKLOADS 6

static const struct peer *const subjects[NR_SUBJECTS] = {
	&peer_span_map, &peer_radix, &peer_tags, &peer_buddy, &peer_linear,
};

static const struct workload *const workloads[NR_WORKLOADS] = {
	&workload_a, &workload_b70, &workload_b90, &workload_b97, &workload_c, &workload_d,
};

static bool quick;

/* Another build reports beside this one: what is the same for both, or only drawn, is left to it.
 */
static bool is_beside;

static uint64_t scaled(uint64_t operations)
{
	return quick ? operations / 8 : operations;
}

static uint64_t nr_rounds(void)
{
	return quick ? QUICK_ROUNDS : ROUNDS;
}

static struct churn_options timed_options(const struct peer *peer, uint64_t nr_pages,
					  uint64_t round)
{
	uint64_t operations = scaled(peer->is_slow ? 4000 : 200000);

	return (struct churn_options){
		.nr_pages = nr_pages,
		.warm_up = operations / 2,
		.operations = operations,
		.timed = true,
		.seed = SEED + round,
	};
}

/* All runs of one workload on one subject. */
struct runs {
	struct times alloc[ROUNDS];
	struct times free[ROUNDS];
	struct times pair[ROUNDS]; /* what the medians of both are together */
	struct times refusal[ROUNDS];
	double refused;
	double whole;
};

static void run_once(struct runs *runs, const struct peer *peer, const struct workload *workload,
		     uint64_t nr_pages, uint64_t round)
{
	struct churn_options options = timed_options(peer, nr_pages, round);
	struct churn_result result;
	double pair;

	run_churn(peer, workload, &options, &result);
	runs->alloc[round] = result.alloc;
	runs->free[round] = result.free;
	runs->refusal[round] = result.refusal;
	pair = result.alloc.median + result.free.median;
	runs->pair[round] = (struct times){.p10 = pair, .median = pair, .p90 = pair};
	runs->refused += (double)result.refused / result.requests / nr_rounds();
	runs->whole += result.whole_share / nr_rounds();
}

static void report_runs(const struct runs *runs, const char *workload, const char *subject)
{
	report_times(workload, subject, "allocation", runs->alloc, nr_rounds());
	report_times(workload, subject, "free", runs->free, nr_rounds());
	report_times(workload, subject, "pair", runs->pair, nr_rounds());
	report_times(workload, subject, "refusal", runs->refusal, nr_rounds());
	report_value(workload, subject, "share refused", "1", runs->refused);
	report_value(workload, subject, "free pages in whole megablocks", "1", runs->whole);
}

static void churn_all(void)
{
	static struct runs runs[NR_WORKLOADS][NR_SUBJECTS];
	uint64_t round;
	size_t w, s;

	for (round = 0; round < nr_rounds(); round++)
		for (w = 0; w < NR_WORKLOADS; w++)
			for (s = 0; s < NR_SUBJECTS; s++)
				run_once(&runs[w][s], subjects[s], workloads[w], POOL_16_GIB,
					 round);
	for (w = 0; w < NR_WORKLOADS; w++)
		for (s = 0; s < NR_SUBJECTS; s++)
			report_runs(&runs[w][s], workloads[w]->name, subjects[s]->name);
}

/* From the smallest pool to the largest; a peer stops where its metadata needs gigabytes. 16 GiB is
 * b90 itself. */
static void churn_all_pools(void)
{
	static const struct {
		const char *name;
		uint64_t nr_pages;
		size_t nr_subjects;
	} pools[] = {
		{"b90 64M", POOL_16_GIB >> 8, NR_SUBJECTS},
		{"b90 256M", POOL_16_GIB >> 6, 4},
		{"b90 1G", POOL_16_GIB >> 4, NR_SUBJECTS},
		{"b90 4G", POOL_16_GIB >> 2, 4},
		{"b90 64G", POOL_16_GIB << 2, 4},
		{"b90 256G", POOL_16_GIB << 4, 2},
		{"b90 1T", POOL_1_TIB, 2},
	};
	static struct runs runs[sizeof(pools) / sizeof(*pools)][NR_SUBJECTS];
	size_t first = is_beside ? sizeof(pools) / sizeof(*pools) - 1 : 0, p, s;
	uint64_t round;

	for (round = 0; round < nr_rounds(); round++)
		for (p = first; p < sizeof(pools) / sizeof(*pools); p++)
			for (s = 0; s < pools[p].nr_subjects; s++)
				run_once(&runs[p][s], subjects[s], &workload_b90, pools[p].nr_pages,
					 round);
	for (p = first; p < sizeof(pools) / sizeof(*pools); p++)
		for (s = 0; s < pools[p].nr_subjects; s++)
			report_runs(&runs[p][s], pools[p].name, subjects[s]->name);
}

/* How many requests are refused when the pool is allowed to become so full. */
static void refuse_at_occupancies(void)
{
	static const int percent[] = {50, 55, 60, 65, 70, 75, 80, 85, 88,
				      90, 92, 94, 95, 96, 97, 98, 99};
	static char names[sizeof(percent) / sizeof(*percent)][24];
	struct churn_options options = {.nr_pages = POOL_16_GIB, .seed = SEED};
	struct workload workload = workload_b90;
	struct churn_result result;
	size_t i, s;

	for (i = 0; i < sizeof(percent) / sizeof(*percent); i++) {
		workload.occupancy = percent[i] / 100.0;
		snprintf(names[i], sizeof(names[i]), "b at %d %%", percent[i]);
		for (s = 0; s < NR_SUBJECTS; s++) {
			if (subjects[s]->is_slow)
				continue;
			options.warm_up = scaled(40000);
			options.operations = scaled(100000);
			run_churn(subjects[s], &workload, &options, &result);
			report_value(names[i], subjects[s]->name, "share refused", "1",
				     (double)result.refused / result.requests);
		}
	}
}

/* Where the pages in use are. */
static void map_pools(void)
{
	static const char *const moments[NR_MOMENTS] = {"filled to 90 %", "churned at 90 %",
							"drained to 45 %"};
	static struct pool_map map;
	size_t s, moment;

	for (s = 0; s < NR_SUBJECTS; s++) {
		if (subjects[s]->is_slow)
			continue;
		run_map(subjects[s], scaled(100000), SEED, &map);
		for (moment = 0; moment < NR_MOMENTS; moment++)
			report_map(subjects[s]->name, moments[moment], map.used[moment],
				   MAP_MEGABLOCKS, map.whole_share[moment]);
	}
}

static void needle_and_sustained(void)
{
	struct times needle;
	size_t s;

	for (s = 0; s < NR_SUBJECTS; s++) {
		if (subjects[s] == &peer_buddy) /* cannot find a hole of three */
			continue;
		needle = run_needle(subjects[s], POOL_16_GIB,
				    subjects[s]->is_slow ? 20 : scaled(20000));
		report_times("e", subjects[s]->name, "allocation", &needle, 1);
	}
	for (s = 0; s < NR_SUBJECTS; s++)
		if (!subjects[s]->is_slow)
			report_value("b", subjects[s]->name, "occupancy sustained", "1",
				     run_sustained(subjects[s], POOL_16_GIB, scaled(400000), SEED));
}

/* Every refusal of the span map in pools of many sizes compared with the free runs; some of the
 * peers'. */
static void audit(void)
{
	static const uint64_t pools[] = {POOL_16_GIB, POOL_1_TIB, 1000003, 65537, 20000, 1025};
	struct churn_options options = {.warm_up = 0, .seed = SEED};
	struct churn_result result;
	double audited = 0, wrong = 0;
	size_t p, w, s;

	for (p = 0; p < sizeof(pools) / sizeof(*pools); p++) {
		for (w = 0; w < NR_WORKLOADS; w++) {
			if (pools[p] == POOL_1_TIB && workloads[w] != &workload_b97)
				continue;
			options.nr_pages = pools[p];
			options.operations = scaled(pools[p] < POOL_16_GIB ? 100000 : 40000);
			options.audit = scaled(pools[p] < POOL_16_GIB ? 4000 : 400);
			run_churn(&peer_span_map, workloads[w], &options, &result);
			audited += result.audited;
			wrong += result.false_refusals;
		}
	}
	report_value("all", peer_span_map.name, "refusals audited", "refusals", audited);
	report_value("all", peer_span_map.name, "false refusals", "refusals", wrong);

	options.nr_pages = POOL_16_GIB;
	options.operations = scaled(40000);
	options.audit = 200;
	for (s = 1; s < NR_SUBJECTS; s++) {
		if (subjects[s]->is_slow)
			continue;
		run_churn(subjects[s], &workload_b90, &options, &result);
		report_value("b90", subjects[s]->name, "refusals audited", "refusals",
			     result.audited);
		report_value("b90", subjects[s]->name, "false refusals", "refusals",
			     result.false_refusals);
	}
}

static void metadata(void)
{
	size_t s;

	for (s = 0; s < NR_SUBJECTS; s++)
		report_value("16G", subjects[s]->name, "metadata", "B/page",
			     (double)subjects[s]->metadata_bytes(POOL_16_GIB) / POOL_16_GIB);
	report_value("1T", peer_span_map.name, "metadata", "B/page",
		     (double)peer_span_map.metadata_bytes(POOL_1_TIB) / POOL_1_TIB);
}

static void count_instructions(const char *program)
{
	size_t s;

	for (s = 0; s < 3; s++)
		report_value("b90", subjects[s]->name, "allocation + free", "instructions",
			     callgrind_per_pair(program, subjects[s]->name, scaled(40000)));
	report_value("b97", peer_span_map.name, "worst one-page allocation", "instructions",
		     callgrind_worst_one_page(program, peer_span_map.name, scaled(20000)));
}

static double sum(const char *workload, const struct peer *peer)
{
	return report_median(workload, peer->name, "allocation") +
	       report_median(workload, peer->name, "free");
}

static double sum_ratio(const char *workload, const struct peer *peer)
{
	return sum(workload, &peer_span_map) / sum(workload, peer);
}

static double tail_ratio(const char *workload)
{
	return report_p999(workload, peer_span_map.name, "allocation") /
	       report_p999(workload, peer_radix.name, "allocation");
}

static double ours(const char *workload, const char *metric)
{
	return report_median(workload, peer_span_map.name, metric);
}

static double instructions_ratio(void)
{
	double mine = ours("b90", "allocation + free");

	return mine > 0 ? report_median("b90", peer_radix.name, "allocation + free") / mine : NAN;
}

static double worst_one_page(void)
{
	double worst = ours("b97", "worst one-page allocation");

	return worst > 0 ? worst : NAN;
}

static void judge(void)
{
	double radix = report_median("b90", peer_radix.name, "allocation");

	report_goal("a: allocation + free, of the radix", AT_MOST, 0.50,
		    sum_ratio("a", &peer_radix));
	report_goal("b 70 %: allocation + free, of the radix", AT_MOST, 0.48,
		    sum_ratio("b70", &peer_radix));
	report_goal("b 90 %: allocation + free, of the radix", AT_MOST, 0.48,
		    sum_ratio("b90", &peer_radix));
	report_goal("b 70 %: allocation p99.9, of the radix", AT_MOST, 0.8, tail_ratio("b70"));
	report_goal("b 90 %: allocation p99.9, of the radix", AT_MOST, 0.8, tail_ratio("b90"));
	report_goal("b 90 %: instructions of the radix, of ours", AT_MOST, 2.6,
		    instructions_ratio());
	report_goal("c: allocation + free, of the radix", AT_MOST, 0.42,
		    sum_ratio("c", &peer_radix));
	report_goal("d: allocation + free, of the radix", AT_MOST, 0.42,
		    sum_ratio("d", &peer_radix));
	report_goal("e: allocation, of linear first fit", AT_MOST, 1.0 / 10000,
		    ours("e", "allocation") / report_median("e", peer_linear.name, "allocation"));
	report_goal("b 97 %: share refused", AT_MOST, 0.02, ours("b97", "share refused"));
	report_goal("b: occupancy sustained", AT_LEAST, 0.975, ours("b", "occupancy sustained"));
	report_goal("b 90 %: free pages in whole free megablocks", AT_LEAST, 0.72,
		    ours("b90", "free pages in whole megablocks"));
	report_goal("false refusals", AT_MOST, 0, ours("all", "false refusals"));
	report_goal("refusal at 16 GiB, of an allocation in the radix", AT_MOST, 0.1,
		    ours("b90", "refusal") / radix);
	report_goal("refusal at 1 TiB, of an allocation in the radix", AT_MOST, 0.1,
		    ours("b90 1T", "refusal") / radix);
	report_goal("b 90 %: 1 TiB, of 16 GiB", AT_MOST, 2.2,
		    sum("b90 1T", &peer_span_map) / sum("b90", &peer_span_map));
	report_goal("worst one-page allocation over b 97 %, instructions", AT_MOST, 1500,
		    worst_one_page());
	report_goal("b 70 %: allocation + free, of TLSF-style tags", AT_MOST, 1.15,
		    sum_ratio("b70", &peer_tags));
	report_goal("b 90 %: allocation + free, of TLSF-style tags", AT_MOST, 1.15,
		    sum_ratio("b90", &peer_tags));
}

/* What callgrind runs. */
static int count(const char *mode, const char *subject, uint64_t operations)
{
	struct churn_options options = {.nr_pages = POOL_16_GIB,
					.operations = operations,
					.seed = SEED};
	struct churn_result result;
	size_t s, w;

	options.one_page_between = !strcmp(mode, "one-page");
	if (options.one_page_between)
		mode = workload_b97.name;
	for (s = 0; s < NR_SUBJECTS; s++)
		for (w = 0; w < NR_WORKLOADS; w++)
			if (!strcmp(subjects[s]->name, subject) &&
			    !strcmp(workloads[w]->name, mode)) {
				run_churn(subjects[s], workloads[w], &options, &result);
				return 0;
			}
	return 1;
}

int main(int argc, char **argv)
{
	const char *json = NULL, *build = "user space", *beside = NULL, *environment;
	size_t w;
	int i;

	if (argc == 5 && !strcmp(argv[1], "--count"))
		return count(argv[2], argv[3], strtoull(argv[4], NULL, 0));
	for (i = 1; i + 1 < argc; i += 2) {
		if (!strcmp(argv[i], "--json"))
			json = argv[i + 1];
		else if (!strcmp(argv[i], "--build"))
			build = argv[i + 1];
		else if (!strcmp(argv[i], "--beside"))
			beside = argv[i + 1];
		else
			break;
	}
	if (i != argc || !json) {
		fputs("usage: core --json FILE [--build NAME] [--beside FILE]\n", stderr);
		return 2;
	}
	environment = getenv("BENCH_QUICK");
	is_beside = !beside;
	quick = environment && strcmp(environment, "0") != 0;

	for (w = 0; w < NR_WORKLOADS && beside; w++)
		printf("%-5s %s\n", workloads[w]->name, workloads[w]->text);
	if (beside)
		puts("e     every second page free, and one hole of three\n");

	metadata();
	churn_all();
	churn_all_pools();
	if (!is_beside) {
		refuse_at_occupancies();
		map_pools();
	}
	needle_and_sustained();
	audit();
	count_instructions(argv[0]);
	judge();
	report_write("core", json, build, beside);
	return 0;
}
