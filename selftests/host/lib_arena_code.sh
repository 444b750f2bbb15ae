#!/bin/bash
# SPDX-License-Identifier: MIT
#
# What compilers make of the inlined arena, and that the slow path keeps to general registers:
# looks at the disassembly. x86-64 only.
set -euo pipefail

readonly build=$1
readonly source=selftests/host/lib_arena_code.c work=$build/host/arena_code
# shellcheck source=selftests/tap.sh
. "$(dirname "$0")/../tap.sh"

# promise NAME COMMAND...: one line of KTAP
promise() {
	local name=$1 status=0
	shift
	"$@" || status=1
	result "$status" "$name"
}

# function_of NAME FILE: its instructions, without what pads it
function_of() {
	objdump -d --no-show-raw-insn "$2" | awk -v name="<$1>:" '
		$2 == name { inside = 1; next }
		inside && !NF { exit }
		inside { sub(/^[^\t]*\t/, ""); if (!/nop|^xchg +%ax,%ax/) print }'
}

# Bytes of a function, without what pads it.
bytes_of() {
	objdump -d "$2" | awk -F '\t' -v name="<$1>:" '
		index($0, name) { inside = 1; next }
		inside && !NF { exit }
		inside && !($3 ~ /nop|^xchg +%ax,%ax/) { bytes += split($2, unused, " ") }
		END { print bytes }'
}

# Up to the return that the fast path ends with.
fast_path_of() {
	function_of "$@" | sed '/^ret/q' | grep -v '^ret'
}

# fast_path_has COUNT PATTERN NAME FILE: so many of its instructions match
fast_path_has() {
	[ "$(fast_path_of "$3" "$4" | grep -cE "$2")" = "$1" ]
}

uses_no_stack() {
	! function_of "$1" "$2" | grep -E '^(push|pop)|%[re]sp|%[re]bp'
}

# at_most PERCENT A B: A is no more than so much of B
at_most() {
	printf '# %d bytes against %d\n' "$2" "$3"
	[ $((100 * $2)) -le $(($1 * $3)) ]
}

compiler_tests() {
	local cc=$1 percent=$2 code=$work/$1.o plain=$work/$1-plain.o
	"$cc" -std=gnu11 -O2 -Ilib/include -c "$source" -o "$code"
	"$cc" -std=gnu11 -O2 -DPS_ARENA_PLAIN_REFILL -Ilib/include -c "$source" -o "$plain"

	promise "${cc}_constant_size_takes_five_instructions" \
		fast_path_has 5 . bare "$code"
	promise "${cc}_constant_size_takes_one_branch" \
		fast_path_has 1 '^j' bare "$code"
	promise "${cc}_variable_size_takes_one_branch" \
		fast_path_has 1 '^j' variable "$code"
	promise "${cc}_three_objects_in_a_group_take_one_branch" \
		fast_path_has 1 '^j' grouped "$code"
	promise "${cc}_saves_nothing_around_the_allocation_of_a_constructor" \
		uses_no_stack constructor "$code"
	promise "${cc}_makes_the_constructor_at_most_${percent}_percent_of_one_with_a_call" \
		at_most "$percent" "$(bytes_of constructor "$code")" "$(bytes_of constructor "$plain")"
}

has_no_vector_operand() {
	! objdump -d --no-show-raw-insn "$1" | grep -E '%([xyz]mm|mm|st|k)[0-9(]|\b(v|q|z)[0-9]+\.'
}

# What comes first, up to where it leaves, is all that the cache needs.
is_general_until_it_leaves() {
	function_of ps_arena_refill_preserving "$1" | sed '/notrack jmp/q' >"$work/general"
	grep -q 'notrack jmp' "$work/general" && grep -q call "$work/general" &&
		! grep -E '%([xyz]mm|mm|st|k)[0-9(]|xsave|xrstor|fx' "$work/general"
}

begins_with_a_landing_pad() {
	function_of ps_arena_refill_preserving "$1" | sed 1q | grep -q endbr64
}

is_marked() {
	readelf -n "$1" | grep -q 'IBT, SHSTK'
}

mkdir -p "$work"
echo 'KTAP version 1'
compiler_tests gcc 65
compiler_tests clang 80
for object in arena/arena_refill span/cache; do
	promise "${object#*/}_has_no_vector_operand" has_no_vector_operand "$build/obj/lib/$object.o"
done
slow_path=$build/obj/lib/arena/arena_refill_x86_64.o
promise the_slow_path_saves_no_vectors_unless_it_has_to_and_leaves_by_an_untracked_jump \
	is_general_until_it_leaves "$slow_path"
promise the_slow_path_begins_with_a_landing_pad begins_with_a_landing_pad "$slow_path"
promise the_slow_path_is_marked_for_ibt_and_shadow_stacks is_marked "$slow_path"
echo "1..$tests"
[ "$failures" = 0 ]
