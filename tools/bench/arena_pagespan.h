/* SPDX-License-Identifier: MIT */
/* Opening and closing an arena of pagespan, for the subjects that are one. */
#include <pagespan.h>
#include <pagespan/arena.h>
#include <stdlib.h>

#include "arena.h"

#define STATE              struct ps_arena
#define RESET(state, last) ((void)(last), ps_arena_reset((state), SIZE_MAX))

static void *subject_open(void)
{
	struct ps_arena_options options = {.size = sizeof(options), .chunk_bytes = ARENA_CHUNK};
	struct ps_arena *arena = ps_arena_create(&options);

	if (!arena)
		abort();
	return arena;
}

static void subject_close(void *state)
{
	ps_arena_destroy(state);
}
