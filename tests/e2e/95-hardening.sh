#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What docs/security.md promises: who gets in, what a container can't do, what images and volumes can't reach, what
# is written where, and that clients who send too much or too slowly are cut off.
. "$(dirname "$0")/lib.sh"
words="only-in-the-secret-$$"
# Who has no sub-ids has no other user in containers either.
other_user=1000
[ "$(id -u)" = 0 ] || grep -q "^$(id -un):" /etc/subuid || other_user=0
mkdir -m 755 "$work/canary"
echo "host-$$" >"$work/canary/word"

# An image whose files are links to the host's folder $work/canary, made by hand: a docker archive of one layer.
image() { # NAME CONFIG LINK=TARGET...
    local dir=$work/image-$1 link diff
    mkdir -p "$dir/root/bin" "$dir/root/etc"
    cp /bin/busybox "$dir/root/bin/busybox"
    ln -s busybox "$dir/root/bin/sh"
    for link in "${@:3}"; do ln -sfn "${link#*=}" "$dir/root/${link%%=*}"; done
    tar --numeric-owner --owner=0 --group=0 -cf "$dir/layer.tar" -C "$dir/root" .
    diff=$(sha256sum <"$dir/layer.tar" | cut -d' ' -f1)
    echo "{\"architecture\":\"$(dpkg --print-architecture)\",\"os\":\"linux\",\"config\":$2,\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[\"sha256:$diff\"]}}" >"$dir/config.json"
    echo "[{\"Config\":\"config.json\",\"RepoTags\":[\"$1:1\"],\"Layers\":[\"layer.tar\"]}]" >"$dir/manifest.json"
    tar -cf "$work/$1.tar" -C "$dir" manifest.json config.json layer.tar
}
image links '{}' "data=$work/canary" "etc/hosts=../../../../../../../..$work/canary/hosts" "etc/resolv.conf=$work/canary/resolv.conf" "etc/passwd=$work/canary/word"
image proclink '{}' "proc=$work/canary" "dev=$work/canary"
cluster_up build/images/busybox.tar "$work/links.tar" "$work/proclink.tar"
server=$(kubectl config view --raw -o jsonpath='{.clusters[0].cluster.server}')
kubectl config view --raw -o jsonpath='{.clusters[0].cluster.certificate-authority-data}' | base64 -d >"$work/ca.crt"
kubectl config view --raw -o jsonpath='{.users[0].user.client-certificate-data}' | base64 -d >"$work/admin.crt"
kubectl config view --raw -o jsonpath='{.users[0].user.client-key-data}' | base64 -d >"$work/admin.key"
code() { curl -s -o /dev/null -w '%{http_code}\n' --cacert "$work/ca.crt" "$@"; }
admin=(--cert "$work/admin.crt" --key "$work/admin.key")

say "pods that the rest looks at"
pods() {
    cat <<YAML
apiVersion: v1
kind: Secret
metadata: {name: s}
stringData: {word: "$words"}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: shared}
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Mi}}}
---
apiVersion: v1
kind: Pod
metadata: {name: p}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - name: plain
    image: busybox
    imagePullPolicy: IfNotPresent
    command: [sleep, "1000"]
    env: [{name: WORD, valueFrom: {secretKeyRef: {name: s, key: word}}}]
    volumeMounts: [{name: s, mountPath: /s}, {name: v, mountPath: /v}]
  - name: tight
    image: busybox
    imagePullPolicy: IfNotPresent
    command: [sleep, "1000"]
    securityContext:
      runAsUser: $other_user
      allowPrivilegeEscalation: false
      readOnlyRootFilesystem: true
      capabilities: {drop: [ALL]}
      seccompProfile: {type: RuntimeDefault}
  volumes: [{name: s, secret: {secretName: s}}, {name: v, persistentVolumeClaim: {claimName: shared}}]
