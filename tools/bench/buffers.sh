#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Buffers of a size class after another, on spans under jemalloc and on jemalloc and glibc as they are, on
# whatever machine this runs; one for the device is a guest that counts instructions. A figure is a line of tabs: "figure", workload, metric, unit, subject, value.
#
# usage: buffers.sh BACKEND SECONDS SUBJECT..., with buffers and pagespan-run in PATH
set -eu

backend=$1 seconds=$2
shift 2
case $backend in
device) cost=instructions unit='' ;;
*) cost='CPU time' unit=ns ;;
esac

# launch SUBJECT PROGRAM [ARG...]
launch() {
	subject=$1
	shift
	case $subject in
	pagespan) pagespan-run --backend "$backend" "$@" ;;
	jemalloc) LD_PRELOAD=libjemalloc.so.2 "$@" ;;
	glibc) "$@" ;;
	esac
}

while read -r least most; do
	for how in replaced waves; do
		workload="buffers $((least / 1024))-$((most / 1024)) KiB, $how, $backend"
		for subject; do
			said=$(launch "$subject" buffers "$least" "$most" "$how" "$seconds")
			echo "$said" | while read -r ns peak faults; do
				printf 'figure\t%s\t%s\t%s\t%s\t%s\n' "$workload" "$cost" "$unit" "$subject" "$ns" \
					"$workload" peak KiB "$subject" "$peak" "$workload" faults '' "$subject" "$faults"
			done
		done
	done
done <<END
4096 16384
16384 65536
65536 262144
262144 1048576
4096 1048576
END
