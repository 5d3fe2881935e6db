#!/usr/bin/env bash
# curl as the client, over HTTP/1.0, HTTP/1.1, HTTP/2 in clear and HTTP/2 over TLS: what a person at a
# shell would try, and that the bytes are the right ones.
. "$(dirname "$0")/harness.bash"
need curl openssl python3 cmp

start_origin
start_nigh --max-body 8MiB

# Each call has its own limit, follows nothing and trusts the one certificate.
ask() {
    curl -sS --max-time 20 --cacert "$work/certificate.pem" -D "$work/head" -o "$work/body" "$@"
}

# The body that the origin itself gives.
truth() {
    curl -s --max-time 20 -o "$work/truth" "http://127.0.0.1:$origin$1"
}

same() {
    cmp "$work/body" "$work/truth"
}

status_is() {
    equal "$(sed -n '/^HTTP/{s/^HTTP[^ ]* \([0-9]*\).*/\1/;h};${x;p}' "$work/head")" "$1"
}

# --- The four ways to speak.
truth /bytes/100000
for way in "http1.0 $http" "http1.1 $http" "http2-prior-knowledge $http" "http1.1 $https" "http2 $https"; do
    flag=--${way%% *}
    base=${way#* }
    spoken="${way%% *} over ${base%%:*}"
    ask "$flag" -w '%{http_version}\n' "$base/bytes/100000" >"$work/version"
    check "$spoken: 100 kB arrive whole" same
    case $flag in
        --http2*) check "$spoken: it is spoken" equal "$(cat "$work/version")" 2 ;;
        *) check "$spoken: it is spoken" equal "$(cut -c1 "$work/version")" 1 ;;
    esac
    ask "$flag" "$base/bytes/100000"
    check "$spoken: a hit" contains "$work/head" '^cache-status: nigh; hit; ttl='
    check "$spoken: with an age" contains "$work/head" '^age: [0-9]+'
    check "$spoken: the same bytes" same
    ask "$flag" -I "$base/bytes/100000"
    check "$spoken: HEAD has the length" contains "$work/head" '^content-length: 100000'
    # curl 7.88 cannot use a connection twice with prior knowledge, whoever the server is; nghttp and
    # h2load can.
    if [ "$flag" != --http2-prior-knowledge ]; then
        curl -sS --max-time 20 --cacert "$work/certificate.pem" "$flag" -w '%{num_connects}\n' \
            -o "$work/a" "$base/bytes/1" -o "$work/b" "$base/bytes/2" -o "$work/c" "$base/bytes/3" >"$work/connects"
        check "$spoken: three requests in a row" equal "$(cat "$work/a" "$work/b" "$work/c" | wc -c | tr -d ' ')" 6
        [ "$flag" = --http1.0 ] ||
            check "$spoken: over one connection" equal "$(paste -sd' ' "$work/connects")" "1 0 0"
    fi
done
check "the origin was asked once for each scheme, and once by this script" \
    equal "$(asked /bytes/100000)" 3

# --- Sizes around the bounds of buffers.
for length in 0 1 4095 4096 4097 32767 32768 32769 65536 1000000 5000000; do
    truth "/bytes/$length"
    : >"$work/truth.$length"
    ask "$http/bytes/$length"
    ask "$http/bytes/$length"
    [ "$length" -gt 0 ] || : >"$work/body"
    check "$length bytes, twice" same
    check "$length bytes come from memory" contains "$work/head" '^cache-status: nigh; hit'
    ask --http2 "$https/bytes/$length"
    [ "$length" -gt 0 ] || : >"$work/body"
    check "$length bytes over HTTP/2" same
done

# --- Ranges and going on where a transfer broke off.
truth /bytes/1000000
for flag in --http1.1 --http2-prior-knowledge; do
    ask $flag "$http/bytes/1000000"
    ask $flag -r 1000-1999 "$http/bytes/1000000"
    check "$flag: a range is 206" status_is 206
    check "$flag: and says which" contains "$work/head" '^content-range: bytes 1000-1999/1000000'
    check "$flag: the bytes are those" cmp "$work/body" <(tail -c +1001 "$work/truth" | head -c 1000)
    ask $flag -r -500 "$http/bytes/1000000"
    check "$flag: the last 500 bytes" cmp "$work/body" <(tail -c 500 "$work/truth")
    ask $flag -r 0-9,500000-500009 "$http/bytes/1000000"
    check "$flag: two ranges are a multipart" contains "$work/head" '^content-type: multipart/byteranges; *boundary='
    check "$flag: with both parts" equal "$(grep -ac '^Content-Range: bytes' "$work/body")" 2
    ask $flag -r 1000000- "$http/bytes/1000000"
    check "$flag: beyond the end is 416" status_is 416
    head -c 400000 "$work/truth" >"$work/partial"
    check "$flag: resumes with -C -" curl -sS --max-time 20 $flag -C - -o "$work/partial" "$http/bytes/1000000"
    check "$flag: to the same bytes" cmp "$work/partial" "$work/truth"
