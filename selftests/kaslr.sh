#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# For a kernel that has placed itself at random, the module not loaded: memory blocks above it can be
# unplugged, those below it would be lost.
set -u

directory=$(dirname "$0")
# shellcheck source=selftests/tap.sh
. "$directory/tap.sh"
# shellcheck source=selftests/ram.sh
. "$directory/ram.sh"

rounds() {
	for round in 1 2 3; do
		load size_mb=$((2 * block_mb)) || return 1
		echo "# round $round: $(of source): $(grep hotplug "$sys/why_not")"
		unload && nothing_is_lost || return 1
	done
}

echo "TAP version 13"
echo "1..1"
grep 'Kernel code' /proc/iomem | sed 's/^/#/'
remember_ram
rounds
result $? kaslr.no_memory_is_lost_wherever_the_kernel_is
exit $((failures != 0))
