// SPDX-License-Identifier: GPL-2.0-only
/* The model of what a process of the fuzzer owns, and what it does at random. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "model.h"

struct state state;
bool quiet;
static __thread sigjmp_buf touch_failed;

noreturn void wrong(const char *format, ...)
{
	va_list arguments;

	if (!quiet) {
		va_start(arguments, format);
		vprintf(format, arguments);
		va_end(arguments);
		printf("\n");
		fflush(stdout);
	}
	_exit(1);
}

uint64_t below(uint64_t limit)
{
	return random_below(&state.random, limit);
}

/* ---- touching --------------------------------------------------------------------------- */

static void touch_handler(int signal)
{
	siglongjmp(touch_failed, signal);
}

void catch_signals(void)
{
	struct sigaction action = {.sa_handler = touch_handler, .sa_flags = SA_NODEFER};

	sigaction(SIGBUS, &action, NULL);
	sigaction(SIGSEGV, &action, NULL);
}

/* Reads a word, or writes it; 0, or the signal that it raised. */
int read_word(volatile uint64_t *word, uint64_t *value)
{
	int raised = sigsetjmp(touch_failed, 0);

	if (!raised)
		*value = *word;
	return raised;
}

int write_word(volatile uint64_t *word, uint64_t value)
{
	int raised = sigsetjmp(touch_failed, 0);

	if (!raised)
		*word = value;
	return raised;
}

uint64_t *page_at(uint64_t index)
{
	return (uint64_t *)(state.window + index * PAGE);
}

/* Result of an ioctl, or -errno. */
long call(int fd, unsigned long command, void *argument)
{
	long ret = ioctl(fd, command, argument);

	return ret < 0 ? -errno : ret;
}

/* ---- what is owned ---------------------------------------------------------------------- */

void open_client(void)
{
	static uint64_t nr_opened;
	struct pagespan_info info = {.size = sizeof(info)};

	state.fd = open("/dev/pagespan", O_RDWR | O_CLOEXEC);
	if (state.fd < 0 || call(state.fd, PAGESPAN_INFO, &info))
		wrong("the device cannot be opened: %d", errno);
	state.nr_pages = info.nr_pages;
	state.owner = ((uint64_t)getpid() << 12 | (++nr_opened & 0xfff)) & UINT32_MAX;
	state.nr_owned = 0;
	state.asked = 0;
	state.answered = 0;
	state.answers = false;
	state.may_be_asked = false;
	if (!state.tags)
		state.tags = malloc(state.nr_pages * sizeof(*state.tags));
	state.window = mmap(state.window, state.nr_pages * PAGE, PROT_READ | PROT_WRITE,
			    MAP_SHARED | (state.window ? MAP_FIXED : 0), state.fd, 0);
	if (!state.tags || state.window == MAP_FAILED)
		wrong("no window: %d", errno);
	memset(state.tags, 0, state.nr_pages * sizeof(*state.tags));
}

void reopen_client(void)
{
	close(state.fd);
	open_client();
}

static void note(uint64_t index)
{
	static uint64_t nr_noted;

	__atomic_store_n(&state.recent[nr_noted++ % RECENT], index, __ATOMIC_RELAXED);
}

void own(uint64_t index, bool zeroed)
{
	uint64_t *page = page_at(index);
	uint64_t held[2];

	if (index >= state.nr_pages || state.tags[index])
		wrong("page %llu given twice", (unsigned long long)index);
	if (read_word(page, &held[0]) || read_word(page + 511, &held[1]))
		wrong("owned page %llu cannot be read", (unsigned long long)index);
	for (int i = 0; i < 2; i++)
		if (held[i] && (zeroed || held[i] >> 32 != state.owner))
			wrong("page %llu shows %llx", (unsigned long long)index,
			      (unsigned long long)held[i]);
	state.tags[index] = state.owner << 32 | (uint32_t)(below(UINT32_MAX) + 1);
	if (write_word(page, state.tags[index]) || write_word(page + 511, state.tags[index]))
		wrong("owned page %llu cannot be written", (unsigned long long)index);
	state.nr_owned++;
	note(index);
}

/* Whether the client owns all of a range, of any values. */
bool owns_all(struct pagespan_range range)
{
	uint64_t end = range.first + range.nr_pages;

	if (!range.nr_pages || range.first >= state.nr_pages ||
	    range.nr_pages > state.nr_pages - range.first)
		return false;
	for (uint64_t i = range.first; i < end; i++)
		if (!state.tags[i])
			return false;
	return true;
}

/* Whether the client owns all of a range, and gives it back in the model if so. */
bool disown(uint64_t first, uint64_t nr_pages)
{
	if (!owns_all((struct pagespan_range){first, nr_pages}))
		return false;
	memset(&state.tags[first], 0, nr_pages * sizeof(*state.tags));
	state.nr_owned -= nr_pages;
	note(first);
	return true;
}

void verify(uint64_t index)
{
	uint64_t value = 0;
	int raised = read_word(page_at(index) + (below(2) ? 511 : 0), &value);

	if (state.tags[index] && (raised || value != state.tags[index]))
		wrong("page %llu holds %llx instead of %llx, signal %d", (unsigned long long)index,
		      (unsigned long long)value, (unsigned long long)state.tags[index], raised);
	if (!state.tags[index] && raised != SIGBUS)
		wrong("page %llu, not owned, shows %llx", (unsigned long long)index,
		      (unsigned long long)value);
}

void map_again(struct pagespan_range part)
{
	if (mmap(page_at(part.first), part.nr_pages * PAGE, PROT_READ | PROT_WRITE,
		 MAP_SHARED | MAP_FIXED, state.fd, part.first * PAGE) == MAP_FAILED)
		wrong("a part of the window cannot be mapped again: %d", errno);
}

/* ---- what is chosen at random ----------------------------------------------------------- */

/* An index, of an owned page if there is one near a random place. */
uint64_t owned_index(void)
{
	uint64_t index = below(state.nr_pages);

	for (int tries = 0; tries < 4096 && !state.tags[index]; tries++)
		index = (index + 1) % state.nr_pages;
	return index;
}

/* Pages, owned or not, or values without sense. */
struct pagespan_range some_range(void)
{
	struct pagespan_range range = {.first = owned_index(), .nr_pages = 1 + below(8)};

	switch (below(16)) {
	case 0:
		range.first = random_next(&state.random);
		break;
	case 1:
		range.nr_pages = random_next(&state.random);
		break;
	case 2:
		range.nr_pages = below(1024);
		break;
	}
	return range;
}

/* A part of the window, in pages, mostly little: what takes long is tried seldom. */
struct pagespan_range some_part(void)
{
	uint64_t first = owned_index();
	uint64_t most = state.nr_pages - first;
	uint64_t little = below(16) ? 8 : most;

	return (struct pagespan_range){first, 1 + below(little < most ? little : most)};
}
