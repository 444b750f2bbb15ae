/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the system does to a mapping, of its own accord or as it is told, and what it
 * tells of one: functions as those of stale_actions.h.
 */
#ifndef PAGESPAN_STALE_SYSTEM_H
#define PAGESPAN_STALE_SYSTEM_H

#include <dirent.h>
#include <linux/mempolicy.h>
#include <stdio.h>
#include <sys/syscall.h>

#include "pagespan_test.h"
#include "stale.h"
#include "stale_actions.h"

/* ---- files of /proc and /sys ------------------------------------------------------------- */

/* 0 or -errno */
static inline long file_write(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	long ret;

	if (fd < 0)
		return -errno;
	ret = or_errno(write(fd, text, strlen(text)));
	close(fd);
	return ret < 0 ? ret : 0;
}

/* The number that follows a word in a file, or that it begins with; -errno. */
static inline long file_number(const char *path, const char *word)
{
	FILE *file = fopen(path, "re");
	long number = -ENOENT;
	char line[512], *at;

	if (!file)
		return -errno;
	while (number < 0 && fgets(line, sizeof(line), file)) {
		at = strstr(line, word);
		if (!at)
			continue;
		at += strlen(word);
		number = strtol(at + strcspn(at, "0123456789"), NULL, 10);
	}
	fclose(file);
	return number;
}

/* Waits until a number in a file is more, which may take long. */
static inline bool grows_beyond(const char *path, const char *word, long number)
{
	bool grown = false;

	for (int i = 0; i < 5 && !grown; i++)
		grown = EVENTUALLY(file_number(path, word) > number);
	return grown;
}

/* What a file holds that is to hold something else for a while. */
struct setting {
	const char *path, *value;
	char before[64];
};

/* Whether all are there, and set. */
static inline bool settings_apply(struct setting *settings, size_t nr)
{
	for (size_t i = 0; i < nr; i++) {
		int fd = open(settings[i].path, O_RDONLY | O_CLOEXEC);
		ssize_t length = read(fd, settings[i].before, sizeof(settings[i].before) - 1);

		close(fd);
		if (length < 0 || file_write(settings[i].path, settings[i].value))
			return false;
	}
	return true;
}

static inline void settings_restore(const struct setting *settings, size_t nr)
{
	for (size_t i = 0; i < nr; i++)
		file_write(settings[i].path, settings[i].before);
}

/* Reads all of a file: how many bytes, or -errno. */
static inline long file_read(const char *path)
{
	static char text[64 << 10];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	long ret, sum = 0;

	if (fd < 0)
		return -errno;
	while ((ret = or_errno(read(fd, text, sizeof(text)))) > 0)
		sum += ret;
	close(fd);
	return ret < 0 ? ret : sum;
}

/* ---- nodes ------------------------------------------------------------------------------- */

/* How many nodes the machine has, or seems to have (numa=fake=). */
static inline long nr_nodes(void)
{
	long nr = 0;
	char path[64];

	do {
		snprintf(path, sizeof(path), "/sys/devices/system/node/node%ld", nr);
	} while (!access(path, F_OK) && ++nr < 64);
	return nr;
}

#define ONE_NODE	"one node; boot with numa=fake=2"

/* The node that the page is on, or another; -1 if there is none. */
static inline long node_for(const struct attack *attack, long other)
{
	long nr = nr_nodes();

	return other && nr < 2 ? -1 : (attack->node + other) % nr;
}

static long bind_in_a_way(struct attack *attack, long other, int flags)
{
	long node = node_for(attack, other);
	unsigned long nodes = 1UL << node;

	if (node < 0)
		return skip(attack, ONE_NODE);
	return or_errno(syscall(SYS_mbind, attack->base, bytes_of(attack), MPOL_BIND, &nodes,
				8 * sizeof(nodes), flags));
}

static long bind_to(struct attack *attack, long other)
{
	return bind_in_a_way(attack, other, MPOL_MF_MOVE_ALL);
}

static long bind_strictly(struct attack *attack, long other)
{
	return bind_in_a_way(attack, other, MPOL_MF_MOVE_ALL | MPOL_MF_STRICT);
}

/* All that the process has; how much of it cannot move is not the question. */
static long migrate(struct attack *attack, long other)
{
	long node = node_for(attack, other);
	unsigned long from = 1UL << attack->node, to = 1UL << node;
	long ret;

	if (node < 0)
		return skip(attack, ONE_NODE);
	ret = or_errno(syscall(SYS_migrate_pages, attack->pid, 8 * sizeof(from), &from, &to));
	return ret < 0 ? ret : 0;
}

/* What move_pages() says of the page when it was to move; 0 if it is where it was to be. */
static long move_to(struct attack *attack, long other)
{
	void *page = page_leaving(attack);
	int node = node_for(attack, other);
	int status = 0;
	long ret;

	if (node < 0)
		return skip(attack, ONE_NODE);
	ret = or_errno(syscall(SYS_move_pages, attack->pid, 1UL, &page, &node, &status,
			       MPOL_MF_MOVE_ALL));
	return ret ?: status == node ? 0 : status;
}

