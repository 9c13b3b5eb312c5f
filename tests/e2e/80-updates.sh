#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Section 8 of the story: updates by partition, history and undo, OnDelete.
. "$(dirname "$0")/lib.sh"
story_up
chart=$charts/moscow-time/chart
image() { field "pod/moscow-time-$1" '.spec.containers[0].image'; }
uid() { field "pod/moscow-time-$1" .metadata.uid; }
# Helm 4 applies on the server, and there what kubectl changed in between belongs to kubectl.
force=()
helm version --short | grep -q '^v3' || force=(--force-conflicts)
upgrade() { helm upgrade moscow-time "$chart" --reset-values "$@"; }
zero=$(uid 0)
t_has "partition 1, a new image" 'has been upgraded' upgrade --set image.tag=1.1,updateStrategy.partition=1
t_has "kubectl rollout status" 'partitioned roll out complete: 1 new pods have been updated' rollout_done
t_is "pod 1 is new" moscow-time:1.1 image 1
t_is "pod 0 is old" moscow-time:1.0 image 0
t_is "pod 0 was left alone" "$zero" uid 0
t "pod 0, deleted, comes back old" kubectl delete pod/moscow-time-0
t "ready" ready_again moscow-time-0
t_is "still the old image" moscow-time:1.0 image 0
status() { kubectl get sts/moscow-time -o jsonpath='{.status.currentRevision} {.status.updateRevision}' | tr ' ' '\n' | sort -u | wc -l; }
t_is "the status knows two revisions" 2 status
t "partition 0 finishes it" upgrade --set image.tag=1.1 --wait --timeout 90s
t_is "pod 0 is new" moscow-time:1.1 image 0
t "the status knows one" soon 10 is status = 1
t_has "kubectl get controllerrevisions" $'moscow-time-[a-z0-9]+ +statefulset.apps/moscow-time +1 .*\n?' kubectl get controllerrevisions
t_is "two of them" 2 sh -c 'kubectl get controllerrevisions -o name | wc -l'
t_has "kubectl rollout history" $'REVISION +CHANGE-CAUSE\n1 +<none>\n2 +<none>' kubectl rollout history sts/moscow-time
history_of() { kubectl rollout history sts/moscow-time --revision="$1"; }
t_has "one revision of it" $'^statefulset.apps/moscow-time with revision #1\nPod Template:\n.*Image:.*moscow-time:1.0' history_of 1
t_has "the other" $'^statefulset.apps/moscow-time with revision #2\nPod Template:\n.*Image:.*moscow-time:1.1' history_of 2
t_fails "one that is not there" history_of 9
t_has "it says so" 'unable to find the specified revision' printf '%s' "$out"
t_has "kubectl rollout undo" 'statefulset.apps/moscow-time rolled back' kubectl rollout undo sts/moscow-time
t "it rolls back" rollout_done
t_is "to the old image" $'moscow-time:1.0 moscow-time:1.0' sh -c "kubectl get po -l app.kubernetes.io/name=moscow-time -o jsonpath='{.items[*].spec.containers[0].image}'"
t_has "the history counts on" $'2 +<none>\n3 +<none>' kubectl rollout history sts/moscow-time
undo_to() { kubectl rollout undo sts/moscow-time --to-revision="$1"; }
t_has "kubectl rollout undo --to-revision" 'statefulset.apps/moscow-time rolled back' undo_to 2
t "it rolls to that" rollout_done
t_is "with its image" $'moscow-time:1.1 moscow-time:1.1' sh -c "kubectl get po -l app.kubernetes.io/name=moscow-time -o jsonpath='{.items[*].spec.containers[0].image}'"
t_has "the history counts on" $'3 +<none>\n4 +<none>' kubectl rollout history sts/moscow-time
generation=$(field sts/moscow-time .metadata.generation)
# Clients before 1.34 write a creationTimestamp into what they compare, and so skip nothing.
t_has "what is there already" '(skipped rollback \(current template already matches revision 4\)|rolled back)' undo_to 4
t_is "is no change" "$generation" field sts/moscow-time .metadata.generation
t_fails "a revision that is gone" undo_to 1
t_has "is told" 'unable to find specified revision 1 in history' printf '%s' "$out"
t_has "and back" 'rolled back' undo_to 3
t "it rolls back" rollout_done
t_is "to the old image" $'moscow-time:1.0 moscow-time:1.0' sh -c "kubectl get po -l app.kubernetes.io/name=moscow-time -o jsonpath='{.items[*].spec.containers[0].image}'"
t "kubectl scale to 3" kubectl scale sts/moscow-time --replicas=3
t "three ready" rollout_done
uids() { kubectl get po -l app.kubernetes.io/name=moscow-time -o jsonpath='{.items[*].metadata.uid}'; }
before=$(uids)
t_has "kubectl rollout restart" 'statefulset.apps/moscow-time restarted' kubectl rollout restart sts/moscow-time
t "it rolls" rollout_done
all_replaced() { local one; for one in $before; do [[ $(uids) != *"$one"* ]] || return 1; done; }
t "all replaced" all_replaced
t_has "the template says when" 'T[0-9:]+(Z|[+-][0-9:]+)$' field sts/moscow-time '.spec.template.metadata.annotations.kubectl\.kubernetes\.io/restartedAt'
t_has "kubectl rollout status once more" 'partitioned roll out complete: 3 new pods have been updated' rollout_done
created() { kubectl get po -l app.kubernetes.io/name=moscow-time --sort-by=.metadata.creationTimestamp -o jsonpath='{range .items[*]}{.metadata.creationTimestamp} {.metadata.name}{"\n"}{end}'; }
highest_first() { [ "$(created | sort -k1,1 -k2,2r | awk '{ printf "%s ", $2 }')" = "moscow-time-2 moscow-time-1 moscow-time-0 " ]; }
t "the highest ordinal first" highest_first

if [ ${#force[@]} -gt 0 ]; then
    t_fails "what kubectl changed is not changed unasked" upgrade --set image.tag=1.1
    t_has "Helm says who owns it" 'conflicts with "kubectl"' printf '%s' "$out"
fi
t "OnDelete" upgrade ${force[@]+"${force[@]}"} --set image.tag=1.1,updateStrategy.type=OnDelete
before="$(uid 0) $(uid 1)"
sleep 3
unchanged() { [ "$(uid 0) $(uid 1)" = "$before" ]; }
t "changes nothing by itself" unchanged
t "until the user deletes a pod" kubectl delete pod/moscow-time-1
t "ready" ready_again moscow-time-1
t_is "which comes back new" moscow-time:1.1 image 1
t_is "the other is as it was" moscow-time:1.0 image 0
