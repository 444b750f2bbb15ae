/* SPDX-License-Identifier: MIT */
/*
 * Telling AddressSanitizer and Valgrind what is free.
 *
 * A library that is itself built with AddressSanitizer caches as ever, and every
 * cached span is poisoned but for the moment in which its link is read or
 * written.  In a program that is built with it, or runs under memcheck, while the
 * library is not, nothing is cached, and annotate.c tells of each span.
 */
#ifndef PAGESPAN_ANNOTATE_H
#define PAGESPAN_ANNOTATE_H

#include <stdbool.h>
#include <stddef.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ANNOTATE_INLINE
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define ANNOTATE_INLINE
#endif

#ifdef ANNOTATE_INLINE
#include <sanitizer/asan_interface.h>

#define ANNOTATE_LINK_BYTES 24

static inline void annotate_allocated(void *span, size_t bytes)
{
	ASAN_UNPOISON_MEMORY_REGION(span, bytes);
}

static inline void annotate_freed(void *span, size_t bytes)
{
	ASAN_POISON_MEMORY_REGION(span, bytes);
}

static inline void annotate_link_opened(void *link)
{
	ASAN_UNPOISON_MEMORY_REGION(link, ANNOTATE_LINK_BYTES);
}

static inline void annotate_link_closed(void *link)
{
	ASAN_POISON_MEMORY_REGION(link, ANNOTATE_LINK_BYTES);
}
#else
static inline void annotate_allocated(void *span, size_t bytes)
{
	(void)span;
	(void)bytes;
}

static inline void annotate_freed(void *span, size_t bytes)
{
	(void)span;
	(void)bytes;
}

static inline void annotate_link_opened(void *link)
{
	(void)link;
}

static inline void annotate_link_closed(void *link)
{
	(void)link;
}
#endif

/* Whether somebody watches who has to be told of every span, so that none may be cached. */
bool annotate_watched(void);

/* Of a span that takes the long way. */
void annotate_long_allocated(void *span, size_t bytes, bool zeroed);
void annotate_long_freed(void *span, size_t bytes);

#endif
