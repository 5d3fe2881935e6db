#!/usr/bin/env bash
# A family of clusters, with a real etcd that both share. Revocations: an edge of a child cluster that was
# put out is not let in by the parent any more, and one of the parent's that was is not asked by the child.
# The parent's edges are listed nowhere: a child asks those that have said in control state that they belong.
. "$(dirname "$0")/harness.bash"
need curl etcd python3

# etcd's two, then the edges' to each other.
mapfile -t ports < <(free_ports 6)
declare -A port=([eu-1]=${ports[2]} [us-1]=${ports[3]} [us-2]=${ports[4]} [eu-2]=${ports[5]})
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
    authority_answers "$work/$cluster"
}

# begin EDGE: joins its cluster, and serves.
begin() {
    local edge=$1 cluster=${1%-*}
    join "$work/$cluster" "$edge" || give_up "$edge joins"
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
    run_edge "$edge"
    serving "$edge"
}

metric() { curl -fs --max-time 10 --unix-socket "$work/$1.sock" http://localhost/metrics | sed -n "s/^$2 //p"; }
knows() { curl -fs --max-time 10 --unix-socket "$work/$1.sock" http://localhost/v1/config | grep -q "\"$2=127\.0\.0\.1:"; }
parents_answers() { metric "$1" nigh_parent_answers_total; }

# gets EDGE NAME: many paths, each of which is answered.
gets() {
    local at
    for at in {1..12}; do
        curl -fs --max-time 20 -o /dev/null "${url[$1]}/slow/0/$2-$at" || return 1
    done
}

# Whether the parent lets in whoever has an edge's certificate.
parent_lets_in() { comes_in "$1" "${port[eu-1]}" "/slow/0/come-$RANDOM"; }

made eu
made us
begin eu-1
begin us-1

check "a child is answered" gets us-1 before
answered=$(parents_answers us-1)
check "by its parent" test "$answered" = 12
check "whoever has its certificate comes in at the parent" parent_lets_in us-1
check "an edge of the child is put out" "$NIGH" cluster revoke us-1 --dir "$work/us"
check "the parent hears of it" until_true grep -q 'count no more.*cluster="us"' "$work/eu-1.log"
check "and lets in no one with its certificate" fails parent_lets_in us-1
check "that edge still answers its clients" gets us-1 after
check "but is answered by the parent no more" test "$(parents_answers us-1)" = "$answered"
kill "${pid[us-1]}"
wait "${pid[us-1]}" 2>/dev/null
printf '[[site]]\nhost = "*"\norigin = "http://127.0.0.1:%s"\n' "$origin" >"$work/sites.toml"
# tells_all COMMAND EDGE...: what an edge says of all others when it tells them something, in $work/told.
tells_all() { "$NIGH" "$1" "${@:3}" --admin "${admin[$2]}" >"$work/told" 2>&1; }
check "settings are applied through the parent" tells_all apply eu-1 "$work/sites.toml"
check "and an edge of the child that is gone is said to be away" contains "$work/told" 'us/us-1: away'
check "everything is purged through the parent" tells_all purge eu-1 --all
check "and that edge is named too" contains "$work/told" 'us/us-1: lapsed'

begin us-2
check "another edge of the child is answered" gets us-2 other
answered=$(parents_answers us-2)
check "by the parent" test "$answered" = 12
begin eu-2
check "the child hears of another edge of the parent" until_true knows us-2 eu-2
check "that one is drained" "$NIGH" drain eu-2 --admin "${admin[eu-1]}"
check "the child asks it no more" until_true fails knows us-2 eu-2
check "it is taken back" "$NIGH" drain eu-2 --undo --admin "${admin[eu-1]}"
check "the child asks it again" until_true knows us-2 eu-2
kill -KILL "${pid[eu-1]}"
wait "${pid[eu-1]}" 2>/dev/null
check "the child is answered" gets us-2 by-eu-2
check "by that one too" test "$(parents_answers us-2)" = 24
run_edge eu-1
serving eu-1
kill "${pid[eu-2]}"
wait "${pid[eu-2]}" 2>/dev/null
check "an edge that starts has read what was revoked in the child" fails parent_lets_in us-1
check "and lets in who was not put out" parent_lets_in us-2
check "settings are applied through the child" tells_all apply us-2 "$work/sites.toml"
check "and an edge of the parent that is gone is said to be away" contains "$work/told" 'eu/eu-2: away'
check "an edge of the parent is put out" "$NIGH" cluster revoke eu-1 --dir "$work/eu"
check "the child hears of it" until_true grep -q 'count no more.*cluster="eu"' "$work/us-2.log"
check "to whose parent it does not belong any more" until_true fails knows us-2 eu-1
before=$(parents_answers us-2)
check "the child still answers its clients" gets us-2 last
check "and asks it for nothing any more" test "$(parents_answers us-2)" = "$before"
finish
