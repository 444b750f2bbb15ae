// SPDX-License-Identifier: MIT
/* The pool as sysfs tells of it. */
#include <ctype.h>
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include "files.h"
#include "pagespanctl.h"
#include "pool.h"
#include "terminal.h"

struct figure {
	const char *name;
	size_t offset;
};

static const struct figure figures[] = {
	{"nr_pages", offsetof(struct pool, nr_pages)},
	{"max_pages", offsetof(struct pool, max_pages)},
	{"pool_pages", offsetof(struct pool, pool_pages)},
	{"free_pages", offsetof(struct pool, free_pages)},
	{"longest_run", offsetof(struct pool, longest_run)},
	{"quarantined_pages", offsetof(struct pool, quarantined_pages)},
	{"clients", offsetof(struct pool, clients)},
	{"events/alloc", offsetof(struct pool, allocs)},
	{"events/free", offsetof(struct pool, frees)},
	{"events/fault", offsetof(struct pool, faults)},
	{"events/quarantine", offsetof(struct pool, quarantines)},
};

/* What older modules do not tell. */
static const struct figure later_figures[] = {
	{"poisoned_pages", offsetof(struct pool, poisoned_pages)},
	{"user_max_pages", offsetof(struct pool, user_max_pages)},
	{"events/ask", offsetof(struct pool, asks)},
	{"events/wait", offsetof(struct pool, waits)},
	{"events/served", offsetof(struct pool, served)},
};

#define NR_FIGURES       (sizeof(figures) / sizeof(*figures))
#define NR_LATER_FIGURES (sizeof(later_figures) / sizeof(*later_figures))

bool pool_is_there(void)
{
	return file_exists(POOL_SYSFS);
}

int no_module(void)
{
	complain("pagespan.ko is not loaded; `pagespanctl doctor` says what to do");
	return NO_MODULE;
}

/* The module's parameters are in it, which may be of any bytes. */
static bool read_text(const char *path, char *to, size_t room)
{
	char *text = file_text(path);

	if (!text)
		return false;
	snprintf(to, room, "%s", text);
	for (; *to; to++)
		if (!isprint((unsigned char)*to) && *to != '\n')
			*to = '?';
	free(text);
	return true;
}

static uint64_t *place_of(struct pool *pool, const struct figure *figure)
{
	return (uint64_t *)((char *)pool + figure->offset);
}

static bool read_figure(struct pool *pool, const struct figure *figure)
{
	char path[128];

	snprintf(path, sizeof(path), POOL_SYSFS "/%s", figure->name);
	return file_number(path, place_of(pool, figure));
}

static bool read_all(struct pool *pool)
{
	uint64_t huge;

	for (size_t i = 0; i < NR_FIGURES; i++)
		if (!read_figure(pool, &figures[i]))
			return false;
	for (size_t i = 0; i < NR_LATER_FIGURES; i++) {
		*place_of(pool, &later_figures[i]) = NOT_KNOWN;
		if (!read_figure(pool, &later_figures[i]) && errno != ENOENT)
			return false;
	}
	if (!file_number(POOL_SYSFS "/huge", &huge))
		return false;
	pool->huge = huge;
	return read_text(POOL_SYSFS "/source", pool->source, sizeof(pool->source)) &&
	       read_text(POOL_SYSFS "/why_not", pool->why_not, sizeof(pool->why_not));
}

int pool_read(struct pool *pool)
{
	if (!pool_is_there())
		return no_module();
	if (!read_all(pool)) {
		complain("cannot read " POOL_SYSFS ": %m");
		return FAILED;
	}
	return DONE;
}

uint64_t pool_used(const struct pool *pool)
{
	uint64_t not_owned = pool->free_pages + pool->quarantined_pages;

	if (pool->poisoned_pages != NOT_KNOWN)
		not_owned += pool->poisoned_pages;
	return pool->pool_pages > not_owned ? pool->pool_pages - not_owned : 0;
}
