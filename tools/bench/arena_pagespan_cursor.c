// SPDX-License-Identifier: MIT
/* pagespan through a cursor; trees are grown by a recursive function, which has none. */
#include "arena_pagespan.h"

#define SUBJECT                  pagespan_cursor
#define SUBJECT_NAME             "pagespan, cursor"
#define OPEN(arena)              struct ps_cursor cursor = ps_cursor_open(arena)
#define CLOSE(arena)             ps_cursor_close(&cursor)
#define ALLOC(state, bytes)      ps_cursor_alloc(&cursor, (bytes))
#define TREE_ALLOC(state, bytes) ps_alloc((state), (bytes))
#include "arena_workloads.h"
