#!/usr/bin/env bash
# Revocations in a family of clusters, with a real etcd that both share: an edge of a child cluster that was
# put out is not let in by the parent any more, and one of the parent's that was is not asked by the child.
. "$(dirname "$0")/harness.bash"
need curl etcd python3

declare -A pid url admin

# etcd's two, then the edges' to each other.
mapfile -t ports < <(free_ports 5)
declare -A port=([eu-1]=${ports[2]} [us-1]=${ports[3]} [us-2]=${ports[4]})
control=etcd://127.0.0.1:${ports[0]}

start_origin
start_etcd

# made CLUSTER: its authority, which remembers in control state and answers.
made() {
    local cluster=$1
    "$NIGH" cluster init --name "$cluster" --dir "$work/$cluster" --control "$control" >"$work/made" 2>&1 || {
        cat "$work/made"
        give_up "the cluster $cluster is made"
    }
    "$NIGH" cluster serve --listen 127.0.0.1:0 --json --dir "$work/$cluster" >"$work/$cluster.serving" &
    started+=($!)
    until_true test -s "$work/$cluster.serving" || give_up "the authority of $cluster answers"
    sed -n 's/.*"\(127\.0\.0\.1:[0-9]*\)".*/\1/p' "$work/$cluster.serving" >"$work/$cluster/addresses"
}

# begin EDGE: joins its cluster, and serves.
begin() {
    local edge=$1 cluster=${1%-*}
    "$NIGH" cluster token --dir "$work/$cluster" |
        "$NIGH" cluster join - --name "$edge" --dir "$work/$edge.joined" >"$work/joined" 2>&1 || {
        cat "$work/joined"
        give_up "$edge joins"
    }
    # What is said of a cluster by an edge of it alone.
    declare -A own=([eu]="" [us]="")
    own[$cluster]="listen = \"127.0.0.1:${port[$edge]}\"
dir = \"$work/$edge.joined\""
    cat >"$work/$edge.toml" <<END
[node]
name = "$edge"
listen = "http://127.0.0.1:0"
admin = "unix:$work/$edge.sock"
workers = 2
[cluster.eu]
edges = ["eu-1=127.0.0.1:${port[eu-1]}"]
ca = "$work/eu/authority.pem"
control = "$control"
${own[eu]}
[cluster.us]
parent = "eu"
edges = ["us-1=127.0.0.1:${port[us-1]}", "us-2=127.0.0.1:${port[us-2]}"]
ca = "$work/us/authority.pem"
control = "$control"
${own[us]}
[[site]]
host = "*"
origin = "http://127.0.0.1:$origin"
END
    NO_COLOR=1 "$NIGH" run "$work/$edge.toml" 2>"$work/$edge.log" &
    pid[$edge]=$!
    started+=("${pid[$edge]}")
    until_true grep -q 'forgets with the cluster' "$work/$edge.log" || {
        cat "$work/$edge.log"
        give_up "$edge starts"
    }
    url[$edge]=http://$(sed -n 's|.*listening on http://\([^ ]*\) .*|\1|p' "$work/$edge.log")
}

metric() { curl -fs --max-time 10 --unix-socket "$work/$1.sock" http://localhost/metrics | sed -n "s/^$2 //p"; }
parents_answers() { metric "$1" nigh_parent_answers_total; }

# gets EDGE NAME: many paths, each of which is answered.
gets() {
    local at
    for at in {1..12}; do
        curl -fs --max-time 20 -o /dev/null "${url[$1]}/slow/0/$2-$at" || return 1
    done
}

# comes_in EDGE: with its certificate, over a new connection to the parent.
comes_in() {
    local got
    got=$(curl -sk --http2 --max-time 10 -o /dev/null -w '%{http_code}' \
        --cert "$work/$1.joined/edge.pem" --key "$work/$1.joined/edge.pem" \
        --resolve "eu-1.eu.nigh.internal:${port[eu-1]}:127.0.0.1" \
        -H "Nigh-Hop: \"$1\";scheme=http;for=\"203.0.113.9\"" \
        "https://eu-1.eu.nigh.internal:${port[eu-1]}/slow/0/come-$RANDOM")
    echo "got $got"
    test "$got" = 200
}
fails() { ! "$@"; }

made eu
made us
begin eu-1
begin us-1

check "a child is answered" gets us-1 before
answered=$(parents_answers us-1)
check "by its parent" test "$answered" = 12
check "whoever has its certificate comes in at the parent" comes_in us-1
check "an edge of the child is put out" "$NIGH" cluster revoke us-1 --dir "$work/us"
check "the parent hears of it" until_true grep -q 'count no more.*cluster="us"' "$work/eu-1.log"
check "and lets in no one with its certificate" fails comes_in us-1
check "that edge still answers its clients" gets us-1 after
check "but is answered by the parent no more" test "$(parents_answers us-1)" = "$answered"
kill "${pid[us-1]}"
wait "${pid[us-1]}" 2>/dev/null

begin us-2
check "another edge of the child is answered" gets us-2 other
answered=$(parents_answers us-2)
check "by the parent" test "$answered" = 12
kill -KILL "${pid[eu-1]}"
wait "${pid[eu-1]}" 2>/dev/null
rm -f "$work/eu-1.sock"
NO_COLOR=1 "$NIGH" run "$work/eu-1.toml" 2>"$work/eu-1.log" &
pid[eu-1]=$!
started+=("${pid[eu-1]}")
until_true grep -q 'forgets with the cluster' "$work/eu-1.log" || give_up "eu-1 starts again"
check "an edge that starts has read what was revoked in the child" fails comes_in us-1
check "and lets in who was not put out" comes_in us-2
check "an edge of the parent is put out" "$NIGH" cluster revoke eu-1 --dir "$work/eu"
check "the child hears of it" until_true grep -q 'count no more.*cluster="eu"' "$work/us-2.log"
before=$(parents_answers us-2)
check "the child still answers its clients" gets us-2 last
check "and asks that edge for nothing any more" test "$(parents_answers us-2)" = "$before"
finish
