#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Upstream's cases of StatefulSets about claims and start ordinals (22 to 32 of tests/e2e/README.md), its integration
# cases (I1 to I8), and the golden traces that need a hand on the pods: T10, T11, T14.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/sets.sh"
cluster_up build/images/busybox.tar
node=$(kubectl get node -o jsonpath='{.items[0].metadata.name}')
orphan() { patch "pod/$1" '{"metadata":{"ownerReferences":null}}'; }
owned_by() { # CLAIM OWNER...: its owner references, as JSON
    local claim=$1
    shift
    patch "pvc/$claim" "{\"metadata\":{\"ownerReferences\":[$(IFS=,; echo "$*")]}}"
}
owner() { # APIVERSION KIND NAME UID [CONTROLLER]
    printf '{"apiVersion":"%s","kind":"%s","name":"%s","uid":"%s"%s}' "$1" "$2" "$3" "$4" "${5:+,\"controller\":$5}"
}

# 22, 25: whenDeleted, one pod without an owner when the set goes
t "22: whenDeleted Delete" apply d 3 "$(policy Retain Delete)"
t "ready" ready d
t_is "each claim is the set's" "data-d-0:StatefulSet data-d-1:StatefulSet data-d-2:StatefulSet " owners d
t "25: deleted as orphans" kubectl delete sts d --cascade=orphan
t "as it was" apply d 3 "$(policy Retain Delete)"
t "all are adopted" soon 20 is status d readyReplicas = 3
t "claims too" soon 10 is owners d = "data-d-0:StatefulSet data-d-1:StatefulSet data-d-2:StatefulSet "
t "pod 2 loses its owner" orphan d-2
t "the set goes" kubectl delete sts d
t "and all claims" soon 20 is names pvc d = ""

# 23, 26: whenScaled, pod 2 without an owner
t "23: whenScaled Delete" apply s 3 "$(policy Delete Retain)"
t "ready" ready s
t "26: pod 2 loses its owner" orphan s-2
t "it is adopted" soon 10 is field pod/s-2 '.metadata.ownerReferences[*].name' = s
t "scaled to 1" scale s 1
t "claim 0 is left" soon 20 is names pvc s = data-s-0
# 24: a claim with another controller
t "scaled to 3" scale s 3
t "ready" ready s
t "24: claim 1 has another controller" owned_by data-s-1 "$(owner v1 Node "$node" "$(uid "node/$node")" true)"
t "scaled to none" scale s 0
t "it alone stays" soon 20 is names pvc s = data-s-1
t "its controller lets go" patch pvc/data-s-1 '{"metadata":{"ownerReferences":null}}'
t "scaled to 2" scale s 2
t "ready" ready s
t "scaled to 1" scale s 1
t "claim 1 goes" soon 20 is names pvc s = data-s-0
t "the set goes" kubectl delete sts s
t "claim 0 stays" soon 10 is kubectl get po -l app=s -o name = ""
t_is "whenDeleted is Retain" data-s-0 names pvc s

# 27: claims with other owners
t "27: four pods, whenDeleted Delete" apply o 4 "$(policy Retain Delete)"
t "ready" ready o
set_uid=$(uid sts/o) node_uid=$(uid "node/$node")
t "claim 0: our owner is no controller" owned_by data-o-0 "$(owner apps/v1 StatefulSet o "$set_uid" false)"
t "claim 1: an owner from outside" owned_by data-o-1 "$(owner v1 Node "$node" "$node_uid")"
t "claim 2: the set of another time" owned_by data-o-2 "$(owner apps/v1 StatefulSet o 00000000-0000-0000-0000-000000000000)"
t "claim 3: a finalizer" patch pvc/data-o-3 '{"metadata":{"finalizers":["example.org/hold"]}}'
kinds() { field "pvc/$1" '.metadata.ownerReferences[*].kind}/{.metadata.ownerReferences[*].controller'; }
t "claim 0: our owner is the controller" soon 20 is kinds data-o-0 = StatefulSet/true
t "claim 1: ours follows the stranger" soon 20 is kinds data-o-1 = "Node StatefulSet/true"
t_is "claim 2: nobody touches it" 00000000-0000-0000-0000-000000000000 field pvc/data-o-2 '.metadata.ownerReferences[*].uid'
t "the set goes" kubectl delete sts o
held() { names pvc o; }
t "claims without another owner or finalizer go" soon 20 is held = "data-o-1 data-o-3"
t_is "the stranger's stays" "" field pvc/data-o-1 .metadata.deletionTimestamp
is_going() { [ -n "$(field "$1" .metadata.deletionTimestamp)" ]; }
t "the held one waits for its finalizer" is_going pvc/data-o-3
t "let go" let_go pvc/data-o-3
t "it goes" soon 10 is held = data-o-1

