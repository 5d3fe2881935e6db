"""A WebSocket client of a page: says what came of each step. RFC 6455.

    websocket.py PORT [CERTIFICATE]     with a certificate, over TLS to localhost
"""

import base64
import hashlib
import os
import socket
import ssl
import struct
import sys

GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

stream = socket.create_connection(("127.0.0.1", int(sys.argv[1])), timeout=10)
if len(sys.argv) > 2:
    trust = ssl.create_default_context(cafile=sys.argv[2])
    trust.set_alpn_protocols(["http/1.1"])
    stream = trust.wrap_socket(stream, server_hostname="localhost")
reader = stream.makefile("rb")


def frame(code, data):
    mask = os.urandom(4)
    head = struct.pack(">B", 0x80 | code)
    if len(data) < 126:
        head += struct.pack(">B", 0x80 | len(data))
    elif len(data) < 65536:
        head += struct.pack(">BH", 0x80 | 126, len(data))
    else:
        head += struct.pack(">BQ", 0x80 | 127, len(data))
    return head + mask + bytes(b ^ mask[n % 4] for n, b in enumerate(data))


def receive():
    code, length = struct.unpack(">BB", reader.read(2))
    if length == 126:
        (length,) = struct.unpack(">H", reader.read(2))
    return code & 15, reader.read(length)


key = base64.b64encode(os.urandom(16)).decode()
request = (
    "GET /echo HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
# The first frame does not wait for the answer to the head: a tunnel must not lose it.
stream.sendall(request.encode() + frame(1, b"early"))
status = reader.readline().split()[1]
fields = {}
while (line := reader.readline().strip()):
    name, _, value = line.partition(b":")
    fields[name.strip().lower()] = value.strip()
print("status", status.decode())
expected = base64.b64encode(hashlib.sha1((key + GUID).encode()).digest())
print("accepted", fields.get(b"sec-websocket-accept") == expected)
print("early", receive() == (1, b"early"))
for size in (0, 1, 125, 126, 60000):
    data = os.urandom(size)
    stream.sendall(frame(2, data))
    print("echo", size, receive() == (2, data))
for n in range(200):
    stream.sendall(frame(1, b"%d" % n))
print("in-order", all(receive() == (1, b"%d" % n) for n in range(200)))
stream.sendall(frame(8, struct.pack(">H", 1000)))
print("closed", receive() == (8, struct.pack(">H", 1000)), reader.read() == b"")
