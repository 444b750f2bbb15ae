# SPDX-License-Identifier: MIT
# shellcheck shell=bash
#
# What the tests of the example programs have in common; sourced. They run in a directory of their own.
set -eu

export LC_ALL=C
export PAGESPAN_BACKEND=memory
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

count=0
failed=0

# check PROMISE: runs the function of that name with its output in a file, shown if it fails.
check() {
	local kept=ok status=0

	count=$((count + 1))
	# A subshell of its own, so that set -e holds in it.
	set +e
	(set -e; "$1") >log 2>&1
	status=$?
	set -e
	if [ "$status" != 0 ]; then
		kept='not ok'
		failed=$((failed + 1))
		sed 's/^/# /' log
	fi
	echo "$kept $count $1"
}

# run PROGRAM ARGUMENTS: with its status in $status, its output in out and err.
run() {
	status=0
	timeout 60 "$@" >out 2>err || status=$?
}

# expect STATUS TEXT: the last run ended so and said this on stderr.
expect() {
	echo "status $status, stderr:"
	cat err
	[ "$status" = "$1" ]
	grep -qF -- "$2" err
}

finish() {
	echo "1..$count"
	[ "$failed" = 0 ]
}
