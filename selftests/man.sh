#!/bin/bash
# SPDX-License-Identifier: MIT
#
# The man pages as `make install` leaves them: well-formed, one for every public function, and their
# examples are programs that compile without a warning and run, here on the memory backend.
#
# usage: man.sh [PROGRAMS]: a directory where they remain, one for each page of section 3
set -euo pipefail

cd "$(dirname "$0")/.."
build=${BUILD:-build}
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
programs=${1:-$tmp/programs}
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

installs() {
	make --no-print-directory install-man install-pagespanctl DESTDIR="$tmp/root" PREFIX=/usr &&
		mkdir "$tmp/pages" && cp "$tmp"/root/usr/share/man/man*/* "$tmp/pages"
}

# References are looked up beside the page; those to the system's pages need not be installed.
are_well_formed() {
	local found
	found=$(cd "$tmp/pages" && mandoc -T lint ./* 2>/dev/null |
		grep -v 'referenced manual not found: Xr [a-z-]* [278]$') || true
	[ -z "$found" ] || { echo "$found"; return 1; }
}

# What the shared library exports, and what the headers document.
public_functions() {
	{
		sed -n 's/^\t*\(ps_[a-z_]*\);$/\1/p' lib/pagespan.map
		sed -n -e 's/^\(\/\*\| \*\) \(ps_[a-z_]*\)() - .*/\2/p' -e 's/^#define \(PS_NEW[0-9]\)(.*/\1/p' \
			lib/include/pagespan.h lib/include/pagespan/*.h
	} | sort -u
}

every_function_has_a_page() {
	local function functions missing=0
	functions=$(public_functions)
	[ -n "$functions" ]
	for function in $functions; do
		[ -s "$tmp/pages/$function.3" ] || { echo "no page for $function"; missing=1; }
	done
	return "$missing"
}

every_page_is_of_a_function() {
	local page
	for page in "$tmp"/pages/*.3; do
		page=${page##*/}
		public_functions | grep -qx "${page%.3}" || { echo "$page is of no public function"; return 1; }
	done
}

# example PAGE: its first program, as a reader sees it
example() {
	sed -n '/^\.Sh EXAMPLES/,/^\.Sh [^E]/p' "$1" |
		sed -n '/^\.Bd -literal/,/^\.Ed/{/^\./!p}' | sed 's/\\e/\\/g'
}

# compiles PAGE PROGRAM
compiles() {
	example "$1" >"$tmp/example.c"
	grep -q '^int main' "$tmp/example.c" || { echo "no program in ${1##*/}"; return 1; }
	cc -std=gnu11 -Wall -Wextra -Werror -Ilib/include "$tmp/example.c" "$build/lib/libpagespan.a" -lpthread \
		-o "$2"
}

echo "TAP version 13"
promise man.installs installs
promise man.pages_are_well_formed are_well_formed
promise man.every_public_function_has_a_page every_function_has_a_page
promise man.every_page_is_of_a_public_function every_page_is_of_a_function
rm -rf "$programs"
mkdir -p "$programs"
for page in lib/man/*.3; do
	name=$(basename "$page" .3)
	promise "man.example_of_${name}_compiles" compiles "$page" "$programs/$name"
	promise "man.example_of_${name}_runs" env PAGESPAN_BACKEND=memory "$programs/$name"
done
echo "1..$tests"
exit $((failures != 0))
