#!/usr/bin/env bash
# One DHT of nigh, libtorrent, aria2, Transmission and the crate mainline: each comes in through nigh alone
# and nigh through each of them; peers that one announces and items that one puts are found by the others;
# and each of them alone holds what nigh gives it.
#
# In a network namespace, with an address of the laboratories' networks (198.18.0.0/15, 2001:2::/48) for each
# node: programs refuse 127.0.0.0/8, and libtorrent more than one node of a network.
if [ -z "${IN_NAMESPACE:-}" ]; then
    export IN_NAMESPACE=1
    if [ "$(id -u)" = 0 ]; then
        exec unshare --net bash "$0"
    fi
    exec unshare --user --map-root-user --net bash "$0"
fi
. "$(dirname "$0")/harness.bash"
: "${MAINLINE:?says where the node of the crate mainline is}"
need ip unshare openssl aria2c transmission-daemon
# That of Debian, for which Debian has libtorrent.
python=/usr/bin/python3
"$python" -c 'import libtorrent' || give_up "python3-libtorrent is installed"

# Those who run all the time.
nodes=12
libtorrent=198.18.21.1:6881 mainline=198.18.22.1:6881 aria=198.18.23.1:6881 transmission=198.18.24.1:6881
newcomer=198.18.25.1:6881
# Those who ask one thing, and everybody who does not say where it is.
asking=198.18.31.1:6882 asks=198.18.32.1:6882 visitor=198.18.41.1

lay_network() {
    local host
    ip link set lo up || return
    ip address add "$visitor/32" dev lo
    ip -6 address add 2001:2:0:41::1/128 dev lo nodad
    for host in $(seq "$nodes") {13..16} {21..25} {26..29} 31 32; do
        ip address add "198.18.$host.1/32" dev lo &&
            ip route change local "198.18.$host.1" dev lo table local src "$visitor" &&
            ip -6 address add "2001:2:0:$host::1/128" dev lo nodad || return
    done
    for host in {1..13} 21 31; do
        ip -6 route add local "2001:2:0:$host::1" dev lo table local src 2001:2:0:41::1 metric 1 &&
            ip -6 route del local "2001:2:0:$host::1" dev lo table local metric 0 || return
    done
}
lay_network || give_up "a network of many addresses is laid"

# node NUMBER [FLAG...]: a node of nigh, at 198.18.NUMBER.1 if it is not said where, that is to join.
node() {
    local number=$1
    shift
    : >"$work/node$number"
    [ "${1:-}" = --listen ] || set -- --listen "198.18.$number.1:6881" "$@"
    NO_COLOR=1 "$NIGH" node --overlay kademlia --upkeep 500ms "$@" \
        >"$work/node$number" 2>"$work/node$number.log" &
    started+=($!)
    until_true grep -q '^joined' "$work/node$number" || {
        cat "$work/node$number" "$work/node$number.log"
        return 1
    }
}

# knows COUNT ADDR:PORT [NOT]: a node that is asked names so many others, beside NOT, within $patience seconds.
patience=60
knows() {
    local known end=$((SECONDS + patience))
    while [ "$SECONDS" -lt "$end" ]; do
        "$python" "$here/dht_ask.py" "$2" >"$work/known"
        known=$(grep -cvF -e "$2" -e "${3:-nobody}" -e "$visitor:" "$work/known")
        [ "$known" -ge "$1" ] && return 0
        sleep 0.5
    done
    echo "$2 knows:"
    cat "$work/known"
    return 1
}

dht() { timeout 30 "$NIGH" dht "$@"; }
lt() { timeout 90 "$python" "$here/dht_libtorrent.py" "$1" "$asking" "${@:2}"; }
ml() { timeout 90 "$MAINLINE" "$1" "$asks" "${@:2}"; }

# prints WORDS COMMAND...: what it prints is WORDS and nothing else.
prints() {
    local words=$1 found
    shift
    found=$("$@") && equal "$found" "$words"
}

