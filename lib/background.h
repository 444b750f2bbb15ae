/* SPDX-License-Identifier: MIT */
/* A thread that keeps house while all others sleep, for programs that ask for it. */
#ifndef PAGESPAN_BACKGROUND_H
#define PAGESPAN_BACKGROUND_H

/* Starts it; without it the caches are as they are otherwise.  Once in a process. */
void background_start(void);

#endif
