// SPDX-License-Identifier: MIT
/*
 * The slow path that preserves every register: filled registers, signals and unwinding, served by
 * the span cache and the long way. Linked with the library's way to spans wrapped, so that it is
 * known which way was taken, and so that each way spoils all that it may.
 */
#define _GNU_SOURCE
#include <pagespan.h>
#include <pagespan/arena.h>
#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#if __has_include(<sys/rseq.h>)
#include <sys/rseq.h>
#endif
#include <sys/time.h>
#include <ucontext.h>
#include <unwind.h>

#include "../../lib/arena/arena_registers.h"
#include "lib_arena_slow.h"
#include "tap.h"

#define NOINLINE __attribute__((noinline))

static volatile unsigned int from_cache, the_long_way;

/* Slow calls to make under signals; with none the unwinding is another's to watch. */
static unsigned int calls = 1000000;

/* Unwinding: whether slow_outer() is running, and how often it was found or not. */
static volatile bool inside;
static volatile unsigned int traces, bad_traces;

/* Calls of C on the slow path that C did not expect so. */
static volatile unsigned int unfit_calls;

static void trace(void);

void *__real_cache_take(uint32_t nr_pages);
void *__real_ps_span_alloc(size_t bytes);
void *__wrap_cache_take(uint32_t nr_pages);
void *__wrap_ps_span_alloc(size_t bytes);

/* A stack that is aligned at the entry of a function, as that of a leaf need not be. */
#define IS_STACK_ALIGNED() ((uintptr_t)__builtin_frame_address(0) % 16 == 0)

#if defined(__x86_64__)

/* The x87 stack is empty; the program's is not. */
static bool is_x87_empty(void)
{
	struct {
		uint16_t control, unused1, status, unused2, tags, unused3;
		uint32_t pointers[4];
	} environment;

	__asm__ volatile("fnstenv\t%0\n\tfldcw\t%0" : "=m"(environment));
	return environment.tags == 0xffff;
}

#else

static bool is_x87_empty(void)
{
	return true;
}

#endif

/* Called with the program's vector registers. */
#if defined(__GNUC__) && !defined(__clang__)
__attribute__((target("general-regs-only")))
#endif
void *__wrap_cache_take(uint32_t nr_pages)
{
	void *span = __real_cache_take(nr_pages);

	if (span)
		from_cache++;
	unfit_calls += !IS_STACK_ALIGNED();
	trace();
	spoil_general();
	return span;
}

void *__wrap_ps_span_alloc(size_t bytes)
{
	void *span = __real_ps_span_alloc(bytes);

	the_long_way++;
	unfit_calls += !IS_STACK_ALIGNED() || !is_x87_empty();
	trace();
	spoil_everything();
	return span;
}

/* ---- a slow path to order ------------------------------------------------------------------ */

enum way { CACHE, LONG };

static struct ps_arena *new_arena(void)
{
	struct ps_arena *arena = ps_arena_create(NULL);

	if (!arena)
		abort();
	return arena;
}

/* An empty arena of which the next refill is served this way. */
static void prepare(struct ps_arena *arena, enum way way)
{
	if (way == CACHE) {
		/* What was allocated before it is freed stays in the cache. */
		ps_arena_reset(arena, SIZE_MAX);
		arena->cur = arena->end;
		if (!ps_arena_refill(arena, 24))
			abort();
	}
	ps_arena_reset(arena, 0);
	if (way == LONG) {
		ps_trim(0);
	}
	arena->cur = arena->end;
	from_cache = 0;
	the_long_way = 0;
	unfit_calls = 0;
}

/* Link-time optimisation binds calls before they can be wrapped; then it is not known. */
static bool was_served(enum way way)
{
#ifdef NOT_WRAPPED
	return true;
#endif
	return way == CACHE ? from_cache == 1 && !the_long_way : !from_cache && the_long_way == 1;
}

/* ---- every register ------------------------------------------------------------------------ */

