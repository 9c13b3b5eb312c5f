#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Upstream's end-to-end cases of StatefulSets about what holds a set up, as tests/e2e/README.md numbers them: pods that are
# held, end badly, are not ready or refused, 3, 7 to 12, 21.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/sets.sh"
cluster_up build/images/busybox.tar
watch_pods
container=$ready_unless_broken

# 7: partition 1, pod 0 held by a finalizer and deleted while the others are updated; 8: and it ends badly
held() { # CASE SET PHASE
    t "ready" ready "$2"
    t "$1: pod 0 is held" hold "$2-0"
    t "and deleted" kubectl delete pod "$2-0" --wait=false
    [ -z "$3" ] || t "it ends as $3" soon 20 is field "pod/$2-0" .status.phase = "$3"
    t "a new image" set_image "$2" busybox:latest
    t "is seen" soon 10 sees "$2"
    t "pod 0 may go" let_go "pod/$2-0"
    t "all get ready" soon 40 ready "$2"
    t_is "pod 0 came back with the old image" "busybox:1.35 busybox:latest busybox:latest" images "$2"
}
t "7: three pods, partition 1" apply held 3 '  updateStrategy: {rollingUpdate: {partition: 1}}'
held 7 held ""
command='trap \"exit 1\" TERM; sleep 1000 & wait'
t "8: the same, exit 1 at SIGTERM" apply failing 3 '  updateStrategy: {rollingUpdate: {partition: 1}}'
held 8 failing Failed
command=
t "they go" kubectl delete sts held failing

# 9: OnDelete
t "9: OnDelete" apply manual 3 '  updateStrategy: {type: OnDelete}'
t "ready" soon 30 is status manual readyReplicas = 3
all_new() { # SET UIDS: three pods, all ready, none of them one of these
    local one now
    now=$(uids "$1")
    [ "$(wc -w <<<"$now")" = 3 ] && [ "$(status "$1" readyReplicas)" = 3 ] || return 1
    for one in $2; do [[ $now != *"$one"* ]] || return 1; done
}
renew() {
    local before
    before=$(uids manual)
    t "all pods are deleted" kubectl delete po -l app=manual --wait=false
    t "and come back" soon 40 all_new manual "$before"
}
first=$(status manual updateRevision)
renew
t_is "at the same revision" "$first $first $first" sh -c "kubectl get po -l app=manual -o jsonpath='{.items[*].metadata.labels.controller-revision-hash}'"
before=$(uids manual)
t "a new image" set_image manual busybox:latest
t "changes nothing" stays manual uids manual = "$before"
renew
t_is "with the new image" "busybox:latest busybox:latest busybox:latest" images manual
t_is "at the update revision" "$(status manual updateRevision)" revision manual-0
differ() { [ "$(status manual updateRevision)" != "$first" ]; }
t "which is another" differ
t "it goes" kubectl delete sts manual

# 10: order, and halt; 11: none of it in bursts
pods() { names po "$1"; }
t "10: one pod" apply halt 1
t "ready" ready halt
t "it breaks" break_pods halt-0
t "it is seen" soon 15 is status halt readyReplicas = ""
t "scaled to 3" scale halt 3
t "no other comes" stays halt pods halt = halt-0
t "mended" mend_pods halt-0
t "they come" ready halt
t_is "in order" "halt-0 halt-1 halt-2 " additions halt
t "two break" break_pods halt-0 halt-2
t "it is seen" soon 15 is status halt readyReplicas = 1
t "scaled to none" scale halt 0
t "none goes" stays halt pods halt = "halt-0 halt-1 halt-2"
t_is "none is to go" "" deletions halt
# Pod 0 needs no mending: one that is not ready goes when its turn comes (spec/statefulset.md 2.7).
t "the highest is mended" mend_pods halt-2
t "all go" soon 30 is pods halt = ""
t_is "in reverse order" "halt-2 halt-1 halt-0 " deletions halt
container=$ready_when_told
t "11: a Parallel set, its pod not ready" apply burst 1 '  podManagementPolicy: Parallel'
t "one pod" soon 10 is pods burst = burst-0
t "scaled to 3" scale burst 3
t "the others come" soon 10 is pods burst = "burst-0 burst-1 burst-2"
t_is "though none is ready" "" status burst readyReplicas
t "scaled to none" scale burst 0
t "all go" soon 20 is pods burst = ""

# 3: a pod whose successor is not ready comes back
t "3: two pods, the second not ready" apply lock 2
t "pod 0" soon 20 tell_pods lock-0
t "pod 1 comes" soon 20 is pods lock = "lock-0 lock-1"
t "only pod 0 is ready" soon 15 is status lock readyReplicas = 1
before=$(uid pod/lock-0)
t "pod 0 is deleted" kubectl delete pod lock-0 --wait=false
t "and comes back" soon 20 is_new pod/lock-0 "$before"
t "is let go" soon 20 tell_pods lock-0
t "pod 1 too" soon 20 tell_pods lock-1
t "both are ready" soon 20 is status lock readyReplicas = 2
container=

# 12: a pod that the node refuses is replaced until it runs
node=$(kubectl get node -o jsonpath='{.items[0].metadata.name}')
blocker() { printf '{"apiVersion":"v1","kind":"Pod","metadata":{"name":"blocker"},"spec":{"nodeName":"%s","terminationGracePeriodSeconds":0,"containers":[{"name":"c","image":"busybox:1.35","imagePullPolicy":"IfNotPresent","command":["sleep","1000"],"ports":[{"containerPort":21017,"hostPort":21017}]}]}}' "$node" | kubectl apply -f -; }
t "12: a pod has a port of the node" blocker
t "it runs" kubectl wait --for=condition=Ready pod/blocker --timeout=20s
pod="nodeName: $node"
container=', ports: [{containerPort: 21017, hostPort: 21017}]'
t "a set wants the same" apply evicted 1
refused() { kubectl get events --field-selector involvedObject.name=evicted -o jsonpath='{.items[*].message}' | grep -q 'delete Pod evicted-0 in StatefulSet evicted successful'; }
t "its pod is refused and deleted" soon 20 refused
before=$(uid pod/evicted-0)
t "the port is free" kubectl delete pod blocker
t "it runs" soon 40 is status evicted readyReplicas = 1
t "as another pod" is_new pod/evicted-0 "$before"
pod='' container=''

# 21: availableReplicas by minReadySeconds
t "21: minReadySeconds 3600" apply avail 2 '  minReadySeconds: 3600
  podManagementPolicy: Parallel'
available() { status avail 'readyReplicas}/{.status.availableReplicas'; }
t "two ready, none available" soon 20 is available = 2/0
t "3 seconds" patch sts/avail '{"spec":{"minReadySeconds":3}}'
t "both are available then" soon 20 is available = 2/2
t "3600 again" patch sts/avail '{"spec":{"minReadySeconds":3600}}'
t "none is" soon 10 is available = 2/0
t "0" patch sts/avail '{"spec":{"minReadySeconds":0}}'
t "both are" soon 10 is available = 2/2
t_has "kubectl get -o yaml shows it" 'availableReplicas: 2' kubectl get sts avail -o yaml
