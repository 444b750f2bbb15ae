// SPDX-License-Identifier: MIT
/* talloc: a context with the objects as its children. */
#include <stdlib.h>
#include <talloc.h>

#include "arena.h"

static void *subject_open(void)
{
	void *context = talloc_new(NULL);

	if (!context)
		abort();
	return context;
}

static void subject_close(void *state)
{
	talloc_free(state);
}

#define SUBJECT             talloc
#define SUBJECT_NAME        "talloc"
#define STATE               void
#define ALLOC(state, bytes) talloc_size((state), (bytes))
#define RESET(state, last)  ((void)(last), talloc_free_children(state))
#include "arena_workloads.h"
