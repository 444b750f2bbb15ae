#!/bin/bash
# SPDX-License-Identifier: MIT
#
# bench-vm: what pages cost on pagespan and on what Linux has for it, in guest instructions. Runs the
# guest program (vm.c) on each source of the pool, prints the table and writes build/bench/vm.json.
#
# A guest that counts instructions does the same thing every time, so each is run twice and any
# difference is a failure to measure. A goal that is missed is a result.
#
# BENCH_QUICK=1 runs each guest once, and leaves out the longest stretches, which need a kernel that
# is built once.
set -euo pipefail

readonly self=bench-vm
cd "$(dirname "$0")/../.."
export BUILD=${BUILD:-build}
runs=2 measured=()
readonly program=$BUILD/bench/vm latency=$BUILD/bench/latency json=$BUILD/bench/vm.json lines=$BUILD/obj/bench/vm

# Memory that the boot parameter keeps away from the kernel, for the source phys=.
readonly reserved_at=512M reserved=128M

usage() {
	cat <<END
Usage: tools/bench/vm.sh [KERNEL]
KERNEL is one that tools/vm/run knows, by default 6.1. There are goals for it, and others for the kernels
that map folios, 6.17 and later.
END
}

# limit, workload, subject, phase: the minimum of that phase, or of the whole operation, is to be at most that.
# The gaps are the widest of those that the limit is for.
goals='
3400	1 page	pagespan ZONE_DEVICE
4000	1 page	pagespan contig
20000	client of the last page	pagespan ZONE_DEVICE
400	64 single pages, adjacent	pagespan ZONE_DEVICE
1000	64 single pages, adjacent	pagespan contig
700	64 single pages, gaps of 8	pagespan ZONE_DEVICE
7500	512 pages, aligned	pagespan ZONE_DEVICE
85000	512 pages, unaligned, untouched	pagespan ZONE_DEVICE
385000	512 pages, unaligned, untouched	pagespan contig'

# Where 2 MiB entries map folios, both sources have them.
readonly folio_goals='
4200	1 page	pagespan ZONE_DEVICE
4600	1 page	pagespan contig
700	64 single pages, adjacent	pagespan ZONE_DEVICE
770	64 single pages, adjacent	pagespan contig
8000	512 pages, aligned	pagespan ZONE_DEVICE
8800	512 pages, aligned	pagespan contig
250000	512 pages, unaligned	pagespan ZONE_DEVICE
275000	512 pages, unaligned	pagespan contig
15000	1 of 512 pages, aligned	pagespan ZONE_DEVICE	free
16500	1 of 512 pages, aligned	pagespan contig	free'

# The longest stretch of any operation is to be at most that. It is measured on a kernel with tracers,
# theirs and the timer's instructions included.
readonly stretch='longest stretch with interrupts or preemption off' stretch_limit=50000

say() {
	printf '%s: %s\n' "$self" "$*" >&2
}

fail() {
	say "failed: $*"
	exit 1
}

# guest NAME RUNNER-ARGUMENT...: runs of a guest, which must print the same
guest() {
	local name=$1 run
	shift
	for run in $(seq "$runs"); do
		say "$name, run $run"
		tools/vm/run --kernel "$kernel" --icount --mem 1G --timeout 600 "$@" >"$lines/$name.$run" ||
			fail "the guest for $name ended with status $?"
		diff "$lines/$name.1" "$lines/$name.$run" >&2 || fail "two runs of $name differ"
	done
	[ -s "$lines/$name.1" ] || fail "the guest for $name measured nothing"
	measured+=("$lines/$name.1")
}

run_guests() {
	local module=$1
	guest zone_device --module "$module" --append "memmap=$reserved\$$reserved_at" \
		--insmod "phys=$reserved_at,$reserved" -- "$program" pagespan ZONE_DEVICE sweep
	guest contig --module "$module" --insmod 'source=contig size_mb=128' \
		-- "$program" pagespan contig sweep
	guest linux --no-module -- "$program" linux sweep
}

# A tick of the tracer's clock is a microsecond, which is a thousand instructions.
run_latency_guests() {
	local debug module
	debug=$(selftests/debug/kernel latency)
	module=$(tools/build-module --kdir "$debug"/usr/src/linux-headers-*)
	kernel=$debug guest latency_zone_device --module "$module" --append "memmap=512M\$256M" \
		--insmod "phys=256M,512M" -- "$latency" ZONE_DEVICE
	kernel=$debug guest latency_contig --module "$module" --insmod 'source=contig size_mb=512' \
		-- "$latency" contig
}

make_json() {
	# shellcheck disable=SC2016 # the dollars are jq's
	cat "${measured[@]}" | jq -Rn '
		def fields: split("\n")[] | select(. != "") | split("\t");
		[inputs | split("\t") | {
			workload: .[0], subject: .[1], metric: .[2], unit: .[3], runs: .[4] | tonumber,
			min: .[5] | tonumber, p10: .[6] | tonumber, median: .[7] | tonumber, p90: .[8] | tonumber
		}] as $results |
		def cost($workload; $subject; $metric):
			[$results[] | select(.workload == $workload and .subject == $subject and .metric == $metric)] |
			if length == 1 then .[0].min else error("not measured: \($workload), \($subject)") end;
		{benchmark: "vm"} + $header + {
			results: $results,
			goals: [
				($goals | fields | cost(.[1]; .[2]; .[3] // "whole") as $value | {
					goal: "\(.[1])\(if .[3] then ", \(.[3])" else "" end): \(.[2])", workload: .[1], subject: .[2],
					limit: .[0] | tonumber, value: $value, met: ($value <= (.[0] | tonumber))
				}),
				([$results[] | select(.metric == $stretch) | .min] | select(length > 0) | max as $value | {
					goal: $stretch, limit: $stretch_limit, value: $value,
					met: ($value <= $stretch_limit)
				})
			]
		}' --arg goals "$goals" --arg stretch "$stretch" --argjson stretch_limit "$stretch_limit" \
		--argjson header "$(tools/bench/environment "kernel=$(tools/vm/kernel --release "$kernel")" \
			cores=1 cpu='QEMU TCG, -icount shift=0, ERMS off')"
}

main() {
	local module
	case ${1-} in
	-h | --help) usage; exit 0 ;;
	-*) usage >&2; exit 2 ;;
	esac
	kernel=${1:-6.1}
	case $kernel in 6.17 | 6.18 | 6.19 | [7-9].*) goals=$folio_goals ;; esac
	[ "${BENCH_QUICK:-0}" = 0 ] || runs=1
	tools/setup build vm
	command -v jq >/dev/null || fail "jq is missing (apt install jq)"
	[ -x "$latency" ] || fail "no $program and $latency; run: make bench-vm"
	module=$(tools/build-module "$kernel")
	rm -rf "$lines"
	mkdir -p "$lines"
	run_guests "$module"
	[ "$runs" = 1 ] || run_latency_guests
	make_json >"$lines/json"
	mv "$lines/json" "$json"
	tools/bench/table "$json"
}

main "$@"
