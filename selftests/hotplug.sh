#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# Memory blocks that the module takes out of the running system: given back online, in bounded time,
# whatever the system is doing. For a machine of at least ten blocks' memory, the module not loaded.
set -u

directory=$(dirname "$0")
# shellcheck source=selftests/tap.sh
. "$directory/tap.sh"
# shellcheck source=selftests/ram.sh
. "$directory/ram.sh"

# The longest that loading may take, in seconds: the module gives up after 8, of which twice as much
# may pass, and insmod may try it twice.
patience=32

# blocks_taken NUMBER: as the kernel sees it
blocks_taken() {
	[ "$(grep -c ' : pagespan$' /proc/iomem)" -eq "$1" ] &&
		[ "$(total_kb)" -lt "$((total_before - $1 * (block_mb - 8) * 1024))" ]
}

# loads_as PARAMETERS SOURCES PAGES BLOCKS: and loses nothing
loads_as() {
	# shellcheck disable=SC2086 # several parameters, or none
	load $1 || return 1
	[ "$(of source)" = "$2" ] && [ "$(of pool_pages)" -eq "$3" ] && blocks_taken "$4"
	loads_status=$?
	unload && [ "$loads_status" -eq 0 ] && nothing_is_lost
}

rounds() {
	for round in 1 2 3 4 5; do
		loads_as "source=hotplug" hotplug "$block_pages" 1 || {
			echo "# round $round"
			return 1
		}
	done
}

default_is_one_block() {
	if [ $((block_mb * 8)) -le $((total_before / 1024)) ] && [ "$block_mb" -le 256 ]; then
		loads_as "" hotplug "$block_pages" 1
	else
		loads_as "" contig 16384 0
	fi
}

# Whether 2 MiB mappings are possible is the kernel's choice; with a block it is never the source's.
tells_why() {
	load source=hotplug || return 1
	if [ "$(of huge)" -eq 1 ]; then
		! grep -q '^2 MiB mappings' "$sys/why_not"
	else
		grep -q '^2 MiB mappings: a PREEMPT_RT kernel' "$sys/why_not"
	fi
	tells_status=$?
	unload && [ "$tells_status" -eq 0 ]
}

grows_by_blocks() {
	load source=hotplug max_mb=$((3 * block_mb)) || return 1
	echo $((2 * block_pages + 1)) >"$sys/pool_pages"
	[ "$(of pool_pages)" -eq $((2 * block_pages)) ] && blocks_taken 2 &&
		during "$directory/hold 100" one_block_stays &&
		echo 0 >"$sys/pool_pages" && [ "$(of pool_pages)" -eq 0 ] && nothing_is_lost
	grows_status=$?
	unload && [ "$grows_status" -eq 0 ] && nothing_is_lost
}

one_block_stays() {
	echo 0 >"$sys/pool_pages"
	[ "$(of pool_pages)" -eq "$block_pages" ] && blocks_taken 1
}

# in_time WANTED: loading ends in time, with a block or, if that need not be, with the reason
in_time() {
	started=$(date +%s)
	if load source=hotplug 2>/dev/null; then
		unload || return 1
	else
		[ "$1" = any ] && kernel_said "no more memory block" || return 1
		dmesg | tail -n 1 | sed 's/^[^]]*]/#/'
	fi
	took=$(($(date +%s) - started))
	echo "# $took s"
	[ "$took" -le "$patience" ] && nothing_is_lost
}

# using PINNED WANTED: while a process has memory in every block, with so many pinned pages
using() {
	available=$(sed -n 's/^MemAvailable: *\([0-9]*\) kB/\1/p' /proc/meminfo)
	during "$directory/pin $((available * 15 / 16384)) $1" in_time "$2"
}

busy() {
	dd if=/dev/urandom of=/tmp/busy bs=1M count=$((total_before / 1024 / 4)) 2>/dev/null
	md5sum /tmp/busy >/tmp/busy.sum
	using 0 block && md5sum -c /tmp/busy.sum >/dev/null
	busy_status=$?
	rm /tmp/busy
	return "$busy_status"
}

# Pages that are pinned can neither be moved nor are they refused at once: only time ends it.
pinned() {
	using 10000 any
}

if [ -e $parameters ] || [ "$(total_kb)" -lt $((block_mb * 9 * 1024)) ]; then
	echo "1..0 # SKIP needs memory, and the pagespan module not loaded"
	exit 4
fi
# The first round makes the kernel count more memory than before, not less.
load source=hotplug && unload
remember_ram

echo "TAP version 13"
echo "1..10"
nothing_is_lost
result $? hotplug.block_is_given_back_online
rounds
result $? hotplug.no_memory_is_lost_in_five_rounds
default_is_one_block
result $? hotplug.one_block_is_taken_by_default_if_it_is_small
tells_why
result $? hotplug.megablocks_are_mapped_by_2_mib_pages_if_the_kernel_can
loads_as "source=hotplug size_mb=$((2 * block_mb + 44))" hotplug $((2 * block_pages)) 2
result $? hotplug.blocks_are_taken_only_up_to_the_size_given
loads_as "size_mb=$((block_mb + 44))" "hotplug contig" $((block_pages + 44 * 256)) 1
result $? hotplug.contiguous_pages_make_up_the_rest
refused "source=hotplug size_mb=$((block_mb - 1))" "a memory block of $block_mb MiB is more than"
result $? hotplug.size_below_a_block_is_refused_with_a_message
grows_by_blocks
result $? hotplug.pool_grows_and_shrinks_by_blocks
busy
result $? hotplug.busy_system_keeps_its_data_and_loses_no_memory
pinned
result $? hotplug.pinned_pages_end_it_in_time_and_lose_no_memory
exit $((failures != 0))
