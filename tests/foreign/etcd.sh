#!/usr/bin/env bash
# Control state in a real etcd: the conformance tests of all engines, and an etcd that is stopped,
# killed, set back and started again while edges watch. Those tests start each etcd themselves. Then an
# authority and an edge ask an etcd over TLS, with certificates on both sides as openssl makes them; $NIGH has
# the feature `etcd` for that.
. "$(dirname "$0")/harness.bash"
need etcd etcdctl protoc cargo openssl curl python3

# test_etcd: runs them; what they say stays in $work/tests.
test_etcd() {
    TMPDIR=$work cargo test --locked --package nigh-net --features etcd --lib control::etcd \
        >"$work/tests" 2>&1 || {
        tail -n 60 "$work/tests"
        return 1
    }
}

check "control state in an etcd is what the contract says" test_etcd
check "and that was tested" contains "$work/tests" '^test result: ok\. [0-9]{2,} passed; 0 failed'

# --- Over TLS.

# etcd's two, then the edge's.
mapfile -t ports < <(free_ports 3)
pki=$work/pki
mkdir "$pki"

# vouches NAME: makes an authority of that name.
vouches() {
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj "/CN=$1" \
        -keyout "$pki/$1.key" -out "$pki/$1.pem"
}

# certify NAME UNDER
certify() {
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$1" \
        -keyout "$pki/$1.key" -out "$pki/$1.csr" &&
        openssl x509 -req -in "$pki/$1.csr" -CA "$pki/$2.pem" -CAkey "$pki/$2.key" -CAcreateserial \
            -days 2 -out "$pki/$1.pem" -extfile <(
            echo 'subjectAltName=IP:127.0.0.1'
            echo 'extendedKeyUsage=serverAuth,clientAuth'
        )
}

{
    vouches ca && vouches stranger && certify server ca && certify edge ca &&
        certify foreign-server stranger && certify foreign-edge stranger
} >"$work/pki.log" 2>&1 || {
    cat "$work/pki.log"
    give_up "openssl makes certificates"
}
# What the settings of the edge name, which is renewed below.
cp "$pki/ca.pem" "$pki/believed.pem"
cp "$pki/edge.pem" "$pki/shown.pem"
cp "$pki/edge.key" "$pki/shown.key"

# start_secure_etcd SERVER AUTHORITY: with the first as its certificate, and letting in those under the second.
# Started again, it has what it had.
start_secure_etcd() {
    local client=https://127.0.0.1:${ports[0]} peer=http://127.0.0.1:${ports[1]}
    etcd --name one --data-dir "$work/etcd" --listen-client-urls "$client" \
        --advertise-client-urls "$client" --listen-peer-urls "$peer" \
        --initial-advertise-peer-urls "$peer" --initial-cluster "one=$peer" \
        --cert-file "$pki/$1.pem" --key-file "$pki/$1.key" --client-cert-auth \
        --trusted-ca-file "$pki/$2.pem" >>"$work/etcd.log" 2>&1 &
    etcd_pid=$!
    started+=("$etcd_pid")
    local who=edge
    test "$2" = ca || who=foreign-edge
    until_true curl -fsk --max-time 1 -o /dev/null --cert "$pki/$who.pem" --key "$pki/$who.key" \
        "$client/health" || {
        tail -n 20 "$work/etcd.log"
        give_up "etcd starts"
    }
}
stop_etcd() {
    kill "$etcd_pid"
    wait "$etcd_pid"
}

start_secure_etcd server ca
control=etcds://127.0.0.1:${ports[0]}
home=$work/authority
check "an authority remembers in an etcd that is asked over TLS" "$NIGH" cluster init --name eu --dir "$home" \
    --control "$control" --control-ca "$pki/ca.pem" --control-cert "$pki/edge.pem" --control-key "$pki/edge.key"
authority_answers "$home"
join "$home" eu-1 || give_up "an edge joins"
in_etcd() {
    ETCDCTL_API=3 etcdctl --endpoints "https://127.0.0.1:${ports[0]}" --cacert "$pki/ca.pem" \
        --cert "$pki/edge.pem" --key "$pki/edge.key" get --prefix --keys-only "nigh/eu/$1" | grep -q .
}
check "and there it is" in_etcd members/

