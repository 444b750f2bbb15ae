// SPDX-License-Identifier: MIT
/*
 * bench-span, memory left: 256 MiB in blocks of several sizes, every page written, all freed, and
 * what of it the process still has a second later. In that second it sleeps, or makes a small call
 * every 10 ms.
 */
#define _GNU_SOURCE
#include <string.h>
#include <time.h>

#include "span_measure.h"

#define BURST_PAGES 65536
#define NAP_NS      10000000
#define NAPS        100

static const size_t sizes[] = {1, 3, 16, 64, 200, 512, 513, 1024};

static struct block blocks[BURST_PAGES];

static void burst(void)
{
	size_t pages = 0, count = 0, next;

	for (;;) {
		next = sizes[count % ARRAY_SIZE(sizes)];
		if (pages + next > BURST_PAGES)
			break;
		blocks[count++] = take_block(next, TOUCH_EVERY_PAGE);
		pages += next;
	}
	while (count--)
		subject_free(blocks[count].start, blocks[count].bytes);
}

static void nap(void)
{
	nanosleep(&(struct timespec){.tv_nsec = NAP_NS}, NULL);
}

static void small_call(void)
{
	struct block block = take_block(1, TOUCH_EVERY_PAGE);

	subject_free(block.start, block.bytes);
}

int measure_memory_left(char **arguments)
{
	int calls = !strcmp(arguments[0], "calls");
	double before;

	/* What the measurement itself touches is there before. */
	memset(blocks, 1, sizeof(blocks));
	before = resident_bytes();
	burst();
	print_figure("memory resident at once", "B", resident_bytes() - before);
	for (int i = 0; i < NAPS; i++) {
		nap();
		if (calls)
			small_call();
	}
	print_figure("memory resident", "B", resident_bytes() - before);
#ifdef SUBJECT_PAGESPAN
	print_figure("memory accounted", "B", accounted_bytes());
#endif
	return 0;
}
