// SPDX-License-Identifier: MIT
/* What lib_arena_code.sh looks at: inlined allocations, compiled and never run. */
#include <pagespan/arena.h>

struct six {
	long a, b, c, d, e;
};

void *bare(struct ps_arena *arena);
struct six *constructor(struct ps_arena *arena, long a, long b, long c, long d, long e);
void *variable(struct ps_arena *arena, size_t size);
void *grouped(struct ps_arena *arena, void **second, void **third);
void *reserved(struct ps_arena *arena, void **second, void **third);

void *bare(struct ps_arena *arena)
{
	return ps_alloc(arena, 24);
}

struct six *constructor(struct ps_arena *arena, long a, long b, long c, long d, long e)
{
	struct six *made = ps_new(arena, struct six);

	if (!made)
		return NULL;
	made->a = a;
	made->b = b;
	made->c = c;
	made->d = d;
	made->e = e;
	return made;
}

void *variable(struct ps_arena *arena, size_t size)
{
	return ps_alloc(arena, size);
}

void *grouped(struct ps_arena *arena, void **second, void **third)
{
	char(*p1)[16], (*p2)[24], (*p3)[40];

	if (!PS_NEW3(arena, char[16], p1, char[24], p2, char[40], p3))
		return NULL;
	*second = p2;
	*third = p3;
	return p1;
}

void *reserved(struct ps_arena *arena, void **second, void **third)
{
	struct ps_room room = ps_reserve(arena, 16 + 24 + 40);
	void *first;

	if (!room.at)
		return NULL;
	first = ps_take(&room, 16);
	*second = ps_take(&room, 24);
	*third = ps_take(&room, 40);
	return first;
}
