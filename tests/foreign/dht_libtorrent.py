"""A DHT node of libtorrent that does one thing: dht.sh says what.

    dht_libtorrent.py serve ADDR:PORT VIA                         is a node until it is killed; VIA may be -,
                                                                  for nobody
    dht_libtorrent.py peers ADDR:PORT VIA INFO_HASH               prints peers, one a line
    dht_libtorrent.py announce ADDR:PORT VIA INFO_HASH            it is a peer itself, on its own port
    dht_libtorrent.py get ADDR:PORT VIA NAME                      prints the value
    dht_libtorrent.py put ADDR:PORT VIA VALUE                     prints the name
    dht_libtorrent.py get-signed ADDR:PORT VIA KEY SALT           prints number and value
    dht_libtorrent.py put-signed ADDR:PORT VIA SECRET KEY SALT VALUE    prints the number

It has the settings that libtorrent comes with, but looks for nobody elsewhere than in the DHT.
"""

import hashlib
import sys
import time

import libtorrent

# What is not there after so many seconds does not come.
PATIENCE = 60


def session(verb, listen, via):
    category = libtorrent.alert.category_t
    node = libtorrent.session({
        "listen_interfaces": listen,
        "dht_bootstrap_nodes": "" if via == "-" else via,
        "enable_lsd": False,
        "enable_upnp": False,
        "enable_natpmp": False,
        # Who is there for a moment is none to be remembered.
        "dht_read_only": verb != "serve",
        "alert_mask": category.dht_notification
        | category.dht_operation_notification
        | category.error_notification,
    })
    if via != "-":
        wait(node, libtorrent.dht_bootstrap_alert)
    return node


def alerts(node, patience=PATIENCE):
    """What the node says in so many seconds."""
    end = time.monotonic() + patience
    while time.monotonic() < end:
        node.wait_for_alert(200)
        yield from node.pop_alerts()


def wait(node, kind):
    for alert in alerts(node):
        if isinstance(alert, kind):
            return alert
    sys.exit(f"no {kind.__name__} came")


def key_of(digits):
    return libtorrent.sha1_hash(bytes.fromhex(digits))


def found(node, info_hash):
    """Peers are told once for each node that knows some, and not when the search has ended."""
    peers = set()
    node.dht_get_peers(info_hash)
    for alert in alerts(node, 3):
        if isinstance(alert, libtorrent.dht_get_peers_reply_alert):
            peers.update(alert.peers())
    return sorted(peers)


def announce(node, listen, info_hash):
    """It announces the torrents that it has, and does not say when that is done: it asks others."""
    torrent = libtorrent.parse_magnet_uri(f"magnet:?xt=urn:btih:{info_hash}")
    torrent.save_path = "/nonexistent"
    torrent.flags = libtorrent.torrent_flags.upload_mode
    node.add_torrent(torrent)
    host, port = listen.rsplit(":", 1)
    own = (host.strip("[]"), int(port))
    end = time.monotonic() + PATIENCE
    while own not in found(node, key_of(info_hash)):
        if time.monotonic() > end:
            sys.exit("nobody knows of it")


def expanded(secret):
    """libtorrent takes the secret as Ed25519 expands it (RFC 8032, section 5.1.5)."""
    hashed = bytearray(hashlib.sha512(bytes.fromhex(secret)).digest())
    hashed[0] &= 248
    hashed[31] = hashed[31] & 63 | 64
    return bytes(hashed)


def text_of(alert):
    """The byte string that was found, or none."""
    try:
        return alert.item["value"].decode()
    except RuntimeError:
        # Nothing was found, and there is no value of that kind.
        return None


def signed(node, key, salt):
    """The version with the highest number; what comes last is that."""
    node.dht_get_mutable_item(bytes.fromhex(key), salt.encode())
    best = None
    for alert in alerts(node):
        if isinstance(alert, libtorrent.dht_mutable_item_alert):
            text = text_of(alert)
            if text is not None:
                best = f"{alert.seq} {text}"
            if alert.authoritative:
                break
    return best


def main():
    verb, listen, via, *about = sys.argv[1:]
    node = session(verb, listen, via)
    if verb == "serve":
        print("ready", flush=True)
        while True:
            time.sleep(3600)
    elif verb == "peers":
        for address, port in found(node, key_of(*about)):
            print(f"[{address}]:{port}" if ":" in address else f"{address}:{port}")
    elif verb == "announce":
        announce(node, listen, *about)
    elif verb == "get":
        node.dht_get_immutable_item(key_of(*about))
        print(text_of(wait(node, libtorrent.dht_immutable_item_alert)))
    elif verb == "put":
        name = node.dht_put_immutable_item(*about)
        if wait(node, libtorrent.dht_put_alert).num_success == 0:
            sys.exit("nobody has taken it")
        print(name)
    elif verb == "get-signed":
        print(signed(node, *about))
    elif verb == "put-signed":
        secret, key, salt, value = about
        node.dht_put_mutable_item(
            expanded(secret), bytes.fromhex(key), value.encode(), salt.encode()
        )
        put = wait(node, libtorrent.dht_put_alert)
        if put.num_success == 0:
            sys.exit("nobody has taken it")
        print(put.seq)
    else:
        sys.exit(__doc__)


main()
