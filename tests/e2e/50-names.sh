#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Section 5 of the story: names of pods and services, and the bonus app that lives by them.
. "$(dirname "$0")/lib.sh"
story_up
domain=default.svc.cluster.local
ip() { field "pod/moscow-time-$1" .status.podIP; }
lookup() { kubectl exec "moscow-time-$1" -- nslookup "$2" | sed -E 's/[[:space:]]+/ /g; /^ ?$/d'; }
for from in 0 1; do
    to=$((1 - from))
    t_is "pod $from finds pod $to" "Server: 10.96.0.10
Address: 10.96.0.10:53
Name: moscow-time-$to.moscow-time.$domain
Address: $(ip $to)" lookup $from "moscow-time-$to.moscow-time.$domain"
done
t_is "hostname" moscow-time-0 kubectl exec moscow-time-0 -- hostname
t_is "hostname -f" "moscow-time-0.moscow-time.$domain" kubectl exec moscow-time-0 -- hostname -f
get() { kubectl exec moscow-time-0 -- wget -q -O - "http://$1:5000/visits"; }
for short in moscow-time-1.moscow-time moscow-time-1.moscow-time.default moscow-time-1.moscow-time.default.svc moscow-time moscow-time.default "moscow-time.$domain"; do
    t_has "short name $short" '^[0-9]+$' get "$short"
done
t_has "the service's name is its cluster IP" "Address: $(field svc/moscow-time .spec.clusterIP)" lookup 0 "moscow-time.$domain"
t_has "PTR of a pod" "moscow-time-1.moscow-time.$domain" lookup 0 "$(ip 1)"
t_has "SRV of the service" "0 100 5000 moscow-time.$domain" kubectl exec moscow-time-0 -- nslookup -type=srv "_http._tcp.moscow-time.$domain"
t_fails "a name that is not there" lookup 0 "moscow-time-9.moscow-time.$domain"
t "the headless service by value" helm upgrade moscow-time "$charts/moscow-time/chart" --set headless.enabled=true
both() { lookup 0 "moscow-time-headless.$domain" | grep -c '^Address: 10.244'; }
t "its name is both pods" soon 10 is both = 2

t_has "helm install visit-board" 'STATUS: deployed' helm install visit-board "$charts/visit-board/chart" --set target.intervalSeconds=1 --wait --timeout 90s
board() { kubectl exec visit-board-0 -- wget -q -O - http://visit-board:5000/history; }
line() { board | grep -Eq '^[0-9]+ moscow-time-0=[0-9]+ moscow-time-1=[0-9]+$'; }
t "the board counts both replicas, by name" soon 20 line
t "scale moscow-time to 3" kubectl scale sts/moscow-time --replicas=3
third() { board | grep -q 'moscow-time-2='; }
t "the third appears without a change of settings" soon 30 third
t "the history survives its pod" kubectl delete pod/visit-board-0
t "which comes back" ready_again visit-board-0
t_has "with its first line" '^[0-9]+ moscow-time-0=' kubectl exec visit-board-0 -- head -n 1 data/history
t_has "helm test visit-board" 'Phase: +Succeeded' helm test visit-board
