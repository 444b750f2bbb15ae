/* SPDX-License-Identifier: GPL-2.0-only */
/* An operation is a number: all that is random about it follows from it. */
#ifndef PAGESPAN_FUZZ_OPERATIONS_H
#define PAGESPAN_FUZZ_OPERATIONS_H

#include <stdint.h>

void run_operation(uint64_t operation);

#endif
