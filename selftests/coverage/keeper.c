// SPDX-License-Identifier: GPL-2.0-only
/*
 * Keeps the counts of pagespan.ko over all the times that it is loaded, also when
 * its init fails: they are added to what is here after its last code has run.
 * /sys/kernel/debug/pagespan_coverage has a file for gcov for each object.
 *
 * KCOV would miss what runs in workers and in children, and the stock kernels
 * have none.
 */
#include <linux/debugfs.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "gcov.h"

#define MOST_OBJECTS	64

static struct dentry *directory;
static struct debugfs_blob_wrapper blobs[MOST_OBJECTS];

static void put(u32 *file, size_t *at, u32 word)
{
	if (file)
		file[*at] = word;
	++*at;
}

static void add(u32 *file, size_t *at, u64 count)
{
	if (file) {
		u64 sum = count + file[*at] + ((u64)file[*at + 1] << 32);

		file[*at] = sum;
		file[*at + 1] = sum >> 32;
	}
	*at += 2;
}

/* Adds an object's counts to its file, if there is one; the bytes it takes. */
static size_t write(const struct gcov_object *object, u32 *file)
{
	size_t at = 0;
	u32 i, kind, n;

	put(file, &at, GCOV_MAGIC);
	put(file, &at, object->version);
	put(file, &at, object->stamp);
	put(file, &at, object->checksum);
	for (i = 0; i < object->nr_functions; i++) {
		const struct gcov_function *function = object->functions[i];
		const struct gcov_counts *counts = function->counts;

		put(file, &at, GCOV_TAG_FUNCTION);
		put(file, &at, sizeof(function->words));
		for (n = 0; n < ARRAY_SIZE(function->words); n++)
			put(file, &at, function->words[n]);
		for (kind = 0; kind < GCOV_KINDS; kind++) {
			if (!object->kinds[kind])
				continue;
			put(file, &at, GCOV_TAG_COUNTS(kind));
			put(file, &at, counts->nr * sizeof(u64));
			for (n = 0; n < counts->nr; n++)
				add(file, &at, counts->values[n]);
			counts++;
		}
	}
	return at * sizeof(u32);
}

static void keep(const struct gcov_table *table)
{
	u32 i;

	for (i = 0; i < min_t(u32, table->nr, MOST_OBJECTS); i++) {
		struct debugfs_blob_wrapper *blob = &blobs[i];

		if (!blob->data) {
			blob->size = write(table->objects[i], NULL);
			blob->data = kvzalloc(blob->size, GFP_KERNEL);
			if (!blob->data)
				continue;
			debugfs_create_blob(kbasename(table->objects[i]->filename), 0400, directory,
					    blob);
		}
		write(table->objects[i], blob->data);
	}
}

static int keep_what_goes(struct notifier_block *block, unsigned long state, void *data)
{
	const struct module *module = data;
	unsigned int i;

	if (state == MODULE_STATE_GOING && !strcmp(module->name, "pagespan"))
		for (i = 0; i < module->num_kp; i++)
			if (!strcmp(module->kp[i].name, "coverage"))
				keep(module->kp[i].arg);
	return NOTIFY_DONE;
}

static struct notifier_block going = { .notifier_call = keep_what_goes };

static int __init keeper_init(void)
{
	directory = debugfs_create_dir(KBUILD_MODNAME, NULL);
	return register_module_notifier(&going);
}
module_init(keeper_init);

static void __exit keeper_exit(void)
{
	u32 i;

	unregister_module_notifier(&going);
	debugfs_remove(directory);
	for (i = 0; i < MOST_OBJECTS; i++)
		kvfree(blobs[i].data);
}
module_exit(keeper_exit);

MODULE_DESCRIPTION("Which lines of pagespan.ko have run");
MODULE_AUTHOR("The pagespan developers");
MODULE_LICENSE("GPL");
