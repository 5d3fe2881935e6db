#!/usr/bin/env bash
# Certificates of a cluster, judged by openssl and curl: which chains they accept, and who gets nothing.
. "$(dirname "$0")/harness.bash"
need curl openssl

dir=$work/authority
edge=$work/edge

"$NIGH" cluster init --name eu --dir "$dir" --json >"$work/made" || give_up "a cluster is made"
"$NIGH" cluster serve --listen 127.0.0.1:0 --json --dir "$dir" >"$work/serving" 2>"$work/nigh.log" &
started+=($!)
until_true test -s "$work/serving" || give_up "the authority answers"
port=$(sed -n 's/.*127\.0\.0\.1:\([0-9]*\)".*/\1/p' "$work/serving")
echo "127.0.0.1:$port" >"$dir/addresses"
token=$("$NIGH" cluster token --dir "$dir")
echo "$token" | "$NIGH" cluster join - --name eu-1 --dir "$edge" >"$work/joined" ||
    give_up "an edge joins with a token from standard input"

verify() { openssl verify -x509_strict -check_ss_sig -CAfile "$edge/authority.pem" "$@"; }

check "openssl accepts an edge's certificate as a server's" \
    verify -purpose sslserver -verify_hostname eu-1.eu.nigh.internal "$edge/edge.pem"
check "openssl accepts it as a client's" verify -purpose sslclient "$edge/edge.pem"
check "openssl refuses it under another name" \
    fails verify -verify_hostname eu-2.eu.nigh.internal "$edge/edge.pem"

# What the authority's key could be made to sign outside its names is worth nothing.
sign() {
    local extensions=$1 out=$2 by=${3:-$dir/authority.pem} key=${4:-$dir/authority.key}
    openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=x \
        -keyout "$out.key" -out "$out.csr" 2>/dev/null &&
        openssl x509 -req -in "$out.csr" -CA "$by" -CAkey "$key" \
            -days 1 -extfile <(printf '%s\n' "$extensions") -out "$out.pem" 2>/dev/null
}
sign 'subjectAltName=DNS:other.eu.nigh.internal' "$work/inside" || give_up "openssl signs"
sign 'subjectAltName=DNS:www.example.com' "$work/outside" || give_up "openssl signs"
sign 'subjectAltName=IP:192.0.2.1' "$work/address" || give_up "openssl signs"
lenient() { openssl verify -CAfile "$edge/authority.pem" "$@"; }
check "a name within the cluster is the authority's to give" lenient "$work/inside.pem"
check "a name outside is not" fails lenient "$work/outside.pem"
check "nor is an address" fails lenient "$work/address.pem"
sign 'subjectAltName=DNS:other.eu.nigh.internal' "$work/by-edge" "$edge/edge.pem" "$edge/edge.pem" ||
    give_up "openssl signs"
check "an edge vouches for nobody" fails lenient -untrusted "$edge/edge.pem" "$work/by-edge.pem"

meet() {
    openssl s_client -connect "127.0.0.1:$port" -CAfile "$edge/authority.pem" \
        -servername authority.eu.nigh.internal -verify_hostname authority.eu.nigh.internal \
        -verify_return_error -ign_eof "$@" <<<$'POST /v1/renew HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n'
}
check "openssl believes the authority's endpoint" meet -tls1_3
contains_after_meeting() { meet "${@:2}" >"$work/met" 2>&1; contains "$work/met" "$1"; }
check "who shows no certificate renews nothing" contains_after_meeting '401 Unauthorized'
check "TLS 1.2 is not spoken" fails meet -tls1_2
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /O=eu/CN=eu-1 \
    -addext subjectAltName=DNS:eu-1.eu.nigh.internal -keyout "$work/own.key" -out "$work/own.pem" \
    2>/dev/null || give_up "openssl makes a certificate"
check "who shows one that it has signed itself is cut off" \
    contains_after_meeting 'alert (unknown ca|bad certificate|certificate unknown)' \
    -cert "$work/own.pem" -key "$work/own.key"

ask() {
    curl -s --max-time 10 --cacert "$edge/authority.pem" \
        --resolve "authority.eu.nigh.internal:$port:127.0.0.1" -w '%{http_code}' -o "$work/answer" "$@"
}
url=https://authority.eu.nigh.internal:$port
openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=eu-9 \
    -addext subjectAltName=DNS:eu-9.eu.nigh.internal,DNS:www.example.com \
    -keyout "$work/new.key" -out "$work/new.csr" 2>/dev/null || give_up "openssl makes a request"
check "curl renews with the edge's certificate and openssl's request" \
    equal "$(ask --cert "$edge/edge.pem" --data-binary "@$work/new.csr" "$url/v1/renew")" 200
cp "$work/answer" "$work/renewed.pem"
check "and openssl accepts what came" verify -purpose sslserver "$work/renewed.pem"
openssl x509 -in "$work/renewed.pem" -noout -ext subjectAltName >"$work/names"
check "which has the edge's own name" contains "$work/names" 'DNS:eu-1\.eu\.nigh\.internal$'
check "and none of those that were asked for" lacks "$work/names" 'eu-9|example'
check "a used token is refused" equal \
    "$(ask -H "Authorization: Bearer $token" --data-binary "@$work/new.csr" "$url/v1/join?name=eu-2")" 403
check "no token is refused" \
    equal "$(ask --data-binary "@$work/new.csr" "$url/v1/join?name=eu-2")" 401
rsa() {
    openssl req -new -newkey rsa:2048 -nodes -subj /CN=x -keyout "$work/rsa.key" -out "$work/rsa.csr" \
        2>/dev/null && equal "$(ask --cert "$edge/edge.pem" --data-binary "@$work/rsa.csr" "$url/v1/renew")" 400
}
check "a key of another kind is refused" rsa

# Between edges both sides show certificates: openssl plays one, with what nigh has made.
openssl s_server -accept 127.0.0.1:0 -cert "$edge/edge.pem" -key "$edge/edge.pem" -tls1_3 \
    -CAfile "$edge/authority.pem" -Verify 1 -verify_return_error -www >"$work/server" 2>&1 &
started+=($!)
until_true grep -q 'ACCEPT 127' "$work/server" || give_up "openssl listens"
other=$(sed -n 's/.*ACCEPT 127\.0\.0\.1:\([0-9]*\).*/\1/p' "$work/server")
visit() {
    curl -s --max-time 10 --cacert "$edge/authority.pem" \
        --resolve "eu-1.eu.nigh.internal:$other:127.0.0.1" -o /dev/null "$@" \
        "https://eu-1.eu.nigh.internal:$other/"
}
check "two edges meet under openssl's mutual TLS" visit --cert "$edge/edge.pem"
check "a client without a certificate is refused there" fails visit
check "and one that has signed its own" fails visit --cert "$work/own.pem" --key "$work/own.key"

"$NIGH" cluster revoke eu-1 --dir "$dir" >/dev/null || give_up "an edge is put out"
check "a revoked edge is not renewed" \
    equal "$(ask --cert "$edge/edge.pem" --data-binary "@$work/new.csr" "$url/v1/renew")" 403

finish
