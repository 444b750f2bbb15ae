#!/bin/bash
# SPDX-License-Identifier: MIT
#
# What the reports of benchmarks are judged by: compare tells a change from noise, the guard of counted
# figures sees what is more than 3 % worse, and neither compares what cannot be compared.
set -euo pipefail

cd "$(dirname "$0")/../.."
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

# figure WORKLOAD UNIT MEDIAN P10 P90 RUNS
figure() {
	printf '{"workload": "%s", "subject": "pagespan", "metric": "pair", "unit": "%s",
		"median": %s, "p10": %s, "p90": %s, "runs": %s},' "$@"
}

# file FIGURES...: a report of these
file() {
	jq -n --argjson header "$(tools/bench/environment)" --argjson results "[$(printf '%s' "$@" | sed '$s/,$//')]" \
		'{benchmark: "try"} + $header + {results: $results, goals: []}'
}

# compares STATUS PATTERN A B: figures as compare judges them
compares() {
	local status=0
	file "$3" >"$tmp/a.json"
	file "$4" >"$tmp/b.json"
	tools/bench/compare "$tmp/a.json" "$tmp/b.json" >"$tmp/out" || status=$?
	cat "$tmp/out"
	[ "$status" = "$1" ] && grep -qE -- "$2" "$tmp/out"
}

runs_that_lie_apart_are_a_change() {
	compares 1 '^worse +\+20\.0%' "$(figure 4K ns 10 9.8 10.3 11)" "$(figure 4K ns 12 11.5 12.4 11)" &&
		compares 0 '^better +-16\.7%' "$(figure 4K ns 12 11.5 12.4 11)" "$(figure 4K ns 10 9.8 10.3 11)"
}

runs_that_overlap_are_noise() {
	compares 0 '1 within noise' "$(figure 4K ns 10 9.8 11.6 11)" "$(figure 4K ns 12 11.5 12.4 11)" &&
		compares 0 '1 within noise' "$(figure 4K ns 10 9.99 10.01 11)" "$(figure 4K ns 10.2 10.19 10.21 11)"
}

one_run_of_a_time_is_not_judged() {
	compares 0 '1 of one run and not judged' "$(figure 4K ns 10 10 10 1)" "$(figure 4K ns 20 20 20 1)"
}

counted_figures_have_no_noise() {
	compares 1 '^worse +\+0\.2%' "$(figure 4K instructions 1000 1000 1000 1)" \
		"$(figure 4K instructions 1002 1002 1002 1)"
}

what_is_no_report_is_refused() {
	local text
	for text in 'no JSON' '[]' '{"benchmark": "try"}' \
		"$(file "$(figure 4K ns 1 1 1 1)" | jq 'del(.results[0].unit)')" \
		"$(file "$(figure 4K ns 1 1 1 1)" | jq '.results[0].median = "fast"')" \
		"$(file "$(figure 4K ns 1 1 1 1)" "$(figure 4K ns 1 1 1 1)")"; do
		printf '%s' "$text" >"$tmp/bad.json"
		status=0
		tools/bench/compare "$tmp/bad.json" "$tmp/bad.json" || status=$?
		[ "$status" = 2 ] || return 1
	done
}

# guard FACTOR [NAME=VALUE]: the guard's judgement of the baseline's own figures made so many times
# as large, with an environment that is otherwise as here
guard() {
	FACTOR=$1 python3 -B - "$@" <<-'END'
		import importlib.machinery, importlib.util, os, sys
		sys.path.insert(0, "tools/bench")
		loader = importlib.machinery.SourceFileLoader("check", "tools/bench/check")
		check = importlib.util.module_from_spec(importlib.util.spec_from_loader("check", loader))
		loader.exec_module(check)
		file = check.figures.load(os.path.join(check.BASELINE, "host.json"))
		baseline = {check.figures.key(entry): entry for entry in file["results"]}
		factor = float(os.environ["FACTOR"])
		results = [{**entry, "median": entry["median"] * factor} for entry in file["results"]]
		sys.exit(not check.judge(results, baseline))
	END
}

the_guard_fails_on_more_than_3_percent_worse() {
	guard 1 && guard 1.029 && ! guard 1.031 && guard 0.5 && grep -q '^# better by 50.0%' "$tmp/log"
}

# With a baseline of another compiler.
the_guard_skips_what_it_cannot_compare() {
	mkdir -p "$tmp/tree/tools" "$tmp/tree/build"
	cp -r tools/bench tools/vm "$tmp/tree/tools/"
	sed -i 's/"compiler": ".*"/"compiler": "another compiler"/' "$tmp"/tree/tools/bench/baseline/*.json
	BUILD=build "$tmp/tree/tools/bench/check" >"$tmp/out"
	cat "$tmp/out"
	! grep -q '^not' "$tmp/out" &&
		[ "$(grep -c "# SKIP compiler is 'gcc .*', the baseline's 'another compiler'" "$tmp/out")" = 5 ]
}

echo "TAP version 13"
promise bench_report.runs_that_lie_apart_are_a_change runs_that_lie_apart_are_a_change
promise bench_report.runs_that_overlap_are_noise runs_that_overlap_are_noise
promise bench_report.one_run_of_a_time_is_not_judged one_run_of_a_time_is_not_judged
promise bench_report.counted_figures_have_no_noise counted_figures_have_no_noise
promise bench_report.what_is_no_report_is_refused what_is_no_report_is_refused
promise bench_report.the_guard_fails_on_more_than_3_percent_worse the_guard_fails_on_more_than_3_percent_worse
promise bench_report.the_guard_skips_what_it_cannot_compare the_guard_skips_what_it_cannot_compare
echo "1..$tests"
exit $((failures != 0))
