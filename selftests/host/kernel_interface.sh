#!/bin/bash
# SPDX-License-Identifier: MIT
#
# tools/kernel-interface between two small kernels: what differs in what a module uses is told, and nothing else.
set -euo pipefail

top=$(cd "$(dirname "$0")/../.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
tests=0
failures=0

# promise NAME: a function of that name succeeds
promise() {
	tests=$((tests + 1))
	if "$1" >"$work/log" 2>&1; then
		echo "ok $tests kernel_interface.$1"
	else
		failures=$((failures + 1))
		sed 's/^/# /' "$work/log"
		echo "not ok $tests kernel_interface.$1"
	fi
}

# header KERNEL: what is given on stdin
header() {
	mkdir -p "$work/$1/include/linux"
	cat >"$work/$1/include/linux/all.h"
}

compare() {
	local status=0
	KMOD=$work/kmod "$top/tools/kernel-interface" "$work/$1" "$work/$2" >"$work/out" 2>&1 || status=$?
	cat "$work/out"
	[ "$status" = "$3" ]
}

says() {
	grep -qxF -- "$1" "$work/out" || { echo "not said: $1"; return 1; }
}

a_prototype_is_told_as_it_was_and_is() {
	compare old new 1 && says take && says '  - extern int take(unsigned long start, unsigned type);' &&
		says '  + int take(unsigned long start, take_flags_t flags);'
}

a_function_around_which_a_macro_is_counts_too() {
	says '  + int get_noprof(long size);' && ! grep -qx get "$work/out"
}

a_constant_is_told() {
	says COLOUR && says '  - #define COLOUR 1' && says '  + #define COLOUR 2'
}

an_enumerator_is_told() {
	grep -qx GREEN "$work/out"
}

a_member_is_told_with_its_structure() {
	says '  + struct thing { int first; long second; };'
}

what_is_gone_is_told() {
	says '  - void gone(void);'
}

layout_and_comments_are_nothing() {
	! grep -qx same "$work/out"
}

what_is_not_used_is_not_told() {
	! grep -qx unused "$work/out" && says '6 of 8 names that the module uses differ between '"$work/old and $work/new"
}

kernels_that_are_alike_are_said_to_be() {
	compare old old 0 && says "0 of 8 names that the module uses differ between $work/old and $work/old"
}

what_is_no_kernel_is_refused() {
	mkdir "$work/nothing" && compare old nothing 2 &&
		[ "$(cat "$work/out")" = "tools/kernel-interface: no headers in $work/nothing" ]
}

mkdir "$work/kmod"
cat >"$work/kmod/module.c" <<-'END'
	/* unused() is not called */
	int f(struct thing *t) { gone(); same(1); return take(COLOUR, GREEN) + get(sizeof("unused")) + t->first; }
END
header old <<-'END'
	extern int take(unsigned long start, unsigned type);
	#define get(...) alloc_hooks(get_noprof(__VA_ARGS__))
	int get_noprof(int size);
	#define COLOUR 1
	enum colour { RED, GREEN };
	struct thing { int first; };
	void gone(void);
	static inline int same(int a) { return a; }
	void unused(int a);
END
header new <<-'END'
	int take(unsigned long start,
		 take_flags_t flags);
	#define get(...) alloc_hooks(get_noprof(__VA_ARGS__))
	int get_noprof(long size);
	#define COLOUR	2
	enum colour { RED, YELLOW = 7, GREEN };
	struct thing {
		int first;	/* as ever */
		long second;
	};
	/* As it was. */
	static inline int same(int a)
	{
		return a;
	}
	void unused(long a);
END
echo "TAP version 13"
promise a_prototype_is_told_as_it_was_and_is
promise a_function_around_which_a_macro_is_counts_too
promise a_constant_is_told
promise an_enumerator_is_told
promise a_member_is_told_with_its_structure
promise what_is_gone_is_told
promise layout_and_comments_are_nothing
promise what_is_not_used_is_not_told
promise kernels_that_are_alike_are_said_to_be
promise what_is_no_kernel_is_refused
echo "1..$tests"
exit $((failures != 0))
