// SPDX-License-Identifier: MIT
/*
 * libpagespan-ffi: every inline function of the headers as a symbol, for languages
 * that cannot include them.  It stands on libpagespan, and brings it along.
 */
#define PS_INLINE __attribute__((__visibility__("default")))

#include "pagespan.h"
#include "pagespan/arena.h"
