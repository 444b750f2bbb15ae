#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Fuzzes the span map for a while, starting from the corpus in the tree and from what earlier runs
# found. What breaks it is kept in the working directory.
#
# Usage: span_map_fuzz.sh FUZZER SECONDS CORPUS WORK
set -eu

fuzzer=$1 seconds=$2 corpus=$3 work=$4
mkdir -p "$work/found"
echo 'KTAP version 1'
if "$fuzzer" -max_total_time="$seconds" -max_len=1200 -len_control=0 -timeout=20 -rss_limit_mb=2048 \
	-verbosity=0 -print_final_stats=1 -artifact_prefix="$work/" "$work/found" "$corpus" \
	>"$work/log" 2>&1; then
	echo 'ok 1 fuzzing_finds_no_disagreement_with_the_model'
	status=0
else
	tail -n 40 "$work/log" | sed 's/^/# /'
	echo 'not ok 1 fuzzing_finds_no_disagreement_with_the_model'
	status=1
fi
sed -n 's/^stat::number_of_executed_units: *\(.*\)/# \1 inputs/p' "$work/log"
echo '1..1'
exit "$status"
