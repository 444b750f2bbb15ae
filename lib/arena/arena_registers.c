// SPDX-License-Identifier: MIT
/* Which registers this CPU has, for the long way of arena_refill_*.S. */
#include "arena_registers.h"

#include <stdbool.h>

#if defined(__x86_64__)
#include <cpuid.h>
#elif defined(__aarch64__)
#include <sys/auxv.h>
#endif

uint32_t registers_how;
uint32_t registers_mask = REGISTERS_LEGACY;
uint16_t registers_area[1 << REGISTERS_COMPONENTS] = {[REGISTERS_LEGACY] = REGISTERS_LEGACY_BYTES};

#if defined(__x86_64__)

#define LEAF_XSAVE 0xd

/* Of sub-leaf 1: XSAVEC, and XGETBV of what is in use. */
#define HAS_COMPACT  0x6u

#define HEADER_BYTES 64

/* AVX, and the three parts of AVX-512. No library touches the tiles of AMX, of 8 KiB. */
#define VECTORS 0xe4u

/* Of what a sub-leaf says of a component in the compact form. */
#define IS_ALIGNED 0x2u

/* What the system has enabled. */
static uint32_t enabled(void)
{
	uint32_t low, high;

	__asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
	return low;
}

/* In the compact form, one component follows another; in the other, each has its place. */
static uint32_t area_of(uint32_t components, bool compact)
{
	uint32_t bytes = REGISTERS_LEGACY_BYTES + HEADER_BYTES;
	uint32_t size, place, how, edx, component;

	for (component = 2; component < REGISTERS_COMPONENTS; component++) {
		if (!(components >> component & 1))
			continue;
		__cpuid_count(LEAF_XSAVE, component, size, place, how, edx);
		if (!compact)
			bytes = place + size > bytes ? place + size : bytes;
		else if (how & IS_ALIGNED)
			bytes = ((bytes + 63) & ~63u) + size;
		else
			bytes += size;
	}
	return bytes;
}

void registers_start(void)
{
	uint32_t eax, ebx, ecx, edx, components, all;

	if (!__get_cpuid(1, &eax, &ebx, &ecx, &edx) || !(ecx & bit_OSXSAVE) ||
	    !__get_cpuid_count(LEAF_XSAVE, 1, &eax, &ebx, &ecx, &edx))
		return;
	registers_mask = REGISTERS_LEGACY | (enabled() & VECTORS);
	for (components = 0; components <= registers_mask; components++)
		registers_area[components] = (uint16_t)area_of(components, true);
	all = area_of(registers_mask, false);
	if (all > registers_area[registers_mask])
		registers_area[registers_mask] = (uint16_t)all;
	registers_how = (eax & HAS_COMPACT) == HAS_COMPACT ? REGISTERS_XSAVEC : REGISTERS_XSAVE;
}

#elif defined(__aarch64__)

void registers_start(void)
{
	if (getauxval(AT_HWCAP) & HWCAP_SVE)
		registers_how = REGISTERS_SVE;
}

#else

void registers_start(void)
{
}

#endif
