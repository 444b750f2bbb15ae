/* SPDX-License-Identifier: MIT */
/*
 * Rooms: pages behind spans that will grow (PS_GROWS).  To the map they are in use, and they belong
 * to nobody yet.  What is asked for at the start of a room comes from it; before anything is
 * refused, rooms go back to the map.
 *
 *	│ span that will grow │ room: accessible │ room: not accessible │
 *	                      first              closed                 end
 *
 * A room costs address space and nothing else: where it lies beyond what was open it is not
 * accessible, so that it counts against no limit and mlockall() does not fill it.
 *
 * All with the backend's lock held.
 */
#ifndef PAGESPAN_MEMORY_ROOM_H
#define PAGESPAN_MEMORY_ROOM_H

#include <stdbool.h>
#include <stdint.h>

#include "backend.h"

/* There are no rooms. */
void memory_room_init(void);

/* As memory_alloc_opening() for a span that will grow, with a room behind it if there is one. */
int64_t memory_room_alloc(uint32_t nr_pages, uint32_t align_pages);

/* Takes pages at the start of a room; 0, -ENOENT if they are not, -ENOMEM. */
int memory_room_take(const struct range *range);

/* Gives back a part of every room; false if that is nothing. */
bool memory_room_give_some(void);

/* Gives back the rooms that have pages of a range; false if none has. */
bool memory_room_give_in(const struct range *range);

/* Gives back the room of a span whose end was freed just now. */
void memory_room_freed(const struct range *range);

/* Whether a page of the range is in a room. */
bool memory_room_has(const struct range *range);

#endif
