// SPDX-License-Identifier: MIT
/*
 * Writes a file that is like /proc/PID/mem of a process in which libpagespan caches spans, with one
 * lie or none. Usage: pagespanctl_caches FILE ADDRESS [LIE]
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../../lib/span/cpu_caches.h"

/* Three CPUs have 7 spans of a page and 2 of 20 cached each, and 100 pages are kept. */
static const uint64_t places[] = {0, 3, 64};

static struct caches_head head = {.magic = CACHES_MAGIC, .nr_places = 66};
static struct window window = {.nr_pages = 32768, .fd = 3};
static uint64_t kept = 100;
static struct cpu_cache cache;

static void fill(uint64_t address)
{
	head.window = (const void *)(address - 64);
	head.kept_pages = (const void *)(address - 8);
	for (size_t i = 0; i < sizeof(places) / sizeof(*places); i++)
		head.made[places[i] / 64] |= (uint64_t)1 << places[i] % 64;
	for (uint32_t bin = 1; bin < NR_BINS; bin++)
		cache.bins[bin] = (struct bin){.top = 5000, .begin = 5000};
	cache.bins[1].top += 7;
	cache.bins[20].top += 2;
}

static int lie(const char *what)
{
	if (!strcmp(what, "places"))
		head.nr_places = UINT64_MAX;
	else if (!strcmp(what, "kept"))
		kept = UINT64_MAX / 2;
	else if (!strcmp(what, "window"))
		head.window = (const void *)UINT64_MAX;
	else if (!strcmp(what, "counter"))
		head.kept_pages = (const void *)UINT64_MAX;
	else if (!strcmp(what, "magic"))
		head.magic++;
	else if (!strcmp(what, "made"))
		memset(head.made, 255, sizeof(head.made));
	else if (!strcmp(what, "bins"))
		for (uint32_t bin = 1; bin < NR_BINS; bin++)
			cache.bins[bin] = (struct bin){.top = UINT16_MAX};
	else if (!strcmp(what, "tops"))
		for (uint32_t bin = 1; bin < NR_BINS; bin++)
			cache.bins[bin].top = 0;
	else
		return -1;
	return 0;
}

static int write_all(const char *path, uint64_t address)
{
	int memory = open(path, O_RDWR | O_CREAT | O_TRUNC, 0644);
	off_t at = (off_t)address;

	if (memory < 0 || pwrite(memory, &window, sizeof(window), at - 64) < 0 ||
	    pwrite(memory, &kept, sizeof(kept), at - 8) < 0 ||
	    pwrite(memory, &head, sizeof(head), at) < 0)
		return 1;
	for (size_t i = 0; i < sizeof(places) / sizeof(*places); i++)
		if (pwrite(memory, &cache, sizeof(cache), at + (off_t)cache_offset(places[i])) < 0)
			return 1;
	return close(memory) != 0;
}

int main(int argc, char **argv)
{
	uint64_t address = argc > 2 ? strtoull(argv[2], NULL, 0) : 0;

	if (address < PS_PAGE_SIZE)
		return 2;
	fill(address);
	return argc > 3 && lie(argv[3]) ? 2 : write_all(argv[1], address);
}
