#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Runs a test and keeps its KTAP: FILE gets what COMMAND prints, and so does the terminal. A command
# that fails without saying which promise was broken counts as one that was.
#
# Usage: span_map_tap.sh FILE COMMAND...
set -eu

tap=$1
shift
mkdir -p "$(dirname "$tap")"
status=0
"$@" >"$tap" || status=$?
if [ "$status" != 0 ] && ! grep -q '^not ok' "$tap"; then
	echo "not ok - $(basename "$tap" .tap) ended with status $status" >>"$tap"
fi
cat "$tap"
exit "$status"
