#!/bin/bash
# SPDX-License-Identifier: MIT
#
# bench-span: spans against what programs get pages from today. In each pass, every workload is
# measured once on every subject in turn, so that what disturbs the machine disturbs all; ratios
# compare medians of the same passes. Then instructions, by callgrind on this machine and in a guest
# on the device backend. Prints the table and writes build/bench/span.json. A goal that is missed is a
# result.
#
# BENCH_QUICK=1 takes fewer and shorter passes, and runs each guest once.
set -euo pipefail

readonly self=bench-span
cd "$(dirname "$0")/../.."
export BUILD=${BUILD:-build}
readonly programs=$BUILD/bench/span json=$BUILD/bench/span.json work=$BUILD/obj/bench/span
readonly lines=$work/lines

# What is measured here is the library. The device backend has the guest.
export PAGESPAN_BACKEND=memory

# Memory that the boot parameter keeps away from the kernel, for the source phys=.
readonly reserved_at=512M reserved=128M

# In bursts, mmap is nobody's rival: it is left out.
readonly peers='tcmalloc mimalloc2 mimalloc3 jemalloc glibc'

usage() {
	cat <<END
Usage: tools/bench/span.sh
       tools/bench/span.sh --report LINES JSON [NAME=VALUE]...
The second form measures nothing: it makes the table and the JSON file of the figures in LINES, see
tools/bench/span_report.
END
}

say() {
	printf '%s: %s\n' "$self" "$*" >&2
}

fail() {
	say "failed: $*"
	exit 1
}

# figures WORKLOAD SUBJECT COMMAND...: adds what the command prints, which is metric, unit and value
figures() {
	local workload=$1 subject=$2
	shift 2
	"$@" >"$work/figures" || fail "$workload on $subject ended with status $?"
	[ -s "$work/figures" ] || fail "$workload on $subject measured nothing"
	sed "s|^|$workload	$subject	|" "$work/figures" >>"$lines"
}

# here SUBJECT...: those that could be built
here() {
	local subject
	for subject; do
		[ ! -x "$programs/$subject" ] || printf '%s ' "$subject"
	done
}

# turns WORKLOAD SUBJECTS ARGUMENT...: each of them measures once
turns() {
	local workload=$1 subjects=$2 subject
	shift 2
	for subject in $subjects; do
		figures "$workload" "$subject" "$programs/$subject" "$@"
	done
}

run_pass() {
	local rivals=$1 milliseconds=$2 workload threads
	while read -r workload; do
		turns "$workload" "$rivals mmap" workload "$workload" "$milliseconds"
	done < <("$programs/pagespan" workloads)
	turns 'producer and consumer' "$rivals" stream $((2 * milliseconds))
	for threads in 1 2; do
		turns "256 x 64 pages, untouched, threads: $threads" "$rivals" \
			burst-of-threads "$threads" 64 256 "$milliseconds"
		turns "16 x 768 pages, untouched, threads: $threads" "$rivals" \
			burst-of-threads "$threads" 768 16 "$milliseconds"
	done
}

run_bursts() {
	local rivals=$1 milliseconds=$2 pages count
	while read -r pages count; do
		turns "burst, $count x $pages pages" "$rivals" burst "$pages" "$count" "$milliseconds"
	done < <("$programs/pagespan" cells)
}

# They sleep for most of it. Whoever has a thread for that may have it.
run_memory_left() {
	local rivals=$1 after='a second after 256 MiB'
	turns "$after, a call every 10 ms" "$rivals" left calls
	turns "$after, asleep" "$rivals" left asleep
	PAGESPAN_BACKGROUND=1 MALLOC_CONF=background_thread:true \
		turns "$after, asleep, with the thread" "$rivals" left asleep
}

# passes COUNT COMMAND...
passes() {
	local count=$1 pass
	shift
	for pass in $(seq "$count"); do
		say "${1#run_}: $pass of $count"
		"$@"
	done
}

# instructions FUNCTION OPERATIONS COMMAND...: what callgrind counts in the function, for each operation
instructions() {
	local function=$1 operations=$2 counts=$work/callgrind
	shift 2
	valgrind -q --tool=callgrind --callgrind-out-file="$counts" --toggle-collect="$function" "$@" >&2 || return
	awk -v operations="$operations" '
		/^(summary|totals): / { counted = $2 }
		END { if (!counted) exit 1; printf "instructions\tinstructions\t%.10g\n", counted / operations }
	' "$counts"
}

# Of pagespan what it takes where there are no restartable sequences: valgrind has none. The guest has.
count_instructions() {
	local subject operations=1000
	say 'counting instructions'
	for subject in $1; do
		figures '4K, cached, no rseq' "$subject" instructions measured_pair "$operations" \
			"$programs/$subject" count 1 "$operations"
		figures '2M, cached, no rseq' "$subject" instructions measured_pair "$operations" \
			"$programs/$subject" count 512 "$operations"
	done
}

# guest RUNS SOURCE RUNNER-ARGUMENT...: a guest does the same thing every time, so any difference
# between two runs is a failure to measure
guest() {
	local runs=$1 source=$2 run
	shift 2
	for run in $(seq "$runs"); do
		say "guest on $source, run $run"
		tools/vm/run --kernel 6.1 --icount --mem 1G --env PAGESPAN_BACKEND=device "$@" \
			-- "$programs/guest" "$source" >"$work/guest.$run" || fail "the guest on $source ended with status $?"
		cmp "$work/guest.1" "$work/guest.$run" >&2 || fail "two runs of the guest on $source differ"
	done
	[ -s "$work/guest.1" ] || fail "the guest on $source measured nothing"
	cat "$work/guest.1" >>"$lines"
}

run_guests() {
	local module
	module=$(tools/build-module 6.1)
	guest "$1" ZONE_DEVICE --module "$module" --append "memmap=$reserved\$$reserved_at" \
		--insmod "phys=$reserved_at,$reserved"
	guest "$1" contig --module "$module" --insmod 'source=contig size_mb=128'
}

# What each peer says that it is
versions() {
	local peer text=
	for peer in $1; do
		text+="$peer $("$programs/$peer" version | sed 's/^gperftools //;s/-0-g.*//'), "
	done
	printf '%s\n' "${text%, }"
}

# report LINES JSON [NAME=VALUE]...
report() {
	tools/bench/span_report "$@" || fail "no report of $1"
	tools/bench/table "$2"
}

main() {
	local quick=${BENCH_QUICK:-0} rivals
	case ${1-} in
	-h | --help) usage; exit 0 ;;
	--report) report "${2:?}" "${3:?}" "${@:4}"; exit 0 ;;
	?*) usage >&2; exit 2 ;;
	esac
	tools/setup build vm bench
	[ -x "$programs/pagespan" ] || fail "no $programs/pagespan; run: make bench-span"
	rm -rf "$work"
	mkdir -p "$work"
	# shellcheck disable=SC2086 # several
	rivals="pagespan $(here $peers)"
	if [ "$quick" != 0 ]; then
		passes 3 run_pass "$rivals" 15
		passes 1 run_bursts "$rivals" 3
		passes 1 run_memory_left "$rivals"
	else
		passes 11 run_pass "$rivals" 50
		passes 5 run_bursts "$rivals" 40
		passes 3 run_memory_left "$rivals"
	fi
	figures 'all freed, threads gone, ps_trim(0)' pagespan "$programs/own" held
	count_instructions "$rivals"
	run_guests $((quick != 0 ? 1 : 2))
	report "$lines" "$json" peers="$(versions "${rivals#pagespan}")"
}

main "$@"
