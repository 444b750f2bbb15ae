/* SPDX-License-Identifier: MIT */
/*
 * The workloads of bench-arena, for one subject. Included once by each, in C or C++, so that what
 *can be inlined is. The including file defines
 *
 *	SUBJECT			an identifier
 *	SUBJECT_NAME		its name in the report
 *	STATE			the type of an arena
 *	ALLOC(state, size)	an object, never NULL; size may be a constant
 *	RESET(state, last)	frees all objects; each begins with a pointer to the one before it
 *
 * and may define
 *
 *	OPEN(state), CLOSE(state)	statements before and after a run of allocations: a cursor
 *	ALLOC_THREE(state, a, b, c)	16, 24 and 40 bytes at once
 *	TREE_ALLOC(state, size)		the same as ALLOC, in a recursive function
 *	FREE_TREE			objects of a tree are freed one by one
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "arena.h"

#ifndef OPEN
#define OPEN(state)
#define CLOSE(state)
#endif
#ifndef ALLOC_THREE
#define ALLOC_THREE(state, a, b, c)       \
	do {                              \
		(a) = ALLOC((state), 16); \
		(b) = ALLOC((state), 24); \
		(c) = ALLOC((state), 40); \
	} while (0)
#endif

#ifndef TREE_ALLOC
#define TREE_ALLOC ALLOC
#endif

#define NOINLINE __attribute__((noinline))
#define LINK(object, last)                 \
	do {                               \
		*(void **)(object) = last; \
		(last) = (object);         \
	} while (0)

/* One workload: @count objects of @size bytes, then freed, @rounds times. */
#define FILL(name, count, size)                                         \
	static NOINLINE void name(void *opaque, uint64_t rounds)        \
	{                                                               \
		STATE *state = (STATE *)opaque;                         \
                                                                        \
		while (rounds--) {                                      \
			void *last = NULL;                              \
                                                                        \
			OPEN(state);                                    \
			for (uint32_t i = 0, n = (count); i < n; i++) { \
				void *object = ALLOC(state, size);      \
                                                                        \
				LINK(object, last);                     \
			}                                               \
			CLOSE(state);                                   \
			RESET(state, last);                             \
		}                                                       \
	}

FILL(fill_16, arena_batch, 16)
FILL(fill_32, arena_batch, 32)
FILL(fill_random, arena_batch, arena_sizes[i])
FILL(fill_million, ARENA_MILLION, 16)

static NOINLINE void fill_three(void *opaque, uint64_t rounds)
{
	STATE *state = (STATE *)opaque;

	while (rounds--) {
		void *last = NULL;

		OPEN(state);
		for (uint32_t i = 0, n = arena_batch; i < n; i++) {
			void *a, *b, *c;

			ALLOC_THREE(state, a, b, c);
			LINK(a, last);
			LINK(b, last);
			LINK(c, last);
		}
		CLOSE(state);
		RESET(state, last);
	}
}

struct tree {
	struct tree *left;
	struct tree *right;
};

static NOINLINE struct tree *grow(STATE *state, int depth)
{
	struct tree *tree = (struct tree *)TREE_ALLOC(state, sizeof(*tree));

	if (depth) {
		tree->left = grow(state, depth - 1);
		tree->right = grow(state, depth - 1);
	} else {
		tree->left = NULL;
		tree->right = NULL;
	}
	return tree;
}

static NOINLINE uint32_t count_tree(const struct tree *tree)
{
	return tree ? 1 + count_tree(tree->left) + count_tree(tree->right) : 0;
}

#ifdef FREE_TREE
static NOINLINE void free_tree(struct tree *tree)
{
	if (!tree)
		return;
	free_tree(tree->left);
	free_tree(tree->right);
	free(tree);
}
#endif

static inline void trees(STATE *state, uint64_t rounds, int depth)
{
	while (rounds--) {
		struct tree *tree = grow(state, depth);

		if (count_tree(tree) != (2u << depth) - 1)
			abort();
#ifdef FREE_TREE
		free_tree(tree);
#else
		RESET(state, NULL);
#endif
	}
}

static NOINLINE void trees_16(void *opaque, uint64_t rounds)
{
	trees((STATE *)opaque, rounds, 16);
}

static NOINLINE void trees_18(void *opaque, uint64_t rounds)
{
	trees((STATE *)opaque, rounds, 18);
}

#define SUBJECT_OBJECT_(subject) arena_subject_##subject
#define SUBJECT_OBJECT(subject)  SUBJECT_OBJECT_(subject)

#ifdef __cplusplus
extern "C"
#endif
	const struct arena_subject SUBJECT_OBJECT(SUBJECT) = {
		SUBJECT_NAME,
		subject_open,
		subject_close,
		{fill_16, fill_32, fill_random, fill_three, fill_million, trees_16, trees_18},
};
