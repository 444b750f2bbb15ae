// SPDX-License-Identifier: MIT
/* Strings in arenas. */
#include <stdio.h>
#include <string.h>

#include "pagespan/arena.h"

char *ps_strndup(struct ps_arena *arena, const char *string, size_t max)
{
	size_t length = strnlen(string, max);
	char *copy = ps_alloc(arena, length + 1);

	if (!copy)
		return NULL;
	copy[length] = 0;
	return memcpy(copy, string, length);
}

char *ps_strdup(struct ps_arena *arena, const char *string)
{
	size_t bytes = strlen(string) + 1;
	char *copy = ps_alloc(arena, bytes);

	return copy ? memcpy(copy, string, bytes) : NULL;
}

/* Into the current chunk if it fits there, which mostly it does; else it is made twice. */
char *ps_vprintf(struct ps_arena *arena, const char *format, va_list arguments)
{
	size_t room = arena->end - arena->cur;
	char *string = (char *)arena->cur;
	va_list again;
	int length;

	va_copy(again, arguments);
	length = vsnprintf(room ? string : NULL, room, format, arguments);
	if (length < 0) {
		string = NULL;
	} else if ((size_t)length < room) {
		arena->cur = ps_arena_rounded(arena->cur + (size_t)length + 1);
	} else {
		string = ps_alloc(arena, (size_t)length + 1);
		if (string)
			vsnprintf(string, (size_t)length + 1, format, again);
	}
	va_end(again);
	return string;
}

char *ps_printf(struct ps_arena *arena, const char *format, ...)
{
	va_list arguments;
	char *string;

	va_start(arguments, format);
	string = ps_vprintf(arena, format, arguments);
	va_end(arguments);
	return string;
}