done
check "ranges were cut from what was stored: once for each scheme, and twice by this script" \
    equal "$(asked /bytes/1000000)" 4

# --- Conditions.
for flag in --http1.1 --http2-prior-knowledge; do
    ask $flag --etag-save "$work/etag" "$http/bytes/5000"
    check "$flag: the tag is saved" test -s "$work/etag"
    ask $flag --etag-compare "$work/etag" "$http/bytes/5000"
    check "$flag: the same tag is 304" status_is 304
    ask $flag -z "Sun, 06 Nov 1994 08:49:37 GMT" "$http/bytes/5000"
    check "$flag: not modified since is 304" status_is 304
    ask $flag -z "Sat, 05 Nov 1994 08:49:37 GMT" "$http/bytes/5000"
    check "$flag: modified since is 200" status_is 200
    ask $flag -H 'If-Match: "other"' "$http/bytes/5000"
    check "$flag: another tag in If-Match goes to the origin" contains "$work/head" '^cache-status: nigh; fwd='
done

# --- Codings.
text=$(printf 'the same text again and again\n%.0s' $(seq 100))
for flag in --http1.1 --http2-prior-knowledge --http1.1; do
    ask $flag --compressed "$http/coded"
    check "$flag: gzip is unpacked to the text" equal "$(cat "$work/body")" "$text"
    check "$flag: and was gzip" contains "$work/head" '^content-encoding: gzip'
    ask $flag "$http/coded"
    check "$flag: the plain text" equal "$(cat "$work/body")" "$text"
    check "$flag: has no coding" lacks "$work/head" '^content-encoding'
done
check "the origin was asked once for each coding" equal "$(asked /coded)" 2

