#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Section 9 of the story: the server killed, the cluster stopped, the cluster deleted.
. "$(dirname "$0")/lib.sh"
# What of the host can be compared: interfaces, rules, mounts, namespaces, control groups, processes of ours.
host_state() {
    ip -o link 2>/dev/null | awk '{ print $2 }' | sed 's/@.*//' | sort
    [ "$(id -u)" != 0 ] || nft list ruleset 2>/dev/null
    awk '{ print $5 }' /proc/self/mountinfo | sort
    ls /run/netns /var/run/netns 2>/dev/null
    find /sys/fs/cgroup -type d -name "coracle*" -path "*$name*" 2>/dev/null | sort
    ls -A "$HOME" | grep -vx .kube # the cache of kubectl
}
ours() { pgrep -af "$data" | grep -v pgrep || true; }
host_state >"$work/before"
story_up
brain() { pgrep -f "coracle-brain.*$data"; }
load='trap exit TERM; n=0; while [ ! -e /tmp/stop ]; do wget -q -O /dev/null http://$MOSCOW_TIME_SERVICE_HOST:5000/ && n=$((n + 1)) || echo lost >>/tmp/lost; echo $n >/tmp/done.new; mv /tmp/done.new /tmp/done; done'
t "a pod sends requests without end" kubectl run load --image=busybox --image-pull-policy=IfNotPresent --restart=Never --grace-period=1 -- sh -c "$load"
t "it runs" kubectl wait --for=condition=Ready pod/load --timeout=30s
sent() { kubectl exec load -- cat /tmp/done; }
some() { [ "$(sent)" -ge 50 ]; }
t "requests go through" soon 20 some
facts() { kubectl get po,pvc,sts,svc -o jsonpath='{range .items[*]}{.kind}/{.metadata.name} {.metadata.uid} {.status.containerStatuses[0].restartCount} {.status.podIP}{"\n"}{end}'; }
for round in 1 2 3; do
    facts >"$work/facts"
    before=$(sent)
    pid=$(brain)
    t "round $round: the server is killed" kill -9 "$pid"
    t "a new one answers" soon 15 kubectl get --raw /readyz
    new() { [ -n "$(brain)" ] && [ "$(brain)" != "$pid" ]; }
    t "it is another process" soon 5 new
    more() { [ "$(sent)" -gt $((before + 50)) ]; }
    t "requests went on" soon 20 more
    t_fails "none was lost" kubectl exec load -- cat /tmp/lost
    t_is "same pods, same addresses, no restart" "$(cat "$work/facts")" facts
done
t "a deleted pod comes back as before" kubectl delete pod/moscow-time-0
t "ready" ready_again moscow-time-0
t "an update works as before" helm upgrade moscow-time "$charts/moscow-time/chart" --set env.TITLE=Later --wait --timeout 90s

count=$(visits 0)
objects() { kubectl get sts,svc,pvc,pv,sa,secret,controllerrevision -o jsonpath='{range .items[*]}{.kind}/{.metadata.name} {.metadata.uid}{"\n"}{end}'; }
objects >"$work/objects"
t "coracle down" "$coracle" down --name "$name" --data "$data"
t_fails "nothing answers" kubectl --request-timeout=2s get po
t_is "no process is left" "" ours
t "coracle up" "$coracle" up --name "$name" --data "$data" --kubeconfig "$KUBECONFIG"
t "the pods come back" soon 60 rollout_done
t_is "the same objects" "$(cat "$work/objects")" objects
kept() { [ "$(visits 0)" -ge "$count" ]; }
t "the same data" soon 20 kept
t_has "the same names" $'pod/moscow-time-0\npod/moscow-time-1' kubectl get po -l app.kubernetes.io/name=moscow-time -o name

t "coracle delete" "$coracle" delete --yes --name "$name" --data "$data"
t_fails "no data is left" test -e "$data"
t_is "no process is left" "" ours
host_state >"$work/after"
t "the host is as it was" diff "$work/before" "$work/after"
