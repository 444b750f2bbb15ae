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
	env PAGESPAN_BACKEND=memory "$@" "$program" workload 4K 20 | awk -F '\t' '{ printf "%d\n", $3 }'
}

a_planted_slowdown_is_seen() {
	local plain slowed
	plain=$(pair)
	slowed=$(pair LD_PRELOAD="$tmp/slower.so")
	echo "$plain ns, and $slowed ns with a microsecond planted"
	[ "$slowed" -ge $((plain + 900)) ]
}

# Workload and metric of each figure that is compared with peers, separated by a tab
compared() {
	"$program" workloads | sed 's/$/\tpair/'
	"$program" cells | awk '{ printf "burst, %d x %d pages\tpage\n", $2, $1 }'
	printf 'producer and consumer\t%s\n' page 'peak memory'
	printf '%s pages, untouched, threads: 2\tfrom pair to pair\n' '256 x 64' '16 x 768'
}

# figures PAGESPAN-VALUE...: what a run would have found, with these values for everything of
# pagespan that is compared and constants for all else
figures() {
	local what value source how
	while read -r what; do
		for value; do
			printf '%s\n' "${what/	/	pagespan	}	ns	$value"
		done
		printf '%s\n' "${what/	/	tcmalloc	}	ns	20" "${what/	/	mimalloc3	}	ns	16" \
			"${what/	/	mmap	}	ns	6000"
	done < <(compared)
	for how in 'a call every 10 ms' asleep 'asleep, with the thread'; do
		printf 'a second after 256 MiB, %s\tpagespan\tmemory resident\tB\t4194304\n' "$how"
	done
	printf 'odd sizes\tpagespan\tmemory %s / asked\t1\t1.05\n' accounted resident
	printf 'all freed, threads gone, ps_trim(0)\tpagespan\tmemory held\tB\t0\n'
	for source in contig ZONE_DEVICE; do
		printf 'guest: 4K, cached\tpagespan %s\tpair\tinstructions\t40\n' "$source"
		printf 'guest: function with an arena of its own\tpagespan %s\twhole\tinstructions\t99\n' "$source"
		printf 'guest: 1024 single pages, nothing cached\tpagespan %s\twhole\tinstructions/page\t1000\n' "$source"
	done
}

reports() {
	figures "$@" >"$tmp/lines" && report
}

report() {
	tools/bench/span.sh --report "$tmp/lines" "$tmp/json" peers='tcmalloc 1.2' >"$tmp/table"
}

# holds JQ-EXPRESSION: of the report
holds() {
	jq -e "$1" "$tmp/json"
}

goals_are_ratios_of_medians() {
	reports 15 100 17 16 18 &&
		holds '.goals[] | select(.goal == "4K: pair, of tcmalloc") | .value == 0.85 and .met' &&
		holds '.goals[] | select(.goal == "2M: pair, of tcmalloc") | .value == 0.85 and (.met | not)' &&
		holds '.goals[] | select(.goal == "mix, every page touched: pair, of the best peer") | .value == 17 / 16 and (.met | not)' &&
		holds '.goals[] | select(.comparison == "at least") | .value == 6000 / 17 and .met' &&
		holds '.results[] | select(.workload == "4K" and .subject == "pagespan") |
			[.median, .p10, .p90, .runs] == [17, 15, 100, 5]'
}

a_slower_library_misses_its_goals() {
	reports 1 && holds 'all(.goals[]; .met)' &&
		reports 25 && holds 'all(.goals[]; .met == ((.comparison == "at most" and .limit > 2) or
			(.goal | test("of tcmalloc|best peer|times faster") | not)))' &&
		grep -q '^4K: pair, of tcmalloc .* 1\.25  MISSED$' "$tmp/table"
}

