#!/bin/bash
# SPDX-License-Identifier: MIT
#
# What a machine lacks, or is asked for in vain: the scripts that build, download and demonstrate say in one line
# what is missing and what to do about it, fail, and leave nothing half made in the cache. The machines are
# imitated, by a mirror with next to nothing on it and by programs that stand before those of the system.
# shellcheck disable=SC2016 # dollar signs are meant
set -euo pipefail

cd "$(dirname "$0")/../.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
readonly cache=$work/cache bin=$work/bin nothing=$work/nothing
export XDG_CACHE_HOME=$cache BUILD=$work/build
compiler=$(uname -m)-linux-gnu-gcc-99
tests=0
failures=0

# promise NAME: the function of that name succeeds
promise() {
	local status=0
	tests=$((tests + 1))
	# A subshell of its own, so that set -e holds in it.
	set +e
	(set -e; rm -rf "$cache" "$bin"; "$1") >"$work/log" 2>&1
	status=$?
	set -e
	if [ "$status" = 0 ]; then
		echo "ok $tests bad_input.$1"
	else
		failures=$((failures + 1))
		sed 's/^/# /' "$work/log"
		echo "not ok $tests bad_input.$1"
	fi
}

# ends STATUS COMMAND...: with the status; what it says is in $work/err, and in the log
ends() {
	local expected=$1 status=0
	shift
	"$@" >"$work/out" 2>"$work/err" </dev/null || status=$?
	cat "$work/err"
	[ "$status" = "$expected" ]
}

# refused STATUS LINE COMMAND...: ends with the status, and but for what it is about to do says this line alone
refused() {
	ends "$1" "${@:3}"
	[ "$(grep -vE ': (refreshing|making|installing) ' "$work/err")" = "$2" ]
}

# gives_up STATUS PATTERN COMMAND...: ends with the status and such a line, after what a program of the system said
gives_up() {
	ends "$1" "${@:3}"
	# shellcheck disable=SC2053 # a pattern
	[[ $(tail -n 1 "$work/err") = $2 ]]
}

