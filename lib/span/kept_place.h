/* SPDX-License-Identifier: MIT */
/* Which of the pages that are kept are taken: those that leave the longest runs.  See kept.h. */
#ifndef PAGESPAN_KEPT_PLACE_H
#define PAGESPAN_KEPT_PLACE_H

#include <stdint.h>

#include "../../kmod/span_map.h"
#include "../backend/backend.h"

/*
 * As many spans of a request as there are: all in one run, which will come back as one; else one
 * by one, and so too where a megablock would be cut up for it, for there may be shorter runs for
 * each.
 */
uint32_t place_spans(struct span_map *map, const struct request *request, uint64_t *firsts);

/*
 * Up to so many pages that are to go back, and a megablock more at most: of the longest run, and
 * whole megablocks of it if it has any.
 */
struct range place_longest(struct span_map *map, uint64_t want);

#endif
