#!/usr/bin/env bash
# Settings for all, whom edges believe and who belongs, with a real etcd and three edges: `nigh apply`
# reaches all of them, an edge that was away catches up before it serves, one that cannot use settings
# says so; an edge that was put out gets nothing from the others, and a certificate that is due is renewed
# while the edge serves.
. "$(dirname "$0")/harness.bash"
need curl etcd openssl python3

edges=(eu-1 eu-2 eu-3)

# etcd's two, then the edges' to each other.
mapfile -t ports < <(free_ports 5)

# --- What is there: two origins, an etcd, an authority, and edges without sites of their own.

start_named_origins
start_etcd

# The authority remembers in control state, and its directory says so.
authority=$work/authority
"$NIGH" cluster init --name eu --dir "$authority" --control "etcd://127.0.0.1:${ports[0]}" \
    >"$work/made" 2>&1 || {
    cat "$work/made"
    give_up "a cluster is made whose authority remembers in control state"
}
authority_answers "$authority"

for edge in "${edges[@]}"; do join "$authority" "$edge" || give_up "$edge joins"; done
check "nothing of that is kept beside the key" test ! -e "$authority/members"

# begin_edge NAME NUMBER: nobody lists it, it says itself that it belongs.
begin_edge() {
    local name=$1
    cat >"$work/$name.toml" <<END
[node]
name = "$name"
listen = "http://127.0.0.1:0"
admin = "unix:$work/$name.sock"
workers = 2
[cluster.eu]
listen = "127.0.0.1:${ports[$2 + 1]}"
dir = "$work/$name.joined"
control = "etcd://127.0.0.1:${ports[0]}"
END
    run_edge "$name"
}

# --- Judges.

# sites ORIGIN [LINE]: a settings file.
sites() {
    printf '[[site]]\nhost = "*"\norigin = "http://127.0.0.1:%s"\n%s\n' "$(cat "$work/$1.port")" "${2-}"
}

# apply EDGE FLAG...: applies $work/sites.toml; what is said is in $work/applied.
apply() {
    local edge=$1
    shift
    "$NIGH" apply "$work/sites.toml" --admin "${admin[$edge]}" "$@" >"$work/applied" 2>&1
}

# gets EDGE PATH TEXT
gets() {
    local got
    got=$(curl -s --max-time 20 -H 'Host: www.example' "${url[$1]}$2") && test "$got" = "$3" || {
        echo "$1$2: $got"
        return 1
    }
}

# ask EDGE PATH: its admin address.
ask() { curl -fs --max-time 10 --unix-socket "$work/$1.sock" "http://localhost$2"; }
metric() { ask "$1" /metrics | sed -n "s/^$2 //p"; }
says_revision() { test "$(metric "$1" nigh_settings_revision)" = "$2"; }

for at in 1 2 3; do begin_edge "eu-$at" "$at"; done
for edge in "${edges[@]}"; do serving "$edge"; done

# knows EDGE OTHER: whether the other one belongs, as it sees it.
knows() { ask "$1" /v1/config | grep -q "\"$2=127\.0\.0\.1:"; }

# --- Who belongs.

for edge in "${edges[@]}"; do
    for other in "${edges[@]}"; do
        check "$edge knows that $other belongs" until_true knows "$edge" "$other"
    done
done

# --- Applying reaches all.

check "without settings no edge serves anything" fails gets eu-1 /live "origin one"
sites one >"$work/sites.toml"
check "settings are applied through one edge" apply eu-1
revision=$(sed -n 's/^applied: revision //p' "$work/applied")
for edge in "${edges[@]}"; do
    check "and $edge is said to run them" contains "$work/applied" "$edge: runs after [0-9]+ ms"
    check "and does" gets "$edge" /live "origin one"
    check "and says so in its numbers" says_revision "$edge" "$revision"
done
sites two >"$work/sites.toml"
check "others are applied through another edge, after these" apply eu-2 --after "$revision" --json
revision_two=$(sed -n 's/.*"revision": *\([0-9]*\).*/\1/p' "$work/applied")
for edge in "${edges[@]}"; do check "and $edge serves them" gets "$edge" /live "origin two"; done
sites one >"$work/sites.toml"
check "who has not seen them changes nothing" fails apply eu-3 --after "$revision"
check "and is told what is there" contains "$work/applied" 'others by now, revision [0-9]+'
check "and all edges go on" gets eu-3 /live "origin two"

# --- Settings that cannot be used.

