#!/bin/sh
# SPDX-License-Identifier: MIT
#
# In the guest: runs redis-server, sqlite3 and python3 under pagespan-run and under allocators as they
# are. Each promise is a KTAP line; each figure a line of tabs: "figure", workload, metric, unit,
# subject, value.
#
# usage: unmodified_guest.sh RUNS SCALE SUBJECT...
set -eu

runs=$1 scale=$2
shift 2
tmp=/tmp/unmodified
socket=$tmp/redis.socket
pool=/sys/class/misc/pagespan
server=''

# promise NAME COMMAND...
promise() {
	name=$1
	shift
	if "$@"; then
		echo "ok - unmodified.$name"
	else
		echo "not ok - unmodified.$name"
	fi
}

# figure WORKLOAD METRIC UNIT SUBJECT VALUE
figure() {
	printf 'figure\t%s\t%s\t%s\t%s\t%s\n' "$@"
}

# launch SUBJECT PROGRAM [ARG...]: in place of this shell
launch() {
	subject=$1
	shift
	case $subject in
	pagespan) exec pagespan-run --backend device "$@" ;;
	jemalloc) LD_PRELOAD=libjemalloc.so.2 exec "$@" ;;
	glibc) LD_PRELOAD=libc.so.6 exec "$@" ;;
	esac
}

# Of a client once, whichever descriptors a process has of it.
# shellcheck disable=SC2016 # awk's
readonly spans='$1 == "pagespan-client-id:" { id = $2 } $1 == "pagespan-memory-owned:" && !seen[id]++ { n += $2 }'

