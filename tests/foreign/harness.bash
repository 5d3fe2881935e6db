# What the scripts of this folder share: an origin, an edge before it, and how a check is reported.
#
#   start_origin           $origin is its port
#   start_nigh [FLAG...]   $http and $https are the edge's addresses, $nigh_pid is its process
#   start_nigh_with FILE   the same with a settings file, and $http alone
#   check SENTENCE COMMAND [ARGUMENT...]
#   finish                 the last line; fails if a check has failed
#
# Everything lies in $work, which goes when the script ends, as do the processes it has started.

set -u
export LC_ALL=C
: "${NIGH:?says where the binary is}"
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
work=$(mktemp -d)
started=()
passed=0
failed=0

end() {
    local pid
    for pid in "${started[@]}"; do kill "$pid" 2>/dev/null; done
    for pid in "${started[@]}"; do wait "$pid" 2>/dev/null; done
    rm -rf "$work"
}
trap end EXIT

# A check is a command that succeeds; what it prints is shown when it does not.
check() {
    local sentence=$1
    shift
    if "$@" >"$work/said" 2>&1; then
        passed=$((passed + 1))
        echo "ok - $sentence"
    else
        failed=$((failed + 1))
        echo "not ok - $sentence"
        head -c 4000 "$work/said" | sed 's/^/    /'
    fi
}

finish() {
    echo "$passed passed, $failed failed"
    [ "$failed" -eq 0 ]
    exit
}

# Ends the script when there is no point in going on.
give_up() {
    echo "not ok - $1"
    echo "$passed passed, $((failed + 1)) failed"
    exit 1
}

# So many ports, one a line, that nobody listens on. They lie below those that the system gives to whoever
# connects, so that none is taken before it is used.
free_ports() {
    python3 - "$1" <<'END'
import random, socket, sys
held = []
while len(held) < int(sys.argv[1]):
    try:
        held.append(socket.create_server(("127.0.0.1", random.randrange(12_000, 32_000))))
    except OSError:
        pass
print(*(each.getsockname()[1] for each in held), sep="\n")
END
}

# An etcd of one member, with clients at ${ports[0]} and a second port of its own; $etcd_pid is its process.
# Started again, it has what it had.
start_etcd() {
    local client=http://127.0.0.1:${ports[0]} peer=http://127.0.0.1:${ports[1]}
    etcd --name one --data-dir "$work/etcd" --listen-client-urls "$client" \
        --advertise-client-urls "$client" --listen-peer-urls "$peer" \
        --initial-advertise-peer-urls "$peer" --initial-cluster "one=$peer" >>"$work/etcd.log" 2>&1 &
    etcd_pid=$!
    started+=("$etcd_pid")
    until_true curl -fs --max-time 1 -o /dev/null "$client/health" || {
        tail -n 20 "$work/etcd.log"
        give_up "etcd starts"
    }
}

# authority_answers DIR: what `nigh cluster init` has made there serves joins, and its tokens say where.
authority_answers() {
    "$NIGH" cluster serve --listen 127.0.0.1:0 --json --dir "$1" >"$1/serving" 2>"$1/serving.log" &
    started+=($!)
    until_true test -s "$1/serving" || give_up "the authority answers"
    sed -n 's/.*"\(127\.0\.0\.1:[0-9]*\)".*/\1/p' "$1/serving" >"$1/addresses"
}

# join DIR EDGE: by a token of the authority in DIR. What the edge has then is in $work/EDGE.joined.
join() {
    "$NIGH" cluster token --dir "$1" |
        "$NIGH" cluster join - --name "$2" --dir "$work/$2.joined" >"$work/joined" 2>&1 || {
        cat "$work/joined"
        return 1
    }
}

# run_edge EDGE: by the settings in $work/EDGE.toml, with its admin address at $work/EDGE.sock.
declare -A pid url admin
run_edge() {
    rm -f "$work/$1.sock"
    : >"$work/$1.log"
    NO_COLOR=1 "$NIGH" run "$work/$1.toml" 2>"$work/$1.log" &
    pid[$1]=$!
    started+=("${pid[$1]}")
    admin[$1]=unix:$work/$1.sock
}

# serving EDGE: waits until it forgets with its cluster; ${url[EDGE]} is where.
serving() {
    until_true grep -q 'forgets with the cluster' "$work/$1.log" || {
        cat "$work/$1.log"
        give_up "$1 starts, and forgets with the others"
    }
    url[$1]=http://$(sed -n 's|.*listening on http://\([^ ]*\) .*|\1|p' "$work/$1.log")
}

