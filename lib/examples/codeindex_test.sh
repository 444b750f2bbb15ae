#!/bin/bash
# SPDX-License-Identifier: MIT
#
# What codeindex promises, a KTAP line each.  usage: codeindex_test.sh CODEINDEX
set -eu

export LC_ALL=C
export PAGESPAN_BACKEND=memory
sources=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'chmod -R u+rwx "$work"; rm -rf "$work"' EXIT
# A copy that any user may run.
chmod 755 "$work"
install -m 755 "${1:?usage: codeindex_test.sh CODEINDEX}" "$work/codeindex"
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

# run ARGUMENTS: codeindex with its status in $status, its output in out and err.
run() {
	status=0
	timeout 60 ./codeindex "$@" >out 2>err || status=$?
}

# expect STATUS TEXT: the last run ended so and said this on stderr.
expect() {
	echo "status $status, stderr:"
	cat err
	[ "$status" = "$1" ]
	grep -qF -- "$2" err
}

# reported LABEL: pagespan's number in the report.
reported() {
	sed -n "s/^$1  *\([0-9,]*\).*/\1/p" out | tr -d ,
}

# corners DIR: a few small files.
corners() {
	mkdir -p "$1/a" "$1/a.b" "$1/.git"
	printf 'one two\ntwo two 0x1f 3d _ __x9 \n\n\ttwo\r\nlast' >"$1/a/no_newline"
	printf 'caf\303\251 na\357ve\n' >"$1/a.b/bytes"
	: >"$1/a.b/empty"
	echo 'not_this' >"$1/.git/config"
	ln -s a/no_newline "$1/link"
	ln -s . "$1/loop"
}

# tree DIR: these, and a real program.
tree() {
	corners "$1"
	cp "$sources"/codeindex* "$1/a"
}

# expected_index DIR: what the index must be, the slow way.
expected_index() {
	(
		cd "$1"
		find . -name .git -prune -o -type f -print | sed 's|^\./||' | sort
	) >paths
	echo 'codeindex 1'
	echo "files $(wc -l <paths)"
	awk '{ print NR " " $0 }' paths
	while read -r number path; do
		grep -anoE '[A-Za-z0-9_]+' "$1/$path" |
			sed -n "s/^\([0-9]*\):\([A-Za-z_].*\)/\2 $number \1/p"
	done < <(awk '{ print NR " " $0 }' paths) | sort -u -k1,1 -k2,2n -k3,3n >postings
	echo "identifiers $(cut -d ' ' -f 1 postings | uniq | wc -l)"
	awk '
		$1 != name { printf "%s%s %s:%s", (NR > 1 ? "\n" : ""), $1, $2, $3 }
		$1 == name && $2 != file { printf " %s:%s", $2, $3 }
		$1 == name && $2 == file { printf ",%s", $3 }
		{ name = $1; file = $2 }
		END { print "" }' postings
}

the_index_is_what_grep_and_sort_find() {
	tree small
	./codeindex --output=index small 2>err
	cmp err /dev/null
	expected_index small >expected
	diff expected index
}

both_memories_give_the_same_index() {
	tree same
	./codeindex --quiet --memory=pagespan --output=on_pagespan same
	./codeindex --quiet --memory=malloc --output=on_malloc same
	cmp on_pagespan on_malloc
}

the_index_does_not_depend_on_where_or_in_which_order_the_tree_was_made() {
	tree here
	mkdir -p elsewhere/copy
	(cd here && find . ! -type d | sort -r | tar -cf - -T -) | tar -xf - -C elsewhere/copy
	ln -s elsewhere/copy by_link
	./codeindex --quiet --output=first here
	./codeindex --quiet --output=second ./elsewhere//copy///
	(cd elsewhere/copy && ../../codeindex --quiet --output=../../third .)
	./codeindex --quiet --output=fourth by_link
	cmp first second
	cmp first third
	cmp first fourth
}

a_query_prints_the_lines() {
	corners queried
	[ "$(./codeindex --quiet --query=two queried | tr '\n' ' ')" = \
		'a/no_newline:1 a/no_newline:2 a/no_newline:4 ' ]
	[ "$(./codeindex --quiet --query=last --query=one queried | tr '\n' ' ')" = \
		'a/no_newline:5 a/no_newline:1 ' ]
	[ -z "$(./codeindex --quiet --query=x1f --query=not_this queried)" ]
	./codeindex --query=two --query=absent queried >out
	grep -qx 'two: 3 lines in 1 file' out
	grep -qx 'absent: 0 lines in 0 files' out
}

