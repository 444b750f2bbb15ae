/* SPDX-License-Identifier: MIT */
/*
 * Inside the caches of threads: cache.c is the part that serves at once,
 * thread_cache.c the long way.
 *
 * A cache holds free spans by bin: a bin for each size up to 512 pages, and
 * one for each multiple of 2 MiB up to 16 MiB.  In a bin there are at most two
 * lists, linked inside the spans: the loaded one, which spans are taken from
 * and put to, last in, first out, and the spare one, a whole batch.  When the
 * loaded list is full it becomes the spare, when it is empty the spare is loaded;
 * only when that does not help it goes the long way, to hand a batch to
 * the central cache or to get one.  So what a thread keeps is bounded, and a
 * thread that frees what another allocates hands over whole batches without
 * walking them.
 *
 * A link does not always sit at the start of its span: those of all spans
 * would fall into one set of the processor's first cache.  Its cache line is
 * chosen by the number of the page, and a link points to the next link.  To get the
 * span, clear the low 12 bits.
 *
 *	head ──► page 7 of the window          page 42
 *	         ┌───────────────────────┐     ┌───────────────────────┐
 *	         │ line 7: link ─────────┼──►  │ line 42: link ─► NULL │
 *	         └───────────────────────┘     └───────────────────────┘
 *
 * A span of 2 MiB and more is cached only if it starts at a multiple of 2 MiB.
 *
 * A bin that is not active has no room and no list, so the first span freed
 * of it goes the long way, where it is made active, if need be at the cost
 * of another.
 */
#ifndef PAGESPAN_THREAD_CACHE_H
#define PAGESPAN_THREAD_CACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../annotate.h"
#include "../backend/backend.h"

/* The bins: 0 is no size's, 1 to 512 are pages, the others 512 and 2 to 8 megablocks. */
#define BIN_EXACT_MAX MEGABLOCK_PAGES
#define BIN_HUGE_MAX  8
#define NR_BINS       (BIN_EXACT_MAX + BIN_HUGE_MAX + 1)

/* A set of bins: a bit each. */
typedef uint64_t bin_set[NR_BINS / 64 + 1];

/* Bits of a page's number, eight bytes each, make the place of its link: a line of 64 bytes. */
#define LINE_BITS 0x1f8

/*
 * struct link - in a free span
 * @next: the next link, or NULL
 * @next_batch, @count: in the first link of a list that is not in a thread's cache
 */
struct link {
	struct link *next;
	struct link *next_batch;
	uint64_t count;
};

/*
 * struct thread_cache - the owner alone writes it, with plain instructions
 * @head: the loaded list
 * @taken: spans that a bin has given out, ever
 * @room: how many spans the loaded list may grow by
 * @base: of the window
 * @nr_pages: of the window
 *
 * The rest is not touched by a call that is served at once from the loaded list:
 *
 * @batch: spans in a batch
 * @spare: NULL, or a second list of @spare_count spans
 * @taken_before: @taken a while ago, to tell which bins are idle
 * @ramp: spans to get when there is none: grows up to a batch
 * @active: a bit for each bin that may hold spans
 * @budget: bytes that further bins may come to hold
 * @added, @removed: spans that came or went other than to and from callers
 * @misses: of those in @taken, for how many the bin was filled first
 * @generation: of the trim that it last heard of
 * @decayed_at: seconds, when it last looked for idle bins
 * @visits: how often it took the long way
 * @hand: the bin to look at next when the budget is used up
 * @in_use: false for a place that waits for a thread
 */
struct thread_cache {
	struct link *head[NR_BINS];
	uint64_t taken[NR_BINS];
	int32_t room[NR_BINS];
	char *base;
	uint64_t nr_pages;

	uint8_t batch[NR_BINS];
	struct link *spare[NR_BINS];
	uint32_t taken_before[NR_BINS];
	uint8_t spare_count[NR_BINS];
	uint8_t ramp[NR_BINS];
	bin_set active;
	uint64_t budget;
	uint64_t added;
	uint64_t removed;
	uint64_t misses;
	uint64_t generation;
	int64_t decayed_at;
	uint32_t visits;
	uint32_t hand;
	bool in_use;
};

/* Threads that have a cache at a time; others get everything from the backend. */
#define MAX_CACHES 4096

/* What the central cache counts apart: spans below 2 MiB, and larger ones. */
#define CENTRAL_KINDS 2

