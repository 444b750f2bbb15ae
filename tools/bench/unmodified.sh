#!/bin/bash
# SPDX-License-Identifier: MIT
#
# redis-server, sqlite3 and python3, as Debian builds them, and buffers of all sizes, in a VM: on spans of
# the device, on jemalloc and on glibc's malloc; the buffers here too, on spans of the memory backend. Either only that they are right, have their memory in spans and give it back;
# or also how long they take, as a table and as build/bench/unmodified.json.
set -euo pipefail

readonly self=bench-unmodified
cd "$(dirname "$0")/../.."
export BUILD=${BUILD:-build}
readonly stage=$BUILD/obj/unmodified json=$BUILD/bench/unmodified.json
readonly kernel=6.1 python=/usr/bin/python3 pool=512M pool_at=768M

usage() {
	cat <<END
Usage: tools/bench/unmodified.sh [--check]
  --check  a short run on spans alone, whose output is KTAP
BENCH_RUNS in the environment says how many runs the figures are the median of, by default 3.
END
}

fail() {
	printf '%s: failed: %s\n' "$self" "$*" >&2
	exit 1
}

# What the programs print here, and the modules that python loads for it.
prepare() {
	local scale=$1 module
	make --no-print-directory -s "$BUILD/bench/buffers"
	rm -rf "$stage"
	mkdir -p "$stage/programs" "$BUILD/bench"
	install -m 755 tools/bench/unmodified_guest.sh "$stage/programs/guest"
	install -m 755 tools/bench/buffers.sh "$stage/programs/buffers.sh"
	cp tools/bench/unmodified.py "$stage/programs/"
	sed "s/SCALE/$scale/g" tools/bench/unmodified.sql >"$stage/programs/script.sql"
	sqlite3 :memory: <"$stage/programs/script.sql" >"$stage/programs/sqlite3.expected"
	"$python" -IS tools/bench/unmodified.py "$scale" /dev/null "$stage/modules" >"$stage/programs/python3.expected"
	while read -r module; do
		[ ! -f "$module" ] || [[ $module != /usr/lib/* ]] || cp -L --parents "$module" "$stage"
	done <"$stage/modules"
	mkdir -p "$stage"/usr/lib/python3.*/lib-dynload
	ln -s "$(command -v redis-check-rdb)" "$stage/redis-server"
}

# guest [OPTION...] -- COMMAND...: with the programs and the device
guest() {
	tools/vm/run --kernel "$kernel" --mem 1536 --timeout "$timeout" \
		--append "memmap=$pool\$$pool_at" --insmod "phys=$pool_at,$pool" \
		--program "$BUILD/bin/pagespan-run" --program "$stage/redis-server" \
		--program "$(command -v redis-cli)" --program "$(command -v redis-benchmark)" \
		--program "$(command -v sqlite3)" --program "$python" --program "$BUILD/bench/buffers" \
		--file "$BUILD/lib/libpagespan.so.1:/lib/libpagespan.so.1" \
		--file "$BUILD/lib/libpagespan-jemalloc.so:/lib/libpagespan-jemalloc.so" \
		--file "$stage/usr/lib:/usr/lib" --file "$stage/programs:/programs" "$@"
}

# Buffers: timed here, on spans of the memory backend, and counted in a guest on those of the device.
buffers() {
	for _ in $(seq "$1"); do
		PATH=$PWD/$BUILD/bin:$PWD/$BUILD/bench:$PATH tools/bench/buffers.sh memory 1 pagespan jemalloc glibc
	done
	guest --icount -- /programs/buffers.sh device 1 pagespan jemalloc glibc
}

make_json() {
	# shellcheck disable=SC2016 # the dollars are jq's
	jq -Rn '
		def at($share): sort | .[(length - 1) * $share | round];
		{
			benchmark: "unmodified",
			revision: $revision,
			environment: {cpu: "QEMU", kernel: $kernel, compiler: "as packaged by Debian", cores: 2},
			results: [
				[inputs | split("\t") | select(.[0] == "figure")] |
				group_by(.[1:5])[] | {
					workload: .[0][1], subject: .[0][4], metric: .[0][2], unit: .[0][3],
					median: map(.[5] | tonumber) | at(0.5), p10: map(.[5] | tonumber) | at(0.1),
					p90: map(.[5] | tonumber) | at(0.9), runs: length
				}
			],
			goals: []
		}' --arg revision "$(git describe --always --dirty 2>/dev/null || echo unknown)" \
		--arg kernel "$(tools/vm/kernel --release "$kernel")"
}

# Only the ratios mean something: a guest's clock goes on while others use the machine.
print_table() {
	jq -r '
		def left($width): . + " " * ($width - length);
		def right($width): " " * ($width - length) + .;
		def figure: if . == null then "-" elif . < 100 then . * 100 | round / 100 else round end | tostring;
		def ratio($a; $b): if $b > 0 then $a / $b | figure else "-" end;
		"medians of \(.results[0].runs) runs, but for the memory backend in a VM, Linux \(.environment.kernel)\n",
		("" | left(42)) + (["pagespan", "jemalloc", "glibc", "to jemalloc", "to glibc"] | map(right(13)) | add),
		(.results | group_by([.workload, .metric])[] |
			(map({key: .subject, value: .median}) | from_entries) as $of |
			("\(.[0].workload), \(.[0].metric)\(if .[0].unit == "" then "" else " (\(.[0].unit))" end)" | left(42)) +
			([$of.pagespan, $of.jemalloc, $of.glibc | figure | right(13)] | add) +
			([ratio($of.pagespan; $of.jemalloc), ratio($of.pagespan; $of.glibc) | right(13)] | add))
	' "$1"
}

main() {
	case ${1-} in
	'' | --check) ;;
	-h | --help) usage; exit 0 ;;
	*) usage >&2; exit 2 ;;
	esac
	tools/setup build vm programs
	if [ "${1-}" = --check ]; then
		timeout=600
		prepare 6
		guest -- /programs/guest 1 6 pagespan | grep -v '^figure'
		return
	fi
	tools/build-module "$kernel" >/dev/null
	timeout=3000
	prepare 12
	{
		buffers "${BENCH_RUNS:-3}"
		guest -- /programs/guest "${BENCH_RUNS:-3}" 12 pagespan jemalloc glibc
	} | tee "$stage/lines" | grep -v '^figure' || true
	if grep '^not ok' "$stage/lines" || ! grep -q '^ok' "$stage/lines"; then
		fail "a program did not work"
	fi
	make_json <"$stage/lines" >"$stage/json"
	mv "$stage/json" "$json"
	print_table "$json"
}

main "$@"
