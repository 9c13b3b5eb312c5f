#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Whatever of coracle is killed, and whenever: pods that run go on serving while the brain is away, no acknowledged
# write is lost, no watch event skipped or doubled, nothing restarts; after `down`, and after the keeper, init or all
# of it was killed, `up` brings everything back. SEED chooses the moments, ROUNDS how often the brain is killed.
. "$(dirname "$0")/lib.sh"
RANDOM=${SEED:-7}
rounds=${ROUNDS:-8}
say "seed ${SEED:-7}, $rounds rounds"
cluster_up build/images/busybox.tar
manifest() {
    cat <<'EOF'
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {type: NodePort, selector: {app: web}, ports: [{port: 80, targetPort: 8080}]}
---
apiVersion: v1
kind: Service
metadata: {name: sticky}
spec: {sessionAffinity: ClientIP, selector: {app: web}, ports: [{port: 80, targetPort: 8080}]}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: web}
spec:
  serviceName: web
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - name: c
        image: busybox
        imagePullPolicy: IfNotPresent
        command: [sh, -c, 'echo $HOSTNAME >/w/index.html; date >>/w/starts; exec httpd -f -p 8080 -h /w']
        readinessProbe: {tcpSocket: {port: 8080}, periodSeconds: 1}
        livenessProbe: {tcpSocket: {port: 8080}, periodSeconds: 1, failureThreshold: 2}
        volumeMounts: [{name: w, mountPath: /w}]
  volumeClaimTemplates:
  - metadata: {name: w}
    spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 16Mi}}}
EOF
}
t "a service of two" kubectl apply -f <(manifest)
ready() { kubectl rollout status sts/web --timeout=60s; }
t "both are ready" ready
# Two requests a time by names of services, so each asks DNS too; every pair leaves a line in the log, with who answered
# as the service with affinity.
load='n=0; while :; do n=$((n + 1)); wget -q -O /dev/null http://web.default.svc.cluster.local/ && who=$(wget -q -O - http://sticky.default.svc.cluster.local/) && echo "$n ok $who" || echo "$n lost"; done'
t "a pod sends requests without end" kubectl run load --image=busybox --image-pull-policy=IfNotPresent --restart=Never --grace-period=1 -- sh -c "$load"
t "it runs" kubectl wait --for=condition=Ready pod/load --timeout=30s
sent() { kubectl logs load --tail=1 | cut -d' ' -f1; }
some() { [ "$(sent)" -ge "$1" ]; }
t "requests go through" soon 20 some 20