printf '[[site]]\nhost = "*"\n' >"$work/sites.toml"
check "a file with a mistake is refused" fails apply eu-1
check "and the mistake has its place" contains "$work/applied" 'sites.toml:1:1: a site has an origin'
# signed FILE: a rule that takes a secret to be of use.
signed() { printf '[[site.path]]\nmatch = "/signed/"\nsigned = [{ id = "a", file = "%s" }]\n' "$1"; }
sites one "$(signed missing.key)" >"$work/sites.toml"
check "what the asked edge cannot use is refused" fails apply eu-1
check "and it is said what is missing" contains "$work/applied" 'missing\.key'
for edge in "${edges[@]}"; do check "and $edge goes on" gets "$edge" /live "origin two"; done
# Files that sites name lie beside each edge's own settings: one edge is given another folder.
kill "${pid[eu-3]}"
wait "${pid[eu-3]}" 2>/dev/null
mkdir -p "$work/elsewhere"
mv "$work/eu-3.toml" "$work/elsewhere/eu-3.toml"
rm -f "$work/eu-3.sock"
NO_COLOR=1 "$NIGH" run "$work/elsewhere/eu-3.toml" 2>"$work/eu-3.log" &
pid[eu-3]=$!
started+=("${pid[eu-3]}")
serving eu-3
echo 0123456789abcdef0123456789abcdef >"$work/extra.key"
sites one "$(signed extra.key)" >"$work/sites.toml"
check "settings that one edge of three cannot use end with 1" fails apply eu-1
check "and that edge is named with its reason" contains "$work/applied" 'eu-3: refused after [0-9]+ ms: .*extra\.key'
check "the others run them" gets eu-2 /live "origin one"
check "and that one goes on with what it ran" says_revision eu-3 "$revision_two"
check "and says so" contains <(ask eu-3 /v1/status) '"problem":"[^"]*extra\.key'
cp "$work/extra.key" "$work/elsewhere/extra.key"
check "when it has what was missing, it runs them by itself" until_true gets eu-3 /live "origin one"

# --- An edge that was away.

kill -TERM "${pid[eu-3]}"
wait "${pid[eu-3]}" 2>/dev/null
sites two >"$work/sites.toml"
began=$(date +%s%N)
check "settings are applied while an edge is away" apply eu-1
took=$((($(date +%s%N) - began) / 1000000))
check "which is not waited for, since it said that it goes" test "$took" -le 3000
check "and is said to be away" contains "$work/applied" 'eu-3: away'
kill -KILL "$etcd_pid"
wait "$etcd_pid" 2>/dev/null
cat >"$work/manager.py" <<'END'
import socket, sys
heard = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
heard.bind(sys.argv[1])
while True:
    print(heard.recv(4096).decode(), flush=True)
END
python3 "$work/manager.py" "$work/notify" >"$work/told" &
started+=($!)
until_true test -S "$work/notify" || give_up "somebody listens as systemd does"
export NOTIFY_SOCKET=$work/notify
begin_edge eu-3 3
unset NOTIFY_SOCKET
check "an edge that cannot ask control state says that it waits" \
    until_true grep -q 'waits for control state' "$work/eu-3.log"
check "and tells systemd so, and asks for more time" \
    until_true grep -qx 'EXTEND_TIMEOUT_USEC=30000000' "$work/told"
check "in words" grep -qx 'STATUS=waiting for control state' "$work/told"
check "and not that it is ready" fails grep -q READY "$work/told"
check "and serves nobody" fails grep -q 'listening on' "$work/eu-3.log"
start_etcd
serving eu-3
check "it is ready when it serves" until_true grep -qx 'READY=1' "$work/told"
check "when it is back, its first answer is by the latest settings" gets eu-3 /live "origin two"

# --- Drained by name.

owns() { ask "$1" /v1/status | grep -qE "\"name\":\"$2\"[^}]*\"on_ring\":true"; }
check "an edge is drained through another" "$NIGH" drain eu-2 --admin "${admin[eu-1]}"
for edge in "${edges[@]}"; do check "$edge has it off its ring" until_true fails owns "$edge" eu-2; done
check "clients are sent elsewhere" fails ask eu-2 /healthz
check "and served if they come" gets eu-2 /live "origin two"
kill -KILL "${pid[eu-2]}"
wait "${pid[eu-2]}" 2>/dev/null
rm -f "$work/eu-2.sock"
begin_edge eu-2 2
serving eu-2
check "after a restart it is drained still" fails ask eu-2 /healthz
check "and any edge says so" test "$("$NIGH" drain --admin "${admin[eu-3]}")" = eu-2
check "it is taken back" "$NIGH" drain eu-2 --undo --admin "${admin[eu-3]}"
for edge in "${edges[@]}"; do check "$edge has it on its ring" until_true owns "$edge" eu-2; done
check "and clients may come" ask eu-2 /healthz

# --- Whom edges believe.