/* Another layout of struct caches has another number. */
#define CACHES_MAGIC ((uint64_t)0x7073636163686501)

/*
 * struct caches_head - how the mapping of all caches begins
 * @magic: CACHES_MAGIC in the process that made it, 0 in the child of a fork
 * @nr: places ever used; those in use and their number are under central_lock()
 * @window: where the spans are
 * @central_bytes: what the central cache holds, CENTRAL_KINDS figures
 */
struct caches_head {
	uint64_t magic;
	uint32_t nr;
	const struct window *window;
	const _Atomic uint64_t *central_bytes;
};

/*
 * The mapping, which pagespanctl looks for in processes, and reads.  Only what threads have needed
 * is accessible, and there may be fewer places.
 */
struct caches {
	struct caches_head head;
	_Alignas(64) struct thread_cache places[MAX_CACHES];
};

/* Never NULL: a thread without a cache has one that is empty and takes nothing. */
extern _Thread_local struct thread_cache *thread_cache
	__attribute__((tls_model("initial-exec"), visibility("hidden")));

/* NULL for none. */
void thread_cache_set(struct thread_cache *cache);

static inline uint32_t bin_of(uint64_t nr_pages)
{
	if (nr_pages <= BIN_EXACT_MAX)
		return (uint32_t)nr_pages;
	if (nr_pages % MEGABLOCK_PAGES || nr_pages > (uint64_t)BIN_HUGE_MAX * MEGABLOCK_PAGES)
		return 0;
	return BIN_EXACT_MAX + (uint32_t)(nr_pages / MEGABLOCK_PAGES);
}

/* What spans of a size are aligned to in every cache, in pages. */
static inline uint32_t cached_align(uint64_t nr_pages)
{
	return nr_pages >= MEGABLOCK_PAGES ? MEGABLOCK_PAGES : 1;
}

/* The index of a page tells how it is aligned, for windows are. */
static inline bool may_be_cached(uint64_t page, uint64_t nr_pages)
{
	return nr_pages < MEGABLOCK_PAGES || page % MEGABLOCK_PAGES == 0;
}

static inline uint64_t bin_pages(uint64_t bin)
{
	return bin <= BIN_EXACT_MAX ? bin : (bin - BIN_EXACT_MAX) * MEGABLOCK_PAGES;
}

/* The first bin of a set from this one on, NR_BINS if there is none. */
static inline uint32_t bin_set_next(const bin_set set, uint32_t bin)
{
	uint32_t word = bin / 64;
	uint64_t bits = set[word] >> bin % 64 << bin % 64;

	while (!bits) {
		if (++word == sizeof(bin_set) / 8)
			return NR_BINS;
		bits = set[word];
	}
	return word * 64 + (uint32_t)__builtin_ctzl(bits);
}

/* A loop over the bins of a set, which may change on the way. */
#define for_each_bin(bin, set)                                \
	for ((bin) = bin_set_next((set), 1); (bin) < NR_BINS; \
	     (bin) = bin_set_next((set), (bin) + 1))

static inline bool is_active(const struct thread_cache *cache, uint32_t bin)
{
	return cache->active[bin / 64] >> bin % 64 & 1;
}

static inline uint32_t nr_loaded(const struct thread_cache *cache, uint32_t bin)
{
	return is_active(cache, bin) ? cache->batch[bin] - (uint32_t)cache->room[bin] : 0;
}

static inline uint32_t nr_spare(const struct thread_cache *cache, uint32_t bin)
{
	return cache->spare[bin] ? cache->spare_count[bin] : 0;
}

static inline struct link *link_of(void *span, uint64_t page)
{
	return (struct link *)((char *)span + (page & LINE_BITS) * 8);
}

static inline void *span_of(struct link *link)
{
	return (void *)((uintptr_t)link & ~(uintptr_t)(PS_PAGE_SIZE - 1));
}

static inline struct link *link_next(struct link *link)
{
	struct link *next;

	annotate_link_opened(link);
	next = link->next;
	annotate_link_closed(link);
	return next;
}

/*
 * A copying fork may catch a thread anywhere.  So a list leaves one place before it
 * gets to another: the child may miss it, but never sees it twice.
 */
static inline void cache_ordered(void)
{
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
}

