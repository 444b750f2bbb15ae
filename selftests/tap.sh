# shellcheck shell=sh
# SPDX-License-Identifier: GPL-2.0-only
#
# What the shell tests share: KTAP lines, and who may run them.

tests=0
failures=0

# result STATUS NAME: one line of KTAP; STATUS 0 is a pass
result() {
	tests=$((tests + 1))
	if [ "$1" -eq 0 ]; then
		echo "ok $tests $2"
	else
		failures=$((failures + 1))
		echo "not ok $tests $2"
	fi
}

# needs FILE: ends the test as skipped, with kselftest's status for that, unless it can be run
needs() {
	if [ "$(id -u)" -ne 0 ] || [ ! -e "$1" ]; then
		echo "1..0 # SKIP needs root and the pagespan module loaded"
		exit 4
	fi
}
