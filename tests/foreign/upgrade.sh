#!/usr/bin/env bash
# A new process in the old one's place, ten times in a row under wrk: no request fails. And the
# protocol of socket activation, by somebody else's words: sockets that were opened before.
. "$(dirname "$0")/harness.bash"
need wrk curl python3

start_origin
start_nigh --admin 127.0.0.1:0
admin=$(sed -n 's|.*admin on \(http://[^ ]*\).*|\1|p' "$work/nigh.log")
curl -s --max-time 10 -o /dev/null "$http/bytes/1000"

serving() { [ "$(grep -c 'the new process serves' "$work/nigh.log")" -eq "$1" ]; }

timeout 60 wrk -t 1 -c 60 -d 15s "$http/bytes/1000" >"$work/wrk" &
wrk=$!
timeout 60 wrk -t 1 -c 20 -d 15s -H 'Connection: close' "$http/bytes/1000" >"$work/wrk-new" &
wrk_new=$!
timeout 60 wrk -t 1 -c 10 -d 15s "$https/bytes/1000" >"$work/wrk-tls" &
wrk_tls=$!
old=()
for n in $(seq 10); do
    old+=("$nigh_pid")
    sleep 0.5
    kill -USR2 "$nigh_pid"
    until_true serving "$n" || give_up "process $n takes over"
    nigh_pid=$(sed -n 's/.*a new process is started.* pid=\([0-9]*\).*/\1/p' "$work/nigh.log" | tail -n 1)
    started+=("$nigh_pid")
done
check "ten processes have followed one another under load" kill -0 "$wrk"
wait "$wrk" "$wrk_new" "$wrk_tls"
for load in wrk wrk-new wrk-tls; do
    check "$load: requests were answered" contains "$work/$load" '^ +[1-9][0-9]+ requests in'
    check "$load: no socket error, nothing but 2xx" lacks "$work/$load" 'Socket errors|Non-2xx'
done
check "the admin address is where it was" contains <(curl -s --max-time 10 "$admin/healthz") ok
# Whoever adopts them need not have waited for them yet.
gone() {
    local pid
    for pid in "${old[@]}"; do
        grep -q '^State:[[:space:]]*[^Z[:space:]]' "/proc/$pid/status" 2>/dev/null && return 1
    done
    return 0
}
check "the old ones have ended" until_true gone
check "none of them had to cut anybody off" lacks "$work/nigh.log" 'cut what was left|panick'
kill -TERM "$nigh_pid"

# Sockets that another program has opened, one for two workers, as systemd passes them on.
cat >"$work/activate.py" <<'P'
import fcntl, os, socket, sys
public, admin = socket.create_server(("127.0.0.1", 0)), socket.create_server(("127.0.0.1", 0))
ports = [it.getsockname()[1] for it in (public, admin)]
print(*ports, flush=True)
# Out of the way first: they may stand where the other one has to.
for place, held in enumerate([fcntl.fcntl(it, fcntl.F_DUPFD, 10) for it in (public, admin)], 3):
    os.dup2(held, place)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="2", LISTEN_FDNAMES="web:admin")
os.execv(sys.argv[1], [*sys.argv[1:], "--listen", f"http://127.0.0.1:{ports[0]}", "--admin", f"127.0.0.1:{ports[1]}"])
P
NO_COLOR=1 python3 "$work/activate.py" "$NIGH" edge --workers 2 --to "http://127.0.0.1:$origin" \
    >"$work/ports" 2>"$work/activated.log" &
activated=$!
started+=("$activated")
until_true grep -q 'admin on' "$work/activated.log" || {
    cat "$work/activated.log"
    give_up "nigh starts with sockets that were passed on"
}
read -r public admin <"$work/ports"
for _ in 1 2 3 4; do
    check "a socket that was passed on is served" \
        equal "$(curl -s --max-time 10 -o /dev/null -w '%{http_code}' "http://127.0.0.1:$public/bytes/10")" 200
done
check "and so is the admin address" contains <(curl -s --max-time 10 "http://127.0.0.1:$admin/healthz") ok
kill -TERM "$activated"
wait "$activated"
check "it ends with success" equal "$?" 0

finish
