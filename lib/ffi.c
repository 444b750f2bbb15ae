// SPDX-License-Identifier: MIT
/*
 * libpagespan-ffi: the library, and every inline function of its headers as a
 * symbol too, for languages that cannot include them.
 */
#define PS_INLINE __attribute__((__visibility__("default")))

#include "pagespan.h"
#include "pagespan/arena.h"
