#!/usr/bin/env bash
# A file system that is full to the last byte while the edge writes to it: it goes on from memory and
# the origin, counts what failed, and writes again when there is room. In a mount namespace of its own.
if [ -z "${IN_NAMESPACE:-}" ]; then
    export IN_NAMESPACE=1
    if [ "$(id -u)" = 0 ]; then
        exec unshare --mount bash "$0"
    fi
    exec unshare --user --map-root-user --mount bash "$0"
fi
. "$(dirname "$0")/harness.bash"
need wrk curl openssl python3 mount unshare

first=20000 step=97 count=300
ask_for_many

mkdir "$work/disk"
mount -t tmpfs -o size=24m none "$work/disk" || give_up "a tmpfs can be mounted"
# Before the harness's own, which removes the folder.
trap 'umount --lazy "$work/disk"; end' EXIT

metric() {
    curl -sS --max-time 10 "$admin/metrics" | sed -n "s/^$1 //p"
}

more_than() {
    test "$(metric "$1")" -gt "$2"
}

verify() {
    python3 "$here/verify.py" "$http" $first $step $count
}

load() {
    timeout 30 wrk -t 1 -c 20 -d "$1" -s "$work/many.lua" "$http/" >"$work/wrk" 2>&1
    contains "$work/wrk" '^ +[0-9]+ requests in' && lacks "$work/wrk" 'Socket errors|Non-2xx'
}

no_room() {
    equal "$(df --output=avail -k "$work/disk" | tail -n 1 | tr -d ' ')" 0
}

start_origin
# The disk store believes that it has ten times the room that there is.
start_nigh --memory 4MiB --disk "$work/disk/store" --disk-size 256MiB --admin 127.0.0.1:0
admin=$(sed -n 's|.*admin on \(http://[^ ]*\).*|\1|p' "$work/nigh.log")
check "there is room: load without errors" load 2s
check "there is room: objects are written" until_true more_than nigh_disk_written_total 50
check "there is room: nothing has failed" equal "$(metric nigh_disk_failures_total)" 0
check "there is room: all answers are right" verify

# Somebody else takes the rest, as often as the store gives some of its own up for it.
fill() {
    while kill -0 "$nigh_pid" 2>/dev/null && [ ! -e "$work/enough" ]; do
        cat /dev/zero >>"$work/disk/filler" 2>/dev/null
        sleep 0.05
    done
}
fill &
filler=$!
started+=("$filler")
until_true no_room || give_up "the file system can be filled"
# Of what it has written already, nothing need be written again: these are others.
first=5000
ask_for_many
check "no room: load without errors" load 3s
check "no room: all answers are right" verify
check "no room: what failed is counted" until_true more_than nigh_disk_failures_total 0
check "no room: it is logged" contains "$work/nigh.log" 'disk store cannot be written'
check "no room: to the last byte" no_room
: >"$work/enough"
wait "$filler"
rm "$work/disk/filler"

written=$(metric nigh_disk_written_total)
# It tries again after a pause, which has grown while everything failed.
writes_again() {
    local tries
    for tries in $(seq 20); do
        load 1s || return 1
        more_than nigh_disk_written_total "$written" && return 0
    done
    echo "still $written objects written"
    return 1
}
check "room again: it writes again, and load has no errors" writes_again
check "room again: all answers are right" verify
kill -TERM "$nigh_pid"
wait "$nigh_pid"
check "nigh ends with success" equal "$?" 0
check "without a word of panic" lacks "$work/nigh.log" 'panick'
start_nigh --memory 4MiB --disk "$work/disk/store" --disk-size 256MiB
verify >"$work/seen"
check "after a restart all answers are right" equal "$?" 0
check "and some come from the disk" lacks "$work/seen" ' disk=0 '
finish
