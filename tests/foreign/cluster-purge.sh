#!/usr/bin/env bash
# Forgetting together, with a real etcd: three edges with disks before one origin whose answers change.
# After `nigh purge` on one of them nobody serves what was purged: not an edge that was stopped, not one
# that was killed, and while etcd is gone nothing is served that the origin has not confirmed.
. "$(dirname "$0")/harness.bash"
need curl etcd python3

edges=(eu-1 eu-2 eu-3)
# Enough that each edge owns some of them.
paths=(/a /b /c /d /e /f /g /h /i /j /k /l)

# etcd's two, then the edges' to each other.
mapfile -t ports < <(free_ports 5)

# --- What is there: an origin, an authority, an etcd, and edges.

# Answers every path with the version that $work/version has, for ten minutes, and confirms it.
cat >"$work/origin.py" <<'END'
import http.server, sys
folder = sys.argv[1]
class Origin(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        version = open(folder + "/version").read().strip()
        tag = f'"{version}"'
        known = self.headers.get("If-None-Match") == tag
        body = b"" if known else f"version {version}".encode()
        self.send_response(304 if known else 200)
        self.send_header("ETag", tag)
        self.send_header("Cache-Control", "max-age=600, stale-if-error=600")
        self.send_header("Cache-Tag", "news")
        if not known:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_):
        pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Origin)
print(server.server_port, flush=True)
server.serve_forever()
END
echo 1 >"$work/version"
python3 "$work/origin.py" "$work" >"$work/origin.port" &
started+=($!)
until_true test -s "$work/origin.port" || give_up "the origin starts"
origin=$(cat "$work/origin.port")

"$NIGH" cluster init --name eu --dir "$work/authority" >/dev/null || give_up "a cluster is made"
authority_answers "$work/authority"
for edge in "${edges[@]}"; do join "$work/authority" "$edge" || give_up "$edge joins"; done

# start_edge NAME NUMBER
start_edge() {
    local name=$1 listed="" at
    for at in 0 1 2; do
        listed+="\"${edges[at]}=127.0.0.1:${ports[at + 2]}\", "
    done
    cat >"$work/$name.toml" <<END
[node]
name = "$name"
listen = "http://127.0.0.1:0"
admin = "unix:$work/$name.sock"
workers = 2
[cache]
disk = { path = "$work/$name.disk", size = "64MiB" }
[cluster.eu]
edges = [${listed%, }]
listen = "127.0.0.1:${ports[$2 + 1]}"
dir = "$work/$name.joined"
control = "etcd://127.0.0.1:${ports[0]}"
[[site]]
host = "*"
origin = "http://127.0.0.1:$origin"
END
    run_edge "$name"
    serving "$name"
}

# --- Judges.

# get EDGE PATH: the body, and Cache-Status behind it.
get() {
    curl -s --max-time 20 -o "$work/body" -D "$work/head" -H 'Host: www.example' "${url[$1]}$2" || return 1
    cat "$work/body"
    sed -n 's/\r$//; s/^cache-status: / /Ip' "$work/head"
}

# all_serve VERSION EDGE...: every path of each of them.
all_serve() {
    local version=$1 edge path got
    shift
    for edge in "$@"; do
        for path in "${paths[@]}"; do
            got=$(get "$edge" "$path") || {
                echo "$edge does not answer for $path"
                return 1
            }
            case $got in
                "version $version"*) ;;
                *)
                    echo "$edge$path: $got"
                    return 1
                    ;;
            esac
        done
    done
}

# says EDGE WORDS: Cache-Status of every path has them.
says() {
    local path got
    for path in "${paths[@]}"; do
        got=$(get "$1" "$path")
        grep -Eq -- "$2" <<<"$got" || {
            echo "$1$path: $got"
            return 1
        }
    done
}

# purge EDGE FLAG...: what it says is in $work/purged, and its exit code is the function's.
purge() {
    local edge=$1
    shift
    "$NIGH" purge --admin "${admin[$edge]}" "$@" >"$work/purged" 2>&1
}