# lists LINE COMMAND...: among the lines that it prints is this one, at last.
lists() {
    local line=$1 end=$((SECONDS + 90))
    shift
    while [ "$SECONDS" -lt "$end" ]; do
        "$@" >"$work/listed" 2>&1
        grep -qxF -- "$line" "$work/listed" && return 0
        sleep 4
    done
    echo "not listed: $line"
    cat "$work/listed"
    return 1
}

# A swarm of one file, that has no tracker.
mkdir "$work/whole" "$work/part" "$work/transmission" "$work/newcomer"
head -c 300000 /dev/urandom >"$work/whole/file"
info_hash=$("$python" - "$work/whole/file" "$work/file.torrent" <<'END'
import hashlib, sys
data = open(sys.argv[1], "rb").read()
pieces = b"".join(hashlib.sha1(data[at:at + 65536]).digest() for at in range(0, len(data), 65536))
info = b"d6:lengthi%de4:name4:file12:piece lengthi65536e6:pieces%d:%se" % (len(data), len(pieces), pieces)
open(sys.argv[2], "wb").write(b"d4:info" + info + b"e")
print(hashlib.sha1(info).hexdigest())
END
)

# --- A network of nigh.

check "the first node of nigh begins" node 1
for number in $(seq 2 "$nodes"); do
    node "$number" --join "198.18.$((number / 2)).1:6881" || give_up "node $number of nigh joins"
done
check "twelve nodes of nigh know each other" knows 8 198.18.2.1:6881

# --- Peers: one that each announces is found by the others.

check "nigh announces a peer" dht peers "$info_hash" --announce 7001 --via 198.18.9.1:6881
check "libtorrent announces one" lt announce 198.18.10.1:6881 "$info_hash"
check "mainline announces one" ml announce 198.18.11.1:6881 "$info_hash" 7003
check "nigh finds that of libtorrent" \
    lists "$asking" dht peers "$info_hash" --via 198.18.1.1:6881
check "nigh finds that of mainline" lists "${asks%:*}:7003" dht peers "$info_hash" --via 198.18.2.1:6881
check "libtorrent finds that of nigh" lists "$visitor:7001" lt peers 198.18.3.1:6881 "$info_hash"
check "mainline finds that of nigh" lists "$visitor:7001" ml peers 198.18.4.1:6881 "$info_hash"
check "nodes of nigh tell which swarms they know" prints "$info_hash" dht sample --via 198.18.5.1:6881

# --- Items: what one puts, the others get.

# named VALUE: the name of a byte string, worked out by somebody else.
named() { printf '%d:%s' "${#1}" "$1" | openssl sha1 -r | cut -d ' ' -f 1; }

# gets VALUE: all get it by its name.
gets() {
    local name
    name=$(named "$1")
    prints "$1" dht get "$name" --via 198.18.6.1:6881 &&
        prints "$1" lt get 198.18.7.1:6881 "$name" &&
        prints "$1" ml get 198.18.8.1:6881 "$name"
}
check "nigh puts an item" dht put "of nigh" --via 198.18.9.1:6881
check "all get it" gets "of nigh"
check "libtorrent puts one" prints "$(named "of libtorrent")" lt put 198.18.10.1:6881 "of libtorrent"
check "all get it" gets "of libtorrent"
check "mainline puts one" prints "$(named "of mainline")" ml put 198.18.11.1:6881 "of mainline"
check "all get it" gets "of mainline"

