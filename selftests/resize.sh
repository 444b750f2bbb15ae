#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# A pool that grows and shrinks while it is used, and what max_mb= has to do with it. The module is
# loaded at the end as it was at the start.
set -u

directory=$(dirname "$0")
# shellcheck source=selftests/tap.sh
. "$directory/tap.sh"

# loaded PARAMETERS COMMAND...: runs a command while the module is loaded so
loaded() {
	# shellcheck disable=SC2086 # several parameters
	load $1 || return 1
	shift
	"$@"
	loaded_status=$?
	unload && [ "$loaded_status" -eq 0 ]
}

# resize PAGES: asks for a size
resize() {
	echo "$1" 2>/dev/null >"$sys/pool_pages"
}

max_mb_is_checked() {
	ram_mb=$(($(sed -n 's/^MemTotal: *\([0-9]*\) kB/\1/p' /proc/meminfo) / 1024))
	refused max_mb=-1 'max_mb=-1 is not from 0 to' &&
		refused max_mb=1048577 'max_mb=1048577 is not from 0 to' &&
		refused "size_mb=16 max_mb=15" 'max_mb=15 is less than size_mb=16' &&
		refused "size_mb=16 max_mb=$((ram_mb * 2))" 'max_mb=.* is more than the memory of this machine'
}

without_max_mb_it_does_not_grow() {
	[ "$(of max_pages)" -eq 4096 ] && [ "$(of nr_pages)" -eq 4096 ] && ! resize 4097 &&
		[ "$(of pool_pages)" -eq 4096 ]
}

it_grows() {
	resize 12288 && [ "$(of pool_pages)" -eq 12288 ] && [ "$(of free_pages)" -eq 12288 ] &&
		[ "$(of nr_pages)" -gt 12288 ] && ! resize 12289 && [ "$(of pool_pages)" -eq 12288 ]
}

map_tells_what_is_there() {
	grep -q '^ *0 \.\{8\}--*$' /sys/kernel/debug/pagespan/map
}

nonsense_is_refused() {
	for nonsense in -1 '' x 4096x 99999999999999999999; do
		! resize "$nonsense" || return 1
	done
	[ "$(of pool_pages)" -eq 4096 ]
}

# The first span of the pool's only client lies in the first piece.
owned_piece_stays() {
	resize 8192 && during "$directory/hold 100" shrinks_to 4096 && shrinks_to 0
}

shrinks_to() {
	resize 0
	[ "$(of pool_pages)" -eq "$1" ] && [ "$(of free_pages)" -le "$1" ]
}

pieces() {
	resize 8192 && resize 12288 && "$directory/pieces" "$1"
}

# Pieces of different kinds of pages.
of_several_sources() {
	[ "$(of source | wc -w)" -gt 1 ] && "$directory/pieces" "$1"
}

# Of three pieces only one can go without leaving less than is wanted.
whole_pieces_go() {
	resize 8192 && resize 12288 && resize 5000 && [ "$(of pool_pages)" -eq 8192 ] &&
		resize 4096 && [ "$(of pool_pages)" -eq 4096 ]
}

needs $parameters
[ -d /sys/kernel/debug/pagespan ] || mount -t debugfs debugfs /sys/kernel/debug
remember
sources=$(of source | wc -w)
unload

echo "TAP version 13"
echo "1..$((sources > 1 ? 14 : 12))"
max_mb_is_checked
result $? resize.max_mb_that_makes_no_sense_is_refused_with_a_message
loaded "source=contig size_mb=16" without_max_mb_it_does_not_grow
result $? resize.without_max_mb_the_pool_does_not_grow
loaded "source=contig size_mb=16 max_mb=48" it_grows
result $? resize.pool_grows_up_to_max_mb
loaded "source=contig size_mb=16 max_mb=48" map_tells_what_is_there
result $? resize.debugfs_map_tells_what_is_not_there
loaded "source=contig size_mb=16 max_mb=48" nonsense_is_refused
result $? resize.size_that_is_no_number_is_refused
loaded "source=contig size_mb=16 max_mb=48" whole_pieces_go
result $? resize.shrinking_returns_whole_pieces_and_tells_how_much
loaded "source=contig size_mb=16 max_mb=48" owned_piece_stays
result $? resize.piece_with_an_owned_page_stays
loaded "source=contig size_mb=16 max_mb=64" pieces absent
result $? resize.page_that_is_not_there_cannot_be_had_or_touched
loaded "source=contig size_mb=16 max_mb=48" pieces contiguous
result $? resize.span_never_crosses_from_piece_to_piece
loaded "source=contig size_mb=16 max_mb=48" pieces churn
result $? resize.pieces_come_and_go_under_use
if [ "$sources" -gt 1 ]; then
	loaded "$original" of_several_sources contiguous
	result $? resize.span_never_crosses_from_source_to_source
	loaded "$original" of_several_sources churn
	result $? resize.pieces_of_several_sources_come_and_go_under_use
fi
load_as_before
result $? resize.loads_again
# On what the module was loaded with: memory reserved at boot comes back as it was left.
"$directory/pieces" foreign
result $? resize.page_that_comes_back_is_new_from_the_system
exit $((failures != 0))
