# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# What the scripts about StatefulSets share, on top of lib.sh: one manifest with holes, short words for what is asked of
# a set, and the API itself for what kubectl doesn't say.
claims='  volumeClaimTemplates:
  - metadata: {name: data}
    spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}'
policy() { printf '%s\n  persistentVolumeClaimRetentionPolicy: {whenScaled: %s, whenDeleted: %s}' "$claims" "$1" "$2"; }
# set_yaml NAME REPLICAS [MORE OF THE SPEC]; the variables are holes: $image, $command, $container (more of the
# container, from a comma on), $pod (a line more of the pod's spec), $meta (more of its metadata, from a comma on).
set_yaml() {
    cat <<EOT
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: $1}
spec:
  replicas: $2
  selector: {matchLabels: {app: $1}}
  template:
    metadata: {labels: {app: $1}${meta:-}}
    spec:
      terminationGracePeriodSeconds: 1
${pod:+      $pod}
      containers:
      - {name: c, image: ${image:-busybox:1.35}, imagePullPolicy: IfNotPresent, command: [sh, -c, "${command:-trap exit TERM; sleep 1000 & wait}"]${container:-}}
${3:-}
EOT
}
# A container that is ready until it is broken, and one that is not before it is let go.
ready_unless_broken=', readinessProbe: {periodSeconds: 1, failureThreshold: 1, exec: {command: [sh, -c, "! test -e /tmp/broken"]}}'
ready_when_told=', readinessProbe: {periodSeconds: 1, failureThreshold: 1, exec: {command: [test, -e, /tmp/go]}}'
break_pods() { local i; for i in "$@"; do kubectl exec "$i" -- touch /tmp/broken || return 1; done; }
mend_pods() { local i; for i in "$@"; do kubectl exec "$i" -- rm /tmp/broken || return 1; done; }
tell_pods() { local i; for i in "$@"; do kubectl exec "$i" -- touch /tmp/go || return 1; done; }

apply() { set_yaml "$@" | kubectl apply -f -; }
ready() { kubectl rollout status "sts/$1" --timeout=40s; }
names() { kubectl get "$1" -l "app=$2" -o jsonpath='{.items[*].metadata.name}'; }
uids() { kubectl get po -l "app=$1" -o jsonpath='{.items[*].metadata.uid}'; }
uid() { field "$1" .metadata.uid; }
scale() { kubectl scale "sts/$1" --replicas="$2"; }
patch() { kubectl patch "$1" --type=merge -p "$2"; }
set_image() { kubectl set image "sts/$1" "c=$2"; }
images() { kubectl get po -l "app=$1" -o jsonpath='{.items[*].spec.containers[0].image}'; }
revision() { field "pod/$1" '.metadata.labels.controller-revision-hash'; }
status() { field "sts/$1" ".status.$2"; }
annotate() { kubectl annotate --overwrite "$@"; }
owners() { kubectl get pvc -l "app=$1" -o jsonpath='{range .items[*]}{.metadata.name}:{.metadata.ownerReferences[*].kind} {end}'; }
hold() { patch "pod/$1" '{"metadata":{"finalizers":["example.org/hold"]}}'; }
let_go() { patch "$1" '{"metadata":{"finalizers":null}}'; }
is_new() { local now; now=$(uid "$1") && [ -n "$now" ] && [ "$now" != "$2" ]; }
# The controller has seen the set as it is now, and has had time to do what it should not.
settled() {
    soon 15 sees "$1" && sleep 1
}
sees() { [ "$(status "$1" observedGeneration)" = "$(field "sts/$1" .metadata.generation)" ]; }
stays() { # SET COMMAND... = WANT: now, and a second after the set was seen
    local set=$1
    shift
    settled "$set" && is "$@"
}

# The API as it is: api_open, then api METHOD PATH [CONTENT-TYPE BODY].
api_open() {
    in_background kubectl proxy --unix-socket="$work/proxy"
    soon 10 test -S "$work/proxy"
}
api() {
    curl -s --unix-socket "$work/proxy" -X "$1" ${3:+-H "Content-Type: application/$3" --data-binary "$4"} "http://localhost$2"
}
sets=/apis/apps/v1/namespaces/default/statefulsets

# One watch for the order of all pods of a script: each set's name is its own.
watch_pods() {
    in_background kubectl get po -w -o 'custom-columns=NAME:.metadata.name,GONE:.metadata.deletionTimestamp'
}
additions() { awk -v p="^$1-" '$1 ~ p && !seen[$1]++ { printf "%s ", $1 }' "$work/background.log"; }
deletions() { grep -v '<none>' "$work/background.log" | awk -v p="^$1-" '$1 ~ p && !seen[$1]++ { printf "%s ", $1 }'; }
