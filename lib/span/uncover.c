// SPDX-License-Identifier: MIT
/* Cached spans that stand where another is to grow. */
#include "pages.h"
#include "../process.h"
#include "thread_cache.h"

static bool is_in(void *span, uint64_t nr_pages, const struct range *range)
{
	uint64_t first = (uint64_t)((char *)span - process.window.base) / PS_PAGE_SIZE;

	return first < range->first + range->nr_pages && range->first < first + nr_pages;
}

static void set_next(struct link *link, struct link *next)
{
	annotate_link_opened(link);
	link->next = next;
	annotate_link_closed(link);
}

struct link *links_uncover(struct link *list, uint64_t nr_pages, const struct range *range,
			   struct pages_batch *out, uint32_t *nr_out)
{
	struct link *first = NULL, *last = NULL, *link, *next;

	*nr_out = 0;
	for (link = list; link; link = next) {
		next = link_next(link);
		if (is_in(span_of(link), nr_pages, range)) {
			set_next(link, NULL);
			pages_batch_add(out, link, nr_pages);
			++*nr_out;
			continue;
		}
		if (!last)
			first = link;
		else if (*nr_out)
			set_next(last, link);
		last = link;
	}
	if (last && *nr_out)
		set_next(last, NULL);
	return first;
}

/* A list is in no place while it is looked through: see cache_ordered(). */
static uint32_t uncover_bin(struct thread_cache *cache, uint32_t bin, const struct range *range,
			    struct pages_batch *out)
{
	struct link *loaded = cache->head[bin], *spare = cache->spare[bin];
	uint32_t nr_loaded_out, nr_spare_out;

	cache->head[bin] = NULL;
	cache->spare[bin] = NULL;
	cache_ordered();
	loaded = links_uncover(loaded, bin_pages(bin), range, out, &nr_loaded_out);
	spare = links_uncover(spare, bin_pages(bin), range, out, &nr_spare_out);
	cache_ordered();
	cache->room[bin] += (int32_t)nr_loaded_out;
	cache->head[bin] = loaded;
	cache->spare_count[bin] -= (uint8_t)nr_spare_out;
	cache->spare[bin] = spare;
	cache->removed += nr_loaded_out + nr_spare_out;
	return nr_loaded_out + nr_spare_out;
}

bool thread_cache_uncover(const struct range *range)
{
	struct thread_cache *cache = thread_cache;
	struct pages_batch out;
	uint32_t nr_out = 0;
	uint32_t bin;

	if (!cache->in_use)
		return false;
	pages_batch_begin(&out);
	for_each_bin(bin, cache->active)
		nr_out += uncover_bin(cache, bin, range, &out);
	pages_batch_flush(&out);
	return nr_out;
}