# KiB of a process in spans.
owned() {
	cat "/proc/$1"/fdinfo/* 2>/dev/null | awk "$spans END { print n + 0 }"
}

# KiB of a process in spans and in other memory of its own.
held() {
	cat "/proc/$1"/fdinfo/* "/proc/$1/status" 2>/dev/null |
		awk "$spans"' $1 == "RssAnon:" { n += $2 } END { print n + 0 }'
}

at_least() {
	[ "$1" -ge "$2" ] || { echo "# $1 KiB, not at least $2"; return 1; }
}

at_most() {
	[ "$1" -le "$2" ] || { echo "# $1 KiB, not at most $2"; return 1; }
}

# ---- redis ---------------------------------------------------------------------------------

redis() {
	redis-cli -s $socket "$@"
}

# start_redis SUBJECT [OPTION...]
start_redis() {
	subject=$1
	shift
	(launch "$subject" redis-server --port 0 --unixsocket $socket --dir $tmp --loglevel warning \
		--enable-debug-command yes "$@") >$tmp/redis.log 2>&1 &
	server=$!
	until [ "$(redis ping 2>/dev/null)" = PONG ]; do
		kill -0 $server 2>/dev/null || { sed 's/^/# /' $tmp/redis.log; return 1; }
		sleep 0.1
	done
}

stop_redis() {
	redis shutdown nosave >/dev/null 2>&1 || true
	wait $server || true
}

# The last save has ended, and well.
saved() {
	while redis info persistence | grep -q 'rdb_bgsave_in_progress:1'; do
		sleep 0.1
	done
	redis info persistence | grep -q 'rdb_last_bgsave_status:ok' || { echo "# a save failed"; return 1; }
}

# field N: of the server's /proc/PID/stat
field() {
	cut -d ' ' -f "$1" "/proc/$server/stat"
}

# Prints what a server on ordinary memory makes of a dump.
digest_of_dump() {
	mv $tmp/dump.kept $tmp/dump.rdb
	start_redis jemalloc || return 1
	redis debug digest
	stop_redis
}

# Throughput beside saves, a save of it all that others can read, and what is left when all is deleted.
run_redis() {
	rm -f $tmp/dump.*
	start_redis "$1" --save '1 1' || return 1
	faults=$(field 10)
	redis-benchmark -s $socket -c 10 -n $((2000 * scale)) -r $((1000 * scale)) -d 2000 -t set,get,lpush \
		--csv >$tmp/redis.csv 2>/dev/null
	figure redis faults '' "$1" $(($(field 10) - faults))
	figure redis 'CPU time' ticks "$1" $(($(field 14) + $(field 15)))
	tr -d '"' <$tmp/redis.csv | awk -F, -v OFS='\t' -v subject="$1" 'NR > 1 {
		print "figure", "redis " tolower($1), "throughput", "requests/s", subject, $2
		print "figure", "redis " tolower($1), "p99", "ms", subject, $7
	}'
	saved || return 1
	redis bgsave >/dev/null
	saved || return 1
	digest=$(redis debug digest)
	peak=$(held $server) in_spans=$(owned $server)
	cp $tmp/dump.rdb $tmp/dump.kept
	redis flushall sync >/dev/null
	saved || return 1
	redis memory purge >/dev/null
	after=$(held $server)
	figure redis peak KiB "$1" "$peak"
	figure redis 'after load' KiB "$1" "$after"
	stop_redis
	[ "$digest" = "$(digest_of_dump)" ] || { echo "# the dump reads otherwise"; return 1; }
}

# ---- programs that end ---------------------------------------------------------------------

# run_program WORKLOAD SUBJECT INPUT PROGRAM...: leaves its output in a file, and in in_spans the most KiB
# of it that were seen in spans
run_program() {
	workload=$1 subject=$2 input=$3
	shift 3
	(launch "$subject" time -f '%e %U %S %R' -o $tmp/time "$@") <"$input" >$tmp/output 2>$tmp/errors &
	process=$!
	in_spans=0
	while kill -0 $process 2>/dev/null; do
		child=$(cat /proc/$process/task/$process/children 2>/dev/null)
		now=$(owned "${child%% *}")
		[ "$now" -le "$in_spans" ] || in_spans=$now
		sleep 0.1
	done
	wait $process || { sed 's/^/# /' $tmp/errors; return 1; }
	read -r seconds user system faults <$tmp/time
	figure "$workload" time s "$subject" "$seconds"
	figure "$workload" 'CPU time' s "$subject" "$(awk "BEGIN { print $user + $system }")"
	figure "$workload" faults '' "$subject" "$faults"
}

run_sqlite() {
	run_program sqlite3 "$1" /programs/script.sql sqlite3 :memory: || return 1
	cmp $tmp/output /programs/sqlite3.expected
}

run_python() {
	run_program python3 "$1" /dev/null python3 -IS /programs/unmodified.py "$scale" $tmp/figures || return 1
	cmp $tmp/output /programs/python3.expected || return 1
	peak=$(sed -n 's/^peak //p' $tmp/figures) after=$(sed -n 's/^after //p' $tmp/figures)
	figure python3 peak KiB "$1" "$peak"
	figure python3 'after load' KiB "$1" "$after"
}

# ---- all of it -----------------------------------------------------------------------------

run_subject() {
	promise "redis_works_on_$1" run_redis "$1"
	if [ "$1" = pagespan ]; then
		promise redis_has_its_memory_in_spans at_least "$in_spans" $((3000 * scale))
		promise redis_gives_its_memory_back at_most "$after" $((peak / 2))
	fi
	promise "sqlite3_works_on_$1" run_sqlite "$1"
	if [ "$1" = pagespan ]; then
		promise sqlite3_has_its_memory_in_spans at_least "$in_spans" $((1000 * scale))
	fi
	promise "python3_works_on_$1" run_python "$1"
	if [ "$1" = pagespan ]; then
		promise python3_has_its_memory_in_spans at_least "$in_spans" $((6000 * scale))
		promise python3_gives_its_memory_back at_most "$after" $((peak / 2))
	fi
}

mkdir -p $tmp
free=$(cat $pool/free_pages)
while [ "$runs" -gt 0 ]; do
	for subject; do
		run_subject "$subject"
	done
	runs=$((runs - 1))
done
promise pool_is_free_in_the_end [ "$(cat $pool/free_pages)" = "$free" ]
