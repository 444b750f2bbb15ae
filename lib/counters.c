// SPDX-License-Identifier: MIT
#include "counters.h"

struct counters counters;

void counters_reset(void)
{
	counters = (struct counters){0};
}