# comes_in EDGE PORT PATH: with its certificate, over a new connection to the eu-1 that listens there.
comes_in() {
    local got
    got=$(curl -sk --http2 --max-time 10 -o /dev/null -w '%{http_code}' \
        --cert "$work/$1.joined/edge.pem" --key "$work/$1.joined/edge.pem" \
        --resolve "eu-1.eu.nigh.internal:$2:127.0.0.1" -H 'Host: www.example' \
        -H "Nigh-Hop: \"$1\";scheme=http;for=\"203.0.113.9\"" \
        "https://eu-1.eu.nigh.internal:$2$3")
    echo "got $got"
    test "$got" = 200
}

fails() { ! "$@"; }

# Two origins, `one` and `two`, which answer every path with their name; $work/NAME.port is where.
start_named_origins() {
    local name
    for name in one two; do
        python3 "$here/named_origin.py" $name >"$work/$name.port" &
        started+=($!)
        until_true test -s "$work/$name.port" || give_up "origin $name starts"
    done
}

need() {
    local program
    for program in "$@"; do
        command -v "$program" >/dev/null || give_up "$program is installed"
    done
}

# Waits up to ten seconds until a command succeeds.
until_true() {
    local tries
    for tries in $(seq 200); do
        "$@" && return 0
        sleep 0.05
    done
    return 1
}

start_origin() {
    mkfifo "$work/orders"
    python3 "$here/origin.py" <"$work/orders" >"$work/origin.port" &
    started+=($!)
    # Kept open, so that the origin lives as long as this script.
    exec 9>"$work/orders"
    until_true test -s "$work/origin.port" || give_up "the origin starts"
    origin=$(cat "$work/origin.port")
}

tell_origin() {
    echo "$1" >&9
    sleep 0.1
}

# How often the origin was asked for a path, from itself.
asked() {
    curl -s --max-time 10 "http://127.0.0.1:$origin/asked?$1"
}

certificate() {
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 \
        -subj /CN=localhost -addext subjectAltName=DNS:localhost,IP:127.0.0.1 \
        -keyout "$work/key.pem" -out "$work/certificate.pem" 2>"$work/openssl" ||
        give_up "openssl makes a certificate"
}

start_nigh() {
    [ -s "$work/certificate.pem" ] || certificate
    : >"$work/nigh.log"
    NO_COLOR=1 "$NIGH" edge --to "http://127.0.0.1:$origin" \
        --listen http://127.0.0.1:0 --listen https://127.0.0.1:0 \
        --tls-cert "$work/certificate.pem" --tls-key "$work/key.pem" "$@" 2>"$work/nigh.log" &
    nigh_pid=$!
    started+=("$nigh_pid")
    until_true grep -q 'listening on https' "$work/nigh.log" || {
        cat "$work/nigh.log"
        give_up "nigh starts"
    }
    http=http://127.0.0.1:$(port_of http)
    https=https://localhost:$(port_of https)
}

start_nigh_with() {
    : >"$work/nigh.log"
    { printf '[node]\nlisten = "http://127.0.0.1:0"\n' && cat "$1"; } >"$work/listening.toml"
    NO_COLOR=1 "$NIGH" run "$work/listening.toml" 2>"$work/nigh.log" &
    nigh_pid=$!
    started+=("$nigh_pid")
    until_true grep -q 'listening on http' "$work/nigh.log" || {
        cat "$work/nigh.log"
        give_up "nigh starts"
    }
    http=http://127.0.0.1:$(port_of http)
}

port_of() {
    sed -n "s|.*listening on $1://[^ ]*:\([0-9]*\) .*|\1|p" "$work/nigh.log"
}

# A script for wrk, $work/many.lua: objects of $count lengths from $first on, $step apart.
ask_for_many() {
    cat >"$work/many.lua" <<LUA
wrk.headers["Host"] = "site.example"
function request()
  return wrk.format("GET", "/bytes/" .. $first + $step * math.random(0, $count - 1))
end
LUA
}

# --- Judges of what a command has left in files or printed.

equal() {
    [ "$1" = "$2" ] || {
        echo "found: $1"
        echo "expected: $2"
        return 1
    }
}

contains() {
    grep -Eiq -- "$2" "$1" || {
        echo "nothing in $(basename "$1") matches $2:"
        cat "$1"
        return 1
    }
}

lacks() {
    if grep -Ei -- "$2" "$1"; then
        echo "is in $(basename "$1"), against all expectation"
        return 1
    fi
}