/* Where move_pages() says that the page is; 0 if that is so. */
static long ask_for_node(struct attack *attack, long unused)
{
	void *page = page_leaving(attack);
	int status = 0;
	long ret = or_errno(syscall(SYS_move_pages, attack->pid, 1UL, &page, NULL, &status, 0));

	return ret ?: status == attack->node ? 0 : status;
}

/* Waits until the kernel has looked twice for pages to move to the node of who uses them. */
static long balance(struct attack *attack, long unused)
{
	struct setting settings[] = {
		{ "/sys/kernel/debug/sched/numa_balancing/scan_delay_ms", "0" },
		{ "/sys/kernel/debug/sched/numa_balancing/scan_period_min_ms", "1" },
		{ "/sys/kernel/debug/sched/numa_balancing/scan_period_max_ms", "1" },
		{ "/proc/sys/kernel/numa_balancing", "1" },
	};
	char path[64];
	long before, ret = 0;

	if (nr_nodes() < 2)
		return skip(attack, ONE_NODE);
	if (!settings_apply(settings, ARRAY_SIZE(settings)))
		return skip(attack, "no NUMA balancing");
	snprintf(path, sizeof(path), "/proc/%d/sched", attack->pid);
	before = file_number(path, "numa_scan_seq");
	if (before < 0)
		ret = skip(attack, "/proc/PID/sched does not tell of NUMA balancing");
	else if (!grows_beyond(path, "numa_scan_seq", before + 1))
		ret = -ETIME;
	settings_restore(settings, ARRAY_SIZE(settings));
	return ret;
}

/* ---- the system at work ------------------------------------------------------------------ */

static long compact(struct attack *attack, long unused)
{
	return file_write("/proc/sys/vm/compact_memory", "1");
}

static long drop(struct attack *attack, long unused)
{
	return file_write("/proc/sys/vm/drop_caches", "3");
}

/* Memory that a scanner has to do with, so that it looks at this process. */
static long offer(int advice)
{
	size_t bytes = 4 << 20;
	char *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			    -1, 0);

	if (memory == MAP_FAILED || madvise(memory, bytes, advice))
		return -errno;
	for (size_t at = 0; at < bytes / 2; at += PAGE)
		memory[at] = 1;
	return 0;
}

/* Waits until a scanner was through everything twice: the second time it began afterwards. */
static long wait_for_scans(const char *path)
{
	long before = file_number(path, "");

	return grows_beyond(path, "", before + 1) ? 0 : -ETIME;
}

static long merge(struct attack *attack, long unused)
{
	struct setting settings[] = {
		{ "/sys/kernel/mm/ksm/sleep_millisecs", "0" },
		{ "/sys/kernel/mm/ksm/run", "1" },
	};
	long ret;

	if (!settings_apply(settings, ARRAY_SIZE(settings)))
		return skip(attack, "no KSM");
	ret = advise(attack, MADV_MERGEABLE) ?: offer(MADV_MERGEABLE) ?:
	      wait_for_scans("/sys/kernel/mm/ksm/full_scans");
	settings_restore(settings, ARRAY_SIZE(settings));
	return ret;
}

#define KHUGEPAGED	"/sys/kernel/mm/transparent_hugepage/khugepaged/"

static long collapse(struct attack *attack, long unused)
{
	struct setting settings[] = {
		{ KHUGEPAGED "alloc_sleep_millisecs", "0" },
		{ KHUGEPAGED "scan_sleep_millisecs", "0" },
	};
	long ret;

	if (!settings_apply(settings, ARRAY_SIZE(settings)))
		return skip(attack, "no transparent huge pages");
	ret = advise(attack, MADV_HUGEPAGE) ?: offer(MADV_HUGEPAGE) ?:
	      wait_for_scans(KHUGEPAGED "full_scans");
	settings_restore(settings, ARRAY_SIZE(settings));
	return ret;
}

#define LRU_GEN		"/sys/kernel/debug/lru_gen"

/* The page tables of all processes are walked, in search of pages that were used. */
static long age(struct attack *attack, long unused)
{
	struct setting enabled = { "/sys/kernel/mm/lru_gen/enabled", "7" };
	long group = 0, node = 0, generation = -1;
	char line[256], request[128];
	FILE *file;
	long ret;

	if (!settings_apply(&enabled, 1))
		return skip(attack, "no multi-gen LRU");
	file = fopen(LRU_GEN, "re");
	if (!file)
		return skip(attack, "debugfs is not mounted");
	while (fgets(line, sizeof(line), file))
		if (sscanf(line, "memcg %ld", &group) != 1 && sscanf(line, " node %ld", &node) != 1)
			sscanf(line, " %ld", &generation);
	fclose(file);
	snprintf(request, sizeof(request), "+ %ld %ld %ld 1 1", group, node, generation);
	ret = file_write(LRU_GEN, request);
	settings_restore(&enabled, 1);
	return ret;
}

