#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Upstream's end-to-end cases of StatefulSets (test/e2e/apps/statefulset.go), as tests/e2e/README.md numbers them: 1 to
# 15 and 21, on real containers. Those about claims and start ordinals are in 85-upstream-claims.sh.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/sets.sh"
cluster_up build/images/busybox.tar
t "a headless service" kubectl create service clusterip test --clusterip=None
t "the API's own words" api_open
deletions() { # SET: its pods in the order in which they were deleted, by a watch that runs
    grep -v '<none>' "$work/background.log" | awk -v p="^$1-" '$1 ~ p && !seen[$1]++ { printf "%s ", $1 }'
}
additions() { awk -v p="^$1-" '$1 ~ p && !seen[$1]++ { printf "%s ", $1 }' "$work/background.log"; }
# One watch for all orders. Each set's name is its own.
in_background kubectl get po -w -o 'custom-columns=NAME:.metadata.name,GONE:.metadata.deletionTimestamp'

# 1 (and T1): identity, and data that outlive the pods
container="$ready_unless_broken, volumeMounts: [{name: data, mountPath: /data}]"
t "1: three pods with claims" apply ss 3 "$claims
  serviceName: test"
t "ready" ready ss
t_is "one by one" "ss-0 ss-1 ss-2 " additions ss
write() { local i; for i in 0 1 2; do kubectl exec ss-$i -- sh -c 'hostname >/data/name && ln -s /data/name /data/link' || return 1; done; }
t "each writes its name" write
t "scaled to none" scale ss 0
t "all gone" soon 30 is names po ss = ""
t "and back" scale ss 3
t "ready" ready ss
known() { local i; for i in 0 1 2; do kubectl exec ss-$i -- sh -c 'cat /data/name; cat /data/link; hostname; hostname -f'; done; }
t_is "data, link, host name and full name are each pod's own" "$(for i in 0 1 2; do printf 'ss-%s\nss-%s\nss-%s\nss-%s.test.default.svc.cluster.local\n' $i $i $i $i; done)" known
events() { kubectl get events --field-selector involvedObject.name=ss -o jsonpath='{range .items[*]}{.message}{"\n"}{end}' | sort -u; }
t_has "T1: the events of a claim" 'create Claim data-ss-0 Pod ss-0 in StatefulSet ss success' events
t_has "and of a pod" 'create Pod ss-0 in StatefulSet ss successful' events
t_has "and of its end" 'delete Pod ss-2 in StatefulSet ss successful' events

# 2: adoption and release
owner() { field pod/ss-0 '.metadata.ownerReferences[*].uid'; }
set_uid=$(uid sts/ss) before=$(uids ss)
t "2: a pod loses its owner" patch pod/ss-0 '{"metadata":{"ownerReferences":null}}'
t "and is adopted by the same set" soon 10 is owner = "$set_uid"
t "its labels change" kubectl label pod ss-0 app=other --overwrite
t "it is released" soon 10 is owner = ""
t "its labels return" kubectl label pod ss-0 app=ss --overwrite
t "it is adopted" soon 10 is owner = "$set_uid"
t_is "no pod was made anew" "$before" uids ss

# 4 and 5: rolling update with a broken pod, and back, with and without claims
rolling() { # CASE SET
    local first second
    first=$(status "$2" currentRevision)
    t "$1: pod 1 breaks" break_pods "$2-1"
    t "it is seen" soon 15 is status "$2" readyReplicas = 2
    t "a new image" set_image "$2" busybox:latest
    t "no pod has it while pod 1 is broken" stays "$2" status "$2" updatedReplicas = ""
    second=$(status "$2" updateRevision)
    differ() { [ -n "$second" ] && [ "$first" != "$second" ]; }
    t "the revisions differ" differ
    t_is "the current one is the first" "$first" status "$2" currentRevision
    t "mended" mend_pods "$2-1"
    t "it goes on" ready "$2"
    t_is "all have the new image" "busybox:latest busybox:latest busybox:latest" images "$2"
    t "the highest first" soon 10 is deletions "$2" = "$3"
    t "the current revision is the new one" soon 10 is status "$2" currentRevision = "$second"
    t "back to the old image" set_image "$2" busybox:1.35
    t "it goes on" ready "$2"
    t_is "all are old again" "busybox:1.35 busybox:1.35 busybox:1.35" images "$2"
    t "under the old revision's name" soon 10 is status "$2" currentRevision = "$first"
    t_is "pod 0 too" "$first" revision "$2-0"
    t_is "which has the highest number" "$first" sh -c "kubectl get controllerrevisions -l app=$2 --sort-by=.revision -o jsonpath='{.items[*].metadata.name}' | tr ' ' '\n' | tail -n 1"
}
rolling 4 ss "ss-2 ss-1 ss-0 "
container=$ready_unless_broken
t "5: three pods without claims" apply plain 3
t "ready" ready plain
rolling 5 plain "plain-2 plain-1 plain-0 "