# Every write that kubectl says was made is put down; those it failed to make may be there or not.
write_forever() {
    local i=0
    while :; do
        i=$((i + 1))
        kubectl create configmap "w-$i" --from-literal=i=$i --request-timeout=20s >/dev/null 2>&1 && echo "w-$i" >>"$work/written"
        [ $((i % 3)) != 0 ] || kubectl annotate configmap "w-$i" a=b --request-timeout=20s >/dev/null 2>&1
        [ $((i % 5)) != 1 ] || kubectl delete configmap "gone" --request-timeout=20s --ignore-not-found --wait=false >/dev/null 2>&1
        [ $((i % 5)) != 2 ] || kubectl create configmap "gone" --request-timeout=20s >/dev/null 2>&1
        sleep 0.1
    done
}
# Watches from the last revision that it saw, again and again; it never lists. A line that a dying server cut is none.
watch_forever() {
    local line
    while :; do
        kubectl get --raw "/api/v1/namespaces/default/configmaps?watch=1&resourceVersion=$(tail -n 1 "$work/watched" | cut -d' ' -f1)" 2>/dev/null |
            while IFS= read -r line; do
                sed -nE 's/^\{"type":"([A-Z]+)".*/\1/p' <<<"$line" >"$work/type"
                sed -E 's/.*"name":"([^"]*)".*/\1/' <<<"$line" >"$work/name"
                sed -E 's/.*"resourceVersion":"([0-9]+)".*/\1/' <<<"$line" >"$work/rev"
                echo "$(<"$work/rev") $(<"$work/type") $(<"$work/name")" >>"$work/watched"
            done
        sleep 0.1
    done
}
# What the events add up to, in a line each: NAME REVISION. Says what can't be: an event twice, out of order, an ADDED of
# what is there, a MODIFIED or DELETED of what is not, an ERROR.
add_up() {
    awk 'NR == 1 { last = $1; next }
        $1 <= last { print "revision " $1 " after " last }
        { last = $1 }
        $2 == "ADDED" { if ($3 in there) print "added twice: " $0; there[$3] = $1; next }
        $2 == "MODIFIED" { if (!($3 in there)) print "unknown: " $0; there[$3] = $1; next }
        $2 == "DELETED" { if (!($3 in there)) print "unknown: " $0; delete there[$3]; next }
        { print "no such event: " $0 }
        END { for (name in there) print name, there[name] }' "$work/watched" | sort
}
config_maps() { kubectl get cm -o jsonpath='{range .items[*]}{.metadata.name} {.metadata.resourceVersion}{"\n"}{end}' | grep -v ^kube-root-ca | sort; }
adds_up() { [ "$(add_up)" = "$(config_maps)" ] || { diff <(add_up) <(config_maps); return 1; }; }
touch "$work/written"
kubectl get --raw /api/v1/namespaces/default/configmaps | sed -E 's/.*"metadata":\{"resourceVersion":"([0-9]+)".*/\1/; s/$/ LISTED/' >"$work/watched"
in_background watch_forever
in_background write_forever
writer=${jobs_started[-1]}
# From the host, through the port of the node: one request after the other, and a download that takes about 12 s.
node_port=$(field svc/web .spec.ports[0].nodePort)
fetch() { curl -sS --max-time 30 "http://127.0.0.1:$node_port/"; }
fetch_forever() { while :; do fetch >"$work/answer" 2>"$work/answer.err" && echo ok || echo "lost: $(<"$work/answer.err")"; done >>"$work/fetches"; }
t "the node port answers" soon 20 fetch
for pod in web-0 web-1; do t "$pod has a large file" kubectl exec "$pod" -- sh -c 'seq 3000000 >/w/much'; done
in_background fetch_forever
fetcher=${jobs_started[-1]}
in_background curl -sS --limit-rate 2M -o "$work/much" "http://127.0.0.1:$node_port/much"
download=${jobs_started[-1]}
facts() { kubectl get po -o jsonpath='{range .items[*]}{.metadata.name} {.metadata.uid} {.status.containerStatuses[0].restartCount} {.status.podIP}{"\n"}{end}'; }
facts >"$work/facts"
before=$(sent)
killed=0 exec_failed=0 outlived=0
for ((i = 0; i < rounds; i++)); do
    soon 30 kubectl get --raw /readyz >/dev/null
    sleep "$((RANDOM % 2)).$(printf %03d $((RANDOM % 1000)))"
    pid=$(soon 30 pid_of brain) && [ -n "$pid" ] && kill -9 "$pid" && killed=$((killed + 1))
    kill -0 "$download" 2>/dev/null && outlived=$((outlived + 1))
    [ $((i % 4)) != 0 ] || soon 10 kubectl exec web-0 -- true || exec_failed=$((exec_failed + 1))
