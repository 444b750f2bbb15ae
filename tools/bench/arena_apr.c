// SPDX-License-Identifier: MIT
/* APR's pools. */
#include <apr_general.h>
#include <apr_pools.h>
#include <stdlib.h>

#include "arena.h"

static void *subject_open(void)
{
	apr_pool_t *pool;

	if (apr_initialize() || apr_pool_create(&pool, NULL))
		abort();
	return pool;
}

static void subject_close(void *state)
{
	apr_pool_destroy(state);
}

#define SUBJECT             apr
#define SUBJECT_NAME        "APR pool"
#define STATE               apr_pool_t
#define ALLOC(state, bytes) apr_palloc((state), (bytes))
#define RESET(state, last)  ((void)(last), apr_pool_clear(state))
#include "arena_workloads.h"
