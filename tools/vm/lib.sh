# shellcheck shell=bash
# SPDX-License-Identifier: MIT
#
# What tools/setup and the scripts in tools/vm share: messages, apt, and the cache of unpacked
# packages. A script sets `self` to its own name, then sources this file.

: "${self:?}"

say() { printf '%s: %s\n' "$self" "$*" >&2; }

# fail STATUS MESSAGE
fail() {
	local status=$1
	shift
	say "$*"
	exit "$status"
}

# require PROGRAM…: all of them, or it says how to get them
require() {
	local program
	for program; do
		command -v "$program" >/dev/null || fail 125 "$program is missing; run: tools/setup vm"
	done
}

# ---- apt -----------------------------------------------------------------------------------

apt_lists=/var/lib/apt/lists

# Why apt has no lists here, once it is known that none can be had.
why=

# debian_release: of this system, a number; nothing if it is none of Debian
debian_release() {
	sed -n 's/^VERSION_ID="\?\([0-9]*\).*/\1/p' /etc/os-release
}

# Waits for another apt's lock and retries network hiccups instead of failing at once.
apt_do() {
	DEBIAN_FRONTEND=noninteractive apt-get -q -y \
		-o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 -o APT::Sandbox::User=root \
		-o Acquire::Retries=3 -o Acquire::http::Timeout=30 -o Acquire::https::Timeout=30 "$@"
}

apt_has_lists() {
	compgen -G "$apt_lists/*Packages*" >/dev/null
}

# apt-get update itself does not wait for the lock on the lists: a second one fails at once. What a mirror
# does not carry will not come by asking again.
apt_update() {
	local attempt said gone='s/^E: The repository .\([^ ]*\) \([^ ]*\) Release. .*/\1 has no release \2/p'
	[ -w "$apt_lists" ] || { why="the package lists cannot be refreshed, not root (run: sudo apt-get update)"; return 1; }
	say "refreshing the package lists"
	for attempt in 1 2 3; do
		[ "$attempt" = 1 ] || sleep "$attempt"
		said=$(apt_do update 2>&1 >/dev/null) && return 0
		! grep -q ' does not have a Release file' <<<"$said" || break
	done
	why=$(sed -n "$gone; s/^[EW]: //p" <<<"$said" | head -n 1)
	why=${why:-apt-get update failed}
	return 1
}

# apt_retry COMMAND…: the command, once more after refreshing the lists when they are absent or it fails.
apt_retry() {
	if apt_has_lists; then
		"$@" && return 0
	fi
	apt_update && "$@"
}

# apt_apart NAME SETTING...: from here on apt has lists and settings of its own, kept in the cache under
# that name; the host's configuration and lists stay as they are.
apt_apart() {
	local state=$cache/apt-$1
	shift
	apt_lists=$state/lists
	mkdir -p "$apt_lists/partial" "$state/archives/partial"
	export APT_CONFIG=$state/apt.conf
	printf '%s;\n' "$@" "Dir::Cache \"$state\"" "Dir::State::lists \"$apt_lists\"" \
		'Dir::State::status "/dev/null"' >"$APT_CONFIG.$$"
	mv "$APT_CONFIG.$$" "$APT_CONFIG"
}

# apt_repositories: Debian's own among those that apt has here: URL, suite, components
apt_repositories() {
	# shellcheck disable=SC2016 # apt's own variables
	apt-get indextargets --format '$(SITE) $(RELEASE) $(COMPONENT) $(ORIGIN)' 'Created-By: Packages' |
		awk '$4 == "Debian" { components[$1 " " $2] = components[$1 " " $2] " " $3 }
			END { for (from in components) print from components[from] }' | sort
}

# apt_know_repositories: a system that never fetched lists does not know whose its repositories are.
apt_know_repositories() {
	[ -n "$(apt_repositories)" ] || { apt_update && [ -n "$(apt_repositories)" ]; } ||
		{ why=${why:-"apt has no repository of Debian's here"}; return 1; }
}

# apt_mirror [-security]: of these, the release itself, or what secures it
apt_mirror() {
	case ${1-} in
	-security) apt_repositories | grep -e -security ;;
	*) apt_repositories | grep -v -e -security -e -updates -e -backports ;;
	esac | head -n 1
}

