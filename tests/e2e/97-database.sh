#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A real database: Debian's redis-server as a StatefulSet, a primary and replicas that find it by its stable name,
# with a volume each. Its data outlive pods, the brain and the cluster's restart; clients never notice the brain's death.
. "$(dirname "$0")/lib.sh"
image=$work/redis.tar
if ! tests/e2e/redis-image "$image" 2>"$work/packages.log"; then
    cat "$work/packages.log"
    t "Debian's packages of redis" false
    exit 1
fi
cluster_up "$image"
# Without sub-ids there is one user only: root of the cluster.
uid=999
if "$coracle" status --name "$name" --data "$data" | grep -q 'no sub-ids'; then uid=0; fi
manifest() { # REPLICAS VERSION
    cat <<EOS
apiVersion: v1
kind: Service
metadata: {name: redis}
spec: {clusterIP: None, selector: {app: redis}, ports: [{port: 6379, name: redis}]}
---
apiVersion: v1
kind: Service
metadata: {name: primary}
spec: {selector: {statefulset.kubernetes.io/pod-name: redis-0}, ports: [{port: 6379}]}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: redis}
spec:
  serviceName: redis
  replicas: $1
  selector: {matchLabels: {app: redis}}
  template:
    metadata: {labels: {app: redis, version: "$2"}}
    spec:
      terminationGracePeriodSeconds: 20
      securityContext: {runAsUser: $uid, runAsGroup: $uid, fsGroup: $uid}
      containers:
      - name: redis
        image: redis:7
        imagePullPolicy: IfNotPresent
        command:
        - sh
        - -c
        - |
          set -- redis-server --dir /data --appendonly yes --appendfsync always --protected-mode no --save ''
          case \$HOSTNAME in *-0) ;; *) set -- "\$@" --replicaof redis-0.redis.default.svc.cluster.local 6379 --repl-diskless-sync-delay 0 ;; esac
          exec "\$@"
        ports: [{containerPort: 6379, name: redis}]
        readinessProbe: {exec: {command: [redis-cli, ping]}, periodSeconds: 1}
        livenessProbe: {exec: {command: [redis-cli, ping]}, periodSeconds: 2, failureThreshold: 5}
        resources: {limits: {memory: 256Mi}}
        volumeMounts: [{name: data, mountPath: /data}]
  volumeClaimTemplates:
  - metadata: {name: data}
    spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 64Mi}}}
EOS
}
redis() { kubectl exec "redis-$1" -- redis-cli --raw "${@:2}"; }
ready() { kubectl rollout status sts/redis --timeout=90s; }
follows() { redis "$1" info replication | grep -q 'master_link_status:up'; }
has() { [ "$(redis "$1" dbsize)" = "$2" ] || { redis "$1" dbsize; return 1; }; }

t "a primary and a replica" kubectl apply -f <(manifest 2 1)
t "both get ready" ready
t_is "it runs as its own user" "$uid" kubectl exec redis-0 -- busybox sed -n 's/^Uid:.\([0-9]*\).*/\1/p' /proc/1/status
fill() { kubectl exec redis-0 -- sh -c 'for i in $(seq 500); do echo "SET key:$i value:$i"; done | redis-cli >/dev/null'; }
t "500 keys" fill
t "the replica follows" soon 30 follows 1
t "and has them all" soon 20 has 1 500
t "one more replica" kubectl scale sts/redis --replicas=3
t "gets ready" ready
t "and has them all" soon 30 has 2 500

t "the primary's pod goes" kubectl delete pod redis-0
t "it comes back" ready_again redis-0
t "with its keys" soon 20 has 0 500
t "the replicas find it at its new address" soon 60 follows 1
t "all of them" soon 60 follows 2

# A client counts without end while the brain is killed: each answer must be the last one plus one.
counter='n=0; while :; do m=$(redis-cli -h primary incr counter) || { echo "lost after $n" >>/tmp/lost; continue; }; [ "$m" = $((n + 1)) ] || echo "$n then $m" >>/tmp/lost; n=$m; echo $n >/tmp/new; mv /tmp/new /tmp/count; done'
t "a client counts" kubectl run client --image=redis:7 --image-pull-policy=IfNotPresent --restart=Never --grace-period=1 -- sh -c "$counter"
t "it runs" kubectl wait --for=condition=Ready pod/client --timeout=30s
count() { kubectl exec client -- cat /tmp/count; }
beyond() { [ "$(count)" -gt "$1" ]; }
t "it gets on" soon 20 beyond 20
for _ in 1 2 3; do
    kill -9 "$(soon 20 pid_of brain)"
    soon 30 kubectl get --raw /readyz >/dev/null
done
t "it gets on after three deaths of the brain" soon 30 beyond $(($(soon 20 count) + 20))
t_fails "no answer was lost or wrong" kubectl exec client -- cat /tmp/lost
t_is "no restart was counted" "0 0 0" kubectl get po -l app=redis -o 'jsonpath={.items[*].status.containerStatuses[0].restartCount}'
t "the client goes" kubectl delete pod client

last=$(redis 0 get counter)
t "a rolling update" kubectl apply -f <(manifest 3 2)
t "goes through" ready
t_is "the count is kept" "$last" redis 0 get counter
t "coracle down" "$coracle" down --name "$name" --data "$data"
t "coracle up" "$coracle" up --name "$name" --data "$data" --kubeconfig "$KUBECONFIG"
t "all get ready" soon 60 ready
t_is "the count is kept" "$last" soon 20 redis 0 get counter
t "and the replicas have it" soon 60 is redis 2 get counter = "$last"