---
apiVersion: v1
kind: Pod
metadata: {name: links}
spec:
  restartPolicy: Never
  terminationGracePeriodSeconds: 0
  containers:
  - name: c
    image: links:1
    command: [/bin/busybox, sh, -c, "/bin/busybox touch /data/from-inside; /bin/busybox sleep 1000"]
    volumeMounts: [{name: e, mountPath: /data/below}]
  volumes: [{name: e, emptyDir: {}}]
---
apiVersion: v1
kind: Pod
metadata: {name: proclink}
spec:
  restartPolicy: Never
  terminationGracePeriodSeconds: 0
  containers: [{name: c, image: "proclink:1", command: [/bin/busybox, sleep, "1000"]}]
YAML
    cat <<'YAML'
---
apiVersion: v1
kind: Pod
metadata: {name: leak}
spec:
  restartPolicy: Never
  terminationGracePeriodSeconds: 0
  containers:
YAML
    local fd
    for fd in 3 4 5 6 7 8 9 10 11 12; do
        echo "  - {name: fd$fd, image: busybox, imagePullPolicy: IfNotPresent, workingDir: /proc/self/fd/$fd, command: [sh, -c, 'cat ../../../../../../../../../..$work/canary/word']}"
    done
}
t "pods are made" kubectl apply -f <(pods)
t "the pod to look at is ready" kubectl wait --for=condition=Ready pod/p --timeout=30s
inside() { kubectl exec p -c "$1" -- sh -c "$2"; }

say "who gets in"
for path in /version /livez /readyz /healthz; do t_is "anyone may see $path" 200 code "$server$path"; done
for path in / /api /apis /metrics /openapi/v2 /api/v1/pods /api/v1/namespaces/default/secrets/s /openid/v1/jwks /nope; do
    t_is "nobody sees more: $path" 403 code "$server$path"
done
t_is "a token of nobody is refused, even there" 401 code -H 'Authorization: Bearer x' "$server/livez"
tls() { openssl s_client -connect "${server#https://}" -CAfile "$work/ca.crt" -verify_return_error "$@" </dev/null 2>&1; }
t_has "TLS 1.3" 'Protocol *: TLSv1.3|New, TLSv1.3' tls -tls1_3
t_has "TLS 1.2" 'Protocol *: TLSv1.2' tls -tls1_2
for old in -tls1 -tls1_1; do
    out=$(tls $old -cipher 'ALL:@SECLEVEL=0')
    if grep -q 'alert protocol version' <<<"$out"; then pass "no TLS with $old"; else fail "no TLS with $old" "$out"; fi
done
bearer() { code -H "Authorization: Bearer $1" "$server/api/v1/namespaces/default/pods/p"; }
kubectl create serviceaccount reader >/dev/null
kubectl create rolebinding reader --clusterrole=view --serviceaccount=default:reader >/dev/null
kubectl run bound --image=busybox --image-pull-policy=IfNotPresent --overrides='{"spec":{"serviceAccountName":"reader","terminationGracePeriodSeconds":0}}' -- sleep 1000 >/dev/null
bound=$(kubectl create token reader --bound-object-kind=Pod --bound-object-name=bound)
free=$(kubectl create token reader)
t_is "a token lets in" 200 bearer "$bound"
t_is "a token for others doesn't" 401 bearer "$(kubectl create token reader --audience=others)"
t_is "a token that was touched doesn't" 401 bearer "${free%?????}AAAAA"
kubectl delete pod bound --wait >/dev/null
t_is "nor one of a pod that is gone" 401 bearer "$bound"
t_is "the account's own still does" 200 bearer "$free"
kubectl delete serviceaccount reader >/dev/null
t_is "until the account is gone" 401 bearer "$free"

