/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* The kernel's harness, but a test may take longer than its 30 s: debug kernels are slow. */
#ifndef PAGESPAN_HARNESS_H
#define PAGESPAN_HARNESS_H

#include "../kselftest_harness.h"

#undef TEST_TIMEOUT_DEFAULT
#define TEST_TIMEOUT_DEFAULT 150	/* seconds */

#endif
