#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What docs/statefulsets.md promises beyond upstream: one set of containers for an identity, whatever is forced or killed;
# pods of a machine that crashed; names before the first process; counters that are a recount.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/sets.sh"
cluster_up build/images/busybox.tar

# The first process looks whether another of its identity lives: one that does has the named pipe in their volume open
# for reading, so opening it for writing succeeds at once; else it waits, here for a second. It minds no SIGTERM.
mounts=', volumeMounts: [{name: data, mountPath: /data}]'
command='mkfifo /data/pipe; if timeout 1 sh -c \"exec 8>/data/pipe\"; then echo two >>/data/two; exit 9; fi; exec 9<>/data/pipe; trap : TERM; echo $HOSTNAME >>/data/starts; while :; do sleep 1; done'
container=$mounts
t "a pod that minds no signal" apply one 1 "$claims"
t "ready" ready one
starts() { kubectl exec one-0 -- sh -c 'wc -l </data/starts; ! cat /data/two 2>/dev/null'; }
t "it has started" soon 20 is starts = 1
finds() { kubectl exec one-0 -- timeout 1 sh -c 'exec 8>/data/pipe'; }
t "another would be noticed" finds
force() { kubectl delete pod one-0 --grace-period=0 --force; }
begun=1
next() { # WHAT COMMAND...: brings the pod's successor, which finds itself alone
    local before what=$1
    before=$(uid pod/one-0)
    shift
    t "$what" "$@"
    begun=$((begun + 1))
    t "there is another pod" soon 30 is_new pod/one-0 "$before"
    t "which was alone from the start" soon 30 is starts = "$begun"
    t_is "and at once" 0 field pod/one-0 '.status.containerStatuses[0].restartCount'
}
next "deleted by force" force
next "once more" force
force_and_kill() { force && kill -9 "$(pid_of brain)"; }
next "deleted by force, and the brain killed" force_and_kill
set_and_pod() { kubectl delete sts one --wait=false && force && apply one 1 "$claims"; }
next "the set deleted, its pod by force, and the set made again" set_and_pod
before=$(uid pod/one-0)
kill_monitor() { local pid; pid=$(pgrep -f "conmon .*-c ${before}_c_" | head -n 1) && [ -n "$pid" ] && kill -9 "$pid"; }
t "the container's monitor is killed" kill_monitor
begun=$((begun + 1))
t "the next container was alone" soon 40 is starts = "$begun"
t_is "in the same pod" "$before" uid pod/one-0

# A machine that crashes: all that runs dies at once. What was being deleted has a grace of an hour.
is_up() { "$coracle" up --name "$name" --data "$data" --kubeconfig "$KUBECONFIG"; }
crash() { local pids; pids=("$(pid_of keeper)" "$(pid_of init)"); kill -9 "${pids[@]}" && soon 20 gone; }
gone() { ! pgrep -f "$data"; }
t "a pod with an hour's grace" sh -c "kubectl patch sts one --type=merge -p '{\"spec\":{\"template\":{\"spec\":{\"terminationGracePeriodSeconds\":3600}}}}' && kubectl delete pod one-0 --grace-period=1 --wait=false"
t "comes" soon 30 is_new pod/one-0 "$before"
begun=$((begun + 1))
t "and starts" soon 30 is starts = "$begun"
before=$(uid pod/one-0)
t "it is deleted" kubectl delete pod one-0 --wait=false
is_going() { [ -n "$(field pod/one-0 .metadata.deletionTimestamp)" ]; }
t "and takes its hour" is_going
t "the machine crashes" crash
t "up" is_up
begun=$((begun + 1))
t "nobody waits for the dead" soon 30 is_new pod/one-0 "$before"
t "its successor was alone" soon 30 is starts = "$begun"
before=$(uid pod/one-0)
t "it crashes once more, nothing being deleted" crash
t "up" is_up
begun=$((begun + 1))
t "the pod runs again" soon 30 is starts = "$begun"
t_is "the same pod" "$before" uid pod/one-0
t "ready" soon 20 is status one readyReplicas = 1

# Names. A pod asks once for its own, as its first act; an init container does the same.
service() { printf '{"apiVersion":"v1","kind":"Service","metadata":{"name":"%s"},"spec":{"clusterIP":"None","publishNotReadyAddresses":%s,"selector":{"app":"%s"}}}' "$1" "$2" "$1" | kubectl apply -f -; }
command='nslookup $HOSTNAME.early.default.svc.cluster.local >/dev/null || exit 3; trap exit TERM; sleep 1000 & wait'
pod='initContainers: [{name: i, image: busybox:1.35, imagePullPolicy: IfNotPresent, command: [sh, -c, "nslookup $HOSTNAME.early.default.svc.cluster.local"]}]'
container=$ready_when_told
t "a Service that publishes pods that are not ready" service early true
t "eight pods that ask for their own names" apply early 8 '  podManagementPolicy: Parallel
  serviceName: early'