say "what a container has"
t_is "no descriptors but its own" "0 1 2 " inside plain 'ls /proc/1/fd | tr "\n" " "'
t_is "nor in exec" "0 1 2 " inside plain 'sleep 5 & ls /proc/$!/fd | tr "\n" " "'
caps() { inside "$1" "grep -E 'Cap(Eff|Bnd|Inh|Amb)' /proc/1/status | sort | tr -d '\n\t'"; }
t_is "containerd's capabilities" "CapAmb:0000000000000000CapBnd:00000000a80425fbCapEff:00000000a80425fbCapInh:0000000000000000" caps plain
t_is "none when all are dropped" "CapAmb:0000000000000000CapBnd:0000000000000000CapEff:0000000000000000CapInh:0000000000000000" caps tight
status() { inside "$1" "grep -E '^(NoNewPrivs|Seccomp):' /proc/$2/status | tr -d '\n\t'"; }
t_is "no new privileges when they are refused" "NoNewPrivs:1Seccomp:2" status tight 1
t_is "nor in exec" "NoNewPrivs:1Seccomp:2" status tight self
t_fails "the default profile refuses namespaces" inside tight 'unshare -U true'
t_fails "a read-only root is one" inside tight 'touch /x'
for path in /proc/kcore /proc/keys /proc/timer_list; do t_is "$path is masked" "" inside plain "cat $path 2>/dev/null || :"; done
t_is "/sys/firmware is masked" "" inside plain 'ls /sys/firmware'
for path in /proc/sys/kernel/panic /proc/irq/default_smp_affinity /sys/kernel/mm/ksm/run; do
    t_fails "$path can't be written" inside plain "echo 1 >$path"
done
t_is "nor can cgroups" "" inside plain 'for f in /sys/fs/cgroup/cgroup.procs /sys/fs/cgroup/*/cgroup.procs; do [ -e $f ] && (echo $$ >$f) 2>/dev/null && echo $f; done; :'
t_fails "disks can't be read" inside plain 'mknod /tmp/d b 252 0 && head -c 1 /tmp/d'
t_fails "nothing can be mounted" inside plain 'mount -t tmpfs none /mnt'

say "what images and volumes can't reach"
leaks() { local fd; for fd in 3 4 5 6 7 8 9 10 11 12; do kubectl logs leak -c fd$fd 2>&1; done; }
tried() { [ "$(kubectl get pod leak -o jsonpath='{range .status.containerStatuses[*]}{.state.waiting.reason}{.state.terminated.reason}{"\n"}{end}' | grep -cE 'Error|Completed')" = 10 ]; }
t "working folders that are descriptors were tried" soon 20 tried
if leaks | grep -q "host-$$"; then fail "and lead nowhere" "$(leaks)"; else pass "and lead nowhere"; fi
untouched() { [ "$(ls "$work/canary")" = word ] && [ "$(cat "$work/canary/word")" = "host-$$" ]; }
started_or_not() { kubectl get pod links -o jsonpath='{.status.containerStatuses[0].state}' | grep -qE 'running|Error'; }
t "an image full of links was tried" soon 20 started_or_not
t "the host's folder is as it was" untouched
proclink() { kubectl get pod proclink -o jsonpath='{.status.containerStatuses[0].state}' | grep -qE 'running|Error'; }
t "an image with links for /proc and /dev was tried" soon 20 proclink
t "the host's folder is as it was" untouched
t "a link out of the volume, and one inside" inside plain "ln -s $work/canary /v/out; ln -s / /v/root; mkdir /v/in; ln -s in /v/link; echo yes >/v/in/word"
sub() { # NAME SUBPATH
    echo "{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"$1\"},\"spec\":{\"terminationGracePeriodSeconds\":0,\"containers\":[{\"name\":\"c\",\"image\":\"busybox\",\"imagePullPolicy\":\"IfNotPresent\",\"command\":[\"sleep\",\"1000\"],\"volumeMounts\":[{\"name\":\"v\",\"mountPath\":\"/m\",\"subPath\":\"$2\"}]}],\"volumes\":[{\"name\":\"v\",\"persistentVolumeClaim\":{\"claimName\":\"shared\"}}]}}"
}
for name_path in out=out root=root deep=root/etc in=link; do sub "sub-${name_path%%=*}" "${name_path#*=}" | kubectl apply -f - >/dev/null; done
t_fails "'..' is no subPath" kubectl apply -f <(sub sub-up ../up)
config_error() { kubectl get pod "sub-$1" -o jsonpath='{.status.containerStatuses[0].state.waiting.reason}' | grep -q CreateContainerConfigError; }
for which in out root deep; do t "a subPath through a link out of its volume is refused ($which)" soon 20 config_error $which; done
t "one inside works" kubectl wait --for=condition=Ready pod/sub-in --timeout=20s
t_is "and shows the folder" yes kubectl exec sub-in -- cat /m/word
t_fails "a configMap key can't be a path" kubectl create configmap k --from-literal=../up=1
t_fails "nor lead out by its item" kubectl apply -f - <<<'{"apiVersion":"v1","kind":"Pod","metadata":{"name":"items"},"spec":{"containers":[{"name":"c","image":"busybox"}],"volumes":[{"name":"v","configMap":{"name":"k","items":[{"key":"a","path":"../up"}]}}]}}'

