/* SPDX-License-Identifier: MIT */
/* Colours, where they are wanted, and quantities as people read them. */
#ifndef PAGESPANCTL_TERMINAL_H
#define PAGESPANCTL_TERMINAL_H

#include <stdbool.h>
#include <stdint.h>

#define QUANTITY_BYTES 32

/* Instead of a size that nobody could tell. */
#define NOT_KNOWN UINT64_MAX

/**
 * terminal_choose() - when to use colours
 * @when: "auto", "always" or "never"
 *
 * Return: whether it is one of these.
 */
bool terminal_choose(const char *when);

/**
 * terminal_colours() - whether to use colours on standard output
 *
 * Return: true if it was asked for, or if it is a terminal that has them and NO_COLOR is not set.
 */
bool terminal_colours(void);

/**
 * paint() - an escape sequence, or nothing
 * @sequence: what stands between "ESC [" and "m"; 0 ends what was begun
 *
 * Return: the sequence where there are colours, else "".
 */
const char *paint(const char *sequence);

/**
 * quantity() - a size in KiB, MiB or GiB
 * @text: where to, QUANTITY_BYTES
 * @bytes: the size; "-" is for NOT_KNOWN
 *
 * Return: @text.
 */
const char *quantity(char *text, uint64_t bytes);

/**
 * percent() - a part in percent
 * @part: the part
 * @whole: of what
 *
 * Return: 0 to 100; 0 of nothing.
 */
double percent(uint64_t part, uint64_t whole);

#endif
