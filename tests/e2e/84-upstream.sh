#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Upstream's end-to-end cases of StatefulSets (test/e2e/apps/statefulset.go), as tests/e2e/README.md numbers them:
# identity, adoption, updates, phases and the API's own words, 1, 2, 4 to 6, 13 to 15.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/sets.sh"
cluster_up build/images/busybox.tar
t "a headless service" kubectl create service clusterip test --clusterip=None
t "the API's own words" api_open
watch_pods

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

if kubectl get --help | grep -q -- --subresource; then
    t_table "kubectl prints it" "NAME DESIRED AVAILABLE AGE
plain 4 4 <age>" kubectl get sts plain --subresource=scale
fi
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
# kubectl itself may wait for ever when a pod is made anew between its look at the old one and its watch.
canaries() { kubectl get po canary-0 canary-2 -o 'jsonpath={.items[*].metadata.uid}'; }
read -r -a was <<<"$(canaries)"
are_new() { local now; now=$(canaries) && [ "$(wc -w <<<"$now")" = 2 ] && ! grep -qE "${was[0]}|${was[1]}" <<<"$now"; }
t "pods 0 and 2 are deleted" kubectl delete po canary-0 canary-2 --wait=false
t "come anew" soon 30 are_new
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
