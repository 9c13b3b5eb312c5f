#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Section 7 of the story: pods one after the other, or all at once; claims that wait for their pods.
. "$(dirname "$0")/lib.sh"
slow=readinessProbe.initialDelaySeconds=3
story_up --set "$slow"
created() { date -d "$(field "pod/$1" .metadata.creationTimestamp)" +%s; }
ready_at() { date -d "$(field "pod/$1" '.status.conditions[?(@.type=="Ready")].lastTransitionTime')" +%s; }
in_order() { # set, last ordinal: each pod was made when the one before was ready
    local i
    for i in $(seq "$2"); do
        [ "$(created "$1-$i")" -ge "$(ready_at "$1-$((i - 1))")" ] || { echo "pod $i came too early"; return 1; }
    done
}
t "OrderedReady: pod 1 waited for pod 0" in_order moscow-time 1
scale() { kubectl scale sts/moscow-time --replicas="$1" && kubectl rollout status sts/moscow-time --timeout=90s; }
t_has "kubectl scale to 5" 'statefulset.apps/moscow-time scaled' scale 5
t "one after the other" in_order moscow-time 4
volume=$(field pvc/visits-data-moscow-time-4 .spec.volumeName)
count=$(visits 4)
in_background kubectl get po -w -o 'custom-columns=NAME:.metadata.name,GONE:.metadata.deletionTimestamp'
t "scale back to 2" kubectl scale sts/moscow-time --replicas=2
t "three pods go" soon 60 sh -c '[ "$(kubectl get po -o name | wc -l)" = 2 ]'
order() { grep -v '<none>' "$work/background.log" | awk '/^moscow-time-/ && !seen[$1]++ { printf "%s ", $1 }'; }
t_is "the highest first" "moscow-time-4 moscow-time-3 moscow-time-2 " order
t_is "all five claims stay" 5 sh -c 'kubectl get pvc -o name | wc -l'
t "up again" scale 5
t_is "pod 4 finds its claim" "$volume" field pvc/visits-data-moscow-time-4 .spec.volumeName
kept() { [ "$(visits 4)" -ge "$count" ]; }
t "and its count" kept

t "a second set, Parallel" helm install all-at-once "$charts/moscow-time/chart" --set "$slow,podManagementPolicy=Parallel,replicaCount=4,fullnameOverride=crowd"
t "all pods are there before one is ready" soon 2 sh -c '[ "$(kubectl get po -l app.kubernetes.io/instance=all-at-once -o name | wc -l)" = 4 ]'
t_is "none of them ready yet" "" field sts/crowd .status.readyReplicas
t "they get ready" kubectl rollout status sts/crowd --timeout=60s
t "scaled to none" kubectl scale sts/crowd --replicas=0
all_going() { [ "$(kubectl get po -l app.kubernetes.io/instance=all-at-once -o jsonpath='{.items[?(@.metadata.deletionTimestamp=="")].metadata.name}' | wc -w)" = 0 ]; }
t "all go at once" soon 2 all_going
t "all gone" soon 40 sh -c '[ -z "$(kubectl get po -l app.kubernetes.io/instance=all-at-once -o name)" ]'