#define MEMORY	"/sys/devices/system/memory/"

/* A block of memory leaves the system and comes back: 0 or -errno. */
static long unplug_block(unsigned long block)
{
	char path[64];

	snprintf(path, sizeof(path), MEMORY "memory%lu/state", block);
	return file_write(path, "offline") ?: file_write(path, "online");
}

/* One of others; the one that could leave last time is tried first. */
static long unplug_another(struct attack *attack, long unused)
{
	static unsigned long block;
	struct dirent *entry;
	long ret = unplug_block(block);
	DIR *blocks;

	blocks = opendir(MEMORY);
	if (!blocks)
		return skip(attack, "no memory hot-plug");
	while (ret && (entry = readdir(blocks)))
		if (sscanf(entry->d_name, "memory%lu", &block) == 1)
			ret = unplug_block(block);
	closedir(blocks);
	return ret ? skip(attack, "no memory block can be unplugged") : 0;
}

/* The one that the page is in, if the system has it: 0 if it stays, for whatever reason. */
static long unplug_own(struct attack *attack, long unused)
{
	FILE *file = fopen(MEMORY "block_size_bytes", "re");
	unsigned long bytes;
	long ret = -EIO;

	if (!file)
		return skip(attack, "no memory hot-plug");
	if (fscanf(file, "%lx", &bytes) == 1)
		ret = unplug_block(attack->address / bytes) ? 0 : -ENXIO;
	fclose(file);
	return ret;
}

/* ---- what is told of a mapping, and what is told by it ------------------------------------- */

static long clear_refs(struct attack *attack, long what)
{
	char text[2] = { '0' + what };
	int fd = file_of(attack->pid, "clear_refs", O_WRONLY);
	long ret = or_errno(write(fd, text, 1));

	close(fd);
	return ret < 0 ? ret : 0;
}

static long read_pagemap(struct attack *attack, long unused)
{
	static uint64_t entries[512];
	int fd = file_of(attack->pid, "pagemap", O_RDONLY);
	long ret = or_errno(pread(fd, entries, attack->nr_pages * sizeof(*entries),
				  (uintptr_t)attack->base / PAGE * sizeof(*entries)));

	close(fd);
	for (uint64_t i = 0; i < attack->nr_pages && ret > 0; i++)
		if (!(entries[i] >> 63))
			ret = -ENXIO;	/* not present */
	return ret < 0 ? ret : 0;
}

/* As linux/fs.h has them from 6.7 on. */
struct pagemap_scan {
	uint64_t size, flags, start, end, walk_end, vec, vec_len, max_pages;
	uint64_t category_inverted, category_mask, category_anyof_mask, return_mask;
};

#define SCAN_PAGES	_IOWR('f', 16, struct pagemap_scan)
#define SCAN_WP		1
#define SCAN_WRITTEN	2
#define SCAN_PRESENT	8

/* How many stretches of pages are alike, or -errno; with SCAN_WP they are to be write-protected. */
static long scan_pagemap(struct attack *attack, long flags)
{
	struct {
		uint64_t start, end, categories;
	} regions[16];
	struct pagemap_scan scan = {
		.size = sizeof(scan),
		.flags = flags,
		.start = (uintptr_t)attack->base,
		.end = (uintptr_t)attack->base + bytes_of(attack),
		.vec = (uintptr_t)regions,
		.vec_len = ARRAY_SIZE(regions),
		.category_mask = flags ? 0 : SCAN_PRESENT,
		.return_mask = SCAN_PRESENT | SCAN_WRITTEN,
	};
	int fd = file_of(attack->pid, "pagemap", O_RDONLY);
	long ret = or_errno(ioctl(fd, SCAN_PAGES, &scan));

	close(fd);
	return ret == -ENOTTY ? skip(attack, "no PAGEMAP_SCAN before Linux 6.7") : ret;
}

static long read_maps(struct attack *attack, long unused)
{
	static const char *const names[] = { "smaps", "smaps_rollup", "numa_maps", "maps" };
	char path[64];

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		snprintf(path, sizeof(path), "/proc/%d/%s", attack->pid, names[i]);
		if (file_read(path) <= 0 && i < 2)
			return -EIO;
	}
	return 0;
}

static long is_resident(struct attack *attack, long unused)
{
	unsigned char resident[512];
	long ret = or_errno(mincore(attack->base, bytes_of(attack), resident));

	for (uint64_t i = 0; !ret && i < attack->nr_pages; i++)
		if (!(resident[i] & 1))
			ret = -ENXIO;
	return ret;
}

static long sync_it(struct attack *attack, long flags)
{
	return or_errno(msync(attack->base, bytes_of(attack), flags));
}

#endif
