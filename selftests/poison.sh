#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# Broken memory, on every source of pages that this machine has: who gets it while the module is
# loaded (poison.c), and afterwards. For a machine of its own, the module not loaded, of at least ten
# memory blocks, and best booted with memmap=64M$512M and reserve_mem=16M:2M:pagespan. What breaks here
# stays broken until reboot. PAGESPAN_POISON_SOURCES names the sources to try, by default all.
set -u

directory=$(dirname "$0")
# shellcheck source=selftests/tap.sh
. "$directory/tap.sh"
# shellcheck source=selftests/ram.sh
. "$directory/ram.sh"

breaker=$directory/breaker

corrupted_kb() {
	sed -n 's/^HardwareCorrupted: *\([0-9]*\) kB/\1/p' /proc/meminfo
}

# loads PARAMETERS: whether this machine has such memory
loads() {
	# shellcheck disable=SC2086 # several parameters
	load $1 2>/dev/null
}

# What poison.c does, each of its tests a line; the sources of one machine have their names in front.
owners_and_others() {
	"$directory/poison" >/tmp/poison.log 2>&1
	owners_status=$?
	sed -n "s/^\(not \)\{0,1\}ok [0-9]* \(.*\)$/\1\2/p" /tmp/poison.log | sed 's/^/# /'
	[ "$owners_status" -eq 0 ] || grep '^# .*:' /tmp/poison.log
	return "$owners_status"
}

# Shown in sysfs, in the map, in the log, and by a tracepoint.
is_shown() {
	[ -d /sys/kernel/tracing/events ] || mount -t tracefs tracefs /sys/kernel/tracing
	before=$(of poisoned_pages)
	echo 1 >/sys/kernel/tracing/events/pagespan/poison/enable
	echo >/sys/kernel/tracing/trace
	address=$("$breaker" break) || return 1
	echo 0 >/sys/kernel/tracing/events/pagespan/poison/enable
	[ "$(of poisoned_pages)" -eq $((before + 1)) ] &&
		grep -q 'x' /sys/kernel/debug/pagespan/map &&
		grep -q ' poison: client=[1-9][0-9]* first=[0-9]* nr_pages=1$' /sys/kernel/tracing/trace &&
		dmesg | grep -q "pagespan: page [0-9]* at $address is broken and out of use$"
}

# A piece with such a page stays, and the others leave.
shrinks_but_for_the_piece() {
	echo 0 >"$sys/pool_pages"
	[ "$(of pool_pages)" -gt 0 ] && [ "$(of free_pages)" -eq $(($(of pool_pages) - $(of poisoned_pages))) ]
}

hibernates_not() {
	[ -w /sys/power/disk ] && grep -q disk /sys/power/state || return 0
	! echo disk 2>/dev/null >/sys/power/state && dmesg | tail -n 20 | grep -q 'pagespan: hibernation refused'
}

# left_behind ADDRESS...: after the module: no page is the system's to give out, each is still counted
left_behind() {
	for page; do
		"$breaker" kept "$page" || return 1
	done
	[ "$(corrupted_kb)" -eq "$corrupted" ]
}

# claimed_no_more ADDRESS...: memory that only the module uses is kept from everybody
claimed_no_more() {
	for page; do
		grep -qi "^ *0*$(printf '%x' "$((page))")-[0-9a-f]* : pagespan: poisoned page$" /proc/iomem || return 1
	done
	[ "$(corrupted_kb)" -eq "$corrupted" ]
}

# nobody_has ADDRESS...: with the module loaded again
nobody_has() {
	for page; do
		! "$breaker" have "$page" || return 1
	done
}

# Each page is nobody's until reboot, the rest of its block is the system's.
block_is_back_without_it() {
	all_online && [ "$(total_kb)" -ge "$((total_before - 4 * poisoned))" ] || return 1
	for page; do
		! echo offline 2>/dev/null >"$blocks/memory$((page / (block_mb << 20)))/state" || return 1
	done
	all_online
}

# source_keeps NAME PARAMETERS: everything, on one source
source_keeps() {
	source=$1 wanted=$2
	owners_and_others
	result $? "poison.$source.owner_gets_sigbus_and_nobody_gets_the_page"
	is_shown
	result $? "poison.$source.page_is_shown_by_sysfs_map_log_and_tracepoint"
	hibernates_not
	result $? "poison.$source.system_does_not_hibernate"
	set -- "$address" "$("$breaker" break)" "$("$breaker" break)"
	nobody_has "$@"
	result $? "poison.$source.page_is_given_to_nobody"
	shrinks_but_for_the_piece
	result $? "poison.$source.piece_with_the_page_stays"
	corrupted=$(corrupted_kb) poisoned=$(of poisoned_pages)
	unload
	result $? "poison.$source.module_can_be_unloaded"
	case $source in
	phys) claimed_no_more "$@" ;;
	*) left_behind "$@" ;;
	esac
	result $? "poison.$source.page_is_given_to_nobody_by_the_system"
	if [ "$source" = hotplug ]; then
		block_is_back_without_it "$@"
		result $? "poison.$source.block_is_back_online_without_the_page"
	fi
	loads "$wanted" && nobody_has "$@"
	result $? "poison.$source.page_is_given_to_nobody_after_loading_again"
	unload && [ "$(corrupted_kb)" -eq "$corrupted" ]
	result $? "poison.$source.corrupted_memory_is_counted_once"
}

if [ -e $parameters ] || [ ! -e $blocks/hard_offline_page ]; then
	echo "1..0 # SKIP needs memory_failure(), and the pagespan module not loaded"
	exit 4
fi
[ -d /sys/kernel/debug/pagespan ] || mount -t debugfs debugfs /sys/kernel/debug 2>/dev/null

echo "TAP version 13"
while read -r name wanted; do
	case " ${PAGESPAN_POISON_SOURCES-$name} " in
	*" $name "*) ;;
	*) continue ;;
	esac
	total_before=$(total_kb)
	if loads "$wanted"; then
		source_keeps "$name" "$wanted"
	else
		dmesg | tail -n 1 | sed "s/^[^]]*]/# source $name:/"
	fi
done <<END
contig source=contig size_mb=16 max_mb=32
reserve_mem reserve_mem=pagespan
phys phys=512M,64M
hotplug source=hotplug
END
echo "1..$tests"
exit $((failures != 0))