serial() {
    openssl s_client -connect "127.0.0.1:${ports[$2]}" -servername "$1.eu.nigh.internal" </dev/null 2>/dev/null |
        openssl x509 -noout -serial | sed 's/serial=//'
}
# A certificate of the same join with an hour left of ten, as time would have made it.
old=$(openssl x509 -in "$work/eu-2.joined/edge.pem" -noout -serial | sed 's/serial=//')
openssl pkey -in "$work/eu-2.joined/edge.pem" -out "$work/eu-2.key" 2>/dev/null
due=${old:0:16}0123456789ABCDEF
openssl req -new -key "$work/eu-2.key" -subj "/" -out "$work/due.csr" 2>/dev/null
mkdir -p "$work/ca" && : >"$work/ca/index.txt" && echo "$due" >"$work/ca/serial"
cat >"$work/ca/conf" <<END
[ca]
default_ca = own
[own]
database = $work/ca/index.txt
serial = $work/ca/serial
new_certs_dir = $work/ca
default_md = sha256
policy = any
x509_extensions = edge
[any]
commonName = optional
[edge]
basicConstraints = critical,CA:FALSE
keyUsage = critical,digitalSignature
extendedKeyUsage = serverAuth,clientAuth
subjectAltName = critical,DNS:eu-2.eu.nigh.internal
END
openssl ca -batch -notext -config "$work/ca/conf" -cert "$authority/authority.pem" \
    -keyfile "$authority/authority.key" -in "$work/due.csr" -out "$work/due.pem" -subj "/" \
    -startdate "$(date -u -d '-1 hour' +%y%m%d%H%M%SZ)" -enddate "$(date -u -d '+10 minutes' +%y%m%d%H%M%SZ)" \
    >"$work/openssl" 2>&1 || {
    cat "$work/openssl"
    give_up "openssl makes a certificate that is due"
}
cat "$work/eu-2.key" "$work/due.pem" "$authority/authority.pem" >"$work/eu-2.joined/edge.pem"
# It stands in for time that has passed: the authority is not there at first.
check "before, the edge shows the one it has joined with" test "$(serial eu-2 3)" = "$old"
kill -HUP "${pid[eu-2]}"
renewed() {
    local now
    now=$(serial eu-2 3)
    test -n "$now" && test "$now" != "$old" && test "$now" != "$due"
}
check "a certificate that is due is renewed while the edge serves" until_true renewed
now=$(serial eu-2 3)
check "and stays of its join" test "${now:0:16}" = "${old:0:16}"
check "and is in the edge's directory" test "$(openssl x509 -in "$work/eu-2.joined/edge.pem" -noout -serial)" = "serial=$now"
check "and the numbers say for how long it is good" test "$(metric eu-2 nigh_cluster_certificate_seconds)" -gt 80000
check "and that it was renewed" test "$(metric eu-2 nigh_cluster_renewals_total)" = 1

failures() { metric "$1" nigh_sibling_failures_total; }
answers() { metric "$1" nigh_sibling_answers_total; }
# Of so many paths the others own some.
ask_all() { for at in {1..40}; do gets "$1" "/$2/$at" "origin two" || return 1; done; }
before=$(answers eu-3)
check "an edge is answered by the others" ask_all eu-3 before
check "for what they own" test "$(answers eu-3)" -gt "$before"
check "an edge is put out" "$NIGH" cluster revoke eu-3 --dir "$authority"
until_true grep -q 'was put out of its cluster' "$work/eu-3.log"
check "it hears of it" grep -q 'was put out of its cluster' "$work/eu-3.log"
before=$(answers eu-3)
check "it still answers its clients" ask_all eu-3 after
check "but gets nothing from the others any more" test "$(answers eu-3)" = "$before"
for edge in eu-1 eu-2; do
    check "$edge knows that it does not belong any more" fails knows "$edge" eu-3
done
check "and is not renewed" fails "$NIGH" cluster renew --dir "$work/eu-3.joined"
before=$(answers eu-1)
check "the others go on with each other" ask_all eu-1 others
check "as before" test "$(answers eu-1)" -gt "$before"
kill -TERM "${pid[eu-3]}"
wait "${pid[eu-3]}" 2>/dev/null
begin_edge eu-3 3
wait "${pid[eu-3]}"
check "an edge that was put out does not start again" test $? = 1
check "and says why" grep -q 'was put out of eu: join again' "$work/eu-3.log"
check "and does not belong again" fails knows eu-1 eu-3
rm -r "$work/eu-3.joined"
check "its name is free for whoever has a token" join "$authority" eu-3
begin_edge eu-3 3
serving eu-3
check "and that one is answered" until_true knows eu-1 eu-3
before=$(answers eu-3)
check "by the others" ask_all eu-3 again
check "for what they own" test "$(answers eu-3)" -gt "$before"
finish
