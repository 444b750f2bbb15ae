#!/bin/bash
# SPDX-License-Identifier: MIT
#
# Tests of tools/vm/run: that it returns what the command returned, and that nothing but a command that
# ended well in a kernel that stayed well counts as success. Prints KTAP. Needs no pagespan.ko: where a
# module is wanted, a tiny one is built here.
#
# Usage: selftests/vm_runner.sh [--quick] [--kernel VERSION] [TEST...]
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
readonly root
runner=$root/tools/vm/run
trouble=$root/tools/vm/trouble
kernel=6.1

quick_tests=(
	an_unknown_option_is_wrong_usage
	an_unknown_kernel_is_named_with_the_known_ones
	an_architecture_is_named_once_and_has_what_it_needs
	a_missing_command_is_127
	a_missing_program_is_named
	a_missing_module_names_make
	a_missing_qemu_names_the_setup
	a_machine_that_ends_at_once_is_a_failure
	output_is_byte_exact
	the_status_of_the_command_is_the_status_of_the_run
	a_panic_is_a_failure
	a_tainted_kernel_is_a_failure
	silence_is_a_failure
	every_form_of_trouble_is_seen
	messages_of_level_error_are_seen_and_those_below_are_not
	lost_messages_are_seen
	an_exception_is_a_whole_message_with_a_reason
	a_trace_belongs_to_the_message_before_it
	exceptions_that_nothing_needed_are_named
)
slow_tests=(
	a_status_of_127_from_the_guest_passes_through
	a_hang_is_a_failure_and_shows_the_console
	three_machines_may_stop_at_boot
	a_machine_that_stops_at_boot_is_replaced
	a_kernel_in_trouble_at_boot_is_replaced
	three_kernels_in_trouble_at_boot_are_a_failure
	a_warning_on_the_console_is_a_failure
	a_message_of_each_level_of_error_is_a_failure
	messages_below_error_and_those_of_programs_pass
	a_guest_that_dies_shows_what_its_kernel_said
	messages_that_did_not_reach_the_console_are_a_failure
	a_console_without_its_end_is_a_failure
	a_forged_report_is_a_failure
	a_guest_too_small_for_its_files_is_refused
	without_a_network_the_newest_cached_kernel_serves
	arguments_and_environment_arrive_unchanged
	programs_come_with_their_libraries
	cpus_memory_and_parameters_are_as_asked
	modules_of_the_kernel_are_loaded
	a_shared_directory_is_seen_and_cannot_be_written
	a_directory_shared_for_writing_is_written_back
	a_module_gets_its_parameters
	a_module_that_refuses_is_a_failure_with_its_message
	a_real_warning_is_a_failure
	counted_runs_are_identical
	an_interrupted_run_leaves_nothing
	a_killed_run_leaves_no_machine
)

# ---- helpers -------------------------------------------------------------------------------

# run ARGUMENT…: the runner without a module; leaves $status, $work/out and $work/err
run() {
	run_with_module --no-module "$@"
}

run_with_module() {
	status=0
	"$runner" --kernel "$kernel" --timeout 240 "$@" >"$work/out" 2>"$work/err" </dev/null || status=$?
}

# Tests run in subshells, so a failed expectation ends just the test.
broken() {
	printf '# %s\n' "$*"
	sed 's/^/#   stderr: /' "$work/err" | head -n 20
	exit 1
}

expect_status() {
	[ "$status" = "$1" ] || broken "status $status, expected $1"
}

expect_out() {
	[ "$(<"$work/out")" = "$1" ] || broken "output '$(head -c 400 "$work/out")', expected '$1'"
}

expect_err() {
	grep -qF -- "$1" "$work/err" || broken "stderr does not say '$1'"
}

expect_one_line_of_err() {
	[ "$(wc -l <"$work/err")" = 1 ] || broken "more than one line on stderr"
}

expect_console() {
	expect_err 'Linux version'
}

# same_lines FILE FILE
same_lines() {
	local differences
	differences=$(diff "$1" "$2" | sed 's/^/#   /' | head -n 6) || true
	[ -z "$differences" ] || broken "what two runs print differs:"$'\n'"$differences"
}