# 28: a claim is made again for a pod that waits
t "28: a set of one" apply p 1 "$claims"
t "ready" ready p
first=$(field pvc/data-p-0 .spec.volumeName)
t "the node takes no pods" kubectl cordon "$node"
t "its pod is deleted" kubectl delete pod p-0
t "and waits" soon 20 is field pod/p-0 .status.phase = Pending
t "its claim is deleted" kubectl delete pvc data-p-0
t "and made again" soon 20 kubectl get pvc data-p-0
t "the node takes pods" kubectl uncordon "$node"
t "the pod is ready" soon 40 is status p readyReplicas = 1
t_is "on the same node" "$node" field pod/p-0 .spec.nodeName
fresh() { [ "$(field pvc/data-p-0 .spec.volumeName)" != "$first" ]; }
t "with a volume of its own" fresh

# 29 to 32: start ordinals, of a set that stays ready
start() { patch sts/ord "{\"spec\":{\"ordinals\":$1}}"; }
moved() { [ "$(names po ord)" = "$1" ] && [ "$(status ord readyReplicas)" = 3 ]; }
t "29: three pods without a start" apply ord 3
t "ready" ready ord
t "start 2" start '{"start":2}'
t "gives 2, 3, 4" soon 40 moved "ord-2 ord-3 ord-4"
t "30: start 4" start '{"start":4}'
t "gives 4, 5, 6" soon 40 moved "ord-4 ord-5 ord-6"
t "31: start 3" start '{"start":3}'
t "gives 3, 4, 5" soon 40 moved "ord-3 ord-4 ord-5"
t "32: none" start null
t "gives 0, 1, 2" soon 40 moved "ord-0 ord-1 ord-2"
t_is "the label of the index" "0 1 2" kubectl get po -l app=ord -o 'jsonpath={.items[*].metadata.labels.apps\.kubernetes\.io/pod-index}'

# T14: an orphan deletion, and a larger claim template
t "T14: two pods with claims" apply big 2 "$claims"
t "ready" ready big
before=$(uids big)
t "deleted as orphans" kubectl delete sts big --cascade=orphan
t "made again with 2Gi" apply big 3 "${claims/1Gi/2Gi}"
t "ready" ready big
sizes() { kubectl get pvc -l app=big -o jsonpath='{.items[*].spec.resources.requests.storage}'; }
t_is "the new ordinal alone has 2Gi" "1Gi 1Gi 2Gi" sizes
t_is "the pods are the old ones" "$before" kubectl get po big-0 big-1 -o 'jsonpath={.items[*].metadata.uid}'

# T11: a broken template is repaired, as upstream waits
t "T11: an image that is not there" apply trap 2
t "ready" ready trap
t "waits as upstream does" annotate sts/trap coracle.io/strict-rollout=true
t "a broken image" set_image trap nowhere.invalid/none:1
t "its pod doesn't get ready" soon 30 is status trap 'readyReplicas}/{.status.updatedReplicas' = 1/1
before=$(uid pod/trap-1)
t "repaired" set_image trap busybox:latest
t "the pod stays" stays trap uid pod/trap-1 = "$before"
t "deleted by hand" kubectl delete pod trap-1
t "it comes at the repaired template" ready trap
t_is "like all" "busybox:latest busybox:latest" images trap
t "they go" kubectl delete sts big trap ord p

# The integration cases, without a node: no pod is placed, and the test says what becomes of it.
pod='nodeSelector: {nobody: here}'
t "the API's own words" api_open
be() { # POD PHASE READY-SINCE: what a node would say
    api PATCH "/api/v1/namespaces/default/pods/$1/status" strategic-merge-patch+json "{\"status\":{\"phase\":\"$2\",\"conditions\":[{\"type\":\"Ready\",\"status\":\"$([ -n "$3" ] && echo True || echo False)\",\"lastTransitionTime\":\"${3:-$(date -u +%FT%TZ)}\"}]}}" | grep -q '"kind": *"Pod"'
}
now() { date -u -d "${1:-now}" +%FT%TZ; }

set_yaml noop 1 "$claims" >"$work/noop.yaml"
t "I1: a set" kubectl create -f "$work/noop.yaml"
generation=$(field sts/noop .metadata.generation)
t "put as it was submitted, without defaults" kubectl replace -f "$work/noop.yaml"
t_is "is no change" "$generation" field sts/noop .metadata.generation
parallel='  podManagementPolicy: Parallel'
t "I2: a set of none" apply count 0 "$parallel"
for i in 3 0 2; do
    t "scaled to $i" scale count "$i"
    t "the status says so" soon 15 is status count replicas = "$i"
done
t "another template" patch sts/count '{"spec":{"template":{"metadata":{"annotations":{"a":"b"}}}}}'
t_is "is another generation" 5 field sts/count .metadata.generation
t "which is observed" soon 15 is status count observedGeneration = 5

