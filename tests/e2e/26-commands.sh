#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# kubectl's commands against a running set, each as a user would type it: streams, copies, debugging, looks from
# all sides, ways to a port, the node's upkeep, accounts. Any supported client; what one doesn't have is left out.
. "$(dirname "$0")/lib.sh"
cluster_up build/images/busybox.tar
minor=$(kubectl version --client -o json | jq -r '.clientVersion.minor | gsub("[^0-9]"; "")')
since() { [ "$minor" -ge "$1" ]; }
bad() { "$@" 2>&1 && return 1 || return 0; }
image=busybox:1.35
cat >"$work/web.yaml" <<EOF
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{port: 8080, targetPort: http, name: http}]}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: web}
spec:
  serviceName: web
  replicas: 2
  podManagementPolicy: Parallel
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 0
      containers:
      - name: web
        image: $image
        command: [sh, -c, 'mkdir /www; hostname >/www/index.html; echo begun; exec busybox httpd -f -p 80 -h /www']
        ports: [{containerPort: 80, name: http}]
---
apiVersion: v1
kind: Pod
metadata: {name: reader}
spec:
  restartPolicy: Never
  terminationGracePeriodSeconds: 0
  containers: [{name: c, image: $image, stdin: true, command: [sh, -c, 'while read x; do echo "got \$x"; [ "\$x" != end ] || exit 0; done']}]
EOF
t "create" kubectl create -f "$work/web.yaml"
t "rollout status" kubectl rollout status sts/web --timeout=20s

# Streams.
t_is "exec takes stdin" 3 sh -c 'printf abc | kubectl exec -i web-0 -- wc -c'
t_is "exec keeps the two outputs apart" out sh -c 'kubectl exec web-0 -- sh -c "echo out; echo err >&2" 2>/dev/null'
t_is "exec by its set" begun kubectl exec sts/web -- echo begun
t_has "exec of no command" 'nosuch.*not found' bad kubectl exec web-0 -- nosuch
t_has "exec in no container" 'container no is not valid for pod web-0' bad kubectl exec web-0 -c no -- ls
t_has "attach passes both ways" $'got one\ngot end' sh -c 'printf "one\nend\n" | timeout 20 kubectl attach -i reader'
t "the container ended by it" soon 10 is kubectl get pod reader -o 'jsonpath={.status.phase}' = Succeeded
t_has "exec in a completed pod" 'cannot exec (in|into) a container in a completed pod' bad kubectl exec reader -- ls
# Without a terminal of our own to take the size from, script(1) makes one.
t_has "exec in a terminal of our size" $'/dev/pts/0\r\n30 100\r' timeout 20 script -qec 'stty rows 30 cols 100; kubectl exec -it web-0 -- sh -c "sleep 0.3; tty; stty size"' /dev/null
t_is "run -i --rm gives output and exit code" $'from stdin\n4' bash -c \
    "echo 'echo from stdin; exit 4' | timeout 20 kubectl run r1 --image=$image --restart=Never -i --rm 2>/dev/null -- sh | grep -o 'from stdin'; echo \${PIPESTATUS[1]}"
kubectl run lines --image=$image --restart=Never -- sh -c 'for i in 1 2 3 4 5; do echo "line $i"; sleep 0.2; done' >/dev/null
t "wait for it" kubectl wait --for=condition=Ready pod/lines --timeout=10s
t_is "logs -f to the end" $'line 1\nline 2\nline 3\nline 4\nline 5' timeout 20 kubectl logs -f lines
t_is "logs --tail" 'line 5' kubectl logs lines --tail=1
t_has "logs --timestamps" '^20[0-9-]+T[0-9:.]+Z line 5$' kubectl logs lines --tail=1 --timestamps
logs_of_label() { kubectl logs -l app=web --prefix | sort; } # some versions take the pods in any order
t_is "logs of all pods of a label" $'[pod/web-0/web] begun\n[pod/web-1/web] begun' logs_of_label
t_has "logs --previous of a first run" 'previous terminated container "c" in pod "reader" not found' bad kubectl logs reader --previous

