#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A data folder without room: writes are refused with a clear 5xx, reads and pods go on, nothing acknowledged is lost,
# and all is well once there is room again. Needs root: a small disk is mounted, in a mount namespace of this script
# alone.
[ "$(id -u)" = 0 ] || { echo "1..0 # SKIP mounting a small disk needs root"; exit 77; }
if [ -z "${SMALL_DISK:-}" ]; then
    SMALL_DISK=$(mktemp -d /tmp/coracle-e2e-disk-XXXXXX)
    export SMALL_DISK
    unshare --mount --propagation private bash "$0"
    rc=$?
    rmdir "$SMALL_DISK"
    exit $rc
fi
. "$(dirname "$0")/lib.sh"
t "a small disk" mount -t tmpfs -o size=48m,mode=755 none "$SMALL_DISK"
data=$SMALL_DISK/data
cluster_up
t "a write" kubectl create configmap before --from-literal=a=b
fill() { dd if=/dev/zero of="$SMALL_DISK/filler" bs=64k >/dev/null 2>&1; [ "$(df --output=avail "$SMALL_DISK" | tail -n 1)" -lt 64 ]; }
t "the disk is full" fill
# The log file of the journal has room that it can use again; many writes use it up.
head -c 60000 /dev/urandom | base64 -w 0 >"$work/large"
refused() {
    local i
    for ((i = 0; i < 80; i++)); do
        kubectl create configmap "large-$i" --from-file="$work/large" >"$work/create" 2>&1 || { cat "$work/create"; return 0; }
        echo "large-$i" >>"$work/acknowledged"
    done
    return 1
}
t_has "a write is refused, and told why" 'Internal error.*the disk is full' refused
t_has "reads go on" '^before +1' kubectl get configmap before --no-headers
t "it is alive" kubectl get --raw /livez
missing() { comm -23 <(sort "$work/acknowledged") <(kubectl get cm -o jsonpath='{range .items[*]}{.metadata.name}{"\n"}{end}' | sort); }
touch "$work/acknowledged"
t_is "what was acknowledged is there" "" missing
brain=$(pid_of brain)
rm "$SMALL_DISK/filler"
t "with room, writes are taken again" soon 20 kubectl create configmap after --from-literal=a=b
t_is "by the same process" "$brain" pid_of brain
t_is "nothing was lost on the way" "" missing

say "images go when the disk is full, and none that is in use"
t "images" "$coracle" image load build/images/busybox.tar build/images/moscow-time.tar --name "$name" --data "$data"
t "a pod that needs one of them" kubectl run busy --image=busybox --restart=Always --overrides='{"spec":{"terminationGracePeriodSeconds":1}}' -- sleep 1000
t "runs" kubectl wait --for=condition=Ready --timeout=30s pod/busy
t "down" "$coracle" down --name "$name" --data "$data"
almost() { dd if=/dev/zero of="$SMALL_DISK/filler" bs=1k count=$(($(df --output=avail "$SMALL_DISK" | tail -n 1) - 4000)) 2>&1; }
t "the disk is almost full" almost
cluster_up
left() { "$coracle" image list --name "$name" --data "$data" --json | jq -r '[.images[].names[]] | map(select(test("@") | not)) | sort | join(" ")'; }
t "the unused ones go" soon 60 is left = 'docker.io/library/busybox:1.35 docker.io/library/busybox:latest'
t "the pod runs again" kubectl wait --for=condition=Ready --timeout=30s pod/busy
node_events() { kubectl get events --field-selector involvedObject.kind=Node -o jsonpath='{range .items[*]}{.type} {.reason} {.message}{"\n"}{end}'; }
t_has "that it was not enough is told" "Warning FreeDiskSpaceFailed Insufficient free disk space on the node's image filesystem \(9[0-9]% of 48\.0 MiB used\)" node_events
