#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Published ports: NodePort, LoadBalancer and hostPort answer on the host's 127.0.0.1, go away with who asked for
# them, come back after the brain was killed, and a port that is taken is said in an event.
. "$(dirname "$0")/lib.sh"
command -v curl >/dev/null || { echo "1..0 # SKIP curl is not installed"; exit 77; }
cluster_up build/images/busybox.tar
base=$((20000 + $$ % 9000)) # ports of the host that this run uses
web() { # NAME: a pod that serves its name on 8080
    cat <<EOF
apiVersion: v1
kind: Pod
metadata: {name: $1, labels: {app: web}}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - name: c
    image: busybox
    imagePullPolicy: IfNotPresent
    command: [sh, -c, 'mkdir /tmp/w; echo $1 >/tmp/w/index.html; head -c 3000000 /dev/zero >/tmp/w/much; exec httpd -f -p 8080 -h /tmp/w']
    ports: [{containerPort: 8080, name: http${2:-}}]
    readinessProbe: {tcpSocket: {port: 8080}, periodSeconds: 1}
---
EOF
}
service() { # NAME TYPE PORT
    cat <<EOF
apiVersion: v1
kind: Service
metadata: {name: $1}
spec: {type: $2, selector: {app: web}, ports: [{port: $3, targetPort: 8080}]}
---
EOF
}
get() { curl -sS -m 5 "http://127.0.0.1:$1/${2:-}"; }
is_closed() { ! get "$1"; }
events() { kubectl get events --field-selector "reason=PortNotPublished,involvedObject.name=$1" -o jsonpath='{.items[*].message}'; }
says() { [[ $(events "$1") =~ $2 ]]; }

t "a pod with a hostPort, services" kubectl apply -f <(web one ", hostPort: $base"; service np NodePort 80; service lb LoadBalancer $((base + 1)))
t "the pod gets ready" kubectl wait --for=condition=Ready pod/one --timeout=30s
np=$(field svc/np '.spec.ports[0].nodePort')
t "the hostPort answers" soon 5 is get "$base" = one
t "the NodePort answers" soon 5 is get "$np" = one
t "the LoadBalancer's port answers" soon 5 is get $((base + 1)) = one
t "the LoadBalancer has its address" soon 5 is field svc/lb '.status.loadBalancer.ingress[0].ip' = 127.0.0.1
much() { get "$np" much | wc -c; }
t_is "3 MB come through whole" 3000000 much
many() { seq 200 | xargs -P 8 -I% curl -sS -m 10 "http://127.0.0.1:$np/" | sort | uniq -c | tr -s ' '; }
t_is "200 requests, 8 at a time" " 200 one" many

t "another service wants the same port" kubectl apply -f <(service lc LoadBalancer $((base + 1)))
t "an event says so, and who has it" soon 5 says lc "load balancer port $((base + 1))/TCP of service default/lc .* service default/lb has this port"
t_is "it has no address" "" field svc/lc '.status.loadBalancer.ingress[0].ip'
t "the first one goes" kubectl delete svc lb
t "the second one gets the port" soon 5 is field svc/lc '.status.loadBalancer.ingress[0].ip' = 127.0.0.1
t "and answers" soon 5 is get $((base + 1)) = one
t "it becomes a plain service" kubectl patch svc lc --type merge -p '{"spec":{"type":"ClusterIP"}}'
t "its port closes" soon 5 is_closed $((base + 1))
t "its address goes" soon 5 is field svc/lc '.status.loadBalancer.ingress' = ""

holder=$work/holder
build_holder() { # a program of the host that keeps a port: the shell has none of its own
    printf '%s\n' '#include <arpa/inet.h>' '#include <stdlib.h>' '#include <unistd.h>' 'int main(int c, char **v) {' \
        'struct sockaddr_in s = {.sin_family = AF_INET, .sin_port = htons((unsigned short)strtol(v[c - 1], 0, 10))};' \
        's.sin_addr.s_addr = htonl(INADDR_LOOPBACK); int f = socket(AF_INET, SOCK_STREAM, 0), on = 1;' \
        'setsockopt(f, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);' \
        'if (bind(f, (struct sockaddr *)&s, sizeof s) || listen(f, 1)) return 1; pause(); }' | gcc -xc -o "$holder" -
}
t "a program of the host" build_holder
in_background "$holder" $((base + 2))
sleep 0.3
t "a service wants a port that the host uses" kubectl apply -f <(service ld LoadBalancer $((base + 2)))
t "an event names the port" soon 5 says ld "load balancer port $((base + 2))/TCP of service default/ld is not published on 127.0.0.1: another program"
t_is "it has no address yet" "" field svc/ld '.status.loadBalancer.ingress'
kill "${jobs_started[-1]}"
t "the port is tried again" soon 10 is field svc/ld '.status.loadBalancer.ingress[0].ip' = 127.0.0.1
t "and answers" soon 5 is get $((base + 2)) = one

kill -9 "$(pid_of brain)"
t_is "a killed brain's ports go on" one get "$np"
t_is "all of them" one get "$base"
t "the next brain comes" soon 20 kubectl get --raw /readyz
t "the pod goes" kubectl delete pod one
t "its hostPort closes" soon 5 is_closed "$base"
t_fails "a service without endpoints refuses" get "$np"
