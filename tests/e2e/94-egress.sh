#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The pods' way out, as far as it can be seen without sending anything to the outside: the interface, the route, the
# helper's own gateway answers a pod. Without a helper the cluster works and says what is missing.
. "$(dirname "$0")/lib.sh"
without() { PATH=/nowhere "$coracle" up --name "$name" --data "$data" --kubeconfig "$KUBECONFIG"; }
if command -v slirp4netns >/dev/null && [ -r /dev/net/tun ] && [ -w /dev/net/tun ]; then
    cluster_up build/images/busybox.tar
    pod() { # NAME FIELDS
        kubectl run "$1" --image=busybox --image-pull-policy=IfNotPresent --restart=Never --grace-period=1 --overrides="{\"spec\":{$2}}" -- sleep 1000 &&
            kubectl wait --for=condition=Ready "pod/$1" --timeout=30s
    }
    t "a pod in the node's network" pod node '"hostNetwork":true'
    t "a pod" pod plain ''
    t_has "the node has a default route" 'default via 10\.0\.2\.2 dev tap0' kubectl exec node -- ip route
    t_has "the way out answers a pod" '1 packets received' kubectl exec plain -- ping -c 1 -W 5 10.0.2.2
    t_fails "the host's loopback is out of reach" kubectl exec plain -- wget -q -T 3 -O /dev/null http://10.0.2.2:22/
    helper() { pgrep -P "$(head -n 1 "$data/lock")" slirp4netns; }
    t "a helper serves it" helper
    pid=$(helper)
    t_fails "status has nothing to complain about" grep -q 'no way out' <("$coracle" status --name "$name" --data "$data")
    t "coracle down" "$coracle" down --name "$name" --data "$data"
    t_fails "the helper went with the cluster" kill -0 "$pid"
else
    say "slirp4netns or /dev/net/tun is not there for this user"
fi
t_has "without a helper up says so" 'pods have no way out: install slirp4netns' without
t_has "and status" 'pods have no way out' "$coracle" status --name "$name" --data "$data"
t_has "the cluster works" 'Ready' kubectl get nodes
