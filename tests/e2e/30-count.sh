#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Section 3 of the story: each pod counts for itself; requests are spread over the pods.
. "$(dirname "$0")/lib.sh"
story_up
first=($(visits 0) $(visits 1))
probes_counted() { [ "$(visits 0)" -gt "${first[0]}" ] && [ "$(visits 1)" -gt "${first[1]}" ]; }
t "the probes alone raise both counts" soon 20 probes_counted
before=($(visits 0) $(visits 1))
t "100 requests to the service from a pod" kubectl exec moscow-time-0 -- sh -ec 'for i in $(seq 100); do wget -q -O /dev/null http://moscow-time:5000/; done'
after=($(visits 0) $(visits 1))
rose=($((after[0] - before[0])) $((after[1] - before[1])))
say "pod 0 counted ${rose[0]} more, pod 1 ${rose[1]}"
spread() { [ "${rose[0]}" -ge 20 ] && [ "${rose[1]}" -ge 20 ] && [ $((rose[0] + rose[1])) -ge 100 ]; }
t "are spread over both pods, none lost" spread
t "a pod reaches itself through the service's address" kubectl exec moscow-time-0 -- sh -ec 'for i in $(seq 10); do wget -q -O /dev/null http://$MOSCOW_TIME_SERVICE_HOST:$MOSCOW_TIME_SERVICE_PORT/; done'

port=$((10000 + $$ % 20000)) # below the ports of outgoing connections
in_background kubectl port-forward pod/moscow-time-1 "$port:5000"
t "port-forward to a pod" soon 10 curl -sf -o /dev/null "http://127.0.0.1:$port/visits"
t_has "reaches that pod" 'X-Pod: moscow-time-1' curl -si "http://127.0.0.1:$port/visits"
many() { seq 50 | xargs -P 10 -I{} curl -sf -o /dev/null "http://127.0.0.1:$port/"; }
t "50 requests, 10 at a time" many
in_background kubectl port-forward svc/moscow-time "$((port + 1)):5000"
t "port-forward to the service" soon 10 curl -sf -o /dev/null "http://127.0.0.1:$((port + 1))/"
t_has "the page in a browser's hands" 'Visit number' curl -s "http://127.0.0.1:$((port + 1))/"
t_has "kubectl exec cat data/visits" '^[0-9]+$' kubectl exec pod/moscow-time-0 -- cat data/visits
t_has "the other pod" '^[0-9]+$' kubectl exec pod/moscow-time-1 -- cat data/visits
different() { [ "$(visits 0)" != "$(visits 1)" ] || [ "$(visits 0)" != "$(visits 1)" ]; }
t "the counts differ" different
t_fails "exec passes on the exit code" kubectl exec moscow-time-0 -- false
t_is "exec takes standard input" hello sh -c 'echo hello | kubectl exec -i moscow-time-0 -- cat'
t "kubectl cp" kubectl cp moscow-time-0:data/visits "$work/visits"
