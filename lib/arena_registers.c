// SPDX-License-Identifier: MIT
/* Which registers this CPU has, for the long way of arena_refill_*.S. */
#include "arena_registers.h"

#if defined(__x86_64__)
#include <cpuid.h>
#elif defined(__aarch64__)
#include <sys/auxv.h>
#endif

uint32_t registers_how;
uint32_t registers_bytes = REGISTERS_LEGACY_BYTES;

#if defined(__x86_64__)

#define LEAF_XSAVE 0xd
#define HAS_XSAVEC 0x2u

/*
 * Sub-leaf 0 has the size of the registers that the system has enabled, in the form of XSAVE;
 * sub-leaf 1 that of more than these in the form of XSAVEC, which may pad what the other does not.
 */
void registers_start(void)
{
	uint32_t standard, compact, eax, ebx, ecx, edx;

	if (!__get_cpuid(1, &eax, &ebx, &ecx, &edx) || !(ecx & bit_OSXSAVE) ||
	    !__get_cpuid_count(LEAF_XSAVE, 0, &eax, &standard, &ecx, &edx) ||
	    !__get_cpuid_count(LEAF_XSAVE, 1, &eax, &compact, &ecx, &edx))
		return;
	registers_bytes = standard;
	registers_how = REGISTERS_XSAVE;
	if (eax & HAS_XSAVEC) {
		registers_how = REGISTERS_XSAVEC;
		if (compact > standard)
			registers_bytes = compact;
	}
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