# A new version, which nobody sees before a purge.
version() {
    echo "$1" >"$work/version"
}

start_etcd
for at in 1 2 3; do start_edge "eu-$at" "$at"; done

# --- A purge reaches all.

check "all edges serve the first version" all_serve 1 "${edges[@]}"
version 2
check "and go on with it while it is fresh" all_serve 1 "${edges[@]}"
check "a purge through one edge is done" purge eu-1 --host www.example
for edge in "${edges[@]}"; do
    check "and says of $edge when it had forgotten" contains "$work/purged" "$edge: forgotten after [0-9]+ ms"
done
check "after it all edges serve the new version" all_serve 2 "${edges[@]}"
version 3
check "a purge by tag is done" purge eu-2 --tag news
check "and nobody serves what had the tag" all_serve 3 "${edges[@]}"
version 4
urls=()
for path in "${paths[@]}"; do urls+=("http://www.example$path"); done
check "a purge of URLs is done" purge eu-3 --json "${urls[@]}"
check "and is the third of the cluster" contains "$work/purged" '"id": *3,'
check "and nobody serves them" all_serve 4 "${edges[@]}"

# --- An edge that was stopped.

kill -STOP "${pid[eu-3]}"
version 5
began=$(date +%s)
check "a purge while an edge is stopped is done" purge eu-1 --all
took=$(($(date +%s) - began))
check "because that edge's lease ran out" contains "$work/purged" 'eu-3: lapsed after [0-9]+ ms'
check "within ten seconds" test "$took" -le 10
# Asked while it stands still, so that it is the first thing that it sees.
curl -s --max-time 20 -H 'Host: www.example' "${url[eu-3]}${paths[0]}" >"$work/first" &
asking=$!
sleep 0.3
kill -CONT "${pid[eu-3]}"
wait "$asking"
check "when it goes on, its first answer is the new version" contains "$work/first" '^version 5$'
check "and so are all others" all_serve 5 eu-3
check "and the other edges'" all_serve 5 "${edges[@]}"

# --- No control state.

kill -KILL "$etcd_pid"
wait "$etcd_pid" 2>/dev/null
# Longer than a lease.
sleep 6
check "without control state all edges answer" all_serve 5 "${edges[@]}"
for edge in "${edges[@]}"; do
    check "and $edge has what it holds confirmed" says "$edge" 'purges-unknown'
done
version 6
check "so that a new version is seen at once" all_serve 6 "${edges[@]}"
refused() { ! purge eu-1 --all; }
check "a purge is refused" refused
check "and it is said that nothing was purged" contains "$work/purged" 'nothing is purged on any edge'
start_etcd
trusts() { says "$1" 'hit' && ! grep -q 'purges-unknown' "$work/head"; }
for edge in "${edges[@]}"; do
    check "with control state back, $edge serves what is stored" until_true trusts "$edge"
done
version 7
check "and a purge is done again" purge eu-2 --all
check "and reaches all" all_serve 7 "${edges[@]}"

# --- An edge with a disk that was killed.

kill_edge() {
    kill -KILL "${pid[eu-2]}"
    wait "${pid[eu-2]}" 2>/dev/null
}
version 8
# Writing is not waited for by anybody.
sleep 2
kill_edge
start_edge eu-2 2
check "an edge that was killed goes on with what its disk has" all_serve 7 eu-2
kill_edge
check "a purge while an edge is down is done" purge eu-1 --prefix http://www.example/
check "because that edge is gone" contains "$work/purged" 'eu-2: lapsed'
start_edge eu-2 2
check "when it is back, it serves nothing that was purged" all_serve 8 eu-2
check "and nor do the others" all_serve 8 "${edges[@]}"

# --- An edge that ends.

kill -TERM "${pid[eu-2]}"
wait "${pid[eu-2]}" 2>/dev/null
began=$(date +%s%N)
check "a purge after an edge has ended is done" purge eu-1 --all
took=$((($(date +%s%N) - began) / 1000000))
check "at once, since it has given its lease back" test "$took" -le 2000
finish
