#!/usr/bin/env bash
# Control state that is lost, with a real etcd and three edges: etcd comes back empty. Edges serve what they
# served, say again that they are there, do not believe who was put out before, and serve nothing that is
# purged afterwards, though the numbers of purges begin anew.
. "$(dirname "$0")/harness.bash"
need curl etcd etcdctl python3

edges=(eu-1 eu-2 eu-3)

# etcd's two, then the edges' to each other.
mapfile -t ports < <(free_ports 5)
control=etcd://127.0.0.1:${ports[0]}

start_named_origins
start_etcd

authority=$work/authority
"$NIGH" cluster init --name eu --dir "$authority" --control "$control" >"$work/made" 2>&1 || {
    cat "$work/made"
    give_up "a cluster is made"
}
authority_answers "$authority"

for at in 1 2 3; do
    edge=eu-$at
    join "$authority" "$edge" || give_up "$edge joins"
    cat >"$work/$edge.toml" <<END
[node]
name = "$edge"
listen = "http://127.0.0.1:0"
admin = "unix:$work/$edge.sock"
workers = 2
[cluster.eu]
listen = "127.0.0.1:${ports[$at + 1]}"
dir = "$work/$edge.joined"
control = "$control"
END
    run_edge "$edge"
    serving "$edge"
done

# --- Judges.

apply() {
    printf '[[site]]\nhost = "*"\norigin = "http://127.0.0.1:%s"\n' "$(cat "$work/$2.port")" >"$work/sites.toml"
    "$NIGH" apply "$work/sites.toml" --admin "${admin[$1]}"
}
purge() { "$NIGH" purge --admin "${admin[$1]}" "${@:2}"; }

# serves EDGE NAME ORIGIN: many paths, of which each edge owns some.
serves() {
    local at got
    for at in {1..12}; do
        got=$(curl -s --max-time 20 -H 'Host: www.example' "${url[$1]}/$2/$at")
        test "$got" = "origin $3" || {
            echo "$1/$2/$at: $got"
            return 1
        }
    done
}
# The same of paths that nobody has asked for yet.
serves_anew() { serves "$1" "anew-$RANDOM" "$2"; }
in_etcd() {
    ETCDCTL_API=3 etcdctl --endpoints "127.0.0.1:${ports[0]}" get --prefix --keys-only nigh/eu/ >"$work/keys"
    grep -qx "nigh/eu/$1" "$work/keys"
}
# trusted EDGE TIMES: how often it has said that it serves what is stored.
trusted() { test "$(grep -c 'serves what is stored' "$work/$1.log")" = "$2"; }
said_once() { test "$(grep -c 'control state was set back' "$work/$1.log")" = 1; }

# --- Before.

check "settings are applied" apply eu-1 one
for edge in eu-1 eu-2; do check "$edge serves them" serves "$edge" kept one; done
check "a purge is done" purge eu-1 --prefix http://www.example/none/
check "and another one" purge eu-2 --prefix http://www.example/none/
check "an edge that belongs comes in" comes_in eu-3 "${ports[2]}" "/come/$RANDOM"
check "it is put out" "$NIGH" cluster revoke eu-3 --dir "$authority"
check "of which the others hear" until_true grep -q 'certificates count no more' "$work/eu-1.log"
check "and let it in no more" fails comes_in eu-3 "${ports[2]}" "/come/$RANDOM"

# --- The data is lost, while one edge stands still.

kill -STOP "${pid[eu-2]}"
kill -KILL "$etcd_pid"
wait "$etcd_pid" 2>/dev/null
rm -rf "$work/etcd"
start_etcd
check "an edge says again how it is reached" until_true in_etcd edges/eu-1
check "and what it runs" until_true in_etcd runs/eu/eu-1
check "it says that control state was set back" until_true said_once eu-1
check "and goes on serving its sites" serves eu-1 kept one
check "also what it has not stored" serves eu-1 new one
check "who was put out before is not let in" fails comes_in eu-3 "${ports[2]}" "/come/$RANDOM"
check "and does not say that it belongs" fails in_etcd edges/eu-3
check "others are applied through it" apply eu-1 two
check "and served" serves eu-1 other two
# Until two have been, the edge that stands still has seen more of them than there are.
check "what was kept is purged" purge eu-1 --prefix http://www.example/kept/
check "and something else" purge eu-1 --prefix http://www.example/none/

kill -CONT "${pid[eu-2]}"
check "the edge that stood still says again how it is reached" until_true in_etcd edges/eu-2
check "and serves what was applied" until_true serves_anew eu-2 two
check "and what it has stored" until_true trusted eu-2 2
check "but nothing that was purged" serves eu-2 kept two
check "nor does the other" serves eu-1 kept two
check "it was said once that control state was set back" said_once eu-1
check "and still believes nobody who was put out" fails comes_in eu-3 "${ports[2]}" "/come/$RANDOM"
finish
