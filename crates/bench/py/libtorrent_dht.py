"""A node of libtorrent's DHT, with its limits lifted, that comes in through another:
libtorrent_dht.py IP:PORT VIA_IP:PORT"""

import sys
import time

import libtorrent

listen, via = sys.argv[1:]
session = libtorrent.session(
    {
        "listen_interfaces": listen,
        "enable_dht": True,
        "enable_lsd": False,
        "enable_upnp": False,
        "enable_natpmp": False,
        "dht_bootstrap_nodes": via,
        "dht_restrict_routing_ips": False,
        "dht_restrict_search_ips": False,
        "dht_upload_rate_limit": 50_000_000,
        "dht_block_ratelimit": 1_000_000,
        "dht_block_timeout": 1,
        "alert_mask": 0,
    }
)
host, port = via.rsplit(":", 1)
session.add_dht_node((host, int(port)))
while True:
    time.sleep(1)
