#!/usr/bin/env python3
"""The origin that the scripts of this folder put behind nigh: HTTP/1.1, standard library only.

It prints the port it listens on, and then serves until it is killed:

    /bytes/N        N bytes that can be told from any others of another N; fresh for an hour
    /slow/MS/NAME   ten bytes after MS milliseconds; fresh for an hour
    /private/NAME   a different body for each request, for one client only
    /text/N         N lines of HTML, never compressed; fresh for an hour
    /coded          gzip for whoever takes it, and plain text for others
    /drip/N         N chunks, one every 100 ms; not to be stored
    /trailers       a body in chunks with a checksum behind it
    /early          103 with a Link, and then a page that is not stored
    /fields         the request's fields, as they came
    /upload         says how much content came, and its SHA-256
    /refuse         403, and the content of the request is never read
    /echo           what comes in WebSocket frames goes back
    /large/N/NAME   N bytes in ranges as they are asked for, with a strong tag; fresh for an hour
    /whole/N/NAME   the same, from one who has never heard of ranges
    /asked?PATH     how often PATH was asked for
    /ranges?PATH    the ranges of PATH that were asked for, one a line, `-` for none
    /sent?PATH      how many bytes of PATH were sent

A line on standard input is a command: `down` refuses every request with 503 from then on, `up` ends
that; `change` puts other bytes in the place of all that is /large/.
"""

import base64
import gzip
import hashlib
import http.server
import os
import re
import select
import struct
import sys
import threading
import time

MODIFIED = "Sun, 06 Nov 1994 08:49:37 GMT"
WEBSOCKET = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

# What is large is sent in pieces of so many bytes, and no two of them are alike.
PIECE = 65536

asked = {}
ranges = {}
sent = {}
version = 1
lock = threading.Lock()
down = threading.Event()


