/* SPDX-License-Identifier: MIT */
#ifndef PAGESPAN_DEBUG_H
#define PAGESPAN_DEBUG_H

#include "backend/backend.h"

/* In debug mode: says which page of a range that the backend refused is not owned, and aborts. */
void debug_bad_free(const struct backend *backend, const char *ptr, const struct range *range);

#endif
