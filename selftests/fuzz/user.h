/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A thread of each process, on another CPU, that uses the window meanwhile. It looks
 * at pages that came or went of late, and judges what it saw if no operation ran
 * meanwhile; and it reads and writes pages that it is given without pause, while
 * something is done to their mapping and they are freed, so that an entry that
 * outlives them is in use.
 */
#ifndef PAGESPAN_FUZZ_USER_H
#define PAGESPAN_FUZZ_USER_H

#include <linux/pagespan.h>

void user_start(void);

/* Around each operation: in between the model is what is. */
void user_operation_begins(void);
void user_operation_ends(void);

/* Between operations: returns once the thread has looked at something and judged it. */
void user_let_look(void);

/* The thread uses the first page and the last of a span that is owned, until it is told to end. */
void user_begin(struct pagespan_range span);
/* Those among them are about to be freed, and are freed. */
void user_will_lose(struct pagespan_range range);
void user_has_lost(void);
/* Returns once the thread has used both again. */
void user_goes_round(void);
void user_end(void);

#endif
