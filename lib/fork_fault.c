// SPDX-License-Identifier: MIT
/*
 * SIGSEGV belongs to the program, and is borrowed from just before the fork to just
 * after it.  Whatever is no touch of the window goes to whom it was for: the
 * former action is put back, and the fault, or the signal, comes again.
 */
#define _GNU_SOURCE
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <unistd.h>

#include "fork_fault.h"

/* That of the forking thread may be in a span. */
static char stack[64 << 10];

static struct {
	const struct window *window;
	void (*mend)(void);
	pid_t parent;
	struct sigaction action; /* the program's */
	sigset_t mask;
	stack_t stack;
	bool stack_lent;
} lender;

static bool is_in_window(const void *address)
{
	return (uintptr_t)address - (uintptr_t)lender.window->base <
	       lender.window->nr_pages * PS_PAGE_SIZE;
}

static void on_fault(int number, siginfo_t *info, void *context)
{
	(void)context;
	if (getpid() != lender.parent && info->si_code == SEGV_MAPERR &&
	    is_in_window(info->si_addr)) {
		lender.mend();
		return;
	}
	sigaction(number, &lender.action, NULL);
	/* Was sent, and not by a fault. */
	if (info->si_code <= 0)
		raise(number);
}

void fork_fault_expect(const struct window *window, void (*mend)(void))
{
	struct sigaction action = {
		.sa_sigaction = on_fault,
		.sa_flags = SA_SIGINFO | SA_ONSTACK,
	};
	stack_t own = {.ss_sp = stack, .ss_size = sizeof(stack)};
	sigset_t fault;

	lender.window = window;
	lender.mend = mend;
	lender.parent = getpid();
	/* A thread that is on another stack of this kind stays there. */
	lender.stack_lent = !sigaltstack(&own, &lender.stack);
	sigfillset(&action.sa_mask);
	sigaction(SIGSEGV, &action, &lender.action);
	sigemptyset(&fault);
	sigaddset(&fault, SIGSEGV);
	pthread_sigmask(SIG_UNBLOCK, &fault, &lender.mask);
}

void fork_fault_end(void)
{
	struct sigaction now;

	/* Unless the program has set another meanwhile. */
	if (!sigaction(SIGSEGV, NULL, &now) && now.sa_sigaction == on_fault)
		sigaction(SIGSEGV, &lender.action, NULL);
	if (lender.stack_lent)
		sigaltstack(&lender.stack, NULL);
	pthread_sigmask(SIG_SETMASK, &lender.mask, NULL);
}
