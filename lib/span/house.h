/* SPDX-License-Identifier: MIT */
#ifndef PAGESPAN_HOUSE_H
#define PAGESPAN_HOUSE_H

/* What is due from time to time, on the long way: what is old goes back. */
void house_keep(void);

/* Everything that is cached anywhere in the process goes back. */
void house_clear(void);

#endif
