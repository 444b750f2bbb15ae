# shellcheck shell=sh
# SPDX-License-Identifier: GPL-2.0-only
#
# What the shell tests share: KTAP lines, who may run them, loading the module, and programs that
# hold something meanwhile. PAGESPAN_KO names the module file; without it modprobe finds it.

sys=/sys/class/misc/pagespan
parameters=/sys/module/pagespan/parameters

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

# of FILE: what a file of the pool in sysfs says
of() {
	cat "$sys/$1"
}

load() {
	if [ -n "${PAGESPAN_KO:-}" ]; then
		insmod "$PAGESPAN_KO" "$@"
	else
		modprobe pagespan "$@"
	fi
}

unload() {
	rmmod pagespan
}

# remember: what the module was loaded with, for load_as_before
remember() {
	original="size_mb=$(cat $parameters/size_mb) max_mb=$(cat $parameters/max_mb)"
	for parameter in source phys reserve_mem; do
		value=$(cat "$parameters/$parameter")
		[ "$value" = "(null)" ] || original="$original $parameter=$value"
	done
}

load_as_before() {
	# shellcheck disable=SC2086 # several parameters
	load $original
}

# Pages that a processor keeps at hand, "count:" in zoneinfo, are free too, though not in MemFree. Where
# kmemleak finds what leaks of slabs, they count as free: KASAN keeps back objects that were freed.
free_kb() {
	sync
	echo 3 >/proc/sys/vm/drop_caches
	slabs=0
	[ ! -e /sys/kernel/debug/kmemleak ] || slabs=1
	awk -v slabs="$slabs" '/^MemFree:/ || slabs && /^Slab:/ { kb += $2 } $1 == "count:" { kb += $2 * 4 }
		END { print kb }' /proc/meminfo /proc/zoneinfo
}

# kernel_said MESSAGE: of late, and since the last attempt to load what is refused
kernel_said() {
	dmesg | tac | sed '/tap.sh: loads with/q' | head -n 5 | grep -q "pagespan: $1"
}

# refused PARAMETERS MESSAGE: with them the module does not load and the kernel says why
refused() {
	echo "tap.sh: loads with $1" >/dev/kmsg
	# shellcheck disable=SC2086 # several parameters
	if load $1 2>/dev/null; then
		unload
		return 1
	fi
	[ ! -e /dev/pagespan ] && kernel_said "$2"
}

# during "PROGRAM ARGUMENT..." COMMAND...: runs a command while a program runs that says a line when it
# is ready and ends with its input; $holder is its id and $held the line. Fails if either does.
during() {
	mkfifo /tmp/held.$$ /tmp/done.$$
	# shellcheck disable=SC2086 # several words
	$1 >/tmp/held.$$ </tmp/done.$$ 7<&- 8>&- &
	holder=$!
	shift
	exec 7</tmp/held.$$ 8>/tmp/done.$$
	# shellcheck disable=SC2034 # for the command
	read -r held <&7
	"$@"
	during_status=$?
	exec 8>&- 7<&-
	wait "$holder" || during_status=1
	rm -f /tmp/held.$$ /tmp/done.$$
	return "$during_status"
}
