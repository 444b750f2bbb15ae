// SPDX-License-Identifier: MIT
/* std::pmr::monotonic_buffer_resource, with a first buffer of its own. */
#include <memory_resource>

#include "arena.h"

namespace
{
struct resource {
	char *buffer;
	std::pmr::monotonic_buffer_resource monotonic;

	resource()
		: buffer(new char[ARENA_CHUNK]), monotonic(buffer, ARENA_CHUNK)
	{
	}

	~resource()
	{
		monotonic.release();
		delete[] buffer;
	}
};

void *subject_open()
{
	return new resource;
}

void subject_close(void *state)
{
	delete static_cast<resource *>(state);
}
}

#define SUBJECT		    pmr
#define SUBJECT_NAME	    "std::pmr::monotonic"
#define STATE		    struct resource
#define ALLOC(state, bytes) (state)->monotonic.allocate((bytes), 8)
#define RESET(state, last)  ((void)(last), (state)->monotonic.release())
#include "arena_workloads.h"
