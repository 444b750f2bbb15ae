#!/bin/bash
# SPDX-License-Identifier: MIT
#
# Programs that know nothing of spans, run by pagespan-run on the memory backend, print what they print
# without it; and what pagespan-run says of those that it cannot run.
#
# usage: unmodified.sh BUILD
set -euo pipefail

cd "$(dirname "$0")/../.."
build=$(realpath "${1:?usage: unmodified.sh BUILD}")
run=$build/bin/pagespan-run
tmp=$(mktemp -d)
server=''
tests=0
failures=0
# Those that Debian packages.
export PATH=/usr/bin:/bin PAGESPAN_BACKEND=memory PAGESPAN_MEMORY_MB=2048

cleanup() {
	[ -z "$server" ] || kill -9 "$server" 2>/dev/null || true
	rm -rf "$tmp"
}
trap cleanup EXIT

# promise NAME COMMAND...
promise() {
	local name=$1 status=0
	shift
	tests=$((tests + 1))
	set +e
	(set -e; "$@") >"$tmp/log" 2>&1
	status=$?
	set -e
	if [ "$status" = 0 ]; then
		echo "ok $tests unmodified.$name"
	else
		failures=$((failures + 1))
		sed 's/^/# /' "$tmp/log"
		echo "not ok $tests unmodified.$name"
	fi
}

# same PROGRAM [ARG...]: the same output and status with spans as without; and there were spans.
same() {
	local expected=0 status=0
	"$@" >"$tmp/expected" || expected=$?
	PAGESPAN_STATS=1 "$run" "$@" >"$tmp/output" 2>"$tmp/errors" || status=$?
	[ "$status" = "$expected" ]
	cmp "$tmp/expected" "$tmp/output"
	grep -q 'spans allocated [1-9]' "$tmp/errors"
}

# As ls closes standard error before the counters are printed.
ls_lists_the_same() {
	ls -lR kmod lib >"$tmp/expected"
	"$run" ls -lR kmod lib >"$tmp/output"
	cmp "$tmp/expected" "$tmp/output"
}

sqlite3_answers_the_same() {
	sed 's/SCALE/4/g' tools/bench/unmodified.sql >"$tmp/script.sql"
	same sqlite3 :memory: ".read $tmp/script.sql"
}

# os.fork beside threads, multiprocessing.
python3_prints_the_same() {
	same python3 -I tools/bench/unmodified.py 3
}

python3_starts_processes_in_every_way() {
	cat >"$tmp/processes.py" <<-'END'
		import multiprocessing, subprocess, sys
		def work(n):
		    return sum(len(str(i)) for i in range(n))
		if __name__ == "__main__":
		    for method in "fork", "spawn", "forkserver":
		        with multiprocessing.get_context(method).Pool(2) as pool:
		            print(method, pool.map(work, [10000, 20000, 30000]))
		    print(subprocess.run([sys.executable, "-c", "print(len(bytearray(10**7)))"],
		                         stdout=subprocess.PIPE).stdout)
	END
	same python3 -I "$tmp/processes.py"
}

redis() {
	redis-cli -s "$tmp/redis.socket" "$@"
}

# start_redis [COMMAND...]: in front of the server
start_redis() {
	"$@" "$tmp/redis-server" --port 0 --unixsocket "$tmp/redis.socket" --dir "$tmp" --save '' \
		--enable-debug-command yes >"$tmp/redis.log" 2>&1 &
	server=$!
	until [ "$(redis ping 2>/dev/null)" = PONG ]; do
		kill -0 "$server"
		sleep 0.1
	done
}

stop_redis() {
	redis shutdown nosave || true
	wait "$server"
	server=''
}

