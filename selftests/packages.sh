#!/bin/bash
# SPDX-License-Identifier: MIT
#
# The Debian packages, in a clean Debian: lintian, installing, building on them, DKMS for the kernels of
# the VM, upgrading, removing and purging. The modules that DKMS built remain in BUILD/packages.
# shellcheck disable=SC2016 # dollar signs and backticks are meant
set -euo pipefail

cd "$(dirname "$0")/.."
build=${BUILD:-build}
kept=$build/packages
work=$(mktemp -d)
root=$work/root
trap 'rm -rf "$work"' EXIT
first=0.2.0 second=0.2.1
tests=0
failures=0

# promise NAME COMMAND...
promise() {
	local name=$1 status=0
	shift
	tests=$((tests + 1))
	# A subshell of its own, so that set -e holds in it.
	set +e
	(set -e; "$@") >"$work/log" 2>&1
	status=$?
	set -e
	if [ "$status" = 0 ]; then
		echo "ok $tests packages.$name"
	else
		failures=$((failures + 1))
		tail -n 50 "$work/log" | sed 's/^/# /'
		echo "not ok $tests packages.$name"
	fi
}

in_root() {
	tools/chroot run "$root" "$@"
}

packages_of() {
	(cd "$build/deb" && ls pagespan-dkms_"$1"_*.deb libpagespan1_"$1"_*.deb libpagespan-dev_"$1"_*.deb \
		pagespan-tools_"$1"_*.deb)
}

are_built() {
	tools/deb "$first" && tools/deb "$second"
	[ "$(packages_of "$first" | wc -l)" = 4 ]
}

