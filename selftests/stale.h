/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The attacker of stale.c: a process that owns a span, whose mapping lies between
 * other memory, and a thread of it, on another CPU, that reads and writes two words
 * of the span without pause. It does what it is told by a socket, and tells what the
 * thread sees in memory that it shares with the test.
 */
#ifndef PAGESPAN_STALE_H
#define PAGESPAN_STALE_H

#include <linux/mempolicy.h>
#include <pthread.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "pagespan_test.h"

#define MEGABLOCK	512

/* The upper half of each word that the attacker writes. */
#define OWN		0x0a77ac4eULL

/* Bytes from the beginning of a page: a word that is left for others than the thread. */
#define FOR_OTHERS	64

/* Words that are read and written without pause. */
enum place {
	LEAVING,	/* of the page that is freed if only one is */
	STAYING,	/* of one of the same span that stays then */
	ELSEWHERE,	/* the first, where it has been moved to */
	CHILD_LEAVING,	/* words of the first two pages, in a child */
	CHILD_STAYING,
	PLACES
};

/* A span and its mapping; shared by the attacker and the test. */
struct attack {
	uint64_t first, nr_pages;
	uint64_t leaving, staying;	/* pages, counted from the first */
	char *base;		/* of the mapping, in the attacker */
	char *aside;		/* room for two megablocks that it may be moved to */
	uint64_t address;	/* physical, of the page that leaves */
	int node;		/* that it is on */
	long faults;		/* that it took to map the span */
	pid_t pid, child;
	int fd;			/* the client's, in the attacker */
	int pipe[2], ring;	/* open in both processes, so what they hold outlives either */
	const char *missing;	/* for something to be done */
	volatile uint64_t *word[PLACES];	/* where each is, or NULL */
	int sees[PLACES];	/* what touching it gave last, see sight() */
	uint64_t foreign;	/* how many words were seen that were not the attacker's */
	uint64_t rounds, child_rounds;	/* of looking at each */
};

enum order {
	ACT,
	FREE_PART,
	FREE_WHOLE,
	CLOSE,
};

typedef long (*act_t)(struct attack *attack, long argument);

static inline size_t bytes_of(const struct attack *attack)
{
	return attack->nr_pages * PAGE;
}

static inline char *page_leaving(const struct attack *attack)
{
	return attack->base + attack->leaving * PAGE;
}

static inline char *page_staying(const struct attack *attack)
{
	return attack->base + attack->staying * PAGE;
}

/* ---- what a place shows -------------------------------------------------------------------- */

/* A signal; or one that only writing raised; or 0. */
#define ON_WRITE	0x100
#define NOWHERE		-1

static __thread sigjmp_buf raised;

static void raised_handler(int signal)
{
	siglongjmp(raised, signal);
}

static int read_word(volatile uint64_t *word, uint64_t *value)
{
	int signal = sigsetjmp(raised, 0);

	if (!signal)
		*value = *word;
	return signal;
}

static int write_word(volatile uint64_t *word, uint64_t value)
{
	int signal = sigsetjmp(raised, 0);

	if (!signal)
		*word = value;
	return signal;
}

/* Reads a word and writes it, and tells if it was not the attacker's. */
static int sight(struct attack *attack, volatile uint64_t *word)
{
	uint64_t value = 0;
	int signal;

	if (!word)
		return NOWHERE;
	signal = read_word(word, &value);
	if (signal)
		return signal;
	if (value >> 32 != OWN)
		__atomic_add_fetch(&attack->foreign, 1, __ATOMIC_RELAXED);
	signal = write_word(word, OWN << 32 | (uint32_t)(value + 1));
	return signal ? signal | ON_WRITE : 0;
}

static void look_round(struct attack *attack, enum place from, enum place to, uint64_t *rounds)
{
	for (enum place i = from; i <= to; i++)
		__atomic_store_n(&attack->sees[i], sight(attack, attack->word[i]),
				 __ATOMIC_RELAXED);
	__atomic_add_fetch(rounds, 1, __ATOMIC_RELEASE);
}

/* ---- the process --------------------------------------------------------------------------- */

