// SPDX-License-Identifier: MIT
/*
 * What libpagespan has cached in another process. The library keeps no sum, which
 * would cost its fast path, so the threads' caches are read and added up as
 * ps_stats() does: they are one anonymous mapping of a size of its own, which begins
 * with a magic number.
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

#include "../../lib/span/thread_cache.h"
#include "caches.h"
#include "files.h"
#include "terminal.h"

#define MAPPING_BYTES ((sizeof(struct caches) + PS_PAGE_SIZE - 1) & ~(PS_PAGE_SIZE - 1))

static bool peek(int memory, const void *address, void *to, size_t bytes)
{
	return pread(memory, to, bytes, (off_t)(uintptr_t)address) == (ssize_t)bytes;
}

static uint64_t bytes_of(const struct thread_cache *cache)
{
	uint64_t pages = 0;

	for (uint32_t bin = 1; bin < NR_BINS; bin++)
		pages += (uint64_t)(nr_loaded(cache, bin) + nr_spare(cache, bin)) * bin_pages(bin);
	return pages * PS_PAGE_SIZE;
}

/*
 * The caches of threads, if that is what is there, and the central one. Places that wait for a
 * thread are empty.
 */
static bool read_caches(int memory, uint64_t address, int *fd, uint64_t *bytes)
{
	const char *there = (const char *)(uintptr_t)address;
	uint64_t central[CENTRAL_KINDS];
	struct thread_cache cache;
	struct caches_head head;
	struct window window;

	if (!peek(memory, there, &head, sizeof(head)) || head.magic != CACHES_MAGIC ||
	    head.nr > MAX_CACHES || !peek(memory, head.window, &window, sizeof(window)) ||
	    !peek(memory, head.central_bytes, central, sizeof(central)))
		return false;
	*fd = window.fd;
	*bytes = 0;
	for (int kind = 0; kind < CENTRAL_KINDS; kind++)
		*bytes += central[kind];
	for (uint32_t i = 0; i < head.nr; i++) {
		if (!peek(memory, there + offsetof(struct caches, places[i]), &cache,
			  sizeof(cache)))
			return false;
		*bytes += bytes_of(&cache);
	}
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

/* What is not accessible yet stands behind each, so it is a mapping by itself. */
static void look_through(struct caches_found *found, int memory, FILE *maps)
{
	uint64_t start, end;
	char line[512];

	while (fgets(line, sizeof(line), maps))
		if (is_anonymous(line, &start, &end) && end - start <= MAPPING_BYTES)
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
