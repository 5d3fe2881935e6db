"""Asks a DHT node for the nodes that it knows, as BEP 5 says, and prints their addresses, one a line.

    dht_ask.py ADDR:PORT

A question has a name of four bytes: the crate mainline answers no other. The asker has one id and one port
whenever it is run: aria2 and Transmission remember whoever asks, though it says that it is none to ask.
"""

import os
import socket
import struct
import sys

ID = b"asks which it knows."
PORT = 6883
KEYS = 8
PATIENCE = 0.5


def question(key, v6):
    target = bytes([key * 256 // KEYS]) + os.urandom(19)
    want = b"2:n6" if v6 else b"2:n4"
    return (
        b"d1:ad2:id20:" + ID + b"6:target20:" + target
        + b"4:wantl" + want + b"ee1:q9:find_node2:roi1e1:t4:" + os.urandom(4) + b"1:y1:qe"
    )


def nodes(answer, name, length):
    """The nodes in a field of an answer: 20 bytes of id, the address and the port each."""
    at = answer.find(b"%d:%s" % (len(name), name))
    if at < 0:
        return
    start = at + len(name) + 2
    colon = answer.index(b":", start)
    size = int(answer[start:colon])
    for place in range(colon + 1, colon + 1 + size - length + 1, length):
        node = answer[place + 20:place + length]
        port = struct.unpack(">H", node[-2:])[0]
        if len(node) == 6:
            yield f"{socket.inet_ntop(socket.AF_INET, node[:4])}:{port}"
        else:
            yield f"[{socket.inet_ntop(socket.AF_INET6, node[:16])}]:{port}"


def main():
    host, port = sys.argv[1].rsplit(":", 1)
    host = host.strip("[]")
    v6 = ":" in host
    asker = socket.socket(socket.AF_INET6 if v6 else socket.AF_INET, socket.SOCK_DGRAM)
    asker.bind(("", PORT))
    asker.settimeout(PATIENCE)
    known = set()
    for key in range(KEYS):
        asker.sendto(question(key, v6), (host, int(port)))
        try:
            answer = asker.recv(4096)
        except socket.timeout:
            continue
        known.update(nodes(answer, b"nodes6" if v6 else b"nodes", 38 if v6 else 26))
    for node in sorted(known):
        print(node)


main()
