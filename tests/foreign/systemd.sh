#!/usr/bin/env bash
# The units of docs/systemd under a systemd that is the first process of a container of its own: what
# it hears from nigh, what it does to it, and that nobody who asks meanwhile goes without an answer.
. "$(dirname "$0")/harness.bash"
need systemd-nspawn systemd-analyze unshare curl python3
if [ "$(id -u)" -ne 0 ]; then
    echo "note: this is not root, who alone can make a container; nothing was tested"
    finish
fi

units=$(cd "$here/../../docs/systemd" && pwd)
mkdir "$work/units"
for unit in "$units"/nigh.*; do
    sed "s|/usr/local/bin/nigh|$NIGH|" "$unit" >"$work/units/$(basename "$unit")"
done
check "systemd-analyze finds nothing wrong with the units" \
    equal "$(systemd-analyze verify "$work"/units/nigh.service "$work"/units/nigh.socket 2>&1 | grep -F nigh.)" ""

# What is done within: one line for each sentence.
cat >"$work/within.bash" <<'W'
exec >/sentences 2>/dev/console
check() {
    local sentence=$1
    shift
    if "$@"; then echo "ok - $sentence"; else
        echo "not ok - $sentence"
        journalctl -b -n 20 --no-pager -u nigh.service -u nigh.socket
    fi
}
until_true() {
    for _ in $(seq 200); do "$@" && return 0; sleep 0.05; done
    return 1
}
shown() { systemctl show -P "$1" nigh.service; }
is() { [ "$(shown "$1")" = "$2" ]; }
status() { curl -s --max-time 10 -o /dev/null -w '%{http_code}' "http://127.0.0.1$1"; }
answers() { [ "$(status "$1")" = "$2" ]; }
ip link set lo up
mkdir /origin && echo hello >/origin/hello.txt
python3 -m http.server --directory /origin --bind 127.0.0.1 9000 >/dev/null 2>&1 &
until_true answers :9000/hello.txt 200

check "started by hand it is active when it is ready" systemctl start nigh.service
check "it says how it is" grep -q . <(shown StatusText)
check "it answers on a port of root's" answers :80/hello.txt 200
check "its user is none of ours" test "$(stat -c %u "/proc/$(shown MainPID)")" -ge 61184
check "it keeps its disk where it may write" test -e /var/cache/nigh/disk
sed -i 's|^host = .*|host = "other.example"|' /etc/nigh/nigh.toml
check "reload succeeds" systemctl reload nigh.service
check "and the new settings hold" until_true answers :80/hello.txt 421
sed -i 's|^host = .*|host = "*"|' /etc/nigh/nigh.toml
check "reload succeeds again" systemctl reload nigh.service
check "and the former settings hold" until_true answers :80/hello.txt 200

old=$(shown MainPID)
while [ ! -e /enough ]; do status :80/hello.txt && echo; done >/answers &
asking=$!
systemctl kill --signal=SIGUSR2 --kill-whom=main nigh.service
changed() { [ "$(shown MainPID)" != "$old" ]; }
gone() { ! [ -e "/proc/$old" ]; }
check "an upgrade has another main process" until_true changed
check "the old one ends" until_true gone
touch /enough
wait "$asking"
check "the service is active all the while" is ActiveState active
check "it was never restarted" is NRestarts 0
check "whoever asked was answered" test "$(sort -u /answers)" = 200

# What came by an upgrade is systemd's child as the first one was.
kill -KILL "$(shown MainPID)"
check "one that came by an upgrade and was killed is started again" until_true is NRestarts 1
check "and answers" until_true answers :80/hello.txt 200
kill -STOP "$(shown MainPID)"
check "one that stands still is ended by the watchdog, and started again" until_true is NRestarts 2
check "and answers too" until_true answers :80/hello.txt 200
check "it is stopped" systemctl stop nigh.service
check "with success" is Result success
check "nobody listens then" answers :80/hello.txt 000

check "its socket can be opened alone" systemctl start nigh.socket
check "who asks there starts it" answers :80/hello.txt 200
old=$(shown MainPID)
systemctl kill --signal=SIGUSR2 --kill-whom=main nigh.service
check "an upgrade keeps that socket" until_true changed
check "and answers there" answers :80/hello.txt 200
check "it is stopped, socket and all" systemctl stop nigh.socket nigh.service
check "with success" is Result success
echo end
W
cat >"$work/nigh.toml" <<'T'
[node]
listen = "http://[::]:80"
admin = "127.0.0.1:8053"
[cache]
disk = { path = "/var/cache/nigh/disk", size = "16MiB" }
[[site]]
host = "*"
origin = "http://127.0.0.1:9000"
T
# This machine's programs, and a file system of its own for whatever is written.
cat >"$work/outside.bash" <<'O'
set -e
mount -t tmpfs -o size=512m container "$1"
mkdir "$1/upper" "$1/inner" "$1/root"
mount -t overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/inner" container "$1/root"
root=$1/root
rm -rf "$root"/etc/systemd/system/* "$root/etc/nigh" "$root/var/cache/nigh"
mkdir -p "$root/etc/systemd/system/nigh.service.d" "$root/etc/nigh"
cp "$2"/nigh.service "$2"/nigh.socket "$root/etc/systemd/system/"
sed -i 's/:443/:8443/' "$root/etc/systemd/system/nigh.socket"
printf '[Service]\nWatchdogSec=2s\n' >"$root/etc/systemd/system/nigh.service.d/test.conf"
cp "$NIGH" "$root/usr/local/bin/nigh"
cp "$3/nigh.toml" "$root/etc/nigh/"
cp "$3/within.bash" "$root/within.bash"
cat >"$root/etc/systemd/system/within.service" <<'U'
[Unit]
Requires=basic.target dbus.service
After=basic.target dbus.service
SuccessAction=exit
FailureAction=exit
[Service]
Type=oneshot
ExecStart=bash /within.bash
TimeoutStartSec=120s
U
timeout 180 systemd-nspawn --quiet --boot --directory="$root" --private-network --register=no \
    --keep-unit --machine="nigh-$$" --console=pipe -- --unit=within.service </dev/null >"$3/console" 2>&1 ||
    tail -n 20 "$3/console"
cp "$root/sentences" "$3/"
O
mkdir "$work/container"
unshare --mount bash "$work/outside.bash" "$work/container" "$units" "$work" || {
    cat "$work/console"
    give_up "a container starts"
}
grep -v '^end$' "$work/sentences"
passed=$((passed + $(grep -c '^ok - ' "$work/sentences")))
failed=$((failed + $(grep -c '^not ok - ' "$work/sentences")))
check "all was done" grep -qx end "$work/sentences"
finish