static void pin_to(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	sched_setaffinity(0, sizeof(set), &set);
}

static void *use_without_pause(void *argument)
{
	struct attack *attack = argument;

	pin_to(sysconf(_SC_NPROCESSORS_ONLN) - 1);
	for (;;)
		look_round(attack, LEAVING, ELSEWHERE, &attack->rounds);
	return NULL;
}

/*
 * Maps the span in the middle of other memory, so that the page tables stay when it
 * is unmapped: that they go would flush everything.
 */
static bool map_span(struct attack *attack)
{
	const size_t block = MEGABLOCK * PAGE;
	struct rusage before, after;
	char *room = mmap(NULL, 8 * block, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			  -1, 0);

	if (room == MAP_FAILED)
		return false;
	room = (char *)(((uintptr_t)room + block - 1) & -block);
	madvise(room, 7 * block, MADV_NOHUGEPAGE);
	attack->base = room + block + attack->first % MEGABLOCK * PAGE;
	attack->aside = room + 4 * block;
	attack->base[-1] = 1;
	attack->base[bytes_of(attack)] = 1;
	if (mmap(attack->base, bytes_of(attack), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
		 attack->fd, attack->first * PAGE) == MAP_FAILED)
		return false;
	getrusage(RUSAGE_SELF, &before);
	if (madvise(attack->base, bytes_of(attack), MADV_POPULATE_WRITE))
		return false;
	getrusage(RUSAGE_SELF, &after);
	attack->faults = after.ru_minflt - before.ru_minflt;
	return true;
}

/* The node of a page, 0 if nothing tells. */
static int node_of(const char *page)
{
	int node;

	return syscall(SYS_get_mempolicy, &node, NULL, 0UL, page, MPOL_F_NODE | MPOL_F_ADDR) ? 0 :
	       node;
}

/* 0 or -errno */
static long begin_to_use(struct attack *attack)
{
	struct sigaction action = { .sa_handler = raised_handler, .sa_flags = SA_NODEFER };
	struct pagespan_phys phys = { .size = sizeof(phys) };
	pthread_t thread;
	long ret;

	sigaction(SIGBUS, &action, NULL);
	sigaction(SIGSEGV, &action, NULL);
	attack->fd = client_open();
	if (attack->fd < 0)
		return -errno;
	ret = client_alloc_at(attack->fd, attack->first, attack->nr_pages);
	if (ret)
		return ret;
	if (!map_span(attack))
		return -errno;
	phys.index = attack->first + attack->leaving;
	ret = client_ioctl(attack->fd, PAGESPAN_PHYS, &phys);
	attack->address = phys.address;
	attack->node = node_of(page_leaving(attack));
	attack->word[LEAVING] = (uint64_t *)page_leaving(attack);
	attack->word[STAYING] = (uint64_t *)page_staying(attack);
	*attack->word[LEAVING] = OWN << 32;
	*attack->word[STAYING] = OWN << 32;
	return ret ?: -pthread_create(&thread, NULL, use_without_pause, attack);
}

/* Nothing of the mapping is left, nor is a descriptor. */
static long leave(struct attack *attack)
{
	if (munmap(attack->base, bytes_of(attack)) || munmap(attack->aside, 2 * MEGABLOCK * PAGE) ||
	    close(attack->fd))
		return -errno;
	return 0;
}

static long obey(struct attack *attack, enum order order, act_t act, long argument)
{
	switch (order) {
	case ACT:
		return act(attack, argument);
	case FREE_PART:
		return client_free(attack->fd, attack->first + attack->leaving, 1);
	case FREE_WHOLE:
		return client_free(attack->fd, attack->first, attack->nr_pages);
	default:
		return leave(attack);
	}
}

/* Says 0 once it uses the span, and what came of each order then. */
static void attack_as_told(struct attack *attack, act_t act, long argument, int line)
{
	long result = begin_to_use(attack);
	enum order order;

	while (write(line, &result, sizeof(result)) == sizeof(result) &&
	       read(line, &order, sizeof(order)) == sizeof(order))
		result = obey(attack, order, act, argument);
	_exit(0);
}

#endif