without_a_query_the_most_used_answer() {
	mkdir most
	awk 'BEGIN { for (i = 1; i <= 10; i++) print "d", i < 9 ? "c b" : "", i < 3 ? "f a" : "", "e" }' \
		>most/file
	./codeindex most >out
	[ "$(grep ' lines\? in ' out | cut -d : -f 1 | tr '\n' ' ')" = 'd e b c a ' ]
}

an_empty_directory_has_an_empty_index() {
	mkdir nothing
	./codeindex --output=index nothing
	printf 'codeindex 1\nfiles 0\nidentifiers 0\n' | cmp - index
}

long_lines_and_identifiers_are_indexed() {
	mkdir long
	{
		head -c 3000000 /dev/zero | tr '\0' 'x'
		echo
		head -c 3000000 /dev/zero | tr '\0' 'x'
		echo 'y '
	} >long/identifiers
	yes 'word' | head -n 500000 | tr '\n' ' ' >long/line
	./codeindex --output=index long
	grep -qx 'identifiers 3' index
	[ "$(awk 'NR > 5 { print length($1) "=" $2 }' index | tr '\n' ' ')" = \
		'4=2:1 3000000=1:1 3000001=1:2 ' ]
}

binary_files_are_skipped_and_counted() {
	mkdir binary
	printf 'visible\0hidden\n' >binary/object
	echo 'text' >binary/text
	./codeindex --output=index binary >out
	grep -q '1 binary' out
	grep -qx 'files 1' index
	if grep -q hidden index; then return 1; fi
}

a_late_zero_byte_ends_a_word_and_nothing_else() {
	mkdir late
	{
		yes 'filler' | head -n 3000
		printf 'left\0right\nafter\n'
	} >late/file
	./codeindex --quiet --query=left --query=right --query=after late >out
	printf 'file:3001\nfile:3001\nfile:3002\n' | cmp - out
}

names_of_any_bytes_take_one_line() {
	mkdir names
	echo 'found' >"names/$(printf 'a\377b')"
	echo 'found' >"names/$(printf 'new\nline\\x')"
	./codeindex --quiet --query=found names >out
	printf 'a\377b:1\nnew\\012line\\134x:1\n' | cmp - out
}

what_cannot_be_read_is_named_and_counted() {
	local as=()

	if [ "$(id -u)" = 0 ]; then
		as=(setpriv --reuid=65534 --regid=65534 --clear-groups)
	fi
	mkdir unreadable unreadable/closed
	echo 'open' >unreadable/open
	echo 'shut' >unreadable/shut
	chmod 000 unreadable/closed unreadable/shut
	"${as[@]}" ./codeindex --query=open unreadable >out 2>err
	cat err
	grep -q '2 unreadable' out
	grep -qx 'open:1' out
	grep -qx 'codeindex: unreadable/closed: Permission denied' err
	grep -qx 'codeindex: unreadable/shut: Permission denied' err
}

a_directory_that_is_not_there_is_an_error() {
	run missing
	expect 1 'codeindex: missing: No such file or directory'
	: >file
	run file
	expect 1 'codeindex: file: Not a directory'
	run ''
	expect 1 'No such file or directory'
}

wrong_usage_is_told_from_failure() {
	mkdir usage
	run
	expect 2 'which directory?'
	run usage usage
	expect 2 'one directory'
	run --memory=paper usage
	expect 2 "unknown memory 'paper'"
	run --query='not one' usage
	expect 2 "not an identifier: 'not one'"
	run --query= usage
	expect 2 'not an identifier'
	run --query=9lives usage
	expect 2 'not an identifier'
	run --nonsense usage
	expect 2 'nonsense'
	run --help
	[ "$status" = 0 ]
	grep -q '^usage: codeindex' out
}

output_that_cannot_be_written_is_an_error() {
	tree output
	run --output=/dev/full output
	expect 1 'codeindex: /dev/full: No space left on device'
	run --output=no/such/place output
	expect 1 'codeindex: no/such/place: No such file or directory'
	status=0
	./codeindex output >/dev/full 2>err || status=$?
	expect 1 'No space left on device'
	./codeindex --quiet --output=index output
	./codeindex --quiet --output=- output | cmp - index
}

