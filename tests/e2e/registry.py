#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A registry for the tests, on loopback, with the manners that are asked for.

usage: registry.py PORT-FILE LOG [--tls CERT KEY]

Serves the docker API v2 out of memory: PUT and GET of manifests and blobs. The first part of a repository's name says how
it behaves (see MANNERS); "plain" is well-behaved. Each request is a line of LOG: method, path, authorization, range, status.
"""
import base64
import hashlib
import json
import os
import re
import socketserver
import ssl
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

blobs, manifests = {}, {}  # digest -> bytes; (repository, reference) -> (type, bytes)
counts = {}
lock = threading.Lock()
log_file = None

MANNERS = {
    'plain': 'as it should be',
    'token': 'wants a token; user "me", password "secret" get one, nobody gets none',
    'public': 'wants a token; everybody gets one',
    'expiring': 'tokens are good for two requests',
    'basic': 'wants basic authentication: me, secret',
    'moved': 'as basic; blobs are redirected to another host (localhost for 127.0.0.1)',
    'loop': 'redirects for ever',
    'cut': 'the first answer for each large blob ends in the middle',
    'cutting': 'all answers for large blobs end after a few bytes',
    'norange': 'as cut, but ranges are ignored',
    'slow': 'ten bytes a second',
    'wrong': 'blobs have other bytes than their digests',
    'long': 'blobs have more bytes than their manifests say',
    'liar': 'Content-Length of blobs is another than the manifest says',
    'html': 'manifests are a page of a captive portal',
    'huge': 'manifests without an end',
    'swapped': 'manifests of another digest than asked for',
    'busy': 'too many requests',
    'broken': 'internal server errors',
}


class Registry(BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'

    def log_message(self, *args):
        pass

    def note(self, status):
        authorization = self.headers.get('Authorization', '-').split(' ')[0]
        with lock:
            log_file.write(f"{self.command} {self.path} {authorization} {self.headers.get('Range', '-')} {status}\n")
            log_file.flush()

    def answer(self, status, body=b'', headers=None, length=None):
        self.note(status)
        self.send_response(status)
        for key, value in (headers or {}).items():
            self.send_header(key, value)
        self.send_header('Content-Length', str(len(body) if length is None else length))
        self.end_headers()
        if self.command != 'HEAD':
            self.wfile.write(body)

    def refuse(self, status, code, headers=None):
        body = json.dumps({'errors': [{'code': code, 'message': code.lower().replace('_', ' ')}]}).encode()
        self.answer(status, body, {'Content-Type': 'application/json', **(headers or {})})

    def here(self):
        return f"{'https' if self.server.is_tls else 'http'}://{self.headers['Host']}"

    def once(self, what):
        with lock:
            counts[what] = counts.get(what, 0) + 1
            return counts[what] == 1

    # -- who may

    def is_me(self):
        return self.headers.get('Authorization') == 'Basic ' + base64.b64encode(b'me:secret').decode()

    def do_token(self):
        name = re.search(r'repository%3A(\w+)', self.path)
        manner = name.group(1) if name else ''
        if manner == 'token' and not self.is_me():
            return self.refuse(401, 'UNAUTHORIZED')
        token = f'{manner}-{time.monotonic_ns()}'
        counts[token] = 0
        self.answer(200, json.dumps({'token': token, 'expires_in': 300}).encode(), {'Content-Type': 'application/json'})

    def is_allowed(self, manner, path):
        if manner in ('basic', 'moved') and not self.is_me():
            self.refuse(401, 'UNAUTHORIZED', {'WWW-Authenticate': 'Basic realm="registry"'})
            return False
        if manner in ('token', 'public', 'expiring'):
            token = self.headers.get('Authorization', '').removeprefix('Bearer ')
            with lock:
                if token.startswith(manner) and token in counts and (manner != 'expiring' or counts[token] < 2):
                    counts[token] += 1
                    return True
            challenge = f'Bearer realm="{self.here()}/token",service="tests",scope="repository:{path}:pull"'
            self.refuse(401, 'UNAUTHORIZED', {'WWW-Authenticate': challenge})
            return False
        return True

    # -- what is asked for

    def do_GET(self):
        path = self.path.split('?')[0]
        if path == '/token':
            return self.do_token()
        match = re.fullmatch(r'/v2/(.+)/(manifests|blobs)/([^/]+)', path)
        if not match:
            return self.refuse(404, 'NOT_FOUND')
        repository, kind, name = match.groups()
        manner = repository.split('/')[0]
        if not self.is_allowed(manner, repository):
            return None
        if manner == 'busy':
            return self.refuse(429, 'TOOMANYREQUESTS')
        if manner == 'broken':
            return self.refuse(500, 'UNKNOWN')
        return self.get_manifest(manner, repository, name) if kind == 'manifests' else self.get_blob(manner, name)

    do_HEAD = do_GET

    def get_manifest(self, manner, repository, name):
        if manner == 'html':
            return self.answer(200, b'<html>Please log in</html>', {'Content-Type': 'text/html'})
        if manner == 'huge':
            return self.answer(200, b' ' * (9 << 20), {'Content-Type': 'application/json'})
        found = manifests.get((repository, name))
        if not found:
            return self.refuse(404, 'MANIFEST_UNKNOWN')
        kind, body = found
        if manner == 'swapped':
            body += b'\n'
        digest = 'sha256:' + hashlib.sha256(found[1]).hexdigest()
        return self.answer(200, body, {'Content-Type': kind, 'Docker-Content-Digest': digest})

    def get_blob(self, manner, digest):
        body = blobs.get(digest)
        if body is None:
            return self.refuse(404, 'BLOB_UNKNOWN')
        if manner == 'loop':
            return self.answer(307, headers={'Location': self.path})
        if manner == 'moved':
            other = self.here().replace('127.0.0.1', 'localhost')
            return self.answer(307, headers={'Location': f'{other}/v2/plain/app/blobs/{digest}'})
        is_large = len(body) > 10000
        if manner == 'wrong' and is_large:
            body = bytes(len(body))
        if manner == 'liar' and is_large:
            return self.answer(200, body, length=len(body) + 7)
        if manner == 'long' and is_large:
            self.note(200)
            self.send_response(200)
            self.send_header('Connection', 'close')
            self.end_headers()
            self.wfile.write(body + b'more')
            self.close_connection = True
            return None
        return self.send_blob(manner, digest, body, is_large)

    def send_blob(self, manner, digest, body, is_large):
        start, status, headers = 0, 200, {'Content-Type': 'application/octet-stream'}
        wanted = re.fullmatch(r'bytes=(\d+)-', self.headers.get('Range', ''))
        if wanted and manner != 'norange':
            start, status = int(wanted.group(1)), 206
            headers['Content-Range'] = f'bytes {start}-{len(body) - 1}/{len(body)}'
        rest = body[start:]
        if is_large and (manner == 'cutting' or (manner in ('cut', 'norange') and self.once((manner, digest)))):
            self.answer(status, rest[:100 if manner == 'cutting' else len(rest) // 2], headers, length=len(rest))
            self.close_connection = True
        elif is_large and manner == 'slow':
            self.answer(status, rest[:10], headers, length=len(rest))
            for i in range(10, len(rest), 10):
                time.sleep(1)
                self.wfile.write(rest[i:i + 10])
        else:
            self.answer(status, rest, headers)
        return None

    # -- what is brought

    def do_PUT(self):
        body = self.rfile.read(int(self.headers.get('Content-Length', 0)))
        digest = 'sha256:' + hashlib.sha256(body).hexdigest()
        match = re.fullmatch(r'/v2/(.+)/(manifests|blobs)/([^/]+)', self.path)
        repository, kind, name = match.groups()
        if kind == 'blobs':
            blobs[name] = body
        else:
            manifests[repository, name] = manifests[repository, digest] = (self.headers['Content-Type'], body)
        self.answer(201, headers={'Docker-Content-Digest': digest})


def main():
    global log_file
    log_file = open(sys.argv[2], 'w')
    socketserver.TCPServer.request_queue_size = 128
    server = ThreadingHTTPServer(('127.0.0.1', 0), Registry)
    server.daemon_threads = True
    server.is_tls = sys.argv[3:4] == ['--tls']
    if server.is_tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(sys.argv[4], sys.argv[5])
        server.socket = context.wrap_socket(server.socket, server_side=True)
    with open(sys.argv[1] + '.new', 'w') as f:
        f.write(str(server.server_address[1]))
    os.rename(sys.argv[1] + '.new', sys.argv[1])
    server.serve_forever()


main()
