#!/bin/bash
# SPDX-License-Identifier: MIT
#
# Line and branch coverage of span_map.c by its tests. At least 98 % of the lines must have run.
#
# Usage: span_map_coverage.sh WORK
set -euo pipefail

work=$1
source=$(cd "$(dirname "$0")/../.." && pwd)
limit=98

rm -rf "$work"
mkdir -p "$work"
cd "$work"
gcc -std=gnu11 -O0 --coverage -c "$source/kmod/span_map.c" -o span_map.o
for test in random promises exhaustive; do
	gcc -std=gnu11 -O1 -c "$source/selftests/host/span_map_$test.c" -o "$test.o"
	gcc --coverage "$test.o" span_map.o -o "$test"
done
gcc -std=gnu11 -O1 -DREPLAY -c "$source/selftests/host/fuzz_span_map.c" -o replay.o
gcc --coverage replay.o span_map.o -o replay

{
	./random 3000
	./promises
	./exhaustive 300
	./replay "$source"/selftests/host/corpus/span_map/*
} >log
gcov -b span_map.o >gcov.log

echo 'KTAP version 1'
sed -n '/span_map\.c/,/^$/s/^\(Lines\|Branches\|Taken\).*/# &/p' gcov.log
sed -n 's/^ *#####: *\([0-9]*\):/# not run: line \1:/p' span_map.c.gcov
lines=$(sed -n '/span_map\.c/,/^$/s/^Lines executed:\([0-9]*\).*/\1/p' gcov.log)
status=0
if [ "${lines:-0}" -lt "$limit" ]; then
	printf 'not '
	status=1
fi
printf 'ok 1 at_least_%d_percent_of_the_lines_of_span_map_are_run_by_its_tests\n1..1\n' "$limit"
exit "$status"