# stands_for PROGRAM LINE...: from here on a script of these lines
stands_for() {
	mkdir -p "$bin"
	printf '%s\n' '#!/bin/sh' "${@:2}" >"$bin/$1"
	chmod 755 "$bin/$1"
	PATH=$bin:${PATH#"$bin:"}
}

nobody_is_root() {
	stands_for id 'echo 1000'
}

nothing_is_installed() {
	stands_for dpkg-query
}

# without PROGRAM: a system that lacks it
without() {
	mkdir "$bin"
	ln -s /usr/bin/* "$bin"
	rm -f "$bin/$1"
	PATH=$bin
}

# headers DIRECTORY: of a kernel that none of the compilers here can build for
headers() {
	mkdir -p "$1/include/generated"
	echo '#define UTS_RELEASE "9.9.9-amd64"' >"$1/include/generated/utsrelease.h"
	echo 'CC = $(if $(DEBIAN_KERNEL_USE_CCACHE),$(CCACHE)) $(CROSS_COMPILE)gcc-99' >"$1/.kernelvariables"
}

# package NAME [DEPENDS]: an entry of the mirror's list, with a file behind it or not, as it comes to be there
package() {
	printf 'Package: %s\nVersion: 7.3.4-1\nArchitecture: amd64\nDepends: %s\nFilename: pool/%s.deb\nSize: 2\n' \
		"$1" "${2-}" "$1"
	printf 'SHA256: %s\n\n' "$(echo x | sha256sum | cut -d ' ' -f 1)"
}

# mirror_has SUITE: apt has a mirror with that suite alone. It lists a kernel, of which one package can be had.
mirror_has() {
	local dist=$work/mirror/dists/$1 list=main/binary-amd64/Packages release=7.3.4+deb13
	rm -rf "$work/mirror" "$work/apt"
	mkdir -p "$dist/${list%/*}" "$work/mirror/pool" "$work/apt/lists/partial"
	{
		package base-files
		package linux-image-amd64 "linux-image-$release-amd64 (= 7.3.4-1)"
		package "linux-image-$release-amd64"
		package "linux-headers-$release-amd64" "linux-headers-$release-common, linux-kbuild-$release"
		package "linux-headers-$release-common"
		package "linux-kbuild-$release"
	} >"$dist/$list"
	echo x >"$work/mirror/pool/linux-kbuild-$release.deb"
	printf '%s\n' 'Origin: Debian' "Codename: $1" "Date: $(date -uR)" 'Components: main' 'Architectures: amd64' \
		SHA256: " $(sha256sum <"$dist/$list" | cut -d ' ' -f 1) $(stat -c %s "$dist/$list") $list" >"$dist/Release"
	echo "deb [trusted=yes] file:$work/mirror $1 main" >"$work/apt/sources.list"
	printf '%s;\n' "Dir::Etc::sourcelist \"$work/apt/sources.list\"" 'Dir::Etc::sourceparts "/dev/null"' \
		"Dir::State::lists \"$work/apt/lists\"" "Dir::Cache \"$work/apt\"" \
		'Dir::State::status "/dev/null"' >"$work/apt/apt.conf"
	export APT_CONFIG=$work/apt/apt.conf
	apt-get -q update
}

# What is there afterwards: lists of packages, locks, and nothing that could be taken for what was wanted.
cache_is_empty() {
	local left
	left=$(find "$cache/pagespan" -mindepth 1 -path "$cache/pagespan/apt-*" -prune -o -type f -not -name '*.lock' -print \
		-o -type d -name '*_*' -print)
	echo "$left"
	[ -z "$left" ]
}

# ---- kernels, headers, compilers -------------------------------------------------------------

kernel_without_headers_names_their_package() {
	refused 1 "tools/build-module: no headers of a kernel in $nothing; run: apt-get install linux-headers-amd64 (or pass KDIR= or KVER=)" \
		tools/build-module --kdir "$nothing"
	refused 1 "tools/build-module: no headers of a kernel in /lib/modules/9.9.9-amd64/build; run: apt-get install linux-headers-9.9.9-amd64 (or pass KDIR= or KVER=)" \
		tools/build-module 9.9.9-amd64
	refused 1 "tools/kernel-make: no headers of a kernel in $nothing; run: apt-get install linux-headers-amd64" \
		tools/kernel-make "$nothing" M="$work/module"
}

headers_without_their_compiler_name_it() {
	headers "$work/headers"
	refused 1 "tools/kernel-make: the headers of 9.9.9-amd64 want $compiler, which is missing; run: apt-get install gcc-99" \
		tools/build-module --kdir "$work/headers"
}

headers_of_another_release_want_its_compiler_or_root() {
	headers "$work/kernel/usr/src/linux-headers-9.9.9-amd64"
	echo 'forky gcc-99-for-host libc6' >"$work/kernel/toolchain"
	nobody_is_root
	refused 1 "tools/kernel-make: the headers of 9.9.9-amd64 want gcc-99-for-host of Debian forky: install it, or let root make a chroot of it" \
		tools/build-module --kdir "$work/kernel/usr/src/linux-headers-9.9.9-amd64"
}

# ---- mirrors ---------------------------------------------------------------------------------

mirror_without_the_release_is_named() {
	mirror_has bookworm
	refused 1 "tools/vm/kernel: cannot get 7.3: file:$work/mirror has no release trixie-backports" tools/vm/kernel 7.3
	refused 1 "tools/chroot: cannot get forky: file:$work/mirror has no release forky" tools/chroot kept forky gcc
	cache_is_empty
}

apt_without_a_repository_of_debian_is_told() {
	mirror_has bookworm
	: >"$work/apt/sources.list"
	refused 1 "tools/vm/kernel: cannot get 7.3: apt has no repository of Debian's here" tools/vm/kernel 7.3
	refused 1 "tools/chroot: no release of Debian can be had: apt has no repository of Debian's here" \
		tools/chroot kept trixie gcc
	cache_is_empty
}

kernel_of_which_a_package_is_missing_leaves_nothing() {
	mirror_has trixie-backports
	gives_up 1 'tools/vm/kernel: cannot get 7.3: *Failed to fetch file:*/pool/linux-*.deb*' tools/vm/kernel 7.3
	cache_is_empty
}

chroot_that_cannot_be_made_leaves_nothing() {
	mirror_has trixie
	stands_for debootstrap 'mkdir -p "$3/bin"; : >"$3/bin/sh"; echo "E: no more space"; exit 1'
	gives_up 1 'tools/chroot: cannot get trixie: E: no more space' tools/chroot kept trixie gcc
	cache_is_empty
}

# ---- the VM and the demonstration ------------------------------------------------------------

architecture_without_an_emulator_names_the_setup() {
	without qemu-system-aarch64
	refused 125 'tools/vm/run: qemu-system-aarch64 is missing; run: tools/setup arm64' \
		tools/vm/run --arch arm64 --no-module -- true
}

unknown_kernels_are_named_with_the_known_ones() {
	refused 1 "demo: failed: unknown kernel '5.9' (known: 7.3, 7.2, 6.12, 6.1)" env KERNEL=5.9 tools/demo
	refused 2 "tools/vm/kernel: unknown kernel '5.9' (known: $(tools/vm/kernel --help | sed -n 's/^VERSION is one of \(.*\)\.$/\1/p'))" \
		tools/vm/kernel 5.9
}

demo_of_what_is_no_directory_or_number_fails_at_once() {
	refused 1 "demo: failed: no such directory: $nothing" tools/demo "$nothing"
	refused 1 "demo: failed: POOL_MB is a number of MiB, not 'much'" env POOL_MB=much tools/demo kmod
}

demo_fails_if_its_kernel_cannot_be_had() {
	mirror_has bookworm
	stands_for make
	refused 1 "tools/vm/kernel: cannot get 7.3: file:$work/mirror has no release trixie-backports" \
		env KERNEL=7.3 tools/demo kmod
}

demo_fails_if_setup_does() {
	nothing_is_installed
	nobody_is_root
	refused 1 "tools/setup: not root, and missing: $(tools/setup --help | sed -n 's/^build: *\|^vm: *//p' | xargs); run: sudo tools/setup build vm" \
		tools/demo
}

packages_that_apt_does_not_have_are_named() {
	mirror_has bookworm
	nothing_is_installed
	gives_up 1 'tools/setup: could not install bc bison flex libelf-dev libssl-dev' tools/setup debug
}

machine_without_apt_is_told_the_packages() {
	without apt-get
	refused 1 "tools/setup: no apt here; these Debian packages, or what they are called elsewhere, are needed: bc bison flex libelf-dev libssl-dev" \
		tools/setup debug
}

# An option that lacks its value, or an argument that lacks: bash would say so in words of its own.
missing_arguments_are_wrong_usage() {
	local command
	for command in 'tools/vm/run --kernel' 'tools/vm/run --mem' 'tools/vm/run' 'tools/vm/kernel' 'tools/vm/kernel --headers' \
		'tools/vm/linux-source' 'tools/vm/linux-source --whole' 'tools/vm/busybox' 'tools/vm/trouble' \
		'tools/build-module --kdir' 'tools/kernel-make' 'tools/setup' 'tools/chroot' \
		'tools/chroot unpack' 'tools/chroot kept trixie' 'tools/chroot run --bind /a --bind /b' 'tools/pagespan-run' \
		'selftests/run' 'selftests/debug/kernel'; do
		echo "$command"
		# shellcheck disable=SC2086 # a command and its arguments
		ends 2 $command
		if grep -E 'unbound variable|parameter null or not set|line [0-9]+:' "$work/err"; then return 1; fi
	done
}

echo "TAP version 13"
promise kernel_without_headers_names_their_package
promise headers_without_their_compiler_name_it
promise headers_of_another_release_want_its_compiler_or_root
promise mirror_without_the_release_is_named
promise apt_without_a_repository_of_debian_is_told
promise kernel_of_which_a_package_is_missing_leaves_nothing
promise chroot_that_cannot_be_made_leaves_nothing
promise architecture_without_an_emulator_names_the_setup
promise unknown_kernels_are_named_with_the_known_ones
promise demo_of_what_is_no_directory_or_number_fails_at_once
promise demo_fails_if_its_kernel_cannot_be_had
promise demo_fails_if_setup_does
promise packages_that_apt_does_not_have_are_named
promise machine_without_apt_is_told_the_packages
promise missing_arguments_are_wrong_usage
echo "1..$tests"
exit $((failures != 0))
