#!/bin/bash
# SPDX-License-Identifier: MIT
#
# bench-span sees what it is for: a library that becomes slower gives a larger figure, and every goal is
# judged by the figures of its own run.
set -euo pipefail

cd "$(dirname "$0")/../.."
export BUILD=${BUILD:-build}
readonly program=$BUILD/bench/span/pagespan
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
tests=0
failures=0

# promise NAME COMMAND...
promise() {
	local name=$1
	shift
	tests=$((tests + 1))
	if "$@" >"$tmp/log" 2>&1; then
		echo "ok $tests $name"
	else
		failures=$((failures + 1))
		sed 's/^/# /' "$tmp/log"
		echo "not ok $tests $name"
	fi
}

# ps_span_alloc() of the library, and a microsecond.
build_slower_library() {
	cc -O2 -fPIC -shared -x c - -o "$tmp/slower.so" <<-'END'
		#define _GNU_SOURCE
		#include <dlfcn.h>
		#include <stddef.h>
		#include <time.h>

		static long now_ns(void)
		{
			struct timespec now;

			clock_gettime(CLOCK_MONOTONIC, &now);
			return now.tv_sec * 1000000000 + now.tv_nsec;
		}

		void *ps_span_alloc(size_t bytes)
		{
			static void *(*real)(size_t);
			long end = now_ns() + 1000;

			if (!real)
				real = (void *(*)(size_t))dlsym(RTLD_NEXT, "ps_span_alloc");
			while (now_ns() < end)
				;
			return real(bytes);
		}
	END
}

builds() {
	make --no-print-directory "$program" && build_slower_library
}

# pair [NAME=VALUE]: what a pair costs, in whole nanoseconds
pair() {
	env PAGESPAN_BACKEND=memory "$@" "$program" 4K 20 | awk -F '\t' '{ printf "%d\n", $3 }'
}

a_planted_slowdown_is_seen() {
	local plain slowed
	plain=$(pair)
	slowed=$(pair LD_PRELOAD="$tmp/slower.so")
	echo "$plain ns, and $slowed ns with a microsecond planted"
	[ "$slowed" -ge $((plain + 900)) ]
}

workloads() {
	"$program" 2>&1 | sed -n 's/^\t//p'
}

# figures PAGESPAN-VALUE...: what a run would have found, with these values for every workload of
# pagespan and constants for all else
figures() {
	local workload value source
	while read -r workload; do
		for value; do
			printf '%s\tpagespan\tpair\tns\t%s\n' "$workload" "$value"
		done
		printf '%s\ttcmalloc\tpair\tns\t20\n%s\tmimalloc\tpair\tns\t16\n%s\tmmap\tpair\tns\t6000\n' \
			"$workload" "$workload" "$workload"
	done < <(workloads)
	printf 'odd sizes\tpagespan\tmemory %s / asked\t1\t1.05\n' accounted resident
	printf 'all freed, threads gone, ps_trim(0)\tpagespan\tmemory held\tB\t0\n'
	printf 'function with an arena of its own\tpagespan\tinstructions\tinstructions\t99\n'
	for source in contig ZONE_DEVICE; do
		printf 'guest: 4K, cached\tpagespan %s\tpair\tinstructions\t40\n' "$source"
		printf 'guest: 1024 single pages, nothing cached\tpagespan %s\twhole\tinstructions/page\t1000\n' "$source"
	done
}

reports() {
	figures "$@" >"$tmp/lines" && tools/bench/span.sh --report "$tmp/lines" "$tmp/json" >"$tmp/table"
}

# holds JQ-EXPRESSION: of the report
holds() {
	jq -e "$1" "$tmp/json"
}

goals_are_ratios_of_medians() {
	reports 15 100 17 16 18 &&
		holds '.goals[] | select(.goal == "4K: pair, of tcmalloc") | .value == 0.85 and .met' &&
		holds '.goals[] | select(.goal == "2M: pair, of tcmalloc") | .value == 0.85 and (.met | not)' &&
		holds '.goals[] | select(.goal | endswith("of the best peer")) | .value == 17 / 16 and (.met | not)' &&
		holds '.goals[] | select(.comparison == "at least") | .value == 6000 / 17 and .met' &&
		holds '.results[] | select(.workload == "4K" and .subject == "pagespan") |
			[.median, .p10, .p90, .runs] == [17, 15, 100, 5]'
}

a_slower_library_misses_its_goals() {
	reports 1 && holds 'all(.goals[]; .met)' &&
		reports 25 && holds 'all(.goals[]; .met == (.goal | test("of tcmalloc|best peer|times faster") | not))' &&
		grep -q '^4K: pair, of tcmalloc .* 1\.25  MISSED$' "$tmp/table"
}

what_was_not_measured_is_no_goal_met() {
	figures 1 | grep -v '^64K	tcmalloc' >"$tmp/lines"
	! tools/bench/span.sh --report "$tmp/lines" "$tmp/none" && [ ! -e "$tmp/none" ]
}

echo "TAP version 13"
promise bench_span.builds builds
promise bench_span.a_planted_slowdown_is_seen a_planted_slowdown_is_seen
promise bench_span.goals_are_ratios_of_medians goals_are_ratios_of_medians
promise bench_span.a_slower_library_misses_its_goals a_slower_library_misses_its_goals
promise bench_span.what_was_not_measured_is_no_goal_met what_was_not_measured_is_no_goal_met
echo "1..$tests"
exit $((failures != 0))