/* Takes the span loaded last; there is one. */
static inline void *cache_pop(struct thread_cache *cache, uint64_t bin)
{
	struct link *link = cache->head[bin];

	cache->taken[bin]++;
	cache->room[bin]++;
	cache->head[bin] = link_next(link);
	annotate_allocated(span_of(link), bin_pages(bin) * PS_PAGE_SIZE);
	return span_of(link);
}

/* Links a free span before a list; the list that begins with it. */
static inline struct link *link_span(struct link *list, uint64_t bin, void *span, uint64_t page)
{
	struct link *link = link_of(span, page);

	annotate_freed(span, bin_pages(bin) * PS_PAGE_SIZE);
	annotate_link_opened(link);
	link->next = list;
	annotate_link_closed(link);
	return link;
}

/* Links a span into the loaded list, for which there was room. */
static inline void cache_push(struct thread_cache *cache, uint64_t bin, void *span, uint64_t page)
{
	struct link *link = link_span(cache->head[bin], bin, span, page);

	cache_ordered();
	cache->head[bin] = link;
}

/* Loads the spare list in place of an empty one; false if there is none. */
static inline bool cache_load_spare(struct thread_cache *cache, uint32_t bin)
{
	struct link *list = cache->spare[bin];

	if (!list)
		return false;
	cache->spare[bin] = NULL;
	cache_ordered();
	cache->head[bin] = list;
	cache->room[bin] = cache->batch[bin] - cache->spare_count[bin];
	return true;
}

/* Makes room by making the full list the spare; false if there is a spare, or no list. */
static inline bool cache_make_spare(struct thread_cache *cache, uint32_t bin)
{
	struct link *list = cache->head[bin];

	if (cache->spare[bin] || !list)
		return false;
	cache->head[bin] = NULL;
	cache_ordered();
	cache->spare[bin] = list;
	cache->spare_count[bin] = cache->batch[bin];
	cache->room[bin] = cache->batch[bin];
	return true;
}

struct pages_batch;

/* The long way, with everything that can go wrong; in span.c. */
void *span_alloc_long(uint64_t nr_pages);
int span_free_long(void *ptr, size_t bytes);

/* The calling thread's cache, made if it may have one; else NULL. */
struct thread_cache *thread_cache_get(void);

/*
 * A span of a bin of which the cache has none, from the central cache, from a
 * larger cached span, or from the backend, with others for the next calls; or NULL.
 */
void *thread_cache_refill(struct thread_cache *cache, uint32_t bin);

/* Takes a span that there was no room for; false if the cache is not for its bin, or for it. */
bool thread_cache_accept(struct thread_cache *cache, uint32_t bin, void *span);

/* Gives back the calling thread's cached spans that have pages in a range; false if there are none.
 */
bool thread_cache_uncover(const struct range *range);

/* Takes such spans out of a list, for the backend; those that stay, in their order. */
struct link *links_uncover(struct link *list, uint64_t nr_pages, const struct range *range,
			   struct pages_batch *out, uint32_t *nr_out);

/* Gives the calling thread's cached spans to the central cache, or to the backend. */
void thread_cache_hand_over(void);
void thread_cache_give_back(void);

/* All threads are to give back what they cache, each when it next takes the long way. */
void thread_caches_trim(void);

/*
 * struct cache_totals - of all caches of threads
 * @allocated: spans that came out of them to callers
 * @hits: those of them that were there already
 * @freed: spans that callers put into them
 */
struct cache_totals {
	uint64_t allocated;
	uint64_t hits;
	uint64_t freed;
	uint64_t bytes;
	uint64_t threads;
};

void thread_caches_total(struct cache_totals *totals);

/* Makes the memory of the caches, which the child of a fork finds wiped; 0 or -errno. */
int thread_caches_open(void);

/* Whether this process is the one that opened them, and not a child of it. */
bool thread_caches_ours(void);

/* In a child: drops what was inherited. */
void thread_caches_forget(void);

/*
 * Around a fork of which the child continues with what is cached.  In the child
 * the caches of the threads that it does not have go back to the backend: @whole
 * lists, if the spans were copied at the moment of the fork as the caches were.
 * Otherwise, of each list, only the first span: its thread may have taken it
 * since then, and written to it where its link was.
 */
void thread_caches_copy_prepare(void);
void thread_caches_copy_parent(void);
void thread_caches_copy_child(bool whole);

#endif
