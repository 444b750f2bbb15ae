// SPDX-License-Identifier: MIT
/* The library's own thread. */
#include "background.h"

void background_start(void)
{
}
