#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# Life of the module: parameters that are refused, and loading and unloading
# that loses no memory. The module is loaded at the end as it was at the start.
set -u

directory=$(dirname "$0")
# shellcheck source=selftests/tap.sh
. "$directory/tap.sh"

rounds=50
settled=5
noise_kb=1024

refused_phys() {
	for phys_value in 64M 64M,0 1M,2M 64M,3M 64M,2Mx 0xffffffffffe00000,4M -2M,2M 0,2T; do
		refused "phys=$phys_value" "phys=.* is not ADDR,SIZE" || {
			echo "# phys=$phys_value"
			return 1
		}
	done
}

# Without size_mb= and a place, a block of this machine is too large, or larger than max_mb=.
default_is_told() {
	load max_mb=16 || return 1
	[ "$(of source)" = contig ] && [ "$(of pool_pages)" -eq 4096 ] &&
		grep -qE '^hotplug: .*a memory block of [0-9]+ MiB is (too much|more than max_mb=)' $sys/why_not
	status=$?
	unload && [ "$status" -eq 0 ]
}

# The registers of an interrupt controller, which no driver may have.
refused_registers() {
	registers=$(sed -n 's/^ *0*\([0-9a-f]*\)-.* : \(IOAPIC\|GICD\)\( .*\)\?$/0x\1/p' /proc/iomem | head -n 1)
	[ -z "$registers" ] || [ $((registers % 2097152)) -ne 0 ] ||
		refused "phys=$registers,2M" "memory at $registers is in use"
}

# with PARAMETERS PROGRAM [ARGUMENT...]: a program of this directory, with the module loaded so
with() {
	# shellcheck disable=SC2086 # several parameters
	load $1 || return 1
	program=$directory/$2
	shift 2
	"$program" "$@"
	status=$?
	unload && [ "$status" -eq 0 ]
}

unload_while_open() {
	exec 9<>/dev/pagespan
	if unload 2>/dev/null; then
		exec 9>&-
		return 1
	fi
	exec 9>&-
	[ -e /dev/pagespan ]
}

# Every round after the first few must leave as much memory free as the least of those did.
reload_keeps_memory() {
	round=0
	least=0
	while [ "$round" -lt "$rounds" ]; do
		round=$((round + 1))
		load source=contig size_mb=16 && unload || return 1
		[ "$round" -ge "$settled" ] || continue
		now=$(free_kb)
		[ "$round" -gt "$settled" ] || least=$now
		last=$now
	done
	echo "# free after round $settled: $least kB, after round $rounds: $last kB"
	[ "$last" -ge $((least - noise_kb)) ]
}

needs /sys/module/pagespan/parameters
remember

echo "TAP version 13"
echo "1..22"
unload_while_open
result $? module.is_not_unloaded_while_the_device_is_open
unload
result $? module.unloads
refused size_mb=0 'size_mb=0 is not from 1'
result $? module.size_of_zero_is_refused_with_a_message
refused size_mb=-64 'size_mb=-64 is not from 1'
result $? module.negative_size_is_refused_with_a_message
refused size_mb=524288 'size_mb=524288 is more than the memory'
result $? module.size_above_the_memory_is_refused_with_a_message
refused size_mb=9223372036854775807 'size_mb=9223372036854775807 is not from 1'
result $? module.absurd_size_is_refused_with_a_message
ram_mb=$(($(sed -n 's/^MemTotal: *\([0-9]*\) kB/\1/p' /proc/meminfo) / 1024))
refused "size_mb=$((ram_mb - 1))" 'cannot reserve'
result $? module.memory_that_is_in_use_is_refused_with_a_message
# Of the kernel itself, and of memory anyway.
used=$(sed -n 's/^ *\([0-9a-f]*\)-.* : Kernel code$/0x\1/p' /proc/iomem)
used=phys=$(((used >> 21) * 2 + 2))M,2M
refused "$used" "$used is memory that the kernel uses"
result $? module.phys_of_memory_in_use_is_refused_with_a_message
refused_phys
result $? module.phys_that_makes_no_sense_is_refused_with_a_message
refused "$used max_mb=1" "$used is more than the 1 MiB wanted"
result $? module.phys_of_more_than_max_mb_is_refused_with_a_message
refused_registers
result $? module.phys_of_a_device_is_refused_with_a_message
default_is_told
result $? module.what_is_taken_without_a_size_is_told
refused reserve_mem=nobody 'reserve_mem=\(nobody is not reserved\| needs Linux\)'
result $? module.reserve_mem_that_is_not_there_is_refused_with_a_message
refused source=moon 'source=moon is not one of'
result $? module.unknown_source_is_refused_with_a_message
refused client_max_mb=-1 'client_max_mb=-1 is not from 0'
result $? module.negative_quota_is_refused_with_a_message
refused user_max_mb=-1 'user_max_mb=-1 is not from 0'
result $? module.negative_limit_of_users_is_refused_with_a_message
with 'size_mb=16 client_max_mb=1' quota 256
result $? module.client_cannot_own_more_than_its_quota
with 'source=contig size_mb=64 client_max_mb=8 user_max_mb=16' users 2048 4096
result $? module.clients_of_a_user_cannot_own_more_than_its_limit_together
with 'size_mb=16 zero_on_free=1' zeroed
result $? module.freed_pages_are_cleared_at_once_if_asked_for
with 'size_mb=16 zero_on_free=1' futex >/dev/null
result $? module.futexes_of_clients_are_apart_too_if_freed_pages_are_cleared
reload_keeps_memory
result $? module.loading_and_unloading_loses_no_memory
load_as_before
result $? module.loads_again
exit $((failures != 0))