# distinct COUNT: that many different identifiers.
distinct() {
	awk -v count="$1" 'BEGIN { for (i = 0; i < count; i++) print "identifier_" i }'
}

# Names run out of memory in many_names, lists of postings in many_lines.
an_index_larger_than_the_pool_is_an_error() {
	local message

	mkdir many_names many_lines
	distinct 50000 >many_names/file
	yes "$(distinct 400 | tr '\n' ' ')" | head -n 5000 >many_lines/file
	export PAGESPAN_MEMORY_MB=1
	for tree in many_names many_lines; do
		message="codeindex: out of memory: the index of $tree does not fit the pool (1 MiB; "
		for memory in pagespan both; do
			run --memory=$memory $tree
			expect 1 "$message"
			[ "$(wc -l <err)" = 1 ]
		done
		run --memory=malloc $tree
		[ "$status" = 0 ]
	done
}

# Every limit on the address space ends in an index or in a message, never in a signal.
running_out_of_address_space_is_an_error() {
	local refused=0

	mkdir limited
	distinct 100000 >limited/file
	export PAGESPAN_MEMORY_MB=16
	for memory in pagespan malloc; do
		for limit in $(seq 4000 1000 48000); do
			status=0
			(
				ulimit -v "$limit"
				exec ./codeindex --memory=$memory limited
			) >out 2>err || status=$?
			[ "$status" != 0 ] || continue
			# Not enough to load the program at all.
			[ "$status" != 127 ] || continue
			expect 1 'codeindex: '
			if grep -q signal err; then return 1; fi
			! grep -q 'out of memory' err || refused=$((refused + 1))
		done
	done
	[ "$refused" -gt 0 ]
}

a_backend_that_cannot_be_opened_is_an_error() {
	mkdir backend
	export PAGESPAN_BACKEND=paper
	run backend
	expect 1 'codeindex: cannot open the pagespan backend "paper": Invalid argument'
}

a_job_ended_by_a_signal_is_an_error() {
	local parent child

	mkdir killed
	distinct 1000000 >killed/file
	status=0
	./codeindex killed >out 2>err &
	parent=$!
	child=
	while [ -z "$child" ] && kill -0 "$parent"; do
		child=$(cat "/proc/$parent/task/$parent/children")
	done
	kill -SEGV "${child% }"
	wait "$parent" || status=$?
	expect 1 'codeindex: the pagespan job was ended by signal 11'
}

# lists DIR: identifiers on a half, a third, … of 60000 lines.
lists() {
	mkdir -p "$1"
	awk 'BEGIN {
		for (line = 1; line <= 60000; line++) {
			for (i = 1; i < 10; i++)
				if (line % i == 0)
					printf "every_%d ", i
			print ""
		}
	}' >"$1/file"
}

large_lists_are_spans_whose_tails_are_returned() {
	lists lists
	./codeindex --output=index lists >out
	cat out
	[ "$(reported 'tail pages returned')" -gt 0 ]
	[ "$(reported 'spans allocated')" -gt 9 ]
	[ "$(reported 'spans freed')" -gt 0 ]
	expected_index lists | cmp - index
}

echo 'KTAP version 1'
check the_index_is_what_grep_and_sort_find
check both_memories_give_the_same_index
check the_index_does_not_depend_on_where_or_in_which_order_the_tree_was_made
check a_query_prints_the_lines
check without_a_query_the_most_used_answer
check an_empty_directory_has_an_empty_index
check long_lines_and_identifiers_are_indexed
check binary_files_are_skipped_and_counted
check a_late_zero_byte_ends_a_word_and_nothing_else
check names_of_any_bytes_take_one_line
check what_cannot_be_read_is_named_and_counted
check a_directory_that_is_not_there_is_an_error
check wrong_usage_is_told_from_failure
check output_that_cannot_be_written_is_an_error
check an_index_larger_than_the_pool_is_an_error
check running_out_of_address_space_is_an_error
check a_backend_that_cannot_be_opened_is_an_error
check a_job_ended_by_a_signal_is_an_error
check large_lists_are_spans_whose_tails_are_returned
echo "1..$count"
[ "$failed" = 0 ]
