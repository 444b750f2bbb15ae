// SPDX-License-Identifier: MIT
/* The same bump allocator behind an interface, as one that is passed as a parameter is. */
#include "arena_ideal.h"

struct interface {
	void *(*alloc)(void *allocator, size_t size, size_t align);
	void *allocator;
};

static __attribute__((noinline)) void *bump(void *allocator, size_t size, size_t align)
{
	(void)align;
	return ideal_alloc(allocator, size);
}

static void *interface_open(void)
{
	struct interface *interface = malloc(sizeof(*interface));

	if (!interface)
		abort();
	*interface = (struct interface){.alloc = bump, .allocator = subject_open()};
	return interface;
}

static void interface_close(void *state)
{
	struct interface *interface = state;

	subject_close(interface->allocator);
	free(interface);
}

static void interface_reset(struct interface *interface)
{
	struct ideal *ideal = interface->allocator;

	ideal->cur = ideal->start;
}

#define subject_open        interface_open
#define subject_close       interface_close
#define SUBJECT             interface
#define SUBJECT_NAME        "function pointer"
#define STATE               struct interface
#define ALLOC(state, bytes) (state)->alloc((state)->allocator, (bytes), 8)
#define RESET(state, last)  ((void)(last), interface_reset(state))
#include "arena_workloads.h"
