#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What coracle adds to StatefulSets (docs/statefulsets.md), each as a user would try it.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/sets.sh"
cluster_up build/images/busybox.tar
runs='trap exit TERM; sleep 1000 & wait'
put_set() { # NAME REPLICAS POLICY COMMAND
    command=$4 apply "$1" "$2" "$claims
  podManagementPolicy: $3"
}
wait_for() { kubectl wait --for="$1" "$2" --timeout="${3:-20s}"; }
pods() { names po "$1"; }

t "a set" put_set web 3 Parallel "$runs"
t_has "conditions: kubectl wait for Available" 'condition met' wait_for condition=Available sts/web
t_is "and Progressing is done" RolloutComplete field sts/web '.status.conditions[?(@.type=="Progressing")].reason'

t_fails "names that could never run are refused at once" put_set "$(printf 'n%.0s' {1..53})" 1 Parallel "$runs"
t_has "and why" 'must be no more than 52 characters' printf '%s' "$out"
t_fails "a value that is none is refused" annotate sts/web coracle.io/paused=perhaps

before=$(uids web)
t "in place: asked for" annotate sts/web coracle.io/in-place-update=true
t "a new image" set_image web busybox:latest
t "rollout status" kubectl rollout status sts/web --timeout=30s
t_is "the pods are the same" "$before" uids web
containers() { kubectl get po -l app=web -o jsonpath="{.items[*].status.containerStatuses[0].$1}"; }
t_is "their containers were restarted" "1 1 1" containers restartCount
latest=docker.io/library/busybox:latest
t_is "with the new image" "$latest $latest $latest" containers image
t "a change that needs new pods" kubectl set env sts/web A=b
t "gets them" kubectl rollout status sts/web --timeout=30s
changed() { [ "$(uids web)" != "$before" ]; }
t "not the same" changed

t "pause" annotate sts/web coracle.io/paused=true
t "a change" kubectl rollout restart sts/web
t "nothing happens" soon 10 is field sts/web '.status.conditions[?(@.type=="Progressing")].reason' = RolloutPaused
t_is "no pod is new" "" field sts/web .status.updatedReplicas
t "a pod that goes away while it is paused" kubectl delete pod web-1
t "is made again" soon 10 is field sts/web .status.availableReplicas = 3
t_is "as it was" "" field sts/web .status.updatedReplicas
t "resume" annotate sts/web coracle.io/paused-
t "it goes on" kubectl rollout status sts/web --timeout=30s

before=$(field pod/web-1 .metadata.uid)
t "one pod is to be replaced" annotate pod/web-1 coracle.io/replace=true
replaced() { [ "$(field pod/web-1 .metadata.uid)" != "$before" ]; }
t "it is" soon 10 replaced
t "ready again" soon 10 is field sts/web .status.readyReplicas = 3

t "ordinal 1 is reserved" annotate sts/web coracle.io/reserved-ordinals=1
t "its pod goes, a higher one comes" soon 10 is pods web = "web-0 web-2 web-3"
t "and is given back" annotate sts/web coracle.io/reserved-ordinals-
t "the other way" soon 10 is pods web = "web-0 web-1 web-2"
t "all ready" kubectl rollout status sts/web --timeout=30s

template() { patch sts/web "{\"spec\":{\"volumeClaimTemplates\":[{\"metadata\":{\"name\":\"data\"$2},\"spec\":{\"accessModes\":[\"ReadWriteOnce\"],\"resources\":{\"requests\":{\"storage\":\"$1\"}}}}]}}"; }
t "the claim template grows" template 2Gi ',"labels":{"tier":"db"}'
t_has "kubectl wait for the claims" 'condition met' wait_for condition=ClaimsUpToDate sts/web
t_is "they have grown" "2Gi 2Gi 2Gi" kubectl get pvc data-web-0 data-web-1 data-web-2 -o 'jsonpath={.items[*].status.capacity.storage}'
t_is "and carry the label" 3 sh -c 'kubectl get pvc -l tier=db,app=web -o name | grep -vc -- -web-3'
t_is "how far it is" "3 of 3 claims have what their templates ask for" field sts/web '.status.conditions[?(@.type=="ClaimsUpToDate")].message'
t_fails "what has grown can't shrink" template 1Gi ''
t_has "it says so" "claims can't shrink, and claim data-web-0 has 2Gi already" printf '%s' "$out"
t_fails "all else may not change" patch sts/web '{"spec":{"volumeClaimTemplates":null}}'
t_has "as upstream says it" "updates to statefulset spec for fields other than 'replicas'" printf '%s' "$out"

t "a broken rollout" put_set trap 2 OrderedReady "$runs"
t "ready" kubectl rollout status sts/trap --timeout=30s
t "annotated with a short deadline" annotate sts/trap coracle.io/progress-deadline-seconds=2
t "a command that ends at once" put_set trap 2 OrderedReady "exit 1"
t_has "the deadline is told" 'condition met' wait_for condition=Progressing=False sts/trap
t "repaired" put_set trap 2 OrderedReady "$runs; :"
t "it frees itself" kubectl rollout status sts/trap --timeout=30s
t_has "and says so" 'BrokenPodReplaced' kubectl get events --field-selector involvedObject.name=trap
