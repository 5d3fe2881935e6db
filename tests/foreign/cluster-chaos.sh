#!/usr/bin/env bash
# A cluster under load while its network, its clocks and its control state fail: four edges, each in a
# network namespace of its own, an etcd, an origin, and clients that check every byte (nigh-load).
# Needs root, for the namespaces.
#
#   hub 198.18.N.1 ---- 198.18.N.2 eu-N      N from 1 to 4
#
# The hub has the clients, the origin and the etcd, and passes on what edges say to each other: what
# nftables drops there on its way, it drops between edges alone. A slow link to eu-4 goes beside the
# ordinary one, while there is one: two tun devices and a script. netem is a module that not every kernel
# has, and a script that gets too little of a busy machine loses packets: it carries nothing but what is to
# be slow.
#
# Clocks are the edges' own by a library of 20 lines that is loaded before the C library: namespaces
# have no wall clock, and the machine's is everyone's.
. "$(dirname "$0")/harness.bash"
: "${LOAD:?says where nigh-load is}"
need curl etcd python3 ip nft cc
[ "$(id -u)" = 0 ] || give_up "it runs as root, which alone may make network namespaces (sudo)"

id=$$
hub=nigh-hub-$id
numbers=(1 2 3 4)
space() { echo "nigh-eu-$1-$id"; }

remove_namespaces() {
    end
    local number
    for number in "${numbers[@]}"; do ip netns del "$(space "$number")" 2>/dev/null; done
    ip netns del "$hub" 2>/dev/null
}
trap remove_namespaces EXIT

# --- The network.

# Opens a tun device in each of two namespaces, and carries packets from one to the other, for each of
# which it takes so many seconds. The devices go when it ends.
cat >"$work/link.py" <<'END'
import ctypes, fcntl, heapq, os, select, struct, sys, time
TUNSETIFF, IFF_TUN, IFF_NO_PI, CLONE_NEWNET = 0x400454CA, 1, 0x1000, 0x40000000
PACKETS_MAX = 10_000
libc = ctypes.CDLL(None, use_errno=True)
def device(space):
    with open("/run/netns/" + space) as entered:
        if libc.setns(entered.fileno(), CLONE_NEWNET) != 0:
            sys.exit("cannot enter " + space)
    opened = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(opened, TUNSETIFF, struct.pack("16sH22s", b"slow", IFF_TUN | IFF_NO_PI, b""))
    return opened
ends, delay = [device(space) for space in sys.argv[1:3]], float(sys.argv[3])
print("ready", flush=True)
waiting, count = [], 0
while True:
    now = time.monotonic()
    while waiting and waiting[0][0] <= now:
        _, _, end, packet = heapq.heappop(waiting)
        try:
            os.write(end, packet)
        except OSError:
            pass  # As a network does: it is lost.
    left = max(0, waiting[0][0] - now) if waiting else None
    for end in select.select(ends, [], [], left)[0]:
        try:
            packet = os.read(end, 65536)
        except BlockingIOError:
            continue
        if len(waiting) < PACKETS_MAX:
            count += 1
            other = ends[1] if end == ends[0] else ends[0]
            heapq.heappush(waiting, (time.monotonic() + delay, count, other, packet))
END

lay_network() {
    local number name
    ip netns add "$hub" && ip -n "$hub" link set lo up || return
    ip netns exec "$hub" sh -c 'echo 1 >/proc/sys/net/ipv4/ip_forward' || return
    for number in "${numbers[@]}"; do
        name=$(space "$number")
        ip netns add "$name" && ip -n "$name" link set lo up || return
    done
    for number in "${numbers[@]}"; do
        name=$(space "$number")
        ip link add "eu-$number" netns "$hub" type veth peer name hub netns "$name" &&
            ip -n "$hub" address add "198.18.$number.1/24" dev "eu-$number" &&
            ip -n "$hub" link set "eu-$number" up &&
            ip -n "$name" address add "198.18.$number.2/24" dev hub && ip -n "$name" link set hub up &&
            ip -n "$name" route add default via "198.18.$number.1" metric 10 || return
    done
}

