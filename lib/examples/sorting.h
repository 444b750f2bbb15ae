/* SPDX-License-Identifier: MIT */
/* The other library of two that know nothing of each other: sorting. */
#ifndef EXAMPLES_SORTING_H
#define EXAMPLES_SORTING_H

#include <stddef.h>

/**
 * sort_strings() - sort, leaving equal ones in their order
 * @strings: what to sort
 * @count: how many
 *
 * Return: 0, or -ENOMEM; then they are in the order in which they were.
 */
int sort_strings(char **strings, size_t count);

#endif