# The public key, as openssl works it out (RFC 8410 has the bytes before it).
key_of() {
    { printf '302e020100300506032b657004220420%s' "$1" | "$python" -c '
import sys
sys.stdout.buffer.write(bytes.fromhex(sys.stdin.read()))'; } |
        openssl pkey -inform DER -pubout -outform DER | tail -c 32 | od -An -tx1 | tr -d ' \n'
}

# are_signed NUMBER VALUE: all get that version.
are_signed() {
    prints "$2" dht get "$key" --salt greeting --via 198.18.1.1:6881 &&
        prints "$1 $2" lt get-signed 198.18.2.1:6881 "$key" greeting &&
        prints "$1 $2" ml get-signed 198.18.3.1:6881 "$key" greeting
}
sign() { dht put "$1" --secret "$work/secret" --salt greeting "${@:2}"; }
check "nigh makes a secret and puts an item that is signed with it" sign "first" --via 198.18.4.1:6881
secret=$(tr -d '\n' <"$work/secret")
key=$(key_of "$secret")
check "all get it" are_signed 1 "first"
check "libtorrent puts its next version" \
    prints 2 lt put-signed 198.18.5.1:6881 "$secret" "$key" greeting "second"
check "all get it" are_signed 2 "second"
check "mainline does" ml put-signed 198.18.6.1:6881 "$secret" greeting 3 "third"
check "all get it" are_signed 3 "third"
check "nigh does" sign "fourth" --cas 3 --via 198.18.7.1:6881
check "all get it" are_signed 4 "fourth"

# --- The same over IPv6 (BEP 32), with libtorrent.

six() { echo "[2001:2:0:$1::1]:6881"; }
node6() { node "6-$1" --listen "$(six "$1")" "${@:2}"; }
node6 1 || give_up "a node of nigh begins over IPv6"
for number in {2..6}; do
    node6 "$number" --join "$(six $((number / 2)))" || give_up "node $number of nigh joins over IPv6"
done
asking=$(six 31)
check "over IPv6 nigh announces a peer" dht peers "$info_hash" --announce 7004 --via "$(six 3)"
check "libtorrent finds it" lists "[2001:2:0:41::1]:7004" lt peers "$(six 4)" "$info_hash"
check "libtorrent announces one" lt announce "$(six 5)" "$info_hash"
check "nigh finds it" lists "$asking" dht peers "$info_hash" --via "$(six 6)"
"$python" "$here/dht_libtorrent.py" serve "$(six 21)" "$(six 2)" >"$work/libtorrent6.log" 2>&1 &
started+=($!)
check "libtorrent comes in through one node of nigh over IPv6" knows 3 "$(six 21)" "$(six 2)"
check "nigh comes in through libtorrent over IPv6" node6 13 --join "$(six 21)"
check "and knows others" knows 3 "$(six 13)" "$(six 21)"

# --- Nodes of the others come in through one of nigh alone, and nigh through each alone. They come last, as
# they hold up libtorrent's lookups: aria2 and Transmission remember whoever asks them, libtorrent whoever
# announces and puts, though it says that it is read-only; and mainline does not answer libtorrent, whose
# questions have names of two bytes.

comes_in_through() {
    node "$1" --join "$2" && knows 3 "198.18.$1.1:6881" "$2"
}

# start_aria2 NAME ADDR:PORT [FLAG...]: one that goes on when it has all, with its files in $work/NAME.
start_aria2() {
    local name=$1 address=$2
    shift 2
    aria2c --no-conf --quiet --interface="${address%:*}" --listen-port="${address#*:}" --disable-ipv6 \
        --enable-dht --enable-dht6=false --dht-listen-port="${address#*:}" \
        --dht-file-path="$work/$name.dht" --bt-enable-lpd=false --enable-peer-exchange=false --seed-ratio=0 \
        --log="$work/$name.log" --log-level=debug --dir="$work/$name" "$@" "$work/file.torrent" \
        >"$work/$name.out" 2>&1 &
    started+=($!)
}

# start_transmission NAME ADDR:PORT: one with the settings and what it remembers in $work/NAME.
start_transmission() {
    cat >"$work/$1/settings.json" <<END
{ "bind-address-ipv4": "${2%:*}", "bind-address-ipv6": "::1", "peer-port": ${2#*:},
  "dht-enabled": true, "lpd-enabled": false, "pex-enabled": false, "port-forwarding-enabled": false,
  "rpc-enabled": false, "download-dir": "$work/whole", "incomplete-dir-enabled": false,
  "watch-dir": "$work/$1", "watch-dir-enabled": true, "start-added-torrents": true }
END
    transmission-daemon --foreground --config-dir "$work/$1" >"$work/$1.log" 2>&1 &
    started+=($!)
}

# What Transmission needs to announce is nine nodes that it has heard. Through one alone it comes by them
# within minutes, as it asks seldom; one that was here before remembers them.
echo "198.18.3.1 6881" >"$work/newcomer/dht.bootstrap"
"$python" - "$nodes" >"$work/transmission/dht.dat" <<'END'
import os, sys
nodes = b"".join(bytes([198, 18, host, 1, 6881 >> 8, 6881 & 255]) for host in range(1, int(sys.argv[1]) + 1))
sys.stdout.buffer.write(b"d2:id20:" + os.urandom(20) + b"5:nodes%d:%se" % (len(nodes), nodes))
END
cp "$work/file.torrent" "$work/transmission/"
start_transmission newcomer "$newcomer"
start_transmission transmission "$transmission"
"$python" "$here/dht_libtorrent.py" serve "$libtorrent" 198.18.4.1:6881 >"$work/libtorrent.log" 2>&1 &
started+=($!)
"$MAINLINE" serve "$mainline" 198.18.5.1:6881 >"$work/mainline.log" 2>&1 &
started+=($!)
check "libtorrent comes in through one node of nigh" knows 3 "$libtorrent" 198.18.4.1:6881
check "mainline does" knows 3 "$mainline" 198.18.5.1:6881
check "Transmission announces its torrent, and nigh finds it" \
    lists "$transmission" dht peers "$info_hash" --via 198.18.7.1:6881
start_aria2 part "$aria" --dht-entry-point=198.18.6.1:6881
check "aria2 comes in through one node of nigh" knows 3 "$aria" 198.18.6.1:6881
has_all() {
    local end=$((SECONDS + 60))
    while [ "$SECONDS" -lt "$end" ]; do
        cmp -s "$work/whole/file" "$work/part/file" && return 0
        sleep 0.5
    done
    tail -n 40 "$work/part.log"
    return 1
}
check "aria2 finds it as well, through the DHT alone, and has all of it" has_all
check "nigh finds aria2, which announces itself" \
    lists "$aria" dht peers "$info_hash" --via 198.18.8.1:6881
check "nigh comes in through libtorrent alone" comes_in_through 13 "$libtorrent"
check "through mainline" comes_in_through 14 "$mainline"
check "through aria2" comes_in_through 15 "$aria"
check "through Transmission" comes_in_through 16 "$transmission"
check "what was put before is had through libtorrent" \
    prints "fourth" dht get "$key" --salt greeting --via "$libtorrent"
check "and through mainline" prints "of mainline" dht get "$(named "of mainline")" --via "$mainline"

# --- Each of them alone, so that nobody else can hold what nigh gives it.

alone=(libtorrent mainline aria2 transmission)
at() {
    local number
    for number in "${!alone[@]}"; do
        [ "${alone[number]}" != "$1" ] || echo "198.18.$((26 + number)).1:6881"
    done
}
"$python" "$here/dht_libtorrent.py" serve "$(at libtorrent)" - >"$work/alone-libtorrent.log" 2>&1 &
started+=($!)
"$MAINLINE" serve "$(at mainline)" - >"$work/alone-mainline.log" 2>&1 &
started+=($!)
mkdir "$work/alone-transmission"
start_transmission alone-transmission "$(at transmission)"
start_aria2 alone-aria2 "$(at aria2)"

# holds NAME: it takes an item, and one that is signed, and gives them back.
holds() {
    until_true dht put "for $1" --via "$(at "$1")" &&
        prints "for $1" dht get "$(named "for $1")" --via "$(at "$1")" &&
        sign "signed for $1" --via "$(at "$1")" &&
        prints "signed for $1" dht get "$key" --salt greeting --via "$(at "$1")"
}
# keeps NAME: it takes a peer that announces itself, and names it.
keeps() {
    until_true dht peers "$info_hash" --announce 7010 --via "$(at "$1")" &&
        lists "$visitor:7010" dht peers "$info_hash" --via "$(at "$1")"
}
for name in libtorrent mainline; do check "$name alone holds what nigh puts" holds "$name"; done
for name in "${alone[@]}"; do check "$name alone keeps the peer that nigh announces" keeps "$name"; done

# It asks one node every 5 to 25 seconds while its table grows, and then none for up to three minutes.
patience=240
check "Transmission comes in through one node of nigh" knows 2 "$newcomer" 198.18.3.1:6881
finish