# settings CONTROL [LINE...]: of an edge whose control state is there.
settings() {
    printf '%s\n' '[node]' 'name = "eu-1"' 'listen = "http://127.0.0.1:0"' 'workers = 1' \
        "admin = \"unix:$work/eu-1.sock\"" '[cluster.eu]' "listen = \"127.0.0.1:${ports[2]}\"" \
        "dir = \"$work/eu-1.joined\"" "control = \"$1\"" "${@:2}" >"$work/eu-1.toml"
}
ca="control_ca = \"$pki/believed.pem\""
shown=("control_cert = \"$pki/shown.pem\"" "control_key = \"$pki/shown.key\"")

# does_not_start WORDS: an edge says why, and that it waits or ends, and listens nowhere.
does_not_start() {
    run_edge eu-1
    until_true grep -q "$1" "$work/eu-1.log" || {
        cat "$work/eu-1.log"
        return 1
    }
    kill "${pid[eu-1]}" 2>/dev/null
    wait "${pid[eu-1]}"
    fails grep -q 'listening on' "$work/eu-1.log"
}

settings "$control" "control_ca = \"$pki/stranger.pem\"" "${shown[@]}"
check "an etcd under another authority is not believed" does_not_start 'under none of the authorities'
settings "$control" "${shown[@]}"
check "nor by the machine's roots" does_not_start 'under none of the authorities'
settings "$control" "$ca"
check "where no certificate is shown, it is said that one is asked for" does_not_start 'asks for a certificate'
settings "$control" "$ca" "control_cert = \"$pki/foreign-edge.pem\"" "control_key = \"$pki/foreign-edge.key\""
check "an edge under another authority is refused" does_not_start 'does not take our certificate'
settings "etcds://127.0.0.1:${ports[1]}" "$ca" "${shown[@]}"
check "an etcd that does not speak TLS is told from others" does_not_start 'does not speak TLS'
settings "$control" "$ca" "${shown[0]}" "control_key = \"$pki/none.key\""
check "a key that is not there ends the start" does_not_start "because: cannot read $pki/none.key"
settings "$control" "$ca" "control_cert = \"$pki/shown.key\"" "${shown[1]}"
check "as does a certificate that is none" does_not_start "because: control_cert: $pki/shown.key"
settings "$control" "$ca" "${shown[0]}" "control_key = \"$pki/server.key\""
check "and a key of another certificate" does_not_start 'the certificate and its key do not fit'
settings "${control/etcds/etcd}" "$ca"
check "without TLS, nobody is named who vouches" fails "$NIGH" check "$work/eu-1.toml"

settings "$control" "$ca" "${shown[@]}"
run_edge eu-1
serving eu-1
printf '[[site]]\nhost = "*"\norigin = "http://127.0.0.1:9"\n' >"$work/sites.toml"
purge() { "$NIGH" purge --all --admin "${admin[eu-1]}"; }
check "over TLS, sites reach the edge" "$NIGH" apply "$work/sites.toml" --admin "${admin[eu-1]}"
check "and purges do" purge

# trusts TIMES: how often the edge has said that it serves what is stored.
trusts() { test "$(grep -c 'serves what is stored' "$work/eu-1.log")" = "$1"; }
# says TIMES WORDS: why it does not.
says() { test "$(grep 'cannot be asked' "$work/eu-1.log" | grep -c "$2")" = "$1"; }

stop_etcd
start_secure_etcd foreign-server ca
check "an edge that runs does not believe an etcd that shows another certificate" \
    until_true says 1 'under none of the authorities'
check "and makes no purge there" fails purge
stop_etcd
start_secure_etcd server ca
check "nor has it forgotten the right one" until_true trusts 2

stop_etcd
start_secure_etcd foreign-server stranger
check "when both sides change their certificates, the edge waits for its own" \
    until_true says 2 'under none of the authorities'
for name in shown.pem=foreign-edge.pem shown.key=foreign-edge.key believed.pem=stranger.pem; do
    cp "$pki/${name#*=}" "$pki/${name%=*}"
done
check "and goes on with them when they are there, without a restart" until_true trusts 3
check "so that purges are made" purge
finish