# Every cell at the peers' best, but two.
one_burst_is_enough_to_miss_the_goal() {
	figures 16 | sed 's/^\(burst, 64 x 64 pages	pagespan	.*	\)16$/\148/; s/^\(burst, 2 x 1 pages	pagespan	.*	\)16$/\128/' >"$tmp/lines"
	report && holds '.goals[] | select(.goal | startswith("bursts: the worst")) | .value == 3 and (.met | not) and
			(.goal | test("86 cells \\(64 x 64 pages\\), 2 beyond"))' &&
		holds '.goals[] | select(.goal | startswith("bursts: geometric mean")) |
			.value > 1 and (.value - pow(3 * 1.75; 1 / 86) | fabs < 1e-9) and (.met | not)' &&
		grep -q '^bursts: the worst .* 3  MISSED$' "$tmp/table" && grep -q '^peers: tcmalloc 1.2$' "$tmp/table"
}

what_is_left_is_judged_in_bytes() {
	figures 1 | sed 's/^\(a second after 256 MiB, asleep, .*\)4194304$/\14194305/' >"$tmp/lines"
	report && holds '[.goals[] | select(.met | not) | .goal] == ["a second after 256 MiB, asleep, with the thread: memory resident"]'
}

# The other pictures have no reports there.
every_burst_is_in_the_picture() {
	mkdir -p "$tmp/build/bench"
	reports 17 && cp "$tmp/json" "$tmp/build/bench/span.json"
	! BUILD=$tmp/build tools/bench/plot 2>/dev/null &&
		[ "$(grep -c '>1\.06<' "$tmp/build/bench/plots/bursts.svg")" = 86 ]
}

# said PATTERN: by the part of the README that judges the report
said() {
	python3 -B - "$tmp/json" >"$tmp/section" <<-'END'
		import importlib.machinery, importlib.util, sys
		sys.path.insert(0, "tools/bench")
		loader = importlib.machinery.SourceFileLoader("report", "tools/bench/report")
		report = importlib.util.module_from_spec(importlib.util.spec_from_loader("report", loader))
		loader.exec_module(report)
		file = report.figures.load(sys.argv[1])
		print(*report.of_bursts(file), report.misses(file), sep="\n")
	END
	grep -qE -- "$1" "$tmp/section"
}

the_readme_names_what_is_missed() {
	reports 1 && said '^All [0-9]+ goals of' && said '^\| bursts: the worst of 86 cells .* \| 0\.0625 \|$' &&
		reports 20 && said 'goals .*, missed: 4K: pair, of tcmalloc 1, at most 0\.85; '
}

what_was_not_measured_is_no_goal_met() {
	local what
	for what in '64K	tcmalloc' 'burst, 1 x 5120 pages	pagespan' 'burst' 'a second after 256 MiB, a call'; do
		figures 1 | grep -v "^$what" >"$tmp/lines"
		! tools/bench/span.sh --report "$tmp/lines" "$tmp/none" && [ ! -e "$tmp/none" ] || return
	done
}

# measures COMMAND...: prints figures of more than nothing
measures() {
	PAGESPAN_BACKEND=memory "$program" "$@" | awk -F '\t' '{ print } NF != 3 || $3 <= 0 { wrong = 1 } END { exit wrong || !NR }'
}

every_command_measures() {
	measures burst 64 64 1 && measures burst 16384 1 1 && measures stream 10 && measures left asleep &&
		measures burst-of-threads 2 64 256 10 && ! measures burst 0 1 1 && ! measures burst-of-threads 3 1 1 1
}

echo "TAP version 13"
promise bench_span.builds builds
promise bench_span.a_planted_slowdown_is_seen a_planted_slowdown_is_seen
promise bench_span.goals_are_ratios_of_medians goals_are_ratios_of_medians
promise bench_span.a_slower_library_misses_its_goals a_slower_library_misses_its_goals
promise bench_span.one_burst_is_enough_to_miss_the_goal one_burst_is_enough_to_miss_the_goal
promise bench_span.what_is_left_is_judged_in_bytes what_is_left_is_judged_in_bytes
promise bench_span.every_burst_is_in_the_picture every_burst_is_in_the_picture
promise bench_span.the_readme_names_what_is_missed the_readme_names_what_is_missed
promise bench_span.every_command_measures every_command_measures
promise bench_span.what_was_not_measured_is_no_goal_met what_was_not_measured_is_no_goal_met
echo "1..$tests"
exit $((failures != 0))
