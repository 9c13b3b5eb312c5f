#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The traces of StatefulSets that 70-order.sh and 80-updates.sh don't play: claims by policy, deletion in three modes,
# adoption, failed and held pods, minReadySeconds, maxUnavailable, start ordinals, budgets.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/sets.sh"
cluster_up build/images/busybox.tar

# T3, T4: claims of pods that are scaled away
t "whenScaled Delete, three pods" apply a 3 "$(policy Delete Retain)"
t "ready" ready a
t_is "claims belong to nobody" "data-a-0: data-a-1: data-a-2: " owners a
volume=$(field pvc/data-a-2 .spec.volumeName)
t "scaled to 1" scale a 1
t "and up again at once" scale a 3
t "claims go with their pods, new ones come" soon 30 ready a
t_is "three claims" "data-a-0 data-a-1 data-a-2" names pvc a
fresh() { [ "$(field pvc/data-a-2 .spec.volumeName)" != "$volume" ]; }
t "data-a-2 is a new one" fresh
t "scaled to 1" scale a 1
t "only its claim stays" soon 20 is names pvc a = data-a-0

# T5, T6, T10: a pod in the middle goes; one fails; one is held
t "three pods" apply b 3
t "ready" ready b
zero=$(field pod/b-0 .metadata.uid) two=$(field pod/b-2 .metadata.uid)
t "pod 1 is deleted" kubectl delete pod b-1
t "it comes back" ready b
same() { [ "$(field pod/b-0 .metadata.uid)$(field pod/b-2 .metadata.uid)" = "$zero$two" ]; }
t "the others were left alone" same
fail_pod() { kubectl get pod "$1" -o json | sed 's/"phase": "[A-Za-z]*"/"phase": "Failed"/' | kubectl replace --raw "/api/v1/namespaces/default/pods/$1/status" -f -; }
one=$(field pod/b-1 .metadata.uid)
t "pod 1 fails for good" fail_pod b-1
renewed() { [ "$(field pod/b-1 .metadata.uid)" != "$one" ]; }
t "it is replaced" soon 10 renewed
t "ready" ready b
t "pod 2 is held by a finalizer" patch pod/b-2 '{"metadata":{"finalizers":["example.org/hold"]}}'
t "and deleted" kubectl delete pod b-2 --wait=false
t "no other takes its name" soon 5 is field sts/b .status.replicas = 3
t "it isn't counted as updated" soon 5 is field sts/b .status.updatedReplicas = 2
t "let go" patch pod/b-2 '{"metadata":{"finalizers":null}}'
t "it comes back" soon 10 is field sts/b '.status.updatedReplicas' = 3
t "ready" ready b

# 3.5: adoption and release
t "a pod's label is changed" kubectl label pod b-2 app=other --overwrite
t "it is released" soon 5 is field pod/b-2 .metadata.ownerReferences = ""
t "changed back" kubectl label pod b-2 app=b --overwrite
t "it is adopted" soon 5 is field pod/b-2 '.metadata.ownerReferences[0].name' = b

# T14: orphan deletion; the same set adopts its pods
before=$(uids b)
t "deleted as orphans" kubectl delete sts b --cascade=orphan
t_is "the pods stay" "$before" uids b
t "the set once more" apply b 3
t "ready" ready b
t_is "with the same pods" "$before" uids b

# T7, T8, T12
t "scaled up with a new template: new pods first" patch sts/b '{"spec":{"replicas":4,"template":{"metadata":{"annotations":{"v":"2"}}}}}'
t "ready" ready b
t "scaled down with a new template" patch sts/b '{"spec":{"replicas":1,"template":{"metadata":{"annotations":{"v":"3"}}}}}'
t "the rest is new" soon 20 is field pod/b-0 .metadata.annotations.v = 3
t "ready" ready b
t "scaled to none" scale b 0
t "a template without pods" patch sts/b '{"spec":{"template":{"metadata":{"annotations":{"v":"4"}}}}}'
promoted() { [ -z "$(names po "$1")" ] && [ "$(field "sts/$1" .status.currentRevision)" = "$(field "sts/$1" .status.updateRevision)" ] && [ "$(field "sts/$1" .status.observedGeneration)" = "$(field "sts/$1" .metadata.generation)" ]; }
t "holds at once" soon 20 promoted b

# T13 and the foreground; whenDeleted
t "whenDeleted Delete" apply c 2 "$(policy Retain Delete)"
t "ready" ready c
t_is "claims belong to the set" "data-c-0:StatefulSet data-c-1:StatefulSet " owners c
t "deleted in the foreground" kubectl delete sts c --cascade=foreground --timeout=30s
t_is "its pods are gone by then" "" names po c
t "its claims too" soon 10 is names pvc c = ""
t_is "and its revisions" "" names controllerrevisions c
t "deleted in the background" kubectl delete sts b
t "nothing of it is left" soon 20 is names po,controllerrevisions b = ""

# 2.8, 2.4: maxUnavailable, minReadySeconds, ordinals.start
t "four pods, two at a time" apply d 4 '  updateStrategy: {rollingUpdate: {maxUnavailable: 50%}}'
t "ready" ready d
in_background kubectl get po -w -l app=d -o 'custom-columns=NAME:.metadata.name,GONE:.metadata.deletionTimestamp'
t "a watch" soon 5 grep -q d-3 "$work/background.log"
t "restart" kubectl rollout restart sts/d
t "ready" ready d
order() { grep -v '<none>' "$work/background.log" | awk '/^d-/ && !seen[$1]++ { printf "%s ", $1 }'; }
t_is "the highest first" "d-3 d-2 d-1 d-0 " order
t "minReadySeconds" apply e 2 '  minReadySeconds: 2'
t "pod 0 is ready" soon 10 is field sts/e .status.readyReplicas = 1
t_is "pod 1 waits until it is available" e-0 names po e
t "then it comes" soon 10 is names po e = "e-0 e-1"
t "a start ordinal" patch sts/e '{"spec":{"minReadySeconds":0,"ordinals":{"start":1}}}'
t "moves the range" soon 20 is names po e = "e-1 e-2"

# 8.3: budgets and evictions
budget() { printf '{"apiVersion":"policy/v1","kind":"PodDisruptionBudget","metadata":{"name":"d"},"spec":{"maxUnavailable":1,"selector":{"matchLabels":{"app":"d"}}}}' | kubectl apply --validate=false -f -; }
evict() { printf '{"apiVersion":"policy/v1","kind":"Eviction","metadata":{"name":"%s"}}' "$1" | kubectl create --raw "/api/v1/namespaces/default/pods/$1/eviction" -f -; }
t "a budget" budget
t "counts the set's pods" soon 5 is field pdb/d '.status.expectedPods}/{.status.desiredHealthy}/{.status.disruptionsAllowed' = 4/3/1
t "pod 0 takes its time" patch pod/d-0 '{"metadata":{"finalizers":["example.org/hold"]}}'
t "one may be evicted" evict d-0
t_fails "not two at once" evict d-1
t_has "it says why" "Cannot evict pod as it would violate the pod's disruption budget" printf '%s' "$out"
t "pod 0 goes" patch pod/d-0 '{"metadata":{"finalizers":null}}'
t "and comes back" soon 15 is field pdb/d .status.disruptionsAllowed = 1
