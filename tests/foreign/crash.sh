#!/usr/bin/env bash
# kill -9 under load, again and again: what comes back from the disk is what was stored, byte by byte,
# and it does come back.
. "$(dirname "$0")/harness.bash"
need wrk curl openssl python3
rounds=5

# Objects of 1 to 40 kB, twice as much as the memory holds.
first=1000 step=131 count=300
ask_for_many

# verify: all of them right; what it says of where they came from stays in $work/seen.
verify() {
    python3 "$here/verify.py" "$http" $first $step $count >"$work/seen"
}

# The shell would say that somebody was killed.
kill_nigh() {
    kill -KILL "$nigh_pid"
    wait "$nigh_pid"
} 2>/dev/null

seen() {
    sed -n "s/.*$1=\([0-9]*\).*/\1/p" "$work/seen"
}

start_origin
for round in $(seq $rounds); do
    start_nigh --memory 4MiB --disk "$work/disk" --disk-size 256MiB
    check "round $round: all $count answers are right" verify
    [ "$round" = 1 ] ||
        check "round $round: most come back from the disk ($(cat "$work/seen"))" \
            test "$(seen disk)" -gt $((count / 2))
    timeout 30 wrk -t 1 -c 20 -d 10s -s "$work/many.lua" "$http/" >"$work/wrk" 2>&1 &
    load=$!
    # At another moment of the load each time.
    sleep "1.$((round * 17))"
    kill_nigh
    kill "$load" 2>/dev/null
    wait "$load" 2>/dev/null
done
start_nigh --memory 4MiB --disk "$work/disk" --disk-size 256MiB --admin 127.0.0.1:0
check "after $rounds rounds: all $count answers are right" verify
check "and most come back from the disk ($(cat "$work/seen"))" test "$(seen disk)" -gt $((count / 2))
admin=$(sed -n 's|.*admin on \(http://[^ ]*\).*|\1|p' "$work/nigh.log")
curl -sS --max-time 10 "$admin/metrics" >"$work/metrics"
check "no record that was found is damaged" contains "$work/metrics" '^nigh_disk_damaged_total 0$'

# What was purged does not come back either.
check "a purge is durable" \
    contains <(curl -sS --max-time 10 -X POST "$admin/v1/purge?prefix=http://site.example/bytes/1") '"durable":\s*true'
before=$(asked /bytes/1000)
kill_nigh
start_nigh --memory 4MiB --disk "$work/disk" --disk-size 256MiB
check "kill -9 at once after it: all $count answers are right" verify
check "and what was purged came from the origin ($(cat "$work/seen"))" \
    equal "$(asked /bytes/1000)" $((before + 1))
check "the rest from the disk" test "$(seen disk)" -gt $((count / 4))
check "without a word of panic" lacks "$work/nigh.log" 'panick'
finish
