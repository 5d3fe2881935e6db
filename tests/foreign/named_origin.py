"""An origin that answers every path with its name: good for ten minutes, or not at all below /live."""

import http.server
import sys


class Origin(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        body = f"origin {sys.argv[1]}".encode()
        self.send_response(200)
        self.send_header("Cache-Control", "no-store" if "/live" in self.path else "max-age=600")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Origin)
print(server.server_port, flush=True)
server.serve_forever()