def content(length):
    """Bytes that differ from place to place and from length to length."""
    seed = hashlib.sha256(str(length).encode()).digest()
    block = b"".join(hashlib.sha256(seed + bytes([n])).digest() for n in range(32))
    return (block * (length // len(block) + 1))[:length]


def piece(name, version, number):
    """A piece of what is large: it can be told from every other piece, version and name."""
    seed = hashlib.sha256(b"%s %d" % (name.encode(), version)).digest()
    return hashlib.sha256(seed + struct.pack("<Q", number)).digest() * (PIECE // 32)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # A head and its content leave in one piece.
    wbufsize = -1
    disable_nagle_algorithm = True

    def log_message(self, *_):
        pass

    def handle_expect_100(self):
        # Whoever wants the content asks for it.
        return True

    def handle_one_request(self):
        try:
            super().handle_one_request()
        except (ConnectionError, TimeoutError):
            self.close_connection = True

    def begin(self):
        path, _, query = self.path.partition("?")
        with lock:
            asked[path] = asked.get(path, 0) + 1
            count = asked[path]
        if down.is_set():
            self.answer(b"down", status=503, cache=None)
            return None
        return path.split("/")[1:], query, count

    def answer(self, body, status=200, cache="max-age=3600", **fields):
        self.send_response(status)
        if cache:
            self.send_header("Cache-Control", cache)
        for name, value in fields.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def chunk(self, data):
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.flush()

    def begin_chunks(self, **fields):
        self.send_response(200)
        self.send_header("Cache-Control", "no-store")
        for name, value in fields.items():
            self.send_header(name, value)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()

    def do_GET(self):
        begun = self.begin()
        if not begun:
            return
        words, query, count = begun
        match words:
            case ["bytes", length]:
                body = content(int(length))
                tag = '"%s"' % hashlib.sha256(body).hexdigest()[:16]
                if self.headers.get("If-None-Match") == tag:
                    self.send_response(304)
                    self.send_header("ETag", tag)
                    self.end_headers()
                    return
                self.answer(body, ETag=tag, Last_Modified=MODIFIED)
            case ["slow", delay, _]:
                time.sleep(int(delay) / 1000)
                self.answer(b"0123456789", ETag='"slow"')
            case ["private", _]:
                time.sleep(0.1)
                self.answer(b"%08d" % count, cache="private, max-age=3600")
            case ["text", lines]:
                text = "".join("<p>line %d of many</p>\n" % (n % 977) for n in range(int(lines)))
                self.answer(text.encode(), Content_Type="text/html", ETag='"text"')
            case ["coded"]:
                text = b"the same text again and again\n" * 100
                taken = self.headers.get("Accept-Encoding", "")
                if "gzip" in taken:
                    coded = gzip.compress(text, mtime=0)
                    self.answer(coded, Content_Encoding="gzip", Vary="Accept-Encoding")
                else:
                    self.answer(text, Vary="Accept-Encoding")
            case ["drip", number]:
                self.begin_chunks()
                for n in range(int(number)):
                    self.chunk(b"drop %03d\n" % n)
                    time.sleep(0.1)
                self.wfile.write(b"0\r\n\r\n")
            case ["trailers"]:
                self.begin_chunks(Trailer="Checksum")
                self.chunk(b"content")
                self.wfile.write(b"0\r\nChecksum: 7\r\n\r\n")
            case ["early"]:
                self.wfile.write(b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n")
                self.wfile.flush()
                time.sleep(0.2)
                self.answer(b"page", cache="no-store")
            case ["fields"]:
                self.answer(str(self.headers).encode(), cache="no-store")
            case ["echo"]:
                self.echo()
            case ["large", length, name]:
                self.large(int(length), name, self.headers.get("Range"))
            case ["whole", length, name]:
                self.large(int(length), name, None)
            case ["ranges"]:
                with lock:
                    lines = "".join(line + "\n" for line in ranges.get(query, []))
                self.answer(lines.encode(), cache="no-store")
            case ["sent"]:
                with lock:
                    number = sent.get(query, 0)
                self.answer(b"%d\n" % number, cache="no-store")
            case ["asked"]:
                with lock:
                    number = asked.get(query, 0)
                self.answer(b"%d\n" % number, cache="no-store")
            case _:
                self.answer(b"there is no such thing\n", status=404, cache=None)

    do_HEAD = do_GET

    def large(self, length, name, range):
        """RFC 9110, section 14.2: one range, with a first byte."""
        served = version
        with lock:
            ranges.setdefault(self.path, []).append(range or "-")
        first, last = 0, length - 1
        found = re.fullmatch(r"bytes=(\d+)-(\d*)", range or "")
        if found:
            first = int(found[1])
            last = min(last, int(found[2] or last))
        self.send_response(206 if found else 200)
        if found:
            self.send_header("Content-Range", f"bytes {first}-{last}/{length}")
        self.send_header("Cache-Control", "max-age=3600")
        self.send_header("ETag", f'"{served}"')
        if self.path.startswith("/large/"):
            self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(last + 1 - first))
        self.end_headers()
        while first <= last and self.command != "HEAD":
            number, skip = divmod(first, PIECE)
            data = piece(name, served, number)[skip : skip + last + 1 - first]
            self.wfile.write(data)
            first += len(data)
            with lock:
                sent[self.path] = sent.get(self.path, 0) + len(data)

    def do_PUT(self):
        begun = self.begin()
        if not begun:
            return
        if begun[0] == ["refuse"]:
            self.close_connection = True
            self.answer(b"refused", status=403, cache=None, Connection="close")
            # Closing with unread content resets the connection, and a reset can overtake the answer:
            # the other side, which has it, closes first.
            self.wfile.flush()
            poll = select.poll()
            poll.register(self.connection, select.POLLRDHUP)
            poll.poll(2000)
            return
        if self.headers.get("Expect", "").lower() == "100-continue":
            self.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            self.wfile.flush()
        digest, length = hashlib.sha256(), 0
        for data in self.body():
            digest.update(data)
            length += len(data)
        self.answer(b"%d %s\n" % (length, digest.hexdigest().encode()), cache="no-store")

    do_POST = do_PUT

    def body(self):
        if "chunked" in self.headers.get("Transfer-Encoding", "").lower():
            while True:
                size = int(self.rfile.readline().split(b";")[0], 16)
                left = size
                while left:
                    data = self.rfile.read(min(left, 65536))
                    left -= len(data)
                    yield data
                # The line behind a chunk, or the lines behind the last one.
                while self.rfile.readline() not in (b"\r\n", b"") and size == 0:
                    pass
                if size == 0:
                    return
        left = int(self.headers.get("Content-Length", 0))
        while left:
            data = self.rfile.read(min(left, 65536))
            if not data:
                return
            left -= len(data)
            yield data

    def echo(self):
        """RFC 6455, as far as frames that are not fragmented go."""
        self.close_connection = True
        if self.headers.get("Upgrade", "").lower() != "websocket":
            self.answer(b"websocket only\n", status=426, cache=None, Upgrade="websocket")
            return
        key = self.headers["Sec-WebSocket-Key"] + WEBSOCKET
        accept = base64.b64encode(hashlib.sha1(key.encode()).digest()).decode()
        self.send_response(101)
        self.send_header("Upgrade", "websocket")
        self.send_header("Connection", "Upgrade")
        self.send_header("Sec-WebSocket-Accept", accept)
        self.end_headers()
        self.wfile.flush()
        while True:
            head = self.rfile.read(2)
            if len(head) < 2:
                return
            code, length = head[0] & 15, head[1] & 127
            if length == 126:
                (length,) = struct.unpack(">H", self.rfile.read(2))
            elif length == 127:
                (length,) = struct.unpack(">Q", self.rfile.read(8))
            mask = self.rfile.read(4)
            data = bytes(b ^ mask[n % 4] for n, b in enumerate(self.rfile.read(length)))
            answer = struct.pack(">BB", 0x80 | code, min(length, 126))
            if length >= 126:
                answer += struct.pack(">H", length)
            self.wfile.write(answer + data)
            self.wfile.flush()
            if code == 8:
                return


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 1024

    def handle_error(self, request, client_address):
        # Clients come and go; what matters is seen on their side.
        pass


def obey():
    global version
    for line in sys.stdin:
        if line.strip() == "down":
            down.set()
        elif line.strip() == "up":
            down.clear()
        elif line.strip() == "change":
            version += 1
    os._exit(0)


if __name__ == "__main__":
    server = Server(("127.0.0.1", 0), Handler)
    print(server.server_address[1], flush=True)
    threading.Thread(target=obey, daemon=True).start()
    server.serve_forever()
