#!/bin/bash
# SPDX-License-Identifier: MIT
#
# What the built library promises, a KTAP line each: its symbols, and the registers and calls of the
# path that arenas stand on.  usage: lib_binary.sh BUILD
set -euo pipefail

cd "$(dirname "$0")/../.."
build=${1:?usage: lib_binary.sh BUILD}
shared=$build/lib/libpagespan.so.1
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
tests=0
failures=0

# promise NAME: runs the function of that name
promise() {
	local status=0
	tests=$((tests + 1))
	# A subshell of its own, so that set -e holds in it.
	set +e
	(set -e; "$1") >"$tmp/log" 2>&1
	status=$?
	set -e
	if [ "$status" = 0 ]; then
		echo "ok $tests $1"
	else
		failures=$((failures + 1))
		sed 's/^/# /' "$tmp/log"
		echo "not ok $tests $1"
	fi
}

# none PATTERN: what stands on the input; fails, and shows it, where the pattern is found
none() {
	if grep -E "$1"; then
		return 1
	fi
}

# disassembled OBJECT FUNCTION
disassembled() {
	objdump -d --no-show-raw-insn "$1" | sed -n "/^[0-9a-f]* <$2>:/,/^$/p" | tail -n +2
}

symbols_are_those_of_the_map() {
	nm -D --defined-only "$shared" | awk '$2 != "A" { sub(/@.*/, "", $3); print $3 }' | sort >"$tmp/has"
	grep -o 'ps_[a-z_]*' lib/pagespan.map | sort >"$tmp/promised"
	[ -s "$tmp/has" ]
	diff "$tmp/promised" "$tmp/has"
}

every_symbol_is_declared_in_a_public_header() {
	local name
	while read -r name; do
		grep -q "\b$name(" lib/include/pagespan.h lib/include/pagespan/*.h || { echo "$name"; return 1; }
	done < <(grep -o 'ps_[a-z_]*' lib/pagespan.map)
}

symbols_have_a_version() {
	nm -D --defined-only "$shared" | awk '$2 != "A" && $3 !~ /@@PAGESPAN_/ { print; bad = 1 } END { exit bad }'
}

# The path is called where the compiler believes all other registers untouched.
cached_path_uses_general_registers_only() {
	local function vector='%[xyz]mm|%st|%mm|%k[0-7]'
	if objdump -f "$object" | grep -q aarch64; then
		vector='\b[vqdsbhz][0-9]+\b'
	fi
	for function in cache_take cache_put; do
		disassembled "$object" "$function" >"$tmp/code"
		[ -s "$tmp/code" ]
		none "$vector" <"$tmp/code"
	done
}

# Nor does it leave: a jump stays inside its function.
cached_path_calls_nothing() {
	local function
	for function in cache_take cache_put; do
		disassembled "$object" "$function" >"$tmp/code"
		[ -s "$tmp/code" ]
		none '\b(call|syscall|sysenter|int|bl|blr|br|svc)\b' <"$tmp/code"
		awk '/\<(j[a-z]+|b|b\.[a-z]+|cbn?z|tbn?z)[ \t]/' "$tmp/code" >"$tmp/jumps"
		sed "/<$function+0x[0-9a-f]*>/d" "$tmp/jumps" | none .
	done
}

# What is in assembly keeps to the same, and leaves only at its end, for the way that is written in C.
cached_path_in_assembly_uses_general_registers_and_leaves_last() {
	local function
	for function in ps_span_alloc ps_span_free; do
		disassembled "$assembly" "$function" >"$tmp/code"
		grep -q ret "$tmp/code"
		none '%[xyz]mm|%st|%mm|%k[0-7]' <"$tmp/code"
		none '\b(call|syscall|sysenter|int)\b' <"$tmp/code"
	done
	objdump -r -j .text "$assembly" | awk '/^[0-9a-f]+ R_/ { sub(/[-+].*/, "", $3); print $3 }' |
		grep -vxE 'cpu_caches|cpu_cache_table|__rseq_cs' | sort -u | xargs >"$tmp/left_for"
	[ "$(<"$tmp/left_for")" = 'cache_alloc_other cache_alloc_rested cache_free_other' ] ||
		{ cat "$tmp/left_for"; return 1; }
	# Not by a branch that can fall through to what stands behind.
	objdump -dr --no-show-raw-insn "$assembly" | grep -B 1 'R_X86_64_\(PLT\|PC\)32.*cache_\(alloc\|free\)_' |
		grep '^ *[0-9a-f]*:' | grep -v R_X86_64 | awk '$2 != "jmp" { print; bad = 1 } END { exit bad || !NR }'
}

