/* SPDX-License-Identifier: MIT */
#ifndef PAGESPAN_RANGES_H
#define PAGESPAN_RANGES_H

#include <stdbool.h>
#include <stdint.h>

#include "backend.h"

/* The most that are gathered before they move on; on the stack, of which there is little. */
#define RANGES_MOST 32

/* Whether a range lies beside another, which then takes it in. */
bool ranges_join(struct range *into, const struct range *range);

/* Sorts ranges, and makes one of those that lie side by side; how many remain. */
uint32_t ranges_merge(struct range *ranges, uint32_t count);

/* The sum of their pages. */
uint64_t ranges_pages(const struct range *ranges, uint32_t count);

#endif