please_lintian() {
	lintian --allow-root --fail-on error,warning,info -i --tag-display-limit 0 \
		"$build"/deb/*_"$first"_*.changes
}

# apt VERSION VERB: with all four packages of a version
apt() {
	local packages
	mapfile -t packages < <(packages_of "$1")
	mkdir -p "$root/debs"
	cp "${packages[@]/#/$build/deb/}" "$root/debs"
	in_root apt-get -qy --allow-downgrades "$2" "${packages[@]/#//debs/}"
}

installed_version() {
	in_root dpkg-query -W -f '${Version} ${db:Status-Status}' "$1"
}

install() {
	apt "$first" install
	[ "$(installed_version pagespan-dkms)" = "$first installed" ]
}

program() {
	mkdir -p "$root/src"
	sed -n '/^```c$/,/^```$/{/^```/!p}' README.md >"$root/src/program.c"
	cat >"$root/src/CMakeLists.txt" <<-'END'
		cmake_minimum_required(VERSION 3.10)
		project(program C)
		find_package(pagespan 0.1 REQUIRED)
		add_executable(shared program.c)
		target_link_libraries(shared pagespan::pagespan)
		add_executable(static program.c)
		target_link_libraries(static pagespan::static)
	END
}

# runs PROGRAM: the README's, which says so
runs() {
	[ "$(in_root env PAGESPAN_BACKEND=memory "$1")" = 'nine pages from the memory backend' ]
}

program_builds_with_pkg_config() {
	in_root sh -ec 'cd /src && cc -Wall -Wextra -Werror program.c $(pkg-config --cflags --libs pagespan) -o program'
	runs /src/program
}

program_builds_with_cmake() {
	in_root sh -ec 'cmake -S /src -B /src/build && cmake --build /src/build'
	runs /src/build/shared
	runs /src/build/static
	[[ $(in_root ldd /src/build/shared) = *libpagespan.so.1* ]]
	[[ $(in_root ldd /src/build/static) != *libpagespan* ]]
}

cmake_refuses_a_version_that_is_not_there() {
	sed 's/pagespan 0.1/pagespan 2/' "$root/src/CMakeLists.txt" >"$work/CMakeLists.txt"
	mkdir -p "$root/later"
	cp "$root/src/program.c" "$work/CMakeLists.txt" "$root/later"
	if in_root cmake -S /later -B /later/build; then return 1; fi
}

group_and_rules_are_there() {
	grep -q '^pagespan:' "$root/etc/group"
	grep -q 'GROUP="pagespan"' "$root/usr/lib/udev/rules.d/60-pagespan.rules"
	[ -s "$root/usr/share/doc/pagespan-dkms/examples/modprobe.d/pagespan.conf" ]
	[ -s "$root/usr/share/doc/pagespan-dkms/examples/modules-load.d/pagespan.conf" ]
}

program_is_the_packages() {
	[ "$(in_root pagespanctl --version)" = "pagespanctl $first" ]
	in_root pagespanctl doctor >"$work/said" || [ $? = 1 ]
	grep -q 'Do this next' "$work/said"
}

unmodified_programs_run_on_spans() {
	in_root pagespan-run --backend memory --stats perl -e 'print 6 * 7' >"$work/said" 2>"$work/stats"
	[ "$(cat "$work/said")" = 42 ]
	grep -q '^pagespan: memory backend' "$work/stats"
}

# release KERNEL: of what the VM boots
release() {
	tools/vm/kernel --release "$1"
}

dkms_builds() {
	local release
	release=$(release "$1")
	in_root dkms install "pagespan/$first" -k "$release" --force
	[[ $(in_root dkms status -m pagespan -k "$release") = "pagespan/$first, $release, "*installed* ]]
	mkdir -p "$kept"
	rm -f "$kept/$1.ko"
	cp "$root/lib/modules/$release/updates/dkms/pagespan.ko"* "$kept/"
	[ ! -e "$kept/pagespan.ko.xz" ] || xz -df "$kept/pagespan.ko.xz"
	mv "$kept/pagespan.ko" "$kept/$1.ko"
}

upgrade() {
	apt "$second" install
	[ "$(installed_version libpagespan1)" = "$second installed" ]
	[[ $(in_root dkms status -m pagespan) = *"pagespan/$second"* ]]
	[[ $(in_root dkms status -m pagespan) != *"pagespan/$first"* ]]
	runs /src/program
	[ "$(in_root pagespanctl --version)" = "pagespanctl $second" ]
}

remove() {
	in_root apt-get -qy remove pagespan-dkms libpagespan1 libpagespan-dev pagespan-tools
	[ -z "$(in_root dkms status -m pagespan)" ]
	if in_root sh -c 'command -v pagespanctl'; then return 1; fi
	if runs /src/program; then return 1; fi
}

# What the system itself wrote about it aside.
purge_leaves_nothing() {
	local left
	in_root dpkg --purge pagespan-dkms libpagespan1 libpagespan-dev pagespan-tools
	left=$(find "$root" -xdev -name '*pagespan*' -not -path "$root/proc/*" -not -path "$root/debs/*" \
		-not -path "$root/src/*")
	echo "$left"
	[ -z "$left" ]
	[[ $(in_root dpkg -l) != *pagespan* ]]
}

echo "TAP version 13"
promise are_built are_built
promise please_lintian please_lintian
promise clean_debian_is_unpacked tools/chroot unpack "$root"
promise install install
program
promise group_and_rules_are_there group_and_rules_are_there
promise program_is_the_packages program_is_the_packages
promise unmodified_programs_run_on_spans unmodified_programs_run_on_spans
promise program_builds_with_pkg_config program_builds_with_pkg_config
promise program_builds_with_cmake program_builds_with_cmake
promise cmake_refuses_a_version_that_is_not_there cmake_refuses_a_version_that_is_not_there
for kernel in $(tools/chroot kernels); do
	promise "dkms_builds_for_$kernel" dkms_builds "$kernel"
done
promise upgrade upgrade
promise remove remove
promise purge_leaves_nothing purge_leaves_nothing
echo "1..$tests"
exit $((failures != 0))
