#!/usr/bin/env bash
# Large objects as people get them: resumed, over sixteen connections, sought in, from origins that
# cannot do ranges, and from one whose file changes meanwhile.
. "$(dirname "$0")/harness.bash"
need curl aria2c openssl python3 cmp
mib=1048576
length=$((64 * mib))

start_origin
start_nigh --memory 512MiB

get() {
    curl -sS --max-time 60 "$@"
}

# What the origin itself has, by name: no one asks the edge for this.
truth() {
    get -o "$work/$1" "http://127.0.0.1:$origin/large/$length/$1" && get "http://127.0.0.1:$origin/sent?/large/$length/$1" >"$work/$1.sent"
}

# Bytes that the origin has sent since then.
sent() {
    echo $(($(get "http://127.0.0.1:$origin/sent?/large/$length/$1") - $(cat "$work/$1.sent")))
}

ranges() {
    get "http://127.0.0.1:$origin/ranges?/large/$length/$1" | tail -n +2
}

no_range_twice() {
    ranges "$1" | sort | uniq -d >"$work/twice"
    test ! -s "$work/twice" || {
        cat "$work/twice"
        return 1
    }
}

# --- A download that broke off.
truth resumed
head -c 20000000 "$work/resumed" >"$work/partial"
check "curl -C - goes on where it broke off" get -C - -o "$work/partial" "$http/large/$length/resumed"
check "to the same bytes" cmp "$work/partial" "$work/resumed"
check "the origin was asked for no slice twice" no_range_twice resumed
check "and only for what was missing, in whole slices" equal "$(sent resumed)" $((length - 19 * mib))
check "the beginning is fetched when somebody wants it" get -o "$work/whole" "$http/large/$length/resumed"
check "the bytes are the same" cmp "$work/whole" "$work/resumed"
check "and each byte has left the origin once" equal "$(sent resumed)" "$length"

# --- Sixteen connections.
truth aria
check "aria2c gets it over sixteen connections" \
    aria2c -q -x16 -s16 -k1M --file-allocation=none -d "$work" -o aria.got "$http/large/$length/aria"
check "and has the same bytes" cmp "$work/aria.got" "$work/aria"
check "the origin was asked for no slice twice" no_range_twice aria
# Its first request has no range, and it hangs up when it knows enough: what the kernel's buffers held
# of that answer comes on top.
check "and has sent little more than there is ($(sent aria) of $length bytes)" \
    test "$(sent aria)" -le $((length + 16 * mib))
before=$(ranges aria | wc -l)
rm "$work/aria.got"
check "aria2c gets it again" \
    aria2c -q -x16 -s16 -k1M --file-allocation=none -d "$work" -o aria.got "$http/large/$length/aria"
check "the same bytes" cmp "$work/aria.got" "$work/aria"
check "from memory" equal "$(ranges aria | wc -l)" "$before"

# --- A film in which somebody looks around: an open range, of which a second's worth is taken.
truth film
for second in 0 40 20 60 21 41 5; do
    from=$((second * mib + 12345))
    get -r "$from-" "$http/large/$length/film" 2>/dev/null | head -c 500000 >"$work/scene"
    check "from byte $from on, the bytes are those" \
        cmp "$work/scene" <(tail -c "+$((from + 1))" "$work/film" | head -c 500000)
done
check "no slice was asked for twice" no_range_twice film
check "and most of it never ($(sent film) bytes)" test "$(sent film)" -lt $((length * 3 / 4))
get -r 1000- -o "$work/rest" "$http/large/$length/film"
check "the rest is played to its end" cmp "$work/rest" <(tail -c +1001 "$work/film")
check "and still no slice was asked for twice" no_range_twice film

# --- An origin that has never heard of ranges.
whole=http://127.0.0.1:$origin/whole/$((4 * mib))
get -o "$work/whole" "$whole/plain"
get -r 1000-1999 -D "$work/head" -o "$work/part" "$http/whole/$((4 * mib))/plain"
check "a range of what comes only as a whole" cmp "$work/part" <(tail -c +1001 "$work/whole" | head -c 1000)
check "is a range" contains "$work/head" '^HTTP/1.1 206'
head -c 1234567 "$work/whole" >"$work/partial"
check "curl -C - resumes it" get -C - -o "$work/partial" "$http/whole/$((4 * mib))/plain"
check "to the same bytes" cmp "$work/partial" "$work/whole"
check "and the origin was asked once, and once by this script" equal "$(asked "/whole/$((4 * mib))/plain")" 2

# --- An origin whose file is replaced while somebody gets it.
for flag in --http1.1 --http2-prior-knowledge; do
    name=changing$flag
    truth "$name"
    get "$flag" --limit-rate 8M -r 0- -o "$work/torn" "$http/large/$length/$name" 2>/dev/null &
    client=$!
    sleep 2
    tell_origin change
    wait "$client"
    check "$flag: whoever was getting it is told that it broke off" test "$?" -ne 0
    check "$flag: and has some bytes" test -s "$work/torn"
    check "$flag: of the old one only" cmp -n "$(stat -c %s "$work/torn")" "$work/torn" "$work/$name"
    truth "$name"
    check "$flag: the next one gets the new one" get "$flag" -o "$work/new" "$http/large/$length/$name"
    check "$flag: which it is throughout" cmp "$work/new" "$work/$name"
done
kill -TERM "$nigh_pid"
wait "$nigh_pid"
check "nigh ends with success" equal "$?" 0
check "without a word of panic" lacks "$work/nigh.log" 'panick'
finish