# qemu_is LINE: what the runner starts is a script of this line, with $qemu for the real one
qemu_is() {
	mkdir -p "$work/bin"
	# shellcheck disable=SC2016 # of that script
	printf '#!/bin/sh\nqemu=%s\n[ "$1" != --version ] || exec $qemu "$@"\n%s\n' \
		"$(command -v qemu-system-x86_64)" "$1" >"$work/bin/qemu-system-x86_64"
	chmod 755 "$work/bin/qemu-system-x86_64"
}

# impatient SECONDS: a runner that gives a kernel no longer to start init, at $work/tools/vm/run
impatient() {
	mkdir -p "$work/tools"
	cp -r "$root/tools/vm" "$work/tools/"
	sed -i "s/boot_patience=[0-9]*/boot_patience=$1/" "$work/tools/vm/run"
}

# The machines of this test run: an argument of theirs names its temporary directory.
machines() {
	grep -lsz "^file,id=console,path=$work" /proc/[0-9]*/cmdline || true
}

wait_for_machine() {
	local i
	for ((i = 0; i < 100; i++)); do
		[ -z "$(machines)" ] || return 0
		sleep 0.1
	done
	broken "no machine was started"
}

expect_no_machine() {
	local i
	for ((i = 0; i < 30; i++)); do
		[ -n "$(machines)" ] || return 0
		sleep 0.1
	done
	broken "a machine is left: $(machines)"
}

# A module that says its parameter, warns, refuses, says something at each of some levels, or more than the
# kernel keeps while the console may not print.
build_module() {
	[ -f "$work/module/vmtest.ko" ] && return
	mkdir -p "$work/module"
	cat >"$work/module/vmtest.c" <<-'END'
		#include <linux/console.h>
		#include <linux/module.h>
		static int value, warn, refuse, flood;
		static char *levels = "";
		module_param(value, int, 0);
		module_param(warn, int, 0);
		module_param(refuse, int, 0);
		module_param(flood, int, 0);
		module_param(levels, charp, 0);
		static int __init vmtest_init(void)
		{
			const char *level;
			pr_info("value is %d\n", value);
			for (level = levels; *level; level++)
				printk(KERN_SOH "%cvmtest: a message of level %c\n", *level, *level);
			console_lock();
			while (flood--)
				pr_info("%d messages will follow, all of them longer than a line of the console is wide\n", flood);
			console_unlock();
			WARN_ON(warn);
			return refuse ? -ENOMEM : 0;
		}
		static void __exit vmtest_exit(void) { }
		module_init(vmtest_init);
		module_exit(vmtest_exit);
		MODULE_LICENSE("GPL");
		MODULE_DESCRIPTION("what the tests of tools/vm/run load");
	END
	echo 'obj-m := vmtest.o' >"$work/module/Kbuild"
	make -s -C "$("$root/tools/vm/kernel" --headers "$kernel")" M="$work/module" modules \
		>"$work/err" 2>&1 || broken "the test module does not build"
}

# console LINE…: a console of these lines, as a serial port has them
console() {
	printf '%s\r\n' "$@" >"$work/console"
}

# judged STATUS [OPTION…]: what is said of that console
judged() {
	local expected=$1
	shift
	status=0
	"$trouble" "$@" "$work/console" >"$work/out" 2>"$work/err" || status=$?
	expect_status "$expected"
}

# forms: each form of trouble that is known, with a message of it
forms() {
	grep -vE '^(#|$)' "$root/tools/vm/trouble-forms"
}

# excepting LINE…: a judge at $work/tools/vm/trouble that has these exceptions too
excepting() {
	mkdir -p "$work/tools"
	cp -r "$root/tools/vm" "$work/tools/"
	printf '%s\n' "$@" >>"$work/tools/vm/trouble-exceptions"
	trouble=$work/tools/vm/trouble
}

# ---- tests that need no guest --------------------------------------------------------------

