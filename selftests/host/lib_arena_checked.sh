#!/bin/bash
# SPDX-License-Identifier: MIT
#
# Freed and unallocated memory of arenas, touched under AddressSanitizer and under valgrind: both
# are to notice, and to have nothing to say of a program that does no wrong.
#
# Usage: lib_arena_checked.sh BUILD
set -euo pipefail

readonly build=$1
readonly wrongs='after-reset after-rewind after-destroy behind unallocated in-an-empty-arena'
export PAGESPAN_BACKEND=memory PAGESPAN_MEMORY_MB=64
# shellcheck source=selftests/tap.sh
. "$(dirname "$0")/../tap.sh"

# notices TEXT COMMAND...: fails, and says so
notices() {
	local text=$1
	shift
	! "$@" >"$build/host/arena_checked.log" 2>&1 && grep -q "$text" "$build/host/arena_checked.log"
}

# promise NAME COMMAND...: one line of KTAP
promise() {
	local name=$1 status=0
	shift
	"$@" || status=1
	result "$status" "$name"
}

under_valgrind() {
	valgrind -q --error-exitcode=9 "$build/host/lib_arena_checked" "$@"
}

echo 'KTAP version 1'
promise asan_has_nothing_to_say_of_what_is_right "$build/host/lib_arena_checked_asan" right
promise valgrind_has_nothing_to_say_of_what_is_right under_valgrind right
for wrong in $wrongs; do
	promise "asan_notices_$wrong" notices use-after-poison "$build/host/lib_arena_checked_asan" "$wrong"
	promise "valgrind_notices_$wrong" notices 'Invalid read' under_valgrind "$wrong"
done
echo "1..$tests"
[ "$failures" = 0 ]