static void fill(struct everything *state)
{
	unsigned char *byte = (unsigned char *)state;

	memset(state, 0, sizeof(*state));
	for (size_t i = 0; i < EVERYTHING_VECTORS + 4096 * 3; i++)
		byte[i] = (unsigned char)(i * 167 + i / 256 + 1);
	/* Behind that the registers are stored again, as the CPU does it. */
	memset(byte + EVERYTHING_VECTORS + 4096 * 3, 0,
	       sizeof(*state) - EVERYTHING_VECTORS - 4096 * 3);
}

static bool same_bytes(const char *what, const void *before, const void *after, size_t from,
		       size_t to)
{
	const unsigned char *a = before, *b = after;

	for (size_t i = from; i < to; i++) {
		if (a[i] != b[i]) {
			printf("# %s: byte %zu was %#x, is %#x\n", what, i, a[i], b[i]);
			return false;
		}
	}
	return true;
}

#if defined(__x86_64__)

#define RESULT	       0
#define IS_CHANGED(i)  ((i) == 0 || (i) == 11)
#define NR_GENERAL     16
#define RED_ZONE       128
#define STORED	       12288

/* The last instruction's address, which nobody relies on; and which parts were in use. */
#define X87_POINTERS   6
#define X87_POINTERS_END 24
#define XSAVE_HEADER   512
#define XSAVE_HEADER_END 576

static void find_vectors(void)
{
	__builtin_cpu_init();
	if (__builtin_cpu_supports("avx"))
		vector_level = 1;
	if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw"))
		vector_level = 2;
	printf("# vector registers: %s\n", vector_level == 2 ? "zmm0-31, k0-7" :
					   vector_level == 1 ? "ymm0-15" :
							       "xmm0-15");
}

static bool same_vectors(const struct everything *before, const struct everything *after)
{
	const unsigned char *a = before->vectors + STORED, *b = after->vectors + STORED;

	return same_bytes("x87 state", a, b, 0, X87_POINTERS) &&
	       same_bytes("x87 and xmm state", a, b, X87_POINTERS_END, XSAVE_HEADER) &&
	       same_bytes("extended state", a, b, XSAVE_HEADER_END,
			  sizeof(before->vectors) - STORED);
}

#else

#include <sys/auxv.h>

#define RESULT	      9
#define IS_CHANGED(i) ((i) == 9 || (i) == 16 || (i) == 17)
#define NR_GENERAL    34
#define RED_ZONE      0

static void find_vectors(void)
{
	vector_level = !!(getauxval(AT_HWCAP) & HWCAP_SVE);
	printf("# vector registers: %s\n", vector_level ? "z0-31, p0-15, ffr" : "q0-31");
}

static bool same_vectors(const struct everything *before, const struct everything *after)
{
	return same_bytes("vector state", before->vectors, after->vectors, 0,
			  sizeof(before->vectors));
}

#endif

uint32_t vector_level;

static bool registers_survive(enum way way, struct ps_arena *arena)
{
	static struct everything before, after;
	bool kept = true;
	char *object;

	fill(&before);
	fill(&after);
	prepare(arena, way);
	slow_with_everything(&before, &after, arena, 40);
	if (!was_served(way)) {
		printf("# cache %u, long way %u\n", from_cache, the_long_way);
		return false;
	}
	if (unfit_calls) {
		printf("# %u calls with an unaligned stack or x87 registers in use\n", unfit_calls);
		return false;
	}
	object = (char *)after.general[RESULT];
	if (!ps_arena_owns(arena, object) || arena->cur != (uintptr_t)object + 40)
		return false;
	for (int i = 0; i < NR_GENERAL; i++) {
		if (!IS_CHANGED(i) && before.general[i] != after.general[i]) {
			printf("# general register %d was %#llx, is %#llx\n", i,
			       (unsigned long long)before.general[i],
			       (unsigned long long)after.general[i]);
			kept = false;
		}
	}
	kept &= same_bytes("red zone", before.stack, after.stack, 0, RED_ZONE);
	return kept & same_vectors(&before, &after);
}