# 13: scale, 14: list, patch, delete as a collection, 15: status; on the set of case 5
scaled() { api GET "$sets/plain/scale" | tr -d ' \n' | sed -E 's/.*"spec":\{"replicas":([0-9]+)\},"status":\{"replicas":([0-9]+).*/\1 \2/'; }
t_is "13: scale says what is wanted, and what is there" "3 3" scaled
t_has "replaced without a resourceVersion" '"replicas": ?2' api PUT "$sets/plain/scale" json '{"apiVersion":"autoscaling/v1","kind":"Scale","metadata":{"name":"plain","namespace":"default"},"spec":{"replicas":2}}'
t_is "the set follows" 2 field sts/plain .spec.replicas
t_has "patched" '"replicas": ?4' api PATCH "$sets/plain/scale" strategic-merge-patch+json '{"spec":{"replicas":4}}'
t_is "the set follows" 4 field sts/plain .spec.replicas
t "and its pods" soon 30 is scaled = "4 4"
t_has "replaced with an old resourceVersion" '"code": ?409' api PUT "$sets/plain/scale" json '{"apiVersion":"autoscaling/v1","kind":"Scale","metadata":{"name":"plain","namespace":"default","resourceVersion":"1"},"spec":{"replicas":2}}'
t_is "nothing changed" 4 field sts/plain .spec.replicas

in_background sh -c "curl -sN --unix-socket '$work/proxy' 'http://localhost$sets?watch=1&fieldSelector=metadata.name%3Dplain' >'$work/watched'"
t "15: a watch" soon 10 grep -q '"ADDED"' "$work/watched"
condition() { printf '{"status":{"conditions":[{"type":"%s","status":"True","reason":"E2E","message":"Set from e2e test"}]}}' "$1"; }
put_condition() {
    local body
    body=$(api GET "$sets/plain/status" | tr -d '\n' | sed 's/"conditions": *\[/&{"type":"StatusUpdate","status":"True","reason":"E2E"},/') &&
        api PUT "$sets/plain/status" json "$body"
}
t_has "the status is replaced" '"StatusUpdate"' put_condition
t_has "and patched" '"StatusPatched"' api PATCH "$sets/plain/status" merge-patch+json "$(condition StatusPatched)"
t "the watch has seen the one" soon 10 grep -q '"StatusUpdate"' "$work/watched"
t "and the other" soon 10 grep -q '"StatusPatched"' "$work/watched"
t_is "the spec is as it was" 4 field sts/plain .spec.replicas
generation=$(field sts/plain .metadata.generation)
t_has "a status can't hold what can't be" 'status.readyReplicas.*cannot be greater than status.replicas' api PATCH "$sets/plain/status" merge-patch+json '{"status":{"readyReplicas":9}}'
t_has "nor less than nothing" 'status.readyReplicas.*must be greater than or equal to 0' api PATCH "$sets/plain/status" merge-patch+json '{"status":{"readyReplicas":-1,"availableReplicas":-1}}'
t_is "no generation is spent on it" "$generation" field sts/plain .metadata.generation

t_has "14: patched: labels, replicas, grace and image" 'plain patched' patch sts/plain '{"metadata":{"labels":{"test":"patched"}},"spec":{"replicas":1,"template":{"spec":{"terminationGracePeriodSeconds":0,"containers":[{"name":"c","image":"busybox:latest","imagePullPolicy":"IfNotPresent","command":["sh","-c","sleep 1000"]}]}}}}'
t "it comes to that" ready plain
t_is "one pod with the image" busybox:latest images plain
t_is "listed in all namespaces by its label" plain kubectl get sts -A -l test=patched -o 'jsonpath={.items[*].metadata.name}'
t_has "deleted as a collection" '"kind": ?"(Status|StatefulSetList)"' api DELETE "$sets?labelSelector=test%3Dpatched"
t "none is left" soon 10 is kubectl get sts -A -l test=patched -o name = ""
t "nor a pod of it" soon 20 is names po plain = ""
t_is "the other set is" ss kubectl get sts -o 'jsonpath={.items[*].metadata.name}'
t "it goes too" kubectl delete sts ss

# 6 (and T9): canary and phases
t "6: three pods, partition 3" apply canary 3 '  updateStrategy: {rollingUpdate: {partition: 3}}'
t "ready" ready canary
old=$(status canary updateRevision)
t "a new image" set_image canary busybox:latest
t "changes no pod" stays canary images canary = "busybox:1.35 busybox:1.35 busybox:1.35"
new=$(status canary updateRevision)
both() { [ "$old" != "$new" ] && [ "$(status canary currentRevision)" = "$old" ]; }
t "though the revisions differ" both
partition() { patch sts/canary "{\"spec\":{\"updateStrategy\":{\"rollingUpdate\":{\"partition\":$1}}}}"; }
revisions() { kubectl get po -l app=canary -o jsonpath='{.items[*].metadata.labels.controller-revision-hash}'; }
t "partition 2" partition 2
t "is rolled out" ready canary
t_is "to pod 2 alone" "$old $old $new" revisions
t "T9: two current, one updated" soon 10 is status canary 'currentReplicas}/{.status.updatedReplicas}/{.status.currentRevision}/{.status.updateRevision' = "2/1/$old/$new"
t "pods 0 and 2 are deleted" kubectl delete po canary-0 canary-2
t "return" soon 30 ready canary
t_is "each at its own revision" "$old $old $new" revisions
t_is "with its own image" "busybox:1.35 busybox:1.35 busybox:latest" images canary
t "partition 1" partition 1
t "goes on" ready canary
t_is "to pod 1" "$old $new $new" revisions
t "partition 0" partition 0
t "ends it" ready canary
t_is "at pod 0" "$new $new $new" revisions
t "the new revision is the current one" soon 10 is status canary currentRevision = "$new"

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
t "they go" kubectl delete sts canary held failing

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
t "mended" mend_pods halt-0 halt-2
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
