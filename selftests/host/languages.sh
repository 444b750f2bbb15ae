#!/bin/bash
# SPDX-License-Identifier: MIT
#
# The library from other languages, as `make install` leaves it: the generated header says what the
# headers say and the twin has, and the examples in Python and C++ run.
set -euo pipefail

cd "$(dirname "$0")/../.."
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
export PAGESPAN_BACKEND=memory LD_LIBRARY_PATH=$tmp/root/usr/lib
include=$tmp/root/usr/include
header=$include/pagespan/ffi.h
tests=0
failures=0

# promise NAME: the function of that name succeeds
promise() {
	local status=0
	tests=$((tests + 1))
	# A subshell of its own, so that set -e holds in it.
	set +e
	(set -e; "$1") >"$tmp/log" 2>&1
	status=$?
	set -e
	if [ "$status" = 0 ]; then
		echo "ok $tests languages.$1"
	else
		failures=$((failures + 1))
		sed 's/^/# /' "$tmp/log"
		echo "not ok $tests languages.$1"
	fi
}

is_installed() {
	make --no-print-directory install-lib DESTDIR="$tmp/root" PREFIX=/usr
	[ -s "$header" ]
}

# The functions that a header declares.
declared() {
	grep -o '\bps_[a-z_]*(' "$header" | tr -d '(' | sort -u
}

header_has_no_directives() {
	if grep '^ *#' "$header"; then return 1; fi
	if grep -E '__attribute__|inline|asm' "$header"; then return 1; fi
}

# Prototypes beside those of the headers: the compiler compares them.
header_declares_as_the_headers_do() {
	{
		printf '#define PS_INLINE\n#include <pagespan.h>\n#include <pagespan/arena.h>\n'
		grep -E '^[a-z_A-Z].*\);$' "$header"
	} >"$tmp/same.c"
	[ "$(grep -c 'ps_' "$tmp/same.c")" -gt 30 ]
	cc -std=gnu11 -Wall -Wextra -Werror -Wno-redundant-decls -I"$include" -c "$tmp/same.c" -o "$tmp/same.o"
}

twin_has_every_declared_function() {
	nm -D --defined-only "$tmp"/root/usr/lib/libpagespan{-ffi,}.so.1 | sed 's/.* \(ps_[a-z_]*\).*/\1/' | sort -u >"$tmp/has"
	declared >"$tmp/declared"
	[ -s "$tmp/declared" ]
	comm -23 "$tmp/declared" "$tmp/has" >"$tmp/lacks"
	cat "$tmp/lacks"
	[ ! -s "$tmp/lacks" ]
}

# What C compiles from the headers, and what cffi computes from the description.
layouts_are_the_same() {
	local types='ps_config ps_stats ps_arena ps_arena_options ps_arena_mark ps_arena_stats ps_room ps_cursor' type
	{
		printf '#include <pagespan.h>\n#include <pagespan/arena.h>\n#include <stdio.h>\nint main(void) {\n'
		for type in $types; do
			printf 'printf("%s %%zu\\n", sizeof(struct %s));\n' "$type" "$type"
		done
		printf 'printf("%%zu %%zu\\n", PS_PAGE_SIZE, PS_SPAN_MAX);}\n'
	} >"$tmp/layout.c"
	cc -I"$include" "$tmp/layout.c" -L"$LD_LIBRARY_PATH" -lpagespan -o "$tmp/layout"
	"$tmp/layout" >"$tmp/by_c"
	# shellcheck disable=SC2086 # several words
	/usr/bin/python3 - "$header" $types >"$tmp/by_cffi" <<-'END'
		import cffi, sys
		ffi = cffi.FFI()
		ffi.cdef(open(sys.argv[1]).read())
		for name in sys.argv[2:]:
		    print(name, ffi.sizeof("struct " + name))
		lib = ffi.dlopen("libpagespan-ffi.so.1")
		print(lib.PS_PAGE_SIZE, lib.PS_SPAN_MAX)
	END
	diff "$tmp/by_c" "$tmp/by_cffi"
}

python_example_runs() {
	/usr/bin/python3 lib/examples/spans.py "$header" >"$tmp/out"
	cat "$tmp/out"
	[ "$(cat "$tmp/out")" = "$(wc -l <lib/examples/spans.py) lines, $(wc -w <lib/examples/spans.py) words on the memory backend, 1 pages held" ]
}

cxx_example_runs() {
	c++ -std=c++17 -Wall -Wextra -Werror -I"$include" lib/examples/containers.cpp -L"$LD_LIBRARY_PATH" \
		-lpagespan -o "$tmp/containers"
	[ "$(printf 'to be or not to be\n' | "$tmp/containers" 2>"$tmp/err" | xargs)" = '2 be 1 not 1 or 2 to' ]
	grep -q 'on the memory backend' "$tmp/err"
}

echo "TAP version 13"
promise is_installed
promise header_has_no_directives
promise header_declares_as_the_headers_do
promise twin_has_every_declared_function
promise layouts_are_the_same
promise python_example_runs
promise cxx_example_runs
echo "1..$tests"
exit $((failures != 0))
