#!/bin/bash
# SPDX-License-Identifier: MIT
#
# The commands in the documentation work: those of blocks marked "sh" here, in the sources; those of blocks
# marked "sh vm", and of the man pages' displayed lines, in a machine with the module; and what is only
# named, make's targets and files, is there.
#
# usage: docs.sh host | docs.sh vm KERNEL [RUNNER-OPTION...]
# shellcheck disable=SC2016 # dollar signs and backticks are meant
set -euo pipefail

cd "$(dirname "$0")/.."
build=${BUILD:-build}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
readonly documents='README.md CHANGELOG.md CONTRIBUTING.md SECURITY.md'
readonly pages='lib/man/pagespan.7 tools/pagespanctl/pagespanctl.1'
tests=0
failures=0

# result STATUS NAME: one line of KTAP, the log before it if it is a failure
result() {
	tests=$((tests + 1))
	if [ "$1" = 0 ]; then
		echo "ok $tests $2"
	else
		failures=$((failures + 1))
		tail -n 50 "$work/log" | sed 's/^/# /'
		echo "not ok $tests $2"
	fi
}

# promise NAME COMMAND...
promise() {
	local name=$1 status=0
	shift
	"$@" >"$work/log" 2>&1 </dev/null || status=$?
	result "$status" "$name"
}

# blocks MARK FILE: the blocks of commands that are so marked, each a file in a directory of its own
blocks() {
	local mark=$1 file=$2
	mkdir -p "$work/$mark"
	awk -v mark="\`\`\`$mark" -v prefix="$work/$mark/$(basename "$file")." '
		$0 == mark { inside = 1; out = prefix NR; next }
		/^```/ { inside = 0 }
		inside { print >out }' "$file"
}

# displayed PAGE: the lines of commands that a man page displays
displayed() {
	local page=$1
	mkdir -p "$work/sh vm"
	awk -v prefix="$work/sh vm/$(basename "$page")." '
		/^\.Dl / { sub(/^\.Dl /, ""); gsub(/\\e/, "\\"); print >(prefix NR) }' "$page"
}

# targets FILE: what the text has make do, in backticks
targets() {
	grep -o '`make [a-z-]*[^`]*`' "$1" | sed 's/`make \([a-z-]*\).*/\1/' | sort -u
}

targets_are_there() {
	local target missing=0
	for target in $(targets "$1"); do
		make -n "$target" >/dev/null 2>&1 || { echo "make has no $target"; missing=1; }
	done
	return "$missing"
}

# Names in backticks that look like files of this tree.
files_are_there() {
	local file missing=0
	for file in $(grep -oE '`(kmod|lib|tools|selftests|debian)/[a-zA-Z0-9_./-]*`' "$1" | tr -d '`' | sort -u); do
		[ -e "$file" ] || { echo "there is no $file"; missing=1; }
	done
	return "$missing"
}

on_host() {
	local document block
	for document in $documents; do
		promise "docs.${document%.md}_names_targets_that_are_there" targets_are_there "$document"
		promise "docs.${document%.md}_names_files_that_are_there" files_are_there "$document"
		blocks sh "$document"
	done
	for block in "$work"/sh/*; do
		promise "docs.commands_of_${block##*/}_succeed" bash -ec "$(<"$block")"
	done
}

# One boot for all: the machine tells of each block by a line.
in_vm() {
	local file kernel=$1 status=0
	shift
	for file in $documents; do
		blocks 'sh vm' "$file"
	done
	for file in $pages; do
		displayed "$file"
	done
	cat >"$work/guest" <<-'END'
		#!/bin/sh
		mkdir -p /etc/default /etc/modules-load.d
		touch /etc/default/grub
		printf "#!/bin/sh\n" >/bin/update-grub
		chmod 755 /bin/update-grub
		cd /blocks && for block in *; do
			if sh -ec "$(cat "$block")" >/tmp/log 2>&1; then
				echo "ok - docs.commands_of_${block}_succeed"
			else
				sed 's/^/# /' "$block" /tmp/log
				echo "not ok - docs.commands_of_${block}_succeed"
			fi
		done
	END
	chmod 755 "$work/guest"
	tools/vm/run --kernel "$kernel" "$@" --file "$work/sh vm:/blocks" --program "$build/pagespanctl" \
		--program "$(command -v jq)" -- "$work/guest" || status=$?
	[ "$status" = 0 ] || echo "not ok - docs.machine_for_commands_ended_with_$status"
}

case ${1-} in
host)
	echo "TAP version 13"
	on_host
	echo "1..$tests"
	exit $((failures != 0)) ;;
vm) in_vm "${@:2}" ;;
*)
	echo 'usage: docs.sh host | docs.sh vm KERNEL [RUNNER-OPTION...]' >&2
	exit 2 ;;
esac
