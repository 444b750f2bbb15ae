#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# How the module comes and goes: not while anything of it is in use, under use, and with every step
# of its init failing in its turn. The module is loaded at the end as it was at the start.
set -u

directory=$(dirname "$0")
# shellcheck source=selftests/tap.sh
. "$directory/tap.sh"

rounds=5
patience=100
noise_kb=2048

stays() {
	! unload 2>/dev/null && [ -e /dev/pagespan ]
}

# What the kernel still held is let go of in a moment.
goes() {
	tries=50
	until unload 2>/dev/null; do
		tries=$((tries - 1))
		[ "$tries" -gt 0 ] || return 1
		sleep 0.1
	done
	[ ! -e /dev/pagespan ]
}

# held_by WHAT: the module stays while that is left of a client, and goes afterwards
held_by() {
	during "$directory/outlive $1" stays && goes && load_as_before
}

comes_and_goes() {
	gone=0
	until=$(($(date +%s) + patience))
	while [ "$gone" -lt "$rounds" ] && [ "$(date +%s)" -lt "$until" ]; do
		unload 2>/dev/null || continue
		gone=$((gone + 1))
		load_as_before || return 1
	done
	echo "# unloaded $gone times in use"
	[ "$gone" -eq "$rounds" ]
}

# Little memory, for it is taken often, and contiguous: where ZONE_DEVICE pages come to be, the kernel
# itself warns of a failing site.
failing_load() {
	unload || return 1
	"$directory/failing_load" "$PAGESPAN_KO" "source=contig size_mb=4" >/dev/null && before=$(free_kb) &&
		"$directory/failing_load" "$PAGESPAN_KO" "source=contig size_mb=4"
	failing_status=$?
	[ "$failing_status" -ne 0 ] || {
		after=$(free_kb)
		echo "# free before: $before kB, after: $after kB"
		[ "$after" -ge $((before - noise_kb)) ]
		failing_status=$?
	}
	load_as_before && return "$failing_status"
}

needs $parameters
remember

echo "TAP version 13"
echo "1..6"
held_by pin
result $? life.module_stays_while_a_freed_page_is_pinned
held_by export
result $? life.module_stays_while_a_dmabuf_is_left
held_by window
result $? life.module_stays_while_a_child_has_a_window
during "$directory/outlive waiter" goes && load_as_before
result $? life.module_goes_while_a_thread_waits_on_a_freed_page
during "$directory/outlive use" comes_and_goes
result $? life.module_comes_and_goes_under_use
failing_load
failing_status=$?
if [ "$failing_status" -eq 4 ]; then
	tests=$((tests + 1))
	echo "ok $tests # SKIP no fault injection in this kernel"
else
	result "$failing_status" life.init_survives_every_failing_site_and_loses_nothing
fi
exit $((failures != 0))
