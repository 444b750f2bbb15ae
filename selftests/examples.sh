#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# The examples of I/O and of sharing, on the device: what they read by direct I/O and by io_uring is the
# file, to the byte; what one process writes the other reads. For the guest of tools/vm/run, with a file
# system that has O_DIRECT in /mnt and the programs in /bin.
set -u

directory=$(dirname "$0")
# shellcheck source=selftests/tap.sh
. "$directory/tap.sh"
needs "$sys/pool_pages"
export PAGESPAN_BACKEND=device

# sum FILE: CRC-32 and length, as the examples print them; gzip keeps both at its end
sum() {
	gzip -c "$1" | tail -c 8 | hexdump -v -e '2/4 "%08x " "\n"' | {
		read -r crc length
		echo "$crc $((0x$length)) device"
	}
}

reads_directly() {
	[ "$(direct_read "$1")" = "$(sum "$1")" ]
}

# Before 6.5 it cannot be, and the example says so.
reads_by_io_uring() {
	found=$(uring_read "$1" 2>/tmp/err)
	case $? in
	0) [ "$found" = "$(sum "$1")" ] ;;
	3) [ "$(uname -r | cut -d. -f1-2)" = 6.1 ] && grep -q 'no registered buffers' /tmp/err ;;
	*) return 1 ;;
	esac
}

both_processes_read() {
	share 'from one to the other' >/tmp/out &&
		grep -q '^process [0-9]* reads: from one to the other$' /tmp/out &&
		grep -q '^process [0-9]* reads: 21 characters$' /tmp/out &&
		[ "$(cut -d' ' -f2 /tmp/out | sort -u | wc -l)" -eq 2 ]
}

libraries_share_without_a_handle() {
	LC_ALL=C sort /mnt/text >/tmp/sorted
	two_libraries </mnt/text 2>/tmp/err | cmp - /tmp/sorted &&
		grep -q ' 0 pages held, device backend' /tmp/err
}

# Pages freed while they were exported or registered are nobody's only as long as that lasts.
everything_came_back() {
	tries=20
	until [ "$(of free_pages)" -eq "$(of pool_pages)" ]; do
		tries=$((tries - 1))
		[ "$tries" -gt 0 ] || return 1
		sleep 0.2
	done
}

dd if=/dev/urandom of=/mnt/large bs=4096 count=500 2>/dev/null
head -c 100001 /mnt/large >/mnt/odd
: >/mnt/empty
hexdump -v -e '8/1 "%02x" "\n"' /mnt/large | head -n 20000 >/mnt/text
echo "TAP version 13"
echo "1..9"
for file in large odd empty; do
	reads_directly "/mnt/$file"
	result $? "examples.direct_read_reads_the_file_$file"
done
for file in large odd empty; do
	reads_by_io_uring "/mnt/$file"
	result $? "examples.uring_read_reads_the_file_$file"
done
both_processes_read
result $? examples.share_lets_two_processes_read_one_span
libraries_share_without_a_handle
result $? examples.two_libraries_need_no_handle
everything_came_back
result $? examples.leave_nothing_behind
exit $((failures != 0))
