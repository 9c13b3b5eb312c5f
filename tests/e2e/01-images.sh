#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The images built without Docker: the same bytes every time, digests that are true, two versions that differ.
. "$(dirname "$0")/lib.sh"
mkimage=$top/build/release/tools/mkimage
for image in busybox moscow-time visit-board; do
    t "$image is built again" "$mkimage" "$work/$image.tar" "examples/images/$image.recipe"
    t "$image has the same bytes" cmp "build/images/$image.tar" "$work/$image.tar"
done
mkdir "$work/layout"
tar -xf build/images/moscow-time.tar -C "$work/layout"
digests() { (cd "$work/layout/blobs/sha256" && for f in *; do echo "$f  $f"; done | sha256sum -c --quiet); }
t "every blob is named by its digest" digests
tags() { jq -r '.manifests[].annotations."org.opencontainers.image.ref.name"' "$work/layout/index.json"; }
t_is "both versions are in one archive" $'docker.io/library/moscow-time:1.0\ndocker.io/library/moscow-time:1.1' tags
t_is "they differ" 2 jq '[.manifests[].digest] | unique | length' "$work/layout/index.json"
blob() { cat "$work/layout/blobs/sha256/${1#sha256:}"; }
layers() { jq -r '.manifests[].digest' "$work/layout/index.json" | while read -r d; do blob "$d" | jq -r '.layers[0].digest'; done | sort -u | wc -l; }
t_is "and share their first layer" 1 layers
config() { blob "$(blob "$(jq -r '.manifests[0].digest' "$work/layout/index.json")" | jq -r .config.digest)" | jq -c '[.config.WorkingDir, .config.Cmd, (.config.ExposedPorts | keys)]'; }
t_is "the config says what runs" '["/app",["/app/moscow-time"],["5000/tcp"]]' config
printf 'image a:1\nlayer\nfile 0644 x /nothing/here\n' >"$work/bad.recipe"
t_fails "a missing source is refused" "$mkimage" "$work/bad.tar" "$work/bad.recipe"
printf 'imag a:1\n' >"$work/bad.recipe"
t_fails "an unknown word is refused" "$mkimage" "$work/bad.tar" "$work/bad.recipe"
t_fails "and leaves no archive" test -e "$work/bad.tar"
