/* SPDX-License-Identifier: MIT */
/* Included first by programs whose lines are counted: none ends without writing its counts. */
#ifndef __ASSEMBLER__
#ifdef __cplusplus
extern "C" {
#endif
#include <stdlib.h>
#include <unistd.h>

void __gcov_dump(void);
void __gcov_reset(void);
#ifdef __cplusplus
}
#endif

#define _exit(status) (__gcov_dump(), __gcov_reset(), _exit(status))
#define abort()       (__gcov_dump(), __gcov_reset(), abort())
#endif
