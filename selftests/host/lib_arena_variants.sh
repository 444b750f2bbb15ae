#!/bin/bash
# SPDX-License-Identifier: MIT
#
# What lib_arena_slow promises is to hold however it and the library are compiled and linked, and
# gdb is to see through it. For aarch64 everything runs under an emulator.
#
# Usage: lib_arena_variants.sh BUILD x86_64|aarch64
set -euo pipefail

readonly build=$1 target=$2
readonly work=$build/host/arena_variants/$target sources=selftests/host/lib_arena_slow
export PAGESPAN_BACKEND=memory
# shellcheck source=selftests/tap.sh
. "$(dirname "$0")/../tap.sh"

# library NAME COMPILER AR FLAG...: a libpagespan.a of its own
library() {
	local name=$1 compiler=$2 archiver=$3
	shift 3
	make --no-print-directory -s BUILD="$work/$name" CC="$compiler" AR="$archiver" \
		CFLAGS="-O2 -g $*" "$work/$name/lib/libpagespan.a"
}

# variant NAME LIBRARY RUN COMPILER...: builds a program, runs it with RUN in front, one line of KTAP
variant() {
	local name=$1 library=$2 run=$3 status=0
	shift 3
	"$@" -std=gnu11 -g -Wall -Wextra -Werror -Ilib/include -Iselftests/host \
		"$sources.c" "${sources}_$target.S" "$library/lib/libpagespan.a" \
		-Wl,--wrap=cache_take,--wrap=ps_span_alloc -lpthread -o "$work/slow-$name" &&
		$run "$work/slow-$name" 20000 >"$work/$name.tap" 2>&1 || status=1
	[ "$status" = 0 ] || sed 's/^/# /' "$work/$name.tap"
	result "$status" "$name"
}

# The part of the slow path that the cache serves, when everything is optimised together.
has_no_vectors() {
	objdump -d --no-show-raw-insn --disassemble=arena_refill_cached "$1" >"$work/cached"
	grep -q ret "$work/cached" && ! grep -E '%[xyz]mm' "$work/cached"
}

on_x86_64() {
	# What housekeeping calls in between goes through the linker's stubs in a static program, which no
	# unwinder knows.
	local cc archiver status undisturbed='env PAGESPAN_DECAY_MS=3600000'
	for cc in gcc clang; do
		variant "$cc-O0" "$build" '' "$cc" -O0
		variant "$cc-O3" "$build" '' "$cc" -O3
		variant "$cc-small-without-frame-pointer" "$build" '' "$cc" -Os -fomit-frame-pointer
		variant "$cc-static" "$build" "$undisturbed" "$cc" -O2 -static
		variant "$cc-static-pie" "$build" '' "$cc" -O2 -static-pie -fPIE
		variant "$cc-fixed-address" "$build" '' "$cc" -O2 -no-pie -fno-pie
		variant "$cc-no-plt" "$build" '' "$cc" -O2 -fPIE -fno-plt
		variant "$cc-large-model" "$build" '' "$cc" -O2 -no-pie -fno-pie -mcmodel=large

		library "$cc-cet" "$cc" ar -fcf-protection
		variant "$cc-cet" "$work/$cc-cet" '' "$cc" -O2 -fcf-protection
		status=0
		readelf -n "$work/$cc-cet"/obj/lib/{arena/arena,arena/arena_refill,arena/arena_refill_x86_64,span/cache,span/cache_x86_64}.o |
			grep -c 'IBT, SHSTK' | grep -qx 5 || status=1
		result "$status" "$cc-cet-is-marked"

		archiver=$([ "$cc" = gcc ] && echo gcc-ar || echo llvm-ar-14)
		library "$cc-lto" "$cc" "$archiver" -flto
		variant "$cc-lto" "$work/$cc-lto" '' "$cc" -O2 -flto -DNOT_WRAPPED
		status=0
		has_no_vectors "$work/slow-$cc-lto" || status=1
		result "$status" "$cc-lto-keeps-to-general-registers"
	done
	variant gcc-intel-syntax "$build" '' gcc -O2 -masm=intel
	gdb_sees_through "$work/slow-gcc-static" gdb
	gdb_sees_through "$work/slow-clang-O0" gdb
}

on_aarch64() {
	local clang=(clang --target=aarch64-linux-gnu -static)
	library clang 'clang --target=aarch64-linux-gnu' llvm-ar-14
	variant without-sve "$work/clang" 'qemu-aarch64 -cpu cortex-a57' "${clang[@]}" -O2
	variant sve-256 "$work/clang" 'qemu-aarch64 -cpu max,sve-max-vq=2' "${clang[@]}" -O2
	variant sve-2048 "$work/clang" 'qemu-aarch64 -cpu max,sve-max-vq=16' "${clang[@]}" -O0
	variant branch-protection "$work/clang" 'qemu-aarch64 -cpu max' "${clang[@]}" -O2 \
		-mbranch-protection=standard
	gdb_sees_through "$work/slow-without-sve" gdb_remote
}

# gdb_sees_through PROGRAM COMMAND: takes over what lib_arena_unwind.py found
gdb_sees_through() {
	local status word line
	"$2" -q -nx -batch -x selftests/host/lib_arena_unwind.py "$1" \
		>"$work/gdb.tap" 2>&1 </dev/null || true
	grep -E '^(ok|not ok|#) ' "$work/gdb.tap" >"$work/gdb" || echo "not ok 1 gdb" >"$work/gdb"
	while read -r line; do
		status=0
		word=${line##* }
		case $line in
		'#'*) printf '%s\n' "$line" ;;
		not*) result 1 "$(basename "$1")-$word" ;;
		*) result 0 "$(basename "$1")-$word" ;;
		esac
	done <"$work/gdb"
}

# gdb of a program in an emulator, which is the last argument.
gdb_remote() {
	local emulator program=${*: -1}
	export PAGESPAN_GDB_REMOTE=$work/gdb.socket
	rm -f "$PAGESPAN_GDB_REMOTE"
	qemu-aarch64 -g "$PAGESPAN_GDB_REMOTE" "$program" 0 >/dev/null 2>&1 &
	emulator=$!
	until [ -S "$PAGESPAN_GDB_REMOTE" ]; do
		sleep 0.1
	done
	gdb-multiarch "$@" || true
	kill "$emulator" 2>/dev/null || true
	wait "$emulator" 2>/dev/null || true
}

mkdir -p "$work"
echo 'KTAP version 1'
"on_$target"
echo "1..$tests"
[ "$failures" = 0 ]
