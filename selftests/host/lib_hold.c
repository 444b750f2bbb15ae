// SPDX-License-Identifier: MIT
/*
 * Caches spans of two threads that live and of one that has ended, some of them larger than what a
 * CPU's cache takes, has a child that inherited all of it, and says how many bytes are cached; until
 * its input ends.
 */
#include <pagespan.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define NR_SPANS 200
#define LARGE    (520 * PS_PAGE_SIZE)

static pthread_barrier_t freed, told;

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

static void *ends(void *bytes)
{
	cache_spans(*(size_t *)bytes);
	return NULL;
}

static void *lives(void *bytes)
{
	cache_spans(*(size_t *)bytes);
	pthread_barrier_wait(&freed);
	pthread_barrier_wait(&told);
	return NULL;
}

int main(void)
{
	size_t bytes[] = {PS_PAGE_SIZE, 3 * PS_PAGE_SIZE, 20 * PS_PAGE_SIZE};
	struct ps_stats stats;
	pthread_t thread;
	void *large;
	pid_t child;

	pthread_barrier_init(&freed, NULL, 2);
	pthread_barrier_init(&told, NULL, 2);
	if (pthread_create(&thread, NULL, ends, &bytes[0]) || pthread_join(thread, NULL) ||
	    pthread_create(&thread, NULL, lives, &bytes[1]) || cache_spans(bytes[2]))
		return 1;
	pthread_barrier_wait(&freed);
	large = ps_span_alloc(LARGE);
	if (!large || ps_span_free(large, LARGE))
		return 1;
	child = fork();
	if (!child)
		for (;;)
			pause();
	if (child < 0 || ps_stats(&stats, sizeof(stats)))
		return 1;
	printf("%llu\n", (unsigned long long)stats.bytes_cached);
	fflush(stdout);
	while (getchar() != EOF)
		;
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	pthread_barrier_wait(&told);
	pthread_join(thread, NULL);
	return 0;
}