started() { kubectl get po -l app=early -o jsonpath='{range .items[*]}{.status.containerStatuses[0].started}{end}'; }
t "all run" soon 30 is started = truetruetruetruetruetruetruetrue
restarts() { kubectl get po -l app=early -o jsonpath='{range .items[*]}{.status.initContainerStatuses[0].restartCount}{.status.containerStatuses[0].restartCount}{end}'; }
t_is "no process asked twice" 0000000000000000 restarts
t "they go" kubectl delete sts early
command='' pod=''
t "a Service that does not" service late false
t "two pods that are not ready" apply late 2 '  podManagementPolicy: Parallel
  serviceName: late'
t "one asks" soon 20 kubectl exec late-0 -- true
resolves() { kubectl exec late-0 -- nslookup "$1.late.default.svc.cluster.local"; }
t_fails "its own name is none yet" resolves late-0
t "it gets ready" tell_pods late-0
t "and has its name" soon 15 resolves late-0
t_fails "the other has none" resolves late-1
t "it gets ready, too" tell_pods late-1
t "and has its name" soon 15 resolves late-1
t "scaled to 1" scale late 1
t "the other is gone" kubectl wait --for=delete pod/late-1 --timeout=20s
t_fails "and its name" resolves late-1

# Counters: each that a watch saw can be, and at rest they are a count of the pods.
container=$ready_unless_broken
counters=NAME:.metadata.name,ALL:.status.replicas,READY:.status.readyReplicas,AVAILABLE:.status.availableReplicas,UPDATED:.status.updatedReplicas
t "four pods" apply count 4 '  updateStrategy: {rollingUpdate: {maxUnavailable: 2}}'
in_background kubectl get sts -w -o "custom-columns=$counters"
recount() {
    local pods current updated
    current=$(status count currentRevision) updated=$(status count updateRevision)
    pods=$(kubectl get po -l app=count -o jsonpath='{range .items[*]}{.status.conditions[?(@.type=="Ready")].status} {.metadata.labels.controller-revision-hash} {.metadata.deletionTimestamp}{"\n"}{end}')
    awk -v c="$current" -v u="$updated" 'NF { n++; r += $1 == "True"; if (NF < 3) { x += $2 == c; y += $2 == u } }
        END { printf "%d/%d/%d/%d/%d", n, r, r, x, y }' <<<"$pods"
}
counted() { field sts/count '.status.replicas}/{.status.readyReplicas}/{.status.availableReplicas}/{.status.currentReplicas}/{.status.updatedReplicas' | sed -E 's#//#/0/#g; s#//#/0/#g; s#/$#/0#'; }
adds_up() { local now; now=$(counted) && [ "$now" = "$(recount)" ] && [ "$now" = "$1" ] || { echo "status $now, recount $(recount), want $1"; return 1; }; }
t "ready" ready count
t "they add up" soon 10 adds_up 4/4/4/4/4
t "one breaks" break_pods count-1
t "they add up" soon 15 adds_up 4/3/3/4/4
t "partition 2 and a new image" patch sts/count '{"spec":{"updateStrategy":{"rollingUpdate":{"partition":2}},"template":{"spec":{"containers":[{"name":"c","image":"busybox:latest","imagePullPolicy":"IfNotPresent","command":["sh","-c","trap exit TERM; sleep 1000 & wait"]}]}}}}'
t "mended" mend_pods count-1
t "two are updated" soon 40 adds_up 4/4/4/2/2
t "one of them is deleted by force" kubectl delete pod count-3 --grace-period=0 --force
t "they add up" soon 30 adds_up 4/4/4/2/2
t "the rest" patch sts/count '{"spec":{"updateStrategy":{"rollingUpdate":{"partition":0}}}}'
t "is updated" soon 40 adds_up 4/4/4/4/4
seen() { grep -c '^count ' "$work/background.log"; }
many() { [ "$(seen)" -ge 10 ]; }
t "a watch saw it" many
wrong() { awk '/^count / && ($2 > 4 || $3 + 0 > $2 || $4 + 0 > $3 + 0 || $5 + 0 > $2)' "$work/background.log"; }
t_is "never more than there can be" "" wrong
