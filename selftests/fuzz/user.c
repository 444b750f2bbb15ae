// SPDX-License-Identifier: GPL-2.0-only
/* The thread that uses the window; user.h says how. */
#define _GNU_SOURCE
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "model.h"
#include "user.h"

/* A word of each page that the thread writes. */
#define WORD 256

/* The longest pause between two looks, and how long a look is waited for. */
#define PAUSE_NS         16000000
#define PATIENCE_SECONDS 60

static uint64_t epoch;  /* odd while an operation runs */
static uint64_t judged; /* looks that nothing disturbed */
static uint64_t rounds; /* of using what is given to it */
static uint32_t calls;  /* for it to end its pause */

/* What is given to the thread; it begins and ends to use it as busy says. */
static struct {
	struct pagespan_range span;
	struct pagespan_range leaving;
	uint64_t owner;
	bool busy, idle;
	bool leaves, left; /* what is leaving */
} use = {.idle = true};

#define load(place)         __atomic_load_n(&(place), __ATOMIC_SEQ_CST)
#define store(place, value) __atomic_store_n(&(place), value, __ATOMIC_SEQ_CST)
#define increment(place)    __atomic_add_fetch(&(place), 1, __ATOMIC_SEQ_CST)

/* ---- the thread ------------------------------------------------------------------------- */

static bool is_leaving(uint64_t index)
{
	return index - use.leaving.first < use.leaving.nr_pages;
}

static void use_page(uint64_t index)
{
	volatile uint64_t *word = page_at(index) + WORD;
	bool left = load(use.left) && is_leaving(index);
	uint64_t value = 0;
	int raised = read_word(word, &value);

	if (!raised && left)
		wrong("page %llu, freed, shows %llx to who uses it", (unsigned long long)index,
		      (unsigned long long)value);
	if (!raised && value && value >> 32 != use.owner)
		wrong("page %llu shows %llx to who uses it", (unsigned long long)index,
		      (unsigned long long)value);
	if (!raised)
		raised = write_word(word, use.owner << 32 | (uint32_t)(value + 1));
	if (!raised && left)
		wrong("page %llu, freed, can be written by who uses it", (unsigned long long)index);
	if (raised == SIGBUS && !(load(use.leaves) && is_leaving(index)))
		wrong("page %llu, owned, cannot be used", (unsigned long long)index);
}

static void use_span(void)
{
	store(use.idle, false);
	while (load(use.busy)) {
		use_page(use.span.first);
		use_page(use.span.first + use.span.nr_pages - 1);
		increment(rounds);
	}
	store(use.idle, true);
}

/* What is seen while no operation runs is what the model says. */
static void look(uint64_t index)
{
	uint64_t before = load(epoch), tag = load(state.tags[index]), value = 0;
	int raised = read_word(page_at(index), &value);

	if (before % 2 || load(epoch) != before)
		return;
	if (tag ? raised || value != tag : raised != SIGBUS)
		wrong("page %llu shows %llx instead of %llx, signal %d", (unsigned long long)index,
		      (unsigned long long)value, (unsigned long long)tag, raised);
	increment(judged);
}

static void *use_window(void *unused)
{
	uint64_t random = getpid();
	uint32_t called;

	(void)unused;
	for (;;) {
		struct timespec pause = {.tv_nsec = random_below(&random, PAUSE_NS)};

		called = load(calls);
		if (load(use.busy))
			use_span();
		look(random_below(&random, 4) ? state.recent[random_below(&random, RECENT)] :
						random_below(&random, state.nr_pages));
		syscall(SYS_futex, &calls, FUTEX_WAIT_PRIVATE, called, &pause, NULL, 0);
	}
	return NULL;
}

/* ---- the process ------------------------------------------------------------------------ */

static void pin_to(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu % sysconf(_SC_NPROCESSORS_ONLN), &set);
	sched_setaffinity(0, sizeof(set), &set);
}

void user_start(void)
{
	pthread_t thread;
	pthread_attr_t attributes;
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET((getpid() + 1) % sysconf(_SC_NPROCESSORS_ONLN), &set);
	pthread_attr_init(&attributes);
	pthread_attr_setaffinity_np(&attributes, sizeof(set), &set);
	pin_to(getpid());
	pthread_create(&thread, &attributes, use_window, NULL);
	pthread_attr_destroy(&attributes);
}

void user_operation_begins(void)
{
	increment(epoch);
}

void user_operation_ends(void)
{
	increment(epoch);
}

static void call_thread(void)
{
	increment(calls);
	syscall(SYS_futex, &calls, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

/* Until the thread has counted so far. */
static void wait_for(const uint64_t *count, uint64_t goal)
{
	time_t until = time(NULL) + PATIENCE_SECONDS;

	while (__atomic_load_n(count, __ATOMIC_SEQ_CST) < goal) {
		if (time(NULL) > until)
			wrong("the thread that uses the window is stuck");
		sched_yield();
	}
}

void user_let_look(void)
{
	uint64_t before = load(judged);

	call_thread();
	wait_for(&judged, before + 1);
}

void user_goes_round(void)
{
	wait_for(&rounds, load(rounds) + 2);
}

void user_begin(struct pagespan_range span)
{
	use.span = span;
	use.owner = state.owner;
	use.leaving = (struct pagespan_range){0};
	store(use.leaves, false);
	store(use.left, false);
	store(use.busy, true);
	call_thread();
	user_goes_round();
}

void user_will_lose(struct pagespan_range range)
{
	use.leaving = range;
	store(use.leaves, true);
}

void user_has_lost(void)
{
	store(use.left, true);
}

void user_end(void)
{
	store(use.busy, false);
	while (!load(use.idle))
		sched_yield();
}