# Nor does it take indirect branch tracking or the shadow stack from the library.
cached_path_in_assembly_is_marked() {
	"$1" -fcf-protection -c lib/span/cache_x86_64.S -o "$tmp/marked.o"
	readelf -n "$tmp/marked.o" | grep -c 'IBT, SHSTK' | grep -qx 1
	objdump -d --no-show-raw-insn "$tmp/marked.o" | grep -A 1 '^[0-9a-f]* <ps_span_' | grep -c endbr64 | grep -qx 2
}

cached_path_finds_its_thread_without_a_call() {
	readelf -rW "$shared" | none 'DTPMOD|DTPOFF|TLSDESC'
	readelf -dW "$shared" | grep -q STATIC_TLS
}

# By any compiler that builds the library.
object=
with_gcc_and_clang() {
	local compiler test=$1
	for compiler in gcc clang; do
		object=$tmp/cache_$compiler.o
		"$compiler" -std=gnu11 -O2 -fPIC -fvisibility=hidden -ftls-model=initial-exec -mgeneral-regs-only \
			-Ilib/include -Ikmod/uapi -c lib/span/cache.c -o "$object"
		"$test"
	done
}

cached_path_of_gcc_and_clang_uses_general_registers_only() {
	with_gcc_and_clang cached_path_uses_general_registers_only
}

cached_path_of_gcc_and_clang_calls_nothing() {
	with_gcc_and_clang cached_path_calls_nothing
}

object_of_the_library_is_as_good() {
	object=$build/obj/lib/span/cache.o
	cached_path_uses_general_registers_only
	cached_path_calls_nothing
}

assembly=
assembly_of_gcc_and_clang_is_as_good() {
	local compiler
	for compiler in gcc clang; do
		assembly=$tmp/assembly_$compiler.o
		"$compiler" -fPIC -c lib/span/cache_x86_64.S -o "$assembly"
		cached_path_in_assembly_uses_general_registers_and_leaves_last
		cached_path_in_assembly_is_marked "$compiler"
	done
	assembly=$build/obj/lib/span/cache_x86_64.o
	cached_path_in_assembly_uses_general_registers_and_leaves_last
}

# What the program calls is that, and not another definition in C.
spans_are_served_in_assembly() {
	nm "$build/obj/lib/span/cache.o" | none ' T ps_span_'
	nm "$shared" | grep " cache_alloc_rested$" >"$tmp/rested"
	disassembled "$shared" ps_span_alloc | grep "^ *[0-9a-f]*:.*ud1 " >"$tmp/signature"
}

memcheck_tells_of_undefined_and_of_freed_pages() {
	cat >"$tmp/memcheck.c" <<-'END'
		#include <pagespan.h>
		int main(void)
		{
			volatile char *span = ps_span_alloc(2 * PS_PAGE_SIZE);
			volatile char *zeroed = ps_span_alloc_ex(PS_PAGE_SIZE, 0, PS_ZERO);
			int failed = zeroed[9] != 0;
			span[0] = 1;
			failed += span[0] != 1;
			failed += span[100] == 77;
			ps_span_free((void *)span, 2 * PS_PAGE_SIZE);
			span[5000] = 1;
			return failed;
		}
	END
	cc -g -Ilib/include "$tmp/memcheck.c" "$build/lib/libpagespan.a" -lpthread -o "$tmp/memcheck"
	PAGESPAN_BACKEND=memory valgrind "$tmp/memcheck" 2>&1 | tee "$tmp/said"
	grep -q 'ERROR SUMMARY: 2 errors' "$tmp/said"
	grep -q 'uninitialised' "$tmp/said"
	grep -q 'Invalid write of size 1' "$tmp/said"
}

