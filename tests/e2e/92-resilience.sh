#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Whatever of coracle is killed, and whenever: pods that run go on serving while the brain is away, no acknowledged
# write is lost, nothing restarts; after the keeper, init or all of it was killed, `up` brings everything back.
# SEED chooses the moments, ROUNDS how often the brain is killed.
. "$(dirname "$0")/lib.sh"
RANDOM=${SEED:-7}
rounds=${ROUNDS:-20}
say "seed ${SEED:-7}, $rounds rounds"
cluster_up build/images/busybox.tar
manifest() {
    cat <<'EOF'
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{port: 80, targetPort: 8080}]}
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
load='n=0; while :; do wget -q -O /dev/null http://$WEB_SERVICE_HOST/ && n=$((n + 1)) || echo lost >>/tmp/lost; echo $n >/tmp/done.new; mv /tmp/done.new /tmp/done; done'
t "a pod sends requests without end" kubectl run load --image=busybox --image-pull-policy=IfNotPresent --restart=Never --grace-period=1 -- sh -c "$load"
t "it runs" kubectl wait --for=condition=Ready pod/load --timeout=30s
sent() { kubectl exec load -- cat /tmp/done; }
some() { [ "$(sent)" -ge "$1" ]; }
t "requests go through" soon 20 some 50

# Every write that kubectl says was made is put down; those it failed to make may be there or not.
write_forever() {
    local i=0
    while :; do
        i=$((i + 1))
        kubectl create configmap "w-$i" --from-literal=i=$i --request-timeout=20s >/dev/null 2>&1 && echo "w-$i" >>"$work/written"
        sleep 0.1
    done
}
touch "$work/written"
in_background write_forever
pid_of() { "$coracle" status --name "$name" --data "$data" --json | grep -A 3 "\"$1\"" | sed -n 's/.*"pid": *\([1-9][0-9]*\).*/\1/p' | grep .; }
facts() { kubectl get po -o jsonpath='{range .items[*]}{.metadata.name} {.metadata.uid} {.status.containerStatuses[0].restartCount} {.status.podIP}{"\n"}{end}'; }
facts >"$work/facts"
before=$(sent)
killed=0
for ((i = 0; i < rounds; i++)); do
    soon 30 kubectl get --raw /readyz >/dev/null
    sleep "$((RANDOM % 4)).$(printf %03d $((RANDOM % 1000)))"
    pid=$(soon 30 pid_of brain) && [ -n "$pid" ] && kill -9 "$pid" && killed=$((killed + 1))
done
t_is "the brain was killed $rounds times" "$rounds" echo "$killed"
t "it answers" soon 30 kubectl get --raw /readyz
kill "${jobs_started[-1]}"
t "requests went on" soon 20 some $((before + 20 * rounds))
t_fails "none was lost" kubectl exec load -- cat /tmp/lost
t_is "same pods, same addresses, no restart" "$(cat "$work/facts")" facts
wrote() { [ "$(wc -l <"$work/written")" -ge "$rounds" ]; }
t "writes went on" wrote
say "$(wc -l <"$work/written") writes, $(sent) requests"
missing() { comm -23 <(sort "$work/written") <(kubectl get cm -o jsonpath='{range .items[*]}{.metadata.name}{"\n"}{end}' | sort); }
t_is "every acknowledged write is there" "" missing

objects() { kubectl get sts,svc,pvc,pv -o jsonpath='{range .items[*]}{.kind}/{.metadata.name} {.metadata.uid}{"\n"}{end}'; }
objects >"$work/objects"
starts() { kubectl exec web-0 -- wc -l /w/starts | cut -d' ' -f1; }
is_up() { "$coracle" up --name "$name" --data "$data" --kubeconfig "$KUBECONFIG"; }
check() { # WHAT STARTS
    t "$1: up works again" is_up
    t "$1: the pods come back" soon 60 ready
    t_is "$1: the same objects" "$(cat "$work/objects")" objects
    t "$1: the same data" soon 20 starts = "$2"
    t_is "$1: every acknowledged write is there" "" missing
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
