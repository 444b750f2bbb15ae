/* SPDX-License-Identifier: GPL-2.0-only */
/* The kernel's harness, whose half a minute for a test is too little on a debug kernel that is emulated. */
#ifndef PAGESPAN_HARNESS_H
#define PAGESPAN_HARNESS_H

#include "../kselftest_harness.h"

#undef TEST_TIMEOUT_DEFAULT
#define TEST_TIMEOUT_DEFAULT 150	/* seconds */

#endif