# Copies.
head -c 3000000 /dev/urandom >"$work/big"
t "cp to a pod" kubectl cp "$work/big" web-0:/tmp/big
t "cp from a pod" kubectl cp web-0:/tmp/big "$work/back"
t "nothing changed on the way" cmp "$work/big" "$work/back"
# 1.20 may end before it has shown what tar said.
since 25 && t_has "cp of no file" 'No such file' sh -c "kubectl cp web-0:/nofile '$work/none' 2>&1; :"

# Ways to a port.
forwarded() { # TARGET PORT: GET / twice through a port-forward, and what kubectl said
    local log port pid
    log=$(mktemp -p "$work")
    kubectl port-forward "$1" ":$2" >"$log" 2>&1 &
    pid=$!
    soon 10 grep -q Forwarding "$log" && port=$(sed -n 's/^Forwarding from 127.0.0.1:\([0-9]*\).*/\1/p;q' "$log") &&
        curl -s --max-time 10 "http://127.0.0.1:$port/" "http://127.0.0.1:$port/"
    kill "$pid" 2>/dev/null
    wait "$pid" 2>/dev/null
    cat "$log"
}
t_has "port-forward to a pod" $'web-1\nweb-1\n' forwarded pod/web-1 80
t_has "port-forward to a service" $'web-[01]\nweb-[01]\n' forwarded svc/web 8080
t_has "port-forward to nobody" 'failed to connect to localhost:81' forwarded pod/web-0 81
at=/api/v1/namespaces/default
t_is "through the API to a pod" web-1 kubectl get --raw $at/pods/web-1/proxy/
t_is "and its port" web-0 kubectl get --raw $at/pods/web-0:80/proxy/index.html
t_has "to a service" '^web-[01]$' kubectl get --raw $at/services/web:http/proxy/
t_has "and its port" '^web-[01]$' kubectl get --raw $at/services/web:8080/proxy/
t_is "any length" 100000000 sh -c "kubectl exec web-0 -- dd if=/dev/null of=/www/big bs=1 seek=100000000 count=0 2>/dev/null && kubectl get --raw $at/pods/web-0/proxy/big | wc -c"
t_has "nobody there" 'error trying to reach service: dial tcp 10\.[0-9.]+:81: connect: connection refused' bad kubectl get --raw $at/pods/web-0:81/proxy/
t_has "no such port" 'no service port 81 found for service "web"' bad kubectl get --raw $at/services/web:81/proxy/
kubectl proxy --port=0 >"$work/proxy.log" 2>&1 &
jobs_started+=($!)
t "kubectl proxy" soon 10 grep -q 'Starting to serve' "$work/proxy.log"
near=http://$(sed -n 's/^Starting to serve on //p' "$work/proxy.log")
t_has "to a pod and to the API" $'^web-0\nweb-0\n\{"major"' curl -sL "$near$at/pods/web-0/proxy" "$near$at/pods/web-0/proxy/" "$near/version"
t_has "what the pod refuses" '404 Not Found' curl -s "$near$at/pods/web-0/proxy/nothing"

