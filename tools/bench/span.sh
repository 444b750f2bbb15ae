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

readonly subjects='pagespan tcmalloc mimalloc jemalloc glibc mmap'

# comparison, limit, workload, metric, subject, against whom: another subject, the best of the others,
# or nobody. What is to be at least so many times faster is the other way round.
readonly goals='
at most	0.85	4K	pair	pagespan	tcmalloc
at most	0.85	64K	pair	pagespan	tcmalloc
at most	1.2	4K, first page touched	pair	pagespan	tcmalloc
at most	1.2	64K, first page touched	pair	pagespan	tcmalloc
at most	0.25	2M	pair	pagespan	tcmalloc
at most	0.7	mix	pair	pagespan	tcmalloc
at most	0.7	mix, two threads	pair	pagespan	tcmalloc
at most	1	4K, freed by another thread	pair	pagespan	tcmalloc
at most	1	mix, freed by another thread	pair	pagespan	tcmalloc
at most	1	4K, freed by another thread, one way	pair	pagespan	tcmalloc
at most	1	mix, freed by another thread, one way	pair	pagespan	tcmalloc
at most	1.05	mix, every page touched	pair	pagespan	the best peer
at least	300	4K, first page touched	pair	pagespan	mmap
at most	1.10	odd sizes	memory accounted / asked	pagespan	-
at most	1.10	odd sizes	memory resident / asked	pagespan	-
at most	0	all freed, threads gone, ps_trim(0)	memory held	pagespan	-
at most	100	function with an arena of its own	instructions	pagespan	-
at most	40	guest: 4K, cached	pair	pagespan contig	-
at most	40	guest: 4K, cached	pair	pagespan ZONE_DEVICE	-
at most	1000	guest: 1024 single pages, nothing cached	whole	pagespan contig	-
at most	1000	guest: 1024 single pages, nothing cached	whole	pagespan ZONE_DEVICE	-'

usage() {
	cat <<END
Usage: tools/bench/span.sh
       tools/bench/span.sh --report LINES JSON
The second form measures nothing: it makes the table and the JSON file of the figures in LINES. Each line is
one figure of one pass: workload, subject, metric, unit and value, separated by tabs.
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

workloads() {
	"$programs/pagespan" 2>&1 >/dev/null | sed -n 's/^\t//p'
}

run_passes() {
	local pass workload subject
	for pass in $(seq "$1"); do
		say "pass $pass of $1"
		while read -r workload; do
			for subject in $subjects; do
				figures "$workload" "$subject" "$programs/$subject" "$workload" "$2"
			done
		done < <(workloads)
	done
	figures 'all freed, threads gone, ps_trim(0)' pagespan "$programs/own" held
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

count_instructions() {
	local subject operations=1000
	say 'counting instructions'
	for subject in $subjects; do
		[ "$subject" != mmap ] || continue # the kernel's are not counted
		figures '4K, cached' "$subject" instructions measured_pair "$operations" \
			"$programs/$subject" --count 1 "$operations"
		figures '2M, cached' "$subject" instructions measured_pair "$operations" \
			"$programs/$subject" --count 512 "$operations"
	done
	figures 'function with an arena of its own' pagespan instructions measured_function "$operations" \
		"$programs/own" --count "$operations"
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

make_json() {
	# shellcheck disable=SC2016 # the dollars are jq's
	jq -Rn '
		def fields: split("\n")[] | select(. != "") | split("\t");
		def in_order: reduce .[] as $x ([]; if any(.[]; . == $x) then . else . + [$x] end);
		[inputs | split("\t")] as $figures |
		[$figures | map(.[:4]) | in_order[] | . as $what |
			[$figures[] | select(.[:4] == $what) | .[4] | tonumber] | sort |
			{
				workload: $what[0], subject: $what[1], metric: $what[2], unit: $what[3],
				median: .[length / 2 | floor], p10: .[(length - 1) / 10 | floor],
				p90: .[(length - 1) * 9 / 10 | ceil], runs: length
			}] as $results |
		def median($workload; $metric; $subject):
			[$results[] | select(.workload == $workload and .metric == $metric and .subject == $subject)] |
			if length == 1 then .[0].median else error("not measured: \($workload), \($metric), \($subject)") end;
		def best($workload; $metric):
			[$results[] | select(.workload == $workload and .metric == $metric and .subject != "pagespan") | .median] | min;
		{benchmark: "span"} + $header + {
			results: $results,
			goals: [$goals | fields | . as [$comparison, $limit, $workload, $metric, $subject, $against] |
				median($workload; $metric; $subject) as $ours |
				(if $against == "-" then $ours
				 elif $against == "the best peer" then $ours / best($workload; $metric)
				 elif $comparison == "at least" then median($workload; $metric; $against) / $ours
				 else $ours / median($workload; $metric; $against) end) as $value |
				{
					goal: ("\($workload): \($metric)" + (if $subject == "pagespan" then "" else ", \($subject)" end) +
						(if $against == "-" then "" elif $comparison == "at least" then ", times faster than \($against)"
						 else ", of \($against)" end)),
					comparison: $comparison, limit: ($limit | tonumber), value: $value,
					met: (if $comparison == "at least" then $value >= ($limit | tonumber) else $value <= ($limit | tonumber) end)
				}]
		}' --arg goals "$goals" --argjson header "$(tools/bench/environment)" <"$1"
}

# report LINES JSON
report() {
	make_json "$1" >"$2.new" || fail "no report of $1"
	mv "$2.new" "$2"
	tools/bench/table "$2"
}

main() {
	local quick=${BENCH_QUICK:-0}
	case ${1-} in
	-h | --help) usage; exit 0 ;;
	--report) report "${2:?}" "${3:?}"; exit 0 ;;
	?*) usage >&2; exit 2 ;;
	esac
	tools/setup build vm bench
	[ -x "$programs/pagespan" ] || fail "no $programs/pagespan; run: make bench-span"
	rm -rf "$work"
	mkdir -p "$work"
	if [ "$quick" != 0 ]; then
		run_passes 3 15
	else
		run_passes 11 50
	fi
	count_instructions
	run_guests $((quick != 0 ? 1 : 2))
	report "$lines" "$json"
}

main "$@"
