/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a process of the fuzzer owns, as a model has it: each page that is owned holds
 * a tag in its first word and in its last, and no other page can be touched.
 */
#ifndef PAGESPAN_FUZZ_MODEL_H
#define PAGESPAN_FUZZ_MODEL_H

#include <linux/pagespan.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdnoreturn.h>

#include "../random.h"

#define PAGE      4096UL
#define MEGABLOCK 512
#define RECENT    8

/* One process and its client. */
struct state {
	uint64_t random;
	uint64_t nr_pages;
	uint64_t nr_owned;
	uint64_t owner;          /* the upper half of each tag */
	uint64_t *tags;          /* of each page that is owned, else 0 */
	uint64_t recent[RECENT]; /* pages that came or went last */
	char *window;
	bool answers;            /* what others ask it */
	uint64_t asked;          /* how often they have */
	uint64_t answered;       /* which of these are answered */
	bool may_be_asked;       /* once more since then */
	int fd;
	int raw; /* a client that no model follows */
};

extern struct state state;

/* Nothing is said of what is wrong: whoever runs the process looks at its status. */
extern bool quiet;

noreturn void wrong(const char *format, ...);
void catch_signals(void);

uint64_t below(uint64_t limit);
uint64_t owned_index(void);
struct pagespan_range some_range(void);
struct pagespan_range some_part(void);

long call(int fd, unsigned long command, void *argument);
uint64_t *page_at(uint64_t index);
int read_word(volatile uint64_t *word, uint64_t *value);
int write_word(volatile uint64_t *word, uint64_t value);

void open_client(void);
void reopen_client(void);
void map_again(struct pagespan_range part);
void own(uint64_t index, bool zeroed);
bool owns_all(struct pagespan_range range);
bool disown(uint64_t first, uint64_t nr_pages);
void verify(uint64_t index);

#endif
