// SPDX-License-Identifier: MIT
/* AddressSanitizer and Valgrind, when they are there at run time. */
#include "annotate.h"

#if defined(__has_include)
#if __has_include(<valgrind/memcheck.h>)
#include <valgrind/memcheck.h>
#define HAVE_MEMCHECK
#endif
#endif

__attribute__((weak)) void __asan_poison_memory_region(const volatile void *address, size_t bytes);
__attribute__((weak)) void __asan_unpoison_memory_region(const volatile void *address,
							 size_t bytes);

/* ThreadSanitizer is not told what the caches hand from one thread to another. */
__attribute__((weak)) void __tsan_init(void);

#ifdef HAVE_MEMCHECK
/* Of Valgrind's tools only memcheck answers. */
static bool under_memcheck(void)
{
	char byte = 0;
	char bits;

	return VALGRIND_GET_VBITS(&byte, &bits, 1) == 1;
}
#endif

bool annotate_watched(void)
{
#ifdef HAVE_MEMCHECK
	if (under_memcheck())
		return true;
#endif
#if defined(ANNOTATE_INLINE) || defined(__SANITIZE_THREAD__)
	return false;
#else
	return __asan_poison_memory_region || __tsan_init;
#endif
}

void annotate_long_allocated(void *span, size_t bytes, bool zeroed)
{
	if (__asan_unpoison_memory_region)
		__asan_unpoison_memory_region(span, bytes);
#ifdef HAVE_MEMCHECK
	if (zeroed)
		VALGRIND_MAKE_MEM_DEFINED(span, bytes);
	else
		VALGRIND_MAKE_MEM_UNDEFINED(span, bytes);
#else
	(void)zeroed;
#endif
}

void annotate_long_freed(void *span, size_t bytes)
{
	if (__asan_poison_memory_region)
		__asan_poison_memory_region(span, bytes);
#ifdef HAVE_MEMCHECK
	VALGRIND_MAKE_MEM_NOACCESS(span, bytes);
#endif
}