# slow_down SECONDS: what goes to eu-4, and what comes from it, takes so long. Until hurry_up: with the
# devices of the slow link go the routes over it.
slow_down() {
    local name
    name=$(space 4)
    python3 "$work/link.py" "$hub" "$name" "$1" >"$work/link.log" 2>&1 &
    link=$!
    started+=("$link")
    until_true grep -q ready "$work/link.log" &&
        ip -n "$hub" link set slow up && ip -n "$hub" route add 198.18.4.2 dev slow src 198.18.4.1 &&
        ip -n "$name" link set slow up && ip -n "$name" route add 198.18.4.1 dev slow src 198.18.4.2 &&
        ip -n "$name" route add default dev slow src 198.18.4.2 metric 5
}
hurry_up() {
    kill "$link"
    wait "$link" 2>/dev/null
}

# A connection to eu-4 takes a round trip.
is_slow() {
    local seconds
    seconds=$(ip netns exec "$hub" curl -s --max-time 10 -o /dev/null -w '%{time_connect}' http://198.18.4.2:8080/)
    python3 -c 'import sys; sys.exit(not float(sys.argv[1]) >= 0.3)' "$seconds" || {
        echo "connected after $seconds s"
        return 1
    }
}

# The first two edges and the last two do not hear of each other.
cut() {
    ip netns exec "$hub" nft -f - <<'RULES'
table ip nigh {
    set west { type ipv4_addr; elements = { 198.18.1.2, 198.18.2.2 } }
    set east { type ipv4_addr; elements = { 198.18.3.2, 198.18.4.2 } }
    chain between {
        type filter hook forward priority filter;
        ip saddr @west ip daddr @east drop
        ip saddr @east ip daddr @west drop
    }
}
RULES
}
heal() { ip netns exec "$hub" nft delete table ip nigh; }

# --- What runs in it. It does not hold on to the pipes by which origin and load are told what to do.

start_etcd() {
    ip netns exec "$hub" etcd --name one --data-dir "$work/etcd" --listen-client-urls http://0.0.0.0:2379 \
        --advertise-client-urls http://198.18.1.1:2379 --listen-peer-urls http://127.0.0.1:2380 \
        --initial-advertise-peer-urls http://127.0.0.1:2380 \
        --initial-cluster one=http://127.0.0.1:2380 >>"$work/etcd.log" 2>&1 7>&- 8>&- &
    etcd_pid=$!
    started+=("$etcd_pid")
    until_true ip netns exec "$hub" curl -fs --max-time 1 -o /dev/null http://127.0.0.1:2379/health || {
        tail -n 20 "$work/etcd.log"
        give_up "etcd starts"
    }
}

start_load_origin() {
    mkfifo "$work/origin.orders"
    ip netns exec "$hub" "$LOAD" origin 198.18.1.1:8000 <"$work/origin.orders" >"$work/origin.said" &
    started+=($!)
    exec 7>"$work/origin.orders"
    until_true grep -q 8000 "$work/origin.said" || give_up "the origin starts"
}

# What the origin has from now on is another edition. It has said which before this returns: what an edge
# gets of it after the purge has to be that.
publish() {
    local before
    before=$(wc -l <"$work/origin.said")
    echo publish >&7
    until_true has_said_more "$before"
}
has_said_more() { [ "$(wc -l <"$work/origin.said")" -gt "$1" ]; }

certify() {
    "$NIGH" cluster init --name eu --dir "$work/authority" >/dev/null || return
    authority_answers "$work/authority"
    local number
    for number in "${numbers[@]}"; do join "$work/authority" "eu-$number" || return; done
}

# start_edge NUMBER [VARIABLE=VALUE...]
start_edge() {
    local number=$1 name=eu-$1 listed="" other
    shift
    for other in "${numbers[@]}"; do listed+="\"eu-$other=198.18.$other.2:7300\", "; done
    cat >"$work/$name.toml" <<END
[node]
name = "$name"
listen = "http://198.18.$number.2:8080"
admin = "unix:$work/$name.sock"
workers = 1
[cluster.eu]
edges = [${listed%, }]
listen = "198.18.$number.2:7300"
dir = "$work/$name.joined"
control = "etcd://198.18.$number.1:2379"
[[site]]
host = "*"
origin = "http://198.18.1.1:8000"
END
    rm -f "$work/$name.sock"
    : >"$work/$name.log"
    NO_COLOR=1 ip netns exec "$(space "$number")" env "$@" "$NIGH" run "$work/$name.toml" 2>"$work/$name.log" 7>&- 8>&- &
    pid[$number]=$!
    started+=("${pid[$number]}")
    until_true grep -q 'forgets with the cluster' "$work/$name.log" || {
        cat "$work/$name.log"
        give_up "$name starts, and forgets with the others"
    }
}

