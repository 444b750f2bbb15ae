#!/bin/bash
# SPDX-License-Identifier: MIT
#
# The other release of Debian, 13 on 12 and 12 on 13, as far as a chroot of it shows: the demo as a newcomer
# gives it, from nothing but make; the library's tests with its compilers; and the packages, built there,
# installed and their module built by DKMS, as selftests/packages.sh does for this release. The kernels that are
# unpacked here serve there too.
set -euo pipefail

readonly self=other_debian.sh
cd "$(dirname "$0")/.."
# shellcheck source=tools/vm/lib.sh
. tools/vm/lib.sh

usage() {
	cat <<END
Usage: selftests/$self [demo | library | packages]...
END
}

case $(debian_release) in
12) readonly other=trixie compilers='gcc-14 clang-19' ;;
*) readonly other=bookworm compilers='gcc-12 clang-14' ;;
esac
parts=(demo library packages)
[[ ${1-} != -* ]] || { usage >&2; exit 2; }
[ $# = 0 ] || parts=("$@")
work=$(mktemp -d)
root=$work/root
trap 'rm -rf "$work"' EXIT
tests=0
failures=0

# promise NAME COMMAND...
promise() {
	local name=$1
	shift
	tests=$((tests + 1))
	if "$@" >"$work/log" 2>&1 </dev/null; then
		echo "ok $tests $other.$name"
	else
		failures=$((failures + 1))
		{ grep -B 12 '^\(# \)*not ok' "$work/log" || tail -n 50 "$work/log"; } | sed 's/^/#   /'
		echo "not ok $tests $other.$name"
	fi
}

# there COMMAND...: in the directory of the project there; what it finds in the cache was made here, or stays for here
there() {
	tools/chroot run --bind "$cache/kernels:/root/.cache/pagespan/kernels" \
		--bind "$cache/chroot/clean:/root/.cache/pagespan/chroot/clean" --bind "$harness" "$root" \
		sh -ec 'cd /pagespan; exec "$@"' sh "$@"
}

# The tree as it is here, whatever of it is committed.
is_unpacked() {
	tools/chroot unpack "$root" "$other" make && mkdir "$root/pagespan" &&
		git ls-files -z --cached --others --exclude-standard | tar --null --ignore-failed-read -T - -c |
			tar -x -C "$root/pagespan"
}

demo_is_ok() {
	there make demo INPUT=kmod && tail -n 1 "$work/log" | grep '^demo: ok'
}

is_set_up_for_tests() {
	there tools/setup build test programs
}

# library_passes_with COMPILER
library_passes_with() {
	there make -j"$(nproc)" BUILD="build/$1" CC="$1" KSELFTESTS="$harness" lib lib-tests-quick &&
		there env BUILD="build/$1" bash -c '. selftests/run && lib_tests_quick'
}

packages_are_installed_and_built() {
	there tools/setup build vm package && there selftests/packages.sh
}

mkdir -p "$cache/kernels" "$cache/chroot/clean"
harness=$(tools/vm/linux-source 6.1)/tools/testing/selftests
echo "TAP version 13"
promise is_unpacked is_unpacked
for part in "${parts[@]}"; do
	case $part in
	demo) promise demo_is_ok demo_is_ok ;;
	library)
		promise is_set_up_for_tests is_set_up_for_tests
		for compiler in $compilers; do
			promise "library_passes_with_$compiler" library_passes_with "$compiler"
		done ;;
	packages) promise packages_are_installed_and_built packages_are_installed_and_built ;;
	*) usage >&2; exit 2 ;;
	esac
done
echo "1..$tests"
exit $((failures != 0))
