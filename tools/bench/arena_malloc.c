// SPDX-License-Identifier: MIT
/* malloc, whosever it is: each object is freed. */
#include <stdlib.h>

#include "arena.h"

static void *subject_open(void)
{
	return malloc(1);
}

static void subject_close(void *state)
{
	free(state);
}

static void free_list(void *last)
{
	while (last) {
		void *previous = *(void **)last;

		free(last);
		last = previous;
	}
}

#define SUBJECT      malloc
#define SUBJECT_NAME "malloc"
#define STATE        void
#define FREE_TREE
#define ALLOC(state, bytes) ((void)(state), malloc(bytes))
#define RESET(state, last)  free_list(last)
#include "arena_workloads.h"
