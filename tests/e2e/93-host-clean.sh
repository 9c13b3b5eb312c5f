#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Nothing is left on the host after `delete`: no interface, rule, mount, namespace, cgroup, process, listening
# socket, file. As root and as an ordinary user (one is made for the test and removed again), also when everything
# was killed before, and with two clusters side by side.
. "$(dirname "$0")/lib.sh"

# Only what has to do with clusters of this run, so that others may work on the machine meanwhile; of the interfaces,
# rules and mounts everything counts, less what other clusters' folders are named in.
host() { # FOLDER: what can be seen of clusters that live beneath it
    local folder=$1 pid
    echo "- interfaces"
    ip -o link | awk '{ print $2 }' | sed 's/@.*//' | sort
    echo "- routes"
    ip route show table all | sort
    if [ "$(id -u)" = 0 ]; then
        echo "- rules"
        nft list ruleset 2>/dev/null
    fi
    echo "- mounts"
    awk '{ print $5 }' /proc/self/mountinfo | sort
    echo "- pinned namespaces"
    ls /run/netns 2>/dev/null
    echo "- cgroups"
    find /sys/fs/cgroup -type d -name "coracle-$name*" 2>/dev/null | sort
    echo "- processes and what they listen on"
    for pid in $(pgrep -f "$folder|$name" | sort -n); do
        [ "$pid" = $$ ] || [ "$pid" = "$BASHPID" ] || tr '\0' ' ' 2>/dev/null <"/proc/$pid/cmdline" | grep -v '^bash\|^timeout\|^pgrep' || true
    done
    ss -Hltnp 2>/dev/null | grep -c "coracle.*$folder" || true
    echo "- files"
    find /run /var/lib /etc -maxdepth 2 -name '*coracle*' 2>/dev/null | sort
    find /tmp -maxdepth 2 -name "*$name*" 2>/dev/null | sort
    ls -A "$HOME" | grep -vx .kube
    ls -A "$folder"
}
changes() { diff "$work/before" <(host "$1"); }

pod() { # NAME
    cat <<EOF
apiVersion: v1
kind: Service
metadata: {name: s}
spec: {type: NodePort, selector: {app: a}, ports: [{port: 80, targetPort: 8080}]}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: v}
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Mi}}}
---
apiVersion: v1
kind: Pod
metadata: {name: a, labels: {app: a}}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - name: c
    image: busybox
    imagePullPolicy: IfNotPresent
    command: [sh, -c, 'mkdir /tmp/w; echo $1 >/tmp/w/index.html; echo $1 >/v/own; chown 1000:1000 /v/own; chmod 600 /v/own; exec httpd -f -p 8080 -h /tmp/w']
    volumeMounts: [{name: e, mountPath: /e}, {name: m, mountPath: /m}, {name: v, mountPath: /v}]
    readinessProbe: {tcpSocket: {port: 8080}, periodSeconds: 1}
  volumes: [{name: e, emptyDir: {}}, {name: m, emptyDir: {medium: Memory}}, {name: v, persistentVolumeClaim: {claimName: v}}]
EOF
}
as=() # how to become the user under test
run() { ${as[@]+"${as[@]}"} "$@"; }
up() { run "$coracle" up --name "$name-$1" --data "$folder/$1" --kubeconfig "$folder/$1.conf"; }
fill() {
    run "$coracle" image load "$images" --name "$name-$1" --data "$folder/$1" &&
        pod "$1" | run kubectl --kubeconfig "$folder/$1.conf" apply -f - &&
        run kubectl --kubeconfig "$folder/$1.conf" wait --for=condition=Ready pod/a --timeout=40s
}
delete() { run "$coracle" delete --yes --name "$name-$1" --data "$folder/$1" && rm -f "$folder/$1.conf"; }
unshare() { # CLUSTER COMMAND...
    run "$coracle" unshare --name "$name-$1" --data "$folder/$1" -- "${@:2}"
}
backup_is_whole() { [ "$(tar xzOf "$folder/backup.tgz" default/v/own)" = a ] && rm -f "$folder/backup.tgz"; }
serves() { # CLUSTER: its node port says its name
    local port
    port=$(run kubectl --kubeconfig "$folder/$1.conf" get svc s -o jsonpath='{.spec.ports[0].nodePort}') &&
        [ "$(curl -sS -m 5 "http://127.0.0.1:$port/")" = "$1" ]
}
hull_of() { run "$coracle" status --name "$name-$1" --data "$folder/$1" --json | sed -n 's/.*"pid": *\([1-9][0-9]*\).*/\1/p'; }

leftovers() { # what a failed test left running
    local c
    for c in a b; do
        [ ! -d "$folder/$c" ] || delete "$c" >/dev/null 2>&1
    done
}
check() { # WHO
    t "$1: a cluster" up a
    t "$1: with a pod" fill a
    t "$1: its port" soon 10 serves a
    t_is "$1: what another user of a pod wrote can be read" a unshare a cat default/v/own
    t_fails "$1: a command's failure is told" unshare a cat default/v/none
    t "$1: a backup" unshare a tar czf "$folder/backup.tgz" default/v
    t "$1: is whole" backup_is_whole
    t "$1: it can be removed" unshare a rm -r default/v/own
    t "$1: deleted" delete a
    t "$1: the host is as it was" soon 5 changes "$folder"

    t "$1: two clusters" up a
    t "$1: the second" up b
    t "$1: a pod in one" fill a
    t "$1: a pod in the other" fill b
    t "$1: both serve" soon 10 serves a
    t "$1: each its own" soon 10 serves b
    t "$1: one is deleted" delete a
    t "$1: the other goes on" serves b
    t "$1: and is deleted" delete b
    t "$1: the host is as it was after two" soon 5 changes "$folder"

    t "$1: a third" up a
    t "$1: with a pod, too" fill a
    local victims
    mapfile -t victims < <(hull_of a)
    t "$1: everything is killed" kill -9 "${victims[@]}"
    t "$1: deleted after that" delete a
    t "$1: the host is as it was after the kill" soon 5 changes "$folder"
}

images=$work/busybox.tar
cp build/images/busybox.tar "$images"
folder=$work/own
mkdir "$folder"
finish() {
    local rc=$?
    leftovers
    [ -z "${user:-}" ] || userdel "$user" 2>/dev/null
    (exit $rc)
    on_exit
}
trap finish EXIT
host "$folder" >"$work/before"
check "$(id -un)"
leftovers

if [ "$(id -u)" = 0 ] && command -v useradd newuidmap >/dev/null; then
    user=coracle-e2e-$$
    useradd --no-create-home --shell /bin/sh "$user" || exit 1
    grep -q "^$user:" /etc/subuid || usermod --add-subuids 2000000-2065535 --add-subgids 2000000-2065535 "$user"
    folder=$work/user
    mkdir "$folder" "$folder/home"
    chmod 711 "$work"
    chown -R "$user:" "$folder"
    install -m 755 "$coracle" "$work/coracle"
    coracle=$work/coracle
    export HOME=$folder/home
    as=(setpriv "--reuid=$user" "--regid=$(id -g "$user")" --clear-groups)
    host "$folder" >"$work/before"
    check "an ordinary user"
else
    say "not root, or no useradd: the other user was left out"
fi
