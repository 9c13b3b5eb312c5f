#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What the story does not touch: the clients' other commands and the words of refusals, with kubectl and helm as
# they are. Any supported client; where versions print differently, the pattern allows both.
. "$(dirname "$0")/lib.sh"
cluster_up build/images/busybox.tar
image=busybox:1.35
log_is_calm() { ! grep -q 'the brain ended' "$data/coracle.log"; }
bad() { "$@" 2>&1 && return 1 || return 0; }
refuses() { # NAME PATTERN MANIFEST
    printf '%s\n' "$3" >"$work/bad.yaml"
    t_has "refused: $1" "$2" bad kubectl create -f "$work/bad.yaml"
}
pod() { printf '{"apiVersion":"v1","kind":"Pod","metadata":{"name":"%s"},"spec":{"terminationGracePeriodSeconds":0,"containers":[{"name":"c","image":"%s",%s}]}}' "$1" "$2" "$3"; }

# Objects through every door.
cat >"$work/cm.yaml" <<EOF
apiVersion: v1
kind: ConfigMap
metadata: {name: c1, labels: {a: b}}
data: {k1: v1, k2: v2, k3: v3}
EOF
cm() { kubectl get cm c1 -o jsonpath='{.data}'; }
t_is "apply" "configmap/c1 created" kubectl apply -f "$work/cm.yaml"
t_is "apply again" "configmap/c1 unchanged" kubectl apply -f "$work/cm.yaml"
t "diff finds nothing" kubectl diff -f "$work/cm.yaml"
sed 's/k2: v2, //' "$work/cm.yaml" >"$work/cm2.yaml"
t_has "diff shows a removal" $'\n-  k2: v2\n' bad kubectl diff -f "$work/cm2.yaml"
t_is "dry run" "configmap/c1 configured (server dry run)" kubectl apply --dry-run=server -f "$work/cm2.yaml"
t_is "changes nothing" '{"k1":"v1","k2":"v2","k3":"v3"}' cm
t "apply prunes a field" kubectl apply -f "$work/cm2.yaml"
t_is "it is gone" '{"k1":"v1","k3":"v3"}' cm
t "server-side apply" kubectl apply --server-side --force-conflicts -f "$work/cm.yaml"
sed 's/k1: v1/k1: other/' "$work/cm.yaml" >"$work/cm3.yaml"
t_has "conflicts are told" 'Apply failed with [12] conflicts?: conflicts? with "kubectl":[[:space:]-]+\.data\.k1' \
    bad kubectl apply --server-side --field-manager=bob -f "$work/cm3.yaml"
t "and forced" kubectl apply --server-side --field-manager=bob --force-conflicts -f "$work/cm3.yaml"
t "edit" env KUBE_EDITOR='sed -i s/v3/v33/' kubectl edit cm c1
t_is "edited" '{"k1":"other","k2":"v2","k3":"v33"}' cm
t_is "strategic patch" "configmap/c1 patched" kubectl patch cm c1 -p '{"data":{"k2":null}}'
t_is "merge patch" "configmap/c1 patched" kubectl patch cm c1 --type=merge -p '{"data":{"k3":"x"}}'
t_is "JSON patch" "configmap/c1 patched" kubectl patch cm c1 --type=json -p '[{"op":"add","path":"/data/k5","value":"v5"}]'
t_has "a patch of the wrong type" '^The request is invalid: patch: Invalid value: "map\[data:map\[k4:5\]\]": ' \
    bad kubectl patch cm c1 -p '{"data":{"k4":5}}'
t_has "a failed test of a JSON patch" '^The request is invalid' \
    bad kubectl patch cm c1 --type=json -p '[{"op":"test","path":"/data/k5","value":"z"}]'
t_has "an old version" 'Operation cannot be fulfilled on configmaps "c1": the object has been modified' \
    bad kubectl patch cm c1 -p '{"metadata":{"resourceVersion":"1"},"data":{"z":"z"}}'
t_is "replace" "configmap/c1 replaced" kubectl replace -f "$work/cm.yaml"
t "label, annotate" sh -c 'kubectl label cm c1 x=y && kubectl annotate cm c1 n=1 && kubectl label cm c1 x-'
t_has "delete" '^configmap "c1" deleted' kubectl delete cm c1

