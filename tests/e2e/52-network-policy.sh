#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Network policies: who may reach whom, by labels, namespaces, blocks and ports; from the first packet of a pod on, for
# services too, and over the death of the brain.
. "$(dirname "$0")/lib.sh"
cluster_up build/images/busybox.tar
pod() { # NAMESPACE NAME LABELS: serves its name on 80 (named http) and 81
    cat <<EOF
---
apiVersion: v1
kind: Pod
metadata: {name: $2, namespace: $1, labels: {$3}}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - name: c
    image: busybox
    imagePullPolicy: IfNotPresent
    command: [sh, -c, 'mkdir /w; echo $2 >/w/index.html; httpd -p 81 -h /w; exec httpd -f -p 80 -h /w']
    ports: [{name: http, containerPort: 80}]
EOF
}
services() {
    cat <<'EOF'
---
apiVersion: v1
kind: Service
metadata: {name: db}
spec: {type: NodePort, selector: {app: db}, ports: [{name: http, port: 80}, {name: more, port: 81}]}
EOF
}
kubectl create ns other >/dev/null
kubectl label ns other team=o >/dev/null
t "pods" kubectl apply -f <(pod default db app:\ db; pod default web app:\ web; pod default stranger app:\ none; pod other web app:\ web; services)
t "run" kubectl wait --for=condition=Ready pod --all -A --timeout=60s
ip_of() { kubectl get pod "$1" "${@:2}" -o "jsonpath={.status.podIP}"; }
reach() { timeout 30 kubectl exec "$1" -n "${3:-default}" -- timeout 2 wget -q -O - "http://$2/"; } # FROM TO [NAMESPACE]
no_way() { # as reach: nothing comes back, not even a refusal
    reach "$@"
    [ $? = 143 ]
}
db=$(ip_of db) web=$(ip_of web)
t_is "without policies all reach all" db reach stranger "$db"

netpol() { # NAME SPEC
    printf 'apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: %s}\nspec: %s\n' "$@"
}
policy() { kubectl apply -f <(netpol "$@"); }
t "nobody may come" policy deny '{podSelector: {}, policyTypes: [Ingress]}'
t "a pod is cut off" soon 20 no_way web "$db"
t "its service is" no_way web db
t "another namespace is" no_way web "$db" other
t_is "a pod reaches itself through its service" db reach db db
t_is "the node goes on reaching it: probes, port-forward, published ports" db curl -s --max-time 10 "http://127.0.0.1:$(field svc/db .spec.ports[0].nodePort)/"
t_has "DNS answers" 10.96.0.1 kubectl exec web -- nslookup kubernetes.default.svc.cluster.local

t "web may" policy web '{podSelector: {matchLabels: {app: db}}, ingress: [{from: [{podSelector: {matchLabels: {app: web}}}], ports: [{port: http}]}]}'
t_is "web reaches it" db soon 20 reach web "$db"
t_is "by the service" db reach web db
t "not its other port" no_way web "$db:81"
t "a stranger doesn't" no_way stranger "$db"
t "web of another namespace doesn't" no_way web "$db" other
t "the other namespace may, at a range of ports" policy other \
    '{podSelector: {matchLabels: {app: db}}, ingress: [{from: [{namespaceSelector: {matchLabels: {team: o}}}], ports: [{port: 81, endPort: 90}]}]}'
t_is "it does" db soon 20 reach web "$db:81" other
t "not at another" no_way web "$db" other
kubectl label ns other team- >/dev/null
t "until it is labelled otherwise" soon 20 no_way web "$db:81" other
t "a block without one of its addresses may" policy block \
    "{podSelector: {matchLabels: {app: db}}, ingress: [{from: [{ipBlock: {cidr: 10.244.0.0/16, except: [$web/32]}}], ports: [{port: 81}]}]}"
t_is "the block does" db soon 20 reach stranger "$db:81"
t "the exception doesn't" no_way web "$db:81"
kubectl label pod stranger app=web --overwrite >/dev/null
t_is "a pod that gets the label does" db soon 20 reach stranger "$db"

t "web may go nowhere but to the database" policy out \
    '{podSelector: {matchLabels: {app: web}}, policyTypes: [Egress], egress: [{to: [{podSelector: {matchLabels: {app: db}}}], ports: [{port: http}]}]}'
t "and doesn't" soon 20 no_way web "$(ip_of web -n other)"
t_is "but there" db reach web "$db"

# The rules are there before a pod's first process: it gets one attempt.
for i in 1 2 3; do
    kubectl run "early-$i" --image=busybox --image-pull-policy=IfNotPresent --restart=Never --labels=app=early -- \
        sh -c "timeout 1 wget -q -O - http://$db/; test \$? = 143" >/dev/null
done
phases() { kubectl get pod -l app=early -o 'jsonpath={.items[*].status.phase}'; }
t "a pod is cut off from its first packet on" soon 60 is phases = 'Succeeded Succeeded Succeeded'

pid=$(pid_of brain)
kill -9 "$pid"
t "the brain starts again" soon 30 kubectl get --raw /readyz
t_is "who may still may" db soon 20 reach web "$db"
t "who may not doesn't" no_way web "$db:81"
t "no policies" kubectl delete netpol --all
t_is "all reach all again" db soon 20 reach web "$db:81"

bad() { ! policy bad "$1"; }
t_has "a range that ends before it begins" 'ingress\[0\].ports\[0\].endPort: Invalid value: 1: must be greater than or equal to `port`' \
    bad '{podSelector: {}, ingress: [{ports: [{port: 5, endPort: 1}]}]}'
t_has "an exception outside" 'from\[0\].ipBlock.except\[0\]: Invalid value: "10.1.0.0/16": must be a strict subset of `cidr`' \
    bad '{podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/16, except: [10.1.0.0/16]}}]}]}'
t_has "no peer" 'from\[0\]: Required value: must specify a peer' bad '{podSelector: {}, ingress: [{from: [{}]}]}'
t "policy again" policy deny '{podSelector: {matchLabels: {app: db}}}'
t_table "get" $'NAME POD-SELECTOR AGE\ndeny app=db <age>' kubectl get netpol
t_has "describe" 'Allowing ingress traffic:' kubectl describe netpol deny
