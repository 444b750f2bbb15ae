// SPDX-License-Identifier: GPL-2.0-only
/*
 * In a counting pagespan.ko: where its counts are. The keeper finds the table as
 * the argument of a module parameter that nobody sets.
 */
#include <linux/moduleparam.h>

#include "gcov.h"

/* The first entry of the section, which holds nothing. */
static const struct gcov_object *before_objects[1] __used __section(".pagespan_coverage");

static struct gcov_table table = { .nr = NR_COUNTED, .objects = before_objects + 1 };

static const struct kernel_param_ops no_ops = {};

module_param_cb(coverage, &no_ops, &table, 0);

void __gcov_merge_add(u64 *values, u32 nr)
{
}
