#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The commands around a cluster: up, status, down, delete; two side by side; an `up` that is cut off.
. "$(dirname "$0")/lib.sh"
cluster_up
t_has "kubectl get nodes" "$name +Ready" kubectl get nodes
t_has "coracle status" "cluster +$name" "$coracle" status --name "$name" --data "$data"
t_fails "up again, while it runs" "$coracle" up --name "$name" --data "$data" --kubeconfig "$KUBECONFIG"
t_has "says so" 'runs already' printf '%s' "$out"
t_fails "an archive that is none" "$coracle" image load README.md --name "$name" --data "$data"
t_has "the error names the file" 'README.md' printf '%s' "$out"
t "images load" "$coracle" image load build/images/busybox.tar --name "$name" --data "$data"
t_has "and are listed" 'docker.io/library/busybox:latest' "$coracle" image list --name "$name" --data "$data"
t "a pod" kubectl run one --image=busybox --image-pull-policy=IfNotPresent --restart=Never --command -- sh -c 'trap exit TERM; while :; do sleep 0.1; done'
t "runs" kubectl wait --for=condition=Ready pod/one --timeout=30s
other() { "$coracle" "$@" --name "$name-b" --data "$work/other"; }
t "a second cluster beside it" other up --kubeconfig "$work/other.config"
t_is "has pods of its own" "" kubectl --kubeconfig "$work/other.config" get po -o name
t "is deleted alone" other delete --yes
t_has "the first runs on" 'one +1/1 +Running' kubectl get po one
cut_off() { other up --kubeconfig "$work/other.config" | head -n 2 || true; }
t_has "an up whose output ends early" "cluster '$name-b'" cut_off
quickly() { timeout 10 "$coracle" delete --yes --name "$name-b" --data "$work/other"; }
t "is deleted all the same, at once" quickly
t "coracle down" "$coracle" down --name "$name" --data "$data"
t_fails "status says that nothing runs" "$coracle" status --name "$name" --data "$data"
t "coracle up" "$coracle" up --name "$name" --data "$data" --kubeconfig "$KUBECONFIG"
t_has "the pod is still known" '^pod/one$' kubectl get po -o name
