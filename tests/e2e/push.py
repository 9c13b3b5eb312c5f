#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Pushes images to registries of the tests.

usage: push.py [--user USER:PASSWORD] [--as gzip|zstd|index|docker] SOURCE URL/REPOSITORY:TAG...

SOURCE is ARCHIVE:TAG (an OCI archive), or "new": an image of one layer with random bytes, another for each target, and an
empty file that belongs to 1234:5678. gzip and
zstd pack the layers anew; index puts the manifest between those of other machines; docker speaks schema 2.
"""
import argparse
import base64
import gzip
import hashlib
import io
import json
import os
import platform
import subprocess
import tarfile
import urllib.error
import urllib.request

OCI = 'application/vnd.oci.image.'
DOCKER = 'application/vnd.docker.'


def digest_of(data):
    return 'sha256:' + hashlib.sha256(data).hexdigest()


def new_image():
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode='w') as tar:
        info = tarfile.TarInfo('random')
        info.size = 200000
        tar.addfile(info, io.BytesIO(os.urandom(info.size)))
        info = tarfile.TarInfo('owned')
        info.uid, info.gid, info.mode = 1234, 5678, 0o2750
        tar.addfile(info)
    layer = out.getvalue()
    machine = {'x86_64': 'amd64', 'aarch64': 'arm64'}[platform.machine()]
    return {'os': 'linux', 'architecture': machine, 'config': {}, 'rootfs': {'type': 'layers', 'diff_ids': [digest_of(layer)]}}, [layer]


def read_archive(path, tag):
    with tarfile.open(path) as tar:
        files = {m.name: tar.extractfile(m).read() for m in tar if m.isfile()}
    blob = lambda digest: files['blobs/sha256/' + digest[7:]]
    entry = next(m for m in json.loads(files['index.json'])['manifests']
                 if m['annotations']['org.opencontainers.image.ref.name'].endswith(':' + tag))
    manifest = json.loads(blob(entry['digest']))
    return json.loads(blob(manifest['config']['digest'])), [blob(d['digest']) for d in manifest['layers']]


class Target:
    def __init__(self, url, user):
        base, _, self.tag = url.rpartition(':')
        scheme, _, rest = base.partition('://')
        host, _, repository = rest.partition('/')
        self.api = f'{scheme}://{host}/v2/{repository}'
        self.headers = {'Authorization': 'Basic ' + base64.b64encode(user.encode()).decode()} if user else {}

    def ask(self, method, url, data, kind):
        request = urllib.request.Request(url, data=data, method=method, headers={**self.headers, 'Content-Type': kind})
        return urllib.request.urlopen(request)

    def put_blob(self, data, kind):
        digest = digest_of(data)
        octets = 'application/octet-stream'
        try:
            place = self.ask('POST', f'{self.api}/blobs/uploads/', b'', octets).headers['Location']
            self.ask('PUT', f"{place}{'&' if '?' in place else '?'}digest={digest}", data, octets)
        except urllib.error.HTTPError as e:
            if e.code != 501:  # registry.py takes a blob at once
                raise
            self.ask('PUT', f'{self.api}/blobs/{digest}', data, octets)
        return {'mediaType': kind, 'digest': digest, 'size': len(data)}

    def put_manifest(self, name, document):
        data = json.dumps(document).encode()
        self.ask('PUT', f'{self.api}/manifests/{name}', data, document['mediaType'])
        return {'mediaType': document['mediaType'], 'digest': digest_of(data), 'size': len(data)}


def pack(layer, how):
    if how == 'gzip':
        return gzip.compress(layer, mtime=0), OCI + 'layer.v1.tar+gzip'
    if how == 'zstd':
        return subprocess.run(['zstd', '-qc'], input=layer, stdout=subprocess.PIPE, check=True).stdout, OCI + 'layer.v1.tar+zstd'
    return layer, DOCKER + 'image.rootfs.diff.tar' if how == 'docker' else OCI + 'layer.v1.tar'


def push(target, config, layers, how):
    is_docker = how == 'docker'
    manifest = {
        'schemaVersion': 2,
        'mediaType': DOCKER + 'distribution.manifest.v2+json' if is_docker else OCI + 'manifest.v1+json',
        'config': target.put_blob(json.dumps(config).encode(), DOCKER + 'container.image.v1+json' if is_docker else OCI + 'config.v1+json'),
        'layers': [target.put_blob(*pack(layer, how)) for layer in layers],
    }
    if how != 'index':
        target.put_manifest(target.tag, manifest)
        return
    ours = target.put_manifest('ours', manifest)
    others = [{**ours, 'digest': digest_of(machine.encode()), 'platform': {'os': system, 'architecture': machine}}
              for system, machine in (('linux', 's390x'), ('unknown', 'unknown'))]
    ours['platform'] = {'os': 'linux', 'architecture': config['architecture']}
    target.put_manifest(target.tag, {'schemaVersion': 2, 'mediaType': OCI + 'index.v1+json', 'manifests': others + [ours]})


parser = argparse.ArgumentParser()
parser.add_argument('--user')
parser.add_argument('--as', dest='how')
parser.add_argument('source')
parser.add_argument('targets', nargs='+')
arguments = parser.parse_args()
for url in arguments.targets:
    image = new_image() if arguments.source == 'new' else read_archive(*arguments.source.split(':'))
    push(Target(url, arguments.user), *image, arguments.how)
