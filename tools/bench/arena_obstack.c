// SPDX-License-Identifier: MIT
/* glibc's obstacks. */
#include <obstack.h>
#include <stdlib.h>

#include "arena.h"

#define obstack_chunk_alloc malloc
#define obstack_chunk_free  free

struct stack {
	struct obstack obstack;
	void *first;
};

static void *subject_open(void)
{
	struct stack *stack = malloc(sizeof(*stack));

	if (!stack)
		abort();
	obstack_begin(&stack->obstack, ARENA_CHUNK);
	obstack_alignment_mask(&stack->obstack) = 7;
	stack->first = obstack_alloc(&stack->obstack, 8);
	return stack;
}

static void subject_close(void *state)
{
	struct stack *stack = state;

	obstack_free(&stack->obstack, NULL);
	free(stack);
}

static void reset(struct stack *stack)
{
	obstack_free(&stack->obstack, stack->first);
	stack->first = obstack_alloc(&stack->obstack, 8);
}

#define SUBJECT             obstack
#define SUBJECT_NAME        "obstack"
#define STATE               struct stack
#define ALLOC(state, bytes) obstack_alloc(&(state)->obstack, (bytes))
#define RESET(state, last)  ((void)(last), reset(state))
#include "arena_workloads.h"
