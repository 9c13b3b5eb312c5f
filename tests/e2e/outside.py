#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
# An outside world for one test: a name server on 127.0.0.53 that knows outside.test, and a web server at the address
# that it tells. Runs in a network namespace of the test's own until it is ended.
import http.server
import socketserver
import threading

ADDRESS = "192.0.2.1"


class Names(socketserver.BaseRequestHandler):
    def handle(self):
        query, socket = self.request
        end = query.index(0, 12) + 5  # the question: name, type, class
        name = query[12 : end - 5]
        is_a = query[end - 4 : end - 2] == b"\0\1"
        known = name == b"\7outside\4test"
        answers = known and is_a
        head = query[:2] + (b"\x81\x80" if known else b"\x81\x83") + b"\0\1" + (b"\0\1" if answers else b"\0\0") + b"\0\0\0\0"
        record = b"\xc0\x0c\0\1\0\1\0\0\0\x1e\0\4" + bytes(map(int, ADDRESS.split(".")))
        socket.sendto(head + query[12:end] + (record if answers else b""), self.client_address)


class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"the outside\n")

    def log_message(self, *_):
        pass


names = socketserver.UDPServer(("127.0.0.53", 53), Names)
threading.Thread(target=names.serve_forever, daemon=True).start()
http.server.HTTPServer((ADDRESS, 80), Page).serve_forever()