an_unknown_option_is_wrong_usage() {
	run --frobnicate -- true
	expect_status 2
	expect_err "unknown option '--frobnicate'"
	run --smp many -- true
	expect_status 2
	run
	expect_status 2
	expect_err 'no command'
}

an_unknown_kernel_is_named_with_the_known_ones() {
	run --kernel 5.9 -- true
	expect_status 2
	expect_err "unknown kernel '5.9' (known: 6.1, 6.12"
}

an_architecture_is_named_once_and_has_what_it_needs() {
	run --arch mips -- true
	expect_status 2
	expect_err "--arch is x86_64 or arm64, not 'mips'"
	run --kernel 6.12-arm64 --arch x86_64 -- true
	expect_status 2
	expect_err '6.12-arm64 is not for x86_64'
	run --arch arm64 --kernel 6.1 -- true
	expect_status 125
	expect_err 'of kernel 6.1-arm64 there are headers only'
	run --arch arm64 --kernel 6.12 --program "$(command -v bash)" -- true
	expect_status 125
	expect_err 'is not for arm64'
}

a_missing_command_is_127() {
	run -- no-such-command
	expect_status 127
	expect_err 'no such command: no-such-command'
	expect_one_line_of_err
	run -- "$work/no/such/command"
	expect_status 127
	expect_one_line_of_err
}

a_missing_program_is_named() {
	run --program "$work/nothing" -- true
	expect_status 125
	expect_err "no such program: $work/nothing"
}

a_missing_module_names_make() {
	run_with_module --module "$work/no.ko" -- true
	expect_status 125
	expect_err "no such module: $work/no.ko"
	mkdir -p "$work/empty/tools"
	cp -r "$root/tools/vm" "$work/empty/tools/vm"
	status=0
	"$work/empty/tools/vm/run" --kernel "$kernel" -- true >"$work/out" 2>"$work/err" || status=$?
	expect_status 125
	expect_err 'run: make'
}