t "I3: three pods" apply ends 3 "$parallel"
t "they come" soon 15 is names po ends = "ends-0 ends-1 ends-2"
before=($(uids ends))
t "one is held" hold ends-0
t "and deleted" kubectl delete pod ends-0 --wait=false
t "one fails" be ends-1 Failed ""
t "one succeeds" be ends-2 Succeeded ""
t "the failed one is replaced" soon 15 is_new pod/ends-1 "${before[1]}"
t "the other too" soon 15 is_new pod/ends-2 "${before[2]}"
t_is "the held one is as it was" "${before[0]}" uid pod/ends-0
t "let go" let_go pod/ends-0
t "it is replaced" soon 15 is_new pod/ends-0 "${before[0]}"

t "I4: four pods, minReadySeconds 3600" apply avail 4 "$parallel
  minReadySeconds: 3600"
t "they come" soon 15 is names po avail = "avail-0 avail-1 avail-2 avail-3"
t "two are ready for long" be avail-0 Running "$(now '-2 hours')"
t "the second" be avail-1 Running "$(now '-2 hours')"
t "one since now" be avail-2 Running "$(now)"
t "4 replicas, 3 ready, 2 available" soon 15 is status avail 'replicas}/{.status.readyReplicas}/{.status.availableReplicas' = 4/3/2

# What upstream does by an admission of its own: the third pod can't be made.
t "I5: a stranger has the name of pod 2" kubectl run few-2 --image=busybox --labels=other=x
t "four pods are wanted" apply few 4
t "pod 0 is ready" soon 15 be few-0 Running "$(now '-1 hour')"
t "pod 1 too" soon 15 be few-1 Running "$(now '-1 hour')"
t "the status counts two" soon 15 is status few 'replicas}/{.status.readyReplicas' = 2/2
t_is "pod 3 doesn't come" "few-0 few-1" names po few
t "the name is free" kubectl delete pod few-2 --wait=false
t "pod 2 comes" soon 30 is names po few = "few-0 few-1 few-2"

# I6: what claims belong to, in range and condemned, by both policies. Held pods stay where one can see them.
meta=', finalizers: [example.org/hold]'
refs() { # NAME WHEN-SCALED WHEN-DELETED IN-RANGE CONDEMNED
    t "I6: whenScaled $2, whenDeleted $3" apply "$1" 2 "$(policy "$2" "$3")
$parallel"
    t "claims belong to" soon 15 is owners "$1" = "data-$1-0:$4 data-$1-1:$4 "
    t "scaled to 1" scale "$1" 1
    t "the condemned one's to" soon 15 is owners "$1" = "data-$1-0:$4 data-$1-1:$5 "
}
refs rr Retain Retain "" ""
refs rd Retain Delete StatefulSet StatefulSet
refs dr Delete Retain "" Pod
refs dd Delete Delete StatefulSet Pod

# I7: partition 1, pod 0 held, failed and deleted in the middle of an update
t "I7: two pods, partition 1" apply part 2 "$parallel
  updateStrategy: {rollingUpdate: {partition: 1}}"
t "they come" soon 15 is names po part = "part-0 part-1"
old=$(status part updateRevision) before=($(uids part))
t "both are ready" be part-0 Running "$(now)"
t "the other" be part-1 Running "$(now)"
t "they count" soon 15 is status part readyReplicas = 2
t "a new image" set_image part busybox:latest
t "pod 1 is deleted" soon 15 is_going pod/part-1
t "pod 0 fails" be part-0 Failed ""
t "and is deleted" kubectl delete pod part-0 --wait=false
t "both may go" let_go pod/part-1
t "pod 0 too" let_go pod/part-0
t "pod 0 comes back" soon 15 is_new pod/part-0 "${before[0]}"
t_is "with the old image" busybox:1.35 field pod/part-0 '.spec.containers[0].image'
t_is "at the old revision" "$old" revision part-0
t "pod 1 too" soon 15 is_new pod/part-1 "${before[1]}"
t_is "with the new one" busybox:latest field pod/part-1 '.spec.containers[0].image'
meta=

for row in "none|i-0 i-1|i-0" "0|i-0 i-1|i-0" "4|i-4 i-5|i-4" "2|i-2 i-3|i-2"; do
    IFS='|' read -r from want one <<<"$row"
    more=$parallel
    [ "$from" = none ] || more+=$'\n'"  ordinals: {start: $from}"
    t "I8: start $from" apply i 2 "$more"
    t "gives $want" soon 15 is names po i = "$want"
    t "scaled to 1" scale i 1
    t "leaves the lowest" soon 15 is names po i = "$one"
    t "it goes" kubectl delete sts i
    t "with its pod" soon 15 is names po i = ""
done
