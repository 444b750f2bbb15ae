# shellcheck shell=sh
# SPDX-License-Identifier: GPL-2.0-only
#
# What the tests of unplugged memory share: how much memory there is, and whether all of it is.

blocks=/sys/devices/system/memory
block_mb=$((0x$(cat $blocks/block_size_bytes) >> 20))
# shellcheck disable=SC2034 # for those who include this
block_pages=$((block_mb * 256))

total_kb() {
	sed -n 's/^MemTotal: *\([0-9]*\) kB/\1/p' /proc/meminfo
}

# System RAM as in /proc/iomem, without what divides it: a block given back is a resource of its own.
ram() {
	sed -n 's/^\([0-9a-f]*\)-\([0-9a-f]*\) : System RAM$/\1 \2/p' /proc/iomem | {
		begin='' end=''
		while read -r first last; do
			if [ -n "$end" ] && [ $((0x$first)) -ne $((0x$end + 1)) ]; then
				echo "$begin-$end"
				begin=''
			fi
			[ -n "$begin" ] || begin=$first
			end=$last
		done
		echo "$begin-$end"
	}
}

all_online() {
	! cat $blocks/memory*/state | grep -qv online
}

# remember_ram: what there is, for nothing_is_lost to compare with
remember_ram() {
	total_before=$(total_kb)
	ram >/tmp/ram.before
}

nothing_is_lost() {
	ram >/tmp/ram.now
	cmp /tmp/ram.before /tmp/ram.now && all_online && [ "$(total_kb)" -ge "$total_before" ]
}