# Looks.
t_has "describe a set" 'Pods Status: +2 Running / 0 Waiting / 0 Succeeded / 0 Failed' kubectl describe sts web
t_has "describe a pod" 'Reason +Age.*Scheduled.*Pulled.*Created.*Started' kubectl describe pod web-0
t_has "describe a service" 'Endpoints: +10\.[0-9.]+:80,10\.[0-9.]+:80' kubectl describe svc web
t_has "explain" 'volumeClaimTemplates[[:space:]]+<\[\]' kubectl explain sts.spec
t_has "explain tells what a field is" 'How many pods are wanted' kubectl explain sts.spec.replicas
t_has "explain --recursive" 'terminationGracePeriodSeconds' kubectl explain sts --recursive
explains_all() { # every kind that is served, with all its fields
    local kind
    for kind in $(kubectl api-resources -o name); do
        kubectl explain "${kind%%.*}" --recursive >"$work/explained" && grep -q 'FIELDS:' "$work/explained" || { echo "$kind"; return 1; }
    done
}
t "explain --recursive of every kind" explains_all
t_has "explain no field" 'field "?no"? does not exist' bad kubectl explain sts.no
t_has "api-versions" $'apps/v1\n' kubectl api-versions
t_has "cluster-info" 'is running at' kubectl cluster-info
t_has "events" 'Normal +Started +pod/web-0' kubectl get events --sort-by=.metadata.name
t_is "custom columns" $'N\nweb-0\nweb-1' kubectl get pod -l app=web -o custom-columns=N:.metadata.name
t_is "in chunks" 3 sh -c 'kubectl get cm,svc --chunk-size=1 -o name | wc -l'
t_has "a field that can't select" 'field label not supported: foo' bad kubectl get cm --field-selector foo=c
t_has "a selector that isn't one" "unable to parse requirement: found '', expected: ',' or '\)'" bad kubectl get cm -l 'a in (c'
since 23 && t "wait for what a path says" kubectl wait --for=jsonpath='{.status.phase}'=Running pod/web-0 --timeout=10s
since 31 && t "wait until it is there" kubectl wait --for=create pod/web-0 --timeout=10s
since 26 && t_has "events of an object" 'Normal +Started +Pod/web-0' kubectl events --for pod/web-0
t_has "no way through to the node" 'could not find the requested resource' bad kubectl get --raw "/api/v1/nodes/$name/proxy/healthz"
t_has "nor certificates on request" "doesn't have a resource type \"certificatesigningrequests\"" bad kubectl certificate approve nobody
t_has "top says why not" 'Metrics API not available' bad kubectl top pods
kubectl create cm begun >/dev/null
in_background sh -c "exec kubectl get cm -w --watch-only -o name >$work/watched"
watches() { kubectl annotate cm begun --overwrite "at=$RANDOM" && grep -q configmap/begun "$work/watched"; }
t "get -w begins" soon 30 watches
t "what it is to see" sh -c 'kubectl create cm seen && kubectl label cm seen a=b && kubectl delete cm seen'
t "get -w" soon 30 is grep -c configmap/seen "$work/watched" = 3

# Debugging.
if since 25; then
    t_has "debug a running pod" 'httpd -f -p 80' timeout 20 kubectl debug web-0 --image=$image --target=web -c dbg -i -- sh -c 'sleep 1; ps'
    t_is "by an ephemeral container" dbg kubectl get pod web-0 -o 'jsonpath={.spec.ephemeralContainers[*].name}'
    t_is "which ends" Completed kubectl get pod web-0 -o 'jsonpath={.status.ephemeralContainerStatuses[0].state.terminated.reason}'
fi
typed() { # INPUT COMMAND...: the command, typed into
    local input=$1
    shift
    echo "$input" | timeout 20 "$@"
}
t_has "debug a copy" 'in copy' typed 'echo in copy; exit' kubectl debug web-0 --image=$image --copy-to=copy --container=dbg -i -- sh
t_has "debug the node" 'etc' typed 'ls /host; exit' kubectl debug "node/$name" --image=$image -i -- sh
t "delete what is no set's" kubectl delete pod -l '!app' --now

# Makers.
made() { t_has "create $1" '/[a-z]+1 created$' kubectl create "$@"; }
made ns n1
made secret generic s1 --from-literal=a=b
made secret docker-registry d1 --docker-username=a --docker-password=b --docker-email=c
made sa robot1
made role r1 --verb=get,list --resource=pods
made rolebinding rb1 --role=r1 --serviceaccount=default:robot1
made clusterrole cr1 --verb=list --resource=nodes
made clusterrolebinding crb1 --clusterrole=cr1 --serviceaccount=default:robot1
made svc nodeport np1 --tcp=80
made svc externalname en1 --external-name=a.b
made priorityclass pc1 --value=5
if since 22; then made pdb pdb1 --selector=app=web --min-available=1; fi
t_has "create a kind that isn't served" 'could not find the requested resource' bad kubectl create deploy d1 --image=$image
t_has "expose" 'service/w0 exposed' kubectl expose pod web-0 --port=81 --target-port=80 --name=w0
t_has "autoscale is told no" 'could not find the requested resource|HPA' bad kubectl autoscale sts/web --max=3
t_has "set env" 'env updated \(server dry run\)' kubectl set env sts/web A=b --dry-run=server
t_has "set image" 'image updated \(server dry run\)' kubectl set image sts/web web=busybox:1.36 --dry-run=server
t_has "set resources" 'resource requirements updated \(server dry run\)' kubectl set resources sts/web --limits=memory=64Mi --dry-run=server
t_has "set serviceaccount" 'serviceaccount updated \(server dry run\)' kubectl set serviceaccount sts/web robot1 --dry-run=server
if since 24; then
    t_has "patch of a status" 'web patched' kubectl patch sts web --subresource=status --type=merge -p '{"status":{"collisionCount":0}}'
    t_has "get of a scale" 'NAME +DESIRED +AVAILABLE' kubectl get sts web --subresource=scale
