// SPDX-License-Identifier: MIT
/*
 * How much stack the library's calls take: coroutines have little. Linked so that no call is bound on
 * its first use, for which the dynamic linker would take stack of its own.
 */
#define _GNU_SOURCE
#include <pagespan.h>
#include <pagespan/arena.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <ucontext.h>

#include "../harness.h"

#define PAGE PS_PAGE_SIZE
#define MIB  ((size_t)1 << 20)

/* What <pagespan.h> promises, and what <pagespan/arena.h> adds for every register there may be. */
#define MOST      2048
#define REGISTERS 2816

#define PAINT 0xa5
#define COUNT 1500

static char stack[256 << 10];
static ucontext_t here, there;
static void (*job)(void);

static void run(void)
{
	job();
}

/* Bytes of stack that a function writes to, beyond what it takes to call one. */
static size_t used_by(void (*function)(void))
{
	size_t painted = 0;

	memset(stack, PAINT, sizeof(stack));
	job = function;
	getcontext(&there);
	there.uc_stack.ss_sp = stack;
	there.uc_stack.ss_size = sizeof(stack);
	there.uc_link = &here;
	makecontext(&there, run, 0);
	swapcontext(&here, &there);
	while ((unsigned char)stack[painted] == PAINT)
		painted++;
	return sizeof(stack) - painted;
}

static void *spans[COUNT];
static struct ps_arena *arena;

static size_t bytes_of(int i)
{
	return (size_t)(1 + i % 300) * PAGE;
}

static void alloc_all(void)
{
	for (int i = 0; i < COUNT; i++)
		spans[i] = ps_span_alloc(bytes_of(i));
}

static void free_all(void)
{
	for (int i = 0; i < COUNT; i++)
		if (spans[i])
			ps_span_free(spans[i], bytes_of(i));
}

/* With what is due once a second. */
static void decay(void)
{
	struct timespec wait = {.tv_nsec = 600 * 1000 * 1000};

	for (int i = 0; i < 4; i++) {
		nanosleep(&wait, NULL);
		alloc_all();
		free_all();
	}
}

static void alloc_bulk(void)
{
	ps_span_alloc_bulk(2 * PAGE, COUNT, spans);
}

static void free_bulk(void)
{
	for (int i = 0; i < COUNT; i++)
		if (spans[i])
			ps_span_free(spans[i], 2 * PAGE);
	ps_trim(0);
}

static void refuse(void)
{
	ps_limit_set(PAGE);
	ps_span_alloc(PS_SPAN_MAX);
	ps_span_alloc_bulk(PAGE, COUNT, spans);
	ps_limit_set(0);
}

static void grow(void)
{
	char *span = ps_span_alloc_ex(8 * PAGE, 16 * PAGE, PS_ZERO | PS_POPULATE);

	ps_span_free(span + PAGE, 7 * PAGE);
	ps_span_extend(span, PAGE, 8 * PAGE);
	ps_span_free(span, 8 * PAGE);
}

static void resize(void)
{
	char *span = ps_span_alloc_ex(PAGE, 0, PS_GROWS);
	size_t bytes = PAGE;

	for (; span && bytes < 64 * MIB; bytes *= 2) {
		char *moved = ps_span_resize(span, bytes, 2 * bytes);

		if (!moved)
			break;
		span = moved;
		/* What lies behind it hems it in. */
		ps_span_alloc(bytes);
	}
	ps_span_free(span, bytes);
}

static void reclaim(void)
{
	alloc_all();
	free_all();
	ps_reclaim();
}

static void fill_arena(void)
{
	for (int i = 0; i < 100000; i++)
		ps_alloc(arena, 64);
	ps_alloc(arena, 5 * MIB);
}

TEST(slow_paths_take_little_stack)
{
	static const struct {
		const char *name;
		void (*function)(void);
	} calls[] = {
		{"alloc", alloc_all}, {"free", free_all}, {"decay", decay},
		{"alloc_bulk", alloc_bulk}, {"free_bulk", free_bulk}, {"refuse", refuse},
		{"grow", grow}, {"resize", resize}, {"reclaim", reclaim},
	};

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
	SKIP(return, "a sanitizer has frames of its own");
#endif
	ASSERT_NE(NULL, ps_backend());
	for (size_t i = 0; i < ARRAY_SIZE(calls); i++) {
		size_t bytes = used_by(calls[i].function);

		EXPECT_GE(MOST, bytes)
			TH_LOG("%s took %zu", calls[i].name, bytes);
	}
}

TEST(slow_path_of_an_arena_takes_what_the_registers_need_more)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
	SKIP(return, "a sanitizer has frames of its own");
#endif
	arena = ps_arena_create(NULL);
	ASSERT_NE(NULL, arena);
	EXPECT_GE(MOST + REGISTERS, used_by(fill_arena));
	ps_arena_destroy(arena);
}

TEST_HARNESS_MAIN