# --- Uploads.
head -c 3000000 /dev/urandom >"$work/upload"
sum="3000000 $(sha256sum <"$work/upload" | cut -d' ' -f1)"
for way in "http1.0 $http" "http1.1 $http" "http2-prior-knowledge $http" "http1.1 $https" "http2 $https"; do
    flag=--${way%% *}
    base=${way#* }
    spoken="${way%% *} over ${base%%:*}"
    ask "$flag" -T "$work/upload" "$base/upload"
    check "$spoken: 3 MB arrive at the origin" equal "$(cat "$work/body")" "$sum"
done
ask --http1.1 -T - "$http/upload" <"$work/upload"
check "an upload in chunks" equal "$(cat "$work/body")" "$sum"
ask --http2-prior-knowledge -T - "$http/upload" <"$work/upload"
check "an upload of unknown length over HTTP/2" equal "$(cat "$work/body")" "$sum"
ask --http1.1 -X POST -d a=b "$http/upload"
check "a small POST" equal "$(cut -d' ' -f1 "$work/body")" 3

# curl would wait ten seconds for 100, and the script above knows that the origin says it.
before=$(date +%s%N)
ask --http1.1 --expect100-timeout 10 -H 'Expect: 100-continue' -T "$work/upload" "$http/upload"
check "Expect: the content arrives" equal "$(cat "$work/body")" "$sum"
check "Expect: the origin's 100 comes at once" test $((($(date +%s%N) - before) / 1000000)) -lt 3000
check "Expect: curl has seen it" contains "$work/head" '^HTTP/1.1 100'
curl -sS --max-time 20 --http1.1 --expect100-timeout 10 -H 'Expect: 100-continue' -T "$work/upload" \
    -D "$work/head" -o "$work/body" -w '%{size_upload}\n' "$http/refuse" >"$work/sent"
check "Expect: a refusal comes before the content" status_is 403
check "Expect: which is then never sent" equal "$(cat "$work/sent")" 0
head -c 9000000 /dev/zero >"$work/large"
ask --http1.1 -T "$work/large" "$http/upload"
check "a body above the limit is 413" status_is 413
# A stream that is reset at once with its answer takes the answer along in this client (RFC 9113,
# section 8.1, forbids it that, and it is what people have).
ask --http2 -T "$work/large" "$https/upload"
check "and the answer arrives over HTTP/2, while the body is on its way" status_is 413
ask --http2 -T "$work/upload" "$https/refuse"
check "so does the origin's own refusal" status_is 403
check "with its words" equal "$(cat "$work/body")" refused

# --- Trailers, early hints, and what comes slowly.
for flag in --http1.1 --http2-prior-knowledge; do
    ask $flag -H 'TE: trailers' "$http/trailers"
    check "$flag: the content" equal "$(cat "$work/body")" content
    check "$flag: its trailer" contains "$work/head" '^checksum: 7'
    curl -sS -N --max-time 20 $flag "$http/drip/10" | (head -c 9 >"$work/first"; date +%s%N >"$work/when"; cat >/dev/null)
    check "$flag: the first drop does not wait for the last" \
        test $((($(date +%s%N) - $(cat "$work/when")) / 1000000)) -gt 400
done
for way in "http1.1 $http HTTP/1.1" "http2 $https HTTP/2"; do
    read -r spoken base version <<<"$way"
    ask "--$spoken" "$base/early"
    check "$spoken: early hints arrive" contains "$work/head" "^$version 103"
    check "$spoken: with their links" contains "$work/head" '^link: </style.css>'
    check "$spoken: and then the page" equal "$(cat "$work/body")" page
done

# --- What the origin is told.
ask --http1.1 -H 'Connection: close, X-Secret' -H 'X-Secret: 1' -H 'X-Forwarded-For: 192.0.2.7' "$http/fields"
check "the origin learns who asks" contains "$work/body" '^x-forwarded-for: 192\.0\.2\.7, 127\.0\.0\.1'
check "and as what" contains "$work/body" '^x-forwarded-proto: http'
check "through whom" contains "$work/body" '^via: 1\.1 nigh'
check "and is spared what is between curl and nigh" lacks "$work/body" '^(x-secret|connection: close)'
ask --http2 "$https/fields"
check "https is told from http" contains "$work/body" '^x-forwarded-proto: https'
check "and Forwarded says so too" contains "$work/body" '^forwarded: for=127\.0\.0\.1;host="localhost:[0-9]*";proto=https'
# curl offers an upgrade to HTTP/2 here. nigh speaks it to those who know; an offer that went on to the
# origin would let a client speak past the edge.
ask --http2 "$http/fields"
check "an offer to upgrade to HTTP/2 is answered" status_is 200
check "and goes no further" lacks "$work/body" '^(upgrade|http2-settings)'

# --- Many at once.
many() {
    local urls=() n
    for n in $(seq 200); do urls+=(-o "$work/many.$n" "$1"); done
    curl -sS --max-time 30 -Z --parallel-max 200 --parallel-immediate --cacert "$work/certificate.pem" "${@:2}" "${urls[@]}" &&
        for n in $(seq 200); do equal "$(wc -c <"$work/many.$n" | tr -d ' ')" 10 || return 1; done
}
for way in "http1.1 $http" "http2 $https"; do
    flag=--${way%% *}
    base=${way#* }
    path=/slow/1500/${way%% *}
    check "${way%% *}: 200 at once for one slow cold object" many "$base$path" "$flag"
    check "${way%% *}: are one request to the origin" equal "$(asked "$path")" 1
done
for n in $(seq 50); do echo "url=$http/private/x"; echo "output=$work/private.$n"; done >"$work/config"
check "50 at once for what is private" curl -sS --max-time 30 -Z --parallel-max 50 --parallel-immediate -K "$work/config"
check "get 50 different answers" equal "$(for n in $(seq 50); do cat "$work/private.$n"; echo; done | sort -u | wc -l | tr -d ' ')" 50
for n in $(seq 100); do echo "url=$http/bytes/$((n * 7777))"; echo "output=$work/mixed.$n"; done >"$work/config"
check "100 different objects at once" curl -sS --max-time 30 -Z --parallel-max 50 -K "$work/config"
check "all of the right length" equal \
    "$(for n in $(seq 100); do wc -c <"$work/mixed.$n"; done | awk '{ sum += $1 } END { print sum }')" $((5050 * 7777))

# --- TLS, as another library sees it.
port=${https##*:}
shake() {
    openssl s_client -connect "localhost:$port" -CAfile "$work/certificate.pem" -verify_return_error "$@" </dev/null
}
check "TLS 1.3" shake -tls1_3
check "TLS 1.2" shake -tls1_2
refuses_old() { ! shake -tls1_1 -cipher 'DEFAULT:@SECLEVEL=0'; }
check "TLS 1.1 is refused" refuses_old
shake -alpn h2,http/1.1 >"$work/tls" 2>&1
check "ALPN prefers HTTP/2" contains "$work/tls" 'ALPN protocol: h2'
shake -alpn http/1.1 >"$work/tls" 2>&1
check "and takes HTTP/1.1" contains "$work/tls" 'ALPN protocol: http/1.1'

# --- An origin that fails.
tell_origin down
ask "$http/bytes/5000"
check "what is fresh needs no origin" status_is 200
ask "$http/bytes/4999"
check "what was never stored shows the origin's error" status_is 503
tell_origin up
ask "$http/bytes/4999"
check "which is not remembered" status_is 200

# --- The end.
curl -sS --max-time 20 -o "$work/body" "$http/drip/10" &
slow=$!
sleep 0.4
kill -TERM "$nigh_pid"
wait "$slow"
check "SIGTERM cuts no answer off" equal "$?" 0
check "which has come whole" equal "$(wc -l <"$work/body" | tr -d ' ')" 10
wait "$nigh_pid"
check "and nigh ends with success" equal "$?" 0
check "without a word of panic" lacks "$work/nigh.log" 'panick'
finish
