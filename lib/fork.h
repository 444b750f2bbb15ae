/* SPDX-License-Identifier: MIT */
#ifndef PAGESPAN_FORK_H
#define PAGESPAN_FORK_H

/* From the first call on, children of a fork start afresh, or continue; 0 or -errno. */
int fork_handle(void);

#endif