say "what is written where"
mode() { stat -c %a "$@" | sort -u | tr '\n' ' '; }
t_is "keys, certificates, journal, log, socket and kubeconfig are their owner's" "600 " mode "$data"/pki/* "$data"/state.db* "$data/coracle.log" "$data/control.sock" "$KUBECONFIG"
t_is "their folder, too" "700 " mode "$data/pki"
words_in() { grep -rlF -- "$words" "$data" 2>/dev/null | grep -v '/state\.db'; }
t_is "the secret has come to its pod" "$words $words" inside plain 'echo $WORD $(cat /s/word)'
t_fails "a secret's words are in no file but the journal" words_in
commands() { cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\0' ' ' | grep -F -- "$words" | grep -v grep; }
t_fails "nor in a command line" commands
t_fails "no key is in the log" grep -E 'PRIVATE KEY|Bearer|eyJ' "$data/coracle.log"

say "certificates"
served() { tls -tls1_3 -showcerts | openssl x509 -noout -serial -checkend 20000000; }
before=$(served)
expiring() { # NAME EXTENSION: as the cluster's own, but for its end
    openssl x509 -in "$data/pki/$1.crt" -x509toreq -signkey "$data/pki/$1.key" -out "$work/csr" 2>/dev/null &&
        openssl x509 -req -in "$work/csr" -CA "$data/pki/ca.crt" -CAkey "$data/pki/ca.key" -CAcreateserial -CAserial "$work/serial" -days 1 -out "$work/short.crt" 2>/dev/null &&
        cat "$work/short.crt" >"$data/pki/$1.crt"
}
t "certificates that end tomorrow" expiring server
t "the admin's, too" expiring admin
brain() { pgrep -f "coracle brain.*--data $data( |\$)|brain --data $data( |\$)" | head -n 1; }
pid=$(brain)
t "the brain starts anew" kill -9 "$pid"
renewed() { local now; now=$(served) && [ "$now" != "$before" ] && [ "$(mode "$data/pki/server.key")" = "600 " ]; }
t "and serves a new certificate for a year" soon 20 renewed
same() { [ "$(kubectl config view --raw -o jsonpath='{.users[0].user.client-certificate-data}' | base64 -d)" = "$(cat "$data/pki/admin.crt")" ]; }
t "the admin's is renewed, too" openssl x509 -in "$data/pki/admin.crt" -noout -checkend 20000000
t "coracle kubeconfig hands it out" "$coracle" kubeconfig --name "$name" --data "$data"
echo "$out" >"$KUBECONFIG"
t "which is the new one" same
t "and works" kubectl get nodes

say "the process of published ports"
ports=$(soon 10 pid_of ports)
rights() { grep -E '^(CapPrm|CapEff|CapAmb|NoNewPrivs):' "/proc/$1/status" | tr -d '\n\t'; }
t_is "it has no rights" "CapPrm:0000000000000000CapEff:0000000000000000CapAmb:0000000000000000NoNewPrivs:1" rights "$ports"
if [ "$(id -u)" = 0 ]; then
    t_is "no files" "" ls -A "/proc/$ports/root"
    t_is "and no user" "65534 65534 65534 65534" awk '/^Uid:/ { print $2, $3, $4, $5 }' "/proc/$ports/status"
fi

say "too much and too slow"
# A client that never ends its headers; looked at when the rest is done.
(openssl s_client -quiet -connect "${server#https://}" < <(printf 'GET /version HTTP/1.1\r\nHost: a\r\n'; sleep 60) >"$work/slow" 2>&1; echo ended >"$work/slow-ended") &
jobs_started+=($!)
head -c 3200000 /dev/zero | tr '\0' ' ' >"$work/big"
t_is "a body over 3 MiB" 413 code "${admin[@]}" -H 'Content-Type: application/json' --data-binary @"$work/big" "$server/api/v1/namespaces/default/configmaps"
t_is "a body over 3 MiB in chunks" 413 code "${admin[@]}" -H 'Content-Type: application/json' -H 'Transfer-Encoding: chunked' --data-binary @"$work/big" "$server/api/v1/namespaces/default/configmaps"
t_is "headers over 64 KiB" 431 code --http1.1 -H "X: $(head -c 70000 /dev/zero | tr '\0' x)" "$server/version"
deep=$(printf '[%.0s' $(seq 100))
t_is "a document of 100 levels" 400 code "${admin[@]}" -H 'Content-Type: application/json' -d "$deep" "$server/api/v1/namespaces/default/configmaps"
# The store keeps the last 64 MB of changes for watchers that come back; when that is full, a watcher that never
# reads must not make it more.
fat() { head -c 1000000 /dev/zero | tr '\0' "$1"; }
resident() { awk '/^VmRSS/{print $2}' "/proc/$(brain)/status"; }
for letter in a b; do printf '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"fat"},"data":{"k":"%s"}}' "$(fat $letter)" >"$work/fat-$letter"; done
t "a fat object" kubectl create -f "$work/fat-a"
rewrite() {
    local i args=()
    for i in $(seq "$1"); do
        for letter in b a; do
            args+=(--next -s -o /dev/null -X PATCH --cacert "$work/ca.crt" "${admin[@]}" -H 'Content-Type: application/merge-patch+json' --data-binary @"$work/fat-$letter" "$server/api/v1/namespaces/default/configmaps/fat")
        done
    done
    curl "${args[@]:1}"
}
t "is written 130 times" rewrite 65
before=$(resident)
in_background bash -c "openssl s_client -quiet -connect '${server#https://}' -cert '$work/admin.crt' -key '$work/admin.key' < <(printf 'GET /api/v1/configmaps?watch=1 HTTP/1.1\r\nHost: a\r\n\r\n'; sleep 100) | sleep 100"
t "and 60 times more while somebody watches and never reads" rewrite 30
after=$(resident)
if [ $((after - before)) -lt 24000 ]; then pass "which costs the server nothing more"; else fail "which costs the server nothing more" "$before kB before, $after kB after"; fi
# As many connections as there may be, and more: who is in stays in, who comes later is turned away until there is room.
crowd() {
    local i fd address=${server#https://}
    for i in $(seq 4200); do exec {fd}<>"/dev/tcp/${address/://}" && crowded+=("$fd"); done 2>/dev/null
}
if ulimit -n 5000 2>/dev/null; then
    kubectl get configmaps --watch-only >"$work/watched" 2>&1 &
    jobs_started+=($!)
    seen() { kubectl annotate --overwrite configmap fat "at=$RANDOM" >/dev/null && grep -q fat "$work/watched"; }
    t "somebody watches" soon 20 seen
    crowded=()
    crowd
    t_fails "4200 connections: another one is turned away" curl -s --cacert "$work/ca.crt" "$server/livez"
    for fd in "${crowded[@]}"; do exec {fd}>&-; done
    : >"$work/watched"
    t "when they have gone there is room, and who watched still does" soon 20 seen
fi
slow_ended() { [ -s "$work/slow-ended" ]; }
t "a client that never ends its headers is cut off" soon 15 slow_ended
t_has "the server is well" 'ok' curl -s --cacert "$work/ca.crt" "$server/livez"