# Makers, reviews, documents.
if kubectl auth whoami >/dev/null 2>&1; then # not in 1.20
    t "create token" kubectl create token default
    t_is "whoami" system:masters kubectl auth whoami -o jsonpath='{.status.userInfo.groups[0]}'
fi
t_is "can-i" yes kubectl auth can-i delete pods
t_has "can't-i" '^no' bad kubectl auth can-i get secrets --as=bob
t_has "forbidden" 'Forbidden.*User "bob" cannot list resource "secrets" in API group "" in the namespace "default"' \
    bad kubectl get secrets --as=bob
t_has "explain" 'replicas[[:space:]]+<integer>' kubectl explain sts.spec
t_has "api-resources" 'statefulsets +sts +apps/v1 +true +StatefulSet' kubectl api-resources
t_has "top tells why not" 'Metrics API not available' bad kubectl top nodes
t_has "describe node" 'Non-terminated Pods: +\(0 in total\)' kubectl describe node
t_is "cordon" "node/$name cordoned" kubectl cordon "$name"
t_has "shows" 'Ready,SchedulingDisabled' kubectl get nodes
t "uncordon" kubectl uncordon "$name"

# Refusals in Kubernetes' words.
refuses "unknown kind" 'no matches for kind "Bogus" in version "v1"' '{"apiVersion":"v1","kind":"Bogus","metadata":{"name":"a"}}'
refuses "unknown field" 'unknown field "?(spec\.)?foo"?' "$(pod u x '"imagePullPolicy":"Never"' | sed 's/"spec":{/"spec":{"foo":1,/')"
refuses "missing field" 'spec\.containers: Required value' '{"apiVersion":"v1","kind":"Pod","metadata":{"name":"u"},"spec":{"containers":[]}}'
refuses "wrong type" 'json: cannot unmarshal number into Go struct field Container.spec.containers.image of type string|got "integer", expected "string"' \
    '{"apiVersion":"v1","kind":"Pod","metadata":{"name":"u"},"spec":{"containers":[{"name":"c","image":5}]}}'
long=$(printf 'a%.0s' {1..300})
refuses "a name of 300" 'metadata\.name: Invalid value: "a+": must be no more than 253 characters' \
    "{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"$long\"}}"
refuses "a body over 3 MiB" 'Request entity too large: limit is 3145728' \
    "{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"big\"},\"data\":{\"a\":\"$(head -c 3500000 /dev/zero | tr '\0' a)\"}}"
t_has "default namespace stays" 'namespaces "default" is forbidden: this namespace may not be deleted' bad kubectl delete ns default

# Pods that can't run, each with its reason.
reason() { kubectl get pod "$1" -o jsonpath='{.status.containerStatuses[0].state.waiting.reason}{.status.containerStatuses[0].lastState.terminated.reason}'; }
waits() { [[ $(reason "$1") =~ $2 ]]; }
pod noimage nothing:1 '"command":["x"]' | kubectl create -f - >/dev/null
pod badname 'BAD image' '"command":["x"]' | kubectl create -f - >/dev/null
pod nocommand "$image" '"command":["/no/such"]' | kubectl create -f - >/dev/null
pod noconfig "$image" '"env":[{"name":"A","valueFrom":{"configMapKeyRef":{"name":"no","key":"a"}}}]' | kubectl create -f - >/dev/null
t "no such image" soon 10 waits noimage 'ErrImagePull|ImagePullBackOff'
t "no image name" soon 10 waits badname InvalidImageName
t "no such command" soon 10 waits nocommand StartError
t "no such config map" soon 10 waits noconfig CreateContainerConfigError
t_has "and its event" 'Error: configmap "no" not found' kubectl describe pod noconfig
t "all deleted" kubectl delete pod --all --timeout=20s

# Waiting, in all ways.
t "run" kubectl run r1 --image="$image" --restart=Never -- sleep 100
t "wait for a condition" kubectl wait --for=condition=Ready pod/r1 --timeout=10s
t_is "exec's exit code" 7 sh -c 'kubectl exec r1 -- sh -c "exit 7" >/dev/null 2>&1; echo $?'
t_has "expose" '^service/r1 exposed$' kubectl expose pod r1 --port=80
t_has "delete --force" 'pod "r1" force deleted' kubectl delete pod r1 --force --grace-period=0
t_has "wait for a pod that never was" 'pods "no" not found' bad kubectl wait --for=condition=Ready pod/no --timeout=2s

t "the brain never ended" log_is_calm
