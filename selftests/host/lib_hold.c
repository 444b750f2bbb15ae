// SPDX-License-Identifier: MIT
/*
 * Caches spans on every CPU, by threads of which some have ended, has the process keep others
 * behind these, has a child that inherited all of it, and says how many bytes are cached; until its
 * input ends.
 */
#define _GNU_SOURCE
#include <pagespan.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define NR_SPANS 16

/* More pages than the cache of a CPU takes, so that the process keeps them. */
#define KEPT_BYTES (600 * PS_PAGE_SIZE)

/* A part stays allocated. */
static int cache_spans(size_t bytes)
{
	void *spans[NR_SPANS];

	for (int i = 0; i < NR_SPANS; i++) {
		spans[i] = ps_span_alloc(bytes);
		if (!spans[i])
			return -1;
		memset(spans[i], 1, bytes);
	}
	for (int i = 0; i < NR_SPANS; i += 1 + i % 2)
		ps_span_free(spans[i], bytes);
	return 0;
}

static void *on_cpu(void *number)
{
	int cpu = *(int *)number;
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set) || cache_spans((1 + cpu % 7) * PS_PAGE_SIZE) ||
	    cache_spans(20 * PS_PAGE_SIZE))
		return NULL;
	return number;
}

/* One thread after another, so that each but one has ended when bytes are counted. */
static int cache_everywhere(void)
{
	cpu_set_t set;
	int made = 0;

	if (sched_getaffinity(0, sizeof(set), &set))
		return -1;
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		pthread_t thread;
		void *done;

		if (!CPU_ISSET(cpu, &set))
			continue;
		if (pthread_create(&thread, NULL, on_cpu, &cpu) || pthread_join(thread, &done) ||
		    !done)
			return -1;
		made++;
	}
	return made;
}

/* Also what is cached by CPUs is to be there, and what is kept. */
static int tell(int nr_cpus)
{
	struct ps_stats stats;

	if (ps_stats(&stats, sizeof(stats)) || stats.caches < (uint64_t)nr_cpus ||
	    !stats.bytes_kept || stats.bytes_cached <= stats.bytes_kept)
		return -1;
	printf("%llu\n", (unsigned long long)stats.bytes_cached);
	return fflush(stdout);
}

int main(void)
{
	void *large = ps_span_alloc(KEPT_BYTES);
	int nr_cpus = cache_everywhere();
	pid_t child;

	if (!large || nr_cpus < 1 || ps_span_free(large, KEPT_BYTES))
		return 1;
	child = fork();
	if (!child)
		for (;;)
			pause();
	if (child < 0)
		return 1;
	if (!tell(nr_cpus))
		while (getchar() != EOF)
			;
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	return 0;
}
