// SPDX-License-Identifier: MIT
/*
 * What libpagespan has cached in another process. The library keeps no sum, which
 * would cost its fast path, so the caches of CPUs are read and added up as ps_stats()
 * does, and what the process keeps behind them: they are one anonymous mapping of a
 * size of its own, which begins with a magic number.
 *
 * Nothing that is read there is trusted: an address from there is only ever read
 * in the same process, and a process can no more than lie about itself.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../../kmod/span_map.h"
#include "../../lib/span/cpu_caches.h"
#include "caches.h"
#include "files.h"
#include "terminal.h"

static bool peek(int memory, const void *address, void *to, size_t bytes)
{
	return pread(memory, to, bytes, (off_t)(uintptr_t)address) == (ssize_t)bytes;
}

/* Of as many CPUs as there may be, whatever 16 bits say, it makes no more than 64 bits hold. */
static uint64_t pages_of(const struct bin *bins)
{
	uint64_t pages = 0;

	for (uint32_t bin = 1; bin < NR_BINS; bin++)
		pages += (uint64_t)bin_spans(bins[bin]) * bin;
	return pages;
}

/* Of all CPUs. A cache that cannot be read is none. */
static uint64_t pages_of_cpus(int memory, const char *there, const struct caches_head *head)
{
	struct bin bins[NR_BINS];
	uint64_t pages = 0;

	for (uint64_t place = 0; place < head->nr_places; place++)
		if (head->made[place / 64] >> place % 64 & 1 &&
		    peek(memory, there + cache_offset(place) + offsetof(struct cpu_cache, bins),
			 bins, sizeof(bins)))
			pages += pages_of(bins);
	return pages;
}

/* If that is what is there. */
static bool read_caches(int memory, uint64_t address, int *fd, uint64_t *bytes)
{
	const char *there = (const char *)(uintptr_t)address;
	struct caches_head head;
	struct window window;
	uint64_t kept;

	if (!peek(memory, there, &head, sizeof(head)) || head.magic != CACHES_MAGIC ||
	    head.nr_places > CPUS_MOST || !peek(memory, head.window, &window, sizeof(window)) ||
	    !peek(memory, (const void *)head.kept_pages, &kept, sizeof(kept)) ||
	    kept > SPAN_MAP_MAX_PAGES)
		return false;
	*fd = window.fd;
	*bytes = (pages_of_cpus(memory, there, &head) + kept) * PS_PAGE_SIZE;
	return true;
}

/* Where a line of /proc/PID/maps is of anonymous memory; false if it is not. */
static bool is_anonymous(const char *line, uint64_t *start, uint64_t *end)
{
	char inode[2];
	int length = 0;

	return sscanf(line, "%" SCNx64 "-%" SCNx64 " rw-p 00000000 00:00 %1[0]%n", start, end,
		      inode, &length) == 3 &&
	       line[length + (int)strspn(line + length, " \n")] == '\0';
}

static void look_at(struct caches_found *found, int memory, uint64_t address)
{
	int fd;
	uint64_t bytes;

	if (found->count == CACHES_MOST || !read_caches(memory, address, &fd, &bytes))
		return;
	found->list[found->count].fd = fd;
	found->list[found->count++].bytes = bytes;
}

/*
 * Whether they may be there: the head and the places behind it that are made. What is not made
 * yet is not accessible, so that this is a mapping by itself.
 */
static bool is_of_places(uint64_t bytes)
{
	return bytes >= place_offset(0) && bytes <= place_offset(CPUS_MOST) &&
	       (bytes - place_offset(0)) % PLACE_BYTES == 0;
}

static void look_through(struct caches_found *found, int memory, FILE *maps)
{
	uint64_t start, end;
	char line[512];

	while (fgets(line, sizeof(line), maps))
		if (is_anonymous(line, &start, &end) && is_of_places(end - start))
			look_at(found, memory, start);
}

void caches_find(struct caches_found *found, int pid)
{
	char *path;
	char name[64];
	FILE *maps;
	int memory;

	if (found->looked)
		return;
	found->looked = true;
	path = file_path("/proc/%d/mem", pid);
	memory = open(path, O_RDONLY | O_CLOEXEC);
	free(path);
	if (memory < 0)
		return;
	snprintf(name, sizeof(name), "/proc/%d/maps", pid);
	maps = file_open(name);
	if (maps) {
		look_through(found, memory, maps);
		fclose(maps);
	}
	close(memory);
}

uint64_t caches_of(const struct caches_found *found, int fd)
{
	for (unsigned int i = 0; i < found->count; i++)
		if (found->list[i].fd == fd)
			return found->list[i].bytes;
	return NOT_KNOWN;
}