/* CPUs that know less have less to save: Q registers, or those of SSE. */
static bool registers_survive_on_older_cpus(struct ps_arena *arena)
{
	const uint32_t how = registers_how, level = vector_level;
	bool kept;

	vector_level = 0;
	registers_how = 0;
	kept = registers_survive(LONG, arena);
	vector_level = level;
#if defined(__x86_64__)
	if (how > REGISTERS_XSAVE) {
		registers_how = REGISTERS_XSAVE;
		kept &= registers_survive(LONG, arena);
	}
#endif
	registers_how = how;
	return kept;
}

static bool failure_keeps_registers(struct ps_arena *arena)
{
	static struct everything before, after;

	fill(&before);
	fill(&after);
	slow_with_everything(&before, &after, arena, SIZE_MAX);
	if (after.general[RESULT])
		return false;
	for (int i = 0; i < NR_GENERAL; i++)
		if (!IS_CHANGED(i) && before.general[i] != after.general[i])
			return false;
	return same_bytes("red zone", before.stack, after.stack, 0, 8 * 16) &&
	       same_vectors(&before, &after);
}

/* ---- signals ------------------------------------------------------------------------------- */

static volatile sig_atomic_t alarms;

static void on_alarm(int signal)
{
	volatile unsigned char below[4096];

	for (size_t i = 0; i < sizeof(below); i += 8)
		below[i] = (unsigned char)signal;
	spoil_everything();
	alarms++;
}

/* A leaf with a red zone full of data across the slow path. */
static NOINLINE uint64_t red_zone_user(struct ps_arena *arena, uint64_t seed)
{
	uint64_t data[14];
	uint64_t sum = 0;
	uint64_t *object;

	for (int i = 0; i < 14; i++)
		data[i] = seed * (uint64_t)(2 * i + 1);
	__asm__ volatile("" : : "r"(data) : "memory");
	object = ps_alloc(arena, 3000);
	object[0] = seed;
	__asm__ volatile("" : : "r"(data) : "memory");
	for (int i = 0; i < 14; i++)
		sum += data[i];
	return sum + object[0];
}

static bool signals_do_no_harm(struct ps_arena *arena)
{
	struct itimerval often = {.it_interval.tv_usec = 100, .it_value.tv_usec = 100};
	struct itimerval never = {0};
	bool kept = true;

	signal(SIGALRM, on_alarm);
	setitimer(ITIMER_REAL, &often, NULL);
	for (unsigned int i = 0; (i < calls || alarms < 10) && kept; i++) {
		if (i % 64 == 0)
			ps_arena_reset(arena, 0);
		/* Now and then the long way. */
		if (i % 1024 == 0)
			ps_trim(0);
		kept = red_zone_user(arena, i) == 197 * (uint64_t)i;
	}
	setitimer(ITIMER_REAL, &never, NULL);
	printf("# %d signals in at least %u slow calls\n", (int)alarms, calls);
	return kept;
}

/* ---- unwinding ----------------------------------------------------------------------------- */

NOINLINE void *slow_caller(struct ps_arena *arena, long a, long b, long c, long d);
NOINLINE void *slow_outer(struct ps_arena *arena);

void *slow_caller(struct ps_arena *arena, long a, long b, long c, long d)
{
	long *object = ps_alloc(arena, 40);

	object[0] = a;
	object[1] = b;
	object[2] = c;
	object[3] = d;
	return object;
}

void *slow_outer(struct ps_arena *arena)
{
	void *object;

	inside = calls;
	object = slow_caller(arena, 1, 2, 3, 4);
	inside = false;
	return object;
}

struct walk {
	unsigned int depth;
	unsigned int outer_at;
};

static _Unwind_Reason_Code visit(struct _Unwind_Context *context, void *argument)
{
	struct walk *walk = argument;
	int before_instruction = 0;
	uintptr_t ip = _Unwind_GetIPInfo(context, &before_instruction);

	if (_Unwind_FindEnclosingFunction((void *)(ip - !before_instruction)) ==
	    (void *)(uintptr_t)slow_outer)
		walk->outer_at = walk->depth;
	return ++walk->depth > 64 ? _URC_END_OF_STACK : _URC_NO_REASON;
}

