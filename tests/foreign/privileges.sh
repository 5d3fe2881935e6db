#!/usr/bin/env bash
# Root opens the ports, an ordinary user serves: what the kernel says of the process and its threads,
# and that another process can take its place all the same.
. "$(dirname "$0")/harness.bash"
need curl python3
if [ "$(id -u)" -ne 0 ]; then
    echo "note: this is not root, who alone has something to give up; nothing was tested"
    finish
fi

start_origin
chmod 755 "$work"
cp "$NIGH" "$work/nigh"
free_port() {
    python3 - <<'P'
import socket
for port in range(700, 1024):
    with socket.socket() as held:
        try:
            held.bind(("127.0.0.1", port))
        except OSError:
            continue
        print(port)
        break
P
}
port=$(free_port)
settings() {
    cat >"$work/nigh.toml" <<T
[node]
listen = [$1]
admin = "127.0.0.1:0"
workers = 2
user = "nobody"
access_log = "$work/access.log"
[cache]
disk = { path = "$work/disk", size = "16MiB" }
[[site]]
host = "*"
origin = "http://127.0.0.1:$origin"
T
}
settings "\"http://127.0.0.1:$port\""
NO_COLOR=1 "$work/nigh" run "$work/nigh.toml" 2>"$work/nigh.log" &
nigh_pid=$!
started+=("$nigh_pid")
until_true grep -q 'admin on' "$work/nigh.log" || {
    cat "$work/nigh.log"
    give_up "nigh starts as root"
}
answers() { equal "$(curl -s --max-time 10 -o /dev/null -w '%{http_code}' "http://127.0.0.1:$port/bytes/10")" 200; }
nobody=$(id -u nobody)
of_all_threads() { sed -n "s/^$1:[[:space:]]*//p" /proc/"$nigh_pid"/task/*/status | sort -u; }
is_nobody() {
    check "$1: every thread is nobody's" equal "$(of_all_threads Uid)" "$(printf '%s\t%s\t%s\t%s' "$nobody" "$nobody" "$nobody" "$nobody")"
    check "$1: none has a capability" equal "$(of_all_threads CapPrm) $(of_all_threads CapEff)" "0000000000000000 0000000000000000"
    check "$1: none can get new ones" equal "$(of_all_threads NoNewPrivs)" 1
    check "$1: it has none of root's groups" lacks <(of_all_threads Groups) '(^| )0( |$)'
    check "$1: it answers on a port of root's" answers
    check "$1: and once more, from memory" answers
}
is_nobody "the first process"
check "the log and the disk are nobody's" equal \
    "$(stat -c %U "$work/access.log" "$work/disk" "$work/disk/lock" | sort -u)" nobody

kill -USR2 "$nigh_pid"
until_true grep -q 'the new process serves' "$work/nigh.log" || {
    cat "$work/nigh.log"
    give_up "another process takes its place"
}
nigh_pid=$(sed -n 's/.*a new process is started.* pid=\([0-9]*\).*/\1/p' "$work/nigh.log" | tail -n 1)
started+=("$nigh_pid")
is_nobody "the second process"

other=$(free_port)
settings "\"http://127.0.0.1:$port\", \"http://127.0.0.1:$other\""
kill -USR2 "$nigh_pid"
until_true grep -q 'does not take over' "$work/nigh.log"
check "a further port of root's is refused, with the reason" contains "$work/nigh.log" \
    "cannot listen on 127.0.0.1:$other: a port below 1024 is for root"
check "and the second process goes on" answers
kill -TERM "$nigh_pid"

NO_COLOR=1 timeout 2 "$NIGH" edge --to "http://127.0.0.1:$origin" --listen http://127.0.0.1:0 2>"$work/root.log"
check "root that names no user is warned" contains "$work/root.log" 'this runs as root: name a user'
finish