# apt_carries SUITE...: apt has one of these here, by whatever name
apt_carries() {
	local names
	# shellcheck disable=SC2016 # apt's own variables
	names=$(apt-get indextargets --format '$(ORIGIN) $(CODENAME)
$(ORIGIN) $(RELEASE)' 'Created-By: Packages')
	grep -qxF "$(printf 'Debian %s\n' "$@")" <<<"$names"
}

# apt_sources SUITE...: these suites of the mirrors that apt has here, as lines of a sources.list. Those that
# secure a release are left out where apt has none here.
apt_sources() {
	local suite mirror
	for suite; do
		case $suite in
		*-security) read -r mirror _ < <(apt_mirror -security) || continue ;;
		*) read -r mirror _ < <(apt_mirror) || return ;;
		esac
		echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $suite main"
	done
}

# apt_suites SUITE...: apt sees these suites of the same mirrors, and nothing else, and if `arch` is set,
# packages for that and, named with it, for this machine's own architecture.
apt_suites() {
	local sources list settings=()
	apt_know_repositories || return
	sources=$(apt_sources "$@") || return
	list=$cache/apt-$1${arch:+-$arch}-$(cksum <<<"$sources" | cut -d ' ' -f 1)
	apt_architectures
	mkdir -p "$list"
	apt_apart "${list#"$cache/apt-"}" "Dir::Etc::sourcelist \"$list/sources.list\"" \
		'Dir::Etc::sourceparts "/dev/null"' 'Acquire::Languages "none"' "${settings[@]}"
	printf '%s\n' "$sources" >"$list/sources.list.$$"
	mv "$list/sources.list.$$" "$list/sources.list"
}

# apt_with SUITE...: apt sees one of these suites at least: as it is here, if it has one, and else in lists
# of their own. With `arch` as above.
apt_with() {
	local settings=()
	if apt_carries "$@"; then
		[ -n "${arch-}" ] || return 0
		apt_architectures
		apt_apart "$arch" "${settings[@]}"
	else
		apt_suites "$@"
	fi
}

apt_architectures() {
	[ -z "${arch-}" ] || settings=("APT::Architecture \"$arch\""
		"APT::Architectures { \"$arch\"; \"$(dpkg --print-architecture)\"; }")
}

# apt_field FIELD PACKAGE: a field of the version apt would install
apt_field() {
	apt-cache show --no-all-versions "$2" 2>/dev/null | sed -n "s/^$1: //p;/^\$/q"
}

# ---- the cache -----------------------------------------------------------------------------

cache=${XDG_CACHE_HOME:-${HOME:?}/.cache}/pagespan

# cached_newest GLOB: the newest directory that matches
cached_newest() {
	compgen -G "$1" | sort -V | tail -n 1
}

# unpacked NAME GLOB: prints the directory of what NAME stands for today, downloading it if need be.
# The caller defines   resolve          prints the directory's path, from the package lists; and
#                      download DIR TMP fills TMP, which becomes DIR.
# What NAME resolved to is remembered until the package lists change. Without a network, or if apt is known to
# have no lists, the newest directory that matches GLOB serves; and if there is none, what resolve or download
# said last is why.
unpacked() {
	local name=$1 glob=$2 pointer=$cache/$1.current dir
	unpacked_now "$pointer" && return
	mkdir -p "${pointer%/*}"
	exec 9>"$pointer.lock"
	flock -n 9 || { say "waiting for another download of ${name##*/}"; flock 9; }
	unpacked_now "$pointer" && return
	if [ -z "$why" ] && apt_retry unpacked_fetch; then
		rm -f "$pointer.why"
		unpacked_now "$pointer"
	elif [ -n "$glob" ] && dir=$(cached_newest "$glob"); then
		say "the package archive is out of reach${why:+ ($why)}: using $(basename "$dir")"
		printf '%s\n' "$dir"
	else
		[ -n "$why" ] || why=$(tail -qn 1 "$pointer.why" 2>/dev/null) || true
		rm -f "$pointer.why"
		fail 1 "cannot get ${name##*/}${why:+: ${why#"$self: "}}"
	fi
}

# Fails when the pointer is missing, older than the package lists, or points nowhere.
unpacked_now() {
	local dir
	[ "$1" -nt "$apt_lists" ] && read -r dir <"$1" && [ -d "$dir" ] && printf '%s\n' "$dir"
}

unpacked_fetch() {
	local dir
	dir=$(resolve 2>"$pointer.why") || return
	if [ ! -d "$dir" ]; then
		rm -rf "$dir.tmp"
		mkdir -p "$dir.tmp"
		download "$dir" "$dir.tmp" 2> >(tee "$pointer.why" >&2) >&2 || { rm -rf "$dir.tmp"; return 1; }
		mv -T "$dir.tmp" "$dir"
	fi
	printf '%s\n' "$dir" >"$pointer.tmp"
	mv "$pointer.tmp" "$pointer"
}