# restart_edge NUMBER [VARIABLE=VALUE...]
restart_edge() {
    kill -TERM "${pid[$1]}"
    wait "${pid[$1]}" 2>/dev/null
    start_edge "$@"
}

# --- Load. begin_load NUMBER... on these edges, 200 requests a second, until end_load.

begin_load() {
    local number edges=()
    for number in "$@"; do edges+=("198.18.$number.2:8080"); done
    rm -f "$work/load.orders"
    mkfifo "$work/load.orders"
    ip netns exec "$hub" "$LOAD" ask 120 200 "${edges[@]}" <"$work/load.orders" >"$work/tally" 2>"$work/failures" &
    loading=$!
    started+=("$loading")
    exec 8>"$work/load.orders"
}

# Its last line says what clients saw; it succeeds if no request failed.
end_load() {
    exec 8>&-
    wait "$loading"
    local code=$?
    tally=$(tail -n 1 "$work/tally")
    echo "# $tally"
    return "$code"
}

# nobody_was_failed SENTENCE
nobody_was_failed() {
    end_load
    local code=$?
    head -n 8 "$work/failures" | sed 's/^/    /'
    check "$1" test "$code" -eq 0
}

# purge FLAG...: what it says is in $work/purged, and its exit code is the function's.
purge() { "$NIGH" purge --admin "unix:$work/eu-1.sock" "$@" >"$work/purged" 2>&1; }

lay_network || give_up "the network is there"
certify || give_up "the edges have joined their cluster"
start_etcd
start_load_origin
for number in "${numbers[@]}"; do start_edge "$number"; done

# --- All is well.

begin_load "${numbers[@]}"
sleep 4
nobody_was_failed "with all well nobody is failed"

# --- An edge that is slow to reach: a round trip to it takes 300 ms.

slow_down 0.15 || give_up "there is a slow link"
check "a round trip to eu-4 takes 300 ms" is_slow
begin_load 1 2 3
sleep 8
nobody_was_failed "with one edge 300 ms away nobody is failed"
hurry_up

# --- A network in two halves, which heals.

begin_load "${numbers[@]}"
sleep 2
cut || give_up "nftables drops what goes between the halves"
sleep 8
heal
sleep 5
nobody_was_failed "while the network is in two halves, and when it heals, nobody is failed"

# --- Clocks.

cat >"$work/clock.c" <<'END'
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <time.h>
int clock_gettime(clockid_t id, struct timespec *at) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    int got = real(id, at);
    const char *ahead = getenv("CLOCK_AHEAD");
    if (got == 0 && id == CLOCK_REALTIME && ahead) at->tv_sec += atol(ahead);
    return got;
}
END
cc -shared -fPIC -o "$work/clock.so" "$work/clock.c" -ldl 2>"$work/cc" || give_up "the clock is built"
now=$(date +%s)
says_another_hour() {
    local date
    date=$(ip netns exec "$hub" curl -s -o /dev/null -D - http://198.18.3.2:8080/object/1/1000 |
        sed -n 's/\r$//; s/^date: //Ip')
    local off=$(($(date -d "$date" +%s) - now))
    [ "${off#-}" -gt 3000 ] || {
        echo "Date: $date"
        return 1
    }
}
for ahead in 3600 -3600; do
    restart_edge 3 LD_PRELOAD="$work/clock.so" CLOCK_AHEAD="$ahead"
    # Its own store is empty, so the Date is its own.
    purge --all
    check "the clock of eu-3 is off by $ahead s" says_another_hour
    begin_load "${numbers[@]}"
    sleep 4
    nobody_was_failed "with an edge's clock off by $ahead s nobody is failed"
done
restart_edge 3

# --- Control state that goes and comes back.

begin_load "${numbers[@]}"
sleep 2
kill -KILL "$etcd_pid"
wait "$etcd_pid" 2>/dev/null
# Longer than a lease.
sleep 7
refused() { ! purge --all; }
check "without control state a purge is refused" refused
check "and it is said that nothing was purged" contains "$work/purged" 'nothing is purged on any edge'
start_etcd
publish
check "with control state back a purge is done" until_true purge --all
# Whoever is shown the first edition from now on was failed.
echo "purged 2" >&8
sleep 4
nobody_was_failed "while control state was gone, and since, nobody is failed, and after the purge nobody saw what was purged"
finish
