// SPDX-License-Identifier: MIT
/*
 * Checked arenas. Without an argument: what PS_ARENA_DEBUG promises. With one: a program that does
 * something, right or wrong, for lib_arena_checked.sh to run under a tool that is to notice.
 */
#define _GNU_SOURCE
#include <pagespan.h>
#include <pagespan/arena.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tap.h"

static struct ps_arena *new_arena(uint64_t flags)
{
	struct ps_arena_options options = {.size = sizeof(options), .flags = flags};
	struct ps_arena *arena = ps_arena_create(&options);

	if (!arena)
		abort();
	return arena;
}

/* Whether a child that runs a function on a checked arena aborts, and says so. */
static bool aborts_with(void (*function)(struct ps_arena *arena), const char *message)
{
	char said[512] = "";
	int fds[2], status;
	size_t used = 0;
	ssize_t got;
	pid_t child;

	if (pipe(fds))
		abort();
	child = fork();
	if (!child) {
		dup2(fds[1], STDERR_FILENO);
		function(new_arena(PS_ARENA_DEBUG));
		_exit(0);
	}
	close(fds[1]);
	while ((got = read(fds[0], said + used, sizeof(said) - 1 - used)) > 0)
		used += (size_t)got;
	close(fds[0]);
	waitpid(child, &status, 0);
	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT && strstr(said, message))
		return true;
	printf("# status %#x, said: %s\n", status, said);
	return false;
}

/* The volatile pointer hides from the compiler what is wrong. */
static void write_behind(void *object, size_t offset)
{
	volatile char *byte = object;

	byte[offset] = 1;
}

static void overrun_and_reset(struct ps_arena *arena)
{
	write_behind(ps_alloc(arena, 24), 24);
	ps_arena_reset(arena, 0);
}

static void overrun_by_a_byte_and_destroy(struct ps_arena *arena)
{
	write_behind(ps_alloc(arena, 21), 21);
	ps_alloc(arena, 100);
	ps_arena_destroy(arena);
}

static void overrun_and_rewind(struct ps_arena *arena)
{
	struct ps_arena_mark mark = ps_mark(arena);
	char *object = ps_alloc(arena, 16);

	for (int i = 0; i < 10000; i++)
		ps_alloc(arena, 16);
	write_behind(object, 16);
	ps_rewind(arena, mark);
}

static void overrun_a_large_object_and_destroy(struct ps_arena *arena)
{
	write_behind(ps_alloc(arena, 1 << 20), 1 << 20);
	ps_arena_destroy(arena);
}

static void overrun_and_be_adopted(struct ps_arena *arena)
{
	struct ps_arena *other = new_arena(PS_ARENA_DEBUG);

	write_behind(ps_alloc(other, 8), 8);
	ps_arena_adopt(arena, other);
	ps_arena_destroy(arena);
}

static void *alloc_from(void *arena)
{
	return ps_alloc(arena, 8);
}

static void use_in_another_thread(struct ps_arena *arena)
{
	pthread_t thread;

	pthread_create(&thread, NULL, alloc_from, arena);
	pthread_join(thread, NULL);
}

static void *take_over(void *arena)
{
	ps_arena_reset(arena, 0);
	return ps_alloc(arena, 8);
}

static bool another_thread_may_take_over(void)
{
	struct ps_arena *arena = new_arena(PS_ARENA_DEBUG);
	pthread_t thread;
	void *object;

	pthread_create(&thread, NULL, take_over, arena);
	pthread_join(thread, &object);
	ps_arena_destroy(arena);
	return object;
}

/* Everything right, on arenas that are checked and that are not. */
static bool does_no_wrong(void)
{
	struct ps_arena *checked = new_arena(PS_ARENA_DEBUG), *plain = new_arena(0);
	struct ps_arena_mark mark = ps_mark(checked);

	for (int round = 0; round < 3; round++) {
		for (size_t size = 0; size < 300000; size = size * 2 + 1) {
			memset(ps_alloc(checked, size), 1, size);
			memset(ps_alloc(plain, size), 1, size);
			memset(ps_alloc_aligned(checked, size, 64), 1, size);
			if (strcmp(ps_printf(checked, "%zu", size), ps_printf(plain, "%zu", size)) != 0)
				return false;
		}
		if (round == 0)
			ps_rewind(checked, mark);
		if (round == 1)
			ps_arena_reset(checked, SIZE_MAX);
	}
	ps_arena_adopt(checked, plain);
	plain = new_arena(0);
	ps_arena_adopt(plain, checked);
	ps_arena_destroy(plain);
	return true;
}

static int run(const char *what)
{
	struct ps_arena *arena = new_arena(0);
	char *object = ps_alloc(arena, 20);

	memset(object, 1, 20);
	if (!strcmp(what, "right"))
		return !does_no_wrong();
	if (!strcmp(what, "after-reset")) {
		ps_arena_reset(arena, SIZE_MAX);
	} else if (!strcmp(what, "after-rewind")) {
		struct ps_arena_mark mark = ps_mark(arena);

		object = ps_alloc(arena, 100000);
		ps_rewind(arena, mark);
	} else if (!strcmp(what, "behind")) {
		object += 20;
	} else if (!strcmp(what, "unallocated")) {
		object += 1000;
	} else if (!strcmp(what, "in-an-empty-arena")) {
		object = (char *)new_arena(0) + 1000;
	} else if (!strcmp(what, "after-destroy")) {
		ps_arena_destroy(arena);
	} else {
		return 2;
	}
	return ((volatile char *)object)[0] == 2;
}

int main(int argc, char **argv)
{
	if (argc > 1)
		return run(argv[1]);
	tap_begin();
	tap_result(does_no_wrong(), "checked_arenas_do_what_others_do");
	tap_result(aborts_with(overrun_and_reset, "behind its end"), "reset_notices_an_overrun");
	tap_result(aborts_with(overrun_by_a_byte_and_destroy, "21 bytes"),
		   "destroy_notices_an_overrun_by_a_byte");
	tap_result(aborts_with(overrun_and_rewind, "behind its end"), "rewind_notices_an_overrun");
	tap_result(aborts_with(overrun_a_large_object_and_destroy, "behind its end"),
		   "overrun_of_a_large_object_is_noticed");
	tap_result(aborts_with(overrun_and_be_adopted, "behind its end"),
		   "overrun_of_an_adopted_object_is_noticed");
	tap_result(aborts_with(use_in_another_thread, "not its own"),
		   "use_by_a_thread_which_is_not_the_owner_is_noticed");
	tap_result(another_thread_may_take_over(), "another_thread_may_take_over_by_reset");
	return tap_end();
}