# For languages without inline functions: whatever a header defines is a symbol of the twin.
twin_has_every_function_of_the_headers() {
	local name
	nm -D --defined-only "$build/lib/libpagespan-ffi.so.1" "$shared" | awk '{ sub(/@.*/, "", $3); print $3 }' >"$tmp/has"
	grep -hoE '^PS_INLINE .*\bps_[a-z_]*\(|^[a-z].*\bps_[a-z_]*\(' lib/include/pagespan.h lib/include/pagespan/*.h |
		grep -v '^static' | grep -oE 'ps_[a-z_]*\(' | tr -d '(' | sort -u >"$tmp/promised"
	[ -s "$tmp/promised" ]
	while read -r name; do
		grep -qx "$name" "$tmp/has" || { echo "$name"; return 1; }
	done <"$tmp/promised"
}

# Whoever finds it, by its name or by that of the twin.
twin_and_library_are_one_heap() {
	cat >"$tmp/two.c" <<-'END'
		#include <dlfcn.h>
		#include <pagespan.h>
		int main(int argc, char **argv)
		{
			char *span = ps_span_alloc(PS_PAGE_SIZE);
			void *twin = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
			void *(*alloc)(size_t) = (void *(*)(size_t))dlsym(twin, "ps_span_alloc");
			int (*free)(void *, size_t) = (int (*)(void *, size_t))dlsym(twin, "ps_span_free");
			char *other = alloc(PS_PAGE_SIZE);

			return argc != 2 || !other || !dlsym(twin, "ps_alloc") || free(span, PS_PAGE_SIZE) ||
			       ps_span_free(other, PS_PAGE_SIZE);
		}
	END
	cc -Ilib/include "$tmp/two.c" -L"$build/lib" -lpagespan -o "$tmp/two"
	PAGESPAN_BACKEND=memory LD_LIBRARY_PATH=$build/lib "$tmp/two" libpagespan-ffi.so.1
	# A program that links with the twin needs no other name.
	cc -Ilib/include -DPS_INLINE=extern "$tmp/two.c" -L"$build/lib" -lpagespan-ffi -o "$tmp/two"
	PAGESPAN_BACKEND=memory LD_LIBRARY_PATH=$build/lib "$tmp/two" libpagespan-ffi.so.1
	nm -D --defined-only "$build/lib/libpagespan-ffi.so.1" | none '\bps_span_alloc\b'
}

headers_compile_as_c_and_cxx() {
	printf '#include <pagespan.h>\n#include <pagespan/arena.h>\nint main(void) { return 0; }\n' >"$tmp/x.c"
	cp "$tmp/x.c" "$tmp/x.cc"
	local standard
	for standard in c11 c17; do
		cc -std="$standard" -Wall -Wextra -Wpedantic -Werror -Ilib/include -c "$tmp/x.c" -o "$tmp/x.o"
	done
	for standard in c++11 c++17 c++20; do
		c++ -std="$standard" -Wall -Wextra -Wpedantic -Werror -Ilib/include -c "$tmp/x.cc" -o "$tmp/x.o"
	done
}

echo "KTAP version 1"
promise symbols_are_those_of_the_map
promise every_symbol_is_declared_in_a_public_header
promise symbols_have_a_version
promise cached_path_of_gcc_and_clang_uses_general_registers_only
promise cached_path_of_gcc_and_clang_calls_nothing
promise object_of_the_library_is_as_good
promise assembly_of_gcc_and_clang_is_as_good
promise spans_are_served_in_assembly
promise cached_path_finds_its_thread_without_a_call
promise headers_compile_as_c_and_cxx
promise memcheck_tells_of_undefined_and_of_freed_pages
promise twin_has_every_function_of_the_headers
promise twin_and_library_are_one_heap
echo "1..$tests"
exit $((failures != 0))
