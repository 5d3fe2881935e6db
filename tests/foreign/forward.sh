#!/usr/bin/env bash
# The forward proxy between curl and servers that know nothing of it, each in a network namespace of
# its own: asked for by curl -x, and redirected to by nftables. Needs root, for the namespaces.
#
#   client 198.18.1.2 ---- 198.18.1.1 proxy 198.18.2.1 ---- 198.18.2.2 origin, 198.18.2.3 another
#   client 2001:db8:1::2 - 2001:db8:1::1 proxy 2001:db8:2::1 - 2001:db8:2::2 origin, ::3 another
#
# These are addresses for laboratories and for examples: the proxy is allowed to reach the origins'.
. "$(dirname "$0")/harness.bash"
need curl openssl python3 node ip nft htpasswd
[ "$(id -u)" = 0 ] || give_up "it runs as root, which alone may make network namespaces (sudo)"

id=$$
client=nigh-client-$id
proxy=nigh-proxy-$id
far=nigh-origin-$id

remove_namespaces() {
    end
    local name
    for name in "$client" "$proxy" "$far"; do ip netns del "$name" 2>/dev/null; done
}
trap remove_namespaces EXIT

# Becomes a command in a namespace, where names mean what $work/hosts says.
enter() {
    local name=$1
    shift
    # shellcheck disable=SC2016
    exec ip netns exec "$name" sh -c 'mount --bind "$0" /etc/hosts && exec "$@"' "$work/hosts" "$@"
}

in_space() { (enter "$@"); }

lay_network() {
    local name
    for name in "$client" "$proxy" "$far"; do
        ip netns add "$name" && ip -n "$name" link set lo up || return
    done
    ip link add near netns "$client" type veth peer name toclient netns "$proxy" &&
        ip link add near netns "$far" type veth peer name tofar netns "$proxy" || return
    address "$client" near 198.18.1.2/24 2001:db8:1::2/64
    address "$proxy" toclient 198.18.1.1/24 2001:db8:1::1/64
    address "$proxy" tofar 198.18.2.1/24 2001:db8:2::1/64
    address "$far" near 198.18.2.2/24 2001:db8:2::2/64
    ip -n "$far" address add 198.18.2.3/24 dev near
    ip -n "$far" address add 2001:db8:2::3/64 dev near nodad
    for name in "$client" "$far"; do ip -n "$name" link set near up; done
    ip -n "$proxy" link set toclient up && ip -n "$proxy" link set tofar up
    ip -n "$client" route add default via 198.18.1.1
    ip -n "$client" route add default via 2001:db8:1::1
}

address() {
    ip -n "$1" address add "$3" dev "$2" && ip -n "$1" address add "$4" dev "$2" nodad
}

# Ports 80 and 443 are redirected, port 8080 goes through tproxy.
redirect() {
    ip netns exec "$proxy" nft -f - <<RULES
table inet nigh {
    chain redirected {
        type nat hook prerouting priority dstnat;
        iifname "toclient" fib daddr type != local tcp dport { 80, 443 } redirect to :3129
    }
    chain taken {
        type filter hook prerouting priority mangle;
        iifname "toclient" meta nfproto ipv4 tcp dport { 8080, 8443 } tproxy ip to :3130 meta mark set 1 accept
        iifname "toclient" meta nfproto ipv6 tcp dport { 8080, 8443 } tproxy ip6 to :3130 meta mark set 1 accept
    }
}
RULES
    local family
    for family in -4 -6; do
        ip -n "$proxy" "$family" rule add fwmark 1 lookup 100 &&
            ip -n "$proxy" "$family" route add local default dev lo table 100 || return
    done
}

serve() {
    local folder=$1 log=$2 address=$3 port=$4
    ip netns exec "$far" python3 -u -m http.server --directory "$folder" --bind "$address" "$port" \
        >"$log" 2>&1 &
    started+=($!)
}

run_proxy() {
    local log=$1
    shift
    : >"$log"
    NO_COLOR=1 enter "$proxy" "$NIGH" edge --forward --proxy-clients 198.18.1.0/24 \
        --proxy-clients 2001:db8:1::/64 --proxy-allow 198.18.2.0/24 --proxy-allow 2001:db8:2::/64 \
        "$@" 2>"$log" &
    started+=($!)
    until_true grep -q 'listening on' "$log" || {
        cat "$log"
        give_up "the proxy starts"
    }
}

