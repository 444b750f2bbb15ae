#!/bin/bash
# SPDX-License-Identifier: MIT
#
# What pagespanctl promises, below a root made for it: machines without the module, with it, and after
# a boot that reserved memory. usage: pagespanctl.sh PAGESPANCTL
# shellcheck disable=SC2016 # dollar signs and backticks are meant
set -euo pipefail

sources=$(cd "$(dirname "$0")/../.." && pwd)
ctl=$(realpath "${1:?usage: pagespanctl.sh PAGESPANCTL}")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
export LC_ALL=C TERM=xterm-256color
unset NO_COLOR
tests=0
failures=0

# promise NAME [COMMAND...]: a function of that name, or a command, succeeds
promise() {
	local name=$1 status=0
	shift
	[ $# -gt 0 ] || set -- "$name"
	tests=$((tests + 1))
	# A subshell of its own, so that set -e holds in it.
	set +e
	(set -e; "$@") >log 2>&1
	status=$?
	set -e
	if [ "$status" = 0 ]; then
		echo "ok $tests pagespanctl.$name"
	else
		failures=$((failures + 1))
		sed 's/^/# /' log
		echo "not ok $tests pagespanctl.$name"
	fi
}

# run STATUS ARGUMENT...: pagespanctl ends so; its output is in out and err
run() {
	local expected=$1 status=0
	shift
	"$ctl" "$@" >out 2>err || status=$?
	cat out err
	echo "status $status, $expected expected: $*"
	[ "$status" = "$expected" ]
}

# says TEXT: the last run said this, on either
says() {
	cat out err | grep -qF -- "$1" || { echo "not said: $1"; return 1; }
}

# lacks EXPRESSION [FILE]: the last run said nothing of the kind
lacks() {
	! grep -aqE -- "$1" "${2:-out}"
}

# ---- machines --------------------------------------------------------------------------------

# put FILE TEXT: below the root that is being made
put() {
	mkdir -p "$(dirname "$1")"
	printf '%s\n' "$2" >"$1"
}

# machine ROOT RELEASE: one without the module
machine() {
	mkdir -p "$1/proc" "$1/dev"
	put "$1/proc/sys/kernel/osrelease" "$2"
	mkdir -p "$1/sys/kernel/mm/transparent_hugepage"
}

# pool ROOT PAGES FREE: the module is loaded there
pool() {
	local sys=$1/sys/class/misc/pagespan pages=$2 file
	put "$sys/source" phys
	put "$sys/why_not" "hotplug: phys= is given"
	put "$sys/huge" 1
	for file in nr_pages max_pages pool_pages; do
		put "$sys/$file" "$pages"
	done
	put "$sys/free_pages" "$3"
	put "$sys/longest_run" "$3"
	put "$sys/quarantined_pages" 24
	put "$sys/clients" 3
	put "$sys/events/alloc" 70
	put "$sys/events/free" 50
	put "$sys/events/fault" 90
	put "$sys/events/quarantine" 5
	put "$1/sys/module/pagespan/version" 0.2.0
}

# charging ROOT USER_MAX_PAGES: that module tells what later ones do; user 1002 has no client left
charging() {
	local sys=$1/sys/class/misc/pagespan
	put "$sys/poisoned_pages" 3
	put "$sys/user_max_pages" "$2"
	put "$sys/events/ask" 4
	put "$sys/events/wait" 1234567
	put "$sys/events/served" 2
	put "$sys/users" "1000 1072
1002 8
1001 1036"
}

# of_user ROOT PID UID CHARGED QUOTA: whose that client is
of_user() {
	printf '%s\n' "pagespan-user-id:	$3" "pagespan-user-memory:	$4 KiB" \
		"pagespan-user-quota:	$5 KiB" >>"$1/proc/$2/fdinfo/3"
}

# client ROOT PID ID OWNED COMMAND: a process with the device open
client() {
	local process=$1/proc/$2
	put "$process/comm" "$5"
	mkdir -p "$process/fd"
	ln -sf /dev/pagespan "$process/fd/3"
	ln -sf 'socket:[5]' "$process/fd/4"
	put "$process/fdinfo/3" "pos:	0
pagespan-client-id:	$3
pagespan-memory-owned:	$4 KiB
pagespan-memory-quarantined:	96 KiB
pagespan-memory-quota:	131072 KiB"
	put "$process/fdinfo/4" "pos:	0"
}

iomem() {
	put "$1/proc/iomem" "$2"
}

make_machines() {
	machine bare 6.1.0-56-amd64
	machine old 5.10.0-1-amd64
	machine headers 6.1.0-56-amd64
	put headers/lib/modules/6.1.0-56-amd64/build/Makefile ''
	machine dkms 6.1.0-56-amd64
	put dkms/lib/modules/6.1.0-56-amd64/build/Makefile ''
	put dkms/usr/src/pagespan-0.1.0/dkms.conf ''
	machine unloaded 6.12.9-amd64
	put unloaded/lib/modules/6.12.9-amd64/modules.dep 'updates/dkms/pagespan.ko.xz:'

	machine loaded 6.1.0-56-amd64
	pool loaded 32768 30000
	client loaded 41 7 2048 first
	client loaded 42 7 2048 'a child'
	client loaded 43 9 4096 "$(printf 'evil\033[2J')"
	put loaded/sys/kernel/debug/pagespan/map "$(printf '         0 %s\n     32768 %s' \
		"$(printf '#0.9%.0s' {1..16})" "-----5..")"

	cp -r loaded charged
	charging charged 4096
	of_user charged 41 1001 4144 16384
	of_user charged 42 1001 4144 16384
	of_user charged 43 1000 4288 16384
	put charged/sys/kernel/debug/pagespan/map '         0 .x#-'

	machine plain 6.1.0-56-amd64
	put plain/etc/default/grub 'GRUB_CMDLINE_LINUX=""'
	put plain/proc/cmdline 'root=/dev/vda1 quiet'
	iomem plain '00000000-00000fff : Reserved
00001000-0009fbff : System RAM
00100000-bfffffff : System RAM
  01000000-02209987 : Kernel code
100000000-23fffffff : System RAM
  238000000-23fffffff : Crash kernel
fd00000000-ffffffffff : PCI Bus 0000:00'
	machine small 6.1.0-56-amd64
	iomem small '00001000-0009fbff : System RAM
00100000-3fffffff : System RAM
  01000000-02209987 : Kernel code'
	machine hidden 6.1.0-56-amd64
	iomem hidden '00000000-00000000 : Reserved
00000000-00000000 : System RAM'
}

# ---- usage -----------------------------------------------------------------------------------

usage_names_every_command() {
	local command
	for command in stat map top clients users reserve bench doctor; do
		run 0 --help
		says "  $command "
		run 0 "$command" --help
		says "Usage: pagespanctl $command"
	done
	run 0 --version
	says "pagespanctl $(sed -n 's/^VERSION := //p' "$sources/Makefile")"
}

wrong_usage_is_2() {
	run 2
	run 2 fly
	says "unknown command 'fly'"
	run 2 --fly
	run 2 --color sometimes stat
	says "not 'sometimes'"
	run 2 stat --fly
	run 2 stat more
	says "takes no 'more'"
	run 2 bench --json
	run 2 map --svg
	run 2 map more
	run 2 top -d 0
	run 2 top -n none
	run 2 top -d
	run 2 reserve
	run 2 reserve --check 64
	run 2 reserve --check --remove
	run 2 reserve 64 --by-name --address 4G
}

without_the_module_is_3() {
	local command
	for command in stat clients users map; do
		run 3 --root bare "$command"
		says 'pagespan.ko is not loaded; `pagespanctl doctor` says what to do'
		[ ! -s out ]
	done
}

output_that_cannot_be_written_is_1() {
	local status=0
	"$ctl" --root loaded stat >/dev/full 2>err || status=$?
	[ "$status" = 1 ]
	grep -q 'No space left' err
	run 1 --root loaded map --svg no/such/place
	says 'cannot write no/such/place'
	run 1 --root loaded map --svg /dev/full
}

# ---- doctor ----------------------------------------------------------------------------------

# The advice of the last run, its comments left away.
advice() {
	sed -n 's/^    \([^#]*[^# ]\)\( *#.*\)\?$/\1/p' out
}

doctor_tells_a_newcomer_everything() {
	run 1 --root bare doctor
	[ "$(advice)" = 'apt install linux-headers-6.1.0-56-amd64
make deb && apt install ./build/deb/pagespan-dkms_*.deb
modprobe pagespan' ]
	says 'Until then programs run on libpagespan'
	run 1 --root headers doctor
	[ "$(advice | head -n 1)" = 'make deb && apt install ./build/deb/pagespan-dkms_*.deb' ]
}

doctor_knows_dkms() {
	run 1 --root dkms doctor
	[ "$(advice)" = 'dkms autoinstall
modprobe pagespan' ]
}

doctor_has_an_installed_module_loaded() {
	run 1 --root unloaded doctor
	[ "$(advice)" = 'modprobe pagespan' ]
}

doctor_refuses_old_kernels() {
	run 1 --root old doctor
	says 'Linux 5.10.0-1-amd64 is too old'
	[ "$(advice)" = 'boot Linux 6.1 or later' ]
}

# tested: the versions of the kernels that selftests/run tests, those of other builds of them too
tested() {
	sed -n 's|^readonly \([a-z0-9]*_\)\?kernels=(\(.*\))$|\2|p' "$sources/selftests/run" |
		tr ' ' '\n' | sed 's/-.*//' | sort -Vu
}

doctor_knows_which_kernels_are_tested() {
	local release
	machine tested 8.1.4-1-amd64
	run 1 --root tested doctor
	[ "$(sed -n 's/.*the module is tested on: //p' out | grep -o '[0-9.]*')" = "$(tested)" ]
	for release in $(tested); do
		put tested/proc/sys/kernel/osrelease "$release.4-1-amd64"
		run 1 --root tested doctor
		grep -q "^ok  *Linux $release" out
		says 'make deb'
	done
	for release in 6.2 6.11 6.13 7.1 7.30 8.1; do
		put tested/proc/sys/kernel/osrelease "$release.4-1-amd64"
		run 1 --root tested doctor
		says "Linux $release.4-1-amd64 is none that the module is tested on"
		says 'whether it builds for it is not known'
		lacks 'make deb'
		[[ "$(advice)" = *"make module KVER=$release.4-1-amd64" ]]
	done
	# Of a module that is there it is known.
	put tested/lib/modules/8.1.4-1-amd64/modules.dep 'updates/dkms/pagespan.ko.xz:'
	run 1 --root tested doctor
	[ "$(advice)" = 'modprobe pagespan' ]
}

doctor_knows_what_does_not_build() {
	local log=failed/var/lib/dkms/pagespan/0.2.0/build/make.log
	machine failed 8.1.4-1-amd64
	put failed/lib/modules/8.1.4-1-amd64/build/Makefile ''
	put failed/usr/src/pagespan-0.2.0/dkms.conf ''
	put "$log" 'DKMS make.log for pagespan-0.2.0 for kernel 8.1.4-1-amd64 (x86_64)'
	run 1 --root failed doctor
	says "does not build for Linux 8.1.4-1-amd64: $log says why"
	[[ "$(advice)" = 'boot Linux 6.1, '* ]]
	lacks 'dkms autoinstall'
	put "$log" 'DKMS make.log for pagespan-0.2.0 for kernel 7.3.4-1-amd64 (x86_64)'
	run 1 --root failed doctor
	[ "$(advice)" = 'dkms autoinstall
modprobe pagespan' ]
}

doctor_tells_of_signatures() {
	machine signed 6.1.0-56-amd64
	put signed/sys/module/module/parameters/sig_enforce Y
	run 1 --root signed doctor
	says 'mokutil --import'
}

doctor_tells_of_a_container_without_the_device() {
	run 1 --root loaded doctor
	says '/dev/pagespan is not there'
}

# The advice of the last run is not to have this module.
doctor_is_alarmed() {
	[ "$(advice)" = 'make deb && apt install ./build/deb/pagespan-dkms_*.deb
modprobe -r pagespan && modprobe pagespan' ] &&
		says 'can read and write pages that it gave back' &&
		says 'Until then give /dev/pagespan to nobody'
}

doctor_tells_of_a_module_whose_pages_can_be_reached() {
	local version
	cp -r loaded leaky
	rm leaky/sys/module/pagespan/version
	run 1 --root leaky doctor
	doctor_is_alarmed
	for version in 0.1.0 0.1.9 0.1.10; do
		put leaky/sys/module/pagespan/version "$version"
		run 1 --root leaky doctor
		doctor_is_alarmed
	done
	put leaky/proc/sys/kernel/osrelease 6.4.0-4-amd64
	run 1 --root leaky doctor
	doctor_is_alarmed
}

doctor_is_calm() {
	run 1 --root calm doctor
	says '/dev/pagespan is not there'
	lacks 'gave back'
}

doctor_knows_modules_kernels_and_mappings_that_are_tight() {
	local version release
	cp -r loaded calm
	for version in 0.2.0 0.2.1 0.10.0 1.0.0; do
		put calm/sys/module/pagespan/version "$version"
		doctor_is_calm
	done
	rm calm/sys/module/pagespan/version
	for release in 6.5.0-1-amd64 6.12.9-amd64 7.0.1-amd64; do
		put calm/proc/sys/kernel/osrelease "$release"
		doctor_is_calm
	done
	put calm/proc/sys/kernel/osrelease 6.1.0-56-amd64
	put calm/sys/class/misc/pagespan/huge 0
	doctor_is_calm
}

doctor_says_why_there_are_no_huge_mappings() {
	cp -r loaded contig
	echo 0 >contig/sys/class/misc/pagespan/huge
	run 1 --root contig doctor
	says 'pagespanctl reserve SIZE --install'
	says 'why not: hotplug: phys= is given'
	rmdir contig/sys/kernel/mm/transparent_hugepage
	run 1 --root contig doctor
	says 'nothing to be done'
}

# ---- what there is -----------------------------------------------------------------------------

stat_tells_figures_that_add_up() {
	run 0 --root loaded stat
	says '128 MiB'
	says 'source phys, 2 MiB mappings'
	[ "$(sed -n 's/^  owned *\([0-9.]* [KMG]iB\).*/\1/p' out)" = '10.7 MiB' ]
	says '96 KiB'
}

stat_tells_of_broken_pages_and_of_the_limit_of_users() {
	run 0 --root charged stat
	[ "$(sed -n 's/^  poisoned *\(.*iB\).*/\1/p' out)" = '12 KiB' ]
	[ "$(sed -n 's/^  user limit *//p' out)" = '16 MiB' ]
	run 0 --root charged stat --json
	[ "$(jq -r '.owned_pages, .poisoned_pages, .user_max_pages, (.users | length)' out | xargs)" = '2741 3 4096 3' ]
	put charged/sys/class/misc/pagespan/user_max_pages 0
	run 0 --root charged stat
	lacks 'user limit'
	put charged/sys/class/misc/pagespan/user_max_pages 4096
}

clients_are_told_with_their_users() {
	run 0 --root charged clients
	[ "$(awk '$1 == 9 { print $(NF - 1) } $1 == 7 { print $(NF - 1) }' out | xargs)" = '1000 1001' ]
	run 0 --root charged clients --json
	[ "$(jq -r '.[] | .uid, .user_charged_bytes, .user_quota_bytes' out | xargs)" = \
		'1000 4390912 16777216 1001 4243456 16777216' ]
}

# The module's list is of one moment; what clients say, of others.
users_are_told_with_what_they_are_charged() {
	local command
	for command in users clients stat; do
		run 0 --root charged "$command"
		[ "$(sed -n '/^USER/,$s/  */ /gp' out)" = 'USER CHARGED QUOTA CLIENTS
1000 4.2 MiB 16 MiB 1
1001 4.0 MiB 16 MiB 1
1002 32 KiB 16 MiB 0' ]
	done
	run 0 --root charged users --json
	[ "$(jq -r '.[] | .uid, .charged_bytes, .quota_bytes, .clients' out | xargs)" = \
		'1000 4390912 16777216 1 1001 4243456 16777216 1 1002 32768 16777216 0' ]
	put charged/sys/class/misc/pagespan/user_max_pages 0
	run 0 --root charged users --json
	[ "$(jq -r '.[2].quota_bytes' out)" = 134217728 ]
	put charged/sys/class/misc/pagespan/user_max_pages 4096
	: >charged/sys/class/misc/pagespan/users
	run 0 --root charged users
	[ "$(grep -c ' MiB ' out)" = 2 ]
}

others_users_are_for_root() {
	local status=0
	[ "$(id -u)" = 0 ] || return 0
	chmod 755 "$work"
	cp -r charged secret
	put secret/sys/class/misc/pagespan/users '1000 1072'
	rm -r secret/proc/4?
	install -m 755 "$ctl" pagespanctl
	chmod 400 secret/sys/class/misc/pagespan/users
	setpriv --reuid=65534 --regid=65534 --clear-groups ./pagespanctl --root secret users >out 2>err || status=$?
	[ "$status" = 0 ]
	says 'root sees what other users are charged'
	lacks '1000'
}

older_modules_are_told_as_before() {
	run 0 --root loaded stat
	lacks 'poisoned|user|USER|waited'
	run 0 --root loaded clients
	lacks 'USER'
	run 0 --root loaded users
	says 'this module does not charge users'
	run 0 --root loaded users --json
	[ "$(jq -c . out)" = '[]' ]
	run 0 --root loaded stat --json
	[ "$(jq -c '[.poisoned_pages, .user_max_pages, .users, .clients[0].uid]' out)" = '[null,null,[],null]' ]
	[ "$(jq -c '.events | [.ask, .wait, .served]' out)" = '[null,null,null]' ]
}

# caches BYTES [LIE]: client 9 has caches in its memory, in a mapping that is so long from their beginning
caches() {
	local process=caching/proc/43
	[ -x caches ] || cc -Wall -Wextra -Werror -I"$sources/lib/include" \
		"$sources/selftests/host/pagespanctl_caches.c" -o caches
	[ -d caching ] || cp -r loaded caching
	./caches "$process/mem" 0x20000 "${@:2}"
	printf '%x-%x rw-p 00000000 %s \n' 4096 8192 '08:01 77                      /usr/bin/program' \
		$((0x20000)) $((0x20000 + $1)) '00:00 0' >"$process/maps"
}

# told [LIE]: what client 9 has cached, as pagespanctl sees it, in pages
told() {
	caches 4096 "$@"
	run 0 --root caching clients --json >/dev/null
	jq -r '.[] | select(.id == 9) | if .cached_bytes then .cached_bytes / 4096 else .cached_bytes end' out
}

# Of three CPUs, and what the process keeps.
caches_are_added_up() {
	local pages=$((3 * (7 + 2 * 20) + 100))
	[ "$(told)" = "$pages" ]
	run 0 --root caching clients
	says "$((pages * 4)) KiB"
	run 0 --root caching stat
	[ "$(sed -n 's/^    cached *\([0-9.]* [KMG]iB\).*/\1/p' out)" = "$((pages * 4)) KiB" ]
	run 0 --root caching stat --json
	[ "$(jq -r .cached_bytes out)" = $((pages * 4096)) ]
	# With the caches of the first CPUs behind the head.
	caches $((4096 + 2 * 9 * 4096))
	run 0 --root caching clients
	says "$((pages * 4)) KiB"
	caches 8192
	run 0 --root caching clients
	lacks "$((pages * 4)) KiB"
}

# A process can make its memory look like anything.
caches_that_lie_are_bounded() {
	local what
	for what in places kept window counter magic; do
		[ "$(told "$what" | tee told)" = null ] || { echo "$what: $(<told)"; return 1; }
	done
	# Those of CPUs that have none cannot be read, or are empty.
	[ "$(told made)" = 241 ]
	[ "$(told tops)" = 100 ]
	# No more than it owns.
	[ "$(told bins)" = 1024 ]
}

json_is_json() {
	run 0 --root loaded stat --json
	[ "$(jq -r '.source, .pool_pages, .owned_pages, .events.fault, .nr_clients, (.clients | length)' out |
		xargs)" = 'phys 32768 2744 90 3 2' ]
	run 0 --root loaded clients --json
	[ "$(jq -r '.[] | .id, .pid, .processes, .owned_bytes' out | xargs)" = '9 43 1 4194304 7 41 2 2097152' ]
}

clients_are_told_once_each_and_the_unseen_counted() {
	run 0 --root loaded clients
	[ "$(grep -c ' MiB ' out)" = 2 ]
	says '1 more: '
}

requests_that_waited_are_told() {
	run 0 --root charged stat
	says '1234567  requests that waited'
	run 0 --root charged stat --json
	[ "$(jq -c '.events | [.ask, .wait, .served]' out)" = '[4,1234567,2]' ]
}

names_cannot_speak_to_the_terminal() {
	run 0 --color never --root loaded clients
	if grep -q "$(printf '\033')" out; then return 1; fi
	says 'evil?[2J'
}

# on_terminal ASSIGNMENT: the map on a terminal, in typescript
on_terminal() {
	env "$1" script -qec "$ctl --root loaded map" /dev/null </dev/null >typescript
	grep -q 'a cell is 2 MiB' typescript
}

colours_are_for_terminals() {
	run 0 --root loaded map
	if grep -q "$(printf '\033')" out; then return 1; fi
	run 0 --color always --root loaded map
	grep -q "$(printf '\033')" out
	on_terminal TERM=xterm-256color
	grep -q "$(printf '\033')" typescript
	on_terminal NO_COLOR=1
	if grep -q "$(printf '\033')" typescript; then return 1; fi
	on_terminal TERM=dumb
	if grep -q "$(printf '\033')" typescript; then return 1; fi
}

map_shows_every_megablock() {
	run 0 --root loaded map
	grep -qx "      0 MiB $(printf '#0.9%.0s' {1..16})" out
	grep -qx '    128 MiB -----5..' out
}

svg_draws_every_megablock() {
	run 0 --root loaded map --svg map.svg
	python3 - map.svg <<-'END'
		import sys
		from xml.dom.minidom import parse
		rects = parse(sys.argv[1]).getElementsByTagName("rect")
		titles = [r.firstChild.firstChild.data for r in rects if r.firstChild]
		cells = [t for t in titles if "MiB:" in t]
		assert len(cells) == 72, len(cells)
		assert cells[0] == "0 MiB: all in use" and cells[69] == "138 MiB: 50 % in use", cells
	END
}

map_shows_broken_megablocks() {
	run 0 --root charged map
	grep -qx '      0 MiB .x#-' out
	says 'x with a broken page'
	run 0 --root charged map --svg broken.svg
	grep -q '<title>2 MiB: a page of it is broken</title>' broken.svg
	grep -q '<title>4 MiB: all in use</title>' broken.svg
}

map_without_debugfs_says_how() {
	cp -r loaded closed
	rm -r closed/sys/kernel/debug
	run 1 --root closed map
	says 'mount -t debugfs debugfs /sys/kernel/debug'
}

map_is_for_root() {
	[ "$(id -u)" = 0 ] || return 0
	chmod 755 "$work"
	cp -r loaded guarded
	chmod 700 guarded/sys/kernel/debug
	install -m 755 "$ctl" pagespanctl
	local status=0
	setpriv --reuid=65534 --regid=65534 --clear-groups ./pagespanctl --root guarded map 2>err || status=$?
	cat err
	[ "$status" = 4 ]
	grep -q 'sudo pagespanctl map' err
}

top_draws_pool_and_clients() {
	script -qec "stty rows 24 cols 100; $ctl --root loaded top -n 1 -d 0.1" typescript </dev/null >/dev/null
	grep -aq 'pool of 128 MiB' typescript
	grep -aq 'first' typescript
	lacks 'USER|poisoned' typescript
	script -qec "stty rows 24 cols 100; $ctl --root charged top -n 1 -d 0.1" typescript </dev/null >/dev/null
	grep -aq 'USER' typescript
	grep -aq '1001' typescript
	grep -aq 'poisoned 12 KiB' typescript
	run 1 --root loaded top
	says 'wants a terminal'
}

bench_tests_this_machine() {
	local what
	PAGESPAN_BACKEND=memory run 0 bench
	says 'spans keep what they hold: yes'
	for what in '1 page' '16 KiB' '64 KiB' '256 KiB' '1 MiB'; do
		grep -q "$what .* ns .* ns .* times\$" out
	done
	PAGESPAN_BACKEND=paper run 1 bench
	says 'no backend can be had'
}

# ---- reserve -----------------------------------------------------------------------------------

reserve_chooses_high_and_avoids_what_is_taken() {
	run 0 --root plain reserve 1024
	# 9 GiB minus the crash kernel at the top.
	says 'memmap=1024M$8064M'
	says 'options pagespan phys=8064M,1024M'
	run 0 --root small reserve 256M
	says 'memmap=256M$512M'
}

reserve_takes_an_address() {
	run 0 --root plain reserve 1G --address 5G
	says 'memmap=1024M$5120M'
	run 1 --root plain reserve 64 --address 16M
	says 'not all plain System RAM'
	run 1 --root plain reserve 64 --address 9088M
	run 2 --root plain reserve 64 --address 5G1
	run 2 --root plain reserve 64 --address 0x100000
}

reserve_refuses_sizes_that_make_no_sense() {
	local size
	for size in 0 3 -2 1k 2T x '' 18446744073709551615 1048578; do
		run 2 --root plain reserve "$size"
	done
	run 1 --root small reserve 1000
	says 'more than half'
	run 4 --root hidden reserve 64
	says 'run as root'
}

# What a shell and then GRUB make of it: to both \$ is a plain dollar sign.
reserve_escapes_the_dollar_for_grub() {
	local by_shell by_grub
	run 0 --root plain reserve 512 --address 4G --install
	grep -qF 'memmap=512M\\\$4096M' plain/etc/default/grub.d/pagespan.cfg
	by_shell=$(env -i GRUB_CMDLINE_LINUX=quiet sh -ec '. ./plain/etc/default/grub.d/pagespan.cfg; printf %s "$GRUB_CMDLINE_LINUX"')
	[ "$by_shell" = 'quiet memmap=512M\$4096M' ]
	by_grub=${by_shell//\\\$/\$}
	put plain/proc/cmdline "$by_grub"
	grep -qxF 'options pagespan phys=4096M,512M' plain/etc/modprobe.d/pagespan-reserve.conf
}

# With the command line that the last test left.
check_tells_whether_it_took() {
	run 1 --root plain reserve --check
	says 'but the kernel has kept that memory'
	iomem plain '00100000-bfffffff : System RAM
100000000-11fffffff : Reserved
120000000-23fffffff : System RAM'
	run 0 --root plain reserve --check
	says 'phys=4096M,512M'
	says 'modprobe pagespan'
	pool plain 131072 131072
	run 0 --root plain reserve --check
	says 'the pool is there: source phys'
	echo contig >plain/sys/class/misc/pagespan/source
	run 1 --root plain reserve --check
	says 'load it anew'
}

check_knows_an_eaten_dollar() {
	put plain/proc/cmdline 'quiet memmap=512M'
	run 1 --root plain reserve --check
	says 'the dollar sign is written \\\$ for GRUB'
	put plain/proc/cmdline 'quiet memmap=exactmap memmap=2G@0'
	run 1 --root plain reserve --check
}

check_without_a_reservation_says_how() {
	put plain/proc/cmdline 'quiet'
	run 1 --root plain reserve --check
	says 'update-grub, then reboot'
	put small/proc/cmdline 'quiet'
	run 1 --root small reserve --check
	says 'pagespanctl reserve SIZE'
}

remove_undoes_install() {
	run 0 --root plain reserve --remove
	[ ! -e plain/etc/default/grub.d/pagespan.cfg ] && [ ! -e plain/etc/modprobe.d/pagespan-reserve.conf ]
	run 0 --root plain reserve --remove
	says 'nothing to remove'
	run 1 --root small reserve 64 --install
	says 'by hand: memmap=64M$'
}

reserve_by_name_leaves_the_place_to_the_kernel() {
	run 0 --root plain reserve 64 --by-name
	says 'reserve_mem=64M:2M:pagespan'
	says 'options pagespan reserve_mem=pagespan'
	put small/proc/cmdline 'reserve_mem=64M:2M:pagespan'
	run 0 --root small reserve --check
}

# ---- completion ----------------------------------------------------------------------------------

# completes WORD...: what follows the last one
completes() {
	(
		# shellcheck source=tools/pagespanctl/completion.bash
		. "$sources/tools/pagespanctl/completion.bash"
		COMP_WORDS=(pagespanctl "$@")
		COMP_CWORD=$#
		_pagespanctl pagespanctl "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
		echo "${COMPREPLY[*]}"
	)
}

completion_knows_what_the_program_knows() {
	local command
	[ "$(completes re)" = reserve ]
	[ "$(completes --root / stat --j)" = --json ]
	[ "$(completes --color a)" = 'auto always' ]
	[ "$(completes map --s)" = --svg ]
	for command in $("$ctl" --help | sed -n 's/^  \([a-z]*\)  .*/\1/p'); do
		[ "$(completes "$command")" = "$command" ]
	done
}

make_machines
echo 'TAP version 13'
promise usage_names_every_command
promise wrong_usage_is_2
promise without_the_module_is_3
promise output_that_cannot_be_written_is_1
promise doctor_tells_a_newcomer_everything
promise doctor_knows_dkms
promise doctor_has_an_installed_module_loaded
promise doctor_refuses_old_kernels
promise doctor_knows_which_kernels_are_tested
promise doctor_knows_what_does_not_build
promise doctor_tells_of_signatures
promise doctor_tells_of_a_container_without_the_device
promise doctor_says_why_there_are_no_huge_mappings
promise doctor_tells_of_a_module_whose_pages_can_be_reached
promise doctor_knows_modules_kernels_and_mappings_that_are_tight
promise stat_tells_figures_that_add_up
promise stat_tells_of_broken_pages_and_of_the_limit_of_users
promise clients_are_told_with_their_users
promise users_are_told_with_what_they_are_charged
promise others_users_are_for_root
promise older_modules_are_told_as_before
promise caches_are_added_up
promise caches_that_lie_are_bounded
promise json_is_json
promise clients_are_told_once_each_and_the_unseen_counted
promise requests_that_waited_are_told
promise names_cannot_speak_to_the_terminal
promise colours_are_for_terminals
promise map_shows_every_megablock
promise map_shows_broken_megablocks
promise svg_draws_every_megablock
promise map_without_debugfs_says_how
promise map_is_for_root
promise top_draws_pool_and_clients
promise bench_tests_this_machine
promise reserve_chooses_high_and_avoids_what_is_taken
promise reserve_takes_an_address
promise reserve_refuses_sizes_that_make_no_sense
promise reserve_escapes_the_dollar_for_grub
promise check_tells_whether_it_took
promise check_knows_an_eaten_dollar
promise check_without_a_reservation_says_how
promise remove_undoes_install
promise reserve_by_name_leaves_the_place_to_the_kernel
promise completion_knows_what_the_program_knows
echo "1..$tests"
exit $((failures != 0))