/* An unwinder finds the caller's caller, and the end of the stack behind it. */
static bool unwinds(void)
{
	struct walk walk = {0};

	_Unwind_Backtrace(visit, &walk);
	return walk.outer_at && walk.depth > walk.outer_at + 1 && walk.depth < 64;
}

static void trace(void)
{
	if (inside) {
		inside = false;
		traces++;
		bad_traces += !unwinds();
		inside = true;
	}
}

#if defined(__x86_64__)

#define TRAP_FLAG 0x100
#define SPOILT	  512

static volatile bool stepping;

static void on_start(int signal, siginfo_t *info, void *context)
{
	(void)signal;
	(void)info;
	((ucontext_t *)context)->uc_mcontext.gregs[REG_EFL] |= TRAP_FLAG;
}

/* After every instruction. What is below the red zone is nobody's. */
static void on_step(int signal, siginfo_t *info, void *context)
{
	greg_t *registers = ((ucontext_t *)context)->uc_mcontext.gregs;
	unsigned int bad = bad_traces;
	char *red_zone = (char *)(uintptr_t)registers[REG_RSP] - RED_ZONE;

	(void)signal;
	(void)info;
	if (!stepping)
		registers[REG_EFL] &= ~TRAP_FLAG;
	memset(red_zone - SPOILT, 0xff, SPOILT);
	trace();
	if (bad_traces != bad && !bad)
		printf("# the first that does not unwind: %#llx\n", registers[REG_RIP]);
}

static void call_traced(struct ps_arena *arena)
{
	static char handler_stack[1 << 16];
	stack_t elsewhere = {.ss_sp = handler_stack, .ss_size = sizeof(handler_stack)};
	struct sigaction start = {.sa_sigaction = on_start, .sa_flags = SA_SIGINFO};
	struct sigaction step = {.sa_sigaction = on_step, .sa_flags = SA_SIGINFO | SA_ONSTACK};

	sigaltstack(&elsewhere, NULL);
	sigaction(SIGUSR1, &start, NULL);
	sigaction(SIGTRAP, &step, NULL);
	stepping = true;
	raise(SIGUSR1);
	slow_outer(arena);
	stepping = false;
}

#else

/* Nothing single-steps itself under an emulator; lib_arena_unwind.py does. */
static void call_traced(struct ps_arena *arena)
{
	slow_outer(arena);
}

#endif

/* A signal has a restartable sequence begin anew, so one that is stepped through ends otherwise. */
static bool restarts(void)
{
#if defined(__x86_64__) && __has_include(<sys/rseq.h>)
	return __rseq_size;
#else
	return false;
#endif
}

static bool unwinds_on(enum way way, struct ps_arena *arena)
{
	prepare(arena, way);
	traces = 0;
	bad_traces = 0;
	call_traced(arena);
	printf("# %u traces, %u of them bad\n", traces, bad_traces);
	return (was_served(way) || (way == CACHE && restarts())) && !traces == !calls &&
	       !bad_traces;
}

int main(int argc, char **argv)
{
	struct ps_arena *arena = new_arena();

	if (argc > 1)
		calls = (unsigned int)strtoul(argv[1], NULL, 0);
	tap_begin();
	find_vectors();
	tap_result(registers_survive(CACHE, arena), "registers_survive_what_the_cache_serves");
	tap_result(registers_survive(LONG, arena), "registers_survive_the_long_way");
	tap_result(registers_survive_on_older_cpus(arena),
		   "registers_survive_the_long_way_of_older_cpus");
	tap_result(failure_keeps_registers(arena), "registers_survive_a_failure");
	if (calls)
		tap_result(signals_do_no_harm(arena),
			   "signals_in_the_slow_path_do_no_harm");
	tap_result(unwinds_on(CACHE, arena), "what_the_cache_serves_unwinds_at_every_step");
	tap_result(unwinds_on(LONG, arena), "the_long_way_unwinds_at_every_step");
	ps_arena_destroy(arena);
	return tap_end();
}
