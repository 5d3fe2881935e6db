#!/usr/bin/env bash
# What rules of paths do, judged by others: curl unpacks what nigh compresses (with zlib, libbrotli and
# libzstd), openssl signs URLs and asks for a certificate as an origin.
. "$(dirname "$0")/harness.bash"
need curl openssl python3 cmp gzip

start_origin
# rustls takes no certificate of an authority for a server's own, which openssl makes if it is not told.
for name in localhost edge; do
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=$name \
        -addext subjectAltName=DNS:$name -addext basicConstraints=critical,CA:FALSE \
        -keyout "$work/$name.key" -out "$work/$name.pem" 2>"$work/openssl" ||
        give_up "openssl makes a certificate"
done
key=$(openssl rand -hex 32)
echo "$key" >"$work/url.key"

# An origin that serves those alone who show the edge's certificate.
(cd "$work" && exec openssl s_server -accept 127.0.0.1:0 -cert localhost.pem -key localhost.key -www -alpn http/1.1 \
    -Verify 1 -verify_return_error -CAfile edge.pem >s_server.log 2>&1) &
started+=($!)
until_true grep -q '^ACCEPT 127' "$work/s_server.log" || give_up "openssl serves"
strict=$(sed -n 's/^ACCEPT 127.0.0.1:\([0-9]*\).*/\1/p' "$work/s_server.log" | head -n 1)

cat >"$work/nigh.toml" <<END
[[site]]
host = "127.0.0.1"
origin = "http://127.0.0.1:$origin"
[[site.path]]
match = "/text/*"
compress = true
[[site.path]]
match = "/bytes/"
signed = [{ id = "k1", file = "url.key" }]
[[site]]
host = "localhost"
origin = "https://localhost:$strict"
origin_ca = "localhost.pem"
origin_cert = "edge.pem"
origin_key = "edge.key"
[[site]]
host = "*"
origin = "https://localhost:$strict"
origin_ca = "localhost.pem"
END
start_nigh_with "$work/nigh.toml"

ask() {
    curl -sS --max-time 20 -D "$work/head" -o "$work/body" "$@"
}
status_is() {
    equal "$(sed -n '/^HTTP/{s/^HTTP[^ ]* \([0-9]*\).*/\1/;h};${x;p}' "$work/head")" "$1"
}

# --- Compression. curl asks for one coding by -H and unpacks it because of --compressed.
curl -s --max-time 20 -o "$work/truth" "http://127.0.0.1:$origin/text/9000"
for coding in zstd br gzip; do
    for flag in --http1.1 --http2-prior-knowledge --http1.1; do
        ask $flag --compressed -H "Accept-Encoding: $coding" "$http/text/9000"
        check "$coding, $flag: unpacked it is the origin's text" cmp "$work/body" "$work/truth"
        check "$coding, $flag: and was packed" contains "$work/head" "^content-encoding: $coding"
        check "$coding, $flag: under a weak tag" contains "$work/head" '^etag: W/"'
        check "$coding, $flag: as a variant" contains "$work/head" '^vary: accept-encoding'
    done
    check "$coding: the last was a hit" contains "$work/head" '^cache-status: nigh; hit'
    ask -H "Accept-Encoding: $coding" "$http/text/9000"
    length=$(wc -c <"$work/body")
    check "$coding: is shorter by far" test "$((length * 5))" -lt "$(wc -c <"$work/truth")"
    ask -I -H "Accept-Encoding: $coding" "$http/text/9000"
    check "$coding: HEAD has that length" contains "$work/head" "^content-length: $length"
done
ask -H "Accept-Encoding: gzip" "$http/text/9000"
check "gzip's own program unpacks it" cmp <(gzip -dc <"$work/body") "$work/truth"
ask "$http/text/9000"
check "who takes no coding gets the text" cmp "$work/body" "$work/truth"
check "the origin was asked once for each coding and once for none, and once by this script" \
    equal "$(asked /text/9000)" 5
ask --compressed --etag-save "$work/etag" "$http/text/9000"
ask --compressed --etag-compare "$work/etag" "$http/text/9000"
check "the tag of a compressed response is 304" status_is 304
curl -s --max-time 20 -o "$work/truth" "http://127.0.0.1:$origin/text/200000"
ask --compressed "$http/text/200000"
check "a long text is the same, too" cmp "$work/body" "$work/truth"

# --- Signed URLs, as the page about them says.
sign() {
    printf %s "$1" | openssl dgst -sha256 -hmac "$key" | sed 's/.* //'
}
later=$(($(date +%s) + 600))
signed="/bytes/100?nigh-key=k1&nigh-expires=$later"
ask "$http$signed&nigh-signature=$(sign "$signed")"
check "a URL that openssl signed is let in" status_is 200
ask "$http/bytes/101?nigh-key=k1&nigh-expires=$later&nigh-signature=$(sign "$signed")"
check "another under its signature is not" status_is 403
ask "$http/bytes/100"
check "nor is one without, though it is stored" status_is 403
token="nigh-prefix=/bytes/&nigh-key=k1&nigh-expires=$later&nigh-net=127.0.0.0/8"
token="$token&nigh-signature=$(sign "$token")"
for length in 102 103; do
    ask "$http/bytes/$length?x=$length&$token"
    check "a prefix that openssl signed lets in $length" status_is 200
done
ask "$http$(NO_COLOR=1 "$NIGH" sign /bytes/100 --id k1 --key "$work/url.key")"
check "one that nigh signed is the same stored response" contains "$work/head" '^cache-status: nigh; hit'
check "the origin was asked once" equal "$(asked /bytes/100)" 1

# --- A certificate for the origin.
ask -H "Host: localhost" "$http/"
check "an origin that asks for a certificate is shown it" contains "$work/body" 'CN *= *edge'
ask -H "Host: other.example" "$http/"
check "without one it does not answer" status_is 502

finish
