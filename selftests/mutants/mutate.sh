# shellcheck shell=bash
# SPDX-License-Identifier: MIT
#
# What the campaigns of planted faults share.

# mutate SOURCE COMMAND RESULT: applies a sed command that must change, or move, one line; else says
# what it does and fails.
mutate() {
	local gone come
	sed "$2" "$1" >"$3" || return 1
	gone=$(diff "$1" "$3" | grep -c '^<') || true
	come=$(diff "$1" "$3" | grep -c '^>') || true
	if [ "$come" -gt 1 ] || [ "$gone" -gt 1 ] || [ $((gone + come)) = 0 ]; then
		echo "takes $gone lines out of ${1##*/} and puts $come in"
		return 1
	fi
}
