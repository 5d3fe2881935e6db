#!/usr/bin/env bash
# Thousands of requests over both protocols, in clear and over TLS: every one is answered, none fails,
# none errs, and memory stays where it was told to stay. This measures nothing.
. "$(dirname "$0")/harness.bash"
need h2load curl openssl python3

start_origin
start_nigh --memory 64MiB --admin 127.0.0.1:0
admin=$(sed -n 's|.*admin on \(http://[^ ]*\).*|\1|p' "$work/nigh.log")

# load REQUESTS CLIENTS STREAMS [OPTION...] URL... : all of them succeed with 2xx.
load() {
    local requests=$1 clients=$2 streams=$3
    shift 3
    timeout 60 h2load -n "$requests" -c "$clients" -m "$streams" -t 1 "$@" >"$work/load" || {
        cat "$work/load"
        return 1
    }
    contains "$work/load" "^requests: $requests total, $requests started, $requests done, $requests succeeded, 0 failed, 0 errored, 0 timeout" &&
        contains "$work/load" "^status codes: $requests 2xx, 0 3xx, 0 4xx, 0 5xx"
}

check "HTTP/1.1: 20,000 hits of 1 kB for 50 clients" load 20000 50 1 --h1 "$http/bytes/1000"
check "HTTP/1.1: 5,000 pipelined by 10 clients" load 5000 10 8 --h1 "$http/bytes/1000"
check "HTTP/1.1 over TLS: 5,000 for 20 clients" load 5000 20 1 --h1 "$https/bytes/1000"
check "HTTP/2 in clear: 20,000 for 20 clients of 10 streams" load 20000 20 10 "$http/bytes/1000"
check "HTTP/2 over TLS: 20,000 for 20 clients of 10 streams" load 20000 20 10 "$https/bytes/1000"
check "HTTP/2 over TLS: one client of 100 streams" load 5000 1 100 "$https/bytes/1000"
check "HTTP/1.1: 2,000 hits of 100 kB" load 2000 20 1 --h1 "$http/bytes/100000"
check "HTTP/2: 2,000 hits of 100 kB through a small window" load 2000 20 4 -w 16 -W 17 "$https/bytes/100000"
check "HTTP/2: 40 of 5 MB" load 40 4 2 "$https/bytes/5000000"
check "the origin was asked once for each URL" equal \
    "$(asked /bytes/1000) $(asked /bytes/100000) $(asked /bytes/5000000)" "2 2 1"

# What must be fetched: a few workers' worth of connections to the origin, and more objects than fit.
for n in $(seq 1500); do echo "$http/bytes/$((n + 60000))"; done >"$work/urls"
check "HTTP/1.1: 1,500 misses, more than the memory holds" load 1500 20 1 --h1 -i "$work/urls"
check "HTTP/2: the same again, half of them misses" load 1500 10 4 -i "$work/urls"
for n in $(seq 300); do echo "$http/slow/100/$((n % 7))"; done >"$work/urls"
check "HTTP/2: 300 for seven slow objects" load 300 30 10 -i "$work/urls"
check "which are seven requests to the origin" equal \
    "$(for n in 0 1 2 3 4 5 6; do asked "/slow/100/$n"; done | paste -sd' ')" "1 1 1 1 1 1 1"
check "HTTP/1.1: 200 that must not be shared" load 200 20 1 --h1 "$http/private/load"
check "are 200 requests to the origin" equal "$(asked /private/load)" 200
head -c 20000 /dev/urandom >"$work/upload"
check "HTTP/1.1: 500 uploads" load 500 20 1 --h1 -d "$work/upload" "$http/upload"
check "HTTP/2: 500 uploads" load 500 10 5 -d "$work/upload" "$https/upload"

if command -v wrk >/dev/null; then
    timeout 30 wrk -t 1 -c 100 -d 3s "$http/bytes/1000" >"$work/wrk"
    check "wrk: 100 connections for three seconds" contains "$work/wrk" '^ +[0-9]+ requests in'
    check "wrk: no error" lacks "$work/wrk" 'Socket errors|Non-2xx'
else
    echo "note: wrk is not installed; h2load has done the same"
fi
if command -v ab >/dev/null; then
    timeout 30 ab -q -k -n 5000 -c 50 "$http/bytes/1000" >"$work/ab" 2>&1
    check "ab: 5,000 requests of HTTP/1.0, kept alive" contains "$work/ab" '^Complete requests: +5000'
    check "ab: no error" contains "$work/ab" '^Failed requests: +0'
else
    echo "note: ab is not installed; h2load has done the same over HTTP/1.1"
fi

curl -sS --max-time 10 "$admin/v1/status" >"$work/status"
check "the admin API answers after all that" test -s "$work/status"
resident=$(sed -n 's/^VmHWM:[^0-9]*\([0-9]*\) kB/\1/p' "/proc/$nigh_pid/status")
# 64 MiB for the cache; the rest is the program, its connections' buffers and what the allocator holds.
check "at its peak the process was smaller than 200 MB ($resident kB)" test "$resident" -lt 200000
kill -TERM "$nigh_pid"
wait "$nigh_pid"
check "nigh ends with success" equal "$?" 0
check "without a word of panic" lacks "$work/nigh.log" 'panick'
finish