a_missing_qemu_names_the_setup() {
	mkdir "$work/path"
	ln -s /usr/bin/* "$work/path"
	rm "$work"/path/qemu-system*
	status=0
	PATH=$work/path "$runner" --no-module -- true >"$work/out" 2>"$work/err" || status=$?
	expect_status 125
	expect_err 'tools/setup vm'
	expect_one_line_of_err
}

without_a_network_the_newest_cached_kernel_serves() {
	mkdir -p "$work"/cache/pagespan/kernels/{6.1.0-9-amd64_6.1.7-1,6.1.0-10-amd64_6.1.8-1,6.1.0-11-rt-amd64_6.1.9-1} \
		"$work/offline"
	printf '#!/bin/sh\nexit 100\n' | tee "$work/offline/apt-get" >"$work/offline/apt-cache"
	chmod +x "$work"/offline/*
	status=0
	PATH=$work/offline:$PATH XDG_CACHE_HOME=$work/cache "$root/tools/vm/kernel" --release 6.1 \
		>"$work/out" 2>"$work/err" || status=$?
	expect_status 0
	expect_out 6.1.0-10-amd64
	expect_err 'out of reach'
	PATH=$work/offline:$PATH XDG_CACHE_HOME=$work/cache "$root/tools/vm/kernel" 6.12 \
		>"$work/out" 2>"$work/err" || status=$?
	expect_status 1
	expect_err 'cannot get 6.12: apt-get update failed'
}

every_form_of_trouble_is_seen() {
	local expression message
	[ "$(forms | wc -l)" -gt 40 ] || broken "there are hardly any forms"
	while IFS=$'\t' read -r expression message; do
		console '<6>[    1.000000] before' "<4>[    1.234567] $message" '<6>[    2.000000] after'
		judged 1
		expect_out "2:<4>[    1.234567] $message"
		grep -qE -e "$expression" "$work/console" || broken "$expression is not $message"
	done < <(forms)
}

messages_of_level_error_are_seen_and_those_below_are_not() {
	local level
	for level in 0 1 2 3; do
		console "<6>[    1.000000] before" "<$level>[    1.234567][   T42] something" "<$level>[    1.234568] more"
		judged 1
		expect_out "2:<$level>[    1.234567][   T42] something"$'\n'"3:<$level>[    1.234568] more"
	done
	console '<4>[    1.000000] a' '<5>[    1.000000] b' '<6>[    1.000000] c' '<7>[    1.000000] d' \
		'<8>[    1.000000] a program' '<11>[    1.000000] a program' '<30>[    1.000000] a daemon'
	judged 0
	expect_out ''
}

lost_messages_are_seen() {
	console '<6>[    1.000000] before' '** 17 printk messages dropped **' '<6>[    2.000000] after'
	judged 1
	expect_out '2:** 17 printk messages dropped **'
}

an_exception_is_a_whole_message_with_a_reason() {
	excepting 'vmtest: [a-z]+	because' 'vmtest: odd|vmtest: end		of two'
	console '<3>[    1.000000] vmtest: abc' '<0>[    1.000000][    C1] vmtest: odd' '<2>[    1.000000] vmtest: end'
	judged 0
	console '<3>[    1.000000] vmtest: abc' '<3>[    1.000000] vmtest: abc 1' '<3>[    1.000000] a vmtest: odd'
	judged 1
	[ "$(wc -l <"$work/out")" = 2 ] || broken "not two are left: $(<"$work/out")"
	excepting 'vmtest: [a-z]+'
	judged 2
	expect_err 'trouble-exceptions'
	excepting 'vmtest: (	a bad expression'
	judged 2
}

a_trace_belongs_to_the_message_before_it() {
	excepting 'vmtest: expected	because'
	console '<4>[    1.000000] vmtest: WARNING: not' '<3>[    1.000000] vmtest: expected' \
		'<4>[    1.000000] CPU: 0 PID: 1 Comm: vmtest' '<4>[    1.000000] Call Trace:'
	judged 1
	expect_out '1:<4>[    1.000000] vmtest: WARNING: not'
	console '<3>[    1.000000] vmtest: expected' '<3>[    1.000000] vmtest: not' \
		'<4>[    1.000000] CPU: 0 PID: 1 Comm: vmtest' '<4>[    1.000000] Call Trace:'
	judged 1
	[ "$(wc -l <"$work/out")" = 2 ] || broken "the trace is not of the second: $(<"$work/out")"
	console '<3>[    1.000000] vmtest: expected' '<6>[    1.000000] '{1..9} '<4>[    1.000000] Call Trace:'
	judged 1
	expect_out '11:<4>[    1.000000] Call Trace:'
}

exceptions_that_nothing_needed_are_named() {
	excepting 'vmtest: [a-z]+	because' 'vmtest: [0-9]+	because'
	console '<3>[    1.000000] vmtest: 123'
	judged 0 --needed "$work/needed"
	[ "$(<"$work/needed")" = 'vmtest: [0-9]+' ] || broken "needed is $(<"$work/needed")"
	"$trouble" --unneeded "$work/needed" >"$work/out" 2>"$work/err"
	grep -qxF 'vmtest: [a-z]+' "$work/out" || broken "what is not needed is not named"
	! grep -qF 'vmtest: [0-9]+' "$work/out" || broken "what is needed is named"
}

# ---- what comes back -----------------------------------------------------------------------

output_is_byte_exact() {
	LC_ALL=C awk 'BEGIN { for (i = 0; i < 4096; i++) printf "%c", i % 256 }' >"$work/bytes"
	head -c 20000 /dev/urandom >>"$work/bytes"
	run --file "$work/bytes:/root/bytes" -- sh -c 'cat /root/bytes; echo apart >&2'
	expect_status 0
	cmp "$work/bytes" "$work/out" || broken "the bytes changed on the way"
	[ "$(<"$work/err")" = apart ] || broken "stderr is not just what the command wrote there"
}

the_status_of_the_command_is_the_status_of_the_run() {
	run -- sh -c 'exit 7'
	expect_status 7
}

a_status_of_127_from_the_guest_passes_through() {
	run -- sh -c no-such-command
	expect_status 127
}

arguments_and_environment_arrive_unchanged() {
	local words=("a b" "it's" "\$HOME" '*' '' '"\"' $'x\ny' 'ü')
	run -- printf '<%s>\n' "${words[@]}"
	expect_status 0
	expect_out "$(printf '<%s>\n' "${words[@]}")"
	run --env "SAYS=${words[*]}" --env EMPTY= -- sh -c "echo \"\$SAYS\${EMPTY-unset}\""
	expect_out "${words[*]}"
}

programs_come_with_their_libraries() {
	mkdir -p "$work/tree/sub"
	echo content >"$work/tree/sub/file"
	run --file "$work/tree:/root/tree" --program /usr/bin/sha256sum -- \
		/usr/bin/env /bin/sha256sum /root/tree/sub/file
	expect_status 0
	expect_out "$(sha256sum <"$work/tree/sub/file" | sed 's|-$|/root/tree/sub/file|')"
}

cpus_memory_and_parameters_are_as_asked() {
	run --smp 3 --mem 300 --append 'printk.time=1 vmtest=yes' --dmesg "$work/console" -- \
		sh -c 'nproc; grep -o vmtest=yes /proc/cmdline; head -n 1 /proc/meminfo'
	expect_status 0
	[[ $(xargs <"$work/out") =~ ^3\ vmtest=yes\ MemTotal:\ 2[0-9]{5}\ kB$ ]] || broken "not as asked: $(<"$work/out")"
	grep -q 'Linux version' "$work/console" || broken "the console was not saved"
}

modules_of_the_kernel_are_loaded() {
	run --kmod vgem -- test -d /sys/module/vgem
	expect_status 0
	run --kmod no_such_module -- true
	expect_status 125
	expect_err "no module 'no_such_module'"
}

# ---- what must not pass for success --------------------------------------------------------

a_hang_is_a_failure_and_shows_the_console() {
	run --timeout 8 -- sleep 1000
	expect_status 125
	expect_err 'no answer within 8 s'
	expect_err 'Run /init as init process'
	expect_no_machine
}

a_machine_that_ends_at_once_is_a_failure() {
	qemu_is 'exit 1'
	PATH=$work/bin:$PATH run -- true
	expect_status 125
	expect_err 'did not boot the kernel'
	expect_one_line_of_err
}

# Each line that the kernel prints takes it seconds.
three_machines_may_stop_at_boot() {
	impatient 2
	runner=$work/tools/vm/run run --timeout 9 --append boot_delay=9999 -- true
	expect_status 125
	[ "$(grep -c 'did not start init within 2 s; another machine tries' "$work/err")" = 2 ] || broken "there were not three machines"
	expect_err 'no answer within 9 s'
	expect_no_machine
}

# The first QEMU waits for a word to start that never comes.
a_machine_that_stops_at_boot_is_replaced() {
	impatient 20
	# shellcheck disable=SC2016 # of that script
	qemu_is '[ -e '"$work/waited"' ] || { : >'"$work/waited"'; set -- "$@" -S; }; exec $qemu "$@"'
	runner=$work/tools/vm/run PATH=$work/bin:$PATH run -- echo replaced
	expect_status 0
	expect_out replaced
	expect_err 'did not start init within 20 s; another machine tries'
}

# The first kernel gets no files, so nothing to run, and panics.
a_kernel_in_trouble_at_boot_is_replaced() {
	# shellcheck disable=SC2016 # of that script
	qemu_is 'if [ ! -e '"$work/tripped"' ]; then : >'"$work/tripped"'
			for word; do shift; case $word in *initramfs) continue ;; -initrd) continue ;; esac; set -- "$@" "$word"; done
		fi; exec $qemu "$@"'
	PATH=$work/bin:$PATH run -- echo replaced
	expect_status 0
	expect_out replaced
	expect_err 'in trouble before it started init (<0>'
	[ "$(grep -c 'another machine tries' "$work/err")" = 1 ] || broken "there were not two machines"
}

three_kernels_in_trouble_at_boot_are_a_failure() {
	run --append 'rdinit=/nothing root=/dev/none' -- true
	expect_status 125
	[ "$(grep -c 'another machine tries' "$work/err")" = 2 ] || broken "there were not three machines"
	expect_err 'panicked'
	expect_err 'Kernel panic - not syncing'
}

a_panic_is_a_failure() {
	run -- sh -c 'echo c >/proc/sysrq-trigger'
	expect_status 125
	expect_err 'panicked'
	expect_err 'Kernel panic - not syncing: sysrq triggered crash'
}

a_tainted_kernel_is_a_failure() {
	run -- sh -c 'echo 512 >/proc/sys/kernel/tainted'
	expect_status 125
	expect_err 'tainted'
}

a_warning_on_the_console_is_a_failure() {
	run -- sh -c 'echo "WARNING: possible circular locking dependency detected" >/dev/kmsg'
	expect_status 125
	expect_err 'circular locking'
}

a_message_of_each_level_of_error_is_a_failure() {
	local level
	build_module
	for level in 0 1 2 3; do
		run_with_module --module "$work/module/vmtest.ko" --insmod "levels=$level" -- true
		expect_status 125
		expect_err 'the kernel reported trouble (1 lines'
		grep -q "^<$level>\[.*\] vmtest: a message of level $level" "$work/err" || broken "the line is not shown"
	done
}

# A program cannot make its messages the kernel's, not by their facility nor by what looks like a line.
messages_below_error_and_those_of_programs_pass() {
	build_module
	run_with_module --module "$work/module/vmtest.ko" --insmod levels=4567 --dmesg "$work/console" -- sh -c '
		echo "<3>an error of a program" >/dev/kmsg
		echo "<0>an emergency" >/dev/kmsg
		printf "first\n<3>[    1.000000] second\n" >/dev/kmsg
		dmesg -n 1'
	expect_status 0
	for level in 4 5 6 7; do
		grep -q "^<$level>.*a message of level $level" "$work/console" || broken "level $level is not on the console"
	done
	grep -q '^<[0-9]*>.*an error of a program' "$work/console" || broken "the program is not heard"
}

a_guest_that_dies_shows_what_its_kernel_said() {
	build_module
	run_with_module --module "$work/module/vmtest.ko" --insmod levels=3 -- reboot -f
	expect_status 125
	expect_err 'without reporting'
	expect_err 'a message of level 3'
}

messages_that_did_not_reach_the_console_are_a_failure() {
	build_module
	run_with_module --module "$work/module/vmtest.ko" --insmod flood=30000 -- true
	expect_status 125
	expect_err 'printk messages dropped'
}

a_console_without_its_end_is_a_failure() {
	# shellcheck disable=SC2016 # of that script
	qemu_is '$qemu "$@"; for word; do case $word in
		file,id=console,*) sed -i "/reboot: /d" "${word##*path=}" ;; esac; done'
	PATH=$work/bin:$PATH run -- true
	expect_status 125
	expect_err 'messages of the kernel were lost'
}

silence_is_a_failure() {
	run -- reboot -f
	expect_status 125
	expect_err 'without reporting'
}

a_forged_report_is_a_failure() {
	run -- sh -c 'echo "0 exit 0 taint 0" >/dev/ttyS3; reboot -f'
	expect_status 125
	run -- sh -c 'echo "0 exit 0 taint 0" >/dev/ttyS3'
	expect_status 125
}

a_guest_too_small_for_its_files_is_refused() {
	truncate -s 200M "$work/large"
	run --mem 256 --file "$work/large:/root/large" -- true
	expect_status 125
	expect_err '--mem'
	rm "$work/large"
}

a_module_gets_its_parameters() {
	build_module
	run_with_module --module "$work/module/vmtest.ko" --insmod 'value=42 warn=0' -- \
		sh -c 'dmesg | grep -c "value is 42"'
	expect_status 0
	expect_out 1
	run_with_module --module "$work/module/vmtest.ko" --no-insmod -- \
		sh -c 'test ! -e /sys/module/vmtest && insmod /lib/pagespan.ko value=3 && test -e /sys/module/vmtest'
	expect_status 0
}

a_module_that_refuses_is_a_failure_with_its_message() {
	build_module
	run_with_module --module "$work/module/vmtest.ko" --insmod 'refuse=1 value=17' -- true
	expect_status 125
	expect_err 'did not load'
	expect_err 'value is 17'
}

a_real_warning_is_a_failure() {
	build_module
	run_with_module --module "$work/module/vmtest.ko" --insmod warn=1 -- true
	expect_status 125
	expect_err 'vmtest_init'
}

# ---- the rest ------------------------------------------------------------------------------

a_shared_directory_is_seen_and_cannot_be_written() {
	mkdir -p "$work/sh,are/sub"
	echo seen >"$work/sh,are/sub/file"
	run --share "$work/sh,are" -- sh -c "cat '$work/sh,are/sub/file'; ! touch '$work/sh,are/new' 2>/dev/null"
	expect_status 0
	expect_out seen
	[ ! -e "$work/sh,are/new" ] || broken "a read-only directory was written to"
}

a_directory_shared_for_writing_is_written_back() {
	mkdir -p "$work/share"
	run --share "$work/share:rw" -- sh -c "head -c 3000000 /dev/zero >$work/share/zeros; echo back >$work/share/file"
	expect_status 0
	[ "$(cat "$work/share/file")" = back ] || broken "the file did not come back"
	cmp -n 3000000 "$work/share/zeros" /dev/zero || broken "the large file did not come back whole"
}

# The files' times differ in a way that shows if they get into the guest.
counted_runs_are_identical() {
	local command=(sh -c 'cat /proc/uptime /proc/interrupts; date')
	: >"$work/file"
	touch -d @$((0x44444444)) "$work/file"
	run --icount --file "$work/file:/root/file" --dmesg "$work/console1" -- "${command[@]}"
	expect_status 0
	mv "$work/out" "$work/out1"
	touch -d @$((0x7abcdefa)) "$work/file"
	run --icount --file "$work/file:/root/file" --dmesg "$work/console2" -- "${command[@]}"
	expect_status 0
	same_lines "$work/out1" "$work/out"
	same_lines "$work/console1" "$work/console2"
}

# interrupt SIGNAL: starts a run and ends the runner, not its machine
interrupt() {
	local pid
	TMPDIR=$work/tmp "$runner" --kernel "$kernel" --no-module -- sleep 1000 >"$work/out" 2>"$work/err" &
	pid=$!
	wait_for_machine
	{ kill "-$1" $pid; wait $pid || status=$?; } 2>/dev/null
	expect_no_machine
}

an_interrupted_run_leaves_nothing() {
	interrupt TERM
	expect_status 143
	[ -z "$(ls "$work/tmp")" ] || broken "left behind: $(ls "$work/tmp")"
}

a_killed_run_leaves_no_machine() {
	interrupt KILL
	rm -rf "$work"/tmp/*
}

# ---------------------------------------------------------------------------------------------

tests=()
while [ $# -gt 0 ]; do
	case $1 in
	--quick) tests+=("${quick_tests[@]}") ;;
	--kernel) kernel=$2; shift ;;
	-*) sed -n 's/^# Usage: //p' "$0" >&2; exit 2 ;;
	*) tests+=("$1") ;;
	esac
	shift
done
[ ${#tests[@]} -gt 0 ] || tests=("${quick_tests[@]}" "${slow_tests[@]}")

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/tmp"
: >"$work/err"

# What a first run downloads and finds out about the host, it says on stderr, where tests look.
"$runner" --kernel "$kernel" --no-module -- true

printf 'KTAP version 1\n1..%d\n' "${#tests[@]}"
number=0 failures=0
for test in "${tests[@]}"; do
	number=$((number + 1))
	if (TMPDIR=$work/tmp; export TMPDIR; "$test"); then
		printf 'ok %d %s\n' $number "$test"
	else
		printf 'not ok %d %s\n' $number "$test"
		failures=$((failures + 1))
	fi
done
printf '# Totals: pass:%d fail:%d\n' $((number - failures)) $failures
[ $failures = 0 ]
