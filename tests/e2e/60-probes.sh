#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Section 6 of the story: a pod that is not ready gets no requests; one that is not alive is restarted.
. "$(dirname "$0")/lib.sh"
story_up --set readinessProbe.periodSeconds=1,readinessProbe.failureThreshold=2,livenessProbe.periodSeconds=1,livenessProbe.failureThreshold=6
endpoints() { kubectl get endpointslices -l kubernetes.io/service-name=moscow-time -o jsonpath='{range .items[*].endpoints[?(@.conditions.ready==true)]}{.targetRef.name} {end}'; }
ready() { field "pod/moscow-time-$1" '.status.conditions[?(@.type=="Ready")].status'; }
restarts() { field "pod/moscow-time-$1" '.status.containerStatuses[0].restartCount'; }
t "two endpoints" soon 10 sh -c '[ "$(kubectl get endpointslices -l kubernetes.io/service-name=moscow-time -o jsonpath="{range .items[*].endpoints[?(@.conditions.ready==true)]}{.targetRef.name} {end}" | wc -w)" = 2 ]'
# A folder where the new count should go: the app can't count, and answers 503.
t "pod 1 is broken from inside" kubectl exec moscow-time-1 -- mkdir data/visits.new
t "it is no longer ready" soon 10 is ready 1 = False
t "and leaves the endpoints" soon 5 is endpoints = "moscow-time-0 "
t_is "pod 0 is untouched" True ready 0
only0() { for _ in $(seq 20); do kubectl exec moscow-time-0 -- wget -q -O /dev/null http://moscow-time:5000/ || return 1; done; }
t "requests reach the service all the same" only0
restarted() { [ "$(restarts 1)" -ge 1 ]; }
t "liveness restarts it" soon 30 restarted
t_has "kubectl get po says so" 'moscow-time-1 +[01]/1 +[A-Za-z]+ +[1-9][0-9]* \([0-9]+s ago\)' kubectl get po
t_has "describe: the readiness event" 'Warning +Unhealthy .*Readiness probe failed: HTTP probe failed with statuscode: 503' kubectl describe pod/moscow-time-1
t_has "describe: the liveness event" 'Warning +Unhealthy .*Liveness probe failed: HTTP probe failed with statuscode: 503' kubectl describe pod/moscow-time-1
t_has "describe: the restart" 'Normal +Killing .*Container moscow-time failed liveness probe, will be restarted' kubectl describe pod/moscow-time-1
t_has "describe: the last state" 'Last State: +Terminated' kubectl describe pod/moscow-time-1
mend() { kubectl exec moscow-time-1 -- rmdir data/visits.new; }
t "mended" soon 40 mend
t "it is ready again" soon 40 is ready 1 = True
back() { [ "$(endpoints | wc -w)" = 2 ]; }
t "and back among the endpoints" soon 10 back
t_is "pod 0 was never restarted" 0 restarts 0
t_has "the log of the time before" 'moscow-time ends with' kubectl logs moscow-time-1 --previous
