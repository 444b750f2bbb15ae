// SPDX-License-Identifier: MIT
/* Which pages of the memory backend can be touched. */
#define _GNU_SOURCE
#include <sys/mman.h>
#include <unistd.h>

#include "../counters.h"
#include "memory_state.h"

/*
 * Every change of protection in the middle of a mapping makes it two, and the kernel
 * allows a process only so many.  Once that is reached everything stays accessible.
 */
static bool give_up_protecting(void)
{
	static const char message[] =
		"pagespan: debug: too many mappings; from here on a page that "
		"is touched after it was freed reads as zeros\n";

	if (memory_state.unprotected)
		return true;
	if (mprotect(memory_state.base, memory_state.opened * PS_PAGE_SIZE, PROT_READ | PROT_WRITE))
		return false;
	memory_state.unprotected = true;
	(void)!write(STDERR_FILENO, message, sizeof(message) - 1);
	return true;
}

bool memory_unprotect(uint64_t first, uint64_t nr_pages)
{
	if (!memory_state.unprotected &&
	    !mprotect(memory_address(first), nr_pages * PS_PAGE_SIZE, PROT_READ | PROT_WRITE))
		return true;
	return give_up_protecting();
}

void memory_protect(uint64_t first, uint64_t nr_pages)
{
	if (!memory_state.unprotected &&
	    mprotect(memory_address(first), nr_pages * PS_PAGE_SIZE, PROT_NONE))
		give_up_protecting();
	if (memory_state.unprotected)
		counters_add(&counters.unprotected, 1);
}

bool memory_make_accessible(uint64_t first, uint64_t nr_pages)
{
	return (memory_state.debug && !memory_state.unprotected) ||
	       !mprotect(memory_address(first), nr_pages * PS_PAGE_SIZE, PROT_READ | PROT_WRITE);
}

bool memory_map_anew(uint64_t first, uint64_t nr_pages)
{
	size_t bytes = nr_pages * PS_PAGE_SIZE;

	if (mmap(memory_address(first), bytes, PROT_NONE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0) == MAP_FAILED)
		return false;
	madvise(memory_address(first), bytes, MADV_DONTFORK);
	return true;
}