# curl at the client; what it got lies in $work/got, its head in $work/head.
fetch() {
    in_space "$client" curl -sS --max-time 10 -o "$work/got" -D "$work/head" "$@"
}

got() {
    local words=$1
    shift
    fetch "$@" && contains "$work/got" "$words"
}

status() {
    local code=$1
    shift
    equal "$(in_space "$client" curl -s --max-time 10 -o "$work/got" -D "$work/head" -w '%{http_code}' "$@")" "$code"
}

# What curl says of a proxy's own answer to CONNECT.
connect_status() {
    local code=$1
    shift
    equal "$(in_space "$client" curl -s --max-time 10 -o /dev/null -w '%{http_connect}' "$@")" "$code"
}

asked_for() {
    equal "$(grep -c "\"GET $2 " "$work/$1")" "$3"
}

printf '127.0.0.1 localhost\n198.18.2.2 www.test\n2001:db8:2::2 six.test\n10.9.9.9 inside.test\nfd00::9 inside6.test\n' >"$work/hosts"
mkdir "$work/site" "$work/other"
for page in plain transparent taken forged six taken6 forged6; do
    echo "the page of the site" >"$work/site/$page"
    echo "somebody else's page" >"$work/other/$page"
done
# Old files are fresh for a while (RFC 9111, section 4.2.2).
touch -d '100 days ago' "$work"/site/* "$work"/other/*
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=www.test \
    -addext subjectAltName=DNS:www.test,DNS:six.test -keyout "$work/site.key" -out "$work/site.pem" 2>"$work/openssl" ||
    give_up "openssl makes a certificate"

lay_network || give_up "the network is there"
redirect || give_up "nftables redirects"
serve "$work/site" "$work/site.log" 198.18.2.2 80
serve "$work/site" "$work/site8080.log" 198.18.2.2 8080
serve "$work/site" "$work/six.log" 2001:db8:2::2 80
serve "$work/site" "$work/six8080.log" 2001:db8:2::2 8080
serve "$work/other" "$work/other.log" 198.18.2.3 80
serve "$work/other" "$work/other6.log" 2001:db8:2::3 80
for place in 0.0.0.0:443 0.0.0.0:8443 '[::]:443' '[::]:8443'; do
    ip netns exec "$far" openssl s_server -accept "$place" -cert "$work/site.pem" -key "$work/site.key" \
        -www -quiet >"$work/tls.log" 2>&1 &
    started+=($!)
done
served() { ip netns exec "$far" curl -sk -o /dev/null "$1"; }
for url in http://198.18.2.2 http://198.18.2.2:8080 http://198.18.2.3 \
    'http://[2001:db8:2::2]' 'http://[2001:db8:2::2]:8080' 'http://[2001:db8:2::3]' \
    https://198.18.2.2 https://198.18.2.2:8443 'https://[2001:db8:2::2]' 'https://[2001:db8:2::2]:8443'; do
    until_true served "$url" || give_up "the server at $url answers"
done
run_proxy "$work/proxy.log" --listen http://198.18.1.1:3128 --listen http://198.18.2.1:3128 \
    --listen 'http://[2001:db8:1::1]:3128' --transparent 0.0.0.0:3129 --transparent '[::]:3129' \
    --transparent tproxy://0.0.0.0:3130 --transparent 'tproxy://[::]:3130' \
    --access-log "$work/access" --admin 127.0.0.1:9000
x="-x http://198.18.1.1:3128"

# --- Asked for.
# shellcheck disable=SC2086
{
check "http goes through" got "the page of the site" $x http://www.test/plain
check "and is a miss first" contains "$work/head" '^cache-status: nigh; fwd=uri-miss'
check "http comes from the store" got "the page of the site" $x http://www.test/plain
check "and is a hit then" contains "$work/head" '^cache-status: nigh; hit'
check "the server was asked once" asked_for site.log /plain 1
check "https goes through a tunnel, unopened" got "TLSv1.3" $x --cacert "$work/site.pem" https://www.test/
check "a private address is refused" status 403 $x http://10.9.9.9/
check "and the answer says what to do" contains "$work/got" '`allow` of \[forward\]'
check "a name that leads inside is refused" status 403 $x http://inside.test/
check "and so is a tunnel there" connect_status 403 $x https://inside.test/
check "the clouds' metadata is refused" status 403 $x http://169.254.169.254/latest/meta-data/
check "the proxy's own outer address is refused" status 403 $x http://198.18.2.1:3128/
check "the proxy's own loopback is refused" status 403 $x http://127.0.0.1:9000/metrics
check "another port is refused to CONNECT" connect_status 403 $x https://www.test:22/
check "and to http" status 403 $x http://www.test:22/
check "an address for laboratories is refused" status 403 $x http://198.19.1.1/
check "and so is one for examples" status 403 $x 'http://[2001:db8:9::1]/'
check "a stranger is refused" equal \
    "$(ip netns exec "$far" curl -s -o /dev/null -w '%{http_code}' -x http://198.18.2.1:3128 http://198.18.2.2/)" 403
}

# --- What browsers are told, held against a JavaScript engine.
pac_says() {
    fetch http://198.18.1.1:3128/proxy.pac && contains "$work/head" '^content-type: application/x-ns-proxy-autoconfig' &&
        equal "$(node -e '
            const number = (a) => a.split(".").reduce((sum, part) => sum * 256 + Number(part), 0);
            globalThis.isPlainHostName = (host) => !host.includes(".");
            globalThis.dnsDomainIs = (host, domain) => host.endsWith(domain);
            globalThis.isInNet = (host, net, mask) =>
                ((number(host) & number(mask)) >>> 0) === number(net);
            (0, eval)(require("fs").readFileSync(process.argv[1], "utf8"));
            console.log(FindProxyForURL("http://" + process.argv[2] + "/", process.argv[2]));
        ' "$work/got" "$1")" "$2"
}
check "browsers ask the proxy for names" pac_says www.test "PROXY 198.18.1.1:3128"
check "browsers go to private addresses themselves" pac_says 192.168.7.7 DIRECT
check "browsers go to their neighbours themselves" pac_says printer DIRECT

# --- Passwords.
htpasswd -cbB -C 5 "$work/users" ann 'open sesame' 2>"$work/htpasswd" || give_up "htpasswd writes a file"
run_proxy "$work/guarded.log" --listen http://198.18.1.1:3138 --proxy-users "$work/users"
y="-x http://198.18.1.1:3138"
# shellcheck disable=SC2086
{
check "no password is asked for one" status 407 $y http://www.test/plain
check "and how is said" contains "$work/head" '^proxy-authenticate: basic realm='
check "a wrong password is refused" status 407 $y -U 'ann:open sesam' http://www.test/plain
check "another name is refused" status 407 $y -U 'bob:open sesame' http://www.test/plain
check "the right password goes in" got "the page of the site" $y -U 'ann:open sesame' http://www.test/plain
check "a tunnel wants it, too" connect_status 407 $y https://www.test/
check "and gets it" got "TLSv1.3" $y -U 'ann:open sesame' --cacert "$work/site.pem" https://www.test/
}

# --- Redirected: curl knows of no proxy.
check "redirected http goes through" got "the page of the site" http://www.test/transparent
check "and comes from the store then" got "the page of the site" http://www.test/transparent
check "as the head says" contains "$work/head" '^cache-status: nigh; hit'
check "the server was asked once for it" asked_for site.log /transparent 1
check "redirected https goes through, unopened" got "TLSv1.3" --cacert "$work/site.pem" https://www.test/
check "and by tproxy" got "TLSv1.3" --cacert "$work/site.pem" https://www.test:8443/
check "what tproxy brings goes through" got "the page of the site" http://www.test:8080/taken
check "by the proxy, too" contains "$work/head" '^cache-status: nigh; fwd=uri-miss'
check "a forged host leads to where the client was going" \
    got "somebody else's page" -H 'Host: www.test' http://198.18.2.3/forged
check "and past the store" contains "$work/head" '^cache-status: nigh; fwd=bypass'
check "so nobody else gets that page" got "the page of the site" http://www.test/forged
check "nor by asking for it" got "the page of the site" -x http://198.18.1.1:3128 http://www.test/forged
check "a redirected client reaches nothing inside" status 403 http://10.9.9.9/
check "nor over TLS" \
    equal "$(in_space "$client" curl -sk --max-time 10 -o /dev/null -w '%{http_code}' https://10.9.9.9/)" 000

# --- The same over IPv6, and what is asked for over it.
z="-x http://[2001:db8:1::1]:3128"
# shellcheck disable=SC2086
{
check "IPv6: http goes through" got "the page of the site" $z http://six.test/plain
check "IPv6: https goes through a tunnel" got "TLSv1.3" $z --cacert "$work/site.pem" https://six.test/
check "IPv6: the proxy's own outer address is refused" status 403 $z 'http://[2001:db8:2::1]:3128/'
check "IPv6: its loopback is refused" status 403 $z 'http://[::1]:9000/metrics'
check "IPv6: a name that leads inside is refused" status 403 $z http://inside6.test/
}
check "IPv6: redirected http goes through" got "the page of the site" http://six.test/six
check "IPv6: by the proxy" contains "$work/head" '^cache-status: nigh; fwd=uri-miss'
check "IPv6: and comes from the store then" got "the page of the site" http://six.test/six
check "IPv6: as the head says" contains "$work/head" '^cache-status: nigh; hit'
check "IPv6: the server was asked once for it" asked_for six.log /six 1
check "IPv6: an address in brackets goes through, too" got "the page of the site" 'http://[2001:db8:2::2]/six'
check "IPv6: redirected https goes through, unopened" got "TLSv1.3" --cacert "$work/site.pem" https://six.test/
check "IPv6: what tproxy brings goes through" got "the page of the site" http://six.test:8080/taken6
check "IPv6: by the proxy, too" contains "$work/head" '^cache-status: nigh; fwd=uri-miss'
check "IPv6: and https by tproxy" got "TLSv1.3" --cacert "$work/site.pem" https://six.test:8443/
check "IPv6: a forged host leads to where the client was going" \
    got "somebody else's page" -H 'Host: six.test' 'http://[2001:db8:2::3]/forged6'
check "IPv6: and past the store" contains "$work/head" '^cache-status: nigh; fwd=bypass'
check "IPv6: so nobody else gets that page" got "the page of the site" http://six.test/forged6
check "IPv6: a host that has another family's address leads there, too" \
    got "somebody else's page" -H 'Host: www.test' 'http://[2001:db8:2::3]/forged6'
check "IPv6: a redirected client reaches nothing inside" status 403 'http://[fd00::9]/'
check "IPv6: nor by tproxy" status 403 'http://[fd00::9]:8080/'
check "IPv6: nor what NAT64 would make of it" status 403 'http://[64:ff9b::10.9.9.9]/'
check "IPv6: nor the proxy, at the door of tproxy" status 403 'http://[2001:db8:1::1]:3130/'
check "IPv6: nor over TLS" \
    equal "$(in_space "$client" curl -sk --max-time 10 -o /dev/null -w '%{http_code}' 'https://[fd00::9]/')" 000

# --- What is told of it.
logged() { grep -Eq -- "$1" "$work/access"; }
check "the log has the tunnel that was asked for" until_true logged 'CONNECT www.test:443 HTTP/1.1" 200 '
check "and the name of the one that was redirected" until_true logged '"TLS www.test:443 -" 200 '
check "and of those over IPv6" until_true logged '^2001:db8:1::2 .*"TLS six.test:443 -" 200 '
check "and by tproxy" until_true logged '^2001:db8:1::2 .*"TLS six.test:8443 -" 200 '
check "and one that was refused" until_true logged '"TLS \[fd00::9\]:443 -" 403 '
check "each tunnel has one line" equal "$(grep -Ec '"(CONNECT|TLS) [^ ]* [^ ]*" 200 ' "$work/access")" 6
metrics() { ip netns exec "$proxy" curl -s http://127.0.0.1:9000/metrics >"$work/metrics"; }
metrics
check "tunnels are counted" contains "$work/metrics" '^nigh_tunnels_total 6$'
check "hosts that were elsewhere are counted" contains "$work/metrics" '^nigh_hosts_elsewhere_total 3$'
check "refusals are counted" contains "$work/metrics" '^nigh_proxy_refusals_total\{reason="client"\} 1$'

finish