fi
t_is "a label" "pod/web-0 labeled" kubectl label pod web-0 mark=a
t_has "is not changed unasked" "already has a value \(a\), and --overwrite is false" bad kubectl label pod web-0 mark=b
t_is "but when asked" "pod/web-0 labeled" kubectl label pod web-0 mark=b --overwrite
t_has "pause is for others" 'pausing is not supported' bad kubectl rollout pause sts/web

# Who may.
kubectl create role r2 --verb=get --resource=pods --dry-run=client -o yaml | sed "s/name: r2/&\n  namespace: default/" >"$work/r2.yaml"
t_has "reconcile makes a role" 'r2 reconciled' kubectl auth reconcile -f "$work/r2.yaml"
t_has "once" 'r2 reconciled' kubectl auth reconcile -f "$work/r2.yaml"
robot=--as=system:serviceaccount:default:robot1
t_is "a binding counts" yes kubectl auth can-i list pods $robot
t_has "for no other verb" '^no' bad kubectl auth can-i delete pods $robot
t_has "can-i --list" 'pods +\[\] +\[\] +\[get list\]' kubectl auth can-i --list $robot
server=$(kubectl config view --minify -o 'jsonpath={.clusters[0].cluster.server}')
key=(--kubeconfig=/dev/null "--server=$server" --insecure-skip-tls-verify)
t_has "a wrong token" 'must be logged in to the server' bad kubectl "${key[@]}" --token=bogus get pods
if since 28; then
    token=$(kubectl create token robot1)
    t_has "a token's bearer may what its account may" 'web-0' kubectl "${key[@]}" "--token=$token" get pods
    t_has "and no more" 'User "system:serviceaccount:default:robot1" cannot list resource "secrets"' bad kubectl "${key[@]}" "--token=$token" get secrets
    t_has "whoami" 'system:serviceaccounts:default' kubectl auth whoami $robot
fi
t_has "nobody may look" 'User \\"system:anonymous\\" cannot list resource \\"pods\\"' curl -sk "$server/api/v1/pods"
t_is "but whether we live" ok curl -sk "$server/livez"
t_has "keys for those who check tokens" '"kty":"EC"' kubectl get --raw /openid/v1/jwks

# The node's upkeep.
t_has "cordon" 'cordoned' kubectl cordon "$name"
t_has "is a taint too" 'Taints: +node.kubernetes.io/unschedulable:NoSchedule' kubectl describe node "$name"
if since 22; then t "delete the budget" kubectl delete pdb pdb1; fi
t_has "drain" 'node/.* (drained|evicted)' kubectl drain "$name" --ignore-daemonsets --force --timeout=20s
waiting() { kubectl describe pod web-0 | grep -o '1 node(s) were unschedulable'; }
t "what comes back waits" soon 10 waiting
t_has "uncordon" 'uncordoned' kubectl uncordon "$name"
t_is "the taint is gone" "" kubectl get node "$name" -o 'jsonpath={.spec.taints}'
t "and the set is back" kubectl rollout status sts/web --timeout=20s
t "taint, untaint" sh -c "kubectl taint node $name a=b:NoSchedule && kubectl taint node $name a-"
t_has "rollout restart" 'restarted' kubectl rollout restart sts/web
t "all new" kubectl rollout status sts/web --timeout=30s
t_has "scale by a wrong count" 'Expected replicas to be 5, was 2' bad kubectl scale sts/web --replicas=1 --current-replicas=5
t_has "delete" 'statefulset.apps "web" deleted' kubectl delete sts web
t "all gone" soon 10 is kubectl get pod -l app=web -o name = ""
