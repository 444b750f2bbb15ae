#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# pagespanctl beside the module: it tells what `hold` and the kernel say. For the guest of
# tools/vm/run, with pagespanctl and jq.
set -u

directory=$(dirname "$0")
# shellcheck source=selftests/tap.sh
. "$directory/tap.sh"
needs "$sys/pool_pages"

# run STATUS ARGUMENT...: pagespanctl ends so; its output is in /tmp/out
run() {
	expected=$1
	shift
	pagespanctl "$@" >/tmp/out 2>&1
	got=$?
	[ "$got" -eq "$expected" ] || sed "s/^/# $* ended with $got: /" /tmp/out
	[ "$got" -eq "$expected" ]
}

says() {
	grep -qF -- "$1" /tmp/out || { sed 's/^/# /' /tmp/out; return 1; }
}

json() {
	run 0 "$1" --json && jq -r "$2" /tmp/out
}

# 1000 pages of which 3 are freed and pinned: held by $holder
stat_agrees_with_sysfs() {
	[ "$(json stat '"\(.pool_pages) \(.free_pages) \(.quarantined_pages) \(.owned_pages) \(.nr_clients)"')" = \
		"$(of pool_pages) $(($(of pool_pages) - 1000)) 3 997 1" ]
}

clients_are_processes() {
	[ "$(json clients '.[] | "\(.pid) \(.command) \(.owned_bytes) \(.quarantined_bytes) \(.cached_bytes)"')" = \
		"$holder hold $((997 * 4096)) $((3 * 4096)) null" ] &&
		run 0 clients && says ' hold' && run 0 stat && ! says cached >/dev/null
}

users_are_charged_for_their_clients() {
	[ "$(json users '.[] | "\(.uid) \(.charged_bytes / 4096) \(.clients)"')" = "$(of users) 1" ] &&
		[ "$(json users '.[] | "\(.uid) \(.charged_bytes) \(.quota_bytes / 4096)"')" = "0 $((1000 * 4096)) $(of pool_pages)" ] &&
		[ "$(json clients '.[] | "\(.uid) \(.user_charged_bytes)"')" = "0 $((1000 * 4096))" ] &&
		run 0 users && says 'root ' && run 0 clients && says 'CHARGED'
}

# Of three threads and a child, by the library's own account, which `lib_hold` gives.
cached_is_what_the_library_says() {
	[ "$held" -gt 0 ] && [ "$(json clients '.[] | "\(.pid) \(.cached_bytes)"')" = "$holder $held" ] &&
		[ "$(json stat .cached_bytes)" = "$held" ] && run 0 stat && says '    cached'
}

# 1000 pages are a megablock and a part of another.
map_shows_the_held() {
	run 0 map && sed -n '1p' /tmp/out | grep -q '[#0-9][#0-9]' &&
		run 0 map --svg /tmp/map.svg && grep -q 'in use</title>' /tmp/map.svg
}

map_of_an_empty_pool() {
	run 0 map && ! sed -n '1s/^ *[0-9]* MiB //p' /tmp/out | grep -q '[#0-9]'
}

doctor_finds_the_device_well() {
	run 0 doctor && says 'a page can be allocated, mapped and written' &&
		says 'Programs on libpagespan run on the device here.'
}

doctor_tells_of_2_mib_mappings() {
	if [ "$(of huge)" = 1 ]; then
		run 0 doctor && says '2 MiB mappings'
	else
		run 0 doctor && says 'reserve SIZE --install'
	fi
}

# nobody ARGUMENT...: pagespanctl as a user that may not open the device
nobody() {
	su -s /bin/sh -c "pagespanctl $*" nobody >/tmp/out 2>&1
}

doctor_refuses_for_others() {
	nobody doctor
	[ $? -eq 1 ] && says 'nobody may not open /dev/pagespan' && says 'Do this next'
}

others_see_figures_but_no_clients() {
	nobody stat && says 'other users; root sees them' && nobody users &&
		says 'root sees what other users are charged'
}

map_is_for_root() {
	nobody map
	[ $? -eq 4 ] && says 'only root'
}

bench_runs_on_the_device() {
	run 0 bench && says 'backend: device' && says 'spans keep what they hold: yes'
}

reservation_took() {
	if grep -q 'memmap=.*\$' /proc/cmdline; then
		run 0 reserve --check && says 'the pool is there: source phys'
	else
		run 1 reserve --check && says 'nothing is reserved'
	fi
}

reservation_fits_this_machine() {
	run 0 reserve 64 && grep -q 'memmap=64M[$][0-9]*M$' /tmp/out
}

unloaded_module_is_told() {
	remember
	unload && run 3 stat && says 'is not loaded' && run 1 doctor && says 'Do this next'
	unloaded_status=$?
	load_as_before
	return "$unloaded_status"
}

export PAGESPAN_KO=/lib/pagespan.ko
chmod 1777 /tmp
echo "TAP version 13"
echo "1..15"
during "$directory/hold 1000 3" stat_agrees_with_sysfs
result $? pagespanctl.stat_agrees_with_sysfs
during "$directory/hold 1000 3" clients_are_processes
result $? pagespanctl.clients_are_processes
during "$directory/hold 1000 3" users_are_charged_for_their_clients
result $? pagespanctl.users_are_charged_for_their_clients
during "env PAGESPAN_BACKEND=device lib_hold" cached_is_what_the_library_says
result $? pagespanctl.cached_is_what_the_library_says
during "$directory/hold 1000 3" map_shows_the_held
result $? pagespanctl.map_shows_the_held
during "$directory/hold 1000 3" others_see_figures_but_no_clients
result $? pagespanctl.others_see_figures_but_no_clients
sleep 2
map_of_an_empty_pool
result $? pagespanctl.map_of_an_empty_pool_is_empty
doctor_finds_the_device_well
result $? pagespanctl.doctor_finds_the_device_well
doctor_tells_of_2_mib_mappings
result $? pagespanctl.doctor_tells_of_2_mib_mappings
doctor_refuses_for_others
result $? pagespanctl.doctor_says_who_may_not_open_the_device
map_is_for_root
result $? pagespanctl.map_is_for_root
bench_runs_on_the_device
result $? pagespanctl.bench_runs_on_the_device
reservation_took
result $? pagespanctl.reserve_check_tells_what_the_kernel_did
reservation_fits_this_machine
result $? pagespanctl.reserve_finds_a_place
unloaded_module_is_told
result $? pagespanctl.module_that_is_unloaded_is_told
exit $((failures != 0))
