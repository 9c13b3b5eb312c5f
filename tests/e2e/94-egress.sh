#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The pods' way out. The script makes a host of its own, a network namespace with an outside world in it
# (outside.py), so that nothing leaves this machine; there it plays slirp4netns and pasta, as root and as an ordinary
# user. Without rights to do so only what can be seen without an outside is played.
if [ "$(id -u)" = 0 ] && [ -z "${E2E_OUTSIDE:-}" ]; then
    exec unshare --net --mount env E2E_OUTSIDE=1 bash "$0"
fi
. "$(dirname "$0")/lib.sh"

as=() # how to become the user under test
run() { ${as[@]+"${as[@]}"} "$@"; }
pod() { # NAME FIELDS
    kubectl run "$1" --image=busybox --image-pull-policy=IfNotPresent --restart=Never --grace-period=1 --overrides="{\"spec\":{$2}}" -- sleep 1000 &&
        kubectl wait --for=condition=Ready "pod/$1" --timeout=30s
}
up() { run env "PATH=$path" "$coracle" up --name "$name" --data "$data" --kubeconfig "$KUBECONFIG"; }
status() { run "$coracle" status --name "$name" --data "$data"; }
helper() { pgrep -P "$(head -n 1 "$data/lock")" "$1|pas[st]" | grep .; } # pasta calls itself passt
page() { kubectl exec plain -- wget -q -O - "http://$1/"; }
killed() { # HELPER: another one has taken its place
    local now
    now=$(helper "$1") && [ "$now" != "$pid" ]
}
delete() { run "$coracle" delete --yes --name "$name" --data "$data"; }

# A folder of programs in which one of the helpers is missing.
only() { # HELPER
    local program
    mkdir -p "$work/$1"
    for program in crun conmon newuidmap newgidmap "$1"; do
        ln -sf "$(command -v "$program")" "$work/$1/" 2>/dev/null
    done
    path=$work/$1
}
play() { # WHO HELPER
    only "$2"
    t "$1, $2: coracle up" up
    [ -f "$data/lock" ] || return
    t "$1, $2: an image" run "$coracle" image load "$work/busybox.tar" --name "$name" --data "$data"
    t "$1, $2: a pod in the node's network" pod node '"hostNetwork":true'
    t "$1, $2: a pod" pod plain ''
    t_has "$1, $2: the node has a default route" 'default via 10\.0\.2\.2 dev tap0' kubectl exec node -- ip route
    t "$1, $2: a helper serves it" helper "$2"
    t_is "$1, $2: the outside answers" "the outside" page 192.0.2.1
    t_is "$1, $2: by its name, which the host's own resolver tells" "the outside" page outside.test
    t_fails "$1, $2: other names are unknown" kubectl exec plain -- nslookup -type=a other.test
    t_fails "$1, $2: the host's loopback is out of reach" kubectl exec plain -- timeout 3 wget -q -O /dev/null http://10.0.2.2:8053/
    t_fails "$1, $2: status has nothing to complain about" grep -q 'no way out' <(status)
    pid=$(helper "$2")
    kill -9 "$pid"
    t "$1, $2: a killed helper is started again" soon 10 killed "$2"
    t_is "$1, $2: the outside answers again" "the outside" soon 10 page 192.0.2.1
    pid=$(helper "$2")
    t "$1, $2: coracle delete" delete
    t_fails "$1, $2: the helper went with the cluster" kill -0 "$pid"
}

if [ -n "${E2E_OUTSIDE:-}" ]; then
    ip link set lo up
    ip address add 192.0.2.1/32 dev lo
    ip link add eth0 type veth peer name eth1 # pasta wants a default route of the host's
    ip link set eth0 up
    ip link set eth1 up
    ip address add 198.51.100.2/24 dev eth0
    ip route add default via 198.51.100.1
    mkdir -p /dev/net
    mount -t tmpfs -o mode=755 tmpfs /dev/net
    mknod -m 666 /dev/net/tun c 10 200
    echo "nameserver 127.0.0.53" >"$work/resolv.conf"
    mount --bind "$work/resolv.conf" /etc/resolv.conf
    in_background /usr/bin/python3 tests/e2e/outside.py
    in_background /usr/bin/python3 -m http.server --bind 127.0.0.1 8053
    cp build/images/busybox.tar "$work/"
    install -m 755 "$coracle" "$work/coracle"
    coracle=$work/coracle
    play root slirp4netns
    as=(setpriv --reuid=nobody "--regid=$(id -g nobody)" --clear-groups)
    mkdir "$work/user"
    chown nobody "$work/user"
    KUBECONFIG=$work/user/kubeconfig data=$work/user/data
    export HOME=$work/user
    play nobody slirp4netns
    play nobody pasta
    as=() data=$work/data
else
    say "not root: the outside world was left out"
fi
path=/nowhere
t_has "without a helper up says so" 'pods have no way out: install slirp4netns or pasta' up
t_has "and status" 'pods have no way out' status
t_has "the cluster works" 'Ready' kubectl get nodes
