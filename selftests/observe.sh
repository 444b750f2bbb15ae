#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# What can be seen of the pool from outside: sysfs, debugfs, tracepoints, fdinfo; and that the
# machine does not hibernate while pages are owned. The program `hold` owns pages meanwhile.
set -u

debug=/sys/kernel/debug/pagespan
tracing=/sys/kernel/debug/tracing
directory=$(dirname "$0")
# shellcheck source=selftests/tap.sh
. "$directory/tap.sh"
needs "$sys/pool_pages"

# Waits until the pages that nothing pins any more have left the quarantine.
drained() {
	tries=20
	until [ "$(of quarantined_pages)" -eq 0 ]; do
		tries=$((tries - 1))
		[ "$tries" -gt 0 ] || return 1
		sleep 0.1
	done
}

# holding PAGES[,PINNED] COMMAND...: runs a command while another process owns pages, PINNED of which
# it has freed while the kernel holds them; $holder is its id
holding() {
	pages=${1%,*}
	pinned=0
	[ "$pages" = "$1" ] || pinned=${1#*,}
	shift
	during "$directory/hold $pages $pinned" "$@"
	held_status=$?
	drained || held_status=1
	return "$held_status"
}

pool_figures_add_up() {
	[ "$(of free_pages)" -eq $(($(of pool_pages) - 1000)) ] &&
		[ "$(of longest_run)" -le "$(of free_pages)" ] &&
		[ "$(of quarantined_pages)" -eq 0 ] &&
		[ "$(of clients)" -eq 1 ]
}

quarantine_is_told() {
	[ "$(of free_pages)" -eq $(($(of pool_pages) - 1000)) ] &&
		[ "$(of quarantined_pages)" -eq 3 ] &&
		cat "/proc/$holder"/fdinfo/* >/tmp/fdinfo.$$ &&
		grep -q '^pagespan-memory-owned:	3988 KiB$' /tmp/fdinfo.$$ &&
		grep -q '^pagespan-memory-quarantined:	12 KiB$' /tmp/fdinfo.$$
}

# Ids only grow, so what a page remembers of its last owner is never mistaken for a later client.
ids_grow() {
	last=0
	for _ in 1 2 3 4 5 6 7 8 9 10; do
		exec 6<>/dev/pagespan
		id=$(sed -n 's/^pagespan-client-id:	//p' /proc/self/fdinfo/6)
		exec 6>&-
		[ "$id" -gt "$last" ] || return 1
		last=$id
	done
}

fdinfo_tells_pages() {
	cat "/proc/$holder"/fdinfo/* >/tmp/fdinfo.$$
	grep -q '^pagespan-memory-owned:	4000 KiB$' /tmp/fdinfo.$$ &&
		grep -q '^pagespan-memory-quarantined:	0 KiB$' /tmp/fdinfo.$$ &&
		grep -q '^pagespan-memory-quota:	[1-9][0-9]* KiB$' /tmp/fdinfo.$$ &&
		grep -q '^pagespan-client-id:	[1-9]' /tmp/fdinfo.$$
}

map_tells_occupancy() {
	grep -q ' [.]*[#0-9][#0-9]*[.]*$' "$debug/map"
}

map_is_empty() {
	! sed 's/^ *[0-9]* //' "$debug/map" | grep -q '[#0-9]'
}

events_are_counted() {
	alloc=$(of events/alloc)
	free=$(of events/free)
	fault=$(of events/fault)
	quarantine=$(of events/quarantine)
	holding 1000,3 true
	[ "$(of events/alloc)" -eq $((alloc + 1)) ] &&
		[ "$(of events/free)" -ge $((free + 1)) ] &&
		[ "$(of events/fault)" -ge $((fault + 1)) ] &&
		[ "$(of events/quarantine)" -eq $((quarantine + 3)) ]
}

events_are_traced() {
	[ -d "$tracing/events/pagespan" ] || return 1
	echo >"$tracing/trace"
	echo 1 >"$tracing/events/pagespan/enable"
	holding 1000,3 true
	echo 0 >"$tracing/events/pagespan/enable"
	for event in alloc free fault quarantine; do
		grep -q " $event: client=[0-9]* first=[0-9]* nr_pages=[0-9]*" "$tracing/trace" || return 1
	done
}

# What one that answers can spare is asked for; the other is refused, or was served.
asking_is_traced() {
	echo >"$tracing/trace"
	echo 1 >"$tracing/events/pagespan/enable"
	"$directory/pressure" >/dev/null 2>&1
	asked=$?
	echo 0 >"$tracing/events/pagespan/enable"
	for event in ask wait served; do
		grep -q " $event: client=[0-9]* nr_pages=[0-9]*$" "$tracing/trace" || return 1
	done
	return "$asked"
}

hibernation_is_refused() {
	! echo disk 2>/dev/null >/sys/power/state &&
		dmesg | tail -n 20 | grep -q 'pagespan: hibernation refused: 1000 pages'
}

# The pool is closed while the machine hibernates, which without swap it tries in vain.
pool_opens_again() {
	! echo disk 2>/dev/null >/sys/power/state && [ "$(of free_pages)" -eq "$(of pool_pages)" ] &&
		holding 1000 true
}

[ -d "$debug" ] || mount -t debugfs debugfs /sys/kernel/debug
[ -d "$tracing/events" ] || mount -t tracefs tracefs "$tracing" 2>/dev/null

echo "TAP version 13"
echo "1..12"
holding 1000 pool_figures_add_up
result $? observe.sysfs_tells_free_pages_longest_run_and_clients
[ "$(of free_pages)" -eq "$(of pool_pages)" ] && [ "$(of clients)" -eq 0 ]
result $? observe.sysfs_tells_that_everything_came_back
holding 1000 fdinfo_tells_pages
result $? observe.fdinfo_tells_what_the_client_owns
holding 1000,3 quarantine_is_told
result $? observe.sysfs_and_fdinfo_tell_quarantined_pages
ids_grow
result $? observe.client_ids_are_never_used_again
holding 1000 map_tells_occupancy
result $? observe.debugfs_map_tells_occupied_megablocks
map_is_empty
result $? observe.debugfs_map_of_an_empty_pool_is_empty
events_are_counted
result $? observe.allocations_frees_faults_and_quarantine_are_counted
events_are_traced
result $? observe.allocations_frees_faults_and_quarantine_are_traced
asking_is_traced
result $? observe.what_others_are_asked_for_is_traced
if [ -w /sys/power/state ] && grep -q disk /sys/power/state && [ "$(wc -l </proc/swaps)" -eq 1 ]; then
	holding 1000 hibernation_is_refused
	result $? observe.hibernation_is_refused_while_pages_are_owned
	pool_opens_again
	result $? observe.pool_opens_again_after_hibernation
else
	tests=$((tests + 2))
	echo "ok $((tests - 1)) # SKIP this kernel does not hibernate, or would"
	echo "ok $tests # SKIP this kernel does not hibernate, or would"
fi
exit $((failures != 0))
