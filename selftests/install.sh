#!/bin/bash
# SPDX-License-Identifier: MIT
#
# What `make install` leaves behind is enough to build the README's program, as a user would.
set -euo pipefail

cd "$(dirname "$0")/.."
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
export PKG_CONFIG_PATH=$tmp/root/usr/lib/pkgconfig PKG_CONFIG_SYSROOT_DIR=$tmp/root
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

says_nine_pages() {
	[ "$("$@")" = "nine pages from the memory backend" ]
}

# builds COMPILER SOURCE [FLAG...]: against the installed package, warnings being errors
builds() {
	local flags
	read -ra flags <<<"$(pkg-config --cflags --libs "${@:3}" pagespan)"
	"$1" -Wall -Wextra -Werror "$2" "${flags[@]}" -o "$tmp/program"
}

arena_builds_as() {
	cat >"$tmp/arena.$2" <<-'END'
		#include <pagespan/arena.h>
		struct node { struct node *next; double value; };
		int main(void)
		{
			struct ps_arena *arena = ps_arena_create(0);
			struct node *node = ps_new(arena, struct node);
			struct node *nodes = ps_new_n(arena, struct node, 100);
			int failed = !node || !nodes || !ps_alloc(arena, 5);
			ps_arena_destroy(arena);
			return failed;
		}
	END
	builds "$1" "$tmp/arena.$2" && LD_LIBRARY_PATH=$tmp/root/usr/lib "$tmp/program"
}

# As another language would.
twin_runs_without_headers() {
	cat >"$tmp/twin.c" <<-'END'
		void *ps_span_alloc(unsigned long);
		int ps_span_free(void *, unsigned long);
		int main(void)
		{
			void *span = ps_span_alloc(4096);
			return !span || ps_span_free(span, 4096);
		}
	END
	cc "$tmp/twin.c" -L"$tmp/root/usr/lib" -lpagespan-ffi -o "$tmp/program" &&
		LD_LIBRARY_PATH=$tmp/root/usr/lib "$tmp/program"
}

# The program, its man page and its completion.
has_pagespanctl() {
	local root=$tmp/root/usr
	[ "$("$root/bin/pagespanctl" --version)" = "pagespanctl $(pkg-config --modversion pagespan)" ] &&
		[ -s "$root/share/man/man1/pagespanctl.1" ] &&
		bash -c '. "$1" && complete -p pagespanctl' - "$root/share/bash-completion/completions/pagespanctl"
}

program_runs_on_spans() {
	PAGESPAN_BACKEND=memory "$tmp/root/usr/bin/pagespan-run" --stats bash -c 'printf -v x %9000000s' 2>"$tmp/stats" &&
		grep -q '^pagespan: spans allocated [1-9]' "$tmp/stats"
}

has_man_pages() {
	[ -s "$tmp/root/usr/share/man/man3/ps_span_alloc.3" ] && [ -s "$tmp/root/usr/share/man/man7/pagespan.7" ]
}

# In /usr, where Debian's systems have all of /lib.
has_rules() {
	[ -s "$tmp/root/usr/lib/udev/rules.d/60-pagespan.rules" ] && [ -s "$tmp/root/usr/lib/sysusers.d/pagespan.conf" ] &&
		[ ! -e "$tmp/root/lib/udev" ]
}

exports_only_its_own_names() {
	local names
	names=$(nm -D --defined-only "$tmp/root/usr/lib/libpagespan.so" | awk '$2 != "A" { print $3 }')
	[ -n "$names" ] && ! grep -v '^ps_' <<<"$names"
}

echo "TAP version 13"
# shellcheck disable=SC2016 # backticks are meant
sed -n '/^```c$/,/^```$/{/^```/!p}' README.md >"$tmp/example.c"
promise install.installs make --no-print-directory install DESTDIR="$tmp/root" PREFIX=/usr
promise install.readme_program_builds_on_the_shared_library builds cc "$tmp/example.c"
promise install.readme_program_runs says_nine_pages env PAGESPAN_BACKEND=memory \
	LD_LIBRARY_PATH="$tmp/root/usr/lib" "$tmp/program"
promise install.readme_program_builds_on_the_static_library builds cc "$tmp/example.c" --static
promise install.arena_is_usable_from_c arena_builds_as cc c
promise install.arena_is_usable_from_cxx arena_builds_as c++ cc
promise install.twin_is_usable_without_headers twin_runs_without_headers
promise install.unmodified_program_runs_on_spans program_runs_on_spans
promise install.man_pages_are_there has_man_pages
promise install.pagespanctl_is_there has_pagespanctl
promise install.rules_are_in_usr has_rules
promise install.library_exports_only_its_own_names exports_only_its_own_names
echo "1..$tests"
exit $((failures != 0))
