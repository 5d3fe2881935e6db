#!/usr/bin/env bash
# HTTP/2 frame by frame, as nghttp sees them: nothing is pushed, streams end cleanly, and a connection
# that is drained is told so with GOAWAY before it closes.
. "$(dirname "$0")/harness.bash"
need nghttp openssl python3

start_origin
start_nigh --max-body 1MiB
head -c 2000000 /dev/zero >"$work/large"

frames() {
    timeout 20 nghttp --no-dep -v "$@" >"$work/frames" 2>&1
}

for base in "$http" "$https"; do
    scheme=${base%%:*}
    check "$scheme: a page, twice" frames -n -m 2 "$base/bytes/5000"
    check "$scheme: two answers" equal "$(grep -c ':status: 200' "$work/frames")" 2
    check "$scheme: SETTINGS come, and are acknowledged" equal "$(grep -c 'recv SETTINGS' "$work/frames")" 2
    check "$scheme: nothing is pushed" lacks "$work/frames" 'recv PUSH_PROMISE'
    check "$scheme: no stream is reset" lacks "$work/frames" 'recv RST_STREAM'
    check "$scheme: nobody is sent away" lacks "$work/frames" 'recv GOAWAY'
    check "$scheme: fields are in lower case" equal \
        "$(grep -E 'recv \(stream_id=[0-9]+\) [^ ]*[A-Z][^ ]*: ' "$work/frames")" ''
    check "$scheme: none belongs to HTTP/1" lacks "$work/frames" 'recv \(stream_id=[0-9]+\) (connection|keep-alive|transfer-encoding|upgrade):'
    check "$scheme: HEAD" frames -n -H ':method: HEAD' "$base/bytes/5000"
    check "$scheme: has no content" lacks "$work/frames" 'recv DATA frame'
    check "$scheme: but its length" contains "$work/frames" 'content-length: 5000'
    check "$scheme: trailers" frames -n -H 'te: trailers' "$base/trailers"
    check "$scheme: come behind the content" contains "$work/frames" 'checksum: 7'
    check "$scheme: 30 streams at once" frames -n -m 30 "$base/slow/200/$scheme"
    check "$scheme: 30 answers" equal "$(grep -c ':status: 200' "$work/frames")" 30
    check "$scheme: one request to the origin" equal "$(asked "/slow/200/$scheme")" 1
    check "$scheme: many small frames through a window of 16 kB" frames -n -w 14 -W 14 "$base/bytes/300000"
    check "$scheme: all 300,000 bytes" equal \
        "$(sed -n 's/.*recv DATA frame <length=\([0-9]*\),.*/\1/p' "$work/frames" | awk '{ sum += $1 } END { print sum }')" 300000
    check "$scheme: a body that is longer than allowed" frames -n -d "$work/large" "$base/upload"
    check "$scheme: is 413" contains "$work/frames" ':status: 413'
    check "$scheme: before much of it is sent" test \
        "$(grep -c 'send DATA frame' "$work/frames")" -lt 60
    check "$scheme: one that does not say how long it is" frames -n --no-content-length -d "$work/large" "$base/upload"
    check "$scheme: is 413 too" contains "$work/frames" ':status: 413'
    check "$scheme: a request with a malformed method" frames -n -H ':method: GE T' "$base/bytes/5000"
    check "$scheme: is no request" lacks "$work/frames" ':status: 200'
done

# A slow answer is on its way when the edge is told to end.
frames "$http/drip/15" &
client=$!
sleep 0.7
kill -TERM "$nigh_pid"
wait "$client"
check "drain: the client is not cut off" equal "$?" 0
check "drain: GOAWAY without an error" contains "$work/frames" 'error_code=NO_ERROR'
check "drain: it is nigh who sends it" contains "$work/frames" 'recv GOAWAY'
check "drain: no stream is reset" lacks "$work/frames" 'recv RST_STREAM'
check "drain: the last drop" contains "$work/frames" 'drop 014'
wait "$nigh_pid"
check "drain: nigh ends with success" equal "$?" 0
check "drain: without a word of panic" lacks "$work/nigh.log" 'panick'
finish
