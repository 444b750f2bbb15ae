/* SPDX-License-Identifier: MIT */
/* Contents that go to other pages of the memory backend by a change of what is mapped where. */
#ifndef PAGESPAN_MEMORY_MOVE_H
#define PAGESPAN_MEMORY_MOVE_H

#include <stdbool.h>
#include <stdint.h>

/* Nothing was moved yet. */
void memory_move_init(void);

/* As the backend's move(). */
bool memory_move(uint64_t from, uint64_t to, uint64_t nr_pages);

/* Around a fork: nothing is on its way. */
void memory_move_lock(void);
void memory_move_unlock(void);
void memory_move_reset_lock(void);

#endif
