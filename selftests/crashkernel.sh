#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# For a machine booted with crashkernel=96M nokaslr, the module not loaded: a crash kernel above every
# memory block. Unplugging one would lose it until reboot.
set -u

directory=$(dirname "$0")
# shellcheck source=selftests/tap.sh
. "$directory/tap.sh"
# shellcheck source=selftests/ram.sh
. "$directory/ram.sh"

takes_contiguous_pages_instead() {
	load max_mb=256 && [ "$(of source)" = contig ] &&
		grep -q '^hotplug: .* have the kernel or a crash kernel above them$' $sys/why_not &&
		unload
}

echo "TAP version 13"
echo "1..4"
grep -q 'Crash kernel' /proc/iomem
result $? crashkernel.is_reserved
remember_ram
refused "source=hotplug" 'no more memory block can be unplugged: 0 refused' &&
	refused "source=hotplug" 'no more memory block can be unplugged: 0 refused'
result $? crashkernel.block_below_it_is_refused_with_a_message
takes_contiguous_pages_instead
result $? crashkernel.contiguous_pages_are_taken_instead_and_the_reason_told
nothing_is_lost
result $? crashkernel.no_memory_is_lost
exit $((failures != 0))
