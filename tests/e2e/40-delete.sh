#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Section 4 of the story: a deleted pod comes back with its name and its data.
. "$(dirname "$0")/lib.sh"
story_up
volumes() { kubectl get pvc -o jsonpath='{range .items[*]}{.metadata.name}={.spec.volumeName}:{.status.phase} {end}'; }
volumes_before=$(volumes)
uid_before=$(field pod/moscow-time-0 .metadata.uid)
count_before=$(visits 0)
t_has "kubectl delete pod" '^pod "moscow-time-0" deleted( from default namespace)?$' kubectl delete pod/moscow-time-0
t "it comes back" ready_again moscow-time-0
new_uid() { [ "$(field pod/moscow-time-0 .metadata.uid)" != "$uid_before" ]; }
t "as a new pod" new_uid
at_least() { [ "$(visits 0)" -ge "$count_before" ]; }
t "with its count" at_least
t_is "both claims Bound to the same volumes" "$volumes_before" volumes
t "kubectl delete pod --force" kubectl delete pod/moscow-time-1 --force --grace-period=0
t "it comes back too" ready_again moscow-time-1
# Without waiting: kubectl looks at the second pod only after the first is gone, and a pod that is made anew
# between its look and its watch (some milliseconds here) leaves it waiting for a deletion that has been.
uids() { kubectl get po -l app.kubernetes.io/name=moscow-time -o jsonpath='{.items[*].metadata.uid}'; }
uids_before=$(uids)
all_new() {
    local uid now
    now=$(uids)
    [ "$(wc -w <<<"$now")" = 2 ] || return 1
    for uid in $uids_before; do [[ $now != *"$uid"* ]] || return 1; done
}
t "all pods deleted at once" kubectl delete pod -l app.kubernetes.io/name=moscow-time --wait=false
t "both made anew" soon 30 all_new
t "come back" rollout_done
count_before=$(visits 0)
t "the set deleted, its pods kept" kubectl delete sts/moscow-time --cascade=orphan
t_is "two pods without a set" 2 sh -c 'kubectl get po -o name | wc -l'
t "helm upgrade makes the set again" helm upgrade moscow-time "$charts/moscow-time/chart"
t "which takes its pods over" soon 20 is field sts/moscow-time .status.readyReplicas = 2
t "with their counts" at_least
t_is "and volumes" "$volumes_before" volumes
