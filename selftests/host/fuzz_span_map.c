// SPDX-License-Identifier: MIT
/*
 * An operation stream from bytes, against the naive model. The first two bytes choose the pool's
 * size; then every six are an operation, a place and a length. With libFuzzer (clang
 * -fsanitize=fuzzer) the input is searched for; with -DREPLAY the files named on the command line
 * are run.
 */
#include "span_map_model.h"

static u64 number(const u8 *bytes)
{
	return bytes[0] | bytes[1] << 8;
}

static bool free_ranges(struct world *world, u64 first, u64 length, u32 limit)
{
	struct span_map_range ranges[64];
	u32 nr = model_ranges_in_use(world, first, length, ranges, 1 + limit % 64);

	/* Sometimes the last comes first. */
	if (nr && limit / 64 == 3)
		ranges[0].first = ranges[nr - 1].first;
	return !nr || world_free_ranges(world, ranges, nr);
}

static bool operate(struct world *world, const u8 *bytes)
{
	u64 nr_pages = number(bytes + 3), first = number(bytes + 1) % (world->nr_pages + 1);
	u64 megablock = first / 512 * 512;
	u32 align = 1u << (bytes[5] & 15);

	switch (bytes[0] % 10) {
	case 0:
		return world_alloc(world, nr_pages, 1);
	case 1:
		return world_alloc(world, nr_pages % 700, align);
	case 2:
		return world_alloc_at(world, first, nr_pages);
	case 3:
		return world_alloc_at(world, megablock, nr_pages % 1025);
	case 4:
		return world_free(world, first, nr_pages);
	case 5:
		return world_free(world, megablock, nr_pages % 1025);
	case 6:
		return world_free(world, first, 1 + nr_pages % 70);
	case 7:
		return world_alloc(world, 1 + nr_pages % 70, 1);
	case 8:
		return world_alloc_pages(world, 1 + nr_pages % 600);
	default:
		return free_ranges(world, first, 1 + nr_pages % 70, bytes[5]);
	}
}

int LLVMFuzzerTestOneInput(const u8 *bytes, size_t size);
int LLVMFuzzerTestOneInput(const u8 *bytes, size_t size)
{
	struct world world;

	if (size < 2)
		return 0;
	world_new(&world, 1 + number(bytes) % 1700);
	world_free(&world, 0, world.nr_pages);
	for (bytes += 2, size -= 2; size >= 6; bytes += 6, size -= 6)
		if (!operate(&world, bytes) || (size % 24 < 6 && !world_check(&world)))
			abort();
	if (!world_check(&world))
		abort();
	world_delete(&world);
	return 0;
}

#ifdef REPLAY
#include "tap.h"

int main(int argc, char **argv)
{
	static u8 bytes[1 << 16];
	size_t size;
	FILE *file;
	int i;

	tap_begin();
	for (i = 1; i < argc; i++) {
		file = fopen(argv[i], "rb");
		if (!file)
			return 1;
		size = fread(bytes, 1, sizeof(bytes), file);
		fclose(file);
		LLVMFuzzerTestOneInput(bytes, size);
	}
	printf("# %d inputs\n", argc - 1);
	tap_result(argc > 1, "the_corpus_agrees_with_the_model");
	return tap_end();
}
#endif
