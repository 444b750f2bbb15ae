// SPDX-License-Identifier: MIT
/* LLVM's BumpPtrAllocator. */
#include <llvm/Support/Allocator.h>

#include "arena.h"

namespace
{
using allocator = llvm::BumpPtrAllocator;

void *subject_open()
{
	return new allocator;
}

void subject_close(void *state)
{
	delete static_cast<allocator *>(state);
}
}

#define SUBJECT		    llvm
#define SUBJECT_NAME	    "LLVM BumpPtrAllocator"
#define STATE		    allocator
#define ALLOC(state, bytes) (state)->Allocate((bytes), 8)
#define RESET(state, last)  ((void)(last), (state)->Reset())
#include "arena_workloads.h"