# A background save forks, and what it writes a server without spans reads.
redis_saves_in_the_background() {
	local digest
	ln -s "$(command -v redis-check-rdb)" "$tmp/redis-server"
	start_redis env PAGESPAN_STATS=1 "$run"
	redis-benchmark -s "$tmp/redis.socket" -q -c 4 -n 5000 -r 3000 -d 2000 -t set,lpush,hset
	redis bgsave
	redis-benchmark -s "$tmp/redis.socket" -q -c 4 -n 3000 -r 3000 -d 1000 -t get,lpop
	while redis info persistence | grep -q 'bgsave_in_progress:1'; do
		sleep 0.1
	done
	redis bgsave
	while redis info persistence | grep -q 'bgsave_in_progress:1'; do
		sleep 0.1
	done
	redis info persistence | grep -q 'rdb_last_bgsave_status:ok'
	digest=$(redis debug digest)
	stop_redis
	grep -q 'most of both [1-9][0-9][0-9][0-9]' "$tmp/redis.log"
	start_redis
	[ "$digest" = "$(redis debug digest)" ]
	stop_redis
}

# fails STATUS MESSAGE ARG...: what pagespan-run says then, and nothing else
fails() {
	local expected=$1 message=$2 status=0
	shift 2
	"$run" "$@" >"$tmp/output" 2>"$tmp/errors" || status=$?
	echo "status $status: $(cat "$tmp/errors")"
	[ "$status" = "$expected" ]
	[ ! -s "$tmp/output" ]
	[[ $(<"$tmp/errors") == "pagespan-run: "$message ]]
}

gives_the_status_of_the_program() {
	local status=0
	"$run" sh -c 'exit 7' || status=$?
	[ "$status" = 7 ]
}

passes_arguments_as_they_are() {
	[ "$("$run" -- printf '%s|' 'a b' '' '*' -x)" = 'a b||*|-x|' ]
}

# With what was to be preloaded anyway behind.
sets_what_a_program_needs() {
	LD_PRELOAD=libm.so.6 "$run" env >"$tmp/environment"
	grep -qx "LD_PRELOAD=$build/lib/libpagespan.so.1:$build/lib/libpagespan-jemalloc.so:libjemalloc.so.2:libm.so.6" \
		"$tmp/environment"
	grep -qx 'PAGESPAN_FORK=copy' "$tmp/environment"
}

# The hooks' choices are read first.
malloc_conf_still_counts() {
	MALLOC_CONF=stats_print:true "$run" sqlite3 :memory: 'select 1' 2>"$tmp/errors"
	grep -q 'opt.retain: true' "$tmp/errors"
	grep -q 'opt.dss: "disabled"' "$tmp/errors"
	MALLOC_CONF=stats_print:true,dirty_decay_ms:77 "$run" sqlite3 :memory: 'select 1' 2>"$tmp/errors"
	grep -q 'opt.dirty_decay_ms: 77' "$tmp/errors"
}

echo "TAP version 13"
promise ls_lists_the_same ls_lists_the_same
promise sqlite3_answers_the_same sqlite3_answers_the_same
promise python3_prints_the_same python3_prints_the_same
promise python3_starts_processes_in_every_way python3_starts_processes_in_every_way
promise redis_saves_in_the_background redis_saves_in_the_background
promise status_is_that_of_the_program gives_the_status_of_the_program
promise arguments_are_passed_as_they_are passes_arguments_as_they_are
promise environment_is_what_a_program_needs sets_what_a_program_needs
promise malloc_conf_still_counts malloc_conf_still_counts
echo 'not a program' >"$tmp/text"
promise missing_program_is_127 fails 127 'no-such: no such program in PATH' no-such
promise missing_path_is_127 fails 127 '/no/such: no such program' /no/such
promise text_is_126 fails 126 "$tmp/text: not executable" "$tmp/text"
promise directory_is_126 fails 126 "$tmp: not a program" "$tmp"
promise missing_jemalloc_is_125 fails 125 "*'libnone.so'*cannot open shared object file*" -j libnone.so true
export PAGESPAN_MEMORY_MB=none
promise backend_that_cannot_be_had_is_125 fails 125 \
	'memory is not in spans: no backend can be opened: Invalid argument' --backend memory true
promise wrong_backend_is_2 fails 2 '--backend is device or memory*' --backend=tape true
promise unknown_option_is_2 fails 2 "unknown option '--fast'*" --fast true
promise no_program_is_2 fails 2 'no program*' --stats
echo "1..$tests"
exit $((failures != 0))
