// SPDX-License-Identifier: MIT
#include <errno.h>

#include "memory_room.h"
#include "memory_state.h"

/* So few that looking at each costs nothing beside what asks for it. */
#define ROOMS_MAX 64

/* A span and its room are at most one part in so many of the pool: others will grow as well. */
#define POOL_SHARE 8

/* Pages first to end - 1, of which those from closed on are not accessible. */
struct room {
	uint64_t first;
	uint64_t closed;
	uint64_t end;
};

/* The oldest first. */
static struct room rooms[ROOMS_MAX];
static uint32_t nr_rooms;

void memory_room_init(void)
{
	nr_rooms = 0;
	memory_state.closed = 0;
}

static void forget(uint32_t i)
{
	for (nr_rooms--; i < nr_rooms; i++)
		rooms[i] = rooms[i + 1];
}

static bool overlaps(const struct room *room, const struct range *range)
{
	return range->first < room->end && room->first < range->first + range->nr_pages;
}

bool memory_room_has(const struct range *range)
{
	uint32_t i;

	for (i = 0; i < nr_rooms; i++)
		if (overlaps(&rooms[i], range))
			return true;
	return false;
}

/* ---- giving back ---------------------------------------------------------------------------- */

/*
 * Pages that are not accessible at the end of a room: closed again if nothing is open behind them,
 * else opened.  False if the kernel refuses.
 */
static bool give_closed(struct room *room, uint64_t from)
{
	uint64_t nr_pages = room->end - from;

	if (room->end == memory_state.opened) {
		memory_state.opened = from;
	} else {
		if (!memory_make_accessible(from, nr_pages))
			return false;
		span_map_free(&memory_state.map, from, nr_pages);
	}
	memory_state.closed -= nr_pages;
	room->end = from;
	return true;
}

/*
 * Gives back the pages of a room from one on.  Where those that are not accessible must stay so,
 * for a limit, they stay in the room, and all others go.  False if nothing could be given.
 */
static bool give_from(struct room *room, uint64_t from)
{
	uint64_t first_closed = from > room->closed ? from : room->closed;
	bool given = room->closed < room->end && give_closed(room, first_closed);
	bool is_stuck = room->closed < room->end && !given;

	if (is_stuck)
		from = room->first;
	if (from >= room->closed)
		return given;
	span_map_free(&memory_state.map, from, room->closed - from);
	if (is_stuck) {
		room->first = room->closed;
	} else {
		room->closed = from;
		room->end = from;
	}
	return true;
}

/* False if nothing could be given. */
static bool give_all_of(uint32_t i)
{
	bool given = give_from(&rooms[i], rooms[i].first);

	if (rooms[i].first == rooms[i].end)
		forget(i);
	return given;
}

bool memory_room_give_some(void)
{
	bool given = false;
	uint32_t i;

	for (i = nr_rooms; i--;) {
		struct room *room = &rooms[i];

		given |= give_from(room, room->first + (room->end - room->first) / 2);
		if (room->first == room->end)
			forget(i);
	}
	return given;
}

bool memory_room_give_in(const struct range *range)
{
	bool given = false;
	uint32_t i;

	for (i = nr_rooms; i--;)
		if (overlaps(&rooms[i], range))
			given |= give_all_of(i);
	return given;
}

void memory_room_freed(const struct range *range)
{
	uint32_t i;

	for (i = nr_rooms; i--;)
		if (rooms[i].first == range->first + range->nr_pages)
			give_all_of(i);
}

/* ---- taking --------------------------------------------------------------------------------- */

/*
 * Where nothing was open yet: only the span's pages become accessible, and a few besides, as far as
 * a megablock goes.
 */
static int64_t take_beyond(uint64_t nr_pages, uint64_t room_pages, uint64_t align,
			   struct room *room)
{
	uint64_t opened = memory_state.opened;
	uint64_t first = (opened + align - 1) / align * align;
	uint64_t end = first + nr_pages + room_pages;
	uint64_t closed =
		(first + nr_pages + MEGABLOCK_PAGES - 1) / MEGABLOCK_PAGES * MEGABLOCK_PAGES;

	if (closed > end)
		closed = end;
	if (end > memory_state.map.nr_pages || !memory_make_accessible(opened, closed - opened))
		return -ENOMEM;
	if (first > opened)
		span_map_free(&memory_state.map, opened, first - opened);
	memory_state.opened = end;
	memory_state.closed += end - closed;
	*room = (struct room){first + nr_pages, closed, end};
	return (int64_t)first;
}

/* With a room of exactly so many pages. */
static int64_t take(uint32_t nr_pages, uint32_t room_pages, uint32_t align, struct room *room)
{
	int64_t first = span_map_alloc(&memory_state.map, nr_pages + room_pages, align);
	uint64_t start, end;

	if (first < 0)
		return take_beyond(nr_pages, room_pages, align, room);
	start = (uint64_t)first + nr_pages;
	end = start + room_pages;
	*room = (struct room){start, end, end};
	return first;
}

/* How large a room may be at best. */
static uint32_t most_pages(uint32_t nr_pages)
{
	uint64_t most = memory_state.map.nr_pages / POOL_SHARE;

	if (most > SPAN_MAP_MAX_SPAN)
		most = SPAN_MAP_MAX_SPAN;
	return most > nr_pages ? (uint32_t)most - nr_pages : 0;
}

int64_t memory_room_alloc(uint32_t nr_pages, uint32_t align_pages)
{
	uint32_t room_pages = most_pages(nr_pages);
	int64_t first;

	if (nr_rooms == ROOMS_MAX)
		give_all_of(0);
	if (nr_rooms == ROOMS_MAX)
		room_pages = 0;
	for (; room_pages; room_pages /= 2) {
		first = take(nr_pages, room_pages, align_pages, &rooms[nr_rooms]);
		if (first >= 0) {
			nr_rooms++;
			return first;
		}
	}
	return memory_alloc_opening(nr_pages, align_pages);
}

/* At least to there; a megablock at a time. */
static bool open_until(struct room *room, uint64_t end)
{
	uint64_t more = (end + MEGABLOCK_PAGES - 1) / MEGABLOCK_PAGES * MEGABLOCK_PAGES;

	if (end <= room->closed)
		return true;
	if (more > room->end)
		more = room->end;
	if (!memory_make_accessible(room->closed, more - room->closed)) {
		more = end;
		if (!memory_make_accessible(room->closed, more - room->closed))
			return false;
	}
	memory_state.closed -= more - room->closed;
	room->closed = more;
	return true;
}

int memory_room_take(const struct range *range)
{
	uint64_t end = range->first + range->nr_pages;
	uint32_t i;

	for (i = 0; i < nr_rooms; i++) {
		struct room *room = &rooms[i];

		if (room->first != range->first || room->end < end)
			continue;
		if (!open_until(room, end))
			return -ENOMEM;
		room->first = end;
		if (room->first == room->end)
			forget(i);
		return 0;
	}
	return -ENOENT;
}
