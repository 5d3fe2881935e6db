#!/usr/bin/env bash
# A WebSocket through nigh: a tunnel from the moment the origin agrees, in clear and over TLS, and an
# ordinary answer when it does not.
. "$(dirname "$0")/harness.bash"
need curl openssl python3

start_origin
start_nigh

talk() {
    timeout 30 python3 "$here/websocket.py" "$@" >"$work/talk" 2>&1
}

for scheme in http https; do
    if [ $scheme = http ]; then
        check "$scheme: a talk through a tunnel" talk "${http##*:}"
    else
        check "$scheme: a talk through a tunnel" talk "${https##*:}" "$work/certificate.pem"
    fi
    check "$scheme: the origin agrees" contains "$work/talk" '^status 101$'
    check "$scheme: with its own proof" contains "$work/talk" '^accepted True$'
    check "$scheme: what came with the head is not lost" contains "$work/talk" '^early True$'
    check "$scheme: frames of all sizes come back" equal "$(grep -c '^echo [0-9]* True$' "$work/talk")" 5
    check "$scheme: 200 in order" contains "$work/talk" '^in-order True$'
    check "$scheme: and a clean end" contains "$work/talk" '^closed True True$'
done

curl -sS --max-time 10 -i "$http/echo" >"$work/plain"
check "without an offer the origin says what it wants" contains "$work/plain" '^HTTP/1.1 426'
curl -sS --max-time 10 -i -H 'Connection: Upgrade' -H 'Upgrade: websocket' "$http/bytes/10" >"$work/plain"
check "an offer that is declined is answered" contains "$work/plain" '^HTTP/1.1 200'
check "with the content" equal "$(wc -c <"$work/plain" | tr -d ' ')" "$(($(sed '/^\r$/q' "$work/plain" | wc -c) + 10))"
kill -TERM "$nigh_pid"
wait "$nigh_pid"
check "nigh ends with success" equal "$?" 0
check "without a word of panic" lacks "$work/nigh.log" 'panick'
finish