done
t_is "the brain was killed $rounds times" "$rounds" echo "$killed"
t_is "exec can be opened after each" 0 echo "$exec_failed"
t "it answers" soon 30 kubectl get --raw /readyz
t "requests went on" soon 30 some $((before + 5 * rounds))
kill "$writer" "$fetcher"
wait "$writer" "$fetcher" 2>/dev/null
survived() { [ "$outlived" -ge 2 ]; }
t "a download through the node port went on over deaths" survived
t "it ends" wait "$download"
t_is "with every byte" "$(seq 3000000 | cksum)" cksum <"$work/much"
t_fails "no request through the node port was lost" grep -m 3 lost "$work/fetches"
fetched() { [ "$(grep -c ok "$work/fetches")" -ge $((5 * rounds)) ]; }
t "there were many" fetched
t_fails "none was lost" grep -m 3 lost <(kubectl logs load)
in_order() { kubectl logs load | awk '$1 != NR { print "line " NR ": " $0 }'; }
t_is "the log has every line once" "" in_order
stuck_to() { kubectl logs load | cut -d' ' -f3 | sort -u | wc -l; }
t_is "a client of a service with affinity stays with its pod" 1 stuck_to
t_is "same pods, same addresses, no restart" "$(cat "$work/facts")" facts
wrote() { [ "$(wc -l <"$work/written")" -ge "$rounds" ]; }
t "writes went on" wrote
say "$(wc -l <"$work/written") writes, $(wc -l <"$work/watched") events, $(sent) requests inside, $(wc -l <"$work/fetches") through the node port, $outlived deaths outlived by the download"
missing() { comm -23 <(sort "$work/written") <(kubectl get cm -o jsonpath='{range .items[*]}{.metadata.name}{"\n"}{end}' | sort); }
t_is "every acknowledged write is there" "" missing
t "a watch that went on over all deaths saw each event once" soon 10 adds_up

# While no brain runs, published ports are served and clients of the API wait.
init=$(pid_of init)
brain=$(pid_of brain)
kill -STOP "$init" # nothing is started again until it goes on
kill -9 "$brain"
in_background kubectl get --raw /readyz
asking=${jobs_started[-1]}
t_has "without a brain the node port is answered" '^web-' fetch
t "a client of the API waits" kill -0 "$asking"
kill -CONT "$init"
t "it is answered" wait "$asking"
ports=$(soon 10 pid_of ports)
kill -9 "$ports"
other_ports() { [ "$(pid_of ports)" != "$ports" ]; }
t "a killed ports process is started again" soon 20 other_ports
t_has "and serves" '^web-' soon 20 fetch
forward() { # opens a port-forward, asks through it once
    kubectl port-forward svc/web 0:80 >"$work/forward" 2>&1 &
    local pid=$! rc
    soon 10 grep -q '^Forwarding from 127' "$work/forward" &&
        curl -s --max-time 10 "http://127.0.0.1:$(sed -nE 's/^Forwarding from 127.0.0.1:([0-9]+).*/\1/p' "$work/forward")/" | grep -q ^web-
    rc=$?
    kill "$pid" 2>/dev/null
    wait "$pid" 2>/dev/null
    return $rc
}
t "port-forward can be opened" soon 20 forward
logged() { [ "$(head -n 3 < <(kubectl logs -f load --tail=1 2>/dev/null) | wc -l)" = 3 ]; }
t "logs -f can be opened" soon 20 logged

objects() { kubectl get sts,svc,pvc,pv -o jsonpath='{range .items[*]}{.kind}/{.metadata.name} {.metadata.uid}{"\n"}{end}'; }
objects >"$work/objects"
starts() { kubectl exec web-0 -- wc -l /w/starts | cut -d' ' -f1; }
is_up() { "$coracle" up --name "$name" --data "$data" --kubeconfig "$KUBECONFIG"; }
check() { # WHAT STARTS
    t "$1: up works again" is_up
    t "$1: the pods come back" soon 60 ready
    t_is "$1: the same objects" "$(cat "$work/objects")" objects
    t "$1: the same data" soon 20 is starts = "$2"
    t_is "$1: every acknowledged write is there" "" missing
    t "$1: a write" kubectl create cm "after-$2"
    t "$1: the watch goes on" soon 10 adds_up
}
t_is "no container started twice" 1 starts
t "coracle down" "$coracle" down --name "$name" --data "$data"
check "after down" 2
gone() { ! pgrep -f "$data" >/dev/null; }
keeper=$(pid_of keeper)
kill -9 "$keeper"
check "after the keeper's death" 3
init=$(pid_of init)
kill -9 "$init"
t "nothing runs without init" soon 10 gone
check "after init's death" 4
victims=("$(pid_of keeper)" "$(pid_of init)" "$(pid_of brain)")
kill -9 "${victims[@]}"
check "after the death of all" 5
